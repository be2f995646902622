"""Access to a customer's content: connectors and downloads."""
