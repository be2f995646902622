"""The document for integrators lists every event, has the numbers of the code, and its examples work."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from requests_app.domain import clock
from requests_app.domain.events import TITLES
from requests_app.messages.webhooks import messages, schedule, standard
from requests_app.operations import _receivers, webhooks
from requests_app.platform import outbound
from requests_app.work.webhooks import delivery, tidying
from tests.docs.documents import blocks

PAGE = (Path(settings.BASE_DIR) / "docs" / "webhooks.md").read_text(encoding="utf-8")
UNITS = {"second": 1, "minute": 60, "hour": 3600}


def table(heading: str) -> list[list[str]]:
    part = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = re.findall(r"^\|(.*)\|$", part, flags=re.MULTILINE)
    return [[cell.strip() for cell in line.split("|")] for line in lines[2:]]


def test_every_event_has_its_row() -> None:
    assert table("Events") == [[f"`{event}`", str(words)] for event, words in TITLES.items()]


def test_the_steps_are_the_codes() -> None:
    rows = table("When it fails")
    assert [int(number) for number, _wait in rows] == list(range(1, schedule.MOST_ATTEMPTS + 1))
    waits = []
    for _number, wait in rows[1:]:
        amount, unit = wait.split()
        waits.append(int(amount) * UNITS[unit.removesuffix("s")])
    assert waits == [step.total_seconds() for step in schedule.STEPS]
    assert schedule.JITTER == 0.1


def test_the_numbers_are_the_codes() -> None:
    assert outbound.TOTAL_SECONDS == 15
    assert outbound.MOST_BODY == 64 * 1024
    assert f"first {delivery.ANSWER_STORED} characters" in PAGE
    assert webhooks.FORMER_FOR.total_seconds() == 24 * 3600
    assert _receivers.CATCH_UP.days == 3
    assert f"kept for {tidying.DELETED_AFTER.days} days" in PAGE
    assert webhooks.MOST_WEBHOOKS == 10
    assert standard.MOST_BODY == 20_000
    assert messages.TEST in PAGE


@pytest.mark.parametrize("name", ["received", "check"])
def test_the_code_for_receivers_checks_what_is_sent(name: str) -> None:
    [block] = [each for each in blocks("python") if each.document == "docs/webhooks.md" and f"def {name}" in each.text]
    scope: dict[str, Any] = {}
    exec(compile(block.text, "webhooks.md", "exec"), scope)
    keys, body = standard.Keys.new(), b'{"type":"grant.closed"}'
    headers = standard.headers("msg_1", clock.now(), body, [standard.Keys.new(), keys])
    if name == "received":
        assert scope[name](keys.whsec, headers, body) == {"type": "grant.closed"}
    else:
        assert scope[name](keys.whpk, headers, body)
        assert not scope[name](keys.whpk, headers, body + b" ")
        assert not scope[name](standard.Keys.new().whpk, headers, body)
