"""The pages of a tenant's webhooks: their addresses, their events and their deliveries."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from django.template import Context
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from requests_app import operations
from requests_app.domain.acts.webhooks import (
    ADD_WEBHOOK,
    CHANGE_WEBHOOK,
    ENABLE_WEBHOOK,
    REMOVE_WEBHOOK,
    SEND_WEBHOOK_TEST,
)
from requests_app.domain.events import title_of
from requests_app.doors.web._thing_views import addresses
from requests_app.doors.web._things import (
    Action,
    Button,
    Column,
    Empty,
    Link,
    Page,
    Secret,
    Shown,
    Table,
    Text,
    Visit,
    as_part,
    strong,
    to,
)
from requests_app.doors.web.forms.webhooks import WebhookActForm, WebhookForm
from requests_app.doors.web.webhook_deliveries import deliveries
from requests_app.messages.webhooks.messages import ALL
from requests_app.models import Webhook
from requests_app.operations import Issued
from requests_app.queries import webhooks as queries
from requests_app.templatetags.lockbox import when

_LIST = to("web:webhooks", "tenant")
_ONE = to("web:webhook", "tenant", "thing")
_PATH = "tenant/<uuid:tenant>/webhooks/"
_BACK = Link("{thing}", _ONE)
_STATE = Column(_("State"), lambda row: row, as_part("tenant/_webhook_state.html", "webhook"))


def _find(visit: Visit, ids: dict[str, Any]) -> Webhook:
    return queries.webhook(visit.tenant, ids["webhook"])


#: A page that changes one webhook. Only administrators see it, because a webhook's address can be as secret as a
#: password.
_page = partial(Page, back=_BACK, is_for_administrators=True, is_narrow=True, find=_find)


def _add(visit: Visit, values: dict[str, Any]) -> Issued:
    issued = operations.add_webhook(visit.tenant.pk, **values, actor=visit.actor)
    visit.thing = issued.webhook
    return issued


def _rotate(visit: Visit, values: dict[str, Any]) -> Issued:
    issued = operations.rotate_webhook_secret(visit.thing.pk, actor=visit.actor)
    visit.thing = issued.webhook
    return issued


def _has_former_keys(visit: Visit, row: Webhook) -> bool:
    return row.former_until is not None and visit.at < row.former_until


def _keys(visit: Visit, issued: Issued) -> Secret:
    keys, former_until = issued.keys, issued.webhook.former_until
    shown = [
        Shown(keys.whsec, _("Secret, for signatures v1 (HMAC-SHA256)")),
        Shown(
            keys.whpk,
            _("Public key, for signatures v1a"),
            _(
                "A receiver that supports signatures v1a (Ed25519) needs no secret: it checks the signatures "
                "with this public key."
            ),
        ),
    ]
    if former_until is not None and visit.at < former_until:
        words = _("The earlier keys also sign messages until {when}.")
        shown.append(Shown(text=format_html(str(words), when=visit.when(former_until))))
    return Secret(
        heading=_("The webhook’s secret"),
        value=keys.whsec,
        warning=_("This secret is shown now and never again."),
        text=_(
            "Give the secret to the receiver. With the secret, the receiver checks that a message comes from "
            "Customer Lockbox. Store the secret where you store passwords."
        ),
        shown=tuple(shown),
        back=_BACK,
    )


# --- What the pages show -----------------------------------------------------------------------------------


def _events(row: Webhook) -> Text:
    return _("everything") if ALL in row.events else ", ".join(title_of(event) for event in row.events)


def _amount_of_events(row: Webhook) -> Text:
    if ALL in row.events:
        return _("everything")
    return ngettext("%(n)d event", "%(n)d events", len(row.events)) % {"n": len(row.events)}


def _signs_until(context: Context, at: datetime) -> str:
    return format_html(str(_("also signs messages until {when}")), when=when(context, at))


def _will_be_off(visit: Visit) -> Text:
    if not visit.tenant.needs_two:
        return ""
    return _(
        "Under two-person control, the webhook stays off until a second person confirms the proposal to switch it on."
    )


def _end_of_former_keys(visit: Visit) -> str:
    if not _has_former_keys(visit, visit.thing):
        return ""
    return strong(
        _(
            "At present, the keys that were replaced last time also sign messages. If you create a new secret, these "
            "replaced keys stop working immediately."
        )
    )


WEBHOOKS = Page(
    name="webhooks",
    path=_PATH,
    heading=_("Webhooks of {tenant}"),
    tab="webhooks",
    is_for_administrators=True,
    lead=_(
        "A webhook sends each new entry of your log to a server of yours. A message says what happened, and "
        "gives the ids of the things that it concerns. A message never contains content, or text that somebody "
        "wrote. Every message is signed, and is sent again until it arrives."
    ),
    table=Table(
        caption=_("Webhooks"),
        rows=lambda visit: queries.webhooks(visit.tenant),
        columns=(
            Column(_("Webhook"), lambda row: row, as_part("tenant/_webhook_name.html", "webhook")),
            _STATE,
            Column(_("Events"), _amount_of_events),
            Column(_("Since"), lambda row: row.created_at, when),
        ),
        empty=Empty(
            _("No machine gets messages yet"),
            _(
                "Add the address of your help desk, your chat or your own service. Messages about each event "
                "arrive there within seconds."
            ),
            "list",
        ),
    ),
    action=Action(
        heading=_("Add a webhook"),
        lead=(_("The webhook’s secret is shown once, on the next page."), _will_be_off),
        label=_("Add this webhook"),
        act=ADD_WEBHOOK,
        form=lambda visit, data: WebhookForm(data),
        run=_add,
        secret=_keys,
    ),
)

WEBHOOK = Page(
    name="webhook",
    path=f"{_PATH}<uuid:webhook>/",
    heading="{thing}",
    title=_("Webhook {thing}"),
    back=Link(_("Webhooks of {tenant}"), _LIST),
    is_for_administrators=True,
    find=_find,
    facts=(
        _STATE,
        Column(_("Address"), lambda row: row.url, css="mono"),
        Column(_("Events"), _events),
        Column(_("Public key"), lambda row: row.public_key, css="mono digest-value"),
        Column(
            _("Former secret"),
            lambda row: row.former_until,
            _signs_until,
            is_shown=_has_former_keys,
        ),
    ),
    buttons=(
        Button(
            label=_("Send a test"),
            form=WebhookActForm,
            value="test",
            run=lambda visit: operations.send_webhook_test(visit.thing.pk, actor=visit.actor),
            done=SEND_WEBHOOK_TEST.done,
            style="",
        ),
        Button(
            label=_("Switch off"),
            form=WebhookActForm,
            value="off",
            run=lambda visit: operations.disable_webhook(visit.thing.pk, actor=visit.actor),
            done=_("Nothing is sent to the webhook until you switch it on again."),
            offered=lambda visit, row: row.is_on,
            style="quiet",
        ),
        Button(
            label=_("Switch on"),
            form=WebhookActForm,
            value="on",
            run=lambda visit: operations.enable_webhook(visit.thing.pk, actor=visit.actor),
            done=ENABLE_WEBHOOK.done,
            offered=lambda visit, row: not row.is_on,
            style="primary",
        ),
    ),
    links=(
        Link(_("Change…"), to("web:webhook_change", "tenant", "thing"), "quiet"),
        Link(_("New secret…"), to("web:webhook_rotate", "tenant", "thing"), "quiet"),
        Link(_("Remove…"), to("web:webhook_remove", "tenant", "thing"), "quiet"),
    ),
    template="tenant/webhook.html",
    more=deliveries,
)

CHANGE = _page(
    name="webhook_change",
    path=f"{_PATH}<uuid:webhook>/change/",
    heading=_("Change the webhook"),
    title=_("Change the webhook {thing}"),
    action=Action(
        lead=_(
            "Messages that wait are sent to the new address immediately. The choice of events applies to what "
            "happens from now on."
        ),
        label=_("Save the changes"),
        cancel=_("Cancel"),
        act=CHANGE_WEBHOOK,
        form=lambda visit, data: WebhookForm(data, webhook=visit.thing),
        run=lambda visit, values: operations.change_webhook(visit.thing.pk, **values, actor=visit.actor),
        done=CHANGE_WEBHOOK.done,
        then=_ONE,
    ),
)

NEW_SECRET = _page(
    name="webhook_rotate",
    path=f"{_PATH}<uuid:webhook>/secret/",
    heading=_("Create a new secret?"),
    title=_("A new secret for {thing}"),
    action=Action(
        consequences=(
            _("The new secret is shown once, on the next page."),
            _(
                "For 24 hours, each message has two signatures: one by the new keys and one by the earlier keys. "
                "During that time, configure the receiver to use the new keys."
            ),
            _end_of_former_keys,
            _("The log records that you did this."),
        ),
        label=_("Create a new secret"),
        cancel=_("Keep the current secret"),
        run=_rotate,
        secret=_keys,
    ),
)

REMOVAL = _page(
    name="webhook_remove",
    path=f"{_PATH}<uuid:webhook>/remove/",
    heading=_("Remove the webhook {thing}?"),
    title=_("Remove the webhook {thing}"),
    action=Action(
        consequences=(
            _("Nothing is sent to the webhook any more, not even messages that wait."),
            _("The webhook’s keys and deliveries are deleted. The log keeps what happened."),
            _("The log records that you removed the webhook."),
        ),
        label=_("Remove this webhook"),
        cancel=_("Keep this webhook"),
        run=lambda visit, values: operations.remove_webhook(visit.thing.pk, actor=visit.actor),
        done=REMOVE_WEBHOOK.done,
        then=_LIST,
    ),
)

urlpatterns = addresses(WEBHOOKS, WEBHOOK, CHANGE, NEW_SECRET, REMOVAL)
