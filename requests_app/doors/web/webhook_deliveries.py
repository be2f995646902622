"""Deliveries to a webhook: the list on the webhook's page, and the page of one message."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.template import Context
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from requests_app import operations
from requests_app.domain.acts.webhooks import REDELIVER
from requests_app.domain.events import title_of
from requests_app.doors.web._thing_views import addresses
from requests_app.doors.web._things import Action, Column, Link, Page, Visit, filled
from requests_app.messages.webhooks.messages import TEST
from requests_app.messages.webhooks.problems import problem_words
from requests_app.models import OutboxMessage, Webhook
from requests_app.queries import webhooks as queries
from requests_app.templatetags.lockbox import badge, when
from requests_app.words.text import visible_single

_PARKED = OutboxMessage.State.PARKED.value


@dataclass(frozen=True)
class Delivery:
    """One message to a webhook, with its attempts."""

    webhook: Webhook
    message: OutboxMessage

    def __str__(self) -> str:
        return str(_("Test")) if self.message.topic == TEST else title_of(self.message.topic)

    @property
    def id(self) -> str:
        return (self.message.rendered or {}).get("id", "")

    @property
    def body(self) -> str:
        return (self.message.rendered or {}).get("body", "")

    @property
    def attempts(self) -> list[dict[str, Any]]:
        tried = getattr(self.message, "tried", [])
        return [{"row": each, "words": problem_words(each.problem)} for each in tried]

    @property
    def may_be_sent_again(self) -> bool:
        return self.webhook.is_on and self.message.state != OutboxMessage.State.WAITING


def deliveries(visit: Visit) -> dict[str, Any]:
    """Return the deliveries for the webhook's page, with the addresses of the previous and the next page."""
    query = visit.request.GET
    only = {"state": _PARKED} if query.get("state") == _PARKED else {}
    found = queries.deliveries(visit.thing, state=only.get("state"), before=query.get("before"))
    return {
        "webhook": visit.thing,
        "deliveries": [Delivery(visit.thing, message) for message in found.rows],
        "only_parked": bool(only),
        "older_url": f"?{urlencode({**only, 'before': found.older})}" if found.older else "",
        "newer_url": f"{visit.request.path}?{urlencode(only)}" if "before" in query else "",
    }


def _delivery(visit: Visit, ids: dict[str, Any]) -> Delivery:
    webhook = queries.webhook(visit.tenant, ids["webhook"])
    return Delivery(webhook, queries.delivery(webhook, ids["message"]))


def _message_state(context: Context, state: str) -> str:
    return badge(state, subject="message")


DELIVERY = Page(
    name="webhook_delivery",
    path="tenant/<uuid:tenant>/webhooks/<uuid:webhook>/deliveries/<uuid:message>/",
    heading="{thing}",
    title=lambda visit: filled(_("Delivery to {name}"), name=visit.thing.webhook),
    back=Link(
        lambda visit: visible_single(visit.thing.webhook),
        lambda visit: reverse("web:webhook", args=[visit.tenant.pk, visit.thing.webhook.pk]),
    ),
    is_for_administrators=True,
    find=_delivery,
    facts=(
        Column(_("Result"), lambda row: row.message.state, _message_state),
        Column(_("Id"), lambda row: row.id, css="mono digest-value"),
        Column(_("When"), lambda row: row.message.created_at, when),
        Column(
            _("Next attempt"),
            lambda row: row.message.next_attempt_at,
            when,
            is_shown=lambda visit, row: row.message.state == OutboxMessage.State.WAITING,
        ),
    ),
    action=Action(
        label=_("Send again"),
        offered=lambda visit: visit.thing.may_be_sent_again,
        run=lambda visit, values: operations.redeliver(visit.thing.message.pk, actor=visit.actor),
        done=REDELIVER.done,
        style="",
    ),
    template="tenant/webhook_delivery.html",
)

urlpatterns = addresses(DELIVERY)
