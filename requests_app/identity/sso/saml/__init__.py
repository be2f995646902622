"""SAML 2.0 (Web Browser SSO Profile), with this product as the service provider.

These modules turn bytes into a checked identity, or raise `SignOnFailed`. They read no setting, no row and no clock.
"""
