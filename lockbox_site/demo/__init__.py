"""The demo world: people, tenants and content, made through the product's own operations."""
