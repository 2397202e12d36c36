"""Values: immutable, standard library only, no IO, no clock, no randomness."""
