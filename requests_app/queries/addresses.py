"""Reads for the pages on which people change their own address."""

from __future__ import annotations

from datetime import datetime

from requests_app.domain import link_secrets
from requests_app.domain.errors import NotFound
from requests_app.models import AddressChange, Person


def address_change_behind(secret: str, *, person: Person, at: datetime) -> AddressChange:
    """Return the change of address that this link confirms. Raise NotFound unless this person requested the change."""
    rows = AddressChange.objects.open(at).filter(person=person, email_before=person.email)
    row: AddressChange | None = rows.filter(secret_hash=link_secrets.hashed(secret)).first()
    if row is None:
        raise NotFound
    return row
