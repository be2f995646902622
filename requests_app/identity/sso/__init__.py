"""Single sign-on: the protocol of OpenID Connect, with this product as the relying party.

This package has no models and no pages.
"""
