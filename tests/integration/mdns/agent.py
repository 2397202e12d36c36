"""One MdnsDiscovery as a process: prints each sighting as a JSON line until its standard input ends."""

from __future__ import annotations

import asyncio
import json
import os
import sys

from edgecache.adapters.mdns.discovery import MdnsDiscovery
from edgecache.adapters.mdns.sockets import multicast_selftest
from edgecache.adapters.system.addresses import own_addresses
from edgecache.core.vocabulary import Identity, PeerSighted
from edgecache.model.ids import node_id_from_bytes


def report(sighted: PeerSighted) -> None:
    print(json.dumps({"node": sighted.node, "addresses": [str(a) for a in sighted.addresses]}), flush=True)


async def main(seed: str, mesh: str, port: int) -> None:
    addresses = own_addresses(port)
    me = Identity(node_id_from_bytes(seed.encode().ljust(16, b".")), mesh, "default", f"pi {seed}", 1, addresses)
    discovery = MdnsDiscovery(me, addresses, report)
    discovery.start()
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await discovery.stop()


if __name__ == "__main__":
    if sys.argv[1] == "selftest":
        hosts = [a.host for a in own_addresses(1)]
        print(json.dumps({"reason": asyncio.run(multicast_selftest(hosts)), "hosts": hosts, "uid": os.getuid()}))
    else:
        asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
