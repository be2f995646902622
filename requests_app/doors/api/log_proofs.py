"""Checkpoints with their cosignatures, and proofs: an entry is in a log, or one checkpoint continues another.

Each answer is JSON. With `Accept: text/plain`, the answer is the text that C2SP's tools and the verifier read.
"""

from __future__ import annotations

import base64
from typing import Any, ClassVar
from uuid import UUID

import django_filters
from django.db.models import QuerySet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from audit_app import checkpoints, notes
from audit_app.models import Checkpoint
from audit_app.notes import BadNote, Head, Note, Proof
from requests_app.doors.api.base import ListView
from requests_app.doors.api.fields import WholeFilter
from requests_app.doors.api.log import TAGS, OfLog
from requests_app.doors.api.media import JSON_OR_TEXT, PlainText
from requests_app.doors.api.schema import extend_schema, filters_of, problems
from requests_app.queries import log_proofs as queries
from requests_app.queries.log_proofs import Growth

# --- Answers -------------------------------------------------------------------------------------------------


class CosignedOut(serializers.Serializer):
    """`witness` is the verifier key of the witness."""

    witness = serializers.CharField(source="vkey")
    at = serializers.DateTimeField()


class CheckpointLine(serializers.Serializer):
    """`note` is the signed note (C2SP tlog-checkpoint), with the lines of the witnesses. `root` is Base64.

    `dated_at` is the time of the checkpoint's newest signature. If a log does not change, its checkpoint is signed
    again every hour.
    """

    shard = serializers.IntegerField()
    size = serializers.IntegerField()
    root = serializers.SerializerMethodField()
    signed_at = serializers.DateTimeField()
    dated_at = serializers.DateTimeField()
    cosigned = CosignedOut(source="cosignatures", many=True)
    note = serializers.SerializerMethodField()

    def get_root(self, row: Checkpoint) -> str:
        return _b64(bytes(row.root))

    def get_note(self, row: Checkpoint) -> str:
        lines = "".join(each.line for each in row.cosignatures.all())
        try:
            note = Note.parse(row.note)
            return str(note.with_signatures(notes.signature_lines(lines)) if lines else note)
        except BadNote:
            return row.note


class CheckpointOut(serializers.Serializer):
    origin = serializers.CharField()
    shard = serializers.IntegerField()
    size = serializers.IntegerField()
    root = serializers.CharField()
    note = serializers.CharField()


class ProofOut(serializers.Serializer):
    """`path` is the inclusion proof of the leaf at `index` for the root of `checkpoint` (RFC 9162, section 2.1.3.2).

    The hashes in `path` are Base64. `record` is the text of the entry, as it is hashed.
    """

    index = serializers.IntegerField()
    path = serializers.SerializerMethodField()
    record = serializers.SerializerMethodField()
    checkpoint = serializers.CharField()

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_path(self, row: Proof) -> list[str]:
        return [_b64(each) for each in row.path]

    def get_record(self, row: Proof) -> str:
        return (row.extra or b"").decode(errors="replace")


class GrowthOut(serializers.Serializer):
    """`path` is the consistency proof between the root of the first `old` entries and the root of `checkpoint`.

    See RFC 9162, section 2.1.4.2.
    """

    old = serializers.IntegerField()
    path = serializers.SerializerMethodField()
    checkpoint = serializers.CharField()

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_path(self, row: Growth) -> list[str]:
        return [_b64(each) for each in row.path]


class ShardFilter(django_filters.FilterSet):
    """Selects a shard.

    If a log was damaged and closed, the log continues in the next shard, which is a separate tree.
    """

    shard = WholeFilter(field_name="shard")


def _either(shown: Any) -> dict[Any, Any]:
    """Return the OpenAPI responses of a route that answers with JSON or text.

    The response 409 is included, for a log that is damaged.
    """
    return {(200, "application/json"): shown, (200, "text/plain"): OpenApiTypes.STR} | problems(409)


# --- Routes --------------------------------------------------------------------------------------------------


class _Proven(OfLog):
    renderer_classes = JSON_OR_TEXT
    has_no_etag = True

    def either(self, text: str, shape: type[Any], row: Any) -> Response:
        if isinstance(self.request.accepted_renderer, PlainText):
            return Response(text)
        return Response(shape(row).data)

    def shard(self) -> int | None:
        """Return the number of the requested shard, or None for the shard in use."""
        if "shard" not in self.request.query_params:
            return None
        return int(self.filtered(ShardFilter, Checkpoint.objects.none()).form.cleaned_data["shard"])

    def newest(self, tenant: UUID | None = None) -> Response:
        log = self.log(tenant)
        found = queries.checkpoint(log, self.shard())
        head = Head.parse(Note.parse(found.text).text)
        row = {
            "origin": head.origin,
            "shard": found.shard,
            "size": head.size,
            "root": _b64(head.root),
            "note": found.text,
        }
        return self.either(found.text, CheckpointOut, row)

    def proof(self, seq: int, tenant: UUID | None = None) -> Response:
        found = queries.proof(self.log(tenant), seq)
        return self.either(str(found), ProofOut, found)

    def growth(self, old: int, new: int, tenant: UUID | None = None) -> Response:
        found = queries.consistency(self.log(tenant), old, new, self.shard())
        return self.either(str(found), GrowthOut, found)


