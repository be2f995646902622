"""A PostgreSQL server hangs, but the connection does not break. Every wait for the server still ends in time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connection, transaction
from django.test import Client as Browser

from requests_app import operations
from requests_app.domain.errors import StoreUnavailable
from requests_app.models import AccessRequest, Plan
from requests_app.platform.database import bounds
from requests_app.platform.database.errors import CommitUnknown
from requests_app.platform.database.postgresql.base import DatabaseWrapper
from requests_app.platform.database.pulse import PULSE
from tests.caller import caller_for
from tests.cast import Cast, events_of, outbox_topics
from tests.database.conftest import OwnServer
from tests.stopwatch import in_time, takes
from tests.web.pages import signed_in
from tests.wire import AtCommit, Wire

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

#: In seconds: the time limit of a web server, and a little for a slow machine.
IN_TIME = 3.2


def ask(statement: str = "SELECT 1") -> Any:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0]


def in_transaction() -> None:
    with transaction.atomic():
        ask()


@pytest.fixture
def frozen(own_server: OwnServer, as_web: None) -> Iterator[OwnServer]:
    """Yield a server that is stopped while a web process has a connection to it."""
    with own_server.as_default():
        ask()
        with own_server.stopped():
            yield own_server
            connection.close()
            PULSE.answered()


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("call", [in_transaction, ask], ids=["act", "read"])
@pytest.mark.timed
def test_a_stopped_server_is_given_up_on_a_connection_that_is_there(call: Callable[[], None]) -> None:
    with takes(most=IN_TIME), pytest.raises(OperationalError):
        call()
    # Nothing waits for this connection again, neither a rollback nor a check of the connection.
    with takes(most=1):
        connection.close_if_unusable_or_obsolete()
        with pytest.raises(OperationalError):
            call()


@pytest.mark.usefixtures("frozen")
@pytest.mark.timed
def test_a_stopped_server_is_given_up_at_a_new_connection() -> None:
    connection.close()
    with takes(most=IN_TIME), pytest.raises(OperationalError):
        ask()


@pytest.mark.usefixtures("frozen")
@pytest.mark.timed
def test_a_request_on_a_persistent_connection_is_given_up_in_time() -> None:
    """The call first checks whether the connection still works, and then tries a new one. Both end in time."""
    connection.close_if_unusable_or_obsolete()
    assert connection.connection is not None
    with takes(most=IN_TIME), pytest.raises(OperationalError):
        in_transaction()


@pytest.mark.usefixtures("as_web")
@pytest.mark.timed
def test_a_server_that_continues_is_used_again_immediately(own_server: OwnServer) -> None:
    with own_server.as_default():
        ask()
        with own_server.stopped(), pytest.raises(OperationalError):
            in_transaction()
        until = time.monotonic() + 2
        while True:
            try:
                assert ask() == 1
                break
            except OperationalError:
                in_time(time.monotonic() < until)
                time.sleep(0.05)


@pytest.mark.usefixtures("as_web")
@pytest.mark.timed
def test_threads_do_not_wait_one_after_the_other_for_a_stopped_server(own_server: OwnServer) -> None:
    """One thread finds out that the server hangs.

    The other threads then fail immediately. In each second, at most one thread tries again.
    """
    spent: list[float] = []

    def call() -> None:
        began = time.monotonic()
        with pytest.raises(OperationalError):
            ask()
        spent.append(time.monotonic() - began)
        connection.close()

    with own_server.as_default():
        ask()
        with own_server.stopped():
            with pytest.raises(OperationalError):
                in_transaction()
            threads = [threading.Thread(target=call) for _ in range(40)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(timeout=120)
    assert len(spent) == 40
    in_time(sum(seconds > 0.5 for seconds in spent) <= 2, spent)


@pytest.mark.usefixtures("as_web")
@pytest.mark.timed
def test_a_slow_search_of_a_server_that_is_well_is_waited_for() -> None:
    with takes(least=3, most=10):
        ask("SELECT 1 FROM pg_sleep(3)")


@pytest.mark.usefixtures("as_web")
@pytest.mark.timed
def test_a_server_that_takes_no_further_connection_is_no_silent_one(own_server: OwnServer) -> None:
    own_server.run("ALTER DATABASE postgres CONNECTION LIMIT 1", "CREATE ROLE one LOGIN")
    try:
        with own_server.as_default():
            connection.settings_dict["USER"] = "one"
            own_server.wait_until_all_have_left()
            with takes(least=3, most=10):
                ask("SELECT 1 FROM pg_sleep(3)")
    finally:
        own_server.run("ALTER DATABASE postgres CONNECTION LIMIT -1")


@pytest.mark.parametrize("call", [in_transaction, ask], ids=["act", "read"])
@pytest.mark.timed
def test_a_worker_waits_longer_and_not_for_ever(own_server: OwnServer, call: Callable[[], None]) -> None:
    bounds.of_process(bounds.worker(wait_seconds=3))
    try:
        with own_server.as_default():
            ask()
            with own_server.stopped(), takes(least=3, most=5), pytest.raises(OperationalError):
                call()
            # A loop that continues needs no code to discard the broken connection.
            assert ask() == 1
    finally:
        bounds.of_process(bounds.COMMAND)


@pytest.mark.usefixtures("as_web")
@pytest.mark.parametrize(
    ("fate", "saved"), [(AtCommit.WITHHOLD_REQUEST, False), (AtCommit.WITHHOLD_ANSWER, True)], ids=["lost", "kept"]
)
@pytest.mark.timed
def test_a_commit_without_an_answer_is_unknown_in_time(wire: Wire, fate: AtCommit, saved: bool) -> None:
    def act() -> None:
        with transaction.atomic():
            Plan.objects.create(name="Kept")
            wire.next_commit = fate

    with takes(most=IN_TIME), pytest.raises(CommitUnknown):
        act()
    PULSE.answered()
    assert Plan.objects.filter(name="Kept").exists() is saved


@pytest.mark.usefixtures("as_web")
def test_a_database_known_to_hang_is_not_asked_to_commit(wire: Wire) -> None:
    def act() -> None:
        with transaction.atomic():
            Plan.objects.create(name="Lost")
            PULSE._silent = True

    with pytest.raises(OperationalError) as caught:
        act()
    assert not isinstance(caught.value, CommitUnknown)
    assert wire.commits == 0
    PULSE.answered()
    assert not Plan.objects.exists()


@pytest.mark.usefixtures("as_web")
@pytest.mark.timed
def test_pages_the_api_and_the_sign_in_answer_while_the_database_hangs(cast: Cast, wire: Wire) -> None:
    row = cast.confirmed()
    browser = signed_in(cast, "ada")
    browser.raise_request_exception = False
    call = caller_for(cast, "ada")
    call.get("tenants")
    before = (events_of(row), outbox_topics())
    sign_in = {"login": "ada@contoso.example", "password": "correct horse battery staple 9"}
    doors: dict[str, Callable[[], Any]] = {
        "page": lambda: browser.get("/"),
        "act": lambda: browser.post(f"/access-requests/{row.pk}/deny/", {"comment": "No."}),
        "api": lambda: call.get("tenants"),
        "sign-in": lambda: Browser(raise_request_exception=False).post("/accounts/login/", sign_in),
    }
    wire.freeze()
    for name, door in doors.items():
        # Each interface is tried as if the database had just begun to hang.
        PULSE.answered()
        with takes(most=IN_TIME):
            answer = door()
        assert (name, answer.status_code, answer["Retry-After"]) == (name, 503, "5")
    wire.thaw()
    PULSE.answered()
    connection.close()
    assert (events_of(row), outbox_topics()) == before
    assert browser.get("/").status_code == 200


@pytest.mark.usefixtures("as_web")
@pytest.mark.timed
def test_a_log_that_somebody_holds_is_a_503_in_two_seconds_and_nothing_happens(cast: Cast) -> None:
    row = cast.confirmed()
    before = (events_of(row), outbox_topics())
    with held(cast.contoso.pk), takes(most=IN_TIME), pytest.raises(StoreUnavailable):
        operations.deny_as_customer(row.pk, actor=cast.as_("ada"), note="No.")
    assert (events_of(row), outbox_topics()) == before
    assert AccessRequest.objects.get(pk=row.pk).state == row.state
    operations.deny_as_customer(row.pk, actor=cast.as_("ada"), note="No.")


class held:
    """In another session, locks a tenant's log or another row."""

    def __init__(self, value: Any, *, table: str = "audit_app_chainhead", key: str = "tenant_id") -> None:
        self.statement = f"SELECT 1 FROM {table} WHERE {key} = %s FOR UPDATE"
        self.value, self.is_held, self.may_end = value, threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._hold)

    def _hold(self) -> None:
        with bounds.within(bounds.COMMAND), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(self.statement, [self.value])
            self.is_held.set()
            # The server would end a session that is idle in a transaction.
            while not self.may_end.wait(0.5):
                cursor.execute("SELECT 1")
        connection.close()

    def __enter__(self) -> None:
        self.thread.start()
        assert self.is_held.wait(120)

    def __exit__(self, *_: object) -> None:
        self.may_end.set()
        self.thread.join(timeout=120)


