"""Webhooks. Staff manage the provider's own webhooks, and can only read the others."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from requests_app import operations
from requests_app.domain.actors import Actor
from requests_app.domain.acts.webhooks import (
    ADD_WEBHOOK,
    CHANGE_WEBHOOK,
    DISABLE_WEBHOOK,
    ENABLE_WEBHOOK,
    REMOVE_WEBHOOK,
    ROTATE_WEBHOOK_SECRET,
    SEND_WEBHOOK_TEST,
)
from requests_app.domain.events import TITLES, title_of
from requests_app.doors.admin.acts import ActForm, AdminAction, of_act
from requests_app.doors.admin.base import Related, StaffAdmin
from requests_app.doors.admin.columns import NOTHING, mono, page_of
from requests_app.doors.admin.filters import by_flag, by_row, by_tenant
from requests_app.doors.admin.log import log_name
from requests_app.doors.admin.searching import Search
from requests_app.messages.webhooks.messages import ALL
from requests_app.messages.webhooks.problems import problem_words
from requests_app.models import Client, OutboxMessage, Tenant, Webhook, WebhookAttempt, WebhookCursor
from requests_app.operations import Issued
from requests_app.platform.secret_answers import secret_answer
from requests_app.words import text


@admin.display(description=gettext_lazy("address"))
def place(row: Webhook) -> str:
    """Return the address. For a customer's webhook, leave out the path, which can be as secret as a password."""
    return mono(row.url if row.tenant_id is None else row.place)


@admin.display(description=gettext_lazy("events"))
def events(row: Webhook) -> str:
    if row.client_id is not None:
        return _("the ends of the access requests that the client raised")
    if ALL in row.events:
        return _("everything")
    return ", ".join(title_of(event) for event in row.events)


@admin.display(description=gettext_lazy("problem"))
def problem(row: WebhookAttempt) -> str:
    return problem_words(row.problem) or NOTHING


@admin.display(description=gettext_lazy("beginning of the answer"))
def answer(row: WebhookAttempt) -> str:
    return text.visible_single(row.answer) if row.answer else NOTHING


@admin.display(description=gettext_lazy("log"))
def log(row: WebhookCursor) -> str:
    return log_name(row.log_id, row.tenant_name)  # type: ignore[attr-defined]  # annotated below


class WebhookForm(ActForm):
    url = forms.CharField(label=gettext_lazy("Address"), max_length=1000)
    label = forms.CharField(label=gettext_lazy("Label"), max_length=80, required=False)
    events = forms.MultipleChoiceField(label=gettext_lazy("Events"), widget=forms.CheckboxSelectMultiple)

    def prepare(self) -> None:
        choices = [(ALL, _("All events, including events that later versions add"))]
        choices += [(str(event), str(words)) for event, words in TITLES.items()]
        self.fields["events"].choices = choices  # type: ignore[attr-defined]  # a ChoiceField
        if self.row is not None and self.row.client_id is not None:
            # A callback address always gets the same events.
            del self.fields["events"]
        if self.row is not None:
            self.initial.update({name: getattr(self.row, name) for name in ("url", "label", "events")})


def belongs_to_provider(row: Webhook) -> bool:
    """Return whether the webhook belongs to the provider and is not removed. A signal stream is no webhook."""
    return row.tenant_id is None and row.removed_at is None and not row.is_of_stream


def add(row: None, actor: Actor, data: dict[str, Any]) -> Issued:
    return operations.add_webhook(None, actor=actor, **data)


