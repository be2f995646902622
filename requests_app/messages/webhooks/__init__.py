"""The body of a webhook message and its signature."""
