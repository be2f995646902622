"""The administration: the pages for staff."""
