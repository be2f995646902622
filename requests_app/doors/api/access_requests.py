"""Access requests: submit, read, decide and withdraw them, and end their windows early."""

from __future__ import annotations

from collections.abc import Collection
from itertools import chain, islice
from typing import Any, ClassVar
from uuid import UUID

import django_filters
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.content.checking import PROBLEMS
from requests_app.domain import clock, manifest
from requests_app.domain.actors import Actor
from requests_app.domain.acts.access_requests import SUBMIT
from requests_app.domain.acts.declaration import Noun
from requests_app.domain.errors import Unacceptable
from requests_app.domain.lifecycle import deciding_act
from requests_app.domain.scopes import Scope
from requests_app.domain.states import PENDING, State
from requests_app.doors.api import output
from requests_app.doors.api.base import ApiView, ListView
from requests_app.doors.api.columns import Columns
from requests_app.doors.api.errors import in_words_of
from requests_app.doors.api.fields import (
    CommentIn,
    IdFilter,
    InstantFilter,
    Several,
    Strict,
    Text,
    Uuid,
    Whole,
    YesNoFilter,
)
from requests_app.doors.api.plain import Shape, words_of
from requests_app.doors.api.schema import IF_MATCH, extend_schema, one, problems
from requests_app.doors.api.shapes import PersonRef, ResourceRef, ServiceRef, TenantRef, TicketRef
from requests_app.models import AccessRequest, Decision, Grant, Level, Resource
from requests_app.platform.addresses import absolute
from requests_app.queries import access, signing
from requests_app.queries.merging import Parts

#: The API's names for fields of the operations.
_FIELDS = {
    "ticket_id": "ticket",
    "window_for": "window_seconds",
    "resource_ids": "resources",
    "note": "comment",
    "authority": "demand.authority",
    "instrument": "demand.instrument",
    "demand_reference": "demand.reference",
    "demand_date": "demand.date",
}

#: The last parts of the acts' addresses, in the order of the document. "approve" and "deny" exist at both stages.
ACTIONS = ["approve", "deny", *words_of(Noun.ACCESS_REQUEST).values()]

# --- Answers -------------------------------------------------------------------------------------------------


class KeyOut(serializers.Serializer):
    """The passkey that signed a decision.

    `name` is the name that the passkey's owner gave it. It is empty if the owner is a person of the provider.

    `rp_id` is the passkey's relying party ID. `device_bound` is true if the passkey claims that it can't leave its
    device.
    """

    passkey = serializers.UUIDField()
    name = serializers.CharField()
    rp_id = serializers.CharField()
    device_bound = serializers.BooleanField()


class DecisionOut(serializers.Serializer):
    """One decision. `through` names the client that decided for `decider`, or is null if the human decided.

    If the decider was a deputy, `deputy_for` names the approvers who were away. Otherwise it is empty.

    `signed_digest` is SHA-256 of the text that a passkey signed, in hexadecimal. `signed_by` describes this passkey.
    Both are null if nothing was signed.
    """

    stage = serializers.ChoiceField(choices=Decision.Stage.values)
    verdict = serializers.ChoiceField(choices=Decision.Verdict.values)
    decider = PersonRef()
    through = serializers.CharField(source="client", allow_null=True)
    deputy_for = serializers.SerializerMethodField()
    comment = serializers.CharField()
    signed = serializers.BooleanField(source="is_signed")
    signed_digest = serializers.SerializerMethodField()
    signed_by = KeyOut(source="signed_with", allow_null=True)
    at = serializers.DateTimeField()

    @extend_schema_field(serializers.ListField(child=serializers.CharField()))
    def get_deputy_for(self, row: Decision) -> list[str]:
        return list(row.deputy_for or [])

    @extend_schema_field(serializers.CharField(allow_null=True))
    def get_signed_digest(self, row: Decision) -> str | None:
        return row.manifest_digest or None


class WindowOut(serializers.Serializer):
    """A window.

    `closed_at` and `close_reason` are null until somebody closes the window early, or its end is recorded.
    """

    id = serializers.UUIDField()
    opens_at = serializers.DateTimeField()
    closes_at = serializers.DateTimeField()
    closed_at = serializers.DateTimeField(allow_null=True)
    close_reason = serializers.SerializerMethodField()

    @extend_schema_field(serializers.ChoiceField(choices=Grant.CloseReason.values, allow_null=True))
    def get_close_reason(self, row: Grant) -> str | None:
        return row.close_reason or None


