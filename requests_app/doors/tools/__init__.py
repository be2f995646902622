"""The proxy of this product for web tools: it passes requests on, and cuts them when their window ends."""
