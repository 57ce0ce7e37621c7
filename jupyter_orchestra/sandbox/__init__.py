"""Confines what runs: to its own folders, without the network, away from what is the person's."""
