"""The three doors for people and machines: pages, the API, and the administration. They hold no rules."""
