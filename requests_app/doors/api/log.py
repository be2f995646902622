"""The log of a tenant, or the provider's own log: the state of the log, and its entries exactly as they were hashed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar
from uuid import UUID

import django_filters
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from audit_app import checkpoints, keys, periods
from audit_app.exported_entries import ExportedEntry, read
from audit_app.models import AuditEntry, LogKey
from audit_app.queries import Filter
from audit_app.shard_positions import Shards
from requests_app.domain.acts import EVENTS
from requests_app.domain.errors import NotFound
from requests_app.domain.scopes import Scope
from requests_app.doors.api.base import ApiView, ListView
from requests_app.doors.api.fields import IdFilter, InstantFilter, WholeFilter
from requests_app.doors.api.schema import extend_schema
from requests_app.queries import log as queries
from requests_app.queries.log import Log
from requests_app.queries.log_search import Search, matches

TAGS = ["log"]
READ: dict[str, Scope] = {"GET": Scope.LOG_READ}

# --- Answers -------------------------------------------------------------------------------------------------


class ActedForOut(serializers.Serializer):
    id = serializers.CharField()
    name = serializers.CharField()
    email = serializers.CharField()


class ActedOut(serializers.Serializer):
    """`kind` is `person`, `client` or `system`. `in_name_of` is the human for whom a client acted."""

    kind = serializers.CharField(source="actor.kind")
    id = serializers.SerializerMethodField()
    name = serializers.CharField(source="actor.name")
    side = serializers.CharField(source="actor.side")
    email = serializers.CharField(source="actor.email")
    in_name_of = serializers.SerializerMethodField()

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_id(self, entry: ExportedEntry) -> str | None:
        return entry.actor["id"] or None

    @extend_schema_field(ActedForOut(allow_null=True))
    def get_in_name_of(self, entry: ExportedEntry) -> Any:
        return ActedForOut(entry.in_name_of).data if entry.in_name_of else None


class SubjectOut(serializers.Serializer):
    type = serializers.CharField(source="subject_type")
    id = serializers.CharField(source="subject_id")


class LogEntryOut(serializers.Serializer):
    """One entry. `record` is exactly the text that was hashed.

    `leaf_hash` is SHA-256 over a zero byte and the UTF-8 bytes of `record`. The tree `origin` has this hash as its leaf
    at `index`. `seq` numbers the entries of all trees of one log.

    A damaged entry is listed too, and its `is_intact` is false. If the stored text is not a record, `record` is null.
    """

    seq = serializers.IntegerField()
    at = serializers.DateTimeField()
    event = serializers.CharField()
    door = serializers.CharField()
    actor = ActedOut(source="*")
    subject = SubjectOut(source="*")
    access_request = serializers.SerializerMethodField()
    detail = serializers.DictField()
    origin = serializers.CharField(source="position.origin")
    index = serializers.IntegerField(source="position.index")
    leaf_hash = serializers.CharField()
    is_intact = serializers.BooleanField()
    record = serializers.SerializerMethodField()

    def to_representation(self, instance: AuditEntry) -> Any:
        return super().to_representation(read(instance, self.context["places"]))

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_access_request(self, entry: ExportedEntry) -> str | None:
        return entry.access_request or None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_record(self, entry: ExportedEntry) -> str | None:
        return entry.raw or None


class LogOut(serializers.Serializer):
    """`size` is the number that the next entry gets.

    Entries before `pruned_to` were removed by the tenant's retention. `origin` names the newest tree. Its first
    entry has the number `first_seq`, and `signed_size` of its entries are signed. `keys` are the verifier keys
    (C2SP signed-note) that have signed this log. Before you trust a key, compare it with another source.
    `alarm` is the reason why the log is not signed any more, or null if nothing is wrong.
    """

    size = serializers.IntegerField()
    pruned_to = serializers.IntegerField()
    origin = serializers.CharField()
    shard = serializers.IntegerField()
    first_seq = serializers.IntegerField()
    signed_size = serializers.SerializerMethodField()
    signed_at = serializers.SerializerMethodField()
    alarm = serializers.SerializerMethodField()
    keys = serializers.SerializerMethodField()

    def get_signed_size(self, row: checkpoints.LogState) -> int:
        return row.checkpoint.size if row.checkpoint else 0

    @extend_schema_field(serializers.DateTimeField(allow_null=True))
    def get_signed_at(self, row: checkpoints.LogState) -> Any:
        at = row.checkpoint.dated_at if row.checkpoint else None
        return serializers.DateTimeField().to_representation(at) if at else None

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_alarm(self, row: checkpoints.LogState) -> str | None:
        return row.alarm.code if row.alarm else None

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_keys(self, row: checkpoints.LogState) -> list[str]:
        publics = LogKey.objects.order_by("-first_used_at").values_list("pk", flat=True)
        return [str(keys.log_key(row.origin, bytes(public))) for public in publics]


# --- Filters -------------------------------------------------------------------------------------------------


class EntryFilter(django_filters.FilterSet):
    event = django_filters.ChoiceFilter(choices=[(name, name) for name in EVENTS])
    actor = IdFilter(field_name="actor_id")
    access_request = IdFilter(field_name="correlation_id")
    ticket = IdFilter(method="unfiltered")
    since = InstantFilter(method="unfiltered")
    until = InstantFilter(method="unfiltered")
    after = WholeFilter(field_name="seq", lookup_expr="gt")
    before = WholeFilter(field_name="seq", lookup_expr="lt")
    q = django_filters.CharFilter(method="unfiltered", max_length=120)

    def unfiltered(self, rows: Any, _name: str, _value: Any) -> Any:
        """Return the rows unchanged. `selected` applies these filters, because it knows the log."""
        return rows

    def selected(self, log: Log) -> Any:
        """Return the entries that match, also by time, ticket, and the words in `q`."""
        values = self.form.cleaned_data
        rows = self.qs
        if values["ticket"]:
            actor = self.request.parser_context["view"].actor
            rows = queries.on_ticket(rows, log, values["ticket"], actor=actor)
        wanted = Filter(
            event=values["event"] or "",
            actor_id=values["actor"],
            correlation_id=values["access_request"],
            since=values["since"],
            until=values["until"],
        )
        search = Search(wanted=wanted, words=values["q"] or "")
        if not search.is_by_words:
            return periods.within(rows, log.pk, since=values["since"], until=values["until"])
        found = replace(matches(search, log.pk, end=queries.head(log).size), rows=rows)
        return found.filter(seq__gt=values["after"], seq__lt=values["before"])


# --- Routes --------------------------------------------------------------------------------------------------


class OfLog(ApiView):
    """The base of routes about one log. Without a tenant in the path, it is the provider's own log."""

    scopes: ClassVar = READ

    def log(self, tenant: UUID | None = None) -> Log:
        if tenant is None:
            return queries.of_provider(actor=self.actor)
        return queries.of_tenant(tenant, actor=self.actor)

    def standing(self, tenant: UUID | None = None) -> Response:
        return self.shown(LogOut, checkpoints.state(self.log(tenant).pk))

    def entry(self, seq: int, tenant: UUID | None = None) -> Response:
        log = self.log(tenant)
        row = queries.entries(log).filter(seq=seq).first()
        if row is None:
            raise NotFound
        return self.shown(LogEntryOut, row, places=Shards.of(log.pk))


