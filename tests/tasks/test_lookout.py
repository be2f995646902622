"""A few threads look for all who wait, with a fixed number of statements. They wake only whom a change concerns."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries
from structlog.testing import capture_logs

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.errors import NotAllowed
from requests_app.domain.scopes import Scope
from requests_app.doors.api.events import LogReader, judged_by_token
from requests_app.models import Client, Grant, Token
from requests_app.models.people import actor_of_token
from requests_app.operations import streams
from requests_app.platform import chime, waiting
from requests_app.platform.chime import Listener
from requests_app.platform.outages import Outage
from requests_app.platform.waiting import Ending, News
from requests_app.queries import ends
from requests_app.queries import log as logs
from requests_app.queries import waiting as queries
from requests_app.work import feed, lookout, readers
from tests.caller import client_of, token_of
from tests.cast import Cast

pytestmark = pytest.mark.django_db


class Rung(News):
    times = 0

    def ring(self) -> None:
        self.times += 1

    def taken(self) -> bool:
        """Return whether it was rung since the last call."""
        before, self.times = self.times, 0
        return before > 0


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> readers.Hub:
    hub = readers.Hub()
    monkeypatch.setattr(readers, "HUB", hub)
    return hub


def look_at_all(hub: readers.Hub) -> bool:
    found = [look() for look in (hub.look_at_windows, hub.look_at_tokens, hub.look_at_people, hub.look)]
    return any(found)


def token_id(cast: Cast, name: str) -> UUID:
    token_of(cast, name, Scope.LOG_READ)
    token: Token = Token.objects.filter(account=cast.people[name]).latest("created_at")
    return token.pk


def seat(hub: readers.Hub, cast: Cast, name: str, tenant: str = "contoso") -> tuple[readers.Seat, Rung]:
    news = Rung()
    tenant_id = cast.tenants[tenant].pk
    return hub.sit(tenant_id=tenant_id, token_id=token_id(cast, name), news=news), news


# --- Logs ------------------------------------------------------------------------------------------------------


def test_only_the_calls_that_wait_for_this_log_are_woken(cast: Cast, hub: readers.Hub) -> None:
    (_, ours), (_, theirs) = seat(hub, cast, "otto"), seat(hub, cast, "frida", "fabrikam")
    assert look_at_all(hub)
    assert (ours.taken(), theirs.taken()) == (True, True), "each call begins with a look of its own"
    assert look_at_all(hub)
    assert (ours.taken(), theirs.taken()) == (False, False)
    cast.submitted()
    assert look_at_all(hub)
    assert (ours.taken(), theirs.taken()) == (True, False)


def test_the_number_of_statements_does_not_grow_with_the_calls(
    cast: Cast, hub: readers.Hub, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for name in ("otto", "ada"):
        seat(hub, cast, name)
    with django_assert_num_queries(2):
        look_at_all(hub)
    for name in ("otto", "ada", "ines", "alan") * 5:
        seat(hub, cast, name)
    seat(hub, cast, "frida", "fabrikam")
    with django_assert_num_queries(2):
        look_at_all(hub)


def test_a_call_asks_nothing_while_the_thread_finds_no_change(
    cast: Cast, hub: readers.Hub, django_assert_num_queries: DjangoAssertNumQueries, monkeypatch: pytest.MonkeyPatch
) -> None:
    present = [1000.0]
    monkeypatch.setattr("requests_app.domain.clock.monotonic", lambda: present[0])
    look, after = reader(cast, hub, "otto")
    for _ in range(10):
        present[0] += 1.0
        look_at_all(hub)
        with django_assert_num_queries(0):
            assert look.at_news(after) == []
    # The thread has died, or the database does not answer it. So the call looks itself after five seconds.
    present[0] += 4.9
    with django_assert_num_queries(0):
        assert look.at_news(after) == []
    present[0] += 0.1
    with CaptureQueriesContext(connection) as asked:
        assert look.at_news(after) == []
    assert asked.captured_queries


def reader(cast: Cast, hub: readers.Hub, name: str) -> tuple[LogReader, int]:
    place, _news = seat(hub, cast, name)
    actor = actor_of_token(Token.objects.select_related("account__client").get(pk=place.token_id))
    log = logs.of_tenant(cast.contoso.pk, actor=actor)
    look, after = LogReader(log, actor=actor, seat=place), logs.head(log).size
    look_at_all(hub)
    assert look.at_news(after) == []
    return look, after


def _revoke(cast: Cast) -> None:
    operations.revoke_token(Token.objects.get(account=cast.people["otto"]).pk, actor=cast.as_("otto"))


def _expire(cast: Cast) -> None:
    Token.objects.filter(account=cast.people["otto"]).update(expires_at="2001-01-01T00:00:00Z")


def _take_role(cast: Cast) -> None:
    otto = cast.people["otto"]
    operations.give_role(cast.contoso.pk, otto.pk, role="member", actor=cast.as_("ines"))
    operations.take_role(cast.contoso.pk, otto.pk, role="auditor", actor=cast.as_("ines"))


def _switch_off(cast: Cast) -> None:
    operations.switch_off_person(cast.people["otto"].pk, actor=cast.as_("ines"))


@pytest.mark.parametrize("lose", [_revoke, _expire, _take_role, _switch_off])
def test_a_caller_who_loses_the_right_is_woken_and_refused_at_the_next_look(
    cast: Cast, hub: readers.Hub, lose: Callable[[Cast], None]
) -> None:
    look, _after = reader(cast, hub, "otto")
    other, news = reader(cast, hub, "ada"), next(each.news for each in hub._seats if each is not look._seat)
    assert isinstance(news, Rung)
    look_at_all(hub)
    news.taken()
    lose(cast)
    beyond = 1_000_000
    look_at_all(hub)
    # The log has grown, too, but this call waits for entries far beyond its end.
    with pytest.raises(NotAllowed):
        look.at_news(beyond)
    assert other[0].at_news(beyond) == []


def test_a_client_whose_scopes_are_narrowed_has_another_standing(cast: Cast) -> None:
    client, _secret = client_of(cast, "contoso", Scope.LOG_READ)
    made = operations.issue_access_token(client, scopes=frozenset({Scope.LOG_READ}))
    token = Token.objects.get(account=client.account)
    assert made.secret
    before = queries.standings({token.pk}, at=clock.now())
    Token.objects.filter(pk=token.pk).update(last_used_at=token.created_at)
    assert queries.standings({token.pk}, at=clock.now()) == before, "a use of the token wakes nobody"
    operations.change_client(client.pk, scopes=["requests:read"], actor=cast.as_("ines"))
    assert queries.standings({token.pk}, at=clock.now()) != before
    operations.remove_client(Client.objects.get().pk, actor=cast.as_("ines"))
    assert queries.standings({token.pk}, at=clock.now()) == {}


def test_a_deputy_is_judged_by_the_call_itself(cast: Cast) -> None:
    """A deputy's role ends at a time, without a change of any row."""
    token = Token.objects.select_related("account__client").get(pk=token_id(cast, "otto"))
    actor = actor_of_token(token)
    assert judged_by_token(actor) == token.pk
    away = {cast.contoso.pk: ()}
    object.__setattr__(actor, "stands_in_for", away)
    assert judged_by_token(actor) is None


