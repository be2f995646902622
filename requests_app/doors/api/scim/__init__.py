"""SCIM 2.0 (RFC 7643, RFC 7644): the interface with which a tenant's directory manages the tenant's people."""
