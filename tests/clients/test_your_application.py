"""Follows the page for developers of an application, from the first line to the last."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

import lockbox_guard.django
from requests_app.models import AccessRequest, Service, Ticket
from tests.cast import Cast
from tests.docs.documents import blocks
from tests.docs.walk import walking
from tests.guard.test_with_lockbox import _looking as _looking  # noqa: PLC0414 (a fixture that pytest finds by its name)
from tests.ports import free_port
from tests.sources import ROOT

GUIDE = "docs/your-application-in-detail.md"
EXAMPLE = ROOT / "clients" / "guard-python" / "example" / "quillo"
_MARKED = re.compile(r"\n# --- The guard: [^\n]* ---\n(.*?)\n# --- to here ---", re.DOTALL)


def ten_lines() -> list[str]:
    """Return the lines of the guard in the example."""
    files = [(EXAMPLE / name).read_text() for name in ("settings.py", "wsgi.py", "support.py")]
    return [line for text in files for marked in _MARKED.findall(text) for line in marked.split("\n") if line]


def test_the_guard_is_ten_lines_of_the_example_and_the_guide_shows_them() -> None:
    assert len(ten_lines()) == 10
    [shown] = [block.text for block in blocks("python") if block.document == GUIDE and "LOCKBOX_RULES" in block.text]
    assert [line for line in shown.split("\n") if line] == ten_lines()
    # The rest of the recipe relies on this name.
    assert "request.lockbox_refused = refused.code" in Path(str(lockbox_guard.django.__file__)).read_text()


@pytest.mark.slow
@pytest.mark.real_clock
@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_the_guide_leads_a_developer_to_an_access_request(
    cast: Cast, as_: Callable[..., dict[str, str]], live_server: LiveServer, settings: object, tmp_path: Path
) -> None:
    settings.BASE_URL = live_server.url  # type: ignore[attr-defined]  # the fixture of pytest-django
    cast.with_act_as()
    environment = _environment(cast, as_("ada"), tmp_path)
    with walking(GUIDE, tmp_path / "shell", environment) as walk:
        shown = walk.until("DESK_TOKEN")
        assert "as priya@provider.example, with the password" in shown
        with urllib.request.urlopen(f"http://localhost:{environment['PORT']}/sign-in/") as answer:
            assert "form-action 'self' http://" in answer.headers["Content-Security-Policy"]
        assert not (tmp_path / "shell" / "quillo" / "data" / "lockbox").exists()
        for kind, ask in (("flask", _OF_FLASK), ("fastapi", _OF_FASTAPI)):
            assert (
                _answers(tmp_path / "shell", environment | {"QUILLO_ORIGIN": "http://localhost:9"}, kind, ask)
                == "200 401"
            )
        shown = walk.rest()
    assert shown == "PENDING_PROVIDER\n"
    ticket = Ticket.objects.get(external_reference="ZD-4712")
    row = AccessRequest.objects.get()
    assert (row.ticket, row.requested_by, row.level, ticket.assignee) == (ticket, cast.priya, "view", cast.priya)


#: The pages of a customer's own session are free, and those of an impersonated one are refused without a window.
_OF_FLASK = """
from flask_app import app
customer, engineer = app.test_client(), app.test_client()
engineer.post("/impersonate")
print(customer.get("/pages/plan").status_code, engineer.get("/pages/plan").status_code)
"""
_OF_FASTAPI = """
import base64, json, os
from itsdangerous import TimestampSigner
from starlette.testclient import TestClient
from fastapi_app import app
said = base64.b64encode(json.dumps({"impersonated_workspace": "7", "engineer": "priya@provider.example"}).encode())
session = TimestampSigner(os.environ["QUILLO_SECRET_KEY"]).sign(said).decode()
customer, engineer = TestClient(app), TestClient(app, cookies={"session": session})
print(customer.get("/pages/plan").status_code, engineer.get("/pages/plan").status_code)
"""


def _answers(place: Path, environment: dict[str, str], kind: str, ask: str) -> str:
    words = [sys.executable, "-W", "ignore", "-c", ask]
    run = subprocess.run(
        words, cwd=place, env=environment | {"QUILLO_SECRET_KEY": "k" * 50}, capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, (kind, run.stderr)
    return run.stdout.strip().split("\n")[-1]


def _environment(cast: Cast, inherited: dict[str, str], place: Path) -> dict[str, str]:
    """Return the variables that staff give to a developer. `python` is this run's."""
    programs = place / "programs"
    programs.mkdir()
    (programs / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (programs / "python").chmod(0o755)
    guard = cast.guard(Service.objects.get(key="quillo"))
    scopes = ["tenant:read", "tickets:read", "tickets:write", "requests:read", "requests:submit"]
    desk = cast.own_client("Quillo support", scopes)
    return {
        "PATH": f"{programs}:{inherited['PATH']}", "PYTHONPATH": str(ROOT / "clients" / "guard-python"),
        "HOME": inherited["HOME"], "LANG": "C.UTF-8", "PORT": str(free_port()), "LOCKBOX_SOURCE": str(ROOT),
        "LOCKBOX_URL": inherited["LOCKBOX_URL"], "TENANT": inherited["TENANT"], "WORKSPACE": "7",
        "LOCKBOX_CLIENT_ID": str(guard.row.pk), "LOCKBOX_CLIENT_SECRET": guard.secret,
        "LOCKBOX_DESK_ID": str(desk.row.pk), "LOCKBOX_DESK_SECRET": desk.secret, "ENGINEER": "priya@provider.example",
    }  # fmt: skip
