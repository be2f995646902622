"""The demo world: people, tenants and content. The product's own operations make them."""
