"""What every test has: one clock, no network, empty caches, and databases that are ready."""

import contextlib
import datetime as dt
import gc
import ipaddress
import os
import signal
import socket
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import time_machine
from django.conf import settings
from django.core import mail
from django.core.cache import cache
from django.core.signals import setting_changed
from django.db import connection, transaction
from django.template import Template
from django.test import Client, TransactionTestCase
from django.test.client import ClientHandler
from django.utils import translation
from psycopg.pq import TransactionStatus
from pytest_django.plugin import DjangoDbBlocker

from lockbox_site import starting
from requests_app.domain import clock
from tests import ground, processes, token_keys
from tests.factors import force_login
from tests.processes import pytest_addoption as pytest_addoption
from tests.processes import pytest_runtestloop as pytest_runtestloop
from tests.remembered import MEMORY
from tests.stopwatch import pytest_runtest_makereport as pytest_runtest_makereport
from tests.stopwatch import pytest_runtest_protocol as pytest_runtest_protocol

# A full collection visits every object, and with Django and 6,000 collected tests that is most of its cost.
gc.set_threshold(*starting.BETWEEN_COLLECTIONS)
TESTS = Path(__file__).parent
#: These tests loop over every page, route, document or word. `bin/test fast` leaves them out.
LONG_WALKS = frozenset({"clients", "docs", "guard", "isolation", "words"})
#: `bin/test deep` sets DEEP. Then tests with random cases try all of their cases.
IS_DEEP = bool(os.environ.get("DEEP"))
#: The tests that take longest. If one of them came last, the other processes would have nothing left to do.
LONGEST = (
    "browser/test_every_page.py::test_every_page", "browser/test_every", "browser/test_tenant.py",
    "words/test_pages.py", "web/test_practice_marks.py::test_every_page", "web/test_practice_marks.py::test_no_page",
    "golden/test_history.py", "api/test_abuse.py", "lifecycle/test_model.py", "admin/test_crawl.py",
    "imports/test_held_steps.py::test_a_transaction", "verify/test_mutations.py", "tasks/",
)  # fmt: skip

