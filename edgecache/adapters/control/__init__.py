"""The Unix socket between the agent and its command line: one request a connection, JSON lines, then raw bytes."""
