"""What every test stands on: one clock, no network, clean caches, and a flush that passes the triggers."""

import contextlib
import datetime as dt
import gc
import ipaddress
import os
import signal
import socket
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import hypothesis
import pytest
import time_machine
from django.conf import settings
from django.core.cache import cache
from django.db import connection, transaction
from django.db.backends.base.operations import BaseDatabaseOperations
from django.utils import translation
from pytest_django.plugin import DjangoDbBlocker

from requests_app import clock
from tests import ground

T = TypeVar("T")
TESTS = Path(__file__).parent
#: These walk over every page, route, document or word there is; `bin/test fast` leaves them to the whole run.
LONG_WALKS = frozenset({"admin", "clients", "docs", "isolation", "words"})
#: What is tried here is words, documents and programs; the database behind them is as good as any other. A test of
#: another place says so by its mark; tests/architecture/test_ground.py holds both to what may be left out.
ONE_DATABASE = frozenset({"architecture", "browser", "clients", "docs", "words"})
#: A page, or a route of the API, sends the same queries for each of the people, states and languages that it is tried
#: with, and what it asks for is tried below it on both databases.
PAGES = frozenset({"admin", "web"})
FEW_ON_POSTGRESQL = PAGES | {"api", "notifications"}
#: Of those, PostgreSQL has one case of every so-manieth test; and of those with so many cases SQLite has every other.
ONE_OF, MANY = 6, 8
#: What takes minutes comes first, or one process would be at it alone when the others have nothing left to do.
FIRST = (
    *(f"browser/test_every_page.py::test_pages_have_no_fault[{group}]" for group in ("staff", "customer", "provider")),
    "browser/test_every_page.py::test_the_page_of_the_apis_document", "browser/test_every", "browser/test_tenant.py",
    "docs/test_commands.py", "docs/test_postgresql.py", "verify/test_mutations.py", "words/test_pages.py",
    "concurrency/test_embedded_default.py", "tasks/",
)  # fmt: skip
#: Full collections walk over every object there is; after 6,000 collected tests and Django that is most of their cost.
BETWEEN_COLLECTIONS = (50_000, 20, 50)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--by-turns", action="store_true", help="of tests with many cases, try those whose turn it is by the run's seed"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark tests by their place, and pass over what only PostgreSQL can answer, or what no database has a say in.

    With `--by-turns`, as `bin/test` runs them, each run tries some cases of many; by its seed, so that all come round.
    """
    is_postgresql = connection.vendor == "postgresql"
    # What runs on SQLite alone has run there, and can't come to another end.
    there = [item for item in items if not is_postgresql or _has_two_databases(item)]
    if config.getoption("by_turns"):
        there = _by_turns(there, str(config.getoption("randomly_seed", 0)), is_postgresql=is_postgresql)
    chosen = set(there)
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = _dealt(sorted(there, key=lambda item: _place_in(FIRST, item.nodeid)))
    other_database = pytest.mark.skip(reason="says something about PostgreSQL: give DATABASE_URL")
    places: dict[Path, str] = {}
    known: set[str] = set()
    for item in items:
        test = _test_of(item)
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
        if item.get_closest_marker("postgres") and not is_postgresql:
            item.add_marker(other_database)


def _place_in(order: Sequence[str], nodeid: str) -> int:
    """Where an item stands by these beginnings; after them, where it has none."""
    place = nodeid.removeprefix("tests/")
    return next((at for at, beginning in enumerate(order) if place.startswith(beginning)), len(order))


def _dealt(items: list[pytest.Item]) -> list[pytest.Item]:
    """Of browsers' tests, which are few and long, each process begins with one that takes longest.

    pytest-xdist gives each process a piece of the list. Elsewhere one process has the long ones, of which most wait for
    programs that they start, and the others take what it has not come to.
    """
    if not all(place_of(item.path) == "browser" for item in items):
        return items
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    return [item for first in range(processes) for item in items[first::processes]]


def _test_of(item: pytest.Item) -> str:
    return item.nodeid.partition("[")[0]


def _by_turns(items: list[pytest.Item], seed: str, *, is_postgresql: bool) -> list[pytest.Item]:
    """Those whose turn it is. What a rule is tried with is tried in every run, on the one database or on the other."""
    cases: dict[str, list[pytest.Item]] = {}
    for item in items:
        cases.setdefault(_test_of(item), []).append(item)
    chosen: set[pytest.Item] = set()
    for test, there in cases.items():
        chosen.update(_in_turn(test, there, seed, is_postgresql=is_postgresql))
    return [item for item in items if item in chosen]


def _in_turn(test: str, there: list[pytest.Item], seed: str, *, is_postgresql: bool) -> list[pytest.Item]:
    """The cases of one test that this run tries on this database."""
    first = there[0]
    if first.get_closest_marker("postgres") or first.get_closest_marker("every_case"):
        return there
    if turn := first.get_closest_marker("one_of"):
        # A test of one case may be left out by a run; of one with more, each run has one.
        has_turn = len(there) > 1 or _number(f"{seed}{test}") % turn.args[0] == 0
        return _some(there, turn.args[0], seed) if has_turn else []
    if first.get_closest_marker("either_database"):
        return [item for item in there if _number(f"{seed}{item.nodeid}") % 2 == is_postgresql]
    if place_of(first.path) in FEW_ON_POSTGRESQL:
        if is_postgresql:
            return _some(there, len(there), seed)[:1] if _number(f"{seed}{test}") % ONE_OF == 0 else []
        return _some(there, 2, seed) if len(there) >= MANY else there
    if not _has_two_databases(first):
        return there
    if len(there) == 1:
        return there if not is_postgresql or _number(f"{seed}{test}") % 2 == 0 else []
    return [item for item in there if _number(f"{seed}{item.nodeid}") % 2 == is_postgresql]


def _some(there: list[pytest.Item], one_of: int, seed: str) -> list[pytest.Item]:
    return some(there, one_of, seed, by=lambda item: item.nodeid)


def pytest_configure(config: pytest.Config) -> None:
    """Let Ctrl-C end the programs that tests start, even where it is not to end this run; and give the run a name.

    A busy machine fails no test of made-up cases: how long one takes says nothing about the product.

    What a shell starts in the background ignores it, and so would every program below. A handler is not handed down.
    """
    slow = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile("any_speed", deadline=None, suppress_health_check=slow)
    hypothesis.settings.load_profile("any_speed")
    if config.getoption("testrunuid", None) is None:
        config.option.testrunuid = uuid.uuid4().hex
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: None)


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        ground.clear(config.option.testrunuid)
        ground.clear()


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what stays until the end of the run."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*BETWEEN_COLLECTIONS)


def place_of(path: Path) -> str:
    """The directory of the tests' in which a file lies: `web` for tests/web/test_home.py."""
    return path.relative_to(TESTS).parts[0] if path.is_relative_to(TESTS) else ""


