"""The broker: who bridges the site to it, and what the bridge publishes there for Home Assistant and others."""
