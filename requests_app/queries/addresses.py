"""What the pages about one's own address show."""

from __future__ import annotations

from datetime import datetime

from requests_app.domain import link_secrets
from requests_app.domain.errors import NotFound
from requests_app.models import AddressChange, Person


def address_change_behind(secret: str, *, person: Person, at: datetime) -> AddressChange:
    """The change that this link confirms, for whoever asked for it. Raises NotFound for every other link."""
    rows = AddressChange.objects.open(at).filter(person=person, email_before=person.email)
    row: AddressChange | None = rows.filter(secret_hash=link_secrets.hashed(secret)).first()
    if row is None:
        raise NotFound
    return row
