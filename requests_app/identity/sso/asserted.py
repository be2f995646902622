"""What an identity provider says about a person, after its answer was checked."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class AssertedIdentity:
    """What an identity provider says about the person who signs in.

    `groups` has the value None if the identity provider says nothing about groups.
    """

    issuer: str
    subject: str
    email: str = ""
    email_is_verified: bool = False
    directory_key: str = ""
    groups: tuple[str, ...] | None = None
