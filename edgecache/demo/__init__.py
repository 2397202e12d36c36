"""`edgecache demo`: the main job on this machine: five real agents, real mDNS, real readings, a broker, a real file."""
