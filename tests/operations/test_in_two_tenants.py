"""A person has roles in two tenants.

The administrator of each tenant can act on this person. The entry goes into the log of the administrator's tenant.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

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


class Case(NamedTuple):
    """An act of an administrator: what it is about, how it is done, and the event of its entry."""

    make: Callable[[Cast, str], Any]
    run: Run
    event: str


class Way(NamedTuple):
    """A person, their first tenant, their second tenant, and the second tenant's administrator."""

    name: str
    first: str
    second: str
    administrator: str


_CASES = [
    Case(_token, lambda cast, pk, actor: operations.revoke_token(pk, actor=actor), "token.revoked"),
    Case(_person, lambda cast, pk, actor: operations.switch_off_person(pk, actor=actor), "person.switched_off"),
    Case(_switched_off, lambda cast, pk, actor: operations.switch_on_person(pk, actor=actor), "person.switched_on"),
    Case(
        _with_app,
        lambda cast, pk, actor: operations.reset_second_factors(pk, actor=actor, keep=factors.drops_all),
        "person.second_factors_reset",
    ),
]
#: In both orders of the tenants' ids.
_WAYS = [Way("mia", "contoso", "fabrikam", "finn"), Way("fred", "fabrikam", "contoso", "ines")]
_each_case = pytest.mark.parametrize("case", _CASES, ids=[case.event for case in _CASES])
_each_way = pytest.mark.parametrize("way", _WAYS, ids=[way.name for way in _WAYS])


def _joined(cast: Cast, name: str, tenant: str, role: str = "member") -> None:
    row = cast.tenants[tenant]
    Membership.objects.create(tenant=row, person=cast.people[name], role=role, given_at=row.created_at)


def _prepared(cast: Cast, case: Case, way: Way) -> tuple[Any, int]:
    """Make what the act is about. Return its id, and the number of entries in the log of the person's first tenant."""
    pk = case.make(cast, way.name)
    _joined(cast, way.name, way.second)
    return pk, len(events_in(cast.tenants[way.first]))


@_each_case
@_each_way
def test_the_administrator_of_each_tenant_may_act(cast: Cast, case: Case, way: Way) -> None:
    pk, before = _prepared(cast, case, way)
    with only_tenants([cast.tenants[way.second].pk]):
        case.run(cast, pk, cast.as_(way.administrator))
    assert case.event in events_in(cast.tenants[way.second])
    if case.event != "person.second_factors_reset":
        assert len(events_in(cast.tenants[way.first])) == before


@_each_case
@_each_way
def test_a_refusal_is_in_the_log_of_the_actors_tenant(cast: Cast, case: Case, way: Way) -> None:
    """The actor belongs only to the second tenant, and lacks the role or can't see the row."""
    pk, before = _prepared(cast, case, way)
    Membership.objects.filter(person=cast.people[way.administrator]).update(role="auditor")
    with only_tenants([cast.tenants[way.second].pk]), pytest.raises((NotAllowed, NotFound)) as refusal:
        case.run(cast, pk, cast.as_(way.administrator))
    assert len(events_in(cast.tenants[way.first])) == before
    # An administrator sees the tokens of the tenant's people, and an auditor does not.
    assert isinstance(refusal.value, NotFound) == (case.event == "token.revoked")
    if not isinstance(refusal.value, NotFound):
        [entry] = AuditEntry.objects.filter(tenant_id=cast.tenants[way.second].pk, event="act.refused")
        assert json.loads(bytes(entry.canonical))["actor"]["name"] == cast.people[way.administrator].name


@_each_way
def test_the_role_counts_and_not_the_order(cast: Cast, way: Way) -> None:
    """The actor and the person share both tenants. The entry goes to the tenant that the actor administers."""
    pk = _token(cast, way.name)
    _joined(cast, way.name, way.second)
    _joined(cast, way.administrator, way.first)
    operations.revoke_token(pk, actor=cast.as_(way.administrator))
    assert events_in(cast.tenants[way.second]) == ["token.revoked"]
