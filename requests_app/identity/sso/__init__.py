"""Single sign-on: this product as a relying party of OpenID Connect. The protocol alone, without rows or pages."""
