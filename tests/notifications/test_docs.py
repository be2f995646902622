"""The document about mail lists every topic, and its numbers are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

from django.conf import settings

from requests_app.domain import limits
from requests_app.messages.mails import _several
from requests_app.messages.topics import Topic
from requests_app.work import outbox

PAGE = (Path(settings.BASE_DIR) / "docs" / "mail.md").read_text(encoding="utf-8")


def test_every_topic_has_a_row() -> None:
    table = PAGE.partition("## Which")[2].partition("## How")[0]
    assert re.findall(r"(?m)^\| `(\w+)`", table) == [topic.purpose for topic in Topic]


def test_the_numbers_are_the_codes() -> None:
    minutes = [wait.total_seconds() / 60 for wait in outbox.BACK_OFF]
    assert minutes == [0.5, 2, 10, 30, 60, 120, 240]
    assert "30 s, 2 min, 10 min, 30 min, 1 h, 2 h, then every 4 h" in PAGE
    assert f"parked after {outbox.MOST_ATTEMPTS} attempts" in PAGE
    seconds = settings.EMAIL_TIMEOUT
    assert f"hangs ({seconds} s for the connection and the login, {2 * seconds} s for a mail)" in PAGE
    assert f"waits for {outbox.REST.seconds} s" in PAGE
    assert outbox.LEASE.seconds == 120
    assert "most three mails of one topic and tenant within 15 minutes" in PAGE
    assert (limits.MAILS_AT_ONCE, limits.GROUPED_FOR.seconds) == (3, 15 * 60)
    assert f"lists up to {_several.LISTED}" in PAGE