class _Checkpoints(OfLog, ListView):
    serializer_class = CheckpointLine
    filterset_class = ShardFilter
    orders = ("-size", "size")

    def checkpoints(self, tenant: UUID | None = None) -> Response:
        log = self.log(tenant)
        rows: QuerySet[Checkpoint] = Checkpoint.objects.filter(tenant_id=log.pk).prefetch_related("cosignatures")
        if "shard" not in self.request.query_params:
            rows = rows.filter(shard=checkpoints.state(log.pk).shard)
        return self.listed(rows)


class TenantCheckpoints(_Checkpoints):
    @extend_schema(
        operation_id="log_checkpoints",
        summary="List the checkpoints of a log",
        tags=TAGS,
        responses=CheckpointLine(many=True),
    )
    def get(self, request: Any, tenant: UUID) -> Response:
        """The answer is about the shard in use, unless `shard` names another shard."""
        return self.checkpoints(tenant)


class ProviderCheckpoints(_Checkpoints):
    """Only staff can read this."""

    @extend_schema(
        operation_id="provider_log_checkpoints",
        summary="List the checkpoints of the provider's own log",
        tags=TAGS,
        responses=CheckpointLine(many=True),
    )
    def get(self, request: Any) -> Response:
        return self.checkpoints()


class TenantCheckpoint(_Proven):
    parameters: ClassVar = frozenset({"shard"})

    @extend_schema(
        operation_id="log_checkpoint",
        summary="Read the newest checkpoint of a log",
        tags=TAGS,
        responses=_either(CheckpointOut),
        parameters=filters_of(ShardFilter),
    )
    def get(self, request: Any, tenant: UUID) -> Response:
        """The answer is about the shard in use, unless `shard` names another shard.

        Save the text as a file. You can later prove that the log continues this checkpoint.
        """
        return self.newest(tenant)


class ProviderCheckpoint(_Proven):
    """Only staff can read this."""

    parameters: ClassVar = frozenset({"shard"})

    @extend_schema(
        operation_id="provider_log_checkpoint",
        summary="Read the newest checkpoint of the provider's own log",
        tags=TAGS,
        responses=_either(CheckpointOut),
        parameters=filters_of(ShardFilter),
    )
    def get(self, request: Any) -> Response:
        return self.newest()


class TenantProof(_Proven):
    @extend_schema(
        operation_id="log_proof",
        summary="Prove that an entry is in the signed log",
        tags=TAGS,
        responses=_either(ProofOut),
    )
    def get(self, request: Any, tenant: UUID, seq: int) -> Response:
        """The proof shows that the newest checkpoint covers the entry.

        As text, the proof is a `.tlog-proof` (C2SP tlog-proof) for the verifier.
        """
        return self.proof(seq, tenant)


class ProviderProof(_Proven):
    """Only staff can read this."""

    @extend_schema(
        operation_id="provider_log_proof",
        summary="Prove that an entry is in the provider's own log",
        tags=TAGS,
        responses=_either(ProofOut),
    )
    def get(self, request: Any, seq: int) -> Response:
        return self.proof(seq)


class TenantConsistency(_Proven):
    parameters: ClassVar = frozenset({"shard"})

    @extend_schema(
        operation_id="log_consistency",
        summary="Prove that a checkpoint continues an older checkpoint",
        tags=TAGS,
        responses=_either(GrowthOut),
        parameters=filters_of(ShardFilter),
    )
    def get(self, request: Any, tenant: UUID, old: int, new: int) -> Response:
        """`new` is the size of a checkpoint in the list.

        Save the text as a file for `lockbox_verify.py --consistency`.
        """
        return self.growth(old, new, tenant)


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


class ProviderConsistency(_Proven):
    """Only staff can read this."""

    parameters: ClassVar = frozenset({"shard"})

    @extend_schema(
        operation_id="provider_log_consistency",
        summary="Prove that a checkpoint of the provider's own log continues an older checkpoint",
        tags=TAGS,
        responses=_either(GrowthOut),
        parameters=filters_of(ShardFilter),
    )
    def get(self, request: Any, old: int, new: int) -> Response:
        return self.growth(old, new)
