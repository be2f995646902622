"""A person with roles in two tenants.

The administrator of each can act on them, and the entry goes into the actor's log.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.errors import NotAllowed, NotFound
from requests_app.identity import factors
from requests_app.models import Membership, Person
from requests_app.models.row_security import only_tenants
from tests.cast import Cast, events_in

pytestmark = pytest.mark.django_db

Run = Callable[[Cast, Any, Actor], object]
#: In both orders of the tenants' ids: the person, their first tenant, the second tenant, and its administrator.
_EACH_WAY = [("mia", "contoso", "fabrikam", "finn"), ("fred", "fabrikam", "contoso", "ines")]


def _token(cast: Cast, name: str) -> Any:
    return operations.create_token(name="laptop", scopes=["log:read"], days=7, actor=cast.as_(name)).row.pk


def _person(cast: Cast, name: str) -> Any:
    return cast.people[name].pk


def _with_app(cast: Cast, name: str) -> Any:
    Person.objects.get_queryset().filter(pk=cast.people[name].pk).update(totp_set_up_at=clock.now())
    return cast.people[name].pk


def _switched_off(cast: Cast, name: str) -> Any:
    Person.objects.get_queryset().filter(pk=cast.people[name].pk).update(is_active=False)
    return cast.people[name].pk


_ACTS: list[tuple[Callable[[Cast, str], Any], Run, str]] = [
    (_token, lambda cast, pk, actor: operations.revoke_token(pk, actor=actor), "token.revoked"),
    (_person, lambda cast, pk, actor: operations.switch_off_person(pk, actor=actor), "person.switched_off"),
    (_switched_off, lambda cast, pk, actor: operations.switch_on_person(pk, actor=actor), "person.switched_on"),
    (
        _with_app,
        lambda cast, pk, actor: operations.reset_second_factors(pk, actor=actor, keep=factors.drops_all),
        "person.second_factors_reset",
    ),
]
_each_act = pytest.mark.parametrize(("make", "run", "event"), _ACTS, ids=[event for *_rest, event in _ACTS])
_each_way = pytest.mark.parametrize(("name", "first", "second", "administrator"), _EACH_WAY)


def _joined(cast: Cast, name: str, tenant: str, role: str = "member") -> None:
    row = cast.tenants[tenant]
    Membership.objects.create(tenant=row, person=cast.people[name], role=role, given_at=row.created_at)


@_each_act
@_each_way
def test_the_administrator_of_each_tenant_may_act(
    cast: Cast,
    make: Any,
    run: Run,
    event: str,
    name: str,
    first: str,
    second: str,
    administrator: str,
) -> None:
    pk = make(cast, name)
    _joined(cast, name, second)
    before = len(events_in(cast.tenants[first]))
    with only_tenants([cast.tenants[second].pk]):
        run(cast, pk, cast.as_(administrator))
    assert event in events_in(cast.tenants[second])
    if event != "person.second_factors_reset":
        assert len(events_in(cast.tenants[first])) == before


@_each_act
@_each_way
def test_a_refusal_is_in_the_log_of_the_actors_tenant(
    cast: Cast,
    make: Any,
    run: Run,
    event: str,
    name: str,
    first: str,
    second: str,
    administrator: str,
) -> None:
    """The actor belongs to the second tenant and lacks the role, or can't see the row."""
    pk = make(cast, name)
    _joined(cast, name, second)
    Membership.objects.filter(person=cast.people[administrator]).update(role="auditor")
    before = len(events_in(cast.tenants[first]))
    with only_tenants([cast.tenants[second].pk]), pytest.raises((NotAllowed, NotFound)) as refusal:
        run(cast, pk, cast.as_(administrator))
    assert len(events_in(cast.tenants[first])) == before
    if not isinstance(refusal.value, NotFound):
        [entry] = AuditEntry.objects.filter(tenant_id=cast.tenants[second].pk, event="act.refused")
        assert json.loads(bytes(entry.canonical))["actor"]["name"] == cast.people[administrator].name


@_each_way
def test_the_role_counts_and_not_the_order(cast: Cast, name: str, first: str, second: str, administrator: str) -> None:
    """The actor and the person share two tenants. The act belongs to the tenant that the actor administers."""
    pk = _token(cast, name)
    _joined(cast, name, second)
    _joined(cast, administrator, first)
    operations.revoke_token(pk, actor=cast.as_(administrator))
    assert events_in(cast.tenants[second]) == ["token.revoked"]
