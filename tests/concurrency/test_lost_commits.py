"""The connection to PostgreSQL breaks at COMMIT: what pages and the API answer, and what a second attempt does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from threading import Event
from typing import Any

import pytest
from django.db import connection

from audit_app.models import AuditEntry
from requests_app.models import Decision
from requests_app.operations import _change
from tests.caller import Caller, token_of
from tests.cast import Cast
from tests.concurrency.test_races import at_once
from tests.parity.test_unknown_outcome import WORDS, words_of
from tests.web.pages import answer, page_of, signed_in
from tests.wire import AtCommit, Wire, through

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

BREAKS = [AtCommit.LOSE_ANSWER, AtCommit.LOSE_REQUEST]


@pytest.fixture
def world(transactional_db: None, cast: Cast) -> Cast:
    return cast


@pytest.fixture
def wire(world: Cast) -> Iterator[Wire]:
    parts = connection.settings_dict
    with Wire(parts["HOST"] or "127.0.0.1", int(parts["PORT"] or 5432)) as made, through(made, connection):
        yield made


def breaking(wire: Wire, monkeypatch: pytest.MonkeyPatch, how: AtCommit) -> Any:
    """Break the database connection at the COMMIT of the next act."""
    context, plain = monkeypatch.context(), _change._post

    def post(current: Any) -> None:
        plain(current)
        wire.next_commit = how

    losing = context.__enter__()
    losing.setattr(_change, "_post", post)
    return context


@pytest.mark.parametrize("how", BREAKS)
def test_an_approval_over_the_api_is_made_once(
    world: Cast, wire: Wire, monkeypatch: pytest.MonkeyPatch, how: AtCommit
) -> None:
    row, ada = world.confirmed(), Caller(token_of(world, "ada"))
    tag = ada.get(f"access-requests/{row.pk}")["ETag"]
    context = breaking(wire, monkeypatch, how)
    found = ada.post(f"access-requests/{row.pk}/approve", {}, If_Match=tag, Idempotency_Key="one")
    context.__exit__(None, None, None)
    assert (found.status_code, found.json()["code"], found.json()["title"]) == (503, "outcome_unknown", WORDS)
    again = ada.post(f"access-requests/{row.pk}/approve", {}, If_Match=tag, Idempotency_Key="one")
    assert (again.status_code, again.json()["state"]) == (200, "OPEN")
    assert Decision.objects.filter(access_request=row, stage="customer").count() == 1
    assert AuditEntry.objects.filter(event="access_request.approved_by_customer").count() == 1


@pytest.mark.parametrize("how", BREAKS)
@pytest.mark.parametrize("once", ["", "x"])
def test_an_approval_on_a_page_is_made_once(
    world: Cast, wire: Wire, monkeypatch: pytest.MonkeyPatch, how: AtCommit, once: str
) -> None:
    row, ada = world.confirmed(), signed_in(world, "ada")
    form = answer(row, "deny", comment="Not now.", **({"once": once} if once else {}))
    context = breaking(wire, monkeypatch, how)
    found = ada.post(page_of(row, "decide", "deny"), form)
    context.__exit__(None, None, None)
    if found.status_code == 302:
        # The page asked the database again, and it answered.
        assert (once, how) == ("x", AtCommit.LOSE_ANSWER)
    else:
        assert (found.status_code, WORDS in words_of(found)) == (503, True)
    assert ada.post(page_of(row, "decide", "deny"), form).status_code == 302
    assert Decision.objects.filter(access_request=row, stage="customer").count() == 1
    assert AuditEntry.objects.filter(event="access_request.denied_by_customer").count() == 1


def test_a_form_that_gives_up_waiting_for_its_first_try_does_not_know(
    world: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    row, browsers = world.confirmed(), [signed_in(world, "ada") for _ in range(2)]
    form, page, holds = answer(row, "deny", comment="Not now.", once="x"), page_of(row, "decide", "deny"), Event()
    plain = _change._post

    def post(current: Any) -> None:
        plain(current)
        holds.set()
        time.sleep(2)

    def first() -> Any:
        return browsers[0].post(page, form)

    def second() -> Any:
        assert holds.wait(120)
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '200ms'")
        return browsers[1].post(page, form)

    monkeypatch.setattr(_change, "_post", post)
    saved, unsure = at_once(first, second)
    assert saved.status_code == 302
    assert (unsure.status_code, WORDS in words_of(unsure)) == (503, True)
    assert Decision.objects.filter(access_request=row, stage="customer").count() == 1
