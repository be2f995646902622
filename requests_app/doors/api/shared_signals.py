"""Shared signals (OpenID Shared Signals Framework 1.0): a client manages its streams, and fetches their events.

The framework names the addresses, the members and the statuses. A stream is named by `stream_id`, in the query or in
the body.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.http.response import HttpResponseBase
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe
from drf_spectacular.utils import OpenApiExample, OpenApiParameter
from rest_framework.response import Response

from requests_app import operations
from requests_app.domain import clock, policy
from requests_app.domain.actors import Actor
from requests_app.domain.acts.signal_streams import (
    CHANGE_STREAM,
    CREATE_STREAM,
    DELETE_STREAM,
    SET_STREAM_STATUS,
    VERIFY_STREAM,
)
from requests_app.domain.errors import DomainError, Malformed
from requests_app.domain.scopes import Scope
from requests_app.doors.api import errors, events
from requests_app.doors.api import signal_shapes as shapes
from requests_app.doors.api.base import ApiView
from requests_app.doors.api.schema import extend_schema
from requests_app.messages import signals
from requests_app.models import SignalStream, token_keys
from requests_app.models.people import reread
from requests_app.models.row_security import only_tenants
from requests_app.operations import signal_polls
from requests_app.platform import waiting
from requests_app.platform.long_calls import LongCall, long_call
from requests_app.platform.waiting import LOOK_EVERY
from requests_app.queries import signal_streams as queries
from requests_app.work import polls, readers

_schema = partial(extend_schema, tags=["shared signals"])
_STREAM_ID = OpenApiParameter("stream_id", {"type": "string", "minLength": 1}, description="The stream.")
#: How many seconds a call waits for an event if nothing waits yet.
LONGEST_WAIT = 30


def _example(name: str, value: dict[str, Any]) -> list[OpenApiExample]:
    return [OpenApiExample(name, request_only=True, value=value)]


class _Signals(ApiView):
    """The base of the framework's routes. It knows no 422: a value that is not allowed is answered with 400."""

    has_no_etag: ClassVar[bool] = True

    def get_exception_handler(self) -> Callable[..., Response | None]:
        return _handle

    def stream(self, stream_id: object) -> SignalStream:
        return queries.stream(stream_id, actor=self.actor)

    def asked_for(self) -> str:
        found = self.request.query_params.get("stream_id")
        if not found:
            raise Malformed(_("%(member)s is missing.") % {"member": "stream_id"})
        return str(found)


def _handle(error: Exception, context: dict[str, Any]) -> Response | None:
    response = errors.handle(error, context)
    if response is not None and response.status_code == 422:
        response.status_code = response.data["status"] = 400
    return response


class Streams(_Signals):
    """The configuration endpoint."""

    scopes: ClassVar = {"GET": Scope.SSF_READ}
    acts: ClassVar = {
        "POST": (CREATE_STREAM,),
        "PATCH": (CHANGE_STREAM,),
        "PUT": (CHANGE_STREAM,),
        "DELETE": (DELETE_STREAM,),
    }
    parameters: ClassVar = frozenset({"stream_id"})

    @_schema(
        operation_id="signal_streams_show",
        summary="Read the client's signal streams, or one of them",
        parameters=[_STREAM_ID],
        responses={200: shapes.StreamOut(many=True)},
    )
    def get(self, request: Any) -> Response:
        """With `stream_id`, the answer is this stream, and not a list."""
        if "stream_id" in request.query_params:
            return Response(shapes.StreamOut(self.stream(self.asked_for())).data)
        return Response(shapes.StreamOut(queries.streams(actor=self.actor), many=True).data)

    @_schema(
        operation_id="signal_streams_create",
        summary="Create a signal stream",
        request=shapes.StreamIn,
        responses={201: shapes.StreamOut},
        examples=_example(
            "Sent to a receiver",
            {
                "delivery": {"method": shapes.PUSH, "endpoint_url": "https://receiver.example.com/signals"},
                "events_requested": [signals.SESSION_REVOKED],
            },
        ),
    )
    def post(self, request: Any) -> Response:
        row = operations.create_stream(shapes.wanted(self.body(shapes.StreamIn)), actor=self.actor)
        return Response(shapes.StreamOut(row).data, status=201)

    @_schema(
        operation_id="signal_streams_change",
        summary="Change some members of a signal stream",
        request=shapes.StreamChange,
        responses={200: shapes.StreamOut},
        examples=_example("Only ends", {"stream_id": "{stream}", "events_requested": [signals.SESSION_REVOKED]}),
    )
    def patch(self, request: Any) -> Response:
        return self._changed(is_whole=False)

    @_schema(
        operation_id="signal_streams_replace",
        summary="Replace the configuration of a signal stream",
        request=shapes.StreamChange,
        responses={200: shapes.StreamOut},
        examples=_example("Fetched by the receiver", {"stream_id": "{stream}", "delivery": {"method": shapes.POLL}}),
    )
    def put(self, request: Any) -> Response:
        """A member that is missing gets its default.

        Without `authorization_header`, the stored header stays if the address stays.
        """
        return self._changed(is_whole=True)

    @_schema(
        operation_id="signal_streams_delete",
        summary="Delete a signal stream",
        parameters=[_STREAM_ID],
        responses={204: None},
    )
    def delete(self, request: Any) -> Response:
        operations.delete_stream(self.asked_for(), actor=self.actor)
        return Response(status=204)

    def _changed(self, *, is_whole: bool) -> Response:
        found = self.body(shapes.StreamChange)
        shapes.require_supplied(self.request.data, self.stream(found["stream_id"]))
        wanted = shapes.wanted(found, is_whole=is_whole)
        row = operations.change_stream(found["stream_id"], wanted, actor=self.actor)
        return Response(shapes.StreamOut(row).data)


