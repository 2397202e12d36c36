"""The world: each package here is the only importer of its library."""
