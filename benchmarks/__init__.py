"""Measures jupyter_orchestra beside its peers: `python benchmarks/run.py`, or `make bench`."""
