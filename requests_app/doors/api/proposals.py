"""Two-person control: switch it on or off, and confirm or withdraw proposals.

A call that needs a second person gets 202 and the code `change_proposed`. `current.proposal` names the proposal.
"""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

import django_filters
from drf_spectacular.utils import OpenApiExample, extend_schema_field
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.acts.declaration import Noun
from requests_app.domain.acts.proposals import CONFIRM_PROPOSAL, SET_TWO_PERSON_CONTROL
from requests_app.domain.scopes import Scope
from requests_app.doors.api.base import ApiView, ListView
from requests_app.doors.api.fields import Strict, YesNoFilter
from requests_app.doors.api.plain import Shape
from requests_app.doors.api.schema import extend_schema, one
from requests_app.doors.api.shapes import PersonRef
from requests_app.identity import factors
from requests_app.models import Proposal
from requests_app.models.row_security import own_account
from requests_app.queries import provider
from requests_app.queries import tenant as queries
from requests_app.words import proposals

_TAGS = ["members"]


class ProposalOut(serializers.Serializer):
    """`act` is the proposed act. `words` describes this act with a text that completes "proposes to …".

    `effective_at` is the time at which a confirmed change by the provider's staff takes effect. For other proposals,
    `effective_at` is null.
    """

    id = serializers.UUIDField()
    act = serializers.CharField()
    words = serializers.SerializerMethodField()
    proposed_by = PersonRef()
    proposed_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    effective_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)

    @extend_schema_field(serializers.CharField())
    def get_words(self, row: Proposal) -> str:
        return proposals.words(row.act, row.said)


class AnnouncedOut(serializers.Serializer):
    """A change by the provider's staff. `effective_at` is null until a second person has confirmed the change.

    `confirmed_by` is null if nobody else on the staff could confirm it. If an API client proposed the change, `client`
    is its account, and `proposed_by` is the person who holds its secret.
    """

    id = serializers.UUIDField()
    act = serializers.CharField()
    words = serializers.SerializerMethodField()
    proposed_by = PersonRef()
    client = PersonRef(source="proposed_through", allow_null=True)
    proposed_at = serializers.DateTimeField()
    confirmed_by = PersonRef(allow_null=True)
    confirmed_at = serializers.DateTimeField(allow_null=True)
    effective_at = serializers.DateTimeField(allow_null=True)
    expires_at = serializers.DateTimeField()

    @extend_schema_field(serializers.CharField())
    def get_words(self, row: Proposal) -> str:
        return proposals.words(row.act, row.said)


class ProposedOut(AnnouncedOut):
    """`outcome` is empty while the change may still take effect. `ended_at` is the time when it did, or will not."""

    ended_at = serializers.DateTimeField(allow_null=True)
    outcome = serializers.ChoiceField(choices=["", *Proposal.Outcome.values])


class ProposedFilter(django_filters.FilterSet):
    act = django_filters.CharFilter(max_length=40)
    is_open = YesNoFilter(field_name="ended_at", lookup_expr="isnull")


class ControlIn(Strict):
    on = serializers.BooleanField()


class ControlOut(serializers.Serializer):
    on = serializers.BooleanField(source="needs_two")


class Proposals(ListView):
    """The proposals that wait for a second person."""

    scopes: ClassVar = {"GET": Scope.MEMBERS_READ}
    serializer_class = ProposalOut
    orders = ("expires_at",)

    @extend_schema(
        operation_id="proposals_list",
        summary="List what waits for a second person",
        tags=_TAGS,
        responses=ProposalOut(many=True),
    )
    def get(self, request: Any, tenant: UUID) -> Response:
        return self.listed(queries.proposals(queries.tenant(tenant, actor=self.actor), at=clock.now()))


class Announced(ListView):
    """The changes that the provider's staff have announced and that affect the tenant."""

    scopes: ClassVar = {"GET": Scope.TENANT_READ}
    serializer_class = AnnouncedOut
    orders = ("proposed_at",)

    @extend_schema(
        operation_id="announced_changes_list",
        summary="List what the provider's staff announced",
        tags=["tenants"],
        responses=AnnouncedOut(many=True),
    )
    def get(self, request: Any, tenant: UUID) -> Response:
        """Each change takes effect at its `effective_at`, unless it is withdrawn before."""
        row = queries.tenant(tenant, actor=self.actor)
        return self.listed(queries.announced([row.pk]))


class Proposed(ListView):
    """Only staff and the provider's clients can call this. For everybody else, the list is empty."""

    scopes: ClassVar = {"GET": Scope.PROVISION}
    serializer_class = ProposedOut
    filterset_class = ProposedFilter
    orders = ("-proposed_at", "proposed_at")

    @extend_schema(
        operation_id="proposed_changes_list",
        summary="List the changes that staff and the provider's clients proposed",
        tags=["provider"],
        responses=ProposedOut(many=True),
    )
    def get(self, request: Any) -> Response:
        return self.listed(provider.announced(self.actor))


class OneProposed(ApiView):
    scopes: ClassVar = {"GET": Scope.PROVISION}

    @extend_schema(
        operation_id="proposed_changes_show",
        summary="Read what became of a proposed change",
        tags=["provider"],
        responses=one(ProposedOut),
    )
    def get(self, request: Any, pk: UUID) -> Response:
        """A call that was answered with 202 names this id in `current.proposal`."""
        return self.shown(ProposedOut, provider.announced_change(pk, actor=self.actor))


class Control(ApiView):
    acts: ClassVar = {"POST": (SET_TWO_PERSON_CONTROL,)}

    @extend_schema(
        operation_id="two_person_control_switch",
        summary="Switch two-person control on or off",
        tags=_TAGS,
        request=ControlIn,
        responses=one(ControlOut),
        examples=[OpenApiExample("On", request_only=True, value={"on": True})],
    )
    def post(self, request: Any, tenant: UUID) -> Response:
        """Only the tenant's administrator can do this.

        To switch two-person control off, a second person must confirm: the answer is 202.
        """
        row = queries.tenant(tenant, actor=self.actor)
        return self.shown(
            ControlOut, operations.set_two_person_control(row.pk, **self.body(ControlIn), actor=self.actor)
        )


class Confirm(ApiView):
    acts: ClassVar = {"POST": (CONFIRM_PROPOSAL,)}

    @extend_schema(
        operation_id="proposals_confirm",
        summary="Confirm a change that another person proposed, so that it takes effect",
        tags=_TAGS,
        request=None,
        responses=one(ProposalOut),
    )
    def post(self, request: Any, pk: UUID) -> Response:
        """Only an administrator or approver can do this, and not the human who proposed the change."""
        self.body(Strict)
        # The confirmed act may remove a key whose entry is in the provider's log, which needs `own_account`.
        with own_account():
            done = operations.confirm_proposal(pk, actor=self.actor, keep=factors.drops_all)
        return self.shown(ProposalOut, done)


ACTS = Shape(
    noun=Noun.PROPOSAL,
    address="proposals/<uuid:pk>",
    tag=_TAGS[0],
    names="proposals",
    out=ProposalOut,
    show=lambda view, _pk, row: view.shown(ProposalOut, row),
    urls="proposal_",
)
