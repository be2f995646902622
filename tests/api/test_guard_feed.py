"""The feed of windows: complete, in time, and only for the application of its service."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.signals import request_finished
from django.db import OperationalError, close_old_connections

from audit_app.canonical import instant
from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.scopes import Scope
from requests_app.doors.api import guard as door
from requests_app.models import Client, Grant, Guard, OutboxMessage, Service, Token, token_keys
from requests_app.queries import ends
from requests_app.work import feed
from tests.caller import Caller
from tests.cast import Cast
from tests.conftest import Traveller
from tests.guards import ONE, OTHER, client_of_guards, guard, messages_in, token_of_guard

pytestmark = pytest.mark.django_db

Calling = Callable[..., Caller]
PATH = "guard/feed"


class Clock:
    """The monotonic clock of the tests: it moves only when a test moves it."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def ticks() -> Iterator[Clock]:
    ticks = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(door, "pause", lambda: None)
        patch.setattr(clock, "monotonic", ticks)
        yield ticks
    assert not feed.HUB._followers
    assert feed.FEEDS.taken() == 0
    feed.HUB.look()


class Following:
    """One feed that is open. `read` lets the thread look once, and returns what the feed then sends."""

    def __init__(self, caller: Caller, *, number: str = ONE, **headers: str) -> None:
        query = {"guard": number, "version": "test/1"}
        response: Any = caller.to_view("get", PATH, query, **headers)
        self.response = response
        assert (self.response.status_code, self.response["Content-Type"]) == (200, "text/event-stream")
        self._pieces: Iterator[bytes] = iter(response.streaming_content)
        # No empty line follows, so no client can take this for a message.
        assert next(self._pieces) == b"retry: 1000\n"
        # The feed begins with the second chunk: nothing was read yet.
        assert next(self._pieces) == b""

    def read(self) -> list[tuple[str, dict[str, Any], str]]:
        feed.HUB.look()
        return self.sent()

    def sent(self) -> list[tuple[str, dict[str, Any], str]]:
        piece = next(self._pieces)
        return messages_in(piece) if piece else []

    def has_ended(self) -> bool:
        return next(self._pieces, None) is None

    def leave(self) -> None:
        """End the call without closing database connections, because the test's transaction uses one of them."""
        request_finished.disconnect(close_old_connections)
        self.response.close()
        request_finished.connect(close_old_connections)


@pytest.fixture
def follow(cast: Cast) -> Iterator[Callable[..., Following]]:
    found: list[Following] = []

    def begin(caller: Caller, **options: Any) -> Following:
        found.append(Following(caller, **options))
        return found[-1]

    yield begin
    for each in found:
        each.leave()


Follow = Callable[..., Following]


def names(found: list[tuple[str, dict[str, Any], str]]) -> list[str]:
    return [event for event, _data, _id in found]


# --- What it says ----------------------------------------------------------------------------------------------


def test_the_state_comes_first_then_each_window_that_opens_and_ends(cast: Cast, follow: Follow) -> None:
    before = cast.in_quillo()
    operations.revoke(before.access_request_id, actor=cast.as_("ada"))
    stream = follow(guard(cast))
    [(event, state, number)] = stream.read()
    assert (event, list(state)) == ("state", ["at", "closed"])
    before.refresh_from_db()
    assert before.closed_at is not None
    assert state["closed"] == [
        {"grant_id": str(before.pk), "closed_at": instant(before.closed_at), "reason": "revoked"}
    ]
    assert feed.time_of(int(number)) == dt.datetime.fromisoformat(state["at"])
    assert stream.read() == []

    grant = cast.in_quillo()
    [(event, opened, first)] = stream.read()
    assert (event, opened) == (
        "opened",
        {
            "grant_id": str(grant.pk),
            "opens_at": instant(grant.opens_at),
            "closes_at": instant(grant.closes_at),
            "tenant": str(cast.contoso.pk),
            "engineer": str(cast.priya.pk),
        },
    )
    operations.release(grant.access_request_id, actor=cast.as_("priya"))
    [(event, closed, second)] = stream.read()
    grant.refresh_from_db()
    assert grant.closed_at is not None
    assert (event, closed) == (
        "closed",
        {"grant_id": str(grant.pk), "closed_at": instant(grant.closed_at), "reason": "released"},
    )
    assert int(number) < int(first) < int(second)
    assert stream.read() == []


