"""Signal streams: who gets which event, how it is signed and sent, and that none is lost."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import UUID

import jwt
import pytest
from django.core import mail
from django.db import transaction
from django.test import Client as Browser
from django.test import RequestFactory
from django.urls import resolve

from audit_app.models import AuditEntry
from requests_app import operations, tasks
from requests_app.domain import clock
from requests_app.domain.errors import NotFound
from requests_app.domain.reports import Kind
from requests_app.domain.scopes import Scope
from requests_app.doors.api import events
from requests_app.messages import signals
from requests_app.messages.webhooks import schedule, sealing
from requests_app.models import AccessRequest, Client, OutboxMessage, SignalStream, Webhook, token_keys
from requests_app.platform import long_calls, outbound, waiting
from requests_app.work import outbox as mails
from requests_app.work import polls
from requests_app.work.webhooks import alarms, delivery, dispatch, tidying
from requests_app.work.webhooks.courier import Courier
from tests.api.test_events import leave
from tests.caller import Caller, access_token, client_of, token_of
from tests.cast import Cast, events_in
from tests.guards import actor_of_guard, client_of_guards
from tests.operations.test_reports import one, report
from tests.webhooks.receiver import Got, Receiver

pytestmark = pytest.mark.django_db

STREAMS, STATUS, VERIFY = "/ssf/v1/streams", "/ssf/v1/status", "/ssf/v1/verify"
PUSH, POLL = "urn:ietf:rfc:8935", "urn:ietf:rfc:8936"
NOW: dict[str, Any] = {"returnImmediately": True}


@pytest.fixture(autouse=True)
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "JITTER", 0)


class Program:
    """A receiver's program: a client of the API that has streams."""

    def __init__(self, cast: Cast, tenant: str | None = None) -> None:
        self.client, secret = client_of(cast, tenant, Scope.SSF_READ, Scope.SSF_MANAGE)
        self.caller = Caller(access_token(self.client, secret).json()["access_token"])

    def create(self, **body: Any) -> dict[str, Any]:
        answer = self.caller.post(STREAMS, body)
        assert answer.status_code == 201, answer.content
        found: dict[str, Any] = answer.json()
        return found

    def push(self, receiver: Receiver, **body: Any) -> dict[str, Any]:
        header = body.pop("authorization_header", None)
        more = {} if header is None else {"authorization_header": header}
        return self.create(delivery={"method": PUSH, "endpoint_url": receiver.url, **more}, **body)

    def poll(self, stream: dict[str, Any], **body: Any) -> Any:
        url = stream["delivery"]["endpoint_url"].partition("://")[2].partition("/")[2]
        return self.caller.post(f"/{url}", {**NOW, **body})

    def fetched(self, stream: dict[str, Any], **body: Any) -> list[dict[str, Any]]:
        answer = self.poll(stream, **body)
        assert answer.status_code == 200, answer.content
        return [verified(token, self.client) for token in answer.json()["sets"].values()]


def verified(token: str, client: Client, alg: str = "RS256") -> dict[str, Any]:
    """Verify a token with PyJWT, which the product does not use, and with the published keys. Return its claims."""
    header = jwt.get_unverified_header(token)
    assert (header["typ"], header["alg"]) == ("secevent+jwt", alg)
    keys = {key["kid"]: key for key in token_keys.public_keys()["keys"]}
    claims: dict[str, Any] = jwt.decode(
        token, jwt.PyJWK(keys[header["kid"]], algorithm=alg).key, algorithms=[alg], audience=str(client.pk)
    )
    return claims


def make_events() -> None:
    dispatch.work(clock.monotonic() + 10, of_streams=True)


def deliver() -> int:
    """Do the work of the courier until nothing is due."""
    courier = Courier()
    with ThreadPoolExecutor(16) as pool:
        courier.look(pool, pool)
        while courier._sender.sending:
            courier._sender.settle(60)
            courier.look(pool, pool)
    return courier._sender.done


def got(receiver: Receiver, client: Client) -> list[dict[str, Any]]:
    return [verified(each.body.decode(), client) for each in receiver.got]


def kinds(found: list[dict[str, Any]]) -> list[str]:
    return [next(iter(each["events"])).rpartition("/")[2] for each in found]


def revoke(cast: Cast, grant: Any) -> None:
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))


def use(cast: Cast, grant: Any) -> None:
    """Use the window through the decision point, as the application does."""
    caller = Caller(_evaluating(cast))
    body = {
        "subject": {"type": "engineer", "id": str(grant.engineer_id)},
        "action": {"name": "read"},
        "resource": {"type": "quillo", "id": "7"},
        "context": {"purpose": "access", "tenant": "contoso", "item": "a page"},
    }
    answer = caller.post("/access/v1/evaluation", body)
    assert answer.json()["decision"] is True, answer.content


def _evaluating(cast: Cast) -> str:
    client, secret = client_of(cast, "contoso", Scope.EVALUATE)
    return str(access_token(client, secret).json()["access_token"])


# --- What a token says -------------------------------------------------------------------------------------