def sample(size: int) -> int:
    """How many of the cases that are made up by the dozen to try: half on PostgreSQL, which takes less; else a fourth.

    NUL characters, numbers out of range and types that do not fit are no mistakes to SQLite.
    """
    return max(1, size // (2 if connection.vendor == "postgresql" else 4))


def some(cases: Iterable[T], one_of: int, seed: str, *, by: Callable[[T], object] = str) -> list[T]:
    """Of so many of these each one, and one at least: those that the run's seed chooses, by what `by` calls them."""
    there = list(cases)
    chosen = [case for case in there if _number(f"{seed}{by(case)}") % one_of == 0]
    return chosen or [there[_number(seed) % len(there)]] if there else []


def one_for(about: object, cases: Sequence[T], seed: str) -> T:
    """The one of these with which this run tries something: the seed chooses it."""
    return cases[_number(f"{seed}{about}") % len(cases)]


@pytest.fixture(scope="session")
def by_turns(pytestconfig: pytest.Config) -> bool:
    """Whether this run tries some of many cases, as `bin/test` does; else whatever is tried in loops is tried whole."""
    return bool(pytestconfig.getoption("by_turns"))


class ThoseFor(Protocol):
    def __call__(self, about: object, cases: Sequence[T], /) -> Sequence[T]: ...


@pytest.fixture(scope="session")
def those_for(by_turns: bool, seed: str) -> ThoseFor:
    """Those of some cases with which this run tries something: a run by turns one of them, every other run all."""
    return lambda about, cases: [one_for(about, cases, seed)] if by_turns else cases


@pytest.fixture(scope="session")
def has_turn(by_turns: bool, seed: str) -> Callable[[int], bool]:
    """Whether a run by turns tries this one of a great many that are numbered: it tries every fifth."""
    return lambda number: not by_turns or (number + _number(seed)) % 5 == 0


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> str:
    """What this run chooses by; it is printed at its beginning, and `SEED=… bin/test` repeats it."""
    return str(pytestconfig.getoption("randomly_seed", 0))


def _number(text: str) -> int:
    """The same for the same text, in whichever process."""
    return zlib.crc32(text.encode())


def _has_two_databases(item: pytest.Item) -> bool:
    if item.get_closest_marker("postgres"):
        return True
    if item.get_closest_marker("one_database") or place_of(item.path) in ONE_DATABASE:
        return False
    fixtures = getattr(item, "fixturenames", ())
    return item.get_closest_marker("django_db") is not None or any(
        name in fixtures for name in ("db", "transactional_db", "live_server", "django_db_setup")
    )


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_blocker: DjangoDbBlocker, django_db_modify_db_settings: None
) -> Iterator[None]:
    """In the place of pytest-django's, which has each process go through all migrations."""
    with django_db_blocker.unblock():
        ground.lay()
    yield
    with django_db_blocker.unblock():
        ground.take_up()


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
    """Keep heads and log names of each test apart: the database forgets them, and file and process would not."""
    from audit_app import log_name

    path = settings.DATA_DIR / f"heads-{uuid.uuid4().hex}.sqlite3"
    monkeypatch.setattr(settings, "LOG_HEADS_FILE", path)
    log_name.forget()
    yield
    log_name.forget()
    path.unlink(missing_ok=True)


# --- The people ------------------------------------------------------------------------------------------


@pytest.fixture
def cast(db: None) -> Any:
    from tests.cast import gather

    return gather()
