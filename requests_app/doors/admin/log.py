"""The tenants' logs, with names and links that the logs themselves do not contain."""

from __future__ import annotations

import datetime as dt
from typing import Any, ClassVar
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import BadRequest
from django.db import models
from django.db.models import OuterRef, QuerySet, Subquery
from django.http import HttpRequest, QueryDict
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _

from audit_app import periods, witnesses
from audit_app.admin import AuditEntryAdmin, ChainHeadAdmin
from audit_app.models import AuditEntry, ChainHead, Checkpoint, Cosignature, LogAlarm, Witness
from audit_app.notes import BadNote, Verifier
from requests_app.domain.events import TITLES, title_of
from requests_app.domain.ids import as_id
from requests_app.doors.admin.access import SEALED
from requests_app.doors.admin.base import Related, StaffAdmin
from requests_app.doors.admin.columns import NOTHING, door, link_to, list_of, mono, preformatted
from requests_app.doors.admin.filters import Choices, Filter, by_choice, by_row
from requests_app.doors.admin.searching import Search
from requests_app.models import (
    AccessRequest,
    Grant,
    OutboxMessage,
    Person,
    Plan,
    Resource,
    Service,
    SignalStream,
    Tenant,
    Ticket,
    Webhook,
)
from requests_app.operations._change import PROVIDER_LOG
from requests_app.words import text

_SUBJECTS: dict[str, type[models.Model]] = {
    "access_request": AccessRequest,
    "grant": Grant,
    "outbox_message": OutboxMessage,
    "person": Person,
    "plan": Plan,
    "resource": Resource,
    "service": Service,
    "signal_stream": SignalStream,
    "tenant": Tenant,
    "ticket": Ticket,
    "webhook": Webhook,
}
TENANT_NAME = Subquery(Tenant.objects.filter(pk=OuterRef("tenant_id")).values("name")[:1])
_REFERENCE = Subquery(AccessRequest.objects.filter(pk=OuterRef("correlation_id")).values("reference")[:1])


class ByLog(Filter):
    """Selects one tenant's log or the provider's own log.

    Without a choice, the newest entries of all logs are shown.
    """

    parameter_name = "tenant_id"
    title = _("log")
    narrow = staticmethod(lambda rows, value: rows.filter(tenant_id=value))

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> Choices:
        named = Tenant.objects.order_by("name").values_list("pk", "name", "slug")
        chosen = self.value()
        found = [(str(pk), f"{name} ({slug})") for pk, name, slug in named[:50]]
        if chosen and chosen not in dict(found):
            found += [(str(pk), f"{name} ({slug})") for pk, name, slug in named if str(pk) == chosen]
        return [(str(PROVIDER_LOG), _("The provider’s own log")), *found]


def in_one_log(declared: type[Filter]) -> type[Filter]:
    """Return a variant of a filter. The variant is shown only after a log was chosen.

    The filter's index begins with the log, so other searches would be slow.
    """

    class InOneLog(declared):  # type: ignore[valid-type, misc]  # a class made by a function
        def has_output(self) -> bool:
            return bool(self.request.GET.get("tenant_id")) and super().has_output()

    return InOneLog


@admin.display(description=_("what happened"))
def event(entry: AuditEntry) -> str:
    return title_of(entry.event)


@admin.display(description=_("log"))
def tenant(entry: Any) -> str:
    return _named(entry.tenant_id, entry.tenant_name)


@admin.display(description=_("access request"))
def access_request(entry: Any) -> str:
    if entry.correlation_id is None:
        return NOTHING
    return link_to(AccessRequest(pk=entry.correlation_id), entry.reference or entry.correlation_id)


@admin.display(description=_("about"))
def subject(entry: AuditEntry) -> str:
    model = _SUBJECTS.get(entry.subject_type)
    if model is None:
        return mono(entry.subject_id)
    row = model._default_manager.filter(pk=entry.subject_id).first()
    return link_to(row) if row else mono(f"{entry.subject_type} {entry.subject_id}")


@admin.display(description=_("person"))
def actor(entry: AuditEntry) -> str:
    if entry.actor_id is None:
        return text.visible_single(entry.actor_name)
    return link_to(Person(pk=entry.actor_id), entry.actor_name)


@admin.display(description=_("entries"), ordering="size")
def entries(head: ChainHead) -> str:
    return format_html('<a href="{}">{}</a>', list_of(AuditEntry, tenant_id=head.pk), head.size)