def test_an_end_arrives_as_a_signed_token_of_the_profile(cast: Cast, receiver: Receiver) -> None:
    program = Program(cast)
    program.push(receiver, authorization_header="Bearer of-the-receiver")
    grant = cast.in_quillo()
    revoke(cast, grant)
    assert deliver() == 1
    grant.refresh_from_db()
    [sent], [claims] = receiver.got, got(receiver, program.client)
    assert sent.headers["content-type"] == "application/secevent+jwt"
    assert sent.headers["accept"] == "application/json"
    assert sent.headers["authorization"] == "Bearer of-the-receiver"
    entry = AuditEntry.objects.get(event="grant.revoked")
    assert claims == {
        "iss": claims["iss"],
        "jti": claims["jti"],
        "iat": int(entry.at.timestamp()),
        "aud": str(program.client.pk),
        "txn": f"msg_{bytes(entry.leaf_hash).hex()[:32]}",
        "sub_id": {"format": "email", "email": cast.priya.email},
        "events": {
            "https://schemas.openid.net/secevent/caep/event-type/session-revoked": {
                "event_timestamp": int(grant.closed_at.timestamp()),
                "initiating_entity": "admin",
                "reason_admin": {"en": "The window was closed early."},
            }
        },
    }
    assert claims["iss"] == Browser().get("/.well-known/ssf-configuration").json()["issuer"]


@pytest.mark.parametrize(("how", "by"), [("revoked", "admin"), ("released", "user"), ("elapsed", "policy")])
def test_every_way_in_which_a_window_ends_is_sent(
    cast: Cast, receiver: Receiver, travel: Any, how: str, by: str
) -> None:
    program = Program(cast)
    program.push(receiver)
    grant = cast.in_quillo()
    if how == "revoked":
        revoke(cast, grant)
    elif how == "released":
        operations.release(grant.access_request_id, actor=cast.as_("priya"))
    else:
        travel.to(grant.closes_at + dt.timedelta(seconds=1))
        tasks.sweep()
    deliver()
    [claims] = got(receiver, program.client)
    [event] = claims["events"].values()
    assert event["initiating_entity"] == by
    assert event["reason_admin"]["en"]
    grant.refresh_from_db()
    assert (grant.close_reason, event["event_timestamp"]) == (how, int(grant.closed_at.timestamp()))


@pytest.mark.parametrize("format", ["email", "iss_sub", "complex"])
def test_the_subject_has_the_form_that_the_receiver_chose(cast: Cast, format: str) -> None:
    program = Program(cast)
    stream = program.create(subject_format=format, signing_alg="EdDSA")
    assert (stream["subject_format"], stream["signing_alg"]) == (format, "EdDSA")
    grant = cast.in_quillo()
    revoke(cast, grant)
    make_events()
    [token] = program.poll(stream).json()["sets"].values()
    person = {"format": "iss_sub", "iss": stream["iss"], "sub": str(cast.priya.pk)}
    assert (
        verified(token, program.client, "EdDSA")["sub_id"]
        == {
            "email": {"format": "email", "email": cast.priya.email},
            "iss_sub": person,
            "complex": {
                "format": "complex",
                "user": person,
                "session": {"format": "opaque", "id": str(grant.pk)},
                "tenant": {"format": "opaque", "id": str(cast.contoso.pk)},
            },
        }[format]
    )


def test_the_first_use_of_a_window_begins_the_session_and_later_ones_do_not(cast: Cast, receiver: Receiver) -> None:
    program = Program(cast)
    program.push(receiver)
    grant = cast.in_quillo()
    use(cast, grant)
    deliver()
    use(cast, grant)
    deliver()
    revoke(cast, grant)
    deliver()
    assert kinds(got(receiver, program.client)) == ["session-established", "session-revoked"]
    late = program.create()
    assert program.fetched(late) == []


def test_a_grant_token_begins_the_session(cast: Cast, receiver: Receiver) -> None:
    program, client = Program(cast), client_of_guards(cast)
    program.push(receiver)
    grant = cast.in_quillo()
    operations.issue_grant_token(grant.pk, actor=cast.as_("priya"))
    operations.report_accesses(report(one(grant)), actor=actor_of_guard(client))
    deliver()
    assert kinds(got(receiver, program.client)) == ["session-established"]


def test_a_report_begins_the_session_unless_it_is_about_a_refusal_or_late(cast: Cast, receiver: Receiver) -> None:
    program, actor = Program(cast), actor_of_guard(client_of_guards(cast))
    program.push(receiver)
    used, late = cast.in_quillo(), cast.in_quillo()
    operations.report_accesses(report(one(used, kind=Kind.REFUSED)), actor=actor)
    deliver()
    assert receiver.tried == []
    operations.report_accesses(report(one(used), first=2), actor=actor)
    deliver()
    at = clock.now()
    revoke(cast, late)
    operations.report_accesses(report(one(late, at=at), first=3), actor=actor)
    deliver()
    assert kinds(got(receiver, program.client)) == ["session-established", "session-revoked"]


def test_only_windows_of_external_services_are_sent(cast: Cast, receiver: Receiver) -> None:
    program = Program(cast)
    program.push(receiver)
    revoke(cast, cast.opened())
    deliver()
    assert (receiver.tried, dispatch.has_news(of_streams=True)) == ([], False)


