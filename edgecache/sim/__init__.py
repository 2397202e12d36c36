"""The other driver: the same core on virtual links, clocks and disks."""
