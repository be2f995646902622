"""Helpers for the tests of pages: sign in, fill in forms, and assert that nothing happened."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app.models import AccessRequest, ContentAccess, Decision, Grant, OutboxMessage
from requests_app.operations import content
from requests_app.platform.database.compiled import CompiledQuery
from tests.cast import PASSWORD, Cast
from tests.factors import anybodys_code, force_login


def signed_in(cast: Cast, name: str, *, fresh: bool = True) -> Any:
    """Return a browser in which this person is signed in. With `fresh`, they have just proved their identity.

    The type is Any, because Django adds attributes to responses at run time.
    """
    client = Client()
    force_login(client, cast.people[name], is_fresh=fresh)
    return client


def page_of(row: AccessRequest, name: str = "access_request", *more: str) -> str:
    return reverse(f"web:{name}", args=[row.pk, *more])


def answer(row: AccessRequest, verdict: str = "approve", /, **fields: Any) -> dict[str, Any]:
    """Return the fields of the form that confirms a decision. Only an approval has the password and a code."""
    shown = {"digest": row.content_digest, "shown": row.state, "comment": ""}
    if verdict == "approve":
        # The code is made now, because it is valid for half a minute and a test may move the clock.
        shown |= {"password": PASSWORD, "code": anybodys_code()}
    return {**shown, **fields}


# Hundreds of tests compare these before and after a request. So their SQL is compiled only once.
_STATES = CompiledQuery(lambda: AccessRequest.objects.order_by("pk").values_list("pk", "state", "decide_by"))
_GRANTS = CompiledQuery(lambda: Grant.objects.order_by("pk").values_list("pk", "closed_at", "close_reason"))
_COUNTED = {"decisions": Decision, "looks": ContentAccess, "outbox": OutboxMessage, "entries": AuditEntry}
_COUNTS = ", ".join(f"(SELECT COUNT(*) FROM {model._meta.db_table})" for model in _COUNTED.values())


def snapshot() -> dict[str, Any]:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {_COUNTS}")
        counts = dict(zip(_COUNTED, cursor.fetchone(), strict=True))
    return {"states": _STATES(), "grants": _GRANTS(), **counts}


@contextmanager
def nothing_happens() -> Iterator[None]:
    before = snapshot()
    yield
    assert snapshot() == before


@contextmanager
def only_a_refusal() -> Iterator[None]:
    """Assert that nothing happens in the block except that the log gets an entry about a refusal."""
    before = snapshot()
    yield
    after = snapshot()
    assert AuditEntry.objects.order_by("-pk")[0].event == "act.refused"
    assert after.pop("entries") == before.pop("entries") + 1
    assert after == before


def queries_of(client: Any, url: str, **headers: str) -> int:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(url, headers=headers).status_code == 200
    return len(captured)


def same_queries(few: Callable[[], object], grow: Callable[[], None]) -> None:
    """Assert that more rows need no more queries. `grow` adds rows.

    `few` opens the page. It returns the number of queries, or a number for each person.
    """
    few()  # The first page of a session also saves when the session began.
    before = few()
    grow()
    after = few()
    assert after == before


def look(cast: Cast, grant: Grant, *items: str, by: str = "priya") -> None:
    """Record accesses to items as the operations do, but without a mailbox."""
    resource = grant.access_request.scope.get().resource
    for item in items:
        content._record(
            grant.pk,
            resource.pk,
            ContentAccess.Kind.OPENED,
            actor=cast.as_(by),
            detail={"item": item},
            item_id=item,
            item_ref=item,
        )