def test_a_receiver_gets_only_the_events_that_it_asked_for(cast: Cast, receiver: Receiver) -> None:
    program = Program(cast)
    wanted = [signals.SESSION_ESTABLISHED, "https://example.com/unknown"]
    stream = program.push(receiver, events_requested=wanted)
    assert (stream["events_requested"], stream["events_delivered"]) == (wanted, [signals.SESSION_ESTABLISHED])
    grant = cast.in_quillo()
    use(cast, grant)
    revoke(cast, grant)
    deliver()
    assert kinds(got(receiver, program.client)) == ["session-established"]


# --- Isolation ---------------------------------------------------------------------------------------------


def test_a_tenants_program_gets_its_own_tenants_events_only(cast: Cast) -> None:
    ours, theirs, all_of_them = Program(cast, "contoso"), Program(cast, "fabrikam"), Program(cast)
    streams = [each.create() for each in (ours, theirs, all_of_them)]
    revoke(cast, cast.in_quillo())
    make_events()
    found = [each.fetched(stream) for each, stream in zip((ours, theirs, all_of_them), streams, strict=True)]
    assert [kinds(each) for each in found] == [["session-revoked"], [], ["session-revoked"]]
    assert found[0][0]["jti"] != found[2][0]["jti"]
    assert found[0][0]["txn"] == found[2][0]["txn"]


@pytest.mark.parametrize("other", ["fabrikam", "contoso", None])
def test_another_clients_stream_does_not_exist(cast: Cast, other: str | None) -> None:
    program = Program(cast, "contoso")
    stream, entries = program.create(description="Zanzibar"), AuditEntry.objects.count
    outsider = Program(cast, other)
    if outsider.client.pk == program.client.pk:
        made = cast.as_("ines")
        row, secret = operations.create_client(
            tenant_id=cast.contoso.pk, name="Second", scopes=["ssf.read", "ssf.manage"], actor=made
        )
        outsider.client, outsider.caller = row, Caller(access_token(row, secret).json()["access_token"])
    before, here = entries(), {"stream_id": stream["stream_id"]}
    there = {"stream_id": "8f3a0000-0000-4000-8000-000000000000"}
    call = outsider.caller

    def calls(names: dict[str, str]) -> list[Any]:
        query = f"?stream_id={names['stream_id']}"
        return [
            call.get(STREAMS, names),
            call.patch(STREAMS, names),
            call.put(STREAMS, names),
            call.delete(STREAMS + query),
            call.get(STATUS, names),
            call.post(STATUS, {**names, "status": "disabled"}),
            call.post(VERIFY, names),
            call.post(f"{STREAMS}/{names['stream_id']}/poll", NOW),
        ]

    answers = [(one.status_code, two.status_code) for one, two in zip(calls(here), calls(there), strict=True)]
    assert answers == [(404, 404)] * 8
    assert outsider.caller.get(STREAMS).json() == []
    assert program.caller.get(STREAMS, here).json() == stream
    assert entries() == before
    assert not OutboxMessage.objects.filter(webhook=stream["stream_id"]).exists()


def test_a_person_has_no_streams(cast: Cast) -> None:
    caller = Caller(token_of(cast, "stella"))
    assert caller.get(STREAMS).json() == []
    assert caller.post(STREAMS, {}).status_code == 403
    assert not SignalStream.objects.exists()


def test_a_stream_is_no_webhook(cast: Cast, receiver: Receiver) -> None:
    program = Program(cast, "contoso")
    stream = program.push(receiver)
    ines = cast.as_("ines")
    assert list(Webhook.objects.visible_to(ines)) == []
    assert list(Webhook.objects.present()) == []
    for act in (operations.disable_webhook, operations.remove_webhook, operations.rotate_webhook_secret):
        with pytest.raises(NotFound):
            act(stream["stream_id"], actor=ines)
    assert Webhook.objects.get().is_on


def test_a_client_that_loses_its_scope_loses_its_streams(cast: Cast, receiver: Receiver) -> None:
    program = Program(cast, "contoso")
    program.push(receiver)
    grant = cast.in_quillo()
    operations.change_client(program.client.pk, scopes=["ssf.read"], actor=cast.as_("ines"))
    revoke(cast, grant)
    deliver()
    assert receiver.tried == []
    assert program.caller.get(STREAMS).json() == []


def test_a_client_of_one_service_gets_the_windows_of_that_service(cast: Cast, receiver: Receiver) -> None:
    program = Program(cast)
    program.push(receiver)
    grants = [cast.in_quillo(), cast.in_quillo()]
    revoke(cast, grants[0])
    Client.objects.filter(pk=program.client.pk).update(service=cast.quillo())
    deliver()
    assert kinds(got(receiver, program.client)) == ["session-revoked"]
    Client.objects.filter(pk=program.client.pk).update(service=cast.exchange)
    revoke(cast, grants[1])
    deliver()
    assert len(receiver.tried) == 1


def test_a_removed_client_takes_its_streams_along(cast: Cast, receiver: Receiver) -> None:
    program = Program(cast, "contoso")
    program.push(receiver, authorization_header="Bearer x")
    grant = cast.in_quillo()
    operations.remove_client(program.client.pk, actor=cast.as_("ines"))
    revoke(cast, grant)
    deliver()
    assert receiver.tried == []
    assert SignalStream.objects.get().authorization == ""
    tasks.tidy_webhooks()
    assert not SignalStream.objects.exists()
    assert not Webhook.objects.exists()


