"""What `bin/bench` measures behind a window is what it names. Nothing here depends on how long something takes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from audit_app.models import AuditEntry
from bench import gates, guards, product, reported
from requests_app.models import ContentAccess
from tests.cast import PROXY_SECRET, Cast
from tests.guards import guard


class Bar:
    """Takes the place of the bar that shows the progress."""

    def add_task(self, name: str, total: int) -> int:
        return 0

    def advance(self, task: int) -> None:
        pass

    def update(self, task: int, *, completed: int) -> None:
        pass


@pytest.mark.django_db
def test_each_report_of_the_benchmark_is_taken_in_whole(cast: Cast) -> None:
    windows = [cast.in_quillo(), cast.in_quillo()]
    caller = guard(cast)
    for number, body in enumerate(reported._bodies(windows, 2), start=1):
        found = caller.post("guard/accesses", json.loads(body))
        assert (found.status_code, found.json()) == (200, {"acknowledged": number * 1000, "rejected": 0})
    details = [
        json.loads(bytes(row.canonical))["detail"] for row in AuditEntry.objects.filter(event__contains="report")
    ]
    assert sum(detail["count"] for detail in details) == 2000


@pytest.mark.django_db
def test_a_session_of_the_benchmark_passes_the_gate_and_each_request_is_recorded(cast: Cast) -> None:
    cast.web_tool()
    cast.proxy()
    secret = gates.session_of(cast.in_quillo())
    about = {"Original-Method": "GET", "Original-URI": "/tenants/7/pages", "Original-Host": "quillo.example"}
    headers = {f"X-{name}": text for name, text in about.items()} | {"X-Lockbox-Proxy": PROXY_SECRET}
    for cookie, status, accesses in (("guessed", 401, 0), (secret, 200, 1), (secret, 200, 2)):
        with_cookie = {**headers, "Cookie": f"__Host-lockbox={cookie}"}
        assert Client().get("/forward-auth/original", headers=with_cookie).status_code == status
        assert ContentAccess.objects.count() == accesses


@pytest.mark.django_db
def test_both_guards_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    monkeypatch.setattr(guards, "FIRSTS", 5)
    results, missing = guards.run(20, with_peers=False, bar=Bar())
    assert missing == []
    assert len({result.name for result in results}) == 6
    measured = {result.name: len(result.seconds) for result in results}
    assert [measured[name] for name in measured if "decision" in name and "first" not in name] == [20] * 4


def test_processor_time_is_that_of_the_process() -> None:
    before = product.used(os.getpid())
    sum(number * number for number in range(3_000_000))
    assert product.used(os.getpid()) > before
    gone: Any = 2**22 + 1  # above the largest number of a process
    assert product.used(gone) == 0
