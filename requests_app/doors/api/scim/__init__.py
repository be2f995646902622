"""SCIM 2.0 (RFC 7643, RFC 7644): the door by which a tenant's directory keeps its people here."""