# --- Streams over the API ----------------------------------------------------------------------------------


def test_the_metadata_names_what_is_there(cast: Cast) -> None:
    found = Browser().get("/.well-known/ssf-configuration").json()
    assert found["spec_version"] == "1_0"
    assert found["delivery_methods_supported"] == [PUSH, POLL]
    assert found["authorization_schemes"] == [{"spec_urn": "urn:ietf:rfc:6749"}]
    assert "add_subject_endpoint" not in found
    for name in ("configuration_endpoint", "status_endpoint"):
        path = found[name].removeprefix(found["issuer"])
        assert Program(cast).caller.get(path).status_code in (200, 400)


def test_a_stream_is_created_read_changed_replaced_and_deleted(cast: Cast, receiver: Receiver) -> None:
    program = Program(cast)
    stream = program.push(receiver, description="Sessions", authorization_header="Bearer secret-of-theirs")
    pk = {"stream_id": stream["stream_id"]}
    assert stream == {
        **pk,
        "iss": stream["iss"],
        "aud": str(program.client.pk),
        "events_supported": list(signals.SUPPORTED),
        "events_requested": list(signals.SUPPORTED),
        "events_delivered": list(signals.SUPPORTED),
        "delivery": {"method": PUSH, "endpoint_url": receiver.url},
        "min_verification_interval": 5,
        "description": "Sessions",
        "subject_format": "email",
        "signing_alg": "RS256",
    }
    assert program.caller.get(STREAMS, pk).json() == stream
    assert program.caller.get(STREAMS).json() == [stream]
    changed = program.caller.patch(STREAMS, {**pk, "events_requested": [signals.SESSION_REVOKED], "unknown": 1}).json()
    assert changed == {
        **stream,
        "events_requested": [signals.SESSION_REVOKED],
        "events_delivered": [signals.SESSION_REVOKED],
    }
    # What is read can be sent back, and the header stays, because nobody can read it.
    assert program.caller.put(STREAMS, changed).json() == changed
    row = SignalStream.objects.get()
    assert sealing.opened_header(row.authorization) == "Bearer secret-of-theirs"
    replaced = program.caller.put(STREAMS, pk).json()
    assert (replaced["delivery"]["method"], replaced["description"]) == (POLL, "")
    row.refresh_from_db()
    assert row.authorization == ""
    answer = program.caller.delete(f"{STREAMS}?stream_id={stream['stream_id']}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert program.caller.get(STREAMS).json() == []
    assert program.caller.get(STREAMS, pk).status_code == 404
    written = [
        str(event) for event in AuditEntry.objects.filter(event__startswith="signal").values_list("event", flat=True)
    ]
    assert written == ["signal_stream.created", *["signal_stream.changed"] * 3, "signal_stream.deleted"]
    logged = b"".join(bytes(entry.canonical) for entry in AuditEntry.objects.all())
    assert b"secret-of-theirs" not in logged
    assert b"secret-path" not in logged


def test_the_header_of_one_receiver_never_reaches_another(cast: Cast, receivers: Callable[[], Receiver]) -> None:
    first, second = receivers(), receivers()
    program = Program(cast)
    stream = program.push(first, authorization_header="Bearer for-the-first")
    moved = {"stream_id": stream["stream_id"], "delivery": {"method": PUSH, "endpoint_url": second.url}}
    assert program.caller.patch(STREAMS, moved).status_code == 200
    revoke(cast, cast.in_quillo())
    deliver()
    assert (len(first.tried), len(second.tried)) == (0, 1)
    assert "authorization" not in second.got[0].headers


@pytest.mark.parametrize(
    "url",
    ["http://receiver.example/x", "https://127.0.0.1/x", "https://169.254.169.254/x", "https://localhost/x",
     "https://receiver.example:22/x", "https://user@receiver.example/", "file:///etc/passwd", ""],
)  # fmt: skip
def test_an_address_that_must_not_be_called_is_refused_when_it_is_saved(cast: Cast, settings: Any, url: str) -> None:
    settings.WEBHOOK_PRIVATE_NETWORK = False
    program = Program(cast)
    answer = program.caller.post(STREAMS, {"delivery": {"method": PUSH, "endpoint_url": url}})
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "delivery.endpoint_url"
    stream = program.create()
    change = {"stream_id": stream["stream_id"], "delivery": {"method": PUSH, "endpoint_url": url}}
    assert program.caller.patch(STREAMS, change).status_code == 400
    assert SignalStream.objects.get().method == "poll"
    assert not Webhook.objects.exclude(url="").exists()


def test_a_name_that_now_has_a_private_address_is_not_connected_to(
    cast: Cast, settings: Any, receiver: Receiver
) -> None:
    program = Program(cast)
    program.push(receiver)
    settings.WEBHOOK_PRIVATE_NETWORK = False
    revoke(cast, cast.in_quillo())
    deliver()
    assert receiver.tried == []
    message = OutboxMessage.objects.get(lane="signal")
    assert (message.state, message.last_error) == ("waiting", "address")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_and_takes_neither_event_nor_header_elsewhere(
    cast: Cast, receivers: Callable[[], Receiver], status: int
) -> None:
    first, second = receivers(), receivers()
    Program(cast).push(first, authorization_header="Bearer for-the-first")
    first.answer(status, second.url)
    revoke(cast, cast.in_quillo())
    deliver()
    assert (len(first.tried), second.tried) == (1, [])
    message = OutboxMessage.objects.get(lane="signal")
    assert (message.state, message.last_error) == ("waiting", str(status))


@pytest.mark.parametrize(
    "body",
    [{"iss": "https://else.example"}, {"aud": "else"}, {"events_supported": []}, {"events_delivered": ["x"]},
     {"signing_alg": "none"}, {"signing_alg": "HS256"}, {"subject_format": "phone"}, {"delivery": {"method": "urn:x"}},
     {"delivery": {"method": PUSH, "endpoint_url": "https://r.example/", "authorization_header": "a\r\nX: y"}},
     {"events_requested": "all"}, {"description": "x" * 81}],
)  # fmt: skip
def test_a_wrong_configuration_is_refused_and_changes_nothing(cast: Cast, body: dict[str, Any]) -> None:
    program = Program(cast)
    stream, before = program.create(), AuditEntry.objects.filter(event="signal_stream.changed").count()
    answer = program.caller.patch(STREAMS, {"stream_id": stream["stream_id"], **body})
    assert (answer.status_code, answer.json()["status"]) == (400, 400), answer.content
    assert program.caller.get(STREAMS).json() == [stream]
    assert AuditEntry.objects.filter(event="signal_stream.changed").count() == before


def test_a_client_has_at_most_five_streams(cast: Cast) -> None:
    program = Program(cast)
    for _ in range(5):
        program.create()
    assert program.caller.post(STREAMS, {}).status_code == 409
    assert SignalStream.objects.count() == 5


def test_each_scope_allows_its_calls_and_no_more(cast: Cast) -> None:
    stream = Program(cast, "contoso").create()
    for scope, reads in ((Scope.SSF_READ, 200), (Scope.SSF_MANAGE, 403)):
        client, secret = client_of(cast, "contoso", scope)
        caller = Caller(access_token(client, secret).json()["access_token"])
        assert caller.get(STREAMS).status_code == reads
        assert caller.post(STREAMS, {}).status_code == (403 if reads == 200 else 201)
    assert SignalStream.objects.filter(pk=stream["stream_id"]).exists()


# --- Poll --------------------------------------------------------------------------------------------------


def test_an_event_is_given_until_it_is_acknowledged(cast: Cast) -> None:
    program = Program(cast)
    stream = program.create()
    for _ in range(3):
        revoke(cast, cast.in_quillo())
    make_events()
    first = program.poll(stream, maxEvents=2).json()
    assert (len(first["sets"]), first["moreAvailable"]) == (2, True)
    again = program.poll(stream, maxEvents=2).json()
    assert list(again["sets"]) == list(first["sets"])
    assert program.poll(stream, maxEvents=0, ack=list(first["sets"])).json() == {"sets": {}, "moreAvailable": False}
    rest = program.poll(stream).json()
    assert (len(rest["sets"]), rest["moreAvailable"]) == (1, False)
    [jti] = rest["sets"]
    wrong = {jti: {"err": "invalid_audience", "description": "not me"}}
    assert program.poll(stream, setErrs=wrong).json() == {"sets": {}, "moreAvailable": False}
    row = OutboxMessage.objects.get(state="parked")
    assert (row.last_error, row.lane) == ("invalid_audience: not me", "poll")
    assert alarms.work() == 1


def test_a_call_can_wait_for_an_event(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program(cast)
    stream, grant, looks = program.create(), cast.in_quillo(), []

    def pause(_seconds: float) -> None:
        looks.append(1)
        if len(looks) == 3:
            revoke(cast, grant)
            make_events()

    monkeypatch.setattr(events, "pause", pause)
    assert kinds(program.fetched(stream, returnImmediately=False)) == ["session-revoked"]
    assert len(looks) == 3


@pytest.mark.parametrize(
    "body", [{"ack": "x"}, {"ack": [1]}, {"maxEvents": -1}, {"maxEvents": "1"}, {"setErrs": {"x": "y"}}, []]
)
def test_a_malformed_poll_is_refused(cast: Cast, body: Any) -> None:
    program = Program(cast)
    stream = program.create()
    assert program.caller.post(f"{STREAMS}/{stream['stream_id']}/poll", body).status_code == 400


def test_the_acknowledgement_of_one_stream_settles_nothing_in_another(cast: Cast) -> None:
    ours, theirs = Program(cast, "contoso"), Program(cast)
    one, two = ours.create(), theirs.create()
    revoke(cast, cast.in_quillo())
    make_events()
    [jti] = theirs.poll(two).json()["sets"]
    ours.poll(one, ack=[jti])
    assert list(theirs.poll(two).json()["sets"]) == [jti]


# --- Push --------------------------------------------------------------------------------------------------


def test_an_event_that_failed_is_sent_again_with_its_id(cast: Cast, receiver: Receiver, travel: Any) -> None:
    program = Program(cast)
    program.push(receiver)
    receiver.answer(400, '{"err": "authentication_failed", "description": "who are you?"}')
    revoke(cast, cast.in_quillo())
    deliver()
    assert OutboxMessage.objects.get(lane="signal").last_error == "400"
    receiver.answer(202)
    travel.by(seconds=6)
    deliver()
    first, second = (verified(each.body.decode(), program.client) for each in receiver.tried)
    assert first == second
    assert OutboxMessage.objects.get(lane="signal").state == "delivered"
    assert SignalStream.objects.get().heard_at is not None


def test_an_event_that_is_refused_for_good_is_parked_and_alarmed(cast: Cast, receiver: Receiver) -> None:
    program = Program(cast, "contoso")
    program.push(receiver)
    receiver.answer(400, '{"err":"invalid_request","description":"no"}')
    revoke(cast, cast.in_quillo())
    deliver()
    assert OutboxMessage.objects.get(lane="signal").state == "parked"
    assert alarms.work() == 1
    assert alarms.work() == 0
    assert "signal_stream.failing" in events_in(cast.contoso)
    while mails.drain():
        pass
    mailed = [each for each in mail.outbox if "signal stream" in each.subject]
    names = {to.partition("@")[0]: each.body for each in mailed for to in each.to}
    assert {"ines", "stella"} <= names.keys()
    # Staff learn to whom the stream belongs. Its address and its events are the customer's matter.
    assert "a signal stream of Contoso" in " ".join(names["stella"].split())
    assert receiver.url not in names["stella"]


def test_a_providers_failing_stream_alarms_the_customers_whose_windows_are_open(
    cast: Cast, receiver: Receiver, travel: Any
) -> None:
    program = Program(cast)
    program.push(receiver)
    receiver.answer(500)
    open_window = cast.in_quillo()
    revoke(cast, cast.in_quillo())
    deliver()
    travel.by(minutes=6)
    assert alarms.work() == 1
    while mails.drain():
        pass
    mailed = {to: each for each in mail.outbox if "signal stream" in each.subject for to in each.to}
    assert {to for to in mailed if not to.endswith("@provider.example")} == {"ines@contoso.example"}
    assert "a signal stream of your provider" in " ".join(mailed["ines@contoso.example"].body.split())
    assert receiver.url not in mailed["ines@contoso.example"].body
    assert open_window.tenant_id == cast.contoso.pk


def test_a_providers_failing_stream_alarms_staff_alone_without_an_open_window(
    cast: Cast, receiver: Receiver, travel: Any
) -> None:
    program = Program(cast)
    program.push(receiver)
    receiver.answer(500)
    revoke(cast, cast.in_quillo())
    deliver()
    assert alarms.work() == 0
    travel.by(minutes=6)
    assert alarms.work() == 1
    while mails.drain():
        pass
    mailed = {to for each in mail.outbox if "signal stream" in each.subject for to in each.to}
    assert mailed
    assert all(to.endswith("@provider.example") for to in mailed)
    assert "signal_stream.failing" not in events_in(cast.contoso)


def test_a_poller_that_fetches_nothing_is_alarmed(cast: Cast, travel: Any) -> None:
    program = Program(cast)
    stream = program.create()
    revoke(cast, cast.in_quillo())
    make_events()
    travel.by(minutes=14)
    assert alarms.work() == 0
    travel.by(minutes=2)
    assert alarms.work() == 1
    travel.by(days=4)
    tidying.work(lambda: False)
    assert OutboxMessage.objects.get(lane="poll").state == "parked"
    assert program.caller.get(STREAMS).status_code in (200, 401)
    assert stream


def test_a_receiver_that_failed_for_days_is_paused_and_learns_it(cast: Cast, receiver: Receiver, travel: Any) -> None:
    program = Program(cast)
    program.push(receiver)
    receiver.answer(500)
    revoke(cast, cast.in_quillo())
    for _ in range(schedule.MOST_ATTEMPTS):
        deliver()
        travel.by(hours=24, minutes=1)
    row = SignalStream.objects.get()
    assert (row.status, row.webhook.is_on) == ("paused", False)
    receiver.answer(202)
    deliver()
    assert kinds(got(receiver, program.client)) in ([], ["stream-updated"])
    topics = list(OutboxMessage.objects.filter(lane="signal").values_list("topic", flat=True))
    assert sorted(topics) == ["grant.revoked", "signal.stream_updated"]


def test_a_receiver_that_is_gone_is_paused_at_once(cast: Cast, receiver: Receiver) -> None:
    Program(cast).push(receiver)
    receiver.answer(410)
    revoke(cast, cast.in_quillo())
    deliver()
    assert SignalStream.objects.get().status == "paused"


def test_a_receiver_that_hangs_or_answers_without_end_delays_nobody(
    cast: Cast, receivers: Callable[[], Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbound, "TOTAL_SECONDS", 2.0)
    hangs, endless, good = receivers(), receivers(), receivers()
    released = threading.Event()

    def hang(_got: Got) -> tuple[int, str]:
        released.wait(20)
        return 202, ""

    hangs.say = hang
    endless.say = lambda _got: (202, "x" * 5_000_000)
    programs = [Program(cast, "contoso"), Program(cast), Program(cast, "fabrikam")]
    try:
        for program, receiver in zip(programs[:2], (hangs, endless), strict=True):
            program.push(receiver)
        programs[0].push(good)
        revoke(cast, cast.in_quillo())
        deliver()
    finally:
        released.set()
    states = dict(OutboxMessage.objects.filter(lane="signal").values_list("webhook__url", "state"))
    assert states[good.url] == "delivered"
    assert states[endless.url] == "delivered"
    assert states[hangs.url] == "waiting"


def test_an_end_never_arrives_before_the_beginning(cast: Cast, receiver: Receiver, travel: Any) -> None:
    program = Program(cast)
    program.push(receiver)
    grant = cast.in_quillo()
    use(cast, grant)
    revoke(cast, grant)
    deliver()
    assert kinds(got(receiver, program.client)) == ["session-established", "session-revoked"]


def test_an_end_does_not_wait_for_a_beginning_that_failed(cast: Cast, receiver: Receiver, travel: Any) -> None:
    program = Program(cast)
    program.push(receiver)
    grant = cast.in_quillo()
    receiver.answer(500)
    use(cast, grant)
    deliver()
    receiver.answer(202)
    revoke(cast, grant)
    deliver()
    travel.by(days=1)
    deliver()
    assert kinds(got(receiver, program.client)) == ["session-revoked"]


@pytest.mark.django_db(transaction=True)
def test_a_kill_between_commit_and_push_loses_nothing(
    cast: Cast, receiver: Receiver, monkeypatch: Any, travel: Any
) -> None:
    program = Program(cast)
    program.push(receiver)
    grant = cast.in_quillo()

    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> Any:
        raise Killed

    # The act has committed, and nothing else has happened.
    with monkeypatch.context() as patch:
        patch.setattr(dispatch, "_write", die)
        revoke(cast, grant)
        with pytest.raises(Killed):
            deliver()
    assert not OutboxMessage.objects.filter(lane="signal").exists()
    # The message is there and claimed, and the worker dies before it sends it.
    with monkeypatch.context() as patch:
        patch.setattr(delivery.Sender, "_send", die)
        with pytest.raises(Killed):
            deliver()
    assert receiver.tried == []
    travel.by(minutes=2)
    deliver()
    assert kinds(got(receiver, program.client)) == ["session-revoked"]


# --- Status and verification -------------------------------------------------------------------------------


def _set(program: Program, stream: dict[str, Any], status: str) -> Any:
    return program.caller.post(STATUS, {"stream_id": stream["stream_id"], "status": status, "reason": "maintenance"})


@pytest.mark.parametrize("is_push", [True, False])
def test_a_paused_stream_keeps_its_events(cast: Cast, receiver: Receiver, is_push: bool) -> None:
    program = Program(cast)
    stream = program.push(receiver) if is_push else program.create()
    assert _set(program, stream, "paused").json() == {
        "stream_id": stream["stream_id"], "status": "paused", "reason": "maintenance",
    }  # fmt: skip
    revoke(cast, cast.in_quillo())
    deliver()
    assert receiver.tried == []
    if not is_push:
        assert program.fetched(stream) == []
    _set(program, stream, "enabled")
    deliver()
    assert kinds(got(receiver, program.client) if is_push else program.fetched(stream)) == ["session-revoked"]


@pytest.mark.parametrize("is_push", [True, False])
def test_a_receiver_learns_that_people_changed_the_status(cast: Cast, receiver: Receiver, is_push: bool) -> None:
    program = Program(cast, "contoso")
    stream = program.push(receiver) if is_push else program.create()
    pk = stream["stream_id"]
    operations.set_stream_status(pk, status="paused", reason="Moving", actor=cast.as_("ines"))
    deliver()
    [claims] = got(receiver, program.client) if is_push else program.fetched(stream)
    assert claims["events"] == {signals.STREAM_UPDATED: {"status": "paused", "reason": "Moving"}}
    assert claims["sub_id"] == {"format": "opaque", "id": pk}


def test_a_disabled_stream_gets_nothing_and_keeps_nothing(cast: Cast, receiver: Receiver, travel: Any) -> None:
    program = Program(cast)
    stream, grants = program.push(receiver), [cast.in_quillo() for _ in range(3)]
    revoke(cast, grants[0])
    make_events()
    _set(program, stream, "disabled")
    travel.by(seconds=2)
    revoke(cast, grants[1])
    deliver()
    travel.by(seconds=2)
    _set(program, stream, "enabled")
    deliver()
    assert receiver.tried == []
    travel.by(seconds=2)
    revoke(cast, grants[2])
    deliver()
    assert kinds(got(receiver, program.client)) == ["session-revoked"]
    assert program.caller.get(STATUS, {"stream_id": stream["stream_id"]}).json()["status"] == "enabled"


def test_a_verification_returns_the_receivers_state(cast: Cast, receiver: Receiver, travel: Any) -> None:
    program = Program(cast)
    stream = program.push(receiver)
    asked = {"stream_id": stream["stream_id"], "state": " VGhpcyBpcyBh\n"}
    answer = program.caller.post(VERIFY, asked)
    assert (answer.status_code, answer.content) == (204, b"")
    assert program.caller.post(VERIFY, asked).status_code == 429
    deliver()
    [claims] = got(receiver, program.client)
    assert claims["sub_id"] == {"format": "opaque", "id": stream["stream_id"]}
    assert claims["events"] == {signals.VERIFICATION: {"state": asked["state"]}}
    travel.by(seconds=6)
    assert program.caller.post(VERIFY, {"stream_id": stream["stream_id"]}).status_code == 204
    deliver()
    assert got(receiver, program.client)[1]["events"] == {signals.VERIFICATION: {}}
    _set(program, stream, "disabled")
    travel.by(seconds=6)
    assert program.caller.post(VERIFY, asked).status_code == 409


def test_the_header_is_sealed_again_with_the_present_key(cast: Cast, receiver: Receiver, settings: Any) -> None:
    Program(cast).push(receiver, authorization_header="Bearer of-theirs")
    before = SignalStream.objects.get().authorization
    assert "of-theirs" not in before
    settings.WEBHOOK_KEYS = ["another key " * 4, *settings.WEBHOOK_KEYS]
    tasks.tidy_webhooks()
    after = SignalStream.objects.get().authorization
    settings.WEBHOOK_KEYS = settings.WEBHOOK_KEYS[:1]
    assert (after != before, sealing.opened_header(after)) == (True, "Bearer of-theirs")


def test_a_header_that_no_key_opens_is_reported_and_nothing_is_sent(
    cast: Cast, receiver: Receiver, settings: Any
) -> None:
    Program(cast).push(receiver, authorization_header="Bearer of-theirs")
    revoke(cast, cast.in_quillo())
    make_events()
    SignalStream.objects.update(authorization="rubbish")
    deliver()
    assert receiver.tried == []
    assert OutboxMessage.objects.get(lane="signal").last_error == "keys"


def test_an_event_is_written_only_if_the_act_commits(cast: Cast) -> None:
    program = Program(cast)
    stream, grant = program.create(), cast.in_quillo()
    here = transaction.savepoint()
    revoke(cast, grant)
    transaction.savepoint_rollback(here)
    make_events()
    assert program.fetched(stream) == []


def test_another_tenants_entry_makes_no_event_even_if_it_is_read(cast: Cast) -> None:
    """The position of a stream is in its own tenant's log. This is the second check."""
    theirs, ours = Program(cast, "fabrikam").create(), Program(cast, "contoso").create()
    revoke(cast, cast.in_quillo())
    entries = list(AuditEntry.objects.filter(event="grant.revoked"))
    made = [
        signals.of(entries, cast.contoso.pk, SignalStream.objects.get(pk=stream["stream_id"]))
        for stream in (theirs, ours)
    ]
    assert [len(each) for each in made] == [0, 1]


def test_a_practice_window_makes_no_event(cast: Cast) -> None:
    ours = Program(cast, "contoso").create()
    grant = cast.in_quillo()
    revoke(cast, grant)
    AccessRequest.objects.filter(pk=grant.access_request_id).update(is_practice=True, reference="P-AR-2222-2222")
    entries = list(AuditEntry.objects.filter(event="grant.revoked"))
    assert signals.of(entries, cast.contoso.pk, SignalStream.objects.get(pk=ours["stream_id"])) == []


def test_a_waiting_call_holds_no_thread_and_ends_with_the_rights_of_its_caller(cast: Cast) -> None:
    program = Program(cast, "contoso")
    stream, grant = program.create(), cast.in_quillo()

    def wait() -> Any:
        extra: dict[str, Any] = {waiting.KEY: True, "headers": {"Authorization": f"Bearer {program.caller.secret}"}}
        url = f"{STREAMS}/{stream['stream_id']}/poll"
        # The middlewares around a view would answer for it.
        request = RequestFactory().post(url, {}, content_type="application/json", **extra)
        found = resolve(url)
        return found.func(request, *found.args, **found.kwargs)

    first = wait()
    assert isinstance(first, waiting.Waiting)
    assert first.look() is None
    assert list(polls.HUB._waiting) == [UUID(stream["stream_id"])]
    revoke(cast, grant)
    make_events()
    answer: Any = first.look()
    assert kinds([verified(token, program.client) for token in json.loads(answer.content)["sets"].values()]) == [
        "session-revoked"
    ]
    leave(first)
    [jti] = json.loads(answer.content)["sets"]
    program.poll(stream, ack=[jti])
    second = wait()
    assert second.look() is None
    operations.remove_client(program.client.pk, actor=cast.as_("ines"))
    refused: Any = second.look()
    assert refused.status_code in (401, 403, 404)
    leave(second)
    assert long_calls.under_way() == 0
    assert polls.HUB._waiting == {}


def test_an_event_is_no_grant_token(cast: Cast) -> None:
    """The same keys sign both, so the type must keep them apart."""
    program = Program(cast)
    stream = program.create(subject_format="complex")
    revoke(cast, cast.in_quillo())
    make_events()
    [token] = program.poll(stream).json()["sets"].values()
    assert token_keys.verified(token, typ=signals.TYPE) is not None
    assert token_keys.verified(token, typ="at+jwt") is None
    with pytest.raises(NotFound):
        operations.renew_grant_token(token, actor=actor_of_guard(client_of_guards(cast)))
