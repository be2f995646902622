"""The proxy for web tools as a process of its own: killed, stopped, and watched."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from django.conf import settings
from django.test import override_settings

from lockbox_site import readiness
from requests_app.domain import clock
from requests_app.models import Grant, Heartbeat, Service
from requests_app.work import supervisor
from tests.cast import Cast
from tests.grant_tokens import grant_token
from tests.ports import free_port
from tests.proxies import tool_stand
from tests.proxies.tool_stand import Held, Tool, ask
from tests.tasks.conftest import Start, wait_for

pytestmark = [pytest.mark.real_clock, pytest.mark.django_db(transaction=True), pytest.mark.timeout(120)]


@pytest.fixture
def tool() -> Iterator[Tool]:
    with tool_stand.tool() as found:
        yield found


@pytest.fixture
def grant(cast: Cast, tool: Tool) -> Grant:
    cast.web_tool(gate_rules="view GET /tenants/{resource}/**", gate_upstream=tool.address)
    return cast.in_quillo()


def test_a_killed_proxy_ends_everything_and_starts_again(start: Start, tool: Tool, grant: Grant) -> None:
    port, token = free_port(), {"Lockbox-Grant": grant_token(grant)}
    of = {"TOOL_PROXY_PORT": str(port), "BASE_URL": settings.BASE_URL, "SECRET_KEY": settings.SECRET_KEY}
    for number in (signal.SIGKILL, signal.SIGTERM):
        running = start("tool_proxy", **of)
        wait_for(lambda: Heartbeat.objects.tool_proxies().exists(), within=60)
        assert ask(port, "/tenants/7/x", **token).status == 200
        sized, chunked = (Held(port, f"/tenants/7/{name}", **token) for name in ("sized", "download"))
        assert sized.has(10_000)
        assert chunked.has(10_000)
        running.process.send_signal(number)
        running.process.wait(15)
        for held in (sized, chunked):
            held.wait()
            # The length says that bytes are missing, or the last chunk is.
            assert held.end
        wait_for(lambda: tool.ended >= 2, within=5)
        Heartbeat.objects.all().delete()
        tool.ended = 0


def test_the_probe_misses_the_proxy_only_if_a_tool_needs_it(cast: Cast) -> None:
    assert readiness.run_checks(["tools"]) == {"tools": {"ok": True}}
    Service.objects.filter(pk=cast.web_tool().pk).update(gate_upstream="https://quillo.internal")
    assert readiness.run_checks(["tools"])["tools"]["ok"] is False
    Heartbeat.objects.create(name="tools:here", at=clock.now(), pid=1)
    assert readiness.run_checks(["tools"])["tools"]["ok"] is True


def test_the_supervisor_runs_the_proxy_and_watches_its_heartbeat() -> None:
    [part] = supervisor.child_processes(web=False, beat=False, clusters=0, tools=True)
    assert part.label == "tools"
    assert "tool_proxy" in part.command
    assert part.heartbeat.startswith("tools:")
    with override_settings(TOOL_PROXY_PORT=8002):
        assert supervisor.child_processes(web=False, beat=False, clusters=0) == []
