"""Delivers webhook messages, and removes what is no longer needed."""
