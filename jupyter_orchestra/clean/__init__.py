"""Cleaning of what a model or any other untrusted party wrote, so that it can be shown."""
