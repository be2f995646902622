"""The door for machines: HTTP and JSON around the same operations that the pages call."""
