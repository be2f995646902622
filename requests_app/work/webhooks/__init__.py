"""Delivers webhook messages, and deletes old ones."""
