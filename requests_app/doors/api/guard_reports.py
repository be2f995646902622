"""For the guards of applications: takes in what they report about accesses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain import limits, reports
from requests_app.domain.acts.content import REPORT_ACCESSES
from requests_app.domain.errors import Malformed, Unacceptable
from requests_app.domain.ids import as_id
from requests_app.domain.levels import NEEDED
from requests_app.domain.reports import Kind, Report, ReportedAccess
from requests_app.doors.api.base import ApiView
from requests_app.doors.api.guard import TAG, UNKNOWN, number_of, version_of
from requests_app.doors.api.schema import extend_schema

#: The largest number of an access: every program can store it exactly (RFC 8259, section 6).
_MOST = 2**53 - 1
_MEMBERS = frozenset({"guard", "life", "former", "version", "first", "backlog", "accesses"})
_OF_ACCESS = frozenset({"grant_id", "resource", "engineer", "jti", "action", "item", "at", "kind", "code"})
_NEEDED = _OF_ACCESS - {"jti", "code"}


class ReportedOut(serializers.Serializer):
    """`acknowledged` is the number of the last access that the guard need not send again."""

    acknowledged = serializers.IntegerField()
    rejected = serializers.IntegerField()


class ReportedAccessIn(serializers.Serializer):
    """One request in the application. Only the document uses this class; the texts are checked without it."""

    grant_id = serializers.UUIDField()
    resource = serializers.UUIDField()
    engineer = serializers.UUIDField()
    jti = serializers.CharField(required=False, max_length=limits.REPORTED_TEXT_MAX)
    action = serializers.ChoiceField(sorted(NEEDED))
    item = serializers.CharField(max_length=limits.REPORTED_ITEM_MAX)
    at = serializers.DateTimeField()
    kind = serializers.ChoiceField([str(kind) for kind in Kind])
    code = serializers.CharField(required=False, max_length=limits.REPORTED_TEXT_MAX)


class ReportIn(serializers.Serializer):
    """`first` is the number of the first access. It can be left out if there are no accesses.

    `life` is a new id each time the guard begins to report. `former` are the earlier lives of the same queue.
    """

    guard = serializers.UUIDField()
    life = serializers.UUIDField()
    former = serializers.ListField(child=serializers.UUIDField(), max_length=limits.GUARD_FORMER_MAX, required=False)
    version = serializers.CharField(required=False, max_length=limits.GUARD_VERSION_MAX)
    first = serializers.IntegerField(required=False, min_value=1, max_value=_MOST)
    backlog = serializers.IntegerField(required=False, min_value=0, max_value=_MOST)
    accesses = serializers.ListField(child=ReportedAccessIn(), max_length=limits.REPORTED_MAX)


class Accesses(ApiView):
    acts: ClassVar = {"POST": (REPORT_ACCESSES,)}
    #: The numbers already make a repeated call act only once.
    changes: ClassVar[bool] = False
    has_no_etag: ClassVar[bool] = True

    @extend_schema(
        operation_id="guard_accesses",
        summary="Report accesses in the client’s application",
        tags=[TAG],
        request=ReportIn,
        responses={200: ReportedOut},
        examples=[
            OpenApiExample(
                "Two accesses",
                request_only=True,
                value={
                    "guard": "5f0e6f1e-9f6b-4a73-8a39-0f6f1f8a2a01",
                    "life": "c2a1e0b4-3f57-4a0e-8d0b-6f1f8a2a015f",
                    "version": "lockbox-guard-python/0.1.0",
                    "first": 1001,
                    "backlog": 20,
                    "accesses": [
                        {
                            "grant_id": "0b3f4fd2-6c0e-4f0e-9d7e-1a2b3c4d5e6f",
                            "resource": "7f9c1b7a-2a61-4b51-9df7-2f8d1f5c9a10",
                            "engineer": "c1f7a2de-5a43-4f43-9a0f-2a4d7b1e6c55",
                            "action": "view",
                            "item": "GET /documents/{id}",
                            "at": "2026-11-30T18:05:07Z",
                            "kind": "access",
                        }
                    ],
                },
            )
        ],
    )
    def post(self, request: Any) -> Response:
        """Accesses that were reported before are skipped. If some would be left out, the answer is 409 (`reports_gap`).

        If another life of the guard holds its id, the answer is 409 (`guard_copied`). An access of an unknown window is
        rejected and does not hold up the next ones. Without accesses, the call is a sign of life; send one every 30
        seconds.
        """
        found = operations.report_accesses(report_in(request.data), actor=self.actor)
        return Response({"acknowledged": found.number, "rejected": found.rejected})


def report_in(body: Any) -> Report:
    """Return the report in a body. Raise Malformed or Unacceptable, with the place of the first fault.

    The texts are checked without a serializer, which would take ten times as long as everything else.
    """
    if not isinstance(body, dict):
        raise Malformed(_("The body must be an object."))
    _require_known(body, _MEMBERS)
    accesses = body.get("accesses")
    if not isinstance(accesses, list) or len(accesses) > limits.REPORTED_MAX:
        raise Malformed(_("One report can have at most %(max)d accesses.") % {"max": limits.REPORTED_MAX})
    return Report(
        guard=number_of(body.get("guard")),
        life=_id(body, "life"),
        former=_former(body),
        version=version_of(body.get("version", UNKNOWN)),
        first=_number(body, "first", at_least=1 if accesses else 0),
        backlog=_number(body, "backlog", at_least=0),
        accesses=[_access(each, number) for number, each in enumerate(accesses)],
    )


def _require_known(body: dict[str, Any], members: frozenset[str], place: str = "") -> None:
    if not body.keys() <= members:
        unknown = min(map(str, body.keys() - members))
        raise Unacceptable(_("There is no such field."), field=f"{place}{unknown}")


def _number(body: dict[str, Any], name: str, *, at_least: int) -> int:
    found = body.get(name, 0)
    if type(found) is not int or not at_least <= found <= _MOST:
        raise Unacceptable(_("This must be a whole number that is not negative."), field=name)
    return found


def _former(body: dict[str, Any]) -> frozenset[UUID] | None:
    if "former" not in body:
        return None
    found = body["former"]
    if not isinstance(found, list) or len(found) > limits.GUARD_FORMER_MAX:
        words = _("This must be a list of at most %(max)d UUIDs.")
        raise Unacceptable(words % {"max": limits.GUARD_FORMER_MAX}, field="former")
    return frozenset(_id({"former": each}, "former") for each in found)


def _access(raw: Any, number: int) -> ReportedAccess:
    place = f"accesses[{number}]"
    if not isinstance(raw, dict):
        raise Unacceptable(_("This must be an object."), field=place)
    _require_known(raw, _OF_ACCESS, f"{place}.")
    for name in _NEEDED:
        if name not in raw:
            raise Unacceptable(_("This field is required."), field=f"{place}.{name}")
    for name, value in raw.items():
        if type(value) is not str:
            raise Unacceptable(_("This must be text."), field=f"{place}.{name}")
    try:
        return ReportedAccess(
            grant=_id(raw, "grant_id"),
            resource=_id(raw, "resource"),
            engineer=_id(raw, "engineer"),
            jti=reports.jti(raw.get("jti", "")),
            action=_one_of(raw, "action", NEEDED.__contains__),
            item=reports.item(raw["item"]),
            at=_instant(raw["at"]),
            kind=Kind(_one_of(raw, "kind", Kind._value2member_map_.__contains__)),
            code=reports.code(raw.get("code", "")),
        )
    except Unacceptable as refusal:
        refusal.field = f"{place}.{refusal.field}"
        raise


def _id(raw: dict[str, Any], name: str) -> UUID:
    found = as_id(raw.get(name))
    if found is None:
        raise Unacceptable(_("This must be a UUID."), field=name)
    return found


def _one_of(raw: dict[str, str], name: str, is_known: Callable[[str], bool]) -> str:
    if not is_known(raw[name]):
        raise Unacceptable(_("Choose one of the offered values."), field=name)
    return str(raw[name])


def _instant(text: str) -> datetime:
    """Return the time. Only times with a zone are accepted, and only those that the database can store."""
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None or not 2000 <= found.year <= 2100:
            raise ValueError
        return found.astimezone(UTC)
    except ValueError:
        raise Unacceptable(_("This must be a time with its zone, such as 2026-11-30T18:05:07Z."), field="at") from None
