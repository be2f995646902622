"""Single sign-on: the protocol of OpenID Connect, with this product as the relying party.

It has no rows and no pages.
"""
