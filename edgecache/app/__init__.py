"""Use cases: thin, async, no sockets."""
