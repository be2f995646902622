"""Test cases for the acts on a signal stream. A client creates and changes it, and people can stop it."""

from __future__ import annotations

from typing import Any

from django.urls import reverse

from requests_app import operations
from requests_app.domain.actors import Actor
from requests_app.domain.scopes import Scope
from requests_app.models import Client, SignalStream
from requests_app.operations._stream_settings import Delivery, Wanted
from tests.acts.case import Call, Case
from tests.acts.shared import by_button
from tests.caller import Caller, service_of
from tests.cast import Cast

_PUSH = {"method": "urn:ietf:rfc:8935", "endpoint_url": "https://receiver.example/signals"}
_BODY: dict[str, Any] = {"delivery": _PUSH, "description": "Sessions"}
_WANTED = Wanted(delivery=Delivery(is_push=True, url=_PUSH["endpoint_url"]), description="Sessions")


def stream(cast: Cast, tenant: str | None = None) -> SignalStream:
    """Return a stream of a new client: of the tenant's, or of the provider's."""
    return operations.create_stream(Wanted(), actor=service_of(cast, tenant, Scope.SSF_MANAGE))


def _of_contoso(cast: Cast) -> SignalStream:
    return stream(cast, "contoso")


def _given_to(row: SignalStream, client: Any) -> SignalStream:
    """Give the stream to the client that calls: each case makes a client of its own."""
    SignalStream.objects.filter(pk=row.pk).update(client=client)
    return row


def _by_client(act: Any) -> Any:
    def run(cast: Cast, row: SignalStream, actor: Actor) -> Any:
        assert actor.machine is not None
        return act(_given_to(row, actor.machine.client_id).pk, actor)

    return run


def _called(call: Any) -> Call:
    def run(cast: Cast, caller: Caller, row: SignalStream) -> Any:
        return call(caller, {"stream_id": str(_given_to(row, Client.objects.latest("created_at", "pk").pk).pk)})

    return run


def _case(act: Any, call: Any) -> Case:
    return Case(None, stream, _by_client(act), api=_called(call), scope=Scope.SSF_MANAGE)


def _status(cast: Cast, row: Any, actor: Actor) -> Any:
    return operations.set_stream_status(row.pk, status="paused", reason=None, actor=actor)


def _page(name: str, **form: str) -> Any:
    return lambda cast, client, row: client.post(reverse(f"web:{name}", args=[cast.contoso.pk, row.pk]), form)


CASES: dict[str, Case] = {
    "create_stream": Case(
        None,
        lambda cast: None,
        lambda cast, row, actor: operations.create_stream(_WANTED, actor=actor),
        api=lambda cast, caller, row: caller.post("/ssf/v1/streams", _BODY),
        scope=Scope.SSF_MANAGE,
    ),
    "change_stream": _case(
        lambda pk, actor: operations.change_stream(pk, _WANTED, actor=actor),
        lambda caller, named: caller.patch("/ssf/v1/streams", {**named, **_BODY}),
    ),
    "verify_stream": _case(
        lambda pk, actor: operations.verify_stream(pk, state="x", actor=actor),
        lambda caller, named: caller.post("/ssf/v1/verify", {**named, "state": "x"}),
    ),
    "delete_stream": _case(
        lambda pk, actor: operations.delete_stream(pk, actor=actor),
        lambda caller, named: caller.delete(f"/ssf/v1/streams?stream_id={named['stream_id']}"),
    ),
    "delete_stream by staff": Case(
        "stella",
        stream,
        lambda cast, row, actor: operations.delete_stream(row.pk, actor=actor),
        admin=by_button("signalstream", "delete"),
    ),
    "delete_stream by an administrator": Case(
        "ines",
        _of_contoso,
        lambda cast, row, actor: operations.delete_stream(row.pk, actor=actor),
        page=_page("signal_stream_delete"),
    ),
    "set_stream_status": _case(
        lambda pk, actor: operations.set_stream_status(pk, status="paused", actor=actor),
        lambda caller, named: caller.post("/ssf/v1/status", {**named, "status": "paused"}),
    ),
    "set_stream_status by staff": Case(
        "stella", stream, _status, admin=by_button("signalstream", "status", status="paused")
    ),
    "set_stream_status by an administrator": Case(
        "ines", _of_contoso, _status, page=_page("signal_stream", status="paused")
    ),
}
