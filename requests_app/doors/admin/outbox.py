"""Outgoing mail, read-only. Staff can only send a mail again."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from requests_app.domain.acts.mail import RESEND_MAIL
from requests_app.domain.acts.webhooks import REDELIVER
from requests_app.domain.errors import NotFound
from requests_app.doors.admin.acts import of_act
from requests_app.doors.admin.base import StaffAdmin
from requests_app.doors.admin.columns import NOTHING, link_to, mono, preformatted
from requests_app.doors.admin.filters import by_choice, by_row, by_tenant
from requests_app.doors.admin.searching import Search
from requests_app.messages.mails import email
from requests_app.messages.topics import Topic
from requests_app.models import AccessRequest, OutboxMessage, Person, Tenant, Ticket, Webhook
from requests_app.models.outbox import FANOUT, MAIL, POLL, SIGNAL, WEBHOOK
from requests_app.templatetags import lockbox as tags
from requests_app.words.states import HANDED_ON

#: A mail has styles in its own markup. In a sandbox without scripts, forms or external addresses, styles can't do harm.
_SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"


@admin.display(description=_("state"), ordering="state")
def state_of(row: OutboxMessage) -> str:
    """Return the state's badge. A message without recipients was handed on, and its mails may still wait."""
    is_handed_on = row.lane == FANOUT and row.state == OutboxMessage.State.DELIVERED
    return tags.badge(row.state, subject="message", word=str(HANDED_ON) if is_handed_on else "")


@admin.display(description=_("about"))
def about(row: OutboxMessage) -> str:
    """Return a link to the row that the message is about. The row can be in one of several tables."""
    for model in (AccessRequest, Ticket, Tenant, Person, Webhook):
        found = model._default_manager.filter(pk=row.about).first()
        if found is not None:
            return link_to(found)
    return mono(row.about)


@admin.display(description=_("facts"))
def payload(row: OutboxMessage) -> str:
    return preformatted(json.dumps(row.payload, indent=2, ensure_ascii=False))


def part(name: str, description: Any) -> Any:
    """Make a column with one part of the rendered mail.

    The column is empty before the first attempt to send the mail.
    """

    @admin.display(description=description)
    def column(row: OutboxMessage) -> str:
        rendered = row.rendered or {}
        if not rendered.get(name):
            return NOTHING
        return preformatted(rendered[name]) if "\n" in rendered[name] else mono(rendered[name])

    return column


@admin.display(description=_("Message-ID"))
def sent_id(row: OutboxMessage) -> str:
    rendered = row.rendered or {}
    return mono(email.sent_id(rendered)) if rendered.get("message_id") else NOTHING


@admin.display(description=_("body"))
def posted(row: OutboxMessage) -> str:
    body = (row.rendered or {}).get("body")
    return preformatted(body) if body else NOTHING


@admin.display(description=_("HTML part"))
def html_part(row: OutboxMessage) -> str:
    if not (row.rendered or {}).get("html"):
        return NOTHING
    url = reverse("admin:requests_app_outboxmessage_html", args=[row.pk])
    return format_html('<a href="{}">{}</a>', url, _("Show the mail"))


class OutboxMessageAdmin(StaffAdmin):
    list_display = ("created_at", "topic", state_of, "recipient", "tenant", "attempts", "last_error")
    reads: ClassVar = ("tenant",)
    ordering = ("-created_at",)
    date_hierarchy = "created_at"
    lead = _(
        "Each message first becomes one mail for each recipient. Each mail is sent again until the mail "
        "server accepts it."
    )
    search: ClassVar = Search(ids=("pk", "about"), tenant="tenant")
    list_filter = (
        by_choice("state", _("state"), OutboxMessage.State.choices),
        by_choice(
            "lane",
            _("kind"),
            [
                (MAIL, _("a mail")),
                (FANOUT, _("a message that has no recipients yet")),
                (WEBHOOK, _("a message to a webhook")),
                (SIGNAL, _("an event that is sent to a receiver")),
                (POLL, _("an event that a receiver fetches")),
            ],
        ),
        by_choice("topic", _("topic"), [(topic.value, topic.purpose) for topic in Topic]),
        by_tenant(),
        by_row("about", _("about")),
        by_row("webhook", _("webhook"), Webhook),
    )
    facts: ClassVar = [
        ("", ("topic", state_of, "lane", "recipient", "person", "tenant", about, payload)),
        (_("Delivery"), ("attempts", "created_at", "next_attempt_at", "claimed_until", "delivered_at", "last_error")),
        (
            _("The mail as it was sent"),
            (part("subject", _("subject")), sent_id, part("text", _("text")), html_part),
        ),
        (_("The message as it is posted"), ("webhook", part("id", _("id of the message")), posted)),
        (_("Identity"), ("id", "key")),
    ]
    acts: ClassVar = [
        of_act(
            RESEND_MAIL,
            "resend",
            label=_("Send again"),
            explains=_("The mail keeps its Message-ID. A mailbox that already has the mail shows it only once."),
            offered=lambda row: row.lane == MAIL and row.state != OutboxMessage.State.WAITING,
            bulk=_("Send these mails again"),
        ),
        of_act(
            REDELIVER,
            "redeliver",
            label=_("Send again to the webhook"),
            done=_("The message will be sent again."),
            explains=_("The message keeps its id. A receiver that already has the message recognises it."),
            offered=lambda row: (
                row.lane == WEBHOOK and row.tenant_id is None and row.state != OutboxMessage.State.WAITING
            ),
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        """Add to each message whether it is about a practice request or its ticket."""
        marked = [kind.objects.filter(pk=OuterRef("about"), is_practice=True) for kind in (AccessRequest, Ticket)]
        return super().get_queryset(request).annotate(is_practice=Exists(marked[0]) | Exists(marked[1]))

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.html_view)
        return [path("<uuid:pk>/html/", view, name="requests_app_outboxmessage_html"), *super().get_urls()]

    def html_view(self, request: HttpRequest, pk: object) -> HttpResponse:
        """Show only the mail's HTML part in a sandbox, as a mail program would show it."""
        row = self._find(request, str(pk))
        html = (row.rendered or {}).get("html")
        if not html:
            raise NotFound
        return HttpResponse(html, headers={"Content-Security-Policy": _SANDBOX})