class _Entries(OfLog, ListView):
    serializer_class = LogEntryOut
    filterset_class = EntryFilter
    orders = ("seq", "-seq")

    def entries(self, tenant: UUID | None = None) -> Response:
        self._read = self.log(tenant)
        return self.listed(queries.entries(self._read), places=Shards.of(self._read.pk))

    def selected(self, found: Any) -> Any:
        return found.selected(self._read)


class TenantLog(OfLog):
    @extend_schema(operation_id="log_show", summary="Read the state of a log", tags=TAGS, responses={200: LogOut})
    def get(self, request: Any, tenant: UUID) -> Response:
        return self.standing(tenant)


class ProviderLog(OfLog):
    """Only staff can read this."""

    @extend_schema(
        operation_id="provider_log_show",
        summary="Read the state of the provider's own log",
        tags=TAGS,
        responses={200: LogOut},
    )
    def get(self, request: Any) -> Response:
        return self.standing()


class TenantEntries(_Entries):
    @extend_schema(
        operation_id="log_entries",
        summary="List the entries of a log",
        tags=TAGS,
        responses=LogEntryOut(many=True),
    )
    def get(self, request: Any, tenant: UUID) -> Response:
        """The entries are in the order of their numbers. To continue, send the number of the last entry as `after`.

        Entries at `until` are not included.
        """
        return self.entries(tenant)


class ProviderEntries(_Entries):
    """Only staff can read this."""

    @extend_schema(
        operation_id="provider_log_entries",
        summary="List the entries of the provider's own log",
        tags=TAGS,
        responses=LogEntryOut(many=True),
    )
    def get(self, request: Any) -> Response:
        return self.entries()


class TenantEntry(OfLog):
    @extend_schema(operation_id="log_entry", summary="Read one entry of a log", tags=TAGS, responses={200: LogEntryOut})
    def get(self, request: Any, tenant: UUID, seq: int) -> Response:
        return self.entry(seq, tenant)


class ProviderEntry(OfLog):
    """Only staff can read this."""

    @extend_schema(
        operation_id="provider_log_entry",
        summary="Read one entry of the provider's own log",
        tags=TAGS,
        responses={200: LogEntryOut},
    )
    def get(self, request: Any, seq: int) -> Response:
        return self.entry(seq)
