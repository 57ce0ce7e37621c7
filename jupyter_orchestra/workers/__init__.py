"""Adapters that carry tasks out, one file for each kind."""
