"""Passkeys of the cast: enrolled through the operation, and kept in software."""

from __future__ import annotations

import secrets
from typing import Any

from requests_app import operations, webauthn
from requests_app.demo.authenticator import Authenticator
from requests_app.models import Passkey
from tests.cast import Cast

ORIGIN = "http://localhost:8000"


def asked(cast: Cast, name: str, challenge: bytes) -> dict[str, Any]:
    """What a page asks the device of this person for, to make a key."""
    person = cast.people[name]
    return webauthn.registration_options(
        party=webauthn.own_party(),
        user_id=person.pk.bytes,
        email=person.email,
        name=person.name,
        challenge=challenge,
    )


def enrolled(cast: Cast, name: str, *, called: str = "Phone", **device: Any) -> tuple[Passkey, Authenticator]:
    """A new passkey of this person, and the device that holds it."""
    challenge, made = secrets.token_bytes(32), Authenticator(**{"origin": ORIGIN, **device})
    row = operations.enrol_passkey(
        actor=cast.as_(name), response=made.create(asked(cast, name, challenge)), challenge=challenge, name=called
    )
    return row, made


def key_of(row: Passkey) -> webauthn.Key:
    return webauthn.Key(
        credential_id=bytes(row.credential_id),
        public_key=bytes(row.public_key),
        sign_count=row.sign_count,
        is_backup_eligible=row.is_backup_eligible,
    )
