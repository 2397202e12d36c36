"""Where readings come from: files of the kernel's drivers, and the device itself."""
