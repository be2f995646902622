"""Real proxies in front of a web tool, with the configurations of deploy/forward-auth."""
