"""Passkeys for a customer's own approval page: the options for the browser, and the browser's answer."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.errors import NotAllowed, PasskeyTooLate, Unacceptable, WrongState
from requests_app.domain.scopes import Scope
from requests_app.doors.api.base import ApiView
from requests_app.doors.api.fields import Strict, Text
from requests_app.doors.api.schema import extend_schema
from requests_app.identity import challenges
from requests_app.identity.challenges import Purpose
from requests_app.models import Passkey, Person, Tenant
from requests_app.platform import webauthn
from requests_app.queries import tenant as queries


class OptionsIn(Strict):
    pass


class OptionsOut(serializers.Serializer):
    """`options` are PublicKeyCredentialCreationOptionsJSON (WebAuthn, section 5.1.9)."""

    options = serializers.DictField()


class PasskeyIn(Strict):
    """`response` is RegistrationResponseJSON (WebAuthn, section 5.1.8)."""

    name = Text()
    response = serializers.DictField()


class PasskeyOut(serializers.Serializer):
    id = serializers.UUIDField()
    name = serializers.CharField()
    rp_id = serializers.CharField()
    origin = serializers.CharField()
    created_at = serializers.DateTimeField()


class _OfThePage(ApiView):
    for_approval_page = True
    scopes: ClassVar = {"POST": Scope.DECISIONS_WRITE}

    def _tenant(self, tenant_id: UUID) -> Tenant:
        row = queries.tenant(tenant_id, actor=self.actor)
        if self.actor.machine is not None:
            raise NotAllowed
        if not row.approval_origin:
            raise WrongState(_("This tenant has no approval page of its own."))
        return row


class PasskeyOptions(_OfThePage):
    """The options with which the tenant's own approval page asks the browser for a new key.

    The options can be used for five minutes.
    """

    changes = False

    @extend_schema(
        operation_id="passkeys_options",
        summary="Get the options for a new key of the tenant's own approval page",
        tags=["access requests"],
        request=OptionsIn,
        responses={200: OptionsOut},
        examples=[OpenApiExample("Ask", request_only=True, value={})],
    )
    def post(self, request: Any, tenant: UUID) -> Response:
        self.body(OptionsIn)
        row = self._tenant(tenant)
        person = Person.objects.get_queryset().get(pk=self.actor.person)
        known = Passkey.objects.live().filter(person=person, rp_id=row.approval_rp_id)
        options = webauthn.registration_options(
            party=_party(row),
            user_id=person.pk.bytes,
            email=person.email,
            name=person.name,
            challenge=challenges.issue(Purpose.APPROVAL_PAGE, person.pk, row.pk, at=clock.now()),
            known=[bytes(each.credential_id) for each in known],
        )
        # The device finds the key without a list of keys: the page that signs later gets no such list from this server.
        options["authenticatorSelection"]["residentKey"] = "required"
        return Response(OptionsOut({"options": options}).data)


class Passkeys(_OfThePage):
    """A personal token is not enough to add a key: confirm your identity with `me/step-up` first."""

    @extend_schema(
        operation_id="passkeys_add",
        summary="Add a key that was made on the tenant's own approval page",
        tags=["access requests"],
        request=PasskeyIn,
        responses={201: PasskeyOut},
        examples=[OpenApiExample("Add a key", request_only=True, value={"name": "Phone", "response": {}})],
    )
    def post(self, request: Any, tenant: UUID) -> Response:
        found = self.body(PasskeyIn)
        row = self._tenant(tenant)
        made = operations.enrol_passkey(
            actor=self.actor,
            response=found["response"],
            challenge=_challenge_in(found["response"], UUID(str(self.actor.person)), row.pk),
            name=found["name"],
            party=_party(row),
        )
        return Response(PasskeyOut(made).data, status=201)


def _party(row: Tenant) -> webauthn.Party:
    return webauthn.Party(rp_id=row.approval_rp_id, name=row.name, origins=frozenset({row.approval_origin}))


def _challenge_in(response: object, person: UUID, tenant: UUID) -> bytes:
    try:
        return challenges.read(response, Purpose.APPROVAL_PAGE, person, tenant, at=clock.now())
    except PasskeyTooLate as refusal:
        raise Unacceptable(
            _("The options for this key are unknown or too old. Get new options first."), field="response"
        ) from refusal
