"""Decisions: synchronous, no clock, no sockets, no files, no ambient randomness."""
