"""The notebook's side: magics, cells, and where results are shown; it talks to the client and to the runtime's sink."""
