"""The pure room: values, facts, wishes, and the machine that turns facts into wishes; no I/O, clock or thread."""