#: With one of these fixtures, a test commits.
REAL_TRANSACTIONS = frozenset({"transactional_db", "live_server"})
MORE_THAN_A_TRANSACTION = REAL_TRANSACTIONS | {"django_db_reset_sequences", "django_db_serialized_rollback"}
#: Fixtures that pytest-django gives to each test, each with the mark without which it does nothing.
ONLY_WITH_MARK = {
    "_django_db_marker": "django_db",
    "_django_isolate_apps": "django_isolate_apps",
    "_django_set_urlconf": "urls",
    "_template_string_if_invalid_marker": "ignore_template_errors",
}
#: These do nothing here: there is no `django.contrib.sites`, no test is in a class of Django's, and the mails are
#: cleared below.
IDLE = frozenset({"_django_clear_site_cache", "_django_setup_unittest", "_dj_autoclear_mailbox"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests by their directory, skip those for the other kind of database, and choose fixtures and order."""
    is_postgresql = connection.vendor == "postgresql"
    skipped = "sqlite" if is_postgresql else "postgres"
    other_database = pytest.mark.skip(reason=f"is about {skipped}")
    for item in items:
        place = place_of(item.path)
        if place == "browser":
            item.add_marker(pytest.mark.browser)
        if place in LONG_WALKS:
            item.add_marker(pytest.mark.slow)
        marks = {mark.name for mark in item.iter_markers()}
        if skipped in marks:
            item.add_marker(other_database)
        if isinstance(item, pytest.Function):
            item.fixturenames = [*_useful(item.fixturenames, marks)]
    # Tests with the cast are one group, because they use a separate database.
    items.sort(key=lambda item: (_index(LONGEST, item.nodeid), _wants_cast(item)))


def _useful(names: Sequence[str], marks: set[str]) -> Iterator[str]:
    """Yield the names of the fixtures that do something in a test with these marks."""
    if "real_clock" in marks:
        yield "_real_clock"
    idle = IDLE if "live_server" in names else IDLE | {"_live_server_helper"}
    for name in names:
        if name not in idle and (name not in ONLY_WITH_MARK or ONLY_WITH_MARK[name] in marks):
            yield name


def _index(beginnings: Sequence[str], nodeid: str) -> int:
    """Return the index of the first text that the test's id begins with. Without one, return the last index."""
    place = nodeid.removeprefix("tests/")
    return next((at for at, beginning in enumerate(beginnings) if place.startswith(beginning)), len(beginnings))


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the whole run: random cases and Ctrl-C.

    Random cases have no time limit for each case, because a busy machine would exceed it.

    If a shell starts this run in the background, the run ignores Ctrl-C, and all programs that it starts would inherit
    this. A signal handler is not inherited. So a handler is set, and the programs end on Ctrl-C.
    """
    slow = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile("any_speed", deadline=None, suppress_health_check=slow)
    hypothesis.settings.load_profile("any_speed")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: None)


def pytest_unconfigure() -> None:
    ground.clear()


def pytest_collection_finish(session: pytest.Session) -> None:
    """Exclude all objects that exist now from garbage collection, because they stay until the end of the run."""
    gc.collect()
    gc.freeze()
    if not processes.are_several(session.config):
        processes.use_huge_pages()


def place_of(path: Path) -> str:
    """Return the directory of a test file below tests: `web` for tests/web/test_home.py."""
    return path.relative_to(TESTS).parts[0] if path.is_relative_to(TESTS) else ""


def sample(size: int, normally: int) -> int:
    """Return how many random cases to try: `size` in `bin/test deep`, and `normally` in every other run."""
    return size if IS_DEEP else normally


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Choose the database of the test, before the test's transaction begins."""
    ground.use_cast(_wants_cast(item))
    MEMORY.begin(item)


def pytest_runtest_teardown() -> None:
    MEMORY.end()
    _give_up_claims()


def _give_up_claims() -> None:
    """Wait until the thread that releases idempotency keys has ended. After the test, it could not use the database."""
    from requests_app.doors.api import idempotency

    if idempotency._left._is_running:
        with idempotency._left._lock:
            idempotency._left._until.clear()
        for thread in threading.enumerate():
            if thread.name == "release":
                thread.join(2 * idempotency.LONGEST_RELEASE_PAUSE)


def _wants_cast(item: pytest.Item) -> bool:
    names = getattr(item, "fixturenames", ())
    return "cast" in names and not _has_real_transactions(item, names)


def _has_real_transactions(item: pytest.Item, names: Sequence[str]) -> bool:
    marker = item.get_closest_marker("django_db")
    is_marked = marker is not None and (marker.kwargs.get("transaction") or any(marker.args))
    return is_marked or not REAL_TRANSACTIONS.isdisjoint(names)


@pytest.fixture(scope="session")
def _statements_stay_prepared() -> Iterator[None]:
    """Make PostgreSQL plan each statement once for each connection, and not at each call.

    psycopg drops its prepared statements after a rollback, because tables may have been created again. Here every test
    ends with a rollback, but the tables stay. If a table changes after all, PostgreSQL plans again.
    """
    if connection.vendor != "postgresql":
        yield
        return
    from psycopg._preparing import PrepareManager

    from requests_app.platform.database.postgresql import base

    with pytest.MonkeyPatch.context() as patch:
        stays, clear = 2_000, PrepareManager.clear
        patch.setattr(PrepareManager, "clear", lambda self: self.prepared_max != stays and clear(self))
        patch.setattr(base, "_PREPARED", stays)
        # Django reads this option whenever it connects.
        patch.setitem(connection.settings_dict["OPTIONS"], "prepare_threshold", 1)
        yield


@pytest.fixture
def _django_db_helper(
    request: pytest.FixtureRequest, django_db_setup: None, django_db_blocker: DjangoDbBlocker
) -> Iterator[None]:
    """Give a test a transaction, which is rolled back. This replaces pytest-django's fixture.

    pytest-django would make a class and an object of Django's TestCase for each test, and ask the server more often. A
    test that needs more than a transaction gets its fixture.
    """
    mark = request.node.get_closest_marker("django_db")
    if (mark and (mark.args or mark.kwargs)) or not MORE_THAN_A_TRANSACTION.isdisjoint(request.fixturenames):
        request.getfixturevalue("_django_db_helper")
        yield
        return
    with django_db_blocker.unblock():
        block: Any = transaction.atomic()
        block._from_testcase = True  # as Django's TestCase does: the product may open durable blocks in this one
        block.__enter__()
        connection.queries_log.clear()
        yield
        try:
            _check_constraints()
        finally:
            transaction.set_rollback(True)
            block.__exit__(None, None, None)


def _check_constraints() -> None:
    """Check what the database would check at a commit. Without a working transaction, there is nothing to check."""
    if connection.needs_rollback:
        return
    if connection.vendor != "postgresql":
        connection.check_constraints()
    elif connection.connection and connection.connection.info.transaction_status == TransactionStatus.INTRANS:
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None,
    django_db_blocker: DjangoDbBlocker,
    django_db_modify_db_settings: None,
    _statements_stay_prepared: None,
) -> Iterator[None]:
    """Provide the databases. This replaces pytest-django's fixture, which would run all migrations in each process."""
    with django_db_blocker.unblock():
        ground.lay()
        MEMORY.learn()
    yield
    with django_db_blocker.unblock():
        ground.take_up()


# --- For all tests of a process --------------------------------------------------------------------------


@pytest.fixture(scope="session", autouse=True)
def _ready_for_all_tests(django_test_environment: None) -> Iterator[None]:
    """Do what all tests need once. This is one fixture, because pytest looks at each of them again in each test."""
    with pytest.MonkeyPatch.context() as patch:
        _empty_tables_fast(patch)
        _make_one_chain_for_all_clients(patch)
        patch.setattr(Client, "_login", force_login)
        _keep_the_context_of_whole_templates(patch)
        _use_one_clock(patch)
        _allow_no_network_but_loopback(patch)
        token_keys.install(patch)
        _make_a_log_key()
        yield
        setting_changed.disconnect(_CHAIN.forget)


def _empty_tables_fast(patch: pytest.MonkeyPatch) -> None:
    """After a test with real transactions, empty the tables in a faster way than Django's flush.

    Django would empty one table after the other, and create the content types and permissions again each time.
    """
    patch.setattr(TransactionTestCase, "_fixture_teardown", lambda self: ground.empty())


class _OneChain:
    """The middleware of one test. All clients of the test share it, as all requests to a server do."""

    def __init__(self) -> None:
        self.chain: Any = None
        self._load = ClientHandler.load_middleware

    def load(self, handler: Any) -> None:
        if self.chain is None:
            self._load(handler)
            self.chain = handler._middleware_chain
        handler._middleware_chain = self.chain

    def forget(self, **_: Any) -> None:
        """Make the middleware again at the next request, because some middleware reads settings when it is made."""
        self.chain = None


_CHAIN = _OneChain()


def _make_one_chain_for_all_clients(patch: pytest.MonkeyPatch) -> None:
    """Make the middleware once in each test.

    Django would make it for each client, and each call of the API has a client.
    """
    patch.setattr(ClientHandler, "load_middleware", lambda handler: _CHAIN.load(handler))
    setting_changed.connect(_CHAIN.forget)


def _keep_the_context_of_whole_templates(patch: pytest.MonkeyPatch) -> None:
    """Store the context of a template that is rendered by itself, and not again for each template that it includes.

    Django's test environment copies the context for every included template, and a page can include hundreds. An
    included template is rendered in the context of the template that includes it.
    """
    instrumented = Template._render  # type: ignore[attr-defined]  # Django's test environment has replaced it

    def render(template: Any, context: Any) -> Any:
        return instrumented(template, context) if context.template is template else template.nodelist.render(context)

    patch.setattr(Template, "_render", render)


# --- Time ------------------------------------------------------------------------------------------------


#: How the product reads the time, without tests.
_READ_TIME = {name: getattr(clock, name) for name in ("_database_now", "brought")}


def _use_one_clock(patch: pytest.MonkeyPatch) -> None:
    """Use Python's clock on PostgreSQL too, so that `travel` can move it."""
    patch.setattr(clock, "_database_now", clock._python_now)
    patch.setattr(clock, "brought", lambda at: clock._python_now())


@pytest.fixture
def _real_clock(_ready_for_all_tests: None) -> Iterator[None]:
    """Ask the database for the time. Each test marked `real_clock` has this fixture."""
    with pytest.MonkeyPatch.context() as patch:
        for name, read in _READ_TIME.items():
            patch.setattr(clock, name, read)
        yield


class Traveller:
    """Moves the clock of the whole process. After a move, the clock is stopped unless `tick` is set."""

    def __init__(self) -> None:
        self._journeys: list[time_machine.travel] = []

    def to(self, at: dt.datetime, *, tick: bool = False) -> dt.datetime:
        """Move the clock to this instant, which must have a time zone."""
        if at.tzinfo is None:
            raise ValueError("an instant without a zone is none")
        self.back()
        journey = time_machine.travel(at, tick=tick)
        journey.start()
        self._journeys.append(journey)
        return at

    def by(self, *, tick: bool = False, **length: float) -> dt.datetime:
        """Move the clock forward, as in `travel.by(hours=12, seconds=-1)`. Return the new time."""
        return self.to(clock._python_now() + dt.timedelta(**length), tick=tick)

    def freeze(self) -> dt.datetime:
        """Stop the clock at the present time."""
        return self.by()

    def back(self) -> None:
        """Set the clock back to the real time."""
        while self._journeys:
            self._journeys.pop().stop()


@pytest.fixture
def travel() -> Iterator[Traveller]:
    traveller = Traveller()
    yield traveller
    traveller.back()


# --- What a test patches ---------------------------------------------------------------------------------


@pytest.fixture
def monkeypatch() -> Iterator[pytest.MonkeyPatch]:
    """Replace pytest's fixture. After its first patch, a test gets no rows from memory (remembered.py)."""
    with pytest.MonkeyPatch.context() as patch:
        MEMORY.forget_after(lambda: bool(patch._setattr or patch._setitem or patch._cwd))
        yield patch


@pytest.fixture(name="settings")
def _settings(settings: Any) -> Any:
    """Return pytest-django's settings. After a test has changed one, it gets no rows from memory (remembered.py).

    CONTENT_ROOT may change, because the acts that make these rows read no content.
    """
    MEMORY.forget_after(lambda: any(change.options.keys() != {"CONTENT_ROOT"} for change in settings._to_restore))
    return settings


# --- No network, and nothing left over from another test --------------------------------------------------


class NetworkRefused(RuntimeError):
    """A test has tried to connect to another machine."""


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


def _allow_no_network_but_loopback(patch: pytest.MonkeyPatch) -> None:
    def guarded(name: str) -> Callable[..., Any]:
        plain = getattr(socket.socket, name)

        def call(self: socket.socket, address: Any) -> Any:
            if self.family in (socket.AF_INET, socket.AF_INET6) and not _is_here(address):
                raise NetworkRefused(f"A test must not connect to {address}.")
            return plain(self, address)

        return call

    for name in ("connect", "connect_ex"):
        patch.setattr(socket.socket, name, guarded(name))


@pytest.fixture(autouse=True)
def _nothing_left_over() -> Iterator[None]:
    """Clear what a rollback does not undo: the limits on calls, the mails, the language, and the stored log name.

    Give each test a separate file for the logs' heads. Fail if the previous test has not set the clock back.
    """
    from audit_app import log_name, restored_database

    assert not time_machine.escape_hatch.is_travelling(), "a test before this one has not come back from its journey"
    cache.clear()
    _forget_counts()
    _CHAIN.forget()
    token_keys.KEYS.begin()
    mail.outbox.clear()
    log_name.forget()
    restored_database.made.seen = None
    usual_heads, heads = settings.LOG_HEADS_FILE, settings.DATA_DIR / f"heads-{uuid.uuid4().hex}.sqlite3"
    settings.LOG_HEADS_FILE = heads
    yield
    settings.LOG_HEADS_FILE = usual_heads
    heads.unlink(missing_ok=True)
    log_name.forget()
    translation.deactivate()


def _forget_counts() -> None:
    """Clear what the process counts for each row, because each test's cast has the same ids."""
    from audit_app import recorder
    from requests_app.doors.api import quota
    from requests_app.operations import streams
    from requests_app.platform import long_calls
    from requests_app.platform.database.turns import TURNS

    # A log that was locked too long in the test before is treated as locked for two more seconds.
    TURNS._forget(float("inf"))
    quota.CALLS.clear()
    recorder._LENGTHS.clear()
    if long_calls.CALLS.taken() or streams.DOWNLOADS.taken():
        # A stream that a test did not read to its end frees its slot only when it is collected.
        gc.collect()


def _make_a_log_key() -> None:
    from audit_app import keys

    with contextlib.suppress(keys.NoKey):  # another process of this run has made it
        keys.create()


# --- The people ------------------------------------------------------------------------------------------


@pytest.fixture
def cast(db: None) -> Any:
    """Return the cast.

    After a test with real transactions the tables are empty, so the cast's rows are written again.
    """
    from tests.cast import find, gather

    return find() if ground.has_cast() or MEMORY.put_cast() else gather()
