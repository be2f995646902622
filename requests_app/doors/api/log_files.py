"""The log as a file: an export in one of the formats, and evidence. Each download gets its own entry in the log.

A file is made while it is sent. If the reader loses the permission meanwhile, the download stops.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Generator, Iterator
from typing import Any, ClassVar
from uuid import UUID

import django_filters
from django.conf import settings
from django.http import StreamingHttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from rest_framework import exceptions

from audit_app import checkpoint_history, evidence
from audit_app.bundle_selection import EvidenceScope
from audit_app.models import AuditEntry
from audit_app.proofs import NotProven
from audit_app.shard_positions import Shards
from audit_app.siem import FORMATS, Source
from requests_app import operations
from requests_app.content.downloads import disposition, in_batches, in_steps
from requests_app.domain import clock
from requests_app.domain.errors import LogDamaged, NotFound, NotYetSigned, Unacceptable
from requests_app.doors.api.fields import InstantFilter, WholeFilter
from requests_app.doors.api.log import TAGS, EntryFilter, OfLog
from requests_app.doors.api.media import Whatever
from requests_app.doors.api.schema import extend_schema, filters_of, problems
from requests_app.models import AccessRequest, Tenant
from requests_app.platform.long_calls import LongCall
from requests_app.queries import access
from requests_app.queries import log as queries
from requests_app.queries.log_search import Matches

#: The time at which a file was made, in its name.
_STAMP = "%Y%m%dT%H%M%SZ"


class ExportFilter(EntryFilter):
    format = django_filters.ChoiceFilter(choices=[(name, name) for name in FORMATS], method="unfiltered")


class EvidenceFilter(django_filters.FilterSet):
    """`kept` is the size of a checkpoint that you have stored.

    The bundle then also contains the proof that the log has only grown since that checkpoint.
    """

    since = InstantFilter(method="unfiltered")
    until = InstantFilter(method="unfiltered")
    kept = WholeFilter(method="unfiltered")

    def unfiltered(self, rows: Any, _name: str, _value: Any) -> Any:
        return rows


class _File(OfLog):
    content_negotiation_class = Whatever
    has_no_etag = True

    def head(self, request: Any, **_ids: Any) -> Any:
        """Refuse HEAD: a download writes an entry, so HEAD would write an entry without a download."""
        raise exceptions.MethodNotAllowed("HEAD")

    def sent(self, chunks: Generator[bytes], place: LongCall, log: UUID, *, name: str, kind: str) -> Any:
        steps = in_steps(chunks, log, actor=self.actor)
        response = StreamingHttpResponse(place.to_the_end_of(steps), content_type=kind)
        response["Content-Disposition"] = disposition(name, as_attachment=True)
        return response


_EXPORT: dict[Any, Any] = {
    (200, "application/jsonl"): OpenApiTypes.STR,
    (200, "text/plain"): OpenApiTypes.STR,
    (200, "text/csv"): OpenApiTypes.STR,
}


class _Export(_File):
    parameters: ClassVar = frozenset(ExportFilter.get_filters())

    def exported(self, log: queries.Log, called: str) -> Any:
        """Commit the entry about the download, and then return the file. The file's name begins with `called`."""
        filters = self.filtered(ExportFilter, queries.entries(log))
        query = self.request.query_params
        given = {name: str(query[name]) for name in ExportFilter.get_filters() if name in query}
        kind = given.pop("format", "jsonl")
        after = filters.form.cleaned_data["after"]
        if after is not None and after >= queries.head(log).size:
            raise Unacceptable(
                _("This cursor is beyond the end of the log. Begin again without a cursor."), field="after"
            )
        with LongCall(self.token.account_id, tenant_id=log.pk) as place:
            operations.export_log(log.pk, actor=self.actor, kind=kind, filters=given)
            wanted, source = FORMATS[kind], Source(Shards.of(log.pk), vendor=settings.PROVIDER_NAME)
            # The end is fixed. Otherwise the export of a log that grows faster than it is read would never end.
            entries = _oldest_first(filters.selected(log), until=queries.head(log).size)
            name = f"{called}-log-{_now():{_STAMP}}.{wanted.ending}"
            chunks = in_batches(wanted.lines(entries, source))
            return self.sent(chunks, place, log.pk, name=name, kind=wanted.content_type)


def _oldest_first(rows: Any, *, until: int) -> Iterator[AuditEntry]:
    return iter(rows.filter(seq__lt=until)) if isinstance(rows, Matches) else queries.batches(rows, until=until)


