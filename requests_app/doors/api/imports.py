"""Many resources in one call, and the report about an import."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar
from uuid import UUID

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain.actors import Actor
from requests_app.domain.acts.imports import START_IMPORT
from requests_app.domain.errors import OutcomeUnknown, StoreUnavailable
from requests_app.domain.imports import RESOURCE, Fault, FaultyFile, Line, Row, Source, Status, read
from requests_app.domain.scopes import Scope
from requests_app.doors.api.base import ApiView
from requests_app.doors.api.errors import FaultyRows
from requests_app.doors.api.fields import Several, Strict, Text, YesNo
from requests_app.doors.api.resources import KINDS
from requests_app.doors.api.schema import extend_schema, one
from requests_app.models import Import
from requests_app.queries import imports as queries

#: The most rows of one call, and how many of them count as one call for the quota.
ROWS_MAX, ROWS_PER_CALL = 1000, 10
#: What the log calls the source of the rows.
SOURCE = "POST /api/v1/resources/bulk"
#: The columns of an import that have another name in the API.
_COLUMNS = {"active": "is_active"}
_NAMES = {column.name: _COLUMNS.get(column.name, column.name) for column in RESOURCE.columns}
_TAGS = ["provider"]


class BulkRow(Strict):
    """A resource, which is found by its `external_id`. A value that is left out stays as it is.

    `tenant` is the tenant's short name or external id. `service` is the service's key. A new resource needs `kind` and
    `name`, and a `locator` unless its service is external.
    """

    tenant = Text()
    service = Text()
    external_id = Text()
    kind = serializers.ChoiceField(choices=KINDS, required=False)
    name = Text(required=False)
    locator = Text(required=False)
    is_active = YesNo(required=False)


class BulkIn(Strict):
    rows = BulkRow(many=True, min_length=1, max_length=ROWS_MAX)


class _BulkBody(Strict):
    """The rows as they are sent. The import finds every fault in them, and names the row and the field of each."""

    rows = Several(child=serializers.DictField(), min_length=1, max_length=ROWS_MAX)


class FaultOut(serializers.Serializer):
    """Why a row was refused. `field` is empty if it was refused as a whole. A `code` never changes its meaning."""

    field = serializers.SerializerMethodField()
    code = serializers.CharField()
    reason = serializers.CharField()

    def get_field(self, fault: Fault) -> str:
        return _NAMES.get(fault.column, fault.column)


class ImportedRow(serializers.Serializer):
    """What became of a row. `row` is its position in the call, from 0. If a file was imported, it is its line."""

    row = serializers.IntegerField(source="line")
    kind = serializers.CharField()
    name = serializers.CharField()
    status = serializers.ChoiceField(choices=[str(status) for status in Status])
    errors = FaultOut(source="faults", many=True)


class Counts(serializers.Serializer):
    """How many rows have each status."""

    created = serializers.IntegerField()
    changed = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    waiting_for_confirmation = serializers.IntegerField()
    refused = serializers.IntegerField()


class ImportOut(serializers.Serializer):
    """The report about an import. `id` is null if the rows changed nothing, so that no import was necessary.

    `finished_at` is null until all rows are written, and those that wait for a second person are announced. `rows` has
    those that are written. `proposal` is the one proposal for all rows that wait.
    """

    id = serializers.UUIDField(allow_null=True)
    finished_at = serializers.DateTimeField(allow_null=True)
    proposal = serializers.UUIDField(allow_null=True)
    counts = Counts()
    rows = ImportedRow(many=True)


class BulkResources(ApiView):
    acts: ClassVar = {"POST": (START_IMPORT,)}
    shows = "import"

    @extend_schema(
        operation_id="resources_bulk",
        summary="Add or change up to 1,000 resources",
        tags=_TAGS,
        request=BulkIn,
        responses=one(ImportOut),
        examples=[
            OpenApiExample(
                "Two mailboxes",
                request_only=True,
                value={
                    "rows": [
                        {
                            "tenant": "contoso",
                            "service": "exchange-online",
                            "external_id": f"M-{number}",
                            "kind": "mailbox",
                            "name": f"Mailbox {number}",
                            "locator": f"contoso/mail/m-{number}",
                        }
                        for number in (1, 2)
                    ]
                },
            )
        ],
    )
    def post(self, request: Any) -> Response:
        """Only staff and the provider's clients can do this. Ten rows count as one call.

        If one row has a fault, nothing is changed: the answer is 422, and `errors` names every fault, for example at
        `rows.3.locator`. Otherwise the answer is 200 with the result of each row. Rows that reduce a tenant's
        protection wait for a second person, all in one proposal. The same rows again change nothing.

        If the database fails while the rows are written, `finished_at` is null. The rest is written later: read the
        import again.
        """
        sent = hashlib.sha256(request._request.body).hexdigest()
        raw = self.body(_BulkBody)["rows"]
        self.take(len(raw) // ROWS_PER_CALL - 1)
        faults: list[Fault] = []
        rows = [_row(number, each, faults) for number, each in enumerate(raw)]
        source = Source(rows, faults, SOURCE, sent)
        try:
            row = operations.start_import(source, actor=self.actor)
        except FaultyFile as refusal:
            raise FaultyRows([_named(fault) for fault in refusal.faults]) from refusal
        if row is None:
            report = operations.check_import(source, actor=self.actor)
            return Response(ImportOut(_report(None, report.counts, report.lines)).data)
        return Response(ImportOut(_of(_written(row))).data)


class OneImport(ApiView):
    scopes: ClassVar = {"GET": Scope.PROVISION}

    @extend_schema(
        operation_id="imports_show", summary="Read the report about an import", tags=_TAGS, responses=one(ImportOut)
    )
    def get(self, request: Any, pk: UUID) -> Response:
        """Only staff and the provider's clients can read it."""
        return self.shown(ImportOut, _of(queries.find(pk, actor=self.actor)))


