"""Signal streams. Staff manage those of the provider's clients, and can only read the others."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from requests_app.domain.acts.signal_streams import DELETE_STREAM, SET_STREAM_STATUS
from requests_app.doors.admin.acts import ActForm, of_act
from requests_app.doors.admin.base import Related, StaffAdmin
from requests_app.doors.admin.columns import NOTHING, mono
from requests_app.doors.admin.filters import by_choice, by_tenant
from requests_app.doors.admin.searching import Search
from requests_app.messages import signals
from requests_app.models import OutboxMessage, SignalStream, WebhookAttempt


@admin.display(description=gettext_lazy("stream of"))
def name(row: SignalStream) -> str:
    """Return the name of the client. In a list, it links to the stream's own page."""
    return str(row)


@admin.display(description=gettext_lazy("receiver"))
def place(row: SignalStream) -> str:
    """Return the address without its path, which can be as secret as a password."""
    return mono(row.webhook.place) if row.is_push else _("fetches the events")


@admin.display(description=gettext_lazy("events"))
def events(row: SignalStream) -> str:
    return ", ".join(event.rpartition("/")[2] for event in signals.SUPPORTED if event in row.requested) or NOTHING


@admin.display(description=gettext_lazy("events that wait"))
def backlog(row: Any) -> str:
    return str(row.backlog or 0)


@admin.display(description=gettext_lazy("oldest event that waits"))
def oldest(row: Any) -> Any:
    return row.oldest_at


@admin.display(description=gettext_lazy("failing since"))
def failing(row: SignalStream) -> Any:
    return row.webhook.failing_since


@admin.display(description=gettext_lazy("description"))
def description(row: SignalStream) -> str:
    return row.webhook.label or NOTHING


@admin.display(description=gettext_lazy("reason"))
def reason(row: SignalStream) -> str:
    return row.reason_shown or NOTHING


@admin.display(description=gettext_lazy("created"))
def created(row: SignalStream) -> Any:
    return row.webhook.created_at


class StatusForm(ActForm):
    status = forms.ChoiceField(label=gettext_lazy("Status"), choices=SignalStream.Status.choices)
    reason = forms.CharField(label=gettext_lazy("Reason"), max_length=200, required=False)

    def prepare(self) -> None:
        if self.row is not None:
            self.initial.update({"status": self.row.status})


def is_providers(row: SignalStream) -> bool:
    return row.tenant_id is None and row.webhook.removed_at is None


def _narrow(rows: QuerySet[Any], value: str) -> QuerySet[Any]:
    return rows.filter(pk__in=SignalStream.objects.failing().values("pk"))


class SignalStreamAdmin(StaffAdmin):
    list_display = (name, place, "tenant", "status", "heard_at", backlog, failing)
    reads: ClassVar = ("client__account", "tenant", "webhook")
    ordering = ("-webhook__created_at",)
    search: ClassVar = Search(tenant="tenant", words=("webhook__label",))
    list_filter = (
        by_choice("status", gettext_lazy("status"), SignalStream.Status.choices),
        by_choice("failing", gettext_lazy("alarm"), [("yes", gettext_lazy("yes"))], narrow=_narrow),
        by_tenant(),
    )
    lead = gettext_lazy(
        "A signal stream tells a program when windows are first used and when they end (Shared Signals Framework). An "
        "API client creates it. Streams without a tenant belong to the provider’s clients."
    )
    facts: ClassVar = [
        ("", ("client", place, description, "tenant", events, "subject_format", "alg", created)),
        (gettext_lazy("State"), ("status", reason, "status_at")),
        (gettext_lazy("Delivery"), ("method", "heard_at", backlog, oldest, failing, "alarmed_at", "verified_at")),
    ]
    related: ClassVar = [
        Related(
            model=OutboxMessage,
            by=lambda row: {"webhook": row.webhook},
            columns=("created_at", "topic", "state", "attempts", "last_error"),
            title=gettext_lazy("Events"),
            order=("-created_at",),
        ),
        Related(model=WebhookAttempt, by=lambda row: {"webhook": row.webhook}, order=("-at",)),
    ]
    acts: ClassVar = [
        of_act(
            SET_STREAM_STATUS,
            "status",
            label=gettext_lazy("Change the status"),
            form=StatusForm,
            explains=gettext_lazy(
                "A paused stream keeps its events for three days. A disabled stream gets no events, and drops those "
                "that wait."
            ),
            offered=is_providers,
        ),
        of_act(
            DELETE_STREAM,
            "delete",
            label=gettext_lazy("Delete the stream"),
            explains=gettext_lazy("Nothing more is sent to the receiver, not even the events that wait."),
            offered=is_providers,
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        found: Any = super().get_queryset(request)
        return found.with_backlog()
