"""On PostgreSQL no statement of the web server's takes for ever, and nobody waits for ever for a lock."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as project
from django.db import OperationalError, connection, transaction
from django.db.backends.signals import connection_created
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from lockbox_site import statements
from requests_app.models import Plan
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
    """As in a web server that is out of patience after a second."""
    settings.STATEMENT_SECONDS = 1
    monkeypatch.setattr(statements, "LOCK_SECONDS", 1)
    statements.bound()
    yield
    connection_created.disconnect(dispatch_uid="statements")
    connection.close()


@pytest.mark.urls(__name__)
@pytest.mark.usefixtures("bounded")
def test_a_statement_that_takes_too_long_is_a_503_and_nothing_is_done() -> None:
    answer = Client(raise_request_exception=False).get("/costly", headers={"Accept": "application/json"})
    assert (answer.status_code, answer["Retry-After"]) == (503, "5")
    assert "statement" not in answer.content.decode()
    assert not Plan.objects.exists()


def test_who_waits_for_a_lock_too_long_gives_up_what_it_holds(settings: Any, bounded: None) -> None:
    settings.STATEMENT_SECONDS = 60
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
        assert is_held.wait(60)
        with pytest.raises(OperationalError, match="lock timeout"):
            change_all(second, first)
    finally:
        may_end.set()
        holder.join(timeout=60)
    assert set(Plan.objects.values_list("name", flat=True)) == {"First", "Second"}


@transaction.atomic
def change_all(*plans: Plan) -> None:
    for plan in plans:
        Plan.objects.filter(pk=plan.pk).update(name="Changed")


_SHOWN = """
import django; django.setup()
from django.db import connection
def shown():
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('statement_timeout'), current_setting('lock_timeout')")
        return cursor.fetchone()
before = shown()
import lockbox_site.rsgi
print(*before, *shown())
"""


def test_the_web_server_bounds_its_statements_and_a_command_does_not(tmp_path: Path) -> None:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    # With DEBUG no static files need be collected.
    own = {"DJANGO_SETTINGS_MODULE": "lockbox_site.settings", "DATABASE_URL": database_url(), "DATA_DIR": str(tmp_path)}
    own["DEBUG"] = "on"
    done = subprocess.run(
        [sys.executable, "-c", _SHOWN], cwd=project.BASE_DIR, env={**kept, **own}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["0", "0", f"{project.STATEMENT_SECONDS}s", f"{statements.LOCK_SECONDS}s"]