class StreamStatus(_Signals):
    """The status endpoint. A status for a single subject does not exist: every stream has all subjects."""

    scopes: ClassVar = {"GET": Scope.SSF_READ}
    acts: ClassVar = {"POST": (SET_STREAM_STATUS,)}
    parameters: ClassVar = frozenset({"stream_id"})

    @_schema(
        operation_id="signal_status_show",
        summary="Read the status of a signal stream",
        parameters=[_STREAM_ID],
        responses={200: shapes.StatusOut},
    )
    def get(self, request: Any) -> Response:
        return Response(shapes.StatusOut(self.stream(self.asked_for())).data)

    @_schema(
        operation_id="signal_status_set",
        summary="Enable, pause or disable a signal stream",
        request=shapes.StatusIn,
        responses={200: shapes.StatusOut},
        examples=_example("Maintenance", {"stream_id": "{stream}", "status": "paused", "reason": "Maintenance"}),
    )
    def post(self, request: Any) -> Response:
        """A paused stream keeps its events for three days. A disabled stream drops them."""
        found = self.body(shapes.StatusIn)
        if "subject" in request.data:
            raise Malformed(_("The status of a single subject can't be changed."))
        row = operations.set_stream_status(
            found["stream_id"], status=found["status"], reason=found.get("reason"), actor=self.actor
        )
        return Response(shapes.StatusOut(row).data)


class Verification(_Signals):
    """The verification endpoint."""

    acts: ClassVar = {"POST": (VERIFY_STREAM,)}

    @_schema(
        operation_id="signal_verification",
        summary="Request a verification event",
        request=shapes.VerifyIn,
        responses={204: None},
        examples=_example("A test", {"stream_id": "{stream}", "state": "c8f1"}),
    )
    def post(self, request: Any) -> Response:
        found = self.body(shapes.VerifyIn)
        operations.verify_stream(found["stream_id"], state=found.get("state"), actor=self.actor)
        return Response(status=204)


@dataclass
class _Poll:
    """One call that waits for events. The stream and the caller's rights are read again at each look."""

    stream: SignalStream
    most: int
    actor: Actor

    def look(self) -> signal_polls.Fetched:
        actor = reread(self.actor)
        policy.require_scope(actor, Scope.SSF_READ)
        self.stream = queries.stream(self.stream.pk, actor=actor)
        return signal_polls.waiting_signals(self.stream, self.most)


