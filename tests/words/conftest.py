"""The demo world in the test language, which disguises every text that is marked for translation."""

from __future__ import annotations

import email
import email.policy
import json
import zoneinfo
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as project
from django.utils import translation

from audit_app.models import AuditEntry, Witness
from lockbox_site import pseudolocale
from lockbox_site.demo import history
from lockbox_site.demo import world as demo
from requests_app import models
from requests_app.content.connectors import registry
from requests_app.domain import clock, gate_rules, link_templates
from requests_app.domain.levels import Level, usual
from requests_app.domain.scopes import Scope
from requests_app.messages import signals
from requests_app.messages.topics import Topic
from requests_app.models import token_keys
from requests_app.platform import program
from requests_app.work import schedules
from tests.words.crawl import add_callers, add_passkeys, add_webhooks, add_witnesses
from tests.words.reading import World

#: Fields whose text people type or the set-up gives. All other words on a page must be marked.
TYPED: dict[Any, tuple[str, ...]] = {
    models.Passkey: ("name", "algorithm", "rp_id", "origin", "aaguid"),
    models.Person: ("name",),
    models.Tenant: ("name", "slug"),
    models.Plan: ("name",),
    models.Service: ("name", "key", "application", "guidance"),
    models.Resource: ("name", "locator", "external_id"),
    models.NotificationAddress: ("label",),
    models.Ticket: ("title", "body"),
    models.TicketComment: ("body",),
    models.AccessRequest: ("tried", "justification", "authority", "instrument", "demand_reference"),
    models.Decision: ("comment",),
    models.Token: ("name",),
    models.Webhook: ("label",),
    models.ContentAccess: ("item_ref", "item_id"),
}


def in_the_database() -> Iterator[str]:
    for model, fields in TYPED.items():
        for row in model._default_manager.values_list(*fields):
            yield from row
    for canonical in AuditEntry.objects.values_list("canonical", flat=True):
        yield str(json.loads(bytes(canonical))["detail"].get("comment", ""))


def on_disk() -> Iterator[str]:
    """Yield texts of the demo's content: names of documents and folders, and the fields of messages in lists."""
    root = Path(project.CONTENT_ROOT)
    for path in root.rglob("*"):
        yield path.name
        if path.is_file() and path.parent.name in ("cur", "new"):
            message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
            for header in ("Subject", "From", "To", "Cc"):
                value = str(message[header] or "")
                yield value
                yield from value.split(",")
            for part in message.walk():
                yield part.get_filename() or ""


def by_programs() -> Iterator[str]:
    """Yield names from code and settings, which are the same in every language."""
    yield from (*registry.KINDS, models.Service.EXTERNAL)
    yield from (*link_templates.PLACEHOLDERS, *gate_rules.PLACEHOLDERS)
    # The levels that a service can declare, and those that it declares, in lines.
    yield from (*Level.values, " ".join(Level.values), " ".join(offer.level for offer in usual(is_external=True)))
    yield from (program.command(words) for words in ("import", "log_key rotate", "log_heads adopt"))
    yield from (str(project.DATA_DIR / ".env"), str(project.CONTENT_ROOT))
    yield from (text for row in Witness.objects.all() for text in (str(row), row.url))
    yield from (text for row in models.Webhook.objects.all() for text in (row.place, row.url, row.public_key))
    for message in models.OutboxMessage.objects.filter(lane="webhook"):
        yield from (message.recipient, message.key, message.rendered["id"])
    for names in (*models.Token.objects.values_list("scopes"), *models.Client.objects.values_list("scopes")):
        yield " ".join(*names)
    yield from models.Token.objects.values_list("hint", flat=True)
    yield from Scope
    supported = [event.rpartition("/")[2] for event in signals.SUPPORTED]
    yield from (*supported, ", ".join(supported))
    yield from token_keys.ALGORITHMS
    yield "webhooks"  # the name in the log of the system when it gives up a webhook
    yield from (schedule.name for schedule in schedules.PERIODIC)
    yield from (topic.purpose for topic in Topic)
    yield from models.OutboxMessage.objects.values_list("lane", flat=True).distinct()
    yield from (code for code, _name in project.LANGUAGES)
    yield from (zone.replace("_", " ") for zone in zoneinfo.available_timezones())


@pytest.fixture
def world(db: None, settings: Any) -> Iterator[World]:
    settings.LANGUAGES = [(pseudolocale.LANGUAGE, "Pseudo")]
    settings.LANGUAGE_CODE = pseudolocale.LANGUAGE
    pseudolocale.install()
    with translation.override("en"):
        demo.build()
        history.play()
        add_witnesses()
        add_webhooks()
        add_callers()
        add_passkeys()
    models.Person.objects.update(language=pseudolocale.LANGUAGE)
    schedules.sync(clock.now())
    yield World([*in_the_database(), *on_disk(), *by_programs(), settings.PROVIDER_NAME])
    translation.deactivate()
