"""DNS service discovery on the local link (RFC 6762, RFC 6763): a hint who may be near, never a sign of life."""
