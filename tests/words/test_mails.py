"""No mail says a word of ours that was not marked for translation, in its subject and in both of its parts."""

from __future__ import annotations

import pytest
from django.utils import translation

from requests_app import clock, operations
from requests_app.actors import Actor
from requests_app.demo.world import as_
from requests_app.models import AccessRequest, Grant, OutboxMessage, Person, Service, Tenant
from requests_app.notifications import email
from requests_app.outbox import handlers
from requests_app.outbox.topics import FANOUT, MAIL, Topic
from tests.words.reading import World, spoken


def tell_the_rest() -> None:
    """What the demo world has not told yet: a ticket that was recorded, a reminder, a window about to close."""
    contoso = Tenant.objects.get(slug="contoso")
    report = operations.Report(
        tenant_id=contoso.pk,
        service_id=Service.objects.get(key="exchange-online").pk,
        title="Search finds no invoice of November",
        body="Scrolling down, the invoices are there.",
        on_behalf_of_id=Person.objects.get(email__startswith="mia.weber@").pk,
    )
    operations.open_ticket(report, actor=as_("erik.lund"))
    pending = AccessRequest.objects.get(tenant=contoso, state="PENDING_CUSTOMER")
    opened = Grant.objects.get(tenant__slug="fabrikam")
    for topic, about, tenant in (
        (Topic.REMINDER, pending.pk, pending.tenant),
        (Topic.CLOSING_SOON, opened.access_request_id, opened.tenant),
    ):
        OutboxMessage.objects.create(
            tenant=tenant,
            topic=topic,
            about=about,
            key=f"{topic}:{about}",
            lane=FANOUT,
            payload={"audiences": ["customer"]},
            created_at=clock.now(),
            next_attempt_at=clock.now(),
        )
    operations.withdraw(pending.pk, actor=as_("priya.nair"))
    hook = operations.add_webhook(
        contoso.pk, url="https://hooks.contoso.example/in", events=["*"], actor=as_("ines.vogel")
    ).webhook
    operations.give_up_webhook(hook.pk, because="gone", actor=Actor.system("webhooks"))
    operations.create_client(
        tenant_id=contoso.pk,
        name="Contoso",
        scopes=["decisions:write"],
        decides_for_id=Person.objects.get(email__startswith="ada.").pk,
        actor=as_("ines.vogel", fresh=True),
    )
    for how in ("change", "reset"):
        operations.set_password(actor=as_("priya.nair"), password="another battery of 7 horses", how=how)


def paragraphs(text: str) -> list[str]:
    """The text part with its lines joined again, and without the marks of quotations."""
    return [" ".join(line.lstrip("> ") for line in part.split("\n")) for part in text.split("\n\n")]


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_every_word_of_every_mail_is_marked(world: World) -> None:
    at = clock.now()
    with translation.override("en"):
        tell_the_rest()
    for message in OutboxMessage.objects.filter(lane=FANOUT):
        handlers.fan_out(message, at)
    found: dict[str, str] = {}
    topics = set()
    for message in OutboxMessage.objects.filter(lane=MAIL).select_related("person", "tenant"):
        mail = email.render(message, at)
        topics.add(message.topic)
        assert "⟦" in mail["text"]
        for raw in world.raw([mail["subject"], *paragraphs(mail["text"]), *spoken(mail["html"])]):
            found.setdefault(raw, message.topic)
    assert topics == {str(topic) for topic in Topic}
    if found:
        raise AssertionError("\n".join(f"{topic}: {raw}" for raw, topic in found.items()))
