"""The master: what it is told, what it may ask for, and how it goes on; it starts no process and draws nothing."""