def _named(fault: Fault) -> dict[str, str]:
    """Return a fault with the path of its field in the call."""
    path = ".".join(filter(None, ("rows", str(fault.line), _NAMES.get(fault.column, fault.column))))
    return {"field": path, "code": fault.code, "detail": fault.reason}


def _row(number: int, raw: Mapping[str, Any], faults: list[Fault]) -> Row:
    """Return the row, and add the faults of its members to `faults`. A member that is there has a value."""
    known = ", ".join(_NAMES.values())
    unknown = sorted(set(raw) - set(_NAMES.values()))[:20]
    faults += (Fault(number, name[:60], "unknown_column", {"known": known}) for name in unknown)
    named = {column: raw[name] for column, name in _NAMES.items() if name in raw}
    empty = [column for column, value in named.items() if value is None or not str(value).strip()]
    # The external id finds the row when the call is repeated.
    empty += ["external_id"] if "external_id" not in named else []
    faults += (Fault(number, column, "needed") for column in empty)
    if not isinstance(named.get("active", True), bool):
        faults.append(Fault(number, "active", "not_a_choice", {"choices": "true, false"}))
        del named["active"]
    return read(RESOURCE, number, named)


def _written(row: Import) -> Import:
    """Write the rows within the call. If the database fails, a worker writes the rest later."""
    try:
        return operations.run_import(row.pk, actor=Actor.system("import"))
    except (StoreUnavailable, OutcomeUnknown):
        row.refresh_from_db()
        return row


def _of(row: Import) -> dict[str, Any]:
    return _report(row, row.counts, queries.lines_of(row))


def _report(row: Import | None, counts: Mapping[str, int], lines: Iterable[Line]) -> dict[str, Any]:
    return {
        "id": row.pk if row is not None else None,
        "finished_at": row.finished_at if row is not None else None,
        "proposal": row.proposal_id if row is not None else None,
        "counts": {str(status): counts.get(status, 0) for status in Status},
        "rows": sorted(lines, key=lambda line: line.line),
    }
