"""edgecache: an edge-IoT content-caching mesh, one small agent per device."""

__version__ = "0.1.0"
