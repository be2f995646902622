"""What every test stands on: one clock, no network, clean caches, and a flush that passes the triggers."""

import contextlib
import datetime as dt
import gc
import ipaddress
import signal
import socket
import uuid
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.core.cache import cache
from django.db import connection, transaction
from django.db.backends.base.operations import BaseDatabaseOperations
from django.utils import translation

from requests_app import clock

TESTS = Path(__file__).parent
#: These walk over every page, route, document or word there is; `bin/test fast` leaves them to the whole run.
LONG_WALKS = frozenset({"admin", "clients", "docs", "isolation", "words"})
#: What is tried here is words, documents and programs; the database behind them is as good as any other. A test of
#: another place says so by its mark; tests/architecture/test_ground.py holds both to what may be left out.
ONE_DATABASE = frozenset({"architecture", "browser", "clients", "docs", "words"})
#: A page, or a route of the API, sends the same queries for each of the people, states and languages that it is tried
#: with, and what it asks for is tried below it with all of them on both databases. PostgreSQL sees one case of a third
#: of these tests, which the run's seed chooses; SQLite sees all. What has the mark `every_case` is left out of this.
PAGES = frozenset({"admin", "web"})
FEW_ON_POSTGRESQL = PAGES | {"api", "notifications"}
ONE_OF = 3
#: Full collections walk over every object there is; after 6,000 collected tests and Django that is most of their cost.
BETWEEN_COLLECTIONS = (50_000, 20, 50)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests by their place, and pass over what only PostgreSQL can answer, or what no database has a say in."""
    other_database = pytest.mark.skip(reason="says something about PostgreSQL: give DATABASE_URL")
    if connection.vendor == "postgresql":
        # They have run on SQLite, and can't come to another end.
        chosen = _few_of_each_page([item for item in items if _has_two_databases(item)], config)
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = [item for item in items if item in chosen]
    places: dict[Path, str] = {}
    known: set[str] = set()
    for item in items:
        test = item.nodeid.partition("[")[0]
        if test in known:
            item.add_marker(pytest.mark.again)
        known.add(test)
        place = places.get(item.path) or places.setdefault(item.path, place_of(item.path))
        if place == "browser":
            item.add_marker(pytest.mark.browser)
        if place in PAGES:
            item.add_marker(pytest.mark.page)
        if place in LONG_WALKS:
            item.add_marker(pytest.mark.slow)
        is_elsewhere = item.get_closest_marker("either_database") and _number(item.nodeid) % 2 == 0
        if (item.get_closest_marker("postgres") or is_elsewhere) and connection.vendor != "postgresql":
            item.add_marker(other_database)


def pytest_configure() -> None:
    """Let Ctrl-C end the programs that tests start, even where it is not to end this run.

    What a shell starts in the background ignores it, and so would every program below. A handler is not handed down.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: None)


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what stays until the end of the run."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*BETWEEN_COLLECTIONS)


def place_of(path: Path) -> str:
    """The directory of the tests' in which a file lies: `web` for tests/web/test_home.py."""
    return path.relative_to(TESTS).parts[0] if path.is_relative_to(TESTS) else ""


