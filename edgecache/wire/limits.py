"""Every maximum on the wire, each with its reason. What goes beyond is refused before anything is allocated for it."""

from __future__ import annotations

WIRE_VERSION = 1
"""Spoken here; the hello names a range, the highest common one is used."""

MESSAGE_BYTES_MAX = 513 * 1024
"""One CoAP message: a chunk of 512 KiB with options."""

CONTROL_BYTES_MAX = 64 * 1024
"""One control message: an owner's whole map is at most 16 KiB, a batch of records less."""

HAVE_BYTES_MAX = 129 * 1024
"""A have-set is the one larger control message: a bitmap of 2**20 chunks has 128 KiB."""

COMING_MAX = 64
"""Chunks under way from other sites that a have names: a small window's worth."""

HELLO_BYTES_MAX = 8 * 1024
"""A hello has a dozen fields; the rest is room for later ones."""

ROOT_BYTES_MAX = 40 * 1024
"""A manifest root of 1,024 page digests has 35 KiB."""

SMALL_BYTES_MAX = 64 * 1024
"""A blob that may come instead of its manifest root: below the smallest part of a second on a link of 1 MB/s, as it is
sent in one piece. Four fifths of such a message are its content from 20 kB on."""

PAGE_BYTES_MAX = 32 * 1024
"""1,024 digests of 32 bytes."""

NAME_BYTES_MAX = 64
"""Node names, site labels, feature names: shown to people, so short."""

ADDRESSES_MAX = 16
"""A Pi has a wire, a radio, a VPN; each IPv4 and a few IPv6."""

FEATURES_MAX = 32
EXTRA_KEYS_MAX = 32
"""Unknown optional hello keys that are kept."""

EXTRA_BYTES_MAX = 256
"""Encoded size of one unknown optional hello value that is kept; larger ones are dropped."""

MAP_KEYS_MAX = 64
"""Keys of one message: those we know and those of later versions."""

PEERS_MAX = 32
"""Peers told in one gossip message."""

RUMOURS_MAX = 64
"""Membership rumours in one gossip message."""

HEADS_MAX = 512
"""State heads in one digest: more owners than a site should have."""

HASH_BYTES_MAX = 32
"""A summary hash."""

ENTRIES_MAX = 256
"""Entries of one owner's map; the quota of the design."""

OWNER_BYTES_MAX = 16 * 1024
"""Keys and values of one owner's map; the quota of the design."""

KEY_BYTES_MAX = 96
"""One key of an owner's map: a kind, a slash and a series name."""

VALUE_BYTES_MAX = 4 * 1024
"""One value of an owner's map."""

READING_BYTES_MAX = 512
"""One reading in an owner's map: text of 256 bytes and its stamps."""

SENML_BYTES_MAX = 32 * 1024
"""One SenML pack that we read: some hundred records from a leaf."""

SENML_RECORDS_MAX = 512

COUNTER_MAX = (1 << 63) - 1
"""Epochs, versions, incarnations, milliseconds: what a database column holds."""

CERTIFICATE_BYTES_MAX = 2048
"""A node certificate has about 600 bytes."""

SIGNATURE_BYTES_MAX = 128
"""Ed25519 has 64; room for another kind of key."""

CLAIMS_MAX = 128
"""Provider claims in one announcement."""

PROVIDERS_MAX = 64
"""Providers in one answer: more than anybody links to."""

LOOKUPS_MAX = 128
"""Blobs in one lookup: 4.5 KB."""

MARK_BYTES = 8
"""Of a summary of claims: whoever makes two claims with the same mark deceives itself."""

FLOOD_TTL_MAX = 4
"""Hops of a flooded query; the default is 3."""

CANCELS_MAX = 1024
"""Chunks in one cancel: more than any window has in flight."""

CHUNKS_MAX = 1024 * 1024
"""Chunks of the largest blob; no index, count or have-set goes beyond it."""

RUNS_MAX = 16 * 1024
"""Run lengths in one have-set: a random half of a 4 GiB blob; beyond that a have-set is sent as a bitmap."""

CBOR_DEPTH_MAX = 6
"""Nothing we speak nests deeper."""
