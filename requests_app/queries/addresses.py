"""What the pages about one's own address show."""

from __future__ import annotations

from datetime import datetime

from requests_app import link_secrets
from requests_app.errors import NotFound
from requests_app.models import AddressChange, DirectoryRecord, Person


def keeps_own_address(person: Person) -> bool:
    """Whether it is the person's to change, and no directory's."""
    in_directory = DirectoryRecord.objects.filter(person=person).present().exists()
    return not (in_directory or person.signs_in_elsewhere())


def address_change_behind(secret: str, *, person: Person, at: datetime) -> AddressChange:
    """The change that this link confirms, for whoever asked for it. Raises NotFound for every other link."""
    rows = AddressChange.objects.open(at).filter(person=person, email_before=person.email)
    row: AddressChange | None = rows.filter(secret_hash=link_secrets.hashed(secret)).first()
    if row is None:
        raise NotFound
    return row
