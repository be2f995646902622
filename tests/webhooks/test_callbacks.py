"""Callbacks over AuthZEN: a client learns, at an address that staff registered, that its access request has ended."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any

import pytest

from audit_app.models import AuditEntry
from requests_app import operations, tasks
from requests_app.domain.access_tasks import CALLBACK_STATE_MAX
from requests_app.domain.errors import NotAllowed, NotFound, Unacceptable, WrongState
from requests_app.domain.events import PROVIDER_LOG
from requests_app.messages.webhooks import schedule
from requests_app.models import AccessDraft, AccessRequest, AccessTask, Client, OutboxMessage, Tenant, Webhook
from requests_app.platform import outbound
from requests_app.work.webhooks import delivery, dispatch
from tests.api.test_access_drafts import confirm
from tests.api.test_access_tasks import SCOPES, TASKS, World, client_with, left, refused
from tests.cast import Cast
from tests.offenders import collected
from tests.webhooks.receiver import Got, Receiver, fresh, verified

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_jitter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "JITTER", 0)


@pytest.fixture
def world(cast: Cast) -> World:
    return World(cast, client_with(cast, *SCOPES), cast.ticket(service_id=cast.quillo().pk))


@pytest.fixture
def drafting(cast: Cast) -> World:
    """Return a client whose access requests are drafts."""
    return World(cast, client_with(cast, "requests:ask", "evaluate"), cast.ticket(service_id=cast.quillo().pk))


def client_of(world: World) -> Client:
    return Client.objects.latest("created_at", "pk")


def registered(world: World, url: str, by: str = "stella") -> operations.Issued:
    return operations.add_callback(client_of(world).pk, url=url, label="Desk", actor=world.cast.as_(by))


def ask(world: World, url: str, **callback: Any) -> Any:
    return world.desk.post(TASKS, {**world.submission(), "callback": {"endpoint": url, **callback}})


def asked(world: World, url: str, **callback: Any) -> dict[str, Any]:
    found = ask(world, url, **callback)
    assert found.status_code == 201, found.content
    task: dict[str, Any] = found.json()["task"]
    return task


def deliver() -> int:
    done = 0
    while found := delivery.drain():
        done += found
    return done


def statuses(receiver: Receiver) -> list[str]:
    return [got.message["task"]["status"] for got in receiver.got]


def deny(world: World, pk: Any) -> None:
    operations.deny_as_provider(pk, actor=world.cast.as_("pat"), note="There is another way.")


# --- What is sent --------------------------------------------------------------------------------------------


def test_the_client_learns_of_the_approval_once_and_of_nothing_that_its_task_hides(
    world: World, receiver: Receiver
) -> None:
    issued = registered(world, receiver.url)
    task = asked(world, receiver.url, state="b3Blbi1kb2N1bWVudA")
    assert deliver() == 0, "a pending task is no end"
    grant = world.approved(task)
    deliver()
    [got] = receiver.got
    assert verified(issued, got) == {
        "state": "b3Blbi1kb2N1bWVudA",
        "task": {"id": task["id"], "status": "approved", "status_endpoint": task["status_endpoint"]},
    }
    sent, polled = got.message["task"], world.read(task).json()["task"]
    assert sent == {name: polled[name] for name in sent}
    # The window closes, and the task stays approved.
    operations.revoke(grant.access_request_id, actor=world.cast.as_("ada"))
    deliver()
    assert len(receiver.tried) == 1


ENDS: dict[str, Callable[[World, Any], Any]] = {
    "denied by the provider": lambda world, pk: deny(world, pk),
    "cancelled by the engineer": lambda world, pk: operations.withdraw(pk, actor=world.cast.as_("priya")),
    "cancelled by the client": lambda world, pk: world.desk.post(f"{TASKS}/{pk}/cancel"),
    "cancelled with its ticket": lambda world, _pk: operations.close_ticket(
        world.ticket.pk, actor=world.cast.as_("mia")
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_each_end_is_sent(world: World, receiver: Receiver, name: str) -> None:
    issued = registered(world, receiver.url)
    task = asked(world, receiver.url)
    ENDS[name](world, task["id"])
    deliver()
    [got] = receiver.got
    assert verified(issued, got)["task"]["status"] == name.split()[0] == world.read(task).json()["task"]["status"]
    assert "state" not in got.message


def test_without_the_customers_stage_the_providers_approval_is_sent_once(world: World, receiver: Receiver) -> None:
    Tenant.objects.filter(pk=world.cast.contoso.pk).update(lockbox_on=False)
    registered(world, receiver.url)
    task = asked(world, receiver.url)
    operations.approve_as_provider(task["id"], actor=world.cast.as_("pat"), note="No other way.")
    deliver()
    operations.release(task["id"], actor=world.cast.as_("priya"))
    deliver()
    assert statuses(receiver) == ["approved"]


def test_the_customers_denial_and_the_end_of_the_time_are_sent(world: World, receiver: Receiver, travel: Any) -> None:
    travel.freeze()
    registered(world, receiver.url)
    first, second = asked(world, receiver.url), asked(world, receiver.url)
    operations.approve_as_provider(first["id"], actor=world.cast.as_("pat"), note="No other way.")
    deliver()
    assert receiver.tried == [], "the provider's approval is no end: the customer decides next"
    operations.deny_as_customer(first["id"], actor=world.cast.as_("ada"))
    travel.to(AccessRequest.objects.get(pk=second["id"]).decide_by)
    tasks.sweep()
    deliver()
    assert {(got.message["task"]["id"], got.message["task"]["status"]) for got in receiver.got} == {
        (first["id"], "denied"),
        (second["id"], "expired"),
    }


@pytest.mark.parametrize("how", ["discarded", "expired", "confirmed"])
def test_the_end_of_a_draft_is_sent(drafting: World, receiver: Receiver, travel: Any, how: str) -> None:
    at = travel.freeze()
    issued = registered(drafting, receiver.url)
    task = asked(drafting, receiver.url, state="x")
    if how == "discarded":
        operations.discard_draft(task["id"], actor=drafting.cast.as_("priya"))
    elif how == "expired":
        travel.to(at + dt.timedelta(hours=24))
        tasks.sweep()
        tasks.sweep()
    else:
        confirm(drafting, task)
        deliver()
        assert receiver.tried == [], "it is still pending"
        deny(drafting, task["id"])
    deliver()
    [got] = receiver.got
    wanted = {"discarded": "cancelled", "expired": "expired", "confirmed": "denied"}[how]
    assert verified(issued, got) == {
        "state": "x",
        "task": {"id": task["id"], "status": wanted, "status_endpoint": task["status_endpoint"]},
    }


def test_the_system_writes_the_end_of_a_draft_once(drafting: World, travel: Any) -> None:
    at = travel.freeze()
    task = drafting.submitted()
    system = drafting.cast.system("sweep")
    with pytest.raises(WrongState):
        operations.expire_draft(task["id"], actor=system)
    travel.to(at + dt.timedelta(hours=24))
    assert operations.expire_drafts(actor=system, limit=10) == 1
    before = left()
    assert operations.expire_drafts(actor=system, limit=10) == 0
    with pytest.raises(WrongState):
        operations.expire_draft(task["id"], actor=system)
    assert left() == before
    with pytest.raises(WrongState):
        operations.discard_draft(task["id"], actor=drafting.cast.as_("priya"))
    assert left()[1:] == before[1:]
    assert AuditEntry.objects.filter(event="access_draft.expired").count() == 1
    assert drafting.read(task).status_code == 401, "the client's token is over, too"


def test_only_the_wanted_ends_are_sent(world: World, receiver: Receiver) -> None:
    registered(world, receiver.url)
    task = asked(world, receiver.url, events=["approved", "expired", "failed", "partial"])
    other = asked(world, receiver.url, events=["denied"])
    deny(world, task["id"])
    deny(world, other["id"])
    deliver()
    assert [got.message["task"]["id"] for got in receiver.got] == [other["id"]]


def test_an_address_gets_only_what_named_it(world: World, receivers: Callable[[], Receiver], cast: Cast) -> None:
    one, two, other = receivers(), receivers(), receivers()
    for receiver in (one, two):
        registered(world, receiver.url)
    task, silent = asked(world, one.url), world.submitted()
    theirs = World(cast, client_with(cast, *SCOPES), world.ticket)
    registered(theirs, other.url)
    for pk in (task["id"], silent["id"], cast.submitted().pk):
        deny(world, pk)
    deliver()
    assert ([got.message["task"]["id"] for got in one.got], two.tried, other.tried) == ([task["id"]], [], [])


# --- At least once -------------------------------------------------------------------------------------------


def test_a_callback_is_sent_again_with_the_same_id_until_it_arrives(
    world: World, receiver: Receiver, travel: Any
) -> None:
    at = travel.freeze()
    issued = registered(world, receiver.url)
    receiver.answer(503)
    deny(world, asked(world, receiver.url)["id"])
    deliver()
    travel.to(at + dt.timedelta(minutes=1))
    deliver()
    receiver.answer(204)
    travel.to(at + dt.timedelta(hours=1))
    deliver()
    assert len(receiver.got) == 1
    assert len({got.id for got in receiver.tried}) == 1
    assert len(receiver.tried) == 3
    assert verified(issued, receiver.got[0])["task"]["status"] == "denied"


def test_a_worker_that_is_killed_before_it_sends_loses_nothing(
    world: World, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(world, receiver.url)
    task = asked(world, receiver.url)
    deny(world, task["id"])
    with monkeypatch.context() as patched:
        patched.setattr(dispatch.OutboxMessage.objects, "bulk_create", _killed)
        with pytest.raises(SystemExit):
            deliver()
    assert receiver.tried == []
    deliver()
    assert statuses(receiver) == ["denied"]


def _killed(*_args: Any, **_options: Any) -> None:
    raise SystemExit


def test_an_address_that_is_gone_is_switched_off_and_no_longer_accepted(world: World, receiver: Receiver) -> None:
    issued = registered(world, receiver.url)
    receiver.answer(410)
    deny(world, asked(world, receiver.url)["id"])
    deliver()
    assert (fresh(issued.webhook).is_on, fresh(issued.webhook).off_because) == (False, "gone")
    before = left()
    found = ask(world, receiver.url)
    refused(found, 422, "unacceptable")
    assert found.json()["errors"][0]["field"] == "callback.endpoint"
    assert left()[1:] == before[1:]


# --- Which addresses -----------------------------------------------------------------------------------------


def test_an_address_that_is_not_registered_for_this_client_is_refused(world: World, receiver: Receiver) -> None:
    registered(world, receiver.url)
    other = World(world.cast, client_with(world.cast, *SCOPES), world.ticket)
    elsewhere = "https://hooks.example/other-client"
    registered(other, elsewhere)
    hook = operations.add_webhook(
        None, url="https://hooks.example/provider", events=["*"], actor=world.cast.as_("stella")
    ).webhook
    removed = registered(other, "https://hooks.example/removed").webhook
    operations.remove_webhook(removed.pk, actor=world.cast.as_("stella"))
    cases = {
        "another client's": elsewhere,
        "a webhook": hook.url,
        "a removed one": removed.url,
        "a longer path": receiver.url + "/",
        "another case": receiver.url.upper(),
        "loopback": "http://127.0.0.1:1/",
        "none": "",
    }
    with collected() as case:
        for name, url in cases.items():
            with case(name):
                before = left()
                found = ask(world, url)
                refused(found, 422, "unacceptable")
                assert found.json()["errors"][0]["field"] == "callback.endpoint"
                assert left()[1:] == before[1:]
    assert not AccessTask.objects.exists()
    assert not AccessDraft.objects.exists()
    deliver()
    assert receiver.tried == []


@pytest.mark.parametrize("scopes", [SCOPES, ["requests:ask", "evaluate"]])
def test_a_wrong_callback_is_refused_and_nothing_is_asked(cast: Cast, receiver: Receiver, scopes: list[str]) -> None:
    world = World(cast, client_with(cast, *scopes), cast.ticket(service_id=cast.quillo().pk))
    registered(world, receiver.url)
    right = {"endpoint": receiver.url}
    cases: list[tuple[Any, int]] = [
        ("text", 400),
        ({"endpoint": 7}, 400),
        ({**right, "state": 7}, 400),
        ({**right, "events": "approved"}, 400),
        ({**right, "events": [7]}, 400),
        ({**right, "events": []}, 422),
        ({**right, "events": ["opened"]}, 422),
        ({**right, "state": "x" * (CALLBACK_STATE_MAX + 1)}, 422),
        ({**right, "state": "\0"}, 422),
        ({}, 422),
    ]
    with collected() as case:
        for callback, status in cases:
            with case(str(callback)[:60]):
                before = left()
                found = world.desk.post(TASKS, {**world.submission(), "callback": callback})
                assert found.status_code == status, found.content
                assert left()[1:] == before[1:]
    assert not AccessDraft.objects.exists()
    longest = asked(world, receiver.url, state="x" * CALLBACK_STATE_MAX, events=["denied"])
    assert longest["status"] == "pending"


def test_the_address_is_checked_when_it_is_registered_and_again_at_each_call(
    world: World, receiver: Receiver, settings: Any
) -> None:
    registered(world, receiver.url)
    task = asked(world, receiver.url)
    settings.WEBHOOK_PRIVATE_NETWORK = False
    addresses = ["http://127.0.0.1/x", "https://127.0.0.1/x", "https://[::ffff:10.0.0.1]/x", "https://2130706433/x"]
    addresses += ["https://169.254.169.254/latest", "http://hooks.example/x", "https://hooks.example:22/x", "file:///x"]
    with collected() as case:
        for url in [*addresses, "", "x" * 2000]:
            with case(url[:40]):
                before = left()
                with pytest.raises(Unacceptable) as refusal:
                    registered(world, url)
                assert refusal.value.field == "url"
                assert left() == before
    deny(world, task["id"])
    deliver()
    assert receiver.tried == [], "the receiver is on loopback, which is no longer allowed"
    message = OutboxMessage.objects.get(webhook__client=client_of(world))
    assert (message.state, message.last_error) == ("waiting", "address")


def test_the_registered_name_is_resolved_once_and_the_address_is_pinned(
    world: World, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    """The second answer of a name server, for loopback, is not used: callbacks use the connection of webhooks."""
    settings.WEBHOOK_PRIVATE_NETWORK = False
    registered(world, "https://hooks.example/in")
    task = asked(world, "https://hooks.example/in")
    seen: list[str] = []

    def post(url: str, *_args: Any, private: bool, **_options: Any) -> Any:
        seen.append(f"{url} {private}")
        raise outbound.Unreachable("private")

    monkeypatch.setattr(outbound, "post", post)
    deny(world, task["id"])
    deliver()
    assert seen == ["https://hooks.example/in False"]


# --- Who registers, and what is left of it -------------------------------------------------------------------


def test_registering_and_removing_is_in_the_providers_log(world: World) -> None:
    issued = registered(world, "https://hooks.example/in?key=secret")
    with pytest.raises(Unacceptable):
        registered(world, "https://hooks.example/in?key=secret")
    operations.change_webhook(issued.webhook.pk, url="https://hooks.example/new", actor=world.cast.as_("stella"))
    operations.remove_webhook(issued.webhook.pk, actor=world.cast.as_("stella"))
    entries = AuditEntry.objects.filter(tenant_id=PROVIDER_LOG, event__startswith="webhook.").order_by("seq")
    found = [json.loads(bytes(entry.canonical)) for entry in entries]
    assert [entry["event"] for entry in found] == ["webhook.added", "webhook.changed", "webhook.removed"]
    for entry in found:
        assert entry["detail"]["client_name"] == "Help desk"
        assert entry["subject"]["type"] == "webhook"
        assert "secret" not in json.dumps(entry)


def test_only_staff_register_an_address_and_only_for_a_client_that_can_ask(world: World, cast: Cast) -> None:
    client = client_of(world)
    reader = cast.own_client("Reader", ["evaluate"])
    theirs = operations.create_client(
        tenant_id=cast.contoso.pk, name="SIEM", scopes=["log:read"], actor=cast.as_("ines")
    )
    before = left()
    url = "https://hooks.example/in"
    with collected() as case:
        for who in ("priya", "pat", "ada", "ines", "mia", "frida"):
            with case(who), pytest.raises((NotAllowed, NotFound)):
                operations.add_callback(client.pk, url=url, actor=cast.as_(who))
        with case("without the scope"), pytest.raises(WrongState):
            operations.add_callback(reader.row.pk, url=url, actor=cast.as_("stella"))
        with case("a customer's client"), pytest.raises(WrongState):
            operations.add_callback(theirs.row.pk, url=url, actor=cast.as_("stella"))
    assert not Webhook.objects.exists()
    assert OutboxMessage.objects.count() == before[1]


def test_a_client_has_at_most_ten_addresses(world: World) -> None:
    for number in range(10):
        registered(world, f"https://hooks.example/{number}")
    with pytest.raises(Unacceptable):
        registered(world, "https://hooks.example/one-more")
    assert Webhook.objects.count() == 10
    # They are not counted among the provider's webhooks.
    operations.add_webhook(None, url="https://hooks.example/own", events=["*"], actor=world.cast.as_("stella"))


def test_the_events_of_an_address_and_its_uniqueness_stay(world: World) -> None:
    first, second = registered(world, "https://hooks.example/1"), registered(world, "https://hooks.example/2")
    stella = world.cast.as_("stella")
    for change in ({"events": ["*"]}, {"url": second.webhook.url}):
        before = left()
        with pytest.raises(Unacceptable):
            operations.change_webhook(first.webhook.pk, actor=stella, **change)
        assert left() == before
    assert (fresh(first.webhook).events, fresh(first.webhook).url) == (first.webhook.events, first.webhook.url)
    operations.change_webhook(first.webhook.pk, label="Other", actor=stella)
    assert fresh(first.webhook).label == "Other"


@pytest.mark.parametrize("how", ["removed", "without the scope"])
def test_the_addresses_of_a_client_end_with_it(world: World, receiver: Receiver, how: str) -> None:
    issued = registered(world, receiver.url)
    task, stella = asked(world, receiver.url), world.cast.as_("stella")
    if how == "removed":
        operations.remove_client(client_of(world).pk, actor=stella)
    else:
        operations.change_client(client_of(world).pk, scopes=["evaluate"], actor=stella)
    deny(world, task["id"])
    deliver()
    assert receiver.tried == []
    row = fresh(issued.webhook)
    assert (row.is_on, row.sealed, row.removed_at is not None) == (False, "", True)
    tasks.tidy_webhooks()
    assert not Webhook.objects.exists()
    assert AccessTask.objects.get().callback is None


def test_a_test_and_a_new_secret_work_as_for_a_webhook(world: World, receiver: Receiver) -> None:
    issued = registered(world, receiver.url)
    stella = world.cast.as_("stella")
    operations.send_webhook_test(issued.webhook.pk, actor=stella)
    deliver()
    assert receiver.types() == ["webhook.test"]
    anew = operations.rotate_webhook_secret(issued.webhook.pk, actor=stella)
    deny(world, asked(world, receiver.url)["id"])
    deliver()
    got: Got = receiver.got[-1]
    assert verified(anew, got) == verified(issued, got), "for a day, both keys sign"
