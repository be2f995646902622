"""Sends the messages, and finds the mail that a test is about."""

from __future__ import annotations

import datetime as dt
from typing import Any
from unittest.mock import patch

import pytest
from django.core import mail
from django.test import override_settings
from django.utils.html import escape

from requests_app import operations
from requests_app.domain import clock
from requests_app.identity.sso.saml import metadata, service
from requests_app.models import OutboxMessage, Person, Tenant
from requests_app.queries.single_sign_on import PROVIDER
from requests_app.work import outbox
from tests import saml_idp
from tests.cast import Cast
from tests.remembered import MEMORY

#: A Tuesday in winter: 14:05 in Berlin, 08:05 in New York, 18:35 in Kolkata.
AT = dt.datetime(2026, 11, 24, 13, 5, tzinfo=dt.UTC)


class Mails:
    """The mails that were sent. They are found by the name of the recipient."""

    def send(self, *topics: str) -> Mails:
        """Send all messages that wait. With `topics`, drop the messages on all other topics first.

        Most acts have messages on several topics, and rendering their mails is most of the work of a test.
        """
        mail.outbox.clear()
        if topics:
            wanted = [f"notify.{topic}" for topic in topics]
            OutboxMessage.objects.filter(topic__startswith="notify.").exclude(topic__in=wanted).delete()
        while outbox.drain():
            pass
        return self

    def __call__(self, name: str, topic: str) -> Any:
        """Return the mail on this topic to this person. There must be exactly one. Call `send()` first."""
        found = [
            m
            for m in mail.outbox
            if m.to[0].startswith(f"{name}@") and m.extra_headers["X-Lockbox-Topic"] == f"notify.{topic}"
        ]
        assert len(found) == 1, [(m.to, m.extra_headers["X-Lockbox-Topic"]) for m in mail.outbox]
        return found[0]

    def sent(self, name: str, topic: str) -> Any:
        """Send the messages on this topic only, and return the mail to this person."""
        return self.send(topic)(name, topic)

    def to(self, topic: str) -> list[str]:
        wanted = f"notify.{topic}"
        return sorted(m.to[0].partition("@")[0] for m in mail.outbox if m.extra_headers["X-Lockbox-Topic"] == wanted)


@pytest.fixture
def world(cast: Cast, travel: Any) -> Cast:
    """Return the cast. Its people live in three time zones, and Contoso has a notification address."""
    travel.to(AT)
    MEMORY.call("the people of the mails", lambda: _gather(cast))
    return cast


def _gather(cast: Cast) -> None:
    people = Person.objects.get_queryset()
    people.filter(email__endswith="@contoso.example").update(time_zone="Europe/Berlin")
    people.filter(pk=cast.priya.pk).update(time_zone="America/New_York")
    Tenant.objects.filter(pk=cast.contoso.pk).update(time_zone="Asia/Kolkata")
    operations.add_address(cast.contoso.pk, email="soc@contoso.example", actor=cast.as_("ines"))


@pytest.fixture
def mails() -> Mails:
    return Mails()


def parts(found: Any) -> tuple[str, str]:
    """Return the text and the HTML of a mail. The lines of the text are joined, so that a test can find sentences."""
    return " ".join(found.body.split()), found.alternatives[0][0]


def says(found: Any, *texts: str) -> None:
    """Assert that each of these texts is in both parts of a mail."""
    plain, html = parts(found)
    for text in texts:
        assert text in plain
        assert escape(text) in html


def silent(found: Any, *texts: str) -> None:
    plain, html = parts(found)
    for text in texts:
        assert text not in plain
        assert escape(text) not in html


def provider_metadata_is_read(world: Cast) -> None:
    """Read the metadata of the provider's identity provider for the first time."""
    url = "https://idp.provider.example/metadata"
    found = metadata.read(saml_idp.metadata(saml_idp.fixed_certificate(1)), at=clock.now())
    with override_settings(SSO_SAML_METADATA_URL=url), patch.object(service, "fetched", lambda *_, **__: found):
        assert operations.refresh_at_need(PROVIDER, actor=world.system())
