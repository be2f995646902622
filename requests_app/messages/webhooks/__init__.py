"""The content of a webhook message and its signature."""