class AccessRequestLine(serializers.Serializer):
    """An access request in a list. `state` is the state at this moment, even if no sweep has stored this state yet.

    `enforced_by` is the provider's own application that enforces the window. It is empty if the content is read through
    Lockbox.

    If `is_practice` is true, this is a practice request: its content is made up, and nobody's real content is opened.
    """

    id = serializers.UUIDField()
    reference = serializers.CharField()
    tenant = TenantRef()
    service = ServiceRef()
    ticket = TicketRef(allow_null=True)
    is_practice = serializers.BooleanField()
    engineer = PersonRef(source="requested_by")
    reason = serializers.ChoiceField(source="reason_kind", choices=AccessRequest.Reason.values)
    level = serializers.ChoiceField(choices=Level.values)
    window_seconds = serializers.IntegerField(source="window_for")
    resources = ResourceRef(source="scoped", many=True, read_only=True)
    enforced_by = serializers.CharField()
    service_words = serializers.CharField()
    state = serializers.SerializerMethodField()
    submitted_at = serializers.DateTimeField()
    changed_at = serializers.DateTimeField(source="state_changed_at")
    decide_by = serializers.DateTimeField()
    grant = WindowOut(allow_null=True, read_only=True)

    @extend_schema_field(serializers.ChoiceField(choices=State.values))
    def get_state(self, row: AccessRequest) -> str:
        return str(row.state_at(self.context["at"]))


class DemandOut(serializers.Serializer):
    authority = serializers.CharField()
    instrument = serializers.CharField()
    reference = serializers.CharField(source="demand_reference")
    date = serializers.DateField(source="demand_date")


class WarningOut(serializers.Serializer):
    """A resource that can't be reached now. An access request for it is accepted, but its window leads to nothing.

    With the code `resource_not_tested`, nobody knows whether it can be reached: the last test was at `since`, more than
    two days ago, and `problem` is `not_tested`.
    """

    code = serializers.SerializerMethodField()
    resource = serializers.UUIDField(source="id")
    problem = serializers.ChoiceField(source="check_problem", choices=[*PROBLEMS, "not_tested"])
    since = serializers.DateTimeField(source="check_failing_since")

    @extend_schema_field(serializers.ChoiceField(choices=["resource_unreachable", "resource_not_tested"]))
    def get_code(self, row: Resource) -> str:
        return "resource_not_tested" if row.is_test_old(self.context["at"]) else "resource_unreachable"

    def to_representation(self, row: Resource) -> dict[str, Any]:
        found: dict[str, Any] = super().to_representation(row)
        if not row.is_test_old(self.context["at"]):
            return found
        return {**found, "problem": "not_tested", "since": self.fields["since"].to_representation(row.checked_at)}


class AccessRequestOut(AccessRequestLine):
    """`digest` is SHA-256 over the canonical JSON of everything that was asked for.

    The entries in the log contain the same digest.

    `raised_by` is the client that submitted it for the engineer; it is empty if the engineer did. The window ends at
    `until` at the latest. `emergency` is a mark for people, and changes nothing. `source_url` is the address that the
    client gave as its own source, or empty; nobody has checked it.

    `allowed_actions` names the acts that this caller is allowed to do now. `warnings` names the resources that can't be
    reached now, while the access request waits or its window is open.
    """

    previous = serializers.UUIDField(source="previous_id", allow_null=True)
    raised_by = serializers.CharField()
    until = serializers.DateTimeField(source="until_at", allow_null=True)
    emergency = serializers.BooleanField(source="is_emergency")
    source_url = serializers.CharField()
    demand = serializers.SerializerMethodField()
    tried = serializers.CharField()
    justification = serializers.CharField()
    needs_customer_approval = serializers.BooleanField()
    digest = serializers.CharField(source="content_digest")
    decisions = serializers.SerializerMethodField()
    allowed_actions = serializers.SerializerMethodField()
    warnings = serializers.SerializerMethodField()

    @extend_schema_field(DemandOut(allow_null=True))
    def get_demand(self, row: AccessRequest) -> Any:
        return output.shown(DemandOut, row) if row.reason_kind == AccessRequest.Reason.LEGAL_DEMAND else None

    @extend_schema_field(DecisionOut(many=True))
    def get_decisions(self, row: AccessRequest) -> Any:
        return output.all_shown(DecisionOut, sorted(row.decisions.all(), key=lambda each: each.at))

    @extend_schema_field(serializers.ListField(child=serializers.ChoiceField(choices=ACTIONS)))
    def get_allowed_actions(self, row: AccessRequest) -> list[str]:
        found = access.allowed_actions(row, actor=self.context["actor"], at=self.context["at"])
        words = words_of(Noun.ACCESS_REQUEST)
        named = [edge for edge in found if edge.moves.is_decision or edge.act.name in words]
        return [words.get(edge.act.name, edge.verdict) for edge in named]

    @extend_schema_field(WarningOut(many=True))
    def get_warnings(self, row: AccessRequest) -> Any:
        at = self.context["at"]
        if row.state_at(at) not in (*PENDING, State.OPEN):
            return []
        resources = row.scoped
        doubtful = [resource for resource in resources if resource.check_problem or resource.is_test_old(at)]
        return output.all_shown(WarningOut, doubtful, **self.context)


