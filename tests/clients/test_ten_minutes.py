"""Runs the programs of the page for the first ten minutes, as they are printed."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from requests_app.words import guard_lines
from tests.docs.documents import Block, blocks, prose
from tests.guard import node
from tests.guard.conftest import until
from tests.guard.fake import FakeLockbox
from tests.ports import free_port
from tests.sources import ROOT

GUIDE = "docs/your-application.md"
#: The values with which the page shows the lines, and words that everybody can read in less than ten minutes.
SHOWN = {
    "issuer": "http://localhost:8000", "service": "quillo", "client_id": "CLIENT_ID", "origin": "http://localhost:8400"
}  # fmt: skip
WORDS_MAX = 500


def _block(language: str, name: str) -> str:
    [found] = [each.text for each in _blocks(language) if each.text.startswith(name)]
    return found


def _blocks(language: str) -> list[Block]:
    return [each for each in blocks(language) if each.document == GUIDE]


def test_the_page_is_short_and_shows_the_lines_of_the_page_with_the_secret() -> None:
    assert len(prose(ROOT / GUIDE).split()) <= WORDS_MAX
    assert _block("python", "# settings.py") == guard_lines.django(SHOWN).strip()
    assert guard_lines.node(SHOWN).strip() in _block("js", "// app.js")


@pytest.fixture
def lockbox() -> Iterator[FakeLockbox]:
    fake = FakeLockbox()
    yield fake
    fake.stop()


#: What the reader's project has already: pages, and the act that begins an impersonation.
_URLS = """
from types import SimpleNamespace
from django.http import HttpResponse
from django.urls import path


def log_in_as(request):
    engineer = SimpleNamespace(email="priya.nair@provider.example")
    {line}
    return HttpResponse("begun")


def home(request):
    return HttpResponse("The plan of the customer" if "support" in request.session else "Your own page")


urlpatterns = [path("log-in-as/ws-1041", log_in_as), path("sign-in", home, name="login"), path("", home)]
"""


def _django(place: Path, filled: Callable[[str], str]) -> list[str]:
    """Make a new project, and paste what the page shows. Return the command that serves it."""
    subprocess.run([sys.executable, "-m", "django", "startproject", "shop", place], check=True)
    settings, wsgi = filled(_block("python", "# settings.py")).split("# wsgi.py, at the end")
    for name, more in (("settings.py", settings), ("wsgi.py", wsgi)):
        _append(place / "shop" / name, more)
    (place / "lockbox_rules.py").write_text(_block("python", "# lockbox_rules.py"))
    (place / "shop" / "urls.py").write_text(_URLS.format(line=_block("python", 'request.session["support"]')))
    # The form that begins an impersonation has a token of the project. A test needs none.
    settings = (place / "shop" / "settings.py").read_text().replace('"django.middleware.csrf.CsrfViewMiddleware",', "")
    (place / "shop" / "settings.py").write_text(settings.replace("'django.middleware.csrf.CsrfViewMiddleware',", ""))
    subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity=0"], cwd=place, check=True, env=_environment())
    return [sys.executable, "manage.py", "runserver", "--noreload", "8400"]


def _append(path: Path, more: str) -> None:
    path.write_text(f"{path.read_text()}\n{more}")


def _express(place: Path, filled: Callable[[str], str]) -> list[str]:
    program = node.program()
    (place / "node_modules").mkdir()
    for name in ("express", "express-session"):
        (place / "node_modules" / name).symlink_to(node.PACKAGES / name)
    (place / "node_modules" / "lockbox-guard").symlink_to(node.GUARD)
    (place / "app.mjs").write_text(filled(_block("js", "// app.js")))
    return [program, "app.mjs"]


def _environment() -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "clients" / "guard-python"),
        "LOCKBOX_CLIENT_SECRET": "secret", "SESSION_SECRET": "s" * 40,
    }  # fmt: skip


class _Browser:
    """Keeps cookies, also secure ones: browsers do that on localhost."""

    def __init__(self, port: int) -> None:
        self.port, self.cookies = port, dict[str, str]()

    def __call__(self, path: str, method: str = "GET") -> tuple[int, str]:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        with contextlib.closing(http.client.HTTPConnection("localhost", self.port, timeout=20)) as connection:
            connection.request(method, path, headers={"Accept": "text/html", "Cookie": cookie})
            answer = connection.getresponse()
            for header in answer.headers.get_all("Set-Cookie", []):
                name, _, value = header.partition(";")[0].partition("=")
                self.cookies[name] = value
            return answer.status, answer.read().decode()


@contextmanager
def _running(command: list[str], place: Path, port: int) -> Iterator[_Browser]:
    with (place / "output").open("w") as output:
        process = subprocess.Popen(command, cwd=place, env=_environment(), stdout=output, stderr=output)
    try:
        browser = _Browser(port)
        until(lambda: process.poll() is not None or _answers(browser), 30)
        assert process.poll() is None, (place / "output").read_text()
        yield browser
    finally:
        process.kill()
        process.wait()


def _answers(browser: _Browser) -> bool:
    with contextlib.suppress(OSError):
        return json.loads(browser("/.lockbox/status")[1]) == {"open": False}
    return False


@pytest.mark.timed
@pytest.mark.parametrize("made", [_django, _express])
def test_the_lines_of_the_page_guard_a_new_application(
    lockbox: FakeLockbox, tmp_path: Path, made: Callable[[Path, Callable[[str], str]], list[str]]
) -> None:
    port = free_port()

    def filled(text: str) -> str:
        for shown, value in ((SHOWN["issuer"], lockbox.issuer), ("CLIENT_ID", "shop"), ("8400", str(port))):
            text = text.replace(shown, value)
        return text

    command = [filled(word) for word in made(tmp_path, filled)]
    with _running(command, tmp_path, port) as browser:
        until(lambda: lockbox.streams)
        assert browser("/") == (200, "Your own page")  # a customer: nothing is asked
        browser("/log-in-as/ws-1041", "POST")
        assert browser("/sign-in")[0] != 401
        status, page = browser("/")
        assert (status, "Open it from your window in Customer Lockbox." in page) == (401, True)
        assert browser("/") == (200, "Your own page")  # the session has ended
        browser("/log-in-as/ws-1041", "POST")
        detail = {"identifier": "ws-1041", "level": "act_as", "actions": ["list", "view", "read", "download", "act_as"]}
        browser.cookies["__Host-lockbox"] = lockbox.token(detail=detail, email="priya.nair@provider.example")
        assert browser("/") == (200, "The plan of the customer")
        lockbox.close(lockbox.grant)
        status, page = until(lambda: (found := browser("/"))[0] == 403 and found)
        assert "Your window is closed." in page
        assert browser("/") == (200, "Your own page")
        [reported] = until(lambda: list(lockbox.reports.values()))
        assert until(lambda: {each["item"] for each in reported if each["kind"] == "access"}) == {"GET /"}
