"""Passkeys of the cast. They are added with the product's operation, and a software device answers for them."""

from __future__ import annotations

import html
import json
import re
import secrets
from typing import Any

from lockbox_site.demo.authenticator import Authenticator
from requests_app import operations
from requests_app.models import Passkey
from requests_app.platform import webauthn
from tests.cast import Cast

ORIGIN = "http://localhost:8000"


def options_for(cast: Cast, name: str, challenge: bytes) -> dict[str, Any]:
    """Return the options that the page gives to the person's device when they add a passkey."""
    person = cast.people[name]
    return webauthn.registration_options(
        party=webauthn.own_party(),
        user_id=person.pk.bytes,
        email=person.email,
        name=person.name,
        challenge=challenge,
    )


def enrolled(cast: Cast, name: str, *, called: str = "Phone", **device: Any) -> tuple[Passkey, Authenticator]:
    """Add a passkey for this person. Return it with its device."""
    challenge, made = secrets.token_bytes(32), Authenticator(**{"origin": ORIGIN, **device})
    row = operations.enrol_passkey(
        actor=cast.as_(name), response=made.create(options_for(cast, name, challenge)), challenge=challenge, name=called
    )
    return row, made


def key_of(row: Passkey) -> webauthn.Key:
    return webauthn.Key(
        credential_id=bytes(row.credential_id),
        public_key=bytes(row.public_key),
        sign_count=row.sign_count,
        is_backup_eligible=row.is_backup_eligible,
    )


def added(client: Any, device: Authenticator, *, called: str = "Phone", page: str = "/security/passkeys/add/") -> Any:
    """Open the page for adding a passkey, create it on the device, and submit the device's answer as the page does."""
    shown = client.get(page)
    assert shown.status_code == 200, shown
    onward = re.search(r'name="next" value="([^"]*)"[^>]*id="id_next"', shown.content.decode())
    form = {"name": called, "credential": json.dumps(device.create(options_on(shown, "data-create")))}
    return client.post(page.partition("?")[0], {**form, "next": html.unescape(onward[1]) if onward else ""})


def options_on(page: Any, attribute: str = "data-sign") -> dict[str, Any]:
    """Return the options that a button of the page passes to the device."""
    found = re.search(rf'{attribute}="([^"]*)"', page.content.decode())
    assert found is not None, page.content.decode()[-2000:]
    return dict(json.loads(html.unescape(found[1])))


def signs_in(client: Any, device: Authenticator, *, to: str = "") -> Any:
    """Sign in with the passkey alone, as the button on the sign-in page does."""
    return client.post("/accounts/passkey/", {"assertion": json.dumps(answer_of(client, device)), "next": to})


def answer_of(client: Any, device: Authenticator) -> dict[str, Any]:
    return device.get(client.get("/accounts/passkey/").json())