# --- Bodies --------------------------------------------------------------------------------------------------


class DemandIn(Strict):
    authority = Text()
    instrument = Text()
    reference = Text()
    date = serializers.DateField()


class AccessRequestIn(Strict):
    """Send either `ticket`, or `demand` with `tenant` and `service`.

    Only a client sends `engineer`: the id or email address of the engineer for whom it submits the access request.
    """

    ticket = Uuid(required=False)
    demand = DemandIn(required=False)
    tenant = Uuid(required=False)
    service = Uuid(required=False)
    resources = Several(child=Uuid(), max_length=100)
    level = serializers.ChoiceField(choices=Level.values)
    window_seconds = Whole()
    tried = Text()
    justification = Text()
    previous = Uuid(required=False)
    engineer = Text(required=False)


class AssertedIn(Strict):
    """The authenticator's answer in Base64url, as the browser returns it (AuthenticatorAssertionResponse)."""

    clientDataJSON = Text()
    authenticatorData = Text()
    signature = Text()
    userHandle = Text(required=False, allow_null=True, allow_blank=True)


class AssertionIn(Strict):
    """The AuthenticationResponseJSON of WebAuthn, Level 3, section 5.1."""

    id = Text()
    rawId = Text()
    type = serializers.ChoiceField(choices=["public-key"])
    response = AssertedIn()
    authenticatorAttachment = Text(required=False, allow_null=True)
    clientExtensionResults = serializers.DictField(required=False)


class SignatureIn(Strict):
    """A signed decision.

    `manifest` must be exactly the text that the API returned. `assertion` is the passkey's answer.
    """

    manifest = serializers.CharField(max_length=manifest.MOST, trim_whitespace=False)
    assertion = AssertionIn()


class DecisionIn(CommentIn):
    """A signed decision needs no step-up. To approve without a `signature`, a personal token needs a step-up."""

    signature = SignatureIn(required=False)


class ManifestOut(serializers.Serializer):
    """`manifest` is the text to sign. `digest` is its SHA-256 in the form that people compare (docs/evidence.md).

    `asked` is canonical JSON of everything that was asked for, with the reason. The SHA-256 of `asked`, in hexadecimal,
    is `access_request.digest` in the manifest. A page of this site passes `request` to the browser
    (PublicKeyCredentialRequestOptionsJSON).
    """

    manifest = serializers.CharField()
    asked = serializers.CharField()
    digest = serializers.CharField()
    not_after = serializers.DateTimeField()
    request = serializers.DictField()


# --- Filters -------------------------------------------------------------------------------------------------


class AccessRequestFilter(django_filters.FilterSet):
    state = django_filters.ChoiceFilter(choices=State.choices, method="in_state")
    tenant = IdFilter(field_name="tenant_id")
    service = IdFilter(field_name="service_id")
    ticket = IdFilter(field_name="ticket_id")
    engineer = IdFilter(field_name="requested_by_id")
    reference = django_filters.CharFilter(field_name="reference", max_length=16)
    is_practice = YesNoFilter()
    submitted_since = InstantFilter(field_name="submitted_at", lookup_expr="gte")
    submitted_before = InstantFilter(field_name="submitted_at", lookup_expr="lt")

    def in_state(self, rows: Any, _name: str, value: str) -> Any:
        return access.in_state(rows, State(value), at=clock.now())