@admin.display(description=_("part"), ordering="shard")
def part(head: ChainHead) -> str:
    return str(head.shard + 1)


def _in_days(rows: QuerySet, query: QueryDict) -> QuerySet:
    """Narrow the list to the numbers of the year, month or day that was chosen.

    Django has checked the date, and compares the times of the entries with the same period. There is no index of these.
    """
    log_id = as_id(query.get("tenant_id", "").strip())
    year, month, day = (query.get(name) for name in ("at__year", "at__month", "at__day"))
    if log_id is None or not year:
        return rows
    begin = dt.date(int(year), int(month or 1), int(day or 1))
    end = begin + dt.timedelta(days=1)
    if not day:
        # 32 days after the first of a month, it is the next month.
        end = (begin + dt.timedelta(days=32)).replace(day=1) if month else begin.replace(year=begin.year + 1)
    zone = timezone.get_current_timezone()
    try:
        since, until = (dt.datetime.combine(date, dt.time.min, tzinfo=zone).astimezone(dt.UTC) for date in (begin, end))
    except OverflowError:
        # In zones east of Greenwich, the first day of the calendar begins before it.
        raise BadRequest from None
    return periods.within(rows, log_id, since=since, until=until)


class LogEntryAdmin(StaffAdmin, AuditEntryAdmin):
    list_display = ("at", event, actor, access_request, tenant, door, "seq")
    list_filter = (
        ByLog,
        in_one_log(by_choice("event", _("what happened"), [(str(name), words) for name, words in TITLES.items()])),
        in_one_log(by_row("actor_id", _("person"), Person)),
        in_one_log(by_row("correlation_id", _("access request"), AccessRequest)),
        in_one_log(by_row("subject_id", _("about"))),
    )
    # Dates are offered only after a log was chosen: within a log, they are in the order of the numbers.
    date_hierarchy = "at"
    sortable_by = ("seq",)
    lead = SEALED
    words = _("Log entries")
    search: ClassVar = Search(references=("correlation_id",), tenant="tenant_id")

    def name_of(self, row: Any) -> str:
        log = log_name(row.tenant_id, row.tenant_name)
        return str(_("%(log)s, entry %(number)d") % {"log": log, "number": row.seq})

    def first_and_last(self, changes: Any) -> list[Any]:
        chosen = changes.params.get("tenant_id")
        if not chosen or not _is_uuid(chosen):
            return []
        rows = AuditEntry.objects.filter(tenant_id=chosen).values_list("at", flat=True)
        return [rows.order_by(order).first() for order in ("seq", "-seq")]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        is_date = lookup.startswith(f"{self.date_hierarchy}__")
        if is_date and not (request is not None and request.GET.get("tenant_id")):
            return False
        return super().lookup_allowed(lookup, value, request)

    @admin.display(description=_("Canonical record"))
    def layout(self, entry: AuditEntry) -> str:
        return preformatted(self.record(entry))

    @admin.display(description=_("Leaf hash (SHA-256)"))
    def grouped_leaf(self, entry: AuditEntry) -> str:
        return text.digest_groups(self.leaf(entry))

    facts: ClassVar = [
        ("", ("at", event, "event", actor, door, tenant, "seq", access_request, subject)),
        (_("Evidence"), ("is_intact", "grouped_leaf", "layout")),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).annotate(tenant_name=TENANT_NAME, reference=_REFERENCE)

    def get_ordering(self, request: HttpRequest) -> tuple[str, ...]:
        """Order one log by the numbers of its entries, and all logs together by the primary key.

        There is an index for each order.
        """
        return ("-seq",) if request.GET.get("tenant_id") else ("-id",)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet, search_term: str) -> tuple[QuerySet, bool]:
        """If the reference of an access request was typed, find the entries about this access request.

        The query also names the tenant, because the index for this search begins with the tenant.
        """
        queryset = _in_days(queryset, request.GET)
        found = Search(references=("reference",)).narrow(AccessRequest.objects.all(), search_term).first()
        if search_term and found is not None:
            return queryset.filter(tenant_id=found.tenant_id, correlation_id=found.pk), False
        if _is_uuid(search_term):
            return queryset.none(), False
        return super().get_search_results(request, queryset, search_term)


