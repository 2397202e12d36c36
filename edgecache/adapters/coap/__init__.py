"""CoAP on the network: links between nodes over TLS/TCP (RFC 8323), and plain CoAP/UDP for leaves (RFC 7252).

The only importer of aiocoap.
"""