@pytest.mark.timed
def test_the_server_ends_a_transaction_whose_host_is_frozen(cast: Cast) -> None:
    """The frozen transaction has locked a tenant's log. When the server has ended it, the next call gets the lock."""
    row = cast.confirmed()

    def freeze() -> None:
        with bounds.within(bounds.Bounds(idle=1)), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM audit_app_chainhead WHERE tenant_id = %s FOR UPDATE", [cast.contoso.pk])
            time.sleep(6)

    frozen = threading.Thread(target=_ignoring(freeze))
    frozen.start()
    time.sleep(0.3)
    with takes(least=0.3, most=3):
        operations.deny_as_customer(row.pk, actor=cast.as_("ada"), note="No.")
    frozen.join(timeout=120)


def _ignoring(call: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        try:
            call()
        except DatabaseError:
            pass
        finally:
            connection.close()

    return run


@pytest.mark.timed
def test_of_two_hosts_the_one_that_answers_is_found_in_time_and_then_tried_first(
    own_server: OwnServer, as_web: None
) -> None:
    """After a failover, the former primary hangs: it accepts connections, but does not answer."""
    with Wire("127.0.0.1", 1) as silent, own_server.as_default():
        silent.freeze()
        DatabaseWrapper._last = None
        port = connection.settings_dict["PORT"]
        connection.settings_dict.update({"HOST": "127.0.0.1,127.0.0.1", "PORT": f"{silent.port},{port}"})
        connection.settings_dict["OPTIONS"]["target_session_attrs"] = "read-write"
        # The two hosts share the time limit, also if this process has not been connected before.
        with takes(least=0.9, most=1.9):
            assert ask() == 1
        connection.close()
        with takes(most=0.9):
            assert ask() == 1
        DatabaseWrapper._last = None
        del connection.settings_dict["OPTIONS"]["target_session_attrs"]
