"""What an identity provider says about a person, after its answer was checked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class AssertedIdentity:
    """What an identity provider says about the person who signs in.

    `groups` has the value None if the identity provider says nothing about groups. `has_proven_issuer` is False if
    anybody could use the issuer's name, as with SAML.
    """

    issuer: str
    subject: str
    email: str = ""
    #: How the person calls themselves there. It is used only for a new account.
    name: str = ""
    email_is_verified: bool = False
    directory_key: str = ""
    groups: tuple[str, ...] | None = None
    has_proven_issuer: bool = True
    #: With SAML: how and when the person authenticated, as the identity provider says.
    context: str = ""
    authenticated_at: str = ""