def test_an_elapsed_window_ends_by_the_databases_clock_though_no_sweep_ran(
    cast: Cast, follow: Follow, travel: Traveller, ticks: Clock
) -> None:
    grant = cast.in_quillo(window_for=3600)
    client = client_of_guards(cast)
    Token.objects.filter(account=client.account).delete()
    token, secret = token_of_guard(client)
    Token.objects.filter(pk=token.pk).update(expires_at=grant.closes_at + dt.timedelta(hours=1))
    stream = follow(Caller(secret))
    assert names(stream.read()) == ["state"]
    travel.to(grant.closes_at - dt.timedelta(milliseconds=1))
    assert stream.read() == []
    travel.to(grant.closes_at)
    [(event, closed, _id)] = stream.read()
    assert event == "closed"
    assert closed == {"grant_id": str(grant.pk), "closed_at": instant(grant.closes_at), "reason": "elapsed"}
    # The sweep stores later what the feed has told already.
    travel.by(seconds=90)
    assert operations.sweeps.close_elapsed(actor=cast.system(), limit=10) == 1
    assert stream.read() == []


def test_a_guard_that_missed_much_is_not_taken_for_a_slow_one(
    cast: Cast, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "MOST_WAITING", 3)
    caller, grants = guard(cast), [cast.in_quillo() for _ in range(5)]
    for grant in grants[:4]:
        operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    back = follow(caller, Last_Event_ID="1")
    feed.HUB.look()
    # Something happens before it has read the first byte.
    operations.revoke(grants[4].access_request_id, actor=cast.as_("ada"))
    found = back.read()
    assert names(found) == ["state", "opened", *["closed"] * 5]


