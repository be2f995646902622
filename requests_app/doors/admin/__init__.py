"""The administration: the interface for staff."""
