"""Agents on this machine, each a process of its own, set up by the command line: for the demo and the benchmarks."""
