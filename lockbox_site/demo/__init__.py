"""The demo world: believable people, tenants and content, made through the same operations as everything else."""
