"""The real things behind leases, and who of all notebooks of this machine may have them."""
