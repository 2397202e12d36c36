"""The operating system: clock, log, own addresses, the identity of the device."""
