"""The small process that owns a notebook kernel's workers and outlives it, and the launcher that speaks to it."""
