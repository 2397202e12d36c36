"""Bytes to messages and back: strict, bounded, and described by `edgecache.cddl`."""
