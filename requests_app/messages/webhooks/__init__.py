"""The bodies and the signatures of webhook messages."""
