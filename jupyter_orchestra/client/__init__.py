"""What asks the runtime on a person's behalf: dispatching, handles, waiting; magics and API are two forms of it."""