class Export(_Export):
    @extend_schema(
        operation_id="log_export",
        summary="Export a log, in one of the formats",
        tags=TAGS,
        parameters=filters_of(ExportFilter),
        responses=_EXPORT,
    )
    def get(self, request: Any, tenant: UUID) -> Any:
        """The export is in `jsonl`, unless `format` names another format. The oldest entry comes first.

        The export ends where the log ended at the time of the call. To continue, send the number in its last line as
        `after`. An export that stops early ends with an incomplete line.
        """
        row = queries.readable(tenant, actor=self.actor)
        return self.exported(queries.Log(row.pk), row.slug)


class ProviderExport(_Export):
    @extend_schema(
        operation_id="provider_log_export",
        summary="Export the provider's own log, in one of the formats",
        tags=TAGS,
        parameters=filters_of(ExportFilter),
        responses=_EXPORT,
    )
    def get(self, request: Any) -> Any:
        """Only staff can do this. The format and the parameters are the same as for the export of a tenant's log."""
        return self.exported(self.log(), "provider")


_ZIP: dict[Any, Any] = {(200, "application/zip"): OpenApiTypes.BINARY} | problems(409)


class _Evidence(_File):
    def taken(self, tenant: Tenant, about: AccessRequest | None = None) -> Any:
        values = self.filtered(EvidenceFilter, AuditEntry.objects.none()).form.cleaned_data
        since, until, kept = values["since"], values["until"], values["kept"]
        if since and until and until <= since:
            raise Unacceptable(_("The end of the period must be after its beginning."), field="until")
        if kept and not checkpoint_history.is_known(tenant.pk, kept):
            raise Unacceptable(_("This log has no checkpoint with this number of entries."), field="kept")
        wanted = EvidenceScope(
            tenant_id=tenant.pk,
            tenant_name=tenant.name,
            access_request=about.pk if about else None,
            since=since,
            until=until,
            previous_size=kept,
            is_practice=about is not None and about.is_practice,
        )
        at = _now()
        prepared = _prepared(wanted, at)
        with LongCall(self.token.account_id, tenant_id=tenant.pk) as place:
            operations.take_evidence(
                tenant.pk, actor=self.actor, access_request_id=wanted.access_request, since=since, until=until
            )
            name = f"{tenant.slug}-evidence-{about.reference if about else 'log'}-{at:{_STAMP}}.zip"
            return self.sent(_bundle(prepared), place, tenant.pk, name=name, kind="application/zip")


class LogEvidence(_Evidence):
    parameters: ClassVar = frozenset(EvidenceFilter.get_filters())

    @extend_schema(
        operation_id="log_evidence",
        summary="Download evidence for a log, or for a period of it",
        tags=TAGS,
        parameters=filters_of(EvidenceFilter),
        responses=_ZIP,
    )
    def get(self, request: Any, tenant: UUID) -> Any:
        """The bundle contains everything that the verifier needs. Entries that are not signed yet are not included.

        This bundle has no timeline for people. Download it from the web page to get one.
        """
        return self.taken(queries.readable(tenant, actor=self.actor))


class AccessRequestEvidence(_Evidence):
    parameters: ClassVar = frozenset({"kept"})

    @extend_schema(
        operation_id="access_requests_evidence",
        summary="Download evidence for one access request",
        tags=["access requests"],
        parameters=filters_of(EvidenceFilter, only=["kept"]),
        responses=_ZIP,
    )
    def get(self, request: Any, pk: UUID) -> Any:
        """A bundle of everything in the log about this access request.

        Only people who can read the log can download it.

        The bundle contains everything that the verifier needs.
        """
        row = access.access_request(pk, actor=self.actor)
        return self.taken(queries.readable(row.tenant_id, actor=self.actor), row)


def _prepared(wanted: EvidenceScope, at: dt.datetime) -> evidence.Evidence:
    try:
        return evidence.prepare(wanted, at=at)
    except NotProven as why:
        if why.code == "unsigned":
            raise NotYetSigned(_("None of these entries is signed yet. Try again in a minute.")) from why
        if why.code == "absent":
            raise NotFound from why
        raise LogDamaged(_("Evidence can’t be made, because the stored log does not match the signed log.")) from why


def _bundle(prepared: evidence.Evidence) -> Generator[bytes]:
    yield from prepared.stream()


def _now() -> dt.datetime:
    return clock.now().astimezone(dt.UTC)
