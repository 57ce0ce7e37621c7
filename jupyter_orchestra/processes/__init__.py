"""Starts, signals, reads and ends worker processes; nothing else in the package starts one."""