# --- Routes --------------------------------------------------------------------------------------------------


#: The same lines and resources, as the columns of the first page.
_LINES = Columns(AccessRequestLine, access.Line._fields, filled=("resources",))
_RESOURCES = Columns(ResourceRef, access.LineResource._fields)


class AccessRequests(ListView):
    for_approval_page = True
    scopes: ClassVar = {"GET": Scope.REQUESTS_READ}
    acts: ClassVar = {"POST": (SUBMIT,)}
    shows = "access_request"
    serializer_class = AccessRequestLine
    filterset_class = AccessRequestFilter
    orders = ("-submitted_at", "submitted_at", "decide_by")
    parts: ClassVar = {"decide_by": Parts("state", State.values)}
    first_page = access.FIRST_LISTED

    @extend_schema(operation_id="access_requests_list", summary="List access requests", tags=["access requests"])
    def get(self, request: Any) -> Response:
        rows = access.listed(self.actor, few=self.few(AccessRequest.objects.all()))
        return self.listed(rows, at=self.token.read_at)

    def stored_states(self) -> Collection[str]:
        state = self.request.query_params.get("state")
        # The filter refuses another value later.
        return access.stored_states(State(state)) if state in State.values else ()

    def complete(self, found: list[Any]) -> None:
        access.add_scope(found)

    def items(self, found: list[Any], **options: Any) -> list[Any]:
        if not found or not isinstance(found[0], access.Line):
            return super().items(found, **options)
        resources = access.resources_of_lines(found)
        written = iter(_RESOURCES.written(chain.from_iterable(resources.values())))
        each = {pk: list(islice(written, len(rows))) for pk, rows in resources.items()}
        return _LINES.written(found, filled={"resources": lambda line: each[line.id]}, **options)

    @extend_schema(
        operation_id="access_requests_submit",
        summary="Submit an access request",
        description="If nobody has the ticket, the engineer takes it.",
        tags=["access requests"],
        request=AccessRequestIn,
        responses={201: AccessRequestOut},
        examples=[
            OpenApiExample(
                "Read one mailbox for two hours",
                request_only=True,
                value={
                    "ticket": "{ticket}",
                    "resources": ["{resource}"],
                    "level": "read",
                    "window_seconds": 7200,
                    "tried": "Rebuilt the index; the invoices are still missing from it.",
                    "justification": "The index of this mailbox drops messages; only the messages themselves show why.",
                },
            )
        ],
    )
    def post(self, request: Any) -> Response:
        found = self.body(AccessRequestIn)
        actor = self._engineer(found.pop("engineer", None))
        with in_words_of(_FIELDS):
            row = operations.submit(_ask(found), actor=actor)
        return _shown(self, row.pk, status=201)

    def _engineer(self, who: str | None) -> Actor:
        """Return the actor who asks for access.

        A human asks in their own name. A client must name the engineer in `who`.
        """
        if self.actor.machine is None:
            if who is not None:
                raise Unacceptable(_("You can ask for access only in your own name."), field="engineer")
            return self.actor
        person = access.engineer_named(who or "")
        if person is None:
            raise Unacceptable(_("Send the id or the address of the engineer who asks for access."), field="engineer")
        actor = self.actor_of(self.request, self.token, in_name_of=person)
        return actor.sending(self.actor.once)


class OneAccessRequest(ApiView):
    for_approval_page = True
    scopes: ClassVar = {"GET": Scope.REQUESTS_READ}

    @extend_schema(
        operation_id="access_requests_show",
        summary="Read one access request",
        tags=["access requests"],
        responses=one(AccessRequestOut),
    )
    def get(self, request: Any, pk: UUID) -> Response:
        return self.shown(AccessRequestOut, access.in_answer(pk, actor=self.actor), at=self.token.read_at)


