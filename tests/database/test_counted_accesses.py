"""The accesses of a window are counted alike on both databases, though each of them has its own statement."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from requests_app.models import ContentAccess, Grant, Resource
from requests_app.queries import access
from tests.cast import Cast

pytestmark = [pytest.mark.django_db, pytest.mark.dialect]

Kind = ContentAccess.Kind


def put(grant: Grant, resource: Resource | None, kind: Kind, item: str = "", **values: Any) -> None:
    ContentAccess.objects.create(
        tenant_id=grant.tenant_id, grant=grant, resource=resource, kind=kind, item_id=item, at=timezone.now(), **values
    )


def test_an_item_counts_once_for_each_kind_and_resource(cast: Cast) -> None:
    grant, finance, other = cast.opened(), cast.resource(), cast.resource("fabrikam")
    for resource, item in ((finance, "1"), (finance, "1"), (finance, "2"), (other, "1")):
        put(grant, resource, Kind.OPENED, item, part="text")
    for item, part in (("1", ""), ("1", ""), ("1", "a"), ("1", "a"), ("1", "b"), ("2", "a")):
        put(grant, finance, Kind.DOWNLOADED, item, part=part)
    put(grant, finance, Kind.LISTED, count=5, new_names=5, listed_ids=b"names")
    put(grant, finance, Kind.LISTED, count=5, new_names=2, listed_ids=b"names")
    # A row of the previous version, whose names were not stored.
    put(grant, finance, Kind.LISTED, count=3)
    put(grant, None, Kind.VIEW_ALLOWED)
    put(grant, None, Kind.REPORTED, "path", count=40)
    put(grant, None, Kind.REPORTED, "path", count=2)
    put(grant, finance, Kind.FAILED, "1")
    put(grant, finance, Kind.CUT, "1")
    found = {one.resource_id: one for one in access.looks_by_resource([grant.pk])}
    assert found.keys() == {finance.pk, other.pk, None}
    one = found[finance.pk]
    assert (one.opened, one.downloaded, one.attachments) == (2, 1, 3)
    assert (one.listed, one.lists, one.failed) == (10, 3, 2)
    assert (one.allowed, one.reported, one.kind) == (0, 0, finance.kind)
    assert one.last_at == grant.content_accesses.filter(resource=finance).latest("at").at
    assert (found[other.pk].opened, found[other.pk].taken) == (1, 1)
    assert (found[None].allowed, found[None].reported, found[None].kind) == (43, 42, None)


def test_the_accesses_of_any_number_of_windows_are_counted(cast: Cast) -> None:
    first, second = cast.opened(), cast.opened("fabrikam")
    put(first, cast.resource(), Kind.OPENED, "1")
    put(second, cast.resource("fabrikam"), Kind.OPENED, "1")
    others = [uuid.uuid4() for _ in range(150)]
    assert access.looks_by_resource([]) == []
    found = access.looks_by_resource([first.pk, *others, second.pk])
    assert {one.grant_id: one.opened for one in found} == {first.pk: 1, second.pk: 1}


@pytest.mark.postgres
def test_postgresql_sorts_no_accesses(cast: Cast) -> None:
    """Sorting the items of a window takes longer than counting them."""
    grant = cast.opened()
    put(grant, cast.resource(), Kind.OPENED, "1")
    plans: list[str] = []

    def explain(execute: Any, sql: str, params: Any, *rest: Any) -> Any:
        with connection.connection.cursor() as cursor:
            cursor.execute("SET LOCAL enable_sort = off")
            cursor.execute(f"EXPLAIN {sql}", params)
            plans.extend(row[0] for row in cursor.fetchall())
        return execute(sql, params, *rest)

    with connection.execute_wrapper(explain):
        access.looks_by_resource([grant.pk])
    assert any("contentaccess" in step for step in plans)
    assert [step for step in plans if "Sort" in step] == []
