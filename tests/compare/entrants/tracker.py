"""A BitTorrent tracker, no more than aria2c needs to find the others: `python tracker.py ADDRESS`."""

from __future__ import annotations

import ipaddress
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

PORT = 6969

_peers: dict[tuple[str, int], None] = {}


class Announce(BaseHTTPRequestHandler):
    """Everybody who announces is told about everybody else."""

    def do_GET(self) -> None:
        asked = parse_qs(urlsplit(self.path).query, encoding="latin-1")
        here = (self.client_address[0], int(asked["port"][0]))
        _peers[here] = None
        others = [peer for peer in list(_peers) if peer != here]
        compact = b"".join(ipaddress.IPv4Address(host).packed + port.to_bytes(2, "big") for host, port in others)
        body = b"d8:intervali2e12:min intervali1e5:peers%d:%se" % (len(compact), compact)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


if __name__ == "__main__":
    ThreadingHTTPServer((sys.argv[1], PORT), Announce).serve_forever()
