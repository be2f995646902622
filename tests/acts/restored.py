"""Test cases for the acts after a restore from a backup."""

from __future__ import annotations

import datetime as dt
from uuid import UUID

from django.urls import reverse

from requests_app import operations
from requests_app.domain import clock
from requests_app.models import Tenant, Token
from requests_app.queries import restored as queries
from tests.acts.case import Case
from tests.cast import Cast

BACKUP = UUID(int=41)


def restore(cast: Cast, *, keeps_tokens: bool = True) -> None:
    """Restore. The people of the cast sign in again, and the tokens that a test has made before still work."""
    at = clock.now()
    operations.restored(backup_id=BACKUP, taken_at=at - dt.timedelta(hours=1), at=at)
    if keeps_tokens:
        Token.objects.update(revoked_at=None)
    for person in cast.people.values():
        person.refresh_from_db()


def _tenants(cast: Cast) -> str:
    restore(cast)
    return queries.digest(queries.facts_of_tenant(Tenant.objects.get(pk=cast.contoso.pk), clock.now()))


def _peoples(cast: Cast) -> str:
    restore(cast)
    return queries.digest(queries.facts_of_provider())


CASES: dict[str, Case] = {
    "confirm_restored": Case(
        "ines",
        _tenants,
        lambda cast, row, actor: operations.confirm_restored(cast.contoso.pk, shown=row, actor=actor),
        page=lambda cast, client, row: client.post(reverse("web:restored", args=[cast.contoso.pk]), {"shown": row}),
        api=lambda cast, caller, row: caller.post(f"tenants/{cast.contoso.pk}/restored", {"shown": row}),
    ),
    "confirm_restored_people": Case(
        "stella",
        _peoples,
        lambda cast, row, actor: operations.confirm_restored_people(shown=row, actor=actor),
        admin=lambda cast, client, row: client.post(reverse("admin:restored"), {"shown": row}),
    ),
}
