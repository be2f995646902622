"""The parts of `bench/` that depend on formats of the product."""
