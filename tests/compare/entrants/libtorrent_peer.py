"""A libtorrent peer. Runs by itself under whatever interpreter has the binding, so it imports nothing of ours.

It prints READY, fetches when a line comes in, prints DONE when its copy is complete and flushed, and goes on serving.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import time
from typing import Any

PORT = 6881
TIMEOUT_FLUSH = 5.0

ALONE = {"enable_dht": False, "enable_lsd": False, "enable_upnp": False, "enable_natpmp": False}
"""No discovery of its own: each peer is told about all others, as a tracker would."""

TCP = {"enable_incoming_utp": False, "enable_outgoing_utp": False}

PROFILES: dict[str, dict[str, Any]] = {
    "default": ALONE,
    "tcp": {**ALONE, **TCP},
    # No limit of unchoked peers, quick rounds, small send buffers: the best of a dozen variants on eight equal nodes.
    "tuned": {
        **ALONE, **TCP,
        "out_enc_policy": 2, "in_enc_policy": 2,
        "unchoke_slots_limit": -1, "unchoke_interval": 1, "optimistic_unchoke_interval": 2,
        "connection_speed": 500, "torrent_connect_boost": 100, "peer_connect_timeout": 3, "min_reconnect_time": 1,
        "smooth_connects": False, "request_queue_time": 1, "max_out_request_queue": 64, "request_timeout": 10,
        "piece_timeout": 5, "whole_pieces_threshold": 1, "initial_picker_threshold": 0, "auto_sequential": False,
        "send_buffer_watermark": 64 * 1024, "send_buffer_low_watermark": 32 * 1024, "send_buffer_watermark_factor": 20,
        "mixed_mode_algorithm": 0, "seed_choking_algorithm": 0, "tick_interval": 100,
    },
}  # fmt: skip


def say(word: str) -> None:
    print(word, flush=True)


def peer(listen: str, torrent: str, directory: str, profile: str, others: list[str], seeding: bool) -> None:
    """Until killed."""
    lt: Any = importlib.import_module("libtorrent")
    category = lt.alert.category_t
    session = lt.session({
        **PROFILES[profile], "listen_interfaces": f"{listen}:{PORT}",
        "alert_mask": category.status_notification | category.storage_notification | category.error_notification,
    })  # fmt: skip
    wanted = lt.add_torrent_params()
    wanted.ti, wanted.save_path = lt.torrent_info(torrent), directory
    wanted.flags = lt.torrent_flags.update_subscribe | (lt.torrent_flags.seed_mode if seeding else 0)
    if not seeding:
        say("READY")
        sys.stdin.readline()
    handle = session.add_torrent(wanted)
    for other in others:
        handle.connect_peer((other, PORT))
    while not handle.status().is_seeding:
        session.wait_for_alert(20)
        session.pop_alerts()
    if not seeding:
        _flush(lt, session, handle)
    say("READY" if seeding else f"DONE {time.monotonic()}")
    while True:
        time.sleep(60)


def _flush(lt: Any, session: Any, handle: Any) -> None:
    handle.flush_cache()
    deadline = time.monotonic() + TIMEOUT_FLUSH
    while time.monotonic() < deadline:
        session.wait_for_alert(20)
        if any(isinstance(alert, lt.cache_flushed_alert) for alert in session.pop_alerts()):
            return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("torrent")
    parser.add_argument("directory")
    parser.add_argument("--listen", required=True)
    parser.add_argument("--profile", choices=PROFILES, required=True)
    parser.add_argument("--peer", action="append", default=[])
    parser.add_argument("--seed", action="store_true")
    given = parser.parse_args()
    peer(given.listen, given.torrent, given.directory, given.profile, given.peer, given.seed)


if __name__ == "__main__":
    main()