class _Decision(ApiView):
    """A decision on an access request.

    `If-Match` is required, so that the caller decides on the version that it has read.
    """

    shows = "access_request"
    for_approval_page = True
    scopes: ClassVar = {"POST": Scope.DECISIONS_WRITE}
    verdict: ClassVar[Decision.Verdict]

    def _decided(self, pk: UUID) -> Response:
        found, decide = self.body(DecisionIn), operations.of(deciding_act(self.verdict, self.actor.side))
        given = found.get("signature")
        signature = operations.Signed(**given) if given is not None else None
        with in_words_of(_FIELDS):
            row = decide(pk, actor=self.actor, note=found["comment"], signature=signature, still=self._require_as_read)
        # Use the operation's own row, which is up to date: to read it again would cost as much as the decision.
        access.complete(row)
        return self.shown(AccessRequestOut, row, at=row.locked_at)

    def _require_as_read(self, row: AccessRequest) -> None:
        """Raise an error if the access request has changed since the caller read it.

        The operation calls this under the lock. A caller who has already decided is repeating the call. Then the
        `If-Match` names the version before the decision, so it is not checked.
        """
        if row.decision_of(self.actor.deciding_human, str(self.actor.side)) is None:
            access.complete(row)
            self.require_match(AccessRequestOut, row, at=row.locked_at)


_AGREED = "Seen, and agreed."
_COMMENT = [OpenApiExample("With a comment", request_only=True, value={"comment": _AGREED})]


def _decision_schema(verdict: str, summary: str) -> Any:
    return extend_schema(
        operation_id=f"access_requests_{verdict}",
        summary=summary,
        tags=["access requests"],
        request=DecisionIn,
        responses=one(AccessRequestOut) | problems(412, 428),
        parameters=[IF_MATCH],
        examples=_COMMENT,
    )


class Approve(_Decision):
    verdict = Decision.Verdict.APPROVE

    @_decision_schema("approve", "Approve, for the caller's side")
    def post(self, request: Any, pk: UUID) -> Response:
        return self._decided(pk)


class Deny(_Decision):
    verdict = Decision.Verdict.DENY

    @_decision_schema("deny", "Deny, for the caller's side")
    def post(self, request: Any, pk: UUID) -> Response:
        return self._decided(pk)


class Manifest(ApiView):
    """The text of the caller's own decision, to be signed with a passkey.

    The text can be used once, within five minutes.
    """

    for_approval_page = True
    scopes: ClassVar = {"GET": Scope.DECISIONS_WRITE}
    parameters: ClassVar = frozenset({"decision"})

    @extend_schema(
        operation_id="access_requests_manifest",
        summary="Get the text of a decision, to sign it",
        tags=["access requests"],
        parameters=[OpenApiParameter("decision", str, enum=Decision.Verdict.values, required=True)],
        responses=one(ManifestOut),
    )
    def get(self, request: Any, pk: UUID) -> Response:
        row, at = access.access_request(pk, actor=self.actor), clock.now()
        verdict = request.query_params.get("decision", "")
        if verdict not in Decision.Verdict.values:
            raise Unacceptable(_("Send “approve” or “deny” as the decision."), field="decision")
        access.require_offered(row, deciding_act(verdict, self.actor.side).name, actor=self.actor, at=at)
        text = signing.text_to_sign(row, actor=self.actor, verdict=verdict, at=at)
        challenge = manifest.challenge_of(text)
        keys = signing.passkeys(self.actor, row.tenant_id)
        found = {
            "manifest": text,
            "asked": signing.submitted_text(row),
            "digest": challenge.hex(),
            "not_after": manifest.not_after(text),
            "request": signing.options(keys, challenge),
        }
        return self.shown(ManifestOut, found)


def _ask(found: dict[str, Any]) -> operations.Ask:
    demand = found.pop("demand", None)
    return operations.Ask(
        ticket_id=found.get("ticket"),
        demand=operations.Demand(**demand) if demand else None,
        tenant_id=found.get("tenant"),
        service_id=found.get("service"),
        resource_ids=found["resources"],
        level=found["level"],
        window_for=found["window_seconds"],
        tried=found["tried"],
        justification=found["justification"],
        previous_id=found.get("previous"),
    )


def _shown(view: ApiView, pk: UUID, *, status: int = 200) -> Response:
    """Answer with the access request after an act."""
    row = access.in_answer(pk, actor=view.actor)
    location = absolute(f"/api/v1/access-requests/{row.pk}") if status == 201 else ""
    return view.shown(AccessRequestOut, row, status=status, location=location, at=clock.now())


ACTS = Shape(
    noun=Noun.ACCESS_REQUEST,
    address="access-requests/<uuid:pk>",
    tag="access requests",
    names="access_requests",
    out=AccessRequestOut,
    show=lambda view, pk, _result: _shown(view, pk),
    urls="",
    shows="access_request",
    comment=_AGREED,
    fields=_FIELDS,
)
