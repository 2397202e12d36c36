"""Chunks on disk."""
