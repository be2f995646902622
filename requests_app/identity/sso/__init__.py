"""Single sign-on: the product as a relying party of OpenID Connect. Only the protocol, no rows or pages."""
