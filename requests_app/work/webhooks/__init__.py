"""Delivers webhook messages, and deletes what is no longer needed."""
