"""YAML text to frozen, typed settings."""
