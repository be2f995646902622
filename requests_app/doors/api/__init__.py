"""The API: HTTP and JSON for machines, around the same operations that the pages call."""
