"""Composition: the asyncio driver around the core, and the wiring of everything else."""
