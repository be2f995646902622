"""Events of the logs, sent to machines: Standard Webhooks 1.0."""