def test_guards_that_come_at_the_same_time_share_the_text_of_the_state(
    cast: Cast, follow: Follow, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, message = list[str](), feed.message

    def counted(event: str, data: dict[str, Any], at: dt.datetime) -> bytes:
        made.append(event)
        return message(event, data, at)

    monkeypatch.setattr(feed, "message", counted)
    caller = guard(cast)
    operations.revoke(cast.in_quillo().access_request_id, actor=cast.as_("ada"))
    feeds = [follow(caller, number=ONE), follow(caller, number=OTHER), follow(caller, Last_Event_ID="1")]
    feed.HUB.look()
    assert [names(each.sent()) for each in feeds] == [["state"], ["state"], ["state", "closed"]]
    assert made == ["state", "closed"]


def test_an_end_that_is_committed_late_with_an_earlier_time_is_sent(cast: Cast, follow: Follow) -> None:
    """A transaction that takes its time before another one can commit after it."""
    first, second = cast.in_quillo(), cast.in_quillo()
    stream = follow(guard(cast))
    stream.read()
    early = clock.now()
    operations.revoke(second.access_request_id, actor=cast.as_("ada"))
    assert names(stream.read()) == ["closed"]
    end(first, early - dt.timedelta(minutes=5))
    [(event, closed, _id)] = stream.read()
    assert (event, closed["grant_id"]) == ("closed", str(first.pk))
    assert stream.read() == []


def end(grant: Grant, at: dt.datetime) -> None:
    """Close the grant with this time, as another transaction does that commits now."""
    Grant.objects.filter(pk=grant.pk).update(
        opens_at=at - dt.timedelta(hours=1), closed_at=at, close_reason="revoked", closed_by=None
    )


def test_a_window_that_opens_and_ends_between_two_looks_is_sent(cast: Cast, follow: Follow) -> None:
    stream = follow(guard(cast))
    stream.read()
    grant = cast.in_quillo()
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    [(event, closed, _id)] = stream.read()
    assert (event, closed["grant_id"]) == ("closed", str(grant.pk))


def test_other_services_and_practice_are_not_sent(cast: Cast, follow: Follow) -> None:
    stream = follow(guard(cast))
    assert stream.read()[0][1]["closed"] == []
    grant = cast.opened()
    assert stream.read() == []
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    assert stream.read() == []


def test_a_sign_comes_every_five_seconds_with_the_time_of_the_last_look(
    cast: Cast, follow: Follow, ticks: Clock
) -> None:
    stream = follow(guard(cast))
    stream.read()
    ticks.now += 4.4
    assert stream.read() == []
    ticks.now += 0.1
    [(event, sign, number)] = stream.read()
    assert (event, dt.datetime.fromisoformat(sign["at"])) == ("sign", feed.HUB._at)
    assert int(number) == feed.id_of(dt.datetime.fromisoformat(sign["at"]))
    assert stream.read() == []


def test_no_sign_is_sent_while_the_windows_can_not_be_read(
    cast: Cast, follow: Follow, ticks: Clock, monkeypatch: Any
) -> None:
    stream = follow(guard(cast))
    stream.read()

    def away(*_args: Any, **_named: Any) -> Any:
        raise OperationalError

    with monkeypatch.context() as patch:
        patch.setattr(ends, "begun", away)
        ticks.now += 20
        with pytest.raises(OperationalError):
            feed.HUB.look()
        assert stream.sent() == []
    assert names(stream.read()) == ["sign"]


def test_new_signing_keys_are_sent(cast: Cast, follow: Follow, ticks: Clock, monkeypatch: Any) -> None:
    monkeypatch.setattr(token_keys, "public_keys", lambda: {"keys": [{"kid": "a"}]})
    stream = follow(guard(cast))
    assert names(stream.read()) == ["state"]
    ticks.now += 2
    assert stream.read() == []
    monkeypatch.setattr(token_keys, "public_keys", lambda: {"keys": [{"kid": "a"}, {"kid": "b"}]})
    ticks.now += 2
    assert names(stream.read()) == ["keys"]


# --- Coming back -----------------------------------------------------------------------------------------------


def test_a_guard_that_comes_back_gets_what_it_missed_as_single_events(
    cast: Cast, follow: Follow, travel: Traveller
) -> None:
    grant = cast.in_quillo()
    client = client_of_guards(cast)
    stream = follow(guard(cast, client))
    [(_event, _state, number)] = stream.read()
    stream.leave()
    travel.by(minutes=12)
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    later = cast.in_quillo()
    travel.by(minutes=12)
    found = follow(guard(cast, client), **{"Last-Event-ID": number}).read()
    assert [(event, data.get("grant_id")) for event, data, _id in found] == [
        ("state", None),
        ("opened", str(later.pk)),
        ("closed", str(grant.pk)),
    ]
    assert found[0][1]["closed"] == [], "the state has the last ten minutes only"


def test_an_end_that_was_committed_late_is_sent_again_after_coming_back(cast: Cast, follow: Follow) -> None:
    grant, client = cast.in_quillo(), client_of_guards(cast)
    stream = follow(guard(cast, client))
    [(_event, _state, number)] = stream.read()
    stream.leave()
    end(grant, feed.time_of(int(number)) - dt.timedelta(seconds=20))
    found = follow(guard(cast, client), **{"Last-Event-ID": number}).read()
    assert names(found) == ["state", "closed"]


@pytest.mark.parametrize("number", ["x", "-1", "1" * 18, "1.5"])
def test_an_id_of_another_feed_is_refused(cast: Cast, number: str) -> None:
    answer = guard(cast).get(PATH, {"guard": ONE}, **{"Last-Event-ID": number})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


# --- Who may follow --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "query", [{}, {"guard": "7"}, {"guard": ONE, "version": "x" * 81}, {"guard": ONE, "version": "ä"}]
)
def test_a_guard_without_an_id_is_refused(cast: Cast, query: dict[str, str]) -> None:
    answer = guard(cast).get(PATH, query)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert not Guard.objects.exists()


def test_only_the_client_of_an_external_service_can_follow(cast: Cast, calling: Calling) -> None:
    plain = client_of_guards(cast)
    Client.objects.filter(pk=plain.pk).update(service=None)
    inside = client_of_guards(cast, cast.exchange)
    for client in (plain, inside):
        answer = guard(cast, client).get(PATH, {"guard": ONE})
        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
    for who in ("contoso", None, "stella", "priya"):
        answer = calling(who, Scope.EVALUATE).get(PATH, {"guard": ONE})
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    assert not Guard.objects.exists()
    assert not AuditEntry.objects.filter(event="act.refused").exists()


def _revoke(client: Client) -> None:
    Token.objects.filter(account=client.account).update(revoked_at=clock.now())


def _expire(client: Client) -> None:
    Token.objects.filter(account=client.account).update(expires_at=clock.now())


