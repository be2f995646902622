"""Each test of the API gets a function that makes callers, and quotas that nobody has used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections

from audit_app import checkpoints
from requests_app import operations
from requests_app.domain import clock
from requests_app.doors.api import events, quota
from tests.caller import Caller, caller_for
from tests.cast import Cast
from tests.conftest import IS_DEEP

#: Collecting this file makes its cases, which takes seconds in each process. Only `bin/test deep` runs them.
collect_ignore = [] if IS_DEEP else ["test_random_calls.py"]


@pytest.fixture
def calling(cast: Cast) -> Callable[..., Caller]:
    """Return a function that makes callers of the API.

    `calling("ada", Scope.REQUESTS_READ)` is a person with this scope, `calling("contoso")` is a client of this tenant,
    and `calling(None)` is a client of the provider.
    """
    return partial(caller_for, cast)


@pytest.fixture(autouse=True)
def _quotas_are_full() -> None:
    quota.CALLS.clear()


@contextmanager
def connections_stay_open() -> Iterator[None]:
    """Keep database connections open in the block.

    A WSGI call would close them, and with them the test's transaction. Don't use Django's test client inside
    the block: after its call, WSGI calls close the connections again.
    """
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "pause", lambda seconds: None)


@pytest.fixture
def ids_in_paths(cast: Cast) -> dict[str, Any]:
    """Return, for each kind of id that a path can contain, the id of one of Contoso's rows."""
    pending, grant = cast.confirmed(), cast.opened()
    client = operations.create_client(
        tenant_id=cast.contoso.pk, name="SIEM", scopes=["log:read"], actor=cast.as_("ines")
    ).row
    hook = operations.add_webhook(
        cast.contoso.pk, url="https://hooks.example/in", events=["*"], actor=cast.as_("ines")
    ).webhook
    message = operations.send_webhook_test(hook.pk, actor=cast.as_("ines"))
    address = operations.add_address(cast.contoso.pk, email="soc@contoso.example", actor=cast.as_("ines"))
    checkpoint = checkpoints.sign(cast.contoso.pk, at=clock.now())
    assert checkpoint is not None
    return {
        "old": 1,
        "new": checkpoint.size,
        "webhooks": hook.pk,
        "message": message.pk,
        "tenant": cast.contoso.pk,
        "subscription": cast.contoso.pk,
        "requests": pending.pk,
        "access-requests": pending.pk,
        "clients": client.pk,
        "tickets": pending.ticket_id,
        "comment": operations.comment(pending.ticket_id, body="Still so.", actor=cast.as_("mia")).pk,
        "grants": grant.pk,
        "seq": 1,
        "person": cast.mia.pk,
        "address": address.pk,
        "resource": cast.resource().pk,
        "services": cast.exchange.pk,
    }
