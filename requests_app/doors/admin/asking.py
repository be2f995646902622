"""What clients asked for over AuthZEN, read-only: drafts that engineers can confirm, and the tasks that clients follow.

The engineer or the client discards a draft, and the engineer withdraws the access request. Staff end what a client
does by its scopes.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from requests_app.domain import clock
from requests_app.domain.access_tasks import Status, draft_status, status_of
from requests_app.doors.admin.base import StaffAdmin
from requests_app.doors.admin.columns import NOTHING, length, mono, preformatted
from requests_app.doors.admin.filters import by_choice, by_row, by_tenant
from requests_app.doors.admin.searching import Search
from requests_app.models import AccessDraft, AccessRequest, AccessTask, Client, Person
from requests_app.words import text

_WORDS = {
    Status.PENDING: gettext_lazy("pending"),
    Status.APPROVED: gettext_lazy("approved"),
    Status.DENIED: gettext_lazy("denied"),
    Status.EXPIRED: gettext_lazy("expired"),
    Status.CANCELLED: gettext_lazy("cancelled"),
}


@admin.display(description=gettext_lazy("draft"))
def draft_name(row: AccessDraft) -> str:
    return mono(row.pk)


@admin.display(description=gettext_lazy("status"))
def draft_state(row: Any) -> str:
    """Return the status at this moment: a draft also ends without a sweep. A confirmed one is an access request."""
    if row.ended_at is not None and AccessTask.objects.filter(pk=row.pk).exists():
        return _("confirmed")
    return str(_WORDS[draft_status(row.ended_at, row.expires_at, at=row.read_at)])


@admin.display(description=gettext_lazy("status"))
def task_state(row: Any) -> str:
    return str(_WORDS[status_of(row.access_request.state_at(row.read_at))])


@admin.display(description=gettext_lazy("tenant"))
def tenant(row: AccessTask) -> str:
    return str(row.access_request.tenant)


@admin.display(description=gettext_lazy("engineer"))
def engineer(row: AccessTask) -> str:
    return row.access_request.requested_by.name


@admin.display(description=gettext_lazy("address that the client names"))
def source(row: AccessDraft) -> str:
    return text.visible_single(row.source_url) if row.source_url else NOTHING


@admin.display(description=gettext_lazy("asked"))
def asked(row: AccessTask | AccessDraft) -> str:
    return preformatted(json.dumps(row.asked, indent=2, ensure_ascii=False))


@admin.display(description=gettext_lazy("messages about"))
def ends(row: AccessTask | AccessDraft) -> str:
    if row.callback_id is None:
        return NOTHING
    return ", ".join(row.callback_events) if row.callback_events else _("each end")


def _waiting(rows: QuerySet[Any], value: str) -> QuerySet[Any]:
    at = clock.now()
    return rows.waiting(at) if value == "yes" else rows.exclude(pk__in=rows.waiting(at).values("pk"))  # type: ignore[attr-defined]  # AccessDraftQuerySet


class AccessDraftAdmin(StaffAdmin):
    list_display = (draft_name, draft_state, "client", "engineer", "tenant", "service", "made_at", "expires_at")
    reads: ClassVar = ("client__account", "engineer", "tenant", "service", "ticket", "resource", "callback")
    ordering = ("-made_at",)
    search: ClassVar = Search(ids=("pk",), tenant="tenant", people=("engineer",))
    list_filter = (
        by_choice(
            "waiting",
            gettext_lazy("waits"),
            [("yes", gettext_lazy("yes")), ("no", gettext_lazy("no"))],
            narrow=_waiting,
        ),
        by_row("client", gettext_lazy("client"), Client),
        by_row("engineer", gettext_lazy("engineer"), Person),
        by_tenant(),
    )
    lead = gettext_lazy(
        "A client without the scope requests:submit prepares an access request for an engineer. Nobody is asked until "
        "the engineer confirms it. The engineer or the client can discard it, and it ends after 24 hours."
    )
    facts: ClassVar = [
        ("", (draft_state, "client", "engineer", "tenant", "service", "ticket", "resource")),
        (
            gettext_lazy("What was asked for"),
            (
                "level",
                length("window_for", gettext_lazy("window")),
                "until_at",
                "is_emergency",
                "tried",
                "justification",
                source,
                asked,
            ),
        ),
        (gettext_lazy("Callback"), ("callback", "callback_state", ends)),
        (gettext_lazy("Times"), ("made_at", "expires_at", "ended_at")),
        (gettext_lazy("Identity"), ("id", "denial")),
    ]

    def name_of(self, row: AccessDraft) -> str:
        return str(row.pk)


class AccessTaskAdmin(StaffAdmin):
    list_display = ("access_request", task_state, "client", engineer, tenant, "was_draft", "expires_at")
    reads: ClassVar = ("access_request__tenant", "access_request__requested_by", "client__account", "callback")
    ordering = ("-expires_at",)
    search: ClassVar = Search(
        ids=("pk",),
        references=("access_request__reference",),
        tenant="access_request__tenant",
        people=("access_request__requested_by",),
    )
    list_filter = (
        by_row("client", gettext_lazy("client"), Client),
        by_row("access_request", gettext_lazy("access request"), AccessRequest),
        by_tenant("access_request__tenant"),
    )
    lead = gettext_lazy(
        "A client that raised an access request follows it as a task. The status is computed from the access request."
    )
    facts: ClassVar = [
        ("", ("access_request", task_state, "client", engineer, tenant, "was_draft", asked)),
        (gettext_lazy("Callback"), ("callback", "callback_state", ends)),
        (gettext_lazy("Identity"), ("denial", "expires_at")),
    ]

    def name_of(self, row: AccessTask) -> str:
        return str(row.access_request.reference)
