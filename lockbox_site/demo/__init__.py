"""The demo world: people, tenants and content, which are made with the product's own operations."""