class WebhookAdmin(StaffAdmin):
    list_display = (place, "label", "tenant", "client", "is_on", "failing_since", "created_at")
    reads: ClassVar = ("tenant", "client__account")
    ordering = ("-created_at",)
    search: ClassVar = Search(tenant="tenant", words=("label",))
    list_filter = (
        by_flag("is_on", gettext_lazy("on")),
        by_row("client", gettext_lazy("for callbacks of"), Client),
        by_tenant(),
    )
    lead = gettext_lazy(
        "Webhooks without a tenant belong to the provider and get the entries of every log. A customer’s own "
        "administrator manages the customer’s webhooks. Webhooks with a client are its callback addresses: they get "
        "only the ends of the access requests that the client raised. Register them on the page of the client."
    )
    facts: ClassVar = [
        ("", (place, "label", "tenant", "client", events, "created_at", "removed_at")),
        (
            gettext_lazy("State"),
            ("is_on", "off_at", "off_because", "failures", "failing_since", "from_at"),
        ),
        (gettext_lazy("Keys"), ("public_key", "former_until")),
    ]
    related: ClassVar = [
        Related(
            model=OutboxMessage,
            by=lambda row: {"webhook": row},
            columns=("created_at", "topic", "state", "attempts", "last_error"),
            title=gettext_lazy("Deliveries"),
            order=("-created_at",),
        ),
        Related(model=WebhookAttempt, by=lambda row: {"webhook": row}, order=("-at",)),
        Related(model=WebhookCursor, by=lambda row: {"webhook": row}),
    ]
    adding: ClassVar = AdminAction(
        name="add",
        label=gettext_lazy("Add a webhook"),
        form=WebhookForm,
        run=add,
        done=ADD_WEBHOOK.done,
        explains=gettext_lazy(
            "This webhook belongs to the provider: it gets the entries of every log, including the logs of "
            "tenants that are added later."
        ),
    )
    acts: ClassVar = [
        of_act(
            CHANGE_WEBHOOK,
            "change",
            label=gettext_lazy("Change the webhook"),
            form=WebhookForm,
            offered=belongs_to_provider,
        ),
        of_act(
            SEND_WEBHOOK_TEST,
            "test",
            label=gettext_lazy("Send a test"),
            done=gettext_lazy("A test is on its way."),
            offered=belongs_to_provider,
        ),
        of_act(
            ROTATE_WEBHOOK_SECRET,
            "rotate",
            label=gettext_lazy("Create a new secret"),
            explains=gettext_lazy(
                "The new secret is shown once. For 24 hours, the earlier keys also sign each message."
            ),
            offered=belongs_to_provider,
        ),
        of_act(
            DISABLE_WEBHOOK,
            "switch-off",
            label=gettext_lazy("Switch off"),
            offered=lambda row: belongs_to_provider(row) and row.is_on,
        ),
        of_act(
            ENABLE_WEBHOOK,
            "switch-on",
            label=gettext_lazy("Switch on"),
            explains=ENABLE_WEBHOOK.done,
            offered=lambda row: belongs_to_provider(row) and not row.is_on,
        ),
        of_act(
            REMOVE_WEBHOOK,
            "remove",
            label=gettext_lazy("Remove the webhook"),
            explains=gettext_lazy("Nothing more is sent to the webhook, not even the messages that wait."),
            offered=belongs_to_provider,
        ),
    ]

    def done(self, request: HttpRequest, act: AdminAction, row: Any, result: Any) -> HttpResponse:
        """Show the new keys in the answer to the act itself, because no later page shows them."""
        if not isinstance(result, Issued):
            return super().done(request, act, row, result)
        return keys_of(request, self._context(request, result.webhook), result)


def keys_of(request: HttpRequest, context: dict[str, Any], issued: Issued) -> HttpResponse:
    """Return the page that shows the new keys of a webhook, once."""
    more = {"title": _("The webhook’s secret"), "keys": issued.keys, "back_url": page_of(issued.webhook)}
    response = TemplateResponse(request, "admin/webhook_keys.html", {**context, **more})
    return secret_answer(response)


class WebhookAttemptAdmin(StaffAdmin):
    list_display = ("at", "webhook", "status", problem, "milliseconds", "tenant")
    reads: ClassVar = ("webhook", "tenant")
    ordering = ("-at",)
    search: ClassVar = Search(ids=("message",), tenant="tenant")
    list_filter = (by_row("webhook", gettext_lazy("webhook"), Webhook), by_row("message", gettext_lazy("message")))
    facts: ClassVar = [("", ("at", "webhook", "message", "status", problem, "milliseconds", answer))]

    def name_of(self, row: WebhookAttempt) -> str:
        return str(row.status or problem_words(row.problem))


class WebhookCursorAdmin(StaffAdmin):
    list_display = ("webhook", log, "next_seq")
    reads: ClassVar = ("webhook",)
    ordering = ("-pk",)
    search: ClassVar = Search(ids=("log_id",), tenant="log_id")
    list_filter = (by_row("webhook", gettext_lazy("webhook"), Webhook),)
    facts: ClassVar = [("", ("webhook", log, "next_seq"))]

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        named = Tenant.objects.filter(pk=OuterRef("log_id")).values("name")[:1]
        return super().get_queryset(request).annotate(tenant_name=Subquery(named))
