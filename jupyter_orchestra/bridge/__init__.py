"""The kernel's side of the page: comms, live pages, what they are told and what they ask; it renders nothing."""