def sample(size: int) -> int:
    """How many of the cases that are made up by the dozen to try: all on PostgreSQL, which takes less; else a fourth.

    NUL characters, numbers out of range and types that do not fit are no mistakes to SQLite.
    """
    return size if connection.vendor == "postgresql" else max(1, size // 4)


def _few_of_each_page(items: list[pytest.Item], config: pytest.Config) -> set[pytest.Item]:
    """These with one case of a third of the tests about pages and routes."""
    seed, seen, chosen = config.getoption("randomly_seed", 0), set(), set()
    for item in items:
        test = item.nodeid.partition("[")[0]
        has_all = item.get_closest_marker("postgres") or item.get_closest_marker("every_case")
        is_one_of_few = place_of(item.path) in FEW_ON_POSTGRESQL and not has_all
        if not is_one_of_few or (test not in seen and _number(f"{seed}{test}") % ONE_OF == 0):
            chosen.add(item)
        seen.add(test)
    return chosen


def _number(text: str) -> int:
    """The same for the same text, in whichever process."""
    return zlib.crc32(text.encode())


def _has_two_databases(item: pytest.Item) -> bool:
    if item.get_closest_marker("postgres"):
        return True
    if item.get_closest_marker("either_database"):
        return _number(item.nodeid) % 2 == 0
    if item.get_closest_marker("one_database") or place_of(item.path) in ONE_DATABASE:
        return False
    fixtures = getattr(item, "fixturenames", ())
    return item.get_closest_marker("django_db") is not None or any(
        name in fixtures for name in ("db", "transactional_db", "live_server", "django_db_setup")
    )


# --- The flush after a test with real transactions -------------------------------------------------------


def _sqlite_triggers_aside(flush: Callable[[], None]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        triggers = cursor.fetchall()
        for name, _sql in triggers:
            cursor.execute(f'DROP TRIGGER "{name}"')
        flush()
        for _name, sql in triggers:
            # Without parameters: a percent sign inside the trigger's text is no placeholder.
            cursor.execute(sql)


def _postgresql_triggers_aside(flush: Callable[[], None]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal")
        tables = [table for (table,) in cursor.fetchall()]
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        flush()
        for table in tables:
            cursor.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")


@pytest.fixture(scope="session", autouse=True)
def _flush_past_append_only_triggers() -> Iterator[None]:
    """Let Django empty the tables after a test with real transactions.

    Entries may never be deleted, and the triggers that see to it do not know a test from an intruder.
    """
    operations = type(connection.ops)
    plain = operations.execute_sql_flush
    aside = {"sqlite": _sqlite_triggers_aside, "postgresql": _postgresql_triggers_aside}[connection.vendor]

    def execute_sql_flush(self: BaseDatabaseOperations, sql_list: list[str]) -> None:
        # The shared cache counts the sign-in's limits; it is no model's table, so Django does not know of it.
        aside(lambda: plain(self, [*sql_list, "DELETE FROM lockbox_cache"]))

    patch = pytest.MonkeyPatch()
    patch.setattr(operations, "execute_sql_flush", execute_sql_flush)
    yield
    patch.undo()


# --- Time ------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _one_clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask Python for the time on PostgreSQL too, so that `travel` moves it; `real_clock` leaves it alone."""
    if request.node.get_closest_marker("real_clock") is None:
        monkeypatch.setattr(clock, "_database_now", clock._python_now)
        monkeypatch.setattr(clock, "brought", lambda at: clock._python_now())


class Traveller:
    """Moves the clock of the whole process. It stands still afterwards, unless asked to run on."""

    def __init__(self) -> None:
        self._journeys: list[time_machine.travel] = []

    def to(self, at: dt.datetime, *, tick: bool = False) -> dt.datetime:
        """Go to an instant, which must carry its zone."""
        if at.tzinfo is None:
            raise ValueError("an instant without a zone is none")
        self.back()
        journey = time_machine.travel(at, tick=tick)
        journey.start()
        self._journeys.append(journey)
        return at

    def by(self, *, tick: bool = False, **length: float) -> dt.datetime:
        """Go on (or back) by a length, as in `travel.by(hours=12, seconds=-1)`, and return the instant."""
        return self.to(clock._python_now() + dt.timedelta(**length), tick=tick)

    def freeze(self) -> dt.datetime:
        """Stop the clock where it is."""
        return self.by()

    def back(self) -> None:
        """Return to the present."""
        while self._journeys:
            self._journeys.pop().stop()


@pytest.fixture
def travel() -> Iterator[Traveller]:
    traveller = Traveller()
    yield traveller
    traveller.back()


# --- Nothing leaves the machine, nothing stays behind ----------------------------------------------------


class NetworkRefused(RuntimeError):
    """Raised where a test reaches for another machine."""


def _is_here(address: Any) -> bool:
    if not isinstance(address, tuple):  # a path: a Unix socket
        return True
    host = str(address[0])
    if host in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session", autouse=True)
def _no_network_but_loopback() -> Iterator[None]:
    patch = pytest.MonkeyPatch()

    def guarded(name: str) -> Callable[..., Any]:
        plain = getattr(socket.socket, name)

        def call(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_here(address):
                raise NetworkRefused(f"A test must not connect to {address}.")
            return plain(self, address)

        return call

    for name in ("connect", "connect_ex"):
        patch.setattr(socket.socket, name, guarded(name))
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def _nothing_left_over() -> Iterator[None]:
    """Forget rate limits and the language, which outlive a test's transaction; the clock must be the real one."""
    assert not time_machine.escape_hatch.is_travelling(), "a test before this one has not come back from its journey"
    cache.clear()
    yield
    translation.deactivate()


# --- The log's key, and what is kept outside the database ------------------------------------------------


@pytest.fixture(scope="session", autouse=True)
def _a_log_key() -> None:
    from audit_app import keys

    with contextlib.suppress(keys.NoKey):  # another worker of this run has made it
        keys.create()


@pytest.fixture(autouse=True)
def _own_heads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Keep the heads of each test apart: the database forgets them, and the file would not."""
    path = settings.DATA_DIR / f"heads-{uuid.uuid4().hex}.sqlite3"
    monkeypatch.setattr(settings, "LOG_HEADS_FILE", path)
    yield
    path.unlink(missing_ok=True)


# --- The people ------------------------------------------------------------------------------------------


@pytest.fixture
def cast(db: None) -> Any:
    from tests.cast import gather

    return gather()