# --- Content ---------------------------------------------------------------------------------------------------


def test_many_streams_are_cut_in_two_statements_and_noted_afterwards(cast: Cast) -> None:
    grants = [cast.opened() for _ in range(6)]
    noted, endings = list[UUID](), {grant.pk: Ending() for grant in grants}

    def note(grant: Grant) -> Callable[[], None]:
        return lambda: noted.append(grant.pk)

    for each in grants[:4]:
        operations.revoke(each.access_request_id, actor=cast.as_("ada"))
    blocks = [streams.watched(each.pk, ends=1e12, note=note(each), ending=endings[each.pk]) for each in grants]
    for block in blocks:
        block.__enter__()
    # The windows, and on PostgreSQL the time.
    with CaptureQueriesContext(connection) as asked:
        assert streams.cut_ended()
    assert len(asked) <= 2
    assert [endings[each.pk].has_come for each in grants] == [True] * 4 + [False] * 2
    assert noted == [], "no stream waits until the log of another one is free"
    assert streams.note_cuts()
    assert sorted(noted) == sorted(each.pk for each in grants[:4])
    for block in blocks:
        block.__exit__(None, None, None)
    assert streams.cut_ended() is False


def test_a_piece_of_a_download_asks_nothing_if_all_streams_have_just_been_checked(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    grant, present = cast.opened(), 100.0
    monkeypatch.setattr(clock, "monotonic", lambda: present)
    with streams.watched(grant.pk, ends=1e12, note=lambda: None) as stream:
        assert streams.cut_ended()
        for later, statements in ((0.24, 0), (0.26, 1), (0.4, 0)):
            present = 100.0 + later
            with CaptureQueriesContext(connection) as asked:
                stream.require_open()
            assert len([each for each in asked if "requests_app_grant" in each["sql"]]) == statements
        # A question that was asked before the last one, and answered after it, says nothing new.
        stream.was_asked(100.0)
        with CaptureQueriesContext(connection) as asked:
            stream.require_open()
        assert not asked.captured_queries
        operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
        present = 101.0
        with pytest.raises(streams.WindowClosed):
            stream.require_open()


# --- The feed of the guards --------------------------------------------------------------------------------------


def test_a_look_reads_no_window_that_has_long_been_open(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    grants = [cast.in_quillo() for _ in range(3)]
    Grant.objects.update(opens_at=grants[0].opens_at - feed.RECENT * 2)
    service, whole = grants[0].access_request.service_id, list[int]()
    begun = ends.begun

    def counted(*args: object, **named: object) -> object:
        whole.append(1)
        return begun(*args, **named)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(ends, "begun", counted)
    present = [1000.0]
    monkeypatch.setattr("requests_app.domain.clock.monotonic", lambda: present[0])
    hub = feed.Hub()
    follower = hub.follow(token_id=uuid4(), service_id=service, after=None)
    hub._checked = float("inf")  # whether the token is live is not asked here
    hub.look()
    assert len(whole) == 2, "what is open, and the first message"
    rows = ends.changed([service], at=hub._at, since=hub._at - feed.RECENT)  # type: ignore[arg-type, operator]
    assert rows == []
    follower.piece()
    operations.revoke(grants[0].access_request_id, actor=cast.as_("ada"))
    # It ended so long ago that only the comparison of all windows finds it.
    Grant.objects.filter(pk=grants[1].pk).update(
        closed_at=grants[1].opens_at - feed.RECENT, close_reason="revoked", closed_by=None
    )
    hub.look()
    assert (len(whole), (follower.piece() or b"").count(b"event: closed")) == (2, 1)
    present[0] += feed.WHOLE_SECONDS
    hub.look()
    assert (len(whole), (follower.piece() or b"").count(b"event: closed")) == (3, 1)


# --- The thread ------------------------------------------------------------------------------------------------


def test_one_kind_that_fails_stops_no_other() -> None:
    done = list[str]()

    def fail() -> bool:
        raise OperationalError("gone")

    def note() -> bool:
        done.append("next")
        return False

    idle, following = lookout.Watch("idle", lambda: False), lookout.Watch("next", note)
    broken = lookout.Watch("broken", fail, lambda: done.append("failed"))
    with capture_logs() as lines:
        assert lookout.Lookout("all", broken, idle, following, wanted=threading.Event()).look(), (
            "somebody may still wait"
        )
    assert done == ["failed", "next"]
    assert [(line["event"], line["watch"]) for line in lines] == [("lookout_failed", "broken")]
    assert not lookout.Lookout("all", idle, following, wanted=threading.Event()).look()


def test_an_outage_gives_one_traceback_then_a_line_every_half_minute_and_one_at_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    present, failure = [0.0], list[Exception]()
    monkeypatch.setattr(clock, "monotonic", lambda: present[0])

    def look() -> bool:
        if failure:
            raise failure[0]
        return True

    def looks(seconds: float) -> list[tuple[str, ...]]:
        """Return the events of the lines that are logged while it looks four times a second."""
        with capture_logs() as lines:
            for _ in range(int(seconds * 4)):
                watch.try_to_look()
                present[0] += 0.25
        names = ("event", "watch", "times", "seconds")
        return [tuple(str(line[name]) for name in names if name in line) for line in lines]

    watch = lookout.Watch("logs", look)
    assert looks(60) == []
    failure[:] = [OperationalError("gone")]
    assert looks(70) == [
        ("lookout_failed", "logs"),
        ("still_failing", "logs", "121", "30"),
        ("still_failing", "logs", "241", "60"),
    ]
    failure[:] = [ValueError("a bug beside it")]
    assert looks(1) == [("lookout_failed", "logs")], "another kind of error has its own traceback"
    failure.clear()
    assert looks(4) == [], "it may fail again at once"
    assert looks(6) == [("works_again", "logs", "284", "71")]
    failure[:] = [OperationalError("gone again")]
    assert looks(1) == [("lookout_failed", "logs")]


def test_a_thread_that_nobody_needs_does_not_say_that_it_works_again(monkeypatch: pytest.MonkeyPatch) -> None:
    present, answers = [0.0], iter(list[Exception | bool]([OperationalError("gone"), False, True]))
    monkeypatch.setattr(clock, "monotonic", lambda: present[0])

    def look() -> bool:
        present[0] += 10
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    watch = lookout.Watch("logs", look)
    with capture_logs() as lines:
        for _ in range(3):
            watch.try_to_look()
    assert [(line["event"], line.get("times")) for line in lines] == [("lookout_failed", None), ("works_again", 1)]
    assert lines[1]["seconds"] == 0


def test_a_commit_on_this_host_makes_it_look_at_once(
    monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path
    times = list[str]()

    def look() -> bool:
        times.append("now")
        return len(times) < 3

    # With this, the test would fail at its own limit of time if a chime were not heard.
    monkeypatch.setattr(lookout, "LOOK_SECONDS", 3600.0)
    # The test's transaction needs its connection.
    monkeypatch.setattr(lookout, "close_old_connections", lambda: None)
    listener, wanted = Listener(), threading.Event()
    thread = lookout.Lookout("all", lookout.Watch("all", look), wanted=wanted)
    wanted.set()
    for number in range(1, 4):
        chime.strike()
        thread.look_and_rest(listener)
        assert len(times) == number
    assert not wanted.is_set(), "nobody waits any more"
    listener.close()


class Chiming(Listener):
    def __init__(self) -> None:
        """Make no pipe."""

    def wait(self, seconds: float) -> bool:
        assert seconds >= 0
        return True


def test_after_a_round_without_a_commit_the_next_commit_is_seen_without_a_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rests, chimes = list[float](), iter([False, True, True, False, False])

    class Scripted(Chiming):
        def wait(self, seconds: float) -> bool:
            return next(chimes)

    monkeypatch.setattr(lookout, "close_old_connections", lambda: None)
    here, genuine = threading.get_ident(), time.sleep
    # The threads that other tests have started rest too.
    monkeypatch.setattr(time, "sleep", lambda rest: (rests.append if threading.get_ident() == here else genuine)(rest))
    thread = lookout.Lookout("all", lookout.Watch("all", lambda: True), wanted=(wanted := threading.Event()))
    wanted.set()
    for _ in range(5):
        thread.look_and_rest(Scripted())
    assert [rest > 0 for rest in rests] == [False, False, True, True, False]


@pytest.mark.parametrize("worked", [0.001, 5.0])
def test_after_a_statement_that_hung_a_thread_rests_no_longer_than_it_always_does(
    monkeypatch: pytest.MonkeyPatch, worked: float
) -> None:
    present, rests, here, genuine = [1000.0], list[float](), threading.get_ident(), time.sleep
    monkeypatch.setattr(clock, "monotonic", lambda: present[0])
    monkeypatch.setattr(time, "sleep", lambda rest: (rests.append if threading.get_ident() == here else genuine)(rest))
    for module in (lookout, feed):
        monkeypatch.setattr(module, "close_old_connections", lambda: None)

    def look() -> bool:
        present[0] += worked
        return True

    thread = lookout.Lookout("all", lookout.Watch("all", look), wanted=(wanted := threading.Event()))
    wanted.set()
    thread.look_and_rest(Chiming())
    thread.look_and_rest(Chiming())
    monkeypatch.setattr(feed.HUB, "look", look)
    feed.look_and_rest(Chiming(), Outage("feed_failed"))
    assert rests == [0.0, *([0.01, 0.01] if worked < 1 else [lookout.LOOK_SECONDS, feed.LOOK_SECONDS])]


@pytest.mark.django_db(transaction=True)
def test_content_is_cut_while_the_statements_of_other_kinds_hang(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, settings: Any, tmp_path: Path
) -> None:
    settings.DATA_DIR = tmp_path
    hung, release = threading.Semaphore(0), threading.Event()

    def hang(*_args: object, **_named: object) -> dict[UUID, Any]:
        hung.release()
        release.wait()
        return {}

    monkeypatch.setattr(queries, "standings", hang)
    monkeypatch.setattr(queries, "log_sizes", hang)
    grant, ended = cast.opened(), threading.Event()

    class Heard(Ending):
        def come(self) -> None:
            super().come()
            ended.set()

    news = News()
    place = readers.HUB.sit(tenant_id=cast.contoso.pk, token_id=token_id(cast, "otto"), news=news)
    is_over = threading.Event()
    threads = [threading.Thread(target=_look_until, args=(each, is_over)) for each in lookout.LOOKOUTS]
    for thread in threads:
        thread.start()
    try:
        with streams.watched(grant.pk, ends=1e12, note=lambda: None, ending=Heard()):
            assert hung.acquire(timeout=60)
            assert hung.acquire(timeout=60), "a statement of each of the other two threads hangs now"
            operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
            assert ended.wait(timeout=60), "the stream is cut before any of them has returned"
            assert not release.is_set()
    finally:
        is_over.set()
        release.set()
        every_kind = (waiting.CONTENT_WANTED, waiting.ENDS_WANTED, waiting.NEWS_WANTED)
        for wanted in every_kind:
            wanted.set()
        for thread in threads:
            thread.join()
        readers.HUB.leave(place)
        for wanted in every_kind:
            wanted.clear()


def _look_until(each: lookout.Lookout, is_over: threading.Event) -> None:
    listener = Listener()
    while not is_over.is_set():
        each.look_and_rest(listener)
    listener.close()
    connection.close()


def test_nobody_waits_longer_than_a_second_for_another_host() -> None:
    assert lookout.LOOK_SECONDS <= 0.25
    assert feed.LOOK_SECONDS <= 0.25