def _switch_off(client: Client) -> None:
    type(client.account).objects.get_queryset().filter(pk=client.account_id).update(is_active=False)


def _take_scope(client: Client) -> None:
    Client.objects.filter(pk=client.pk).update(scopes=["evaluate"])


def _take_service(client: Client) -> None:
    Client.objects.filter(pk=client.pk).update(service=None)


def _move_service(client: Client) -> None:
    other = Service.objects.create(key="other", name="Other", connector="external", application="Other")
    Client.objects.filter(pk=client.pk).update(service=other)


@pytest.mark.parametrize("way", [_revoke, _expire, _switch_off, _take_scope, _take_service, _move_service])
def test_a_client_that_can_no_longer_guard_is_cut_within_five_seconds(
    cast: Cast, follow: Follow, ticks: Clock, way: Callable[[Client], None]
) -> None:
    client, other = client_of_guards(cast), client_of_guards(cast)
    stream, stays = follow(guard(cast, client)), follow(guard(cast, other))
    stream.read()
    stays.sent()
    way(client)
    grant = cast.in_quillo()
    ticks.now += 2.0
    feed.HUB.look()
    assert names(stays.sent()) == ["opened"]
    assert stream.sent() == [("", {"why": "token_ended"}, "")]
    assert stream.has_ended()
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    assert names(stays.read()) == ["closed"]


def test_one_client_can_follow_only_so_many_times(cast: Cast, follow: Follow, monkeypatch: Any) -> None:
    monkeypatch.setattr(feed, "MOST_OF_CLIENT", 2)
    client = client_of_guards(cast)
    caller = guard(cast, client)
    follow(caller), follow(caller, number=OTHER)
    answer = caller.get(PATH, {"guard": ONE})
    assert (answer.status_code, answer.json()["code"]) == (429, "too_many")
    # Another application is not affected.
    follow(guard(cast, client_of_guards(cast)))


def test_a_follower_that_reads_nothing_is_cut(cast: Cast, follow: Follow, monkeypatch: Any) -> None:
    monkeypatch.setattr(feed, "MOST_WAITING", 1)
    stream = follow(guard(cast))
    stream.read()
    for _n in range(2):
        cast.in_quillo()
    feed.HUB.look()
    assert stream.sent() == [("", {"why": "too_slow"}, "")]
    assert stream.has_ended()


# --- What it costs ---------------------------------------------------------------------------------------------


def test_twenty_followers_cost_no_more_queries_than_two(
    cast: Cast, follow: Follow, ticks: Clock, django_assert_num_queries: Any
) -> None:
    caller, grant = guard(cast), cast.in_quillo()
    streams = [follow(caller) for _n in range(2)]
    for most in (2, 20):
        streams += [follow(caller) for _n in range(most - len(streams))]
        feed.HUB.look()
        for stream in streams:
            stream.sent()
        with django_assert_num_queries(1):
            feed.HUB.look()
            assert [stream.sent() for stream in streams] == [[]] * most
        ticks.now += 2
        with django_assert_num_queries(3):
            feed.HUB.look()
    assert Grant.objects.get() == grant


def test_the_guards_row_is_written_at_most_every_fifteen_seconds(
    cast: Cast, follow: Follow, ticks: Clock, travel: Traveller
) -> None:
    travel.freeze()
    client = client_of_guards(cast)
    stream = follow(guard(cast, client))
    row = Guard.objects.get()
    assert (row.client, str(row.number), row.version, row.feed_at) == (client, ONE, "test/1", clock.now())
    first = travel.by(seconds=14)
    ticks.now += 14
    stream.read()
    assert Guard.objects.get().feed_at < first
    second = travel.by(seconds=1)
    ticks.now += 1
    stream.read()
    assert Guard.objects.get().feed_at == second
    assert Guard.objects.get().first_at < second
    assert (AuditEntry.objects.filter(actor_kind="client").count(), OutboxMessage.objects.count()) == (0, 0)


def test_an_answer_that_nobody_reads_leaves_nothing_behind(cast: Cast) -> None:
    caller = guard(cast)
    request_finished.disconnect(close_old_connections)
    caller.to_view("get", PATH, {"guard": ONE}).close()
    request_finished.connect(close_old_connections)
    assert not feed.HUB._followers
    assert feed.FEEDS.taken() == 0
