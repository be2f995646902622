"""Reads for the pages about one's own address."""

from __future__ import annotations

from datetime import datetime

from requests_app.domain import link_secrets
from requests_app.domain.errors import NotFound
from requests_app.models import AddressChange, Person


def address_change_behind(secret: str, *, person: Person, at: datetime) -> AddressChange:
    """Return the change that this link confirms, for the person who requested it. Otherwise raise NotFound."""
    rows = AddressChange.objects.open(at).filter(person=person, email_before=person.email)
    row: AddressChange | None = rows.filter(secret_hash=link_secrets.hashed(secret)).first()
    if row is None:
        raise NotFound
    return row
