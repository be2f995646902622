"""Access requests, grants and accesses, read-only. Staff can close a window, if the table of transitions allows it."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.actors import Actor, Role
from requests_app.domain.acts.access_requests import REVOKE
from requests_app.domain.lifecycle import TRANSITIONS
from requests_app.domain.states import PENDING, State
from requests_app.doors.admin.acts import AdminAction, of_act
from requests_app.doors.admin.base import Related, StaffAdmin
from requests_app.doors.admin.columns import NOTHING, door, length, link_to, list_of, reached
from requests_app.doors.admin.filters import by_choice, by_row, by_tenant
from requests_app.doors.admin.searching import Search
from requests_app.models import (
    AccessRequest,
    AccessRequestResource,
    AccessTask,
    ContentAccess,
    Decision,
    Grant,
    Level,
    OutboxMessage,
    Person,
    Resource,
    Service,
    Ticket,
)
from requests_app.templatetags import lockbox as tags
from requests_app.words import sentences, text

_BEFORE_EVERYTHING = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
SEALED = _("This is evidence. Nobody can change it here, not even a superuser.")
CLOSED_WORDS = {
    Grant.CloseReason.RELEASED: _("Closed by the engineer"),
    Grant.CloseReason.REVOKED: _("Closed early"),
    Grant.CloseReason.ELAPSED: _("Closed"),
}


@admin.display(description=_("state"), ordering="state")
def state_now(row: AccessRequest) -> str:
    """Return the badge of the state at this moment, even if no sweep has stored this state yet."""
    return tags.badge(row.state_at(row.read_at), subject="access_request")  # type: ignore[attr-defined]  # annotated


@admin.display(description=_("digest"))
def digest(row: AccessRequest) -> str:
    return text.digest_groups(row.content_digest)


@admin.display(description=_("window"))
def window_now(row: Grant) -> str:
    """Return a badge that shows whether the window is open at this moment."""
    if row.is_live(row.read_at):  # type: ignore[attr-defined]  # annotated
        return tags.badge("open", subject="kind", word=str(_("Open now")))
    words = CLOSED_WORDS.get(row.close_reason, _("Closed"))  # type: ignore[call-overload]  # its values are strings
    return tags.badge("sealed", subject="kind", word=str(words))


@admin.display(description=_("grant"))
def grant_of(row: AccessRequest) -> str:
    grant = getattr(row, "grant", None)
    return link_to(grant, _("the window of this access request")) if grant else NOTHING


@admin.display(description=_("verdict"), ordering="verdict")
def verdict(row: Decision) -> str:
    kind = "active" if row.verdict == Decision.Verdict.APPROVE else "refused"
    return tags.badge(kind, subject="kind", word=row.get_verdict_display())


@admin.display(description=_("decided by"), ordering="decider__name")
def decided_by(row: Decision) -> str:
    return row.who


@admin.display(description=_("signed"))
def signed(row: Decision) -> str:
    words = sentences.signed_with(is_signed=row.is_signed, name=row.key_name, is_device_bound=row.is_device_bound)
    return tags.badge("sealed" if row.is_signed else "over", subject="kind", word=words)


@admin.display(description=_("digest of the signed text"))
def signed_digest(row: Decision) -> str:
    return text.digest_groups(row.manifest_digest) if row.is_signed else NOTHING


@admin.display(description=_("passkey"))
def signed_by(row: Decision) -> str:
    found = row.signed_with or {}
    return f"{found['passkey']} ({found['rp_id']})" if found else NOTHING


def is_open(row: AccessRequest) -> bool:
    """Return whether staff can close the window of this access request, according to the table of transitions."""
    edge = TRANSITIONS[REVOKE.name]
    return row.state_at(row.read_at) in edge.moves.sources and Role.STAFF in edge.act.roles  # type: ignore[attr-defined]  # annotated


def revoke(row: AccessRequest | Grant, actor: Actor, data: dict[str, Any]) -> AccessRequest:
    pk = row.access_request_id if isinstance(row, Grant) else row.pk
    return operations.revoke(pk, actor=actor, note=data.get("note", ""))


def _in_state(rows: QuerySet, value: str) -> QuerySet:
    """Return the rows in one state.

    A state such as "open" is rare. For these states, the query also has the condition of an index that contains only
    such rows. Otherwise SQLite would read the whole table, because it does not know how rare a state is.
    """
    rows = rows.filter(state=value)
    if value == State.OPEN:
        return rows.filter(pk__in=Grant.objects.unclosed().values("access_request"))
    if value in PENDING:
        services = list(Service.objects.values_list("pk", flat=True))
        return rows.filter(service__in=services, decide_by__gt=_BEFORE_EVERYTHING)
    return rows


def _close_now(**fields: Any) -> AdminAction:
    return of_act(
        REVOKE,
        "revoke",
        label=_("Close the window now"),
        run=revoke,
        done=_("The window is closed."),
        explains=_("The window will no longer give access. The engineer and the customer get a mail."),
        bulk=_("Close these windows now"),
        **fields,
    )


class AccessRequestAdmin(StaffAdmin):
    list_display = ("reference", state_now, "tenant", "service", "requested_by", "level", "submitted_at", "decide_by")
    reads: ClassVar = ("tenant", "service", "requested_by", "grant")
    ordering = ("-submitted_at",)
    date_hierarchy = "submitted_at"
    lead = SEALED
    search: ClassVar = Search(references=("reference",), tenant="tenant", people=("requested_by",))
    list_filter = (
        by_choice("state", _("state"), State.choices, narrow=_in_state),
        by_choice("reason_kind", _("reason"), AccessRequest.Reason.choices),
        by_choice("level", _("how much"), Level.choices),
        by_tenant(),
        by_row("service", _("service"), Service),
        by_row("requested_by", _("engineer"), Person),
        by_row("ticket", _("ticket"), Ticket),
    )
    facts: ClassVar = [
        ("", ("reference", state_now, "tenant", "service", "requested_by", "needs_customer_approval", grant_of)),
        (
            _("What was asked for"),
            (
                "level",
                "service_words",
                length("window_for", _("window")),
                "reason_kind",
                "ticket",
                "tried",
                "justification",
                "previous",
                "raised_by",
                "source_url",
            ),
        ),
        (_("Law-enforcement demand"), ("authority", "instrument", "demand_reference", "demand_date")),
        (_("Times"), ("submitted_at", "decide_by", "state_changed_at")),
        (_("Identity"), ("id", digest)),
    ]
    related: ClassVar = [
        Related(model=AccessRequestResource, by=lambda row: {"access_request": row}, title=_("Resources")),
        Related(model=Decision, by=lambda row: {"access_request": row}, order=("at",)),
        Related(
            model=ContentAccess,
            by=lambda row: {"grant": row.grant} if getattr(row, "grant", None) else None,
            title=_("What was looked at"),
        ),
        Related(
            model=AccessRequest,
            by=lambda row: {"previous": row},
            order=("state_changed_at",),
            title=_("Asked again"),
        ),
        Related(
            model=AccessTask,
            by=lambda row: {"access_request": row} if row.raised_by else None,
            title=_("The client that follows it"),
        ),
        Related(model=OutboxMessage, by=lambda row: {"about": row.pk}, title=_("Messages about this access request")),
        Related(
            model=AuditEntry,
            by=lambda row: {"tenant_id": row.tenant_id, "correlation_id": row.pk},
            order=("seq",),
            title=_("Entries in the tenant's log"),
        ),
    ]
    acts: ClassVar = [_close_now(offered=is_open)]


class ScopeAdmin(StaffAdmin):
    """The resources that an access request names, one per row."""

    list_display = ("access_request", "resource", "position")
    reads: ClassVar = ("access_request", "resource")
    ordering = ("-id",)
    lead = SEALED
    words = _("Resources asked for")
    search: ClassVar = Search(ids=("access_request", "resource"), references=("access_request__reference",))
    list_filter = (
        by_row("access_request", _("access request"), AccessRequest),
        by_row("resource", _("resource"), Resource),
    )
    facts: ClassVar = [("", ("access_request", "resource", "position"))]

    def name_of(self, row: AccessRequestResource) -> str:
        return f"{row.access_request}: {row.resource}"


class DecisionAdmin(StaffAdmin):
    list_display = ("at", "access_request", "stage", verdict, signed, decided_by, door, "tenant")
    reads: ClassVar = ("tenant", "access_request", "decider", "client__account")
    ordering = ("-at",)
    date_hierarchy = "at"
    lead = SEALED
    search: ClassVar = Search(
        ids=("pk", "access_request"),
        references=("access_request__reference",),
        tenant="tenant",
        people=("decider",),
    )
    list_filter = (
        by_choice("stage", _("stage"), Decision.Stage.choices),
        by_choice("verdict", _("verdict"), Decision.Verdict.choices),
        by_tenant(),
        by_row("decider", _("person"), Person),
        by_row("access_request", _("access request"), AccessRequest),
    )
    facts: ClassVar = [
        ("", ("access_request", "tenant", "stage", verdict, decided_by, "decider", "client", "at", door, "comment")),
        (_("Signature"), (signed, signed_by, signed_digest)),
        (_("Identity"), ("decider_human", "requester_human")),
    ]

    def name_of(self, row: Decision) -> str:
        return f"{row.access_request}: {row.get_stage_display()}, {row.get_verdict_display()}"


class GrantAdmin(StaffAdmin):
    list_display = ("opens_at", window_now, "access_request", "tenant", "engineer", "closes_at", "closed_at")
    reads: ClassVar = ("tenant", "access_request", "engineer")
    ordering = ("-opens_at",)
    date_hierarchy = "opens_at"
    lead = SEALED
    search: ClassVar = Search(
        ids=("pk", "access_request"),
        references=("access_request__reference",),
        tenant="tenant",
        people=("engineer",),
    )
    list_filter = (
        by_choice(
            "window",
            _("window"),
            [("open", _("not closed yet")), ("closed", _("closed"))],
            narrow=lambda rows, value: rows.filter(closed_at__isnull=value == "open"),
        ),
        by_choice("close_reason", _("how it closed"), Grant.CloseReason.choices),
        by_tenant(),
        by_row("engineer", _("engineer"), Person),
        by_row("access_request", _("access request"), AccessRequest),
    )
    facts: ClassVar = [
        ("", (window_now, "access_request", "tenant", "engineer", "level")),
        (_("Window"), ("opens_at", "closes_at", "closed_at", "close_reason", "closed_by")),
    ]
    related: ClassVar = [
        Related(model=ContentAccess, by=lambda row: {"grant": row}, title=_("What was looked at")),
        Related(
            model=AccessRequestResource,
            by=lambda row: {"access_request": row.access_request},
            title=_("Resources"),
        ),
    ]
    acts: ClassVar = [_close_now(offered=lambda row: row.is_live(row.read_at))]

    def name_of(self, row: Grant) -> str:
        return str(_("Window of %(reference)s") % {"reference": row.access_request})

    def links(self, row: Grant) -> list[tuple[str, str]]:
        filters = {"tenant_id": row.tenant_id, "correlation_id": row.access_request_id}
        return [(str(_("Entries in the tenant's log")), list_of(AuditEntry, **filters))]


class ContentAccessAdmin(StaffAdmin):
    list_display = ("at", "kind", "item_ref", "resource", reached("grant__engineer", _("engineer")), "tenant")
    reads: ClassVar = ("tenant", "resource", "grant__engineer", "grant__access_request")
    ordering = ("-at",)
    date_hierarchy = "at"
    lead = SEALED
    search: ClassVar = Search(ids=("pk", "grant"), tenant="tenant")
    list_filter = (
        by_choice("kind", _("kind"), ContentAccess.Kind.choices),
        by_tenant(),
        by_row("grant", _("grant"), Grant),
        by_row("resource", _("resource"), Resource),
    )
    facts: ClassVar = [
        ("", ("at", "kind", "item_ref", "item_id", "part", "count", "resource", "tenant")),
        (
            _("Access request and grant"),
            (
                reached("grant__access_request", _("access request")),
                reached("grant__engineer", _("engineer")),
                reached("grant", _("grant"), words="opens_at"),
            ),
        ),
    ]

    def name_of(self, row: ContentAccess) -> str:
        return f"{row.grant.access_request}: {row.get_kind_display()} {row.item_ref}".strip()