class LogHeadAdmin(StaffAdmin, ChainHeadAdmin):
    list_display = (tenant, entries, "last_at", "unsigned_since")
    words = _("Logs")
    lead = _("One log for each tenant, and one log for what concerns no tenant.")
    facts: ClassVar = [
        ("", (tenant, entries, "last_at")),
        (_("How it is signed"), (part, "first_seq", "unsigned_since", "pruned_to")),
    ]
    related: ClassVar = [
        Related(model=LogAlarm, by=lambda head: {"tenant_id": head.pk}),
        Related(
            model=Checkpoint, by=lambda head: {"tenant_id": head.pk}, order=("-id",), title=_("Newest checkpoints")
        ),
        Related(model=AuditEntry, by=lambda head: {"tenant_id": head.pk}, order=("-seq",), title=_("Newest entries")),
    ]

    def name_of(self, row: Any) -> str:
        return log_name(row.pk, row.tenant_name)

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).annotate(tenant_name=TENANT_NAME)


@admin.display(description=_("witness"))
def witness(row: Any) -> str:
    return text.visible_single(str(row))


@admin.display(description=_("what is wrong"))
def problem(row: Witness) -> str:
    return witnesses.problem_words(row.problem) if row.problem else NOTHING


@admin.display(description=_("address"))
def address(row: Witness) -> str:
    return text.visible_single(row.url)


@admin.display(description=_("key"))
def vkey(row: Any) -> str:
    return mono(row.vkey)


@admin.display(description=_("checkpoint"))
def checkpoint(row: Any) -> str:
    return str(_("%(size)d entries, part %(shard)d") % {"size": row.size, "shard": row.shard + 1})


@admin.display(description=_("line"))
def line(row: Cosignature) -> str:
    return preformatted(row.line)


class Failing(Filter):
    parameter_name = "failing"
    title = _("state")
    narrow = staticmethod(lambda rows, value: rows.filter(problem="") if value == "no" else rows.exclude(problem=""))

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> Choices:
        return [("yes", _("does not cosign")), ("no", _("well"))]


class ByWitness(Filter):
    """A filter that is shown only after a witness's page has linked to this list."""

    parameter_name = "vkey"
    title = _("witness")
    narrow = staticmethod(lambda rows, value: rows.filter(vkey=value))

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin) -> Choices:
        try:
            return [(value, Verifier.parse(value).name)] if (value := self.value()) else []
        except BadNote:
            return []

    def has_output(self) -> bool:
        return bool(self.value())


class WitnessAdmin(StaffAdmin):
    """Witnesses, read-only: staff can't choose who checks the provider."""

    list_display = (witness, tenant, "cosigned_at", problem, "failures", "due_at")
    list_filter = (Failing, ByLog)
    ordering = ("-added_at", "-pk")
    words = _("Witnesses")
    lead = _(
        "The witnesses that tenants have asked to cosign their logs. Only a tenant’s own administrators add or "
        "remove them."
    )
    facts: ClassVar = [
        ("", (witness, tenant, address, "added_at")),
        (_("State"), ("cosigned_at", "held_size", problem, "failures", "due_at")),
        (_("Evidence"), (vkey,)),
    ]
    related: ClassVar = [
        Related(
            model=Cosignature,
            by=lambda row: {"tenant_id": row.tenant_id, "vkey": row.vkey},
            order=("-id",),
            title=_("Newest cosignatures"),
        )
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).annotate(tenant_name=TENANT_NAME)


class CosignatureAdmin(StaffAdmin):
    list_display = (witness, tenant, checkpoint, "at")
    list_filter = (ByLog, in_one_log(ByWitness))
    ordering = ("-id",)
    words = _("Cosignatures")
    lead = _("The cosignatures of witnesses. They stay when a witness is removed.")
    facts: ClassVar = [("", (witness, tenant, checkpoint, "at")), (_("Evidence"), (vkey, line))]

    def name_of(self, row: Any) -> str:
        return str(_("%(witness)s, %(size)d entries") % {"witness": row, "size": row.size})

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        of = Checkpoint.objects.filter(pk=OuterRef("checkpoint_id"))
        found = super().get_queryset(request).annotate(tenant_name=TENANT_NAME)
        return found.annotate(size=Subquery(of.values("size")), shard=Subquery(of.values("shard")))


def _named(tenant_id: UUID, name: str | None) -> str:
    if tenant_id == PROVIDER_LOG:
        return str(_("The provider’s own log"))
    return link_to(Tenant(pk=tenant_id), name) if name else mono(tenant_id)


def log_name(tenant_id: UUID, name: str | None) -> str:
    return str(_("The provider’s own log")) if tenant_id == PROVIDER_LOG else name or str(tenant_id)


def _is_uuid(typed: str) -> bool:
    return as_id(typed.strip()) is not None