class Fetch(_Signals):
    """The poll endpoint of one stream (RFC 8936)."""

    scopes: ClassVar = {"POST": Scope.SSF_READ}
    changes: ClassVar[bool] = False

    @_schema(
        operation_id="signal_poll",
        summary="Fetch and acknowledge events of a signal stream",
        request=shapes.PollIn,
        responses={200: shapes.FetchedOut},
        examples=_example("Fetch and acknowledge", {"maxEvents": 10, "returnImmediately": True, "ack": ["f8e0"]}),
    )
    def post(self, request: Any, stream: UUID) -> HttpResponseBase:
        """If nothing waits, the call waits for up to 30 seconds, unless `returnImmediately` is true."""
        found = self.body(shapes.PollIn)
        row = self.stream(stream)
        if row.is_push:
            raise Malformed(_("The events of this stream are sent to its receiver."))
        faults = {jti: _words(fault) for jti, fault in found.get("setErrs", {}).items()}
        signal_polls.settle_signals(row, acknowledged=found.get("ack", []), errors=faults, actor=self.actor)
        most = min(found.get("maxEvents", signal_polls.MOST_EVENTS), signal_polls.MOST_EVENTS)
        poll = _Poll(row, most, self.actor)
        waits = not found.get("returnImmediately", False) and most > 0
        fetched = poll.look()
        if fetched.rows or not waits:
            return Response(_tokens(poll.stream, fetched))
        if waiting.is_outside(request.META):
            return self._answered_later(poll)
        with long_call(self.token.account_id):
            for _look in range(round(LONGEST_WAIT / LOOK_EVERY)):
                events.pause(LOOK_EVERY)
                if (fetched := poll.look()).rows:
                    break
        return Response(_tokens(poll.stream, fetched))

    def _answered_later(self, poll: _Poll) -> waiting.Waiting:
        """Let the web server wait, which holds no thread meanwhile."""
        ends, tenants = clock.monotonic() + LONGEST_WAIT, self.actor.tenant_ids

        def answer() -> HttpResponseBase | None:
            try:
                fetched, body = _read_once(poll, tenants)
                if not fetched.rows and clock.monotonic() < ends:
                    return None
                response = Response(body)
            except DomainError as refusal:
                response = self.handle_exception(refusal)
            return self.finalize_response(self.request, response).render()

        with LongCall(self.token.account_id) as place:
            response = waiting.Waiting(self.request._request, answer)
            response.at_its_end(place.leave)
            response.news, leave = polls.HUB.wait_for(poll.stream.pk)
            response.at_its_end(leave)
            # Wakes the call, too, as soon as something was taken away from the caller.
            token = events.judged_by_token(self.actor)
            seat = readers.HUB.sit(tenant_id=None, token_id=token, news=response.news)
            response.at_its_end(partial(readers.HUB.leave, seat))
            most = LOOK_EVERY if token is None else readers.RELIES_FOR
            response.look_every = lambda: min(most, ends - clock.monotonic())
            nothing = {"sets": {}, "moreAvailable": False}
            response.at_stop = lambda: self.finalize_response(self.request, Response(nothing)).render()
            return response


def _read_once(poll: _Poll, tenants: frozenset[UUID]) -> tuple[signal_polls.Fetched, dict[str, Any]]:
    """Look once. A connection that serves a customer sees only this customer's rows meanwhile."""
    if not tenants:
        fetched = poll.look()
        return fetched, _tokens(poll.stream, fetched)
    with only_tenants(tenants):
        fetched = poll.look()
    return fetched, _tokens(poll.stream, fetched)


def _tokens(stream: SignalStream, fetched: signal_polls.Fetched) -> dict[str, Any]:
    """Return the answer. Each token is signed now, with the key that signs now; its `jti` stays."""
    sets = {}
    for row in fetched.rows:
        rendered = row.rendered or {}
        claims = json.loads(rendered["body"])
        sets[rendered["id"]] = token_keys.signed(claims, typ=signals.TYPE, alg=stream.alg)
    return {"sets": sets, "moreAvailable": fetched.has_more}


def _words(fault: dict[str, str]) -> str:
    return f"{fault['err']}: {fault.get('description', '')}".removesuffix(": ")


@require_safe
def configuration(request: HttpRequest) -> JsonResponse:
    """Return the transmitter's metadata. Subjects can't be added or removed: each stream has all of them."""
    base = settings.BASE_URL
    return JsonResponse(
        {
            "spec_version": "1_0",
            "issuer": base,
            "jwks_uri": f"{base}/.well-known/jwks.json",
            "delivery_methods_supported": [shapes.PUSH, shapes.POLL],
            "configuration_endpoint": base + reverse("api:signal_streams"),
            "status_endpoint": base + reverse("api:signal_status"),
            "verification_endpoint": base + reverse("api:signal_verification"),
            "authorization_schemes": [{"spec_urn": "urn:ietf:rfc:6749"}],
            "default_subjects": "ALL",
        }
    )


urlpatterns = [
    path("ssf/v1/streams", Streams.as_view(), name="signal_streams"),
    path("ssf/v1/streams/<uuid:stream>/poll", Fetch.as_view(), name="signal_poll"),
    path("ssf/v1/status", StreamStatus.as_view(), name="signal_status"),
    path("ssf/v1/verify", Verification.as_view(), name="signal_verification"),
    path(".well-known/ssf-configuration", configuration, name="ssf"),
]
