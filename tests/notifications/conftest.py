"""Send the messages, and find the mail that a test is about."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.core import mail
from django.utils.html import escape

from requests_app import operations
from requests_app.models import Person, Tenant
from requests_app.work import outbox
from tests.cast import Cast

#: A Tuesday in winter: 14:05 in Berlin, 08:05 in New York, 18:35 in Kolkata.
AT = dt.datetime(2026, 11, 24, 13, 5, tzinfo=dt.UTC)


class Mails:
    """The sent mails, found by the name of their recipient."""

    def send(self) -> Mails:
        mail.outbox.clear()
        while outbox.drain():
            pass
        return self

    def __call__(self, name: str, topic: str) -> Any:
        """Return the only mail on this topic to this person. Call `send()` before."""
        found = [
            m
            for m in mail.outbox
            if m.to[0].startswith(f"{name}@") and m.extra_headers["X-Lockbox-Topic"] == f"notify.{topic}"
        ]
        assert len(found) == 1, [(m.to, m.extra_headers["X-Lockbox-Topic"]) for m in mail.outbox]
        return found[0]

    def to(self, topic: str) -> list[str]:
        wanted = f"notify.{topic}"
        return sorted(m.to[0].partition("@")[0] for m in mail.outbox if m.extra_headers["X-Lockbox-Topic"] == wanted)


@pytest.fixture
def world(cast: Cast, travel: Any) -> Cast:
    """Return the cast in three time zones, with a notification address at Contoso."""
    travel.to(AT)
    people = Person.objects.get_queryset()
    people.filter(email__endswith="@contoso.example").update(time_zone="Europe/Berlin")
    people.filter(pk=cast.priya.pk).update(time_zone="America/New_York")
    Tenant.objects.filter(pk=cast.contoso.pk).update(time_zone="Asia/Kolkata")
    operations.add_address(cast.contoso.pk, email="soc@contoso.example", actor=cast.as_("ines"))
    return cast


@pytest.fixture
def mails() -> Mails:
    return Mails()


def parts(found: Any) -> tuple[str, str]:
    """Return text and HTML of a mail. The lines of the text are joined, so that sentences can be found."""
    return " ".join(found.body.split()), found.alternatives[0][0]


def says(found: Any, *texts: str) -> None:
    """Assert that both parts contain each of these texts."""
    plain, html = parts(found)
    for text in texts:
        assert text in plain
        assert escape(text) in html


def silent(found: Any, *texts: str) -> None:
    plain, html = parts(found)
    for text in texts:
        assert text not in plain
        assert escape(text) not in html
