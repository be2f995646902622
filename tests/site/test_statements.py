"""On PostgreSQL, each statement of the web server has a time limit, and so has each wait for a lock."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as project
from django.db import OperationalError, connection, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from lockbox_site import statements
from requests_app.models import Plan
from requests_app.platform.database import bounds
from tests.ground import database_url

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


@transaction.atomic
def costly(request: HttpRequest) -> HttpResponse:
    Plan.objects.create(name="Half done")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_sleep(60)")
    return HttpResponse()


urlpatterns = [path("costly", costly)]
handler500 = "lockbox_site.views.server_error"


@pytest.fixture
def bounded(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Set the limits of a web server, each to one second."""
    monkeypatch.setattr(bounds, "ACT_SECONDS_OF_SERVER", 1)
    settings.STATEMENT_SECONDS = 1
    statements.bound()
    yield
    bounds.of_process(bounds.COMMAND)
    connection.close()


@pytest.mark.urls(__name__)
@pytest.mark.usefixtures("bounded")
def test_a_statement_that_takes_too_long_is_a_503_and_nothing_is_done() -> None:
    answer = Client(raise_request_exception=False).get("/costly", headers={"Accept": "application/json"})
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert "statement" not in answer.content.decode()
    assert not Plan.objects.exists()


@pytest.mark.usefixtures("bounded")
def test_an_act_that_waits_too_long_for_a_lock_releases_its_locks() -> None:
    bounds.of_process(replace(bounds.current(), act_on_server=60))
    connection.close()
    first, second = Plan.objects.create(name="First"), Plan.objects.create(name="Second")
    is_held, may_end = threading.Event(), threading.Event()

    def hold() -> None:
        with transaction.atomic():
            Plan.objects.select_for_update().get(pk=first.pk)
            is_held.set()
            may_end.wait(100)
        connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert is_held.wait(120)
        with pytest.raises(OperationalError, match="lock timeout"):
            change_all(second, first)
    finally:
        may_end.set()
        holder.join(timeout=120)
    assert set(Plan.objects.values_list("name", flat=True)) == {"First", "Second"}


@transaction.atomic
def change_all(*plans: Plan) -> None:
    for plan in plans:
        Plan.objects.filter(pk=plan.pk).update(name="Changed")


_SHOWN = """
from lockbox_site import starting; starting.collect_rarely()
import django; django.setup()
from django.db import connection, transaction
NAMES = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
def shown():
    with connection.cursor() as cursor:
        cursor.execute("SELECT " + ", ".join(f"current_setting('{name}')" for name in NAMES))
        return cursor.fetchone()
def both():
    with transaction.atomic():
        inside = shown()
    return *shown(), *inside
print(*both())
from django.db import connections
from requests_app.platform.database import bounds
bounds.of_process(bounds.worker(wait_seconds=30))
connections.close_all()
print(*both())
import lockbox_site.rsgi
print(*both())
"""


def test_each_kind_of_process_sets_its_limits_on_the_server(tmp_path: Path) -> None:
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    # With DEBUG, static files need not be collected.
    overrides = {
        "DJANGO_SETTINGS_MODULE": "lockbox_site.settings",
        "DATABASE_URL": database_url(),
        "DATA_DIR": str(tmp_path),
    }
    overrides["DEBUG"] = "on"
    done = subprocess.run(
        [sys.executable, "-c", _SHOWN],
        cwd=project.BASE_DIR,
        env={**inherited, **overrides},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    command, worker, web = (line.split() for line in done.stdout.splitlines())
    assert command == worker == ["0", "0", "0", "0", "0", "10s"]
    assert web == [f"{project.STATEMENT_SECONDS}s", "1800ms", "0", "1800ms", "1800ms", "10s"]
