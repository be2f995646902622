"""Django, Flask, FastAPI and a WebSocket in processes of their own, behind the guard."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from tests.guard.conftest import until
from tests.guard.fake import ADDRESS, FakeLockbox
from tests.guard.test_feed import GRANT
from tests.guard.test_web import Response
from tests.ports import free_port
from tests.stopwatch import in_time

pytestmark = pytest.mark.timed

ROOT = Path(__file__).parents[2]
KINDS = ["django", "django-asgi", "flask", "fastapi"]
PATTERNS = {"flask": "/w/<pk>/pages/<int:number>/", "fastapi": "/w/{pk}/pages/{number}/"}


@pytest.fixture
def serve(lockbox: FakeLockbox, tmp_path: Path) -> Iterator[Callable[[str], int]]:
    processes: list[subprocess.Popen[bytes]] = []

    def start(kind: str) -> int:
        port = free_port()
        env = os.environ | {"PYTHONPATH": f"{ROOT / 'clients' / 'guard-python'}{os.pathsep}{ROOT}"}
        words = [sys.executable, "-m", "tests.guard.apps", kind, str(port), lockbox.issuer, str(tmp_path / "queue")]
        log = (tmp_path / "log").open("wb")
        processes.append(subprocess.Popen(words, cwd=ROOT, env=env, stdout=log, stderr=log))
        log.close()
        until(lambda: answers(port), 30)
        return port

    def answers(port: int) -> bool:
        assert processes[-1].poll() is None, (tmp_path / "log").read_text()
        try:
            return Response(port, "/free").status > 0
        except ConnectionError:
            return False

    yield start
    for process in processes:
        process.kill()
        process.wait()
    for response in Response.made:
        response.answer.close()
        response.connection.close()
    Response.made.clear()


@pytest.mark.parametrize("kind", KINDS)
def test_an_application_is_guarded(serve: Callable[[str], int], lockbox: FakeLockbox, kind: str) -> None:
    port, token = serve(kind), lockbox.token()
    assert b"free" in Response(port, "/free", token).read()
    page = "/w/w-17/pages/7/"
    assert Response(port, page, X_Engineer=ADDRESS).code() == "no_token"
    assert Response(port, page, token).code() == "other_engineer"
    assert Response(port, page, token, X_Engineer="omar@provider.example").code() == "other_engineer"
    assert Response(port, page.replace("17", "18"), token, X_Engineer=ADDRESS).code() == "out_of_scope"
    assert Response(port, page, token, "POST", X_Engineer=ADDRESS).code() == "level_too_low"
    response = Response(port, page, token, X_Engineer=ADDRESS)
    assert (response.status, b"AR-1" in response.read()) == (200, True)
    assert response.headers["Cache-Control"] == "private, no-store"
    assert Response(port, "/.lockbox/status", token).status == 200
    until(lambda: len(lockbox.accesses) == 5)
    pattern = PATTERNS.get(kind, "/w/<str:pk>/pages/<int:number>/")
    assert [(one["kind"], one["item"]) for one in lockbox.accesses] == [
        *[("refused", f"GET {pattern}")] * 3, ("refused", f"POST {pattern}"), ("access", f"GET {pattern}"),
    ]  # fmt: skip
    assert "pages/7" not in str(lockbox.bodies)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_of_an_application_is_cut(serve: Callable[[str], int], lockbox: FakeLockbox, kind: str) -> None:
    response = Response(serve(kind), "/w/w-17/trickle", lockbox.token(), X_Engineer=ADDRESS)
    assert response.answer.read1(100)
    lockbox.close(GRANT)
    begun = time.monotonic()
    response.rest()
    in_time(time.monotonic() - begun < 1)
    until(lambda: [one["kind"] for one in lockbox.accesses] == ["access", "cut"])


def test_a_view_can_have_its_own_rule(serve: Callable[[str], int], lockbox: FakeLockbox) -> None:
    port = serve("django")
    assert Response(port, "/marked", lockbox.token(), X_Engineer=ADDRESS).read() == b"list"
    assert Response(port, "/marked", X_Engineer=ADDRESS).code() == "no_token"


def test_a_killed_application_reports_after_its_restart(serve: Callable[[str], int], lockbox: FakeLockbox) -> None:
    lockbox.is_reporting_down = True
    port = serve("flask")
    assert Response(port, "/w/w-17/pages/7/", lockbox.token(), X_Engineer=ADDRESS).status == 200
    lockbox.is_reporting_down = False
    port = serve("flask")
    assert Response(port, "/w/w-17/pages/8/", lockbox.token(), X_Engineer=ADDRESS).status == 200
    until(lambda: len(lockbox.accesses) == 2)
    assert len(lockbox.reports) == 1


def test_a_websocket_is_closed_when_the_grant_ends(serve: Callable[[str], int], lockbox: FakeLockbox) -> None:
    port = serve("socket")

    async def follow(path: str, token: str) -> tuple[float, int | None]:
        headers = {"Lockbox-Grant": token}
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(f"ws://127.0.0.1:{port}{path}", headers=headers) as websocket,
        ):
            assert (await websocket.receive()).data == "tick"
            lockbox.close(GRANT)
            begun = time.monotonic()
            async for _ in websocket:
                pass
            return time.monotonic() - begun, websocket.close_code

    with pytest.raises(aiohttp.WSServerHandshakeError):
        asyncio.run(follow("/w/17/socket", lockbox.token()))  # it can change things, so "view" is not enough
    seconds, code = asyncio.run(follow("/w/17/watch", lockbox.token()))
    assert code == 1008
    in_time(seconds < 1, seconds)
    until(lambda: [one["kind"] for one in lockbox.accesses] == ["refused", "access", "cut"])
