"""The command line: one file per group of commands, imports inside the functions."""
