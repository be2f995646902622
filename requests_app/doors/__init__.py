"""The three interfaces for people and machines: pages, the API, and the administration. They contain no rules."""
