"""The API: HTTP and JSON for machines. It calls the same operations as the pages."""
