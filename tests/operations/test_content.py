"""Access to content: it needs a live window for exactly this resource, and an entry that is written before."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import OperationalError, connection, transaction
from structlog.testing import capture_logs

from audit_app import recorder
from audit_app.models import AuditEntry, ChainHead
from requests_app import operations
from requests_app.content.connectors.base import ByteSource, Connector, ConnectorUnavailable, Item, Listing, Stream
from requests_app.domain import clock
from requests_app.domain.errors import (
    ContentUnavailable,
    DomainError,
    Malformed,
    NotAllowed,
    NotCovered,
    NotFound,
    SecondFactorRequired,
    StoreUnavailable,
    TooMany,
    Unacceptable,
    WindowNotOpen,
)
from requests_app.models import ContentAccess, Grant, OutboxMessage, Person, QueueAssignment, Resource, Tenant, Ticket
from requests_app.operations import content, streams
from requests_app.operations._change import Step
from requests_app.operations.streams import WindowClosed
from requests_app.queries import access
from tests.cast import Cast, events_of
from tests.content import CANARY, fill, mail_id

pytestmark = pytest.mark.django_db

OPENING = ["access_request.submitted", "access_request.approved_by_provider", "access_request.approved_by_customer"]


@pytest.fixture(autouse=True)
def _content(tmp_path: Path, settings: Any) -> None:
    settings.CONTENT_ROOT = tmp_path
    fill(tmp_path)


class Source(ByteSource):
    def __init__(self, chunks: Iterator[bytes]) -> None:
        self.chunks, self.is_closed = chunks, False

    def __iter__(self) -> Iterator[bytes]:
        return self.chunks

    def close(self) -> None:
        self.is_closed = True


class Fake(Connector):
    """A connector whose answers the test sets. It counts the calls."""

    kind, names = "fake", ("file_name",)

    def __init__(self, chunks: Callable[[], Iterator[bytes]] = lambda: iter([b"content"])) -> None:
        super().__init__()
        self.make, self.calls, self.fails = chunks, 0, False
        self.source: Source | None = None
        #: What happens while the name of an item is read.
        self.meanwhile: Callable[[], object] = lambda: None

    def _ask(self) -> None:
        self.calls += 1
        if self.fails:
            raise ConnectorUnavailable(f"{CANARY} is in this message")

    def check(self, locator: str) -> None:
        self._ask()

    def list(self, locator: str, *, after: str | None = None, limit: int = 100, prefix: str = "") -> Listing:
        self._ask()
        return Listing((), None)

    def stat(self, locator: str, item_id: str) -> Item:
        self.calls += 1
        self.meanwhile()
        return Item(item_id, item_id, CANARY, "document", 7, None, "text/plain")

    def open(self, locator: str, item_id: str, *, part: str | None = None) -> Stream:
        self._ask()
        self.source = Source(self.make())
        return Stream(filename="x", media_type="text/plain", size=None, source=self.source)


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Fake], Fake]:
    def install(fake: Fake) -> Fake:
        monkeypatch.setattr(content, "connector_for", lambda name: fake)
        return fake

    return install


def _looks(grant: Grant) -> list[str]:
    return list(ContentAccess.objects.filter(grant=grant).order_by("at", "pk").values_list("kind", flat=True))


def _events(grant: Grant) -> list[str]:
    return events_of(grant.access_request_id)[len(OPENING) :]


def _read(cast: Cast, grant: Grant, *, by: str = "priya", resource: Resource | None = None, item: str = "") -> Any:
    resource = resource or cast.resource()
    return content.read_message(grant.pk, resource.pk, item or mail_id(), actor=cast.as_(by))


def _stream(cast: Cast, grant: Grant) -> tuple[Iterator[bytes], Any]:
    actor = cast.as_("priya")
    _access, item, stream = content.open_item(grant.pk, cast.resource().pk, "x", actor=actor)
    return content.guarded(_access, stream, actor=actor, item_id=item.id), stream


# --- What a window allows ------------------------------------------------------------------------------------


def test_a_list_is_recorded_when_it_is_asked_for_and_when_it_is_given(cast: Cast) -> None:
    grant = cast.opened()
    _access, listing = content.list_items(grant.pk, cast.resource().pk, actor=cast.as_("priya"))
    assert [item.id for item in listing.items] == [mail_id()]
    assert _access.grant == grant
    assert _events(grant) == ["content.list_asked", "content.listed"]
    assert ContentAccess.objects.get(kind="listed").count == 1


def test_a_name_that_is_listed_four_times_counts_once(cast: Cast) -> None:
    grant = cast.opened()
    for _again in range(4):
        content.list_items(grant.pk, cast.resource().pk, actor=cast.as_("priya"))
    assert [look.count for look in ContentAccess.objects.filter(kind="listed")] == [1, 1, 1, 1]
    assert access.seen_resources([grant.pk])[grant.pk]["listed"] == 1
    other = cast.opened()
    content.list_items(other.pk, cast.resource().pk, actor=cast.as_("priya"))
    assert access.seen_resources([other.pk])[other.pk]["listed"] == 1, "the next window counts anew"


def test_the_previous_version_can_still_record_accesses_during_an_upgrade(cast: Cast) -> None:
    grant = cast.opened()
    content.list_items(grant.pk, cast.resource().pk, actor=cast.as_("priya"))
    table, added = ContentAccess._meta.db_table, {"new_names", "listed_ids", "id"}
    columns = ", ".join(field.column for field in ContentAccess._meta.concrete_fields if field.column not in added)
    with connection.cursor() as cursor:
        # The earlier version does not know the new columns.
        cursor.execute(
            f"INSERT INTO {table} (id, {columns}) SELECT %s, {columns} FROM {table} WHERE kind = 'listed'",  # noqa: S608 - both names are this test's
            [ContentAccess._meta.pk.get_db_prep_value(uuid4(), connection)],
        )
    rows = ContentAccess.objects.filter(kind="listed").order_by("new_names")
    assert [(row.new_names, len(row.listed_ids)) for row in rows] == [(0, 0), (1, 16)]
    assert access.seen_resources([grant.pk])[grant.pk]["listed"] == 2, "better a name too many than one that is missing"


def test_an_opened_message_is_named_by_its_message_id(cast: Cast) -> None:
    grant = cast.opened()
    _access, message = _read(cast, grant)
    assert CANARY in message.headers["Subject"]
    assert _events(grant) == ["content.opened"]
    look = ContentAccess.objects.get()
    assert (look.item_ref, look.item_id) == ("<invoice-1@wideworld.example>", mail_id())
    assert (look.tenant_id, look.resource_id) == (grant.tenant_id, cast.resource().pk)


def test_neither_subject_nor_text_is_in_the_log_or_the_outbox(cast: Cast) -> None:
    grant = cast.opened()
    content.list_items(grant.pk, cast.resource().pk, actor=cast.as_("priya"))
    _read(cast, grant)
    _access, _item, stream = content.open_item(
        grant.pk, cast.resource().pk, mail_id(), actor=cast.as_("priya"), part="2"
    )
    stream.close()
    operations.release(grant.access_request_id, actor=cast.as_("priya"))
    canary = CANARY.encode()
    assert AuditEntry.objects.count() == 5 + 4 + 1  # a taken ticket, three steps, entries of four accesses, the end
    assert not any(canary in bytes(entry.canonical) for entry in AuditEntry.objects.all())
    assert not ContentAccess.objects.filter(item_ref__contains=CANARY).exists()
    assert not any(CANARY in str(row.payload) for row in OutboxMessage.objects.all())


def test_a_stream_ends_with_the_item_and_is_closed(cast: Cast, use: Callable[[Fake], Fake]) -> None:
    fake = use(Fake(lambda: iter([b"a", b"b"])))
    chunks, _ = _stream(cast, cast.opened())
    assert list(chunks) == [b"a", b"b"]
    assert fake.source is not None
    assert fake.source.is_closed


# --- What a window does not allow ----------------------------------------------------------------------------


def test_another_engineer_of_the_queue_gets_nothing_and_is_in_the_log(cast: Cast, use: Callable[[Fake], Fake]) -> None:
    fake, grant = use(Fake()), cast.opened()
    with pytest.raises(NotAllowed):
        _read(cast, grant, by="erik")
    assert (_events(grant), _looks(grant), fake.calls) == (["act.refused"], [], 0)


@pytest.mark.parametrize("name", ["ada", "mia", "pat", "stella"])
def test_nobody_but_the_engineer_reads_under_the_grant(cast: Cast, name: str) -> None:
    grant = cast.opened()
    with pytest.raises(NotAllowed):
        _read(cast, grant, by=name)
    assert (_events(grant), _looks(grant)) == (["act.refused"], [])


@pytest.mark.parametrize("name", ["samir", "frida"])
def test_outsiders_find_no_window(cast: Cast, name: str) -> None:
    grant = cast.opened()
    with pytest.raises(NotFound):
        _read(cast, grant, by=name)
    assert (_events(grant), _looks(grant)) == ([], [])


@pytest.mark.parametrize("other", ["sales", "legal"])
def test_a_resource_that_was_not_asked_for_is_not_covered(cast: Cast, other: str, use: Callable[[Fake], Fake]) -> None:
    fake, grant = use(Fake()), cast.opened()
    with pytest.raises(NotCovered):
        _read(cast, grant, resource=cast.resource(name=other))
    assert (_events(grant), _looks(grant), fake.calls) == (["act.refused"], [], 0)


def test_a_resource_of_a_queue_that_the_engineer_is_not_in_looks_missing(cast: Cast) -> None:
    grant, other = cast.opened(), cast.resource(name="sales")
    Resource.objects.filter(pk=other.pk).update(service=cast.sharepoint)
    QueueAssignment.objects.filter(person=cast.priya, service=cast.sharepoint).delete()
    with pytest.raises(NotFound):
        _read(cast, grant, resource=other)
    assert (_events(grant), _looks(grant)) == ([], [])


def test_another_tenants_resource_looks_missing(cast: Cast) -> None:
    grant = cast.opened()
    with pytest.raises(NotFound):
        _read(cast, grant, resource=cast.resource("fabrikam"))
    assert (_events(grant), _looks(grant)) == ([], [])


def test_what_an_engineer_may_do_is_read_under_the_lock_and_not_remembered(cast: Cast) -> None:
    """The actor was made before the role, the account or the second factor was taken away."""
    grant, resource, priya = cast.opened(), cast.resource(), cast.as_("priya")
    ways: list[tuple[Any, dict[str, Any], type[DomainError]]] = [
        (QueueAssignment.objects.filter(person=cast.priya), {"service": cast.sharepoint}, NotFound),
        (Person.objects.get_queryset().filter(pk=cast.priya.pk), {"is_active": False}, NotFound),
        (Person.objects.get_queryset().filter(pk=cast.priya.pk), {"totp_set_up_at": None}, SecondFactorRequired),
    ]
    QueueAssignment.objects.filter(person=cast.priya, service=cast.sharepoint).delete()
    for rows, change, refusal in ways:
        here = transaction.savepoint()
        rows.update(**change)
        with pytest.raises(refusal):
            operations.content.list_items(grant.pk, resource.pk, actor=priya)
        assert not ContentAccess.objects.exists()
        transaction.savepoint_rollback(here)
    operations.content.list_items(grant.pk, resource.pk, actor=priya)


def test_a_resource_that_was_switched_off_is_not_covered(cast: Cast) -> None:
    grant = cast.opened()
    Resource.objects.filter(pk=cast.resource().pk).update(is_active=False)
    with pytest.raises(NotCovered):
        _read(cast, grant)
    assert _looks(grant) == []


@pytest.mark.parametrize("change", [{"is_active": False}, {"ruled_out": "read"}])
def test_a_tenant_that_was_changed_while_the_act_waited_for_the_log_is_not_covered(
    cast: Cast, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    """The acts that change this also end the windows. Opening content does not depend on that."""
    grant, take_turn = cast.opened(), Step.take_turn

    def late(step: Step, log_id: UUID) -> Any:
        head = take_turn(step, log_id)
        Tenant.objects.filter(pk=grant.tenant_id).update(**change)
        return head

    monkeypatch.setattr(Step, "take_turn", late)
    with pytest.raises(NotCovered):
        operations.content.list_items(grant.pk, cast.resource().pk, actor=cast.as_("priya"))
    assert _looks(grant) == []


def test_a_window_on_names_opens_nothing(cast: Cast, use: Callable[[Fake], Fake]) -> None:
    grant = cast.opened(level="names")
    content.list_items(grant.pk, cast.resource().pk, actor=cast.as_("priya"))
    fake = use(Fake())
    for attempt in (_read, lambda cast, grant: _stream(cast, grant)):
        with pytest.raises(NotCovered):
            attempt(cast, grant)
    assert _looks(grant) == ["list_asked", "listed"]
    assert _events(grant) == ["content.list_asked", "content.listed", "act.refused", "act.refused"]
    assert fake.calls == 0


def test_a_window_for_viewing_shows_items_and_gives_no_file(cast: Cast, use: Callable[[Fake], Fake]) -> None:
    fake = use(Fake())
    grant, priya, mailbox = cast.opened(level="view"), cast.as_("priya"), cast.resource().pk
    content.list_items(grant.pk, mailbox, actor=priya)
    chunks, _stream_of_page = _stream(cast, grant)
    list(chunks)
    events, looks, calls = _events(grant), _looks(grant), fake.calls
    for part in (None, "2"):
        with pytest.raises(NotCovered, match="for viewing only"):
            content.download(grant.pk, mailbox, "x", actor=priya, part=part)
    assert _events(grant) == [*events, "act.refused", "act.refused"]
    assert (_looks(grant), fake.calls) == (looks, calls)


def test_a_window_gives_its_first_instant_and_not_its_last(cast: Cast, travel: Any) -> None:
    travel.freeze()
    grant = cast.opened()
    _read(cast, grant)
    travel.to(grant.closes_at)
    with pytest.raises(WindowNotOpen):
        _read(cast, grant)
    assert _events(grant) == ["content.opened", "act.refused"]


@pytest.mark.parametrize("end", ["release", "revoke"])
def test_a_window_that_was_closed_early_gives_nothing(cast: Cast, end: str, use: Callable[[Fake], Fake]) -> None:
    fake, grant = use(Fake()), cast.opened()
    by = {"release": "priya", "revoke": "ada"}[end]
    getattr(operations, end)(grant.access_request_id, actor=cast.as_(by))
    with pytest.raises(WindowNotOpen):
        _read(cast, grant)
    assert (_looks(grant), fake.calls) == ([], 0)


def test_a_window_that_is_closed_while_the_name_is_read_gives_nothing(cast: Cast, use: Callable[[Fake], Fake]) -> None:
    """The access is judged without locks before the name is read. When it is recorded, it is judged again."""
    fake, grant = use(Fake()), cast.opened()
    fake.meanwhile = partial(operations.revoke, grant.access_request_id, actor=cast.as_("ada"))
    with pytest.raises(WindowNotOpen):
        content.open_item(grant.pk, cast.resource().pk, "x", actor=cast.as_("priya"))
    assert (_looks(grant), fake.calls, fake.source) == ([], 1, None)
    assert _events(grant) == ["grant.revoked", "act.refused"]


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (lambda cast: QueueAssignment.objects.filter(person=cast.priya).delete(), NotFound),
        (lambda cast: Person.objects.get_queryset().filter(pk=cast.priya.pk).update(is_active=False), NotFound),
        (
            lambda cast: Person.objects.get_queryset().filter(pk=cast.priya.pk).update(totp_set_up_at=None),
            SecondFactorRequired,
        ),
        (lambda cast: Resource.objects.filter(pk=cast.resource().pk).update(is_active=False), NotCovered),
        (lambda cast: Tenant.objects.filter(pk=cast.contoso.pk).update(ruled_out="read"), NotCovered),
        # If the clock was set back, the log's time counts.
        (lambda cast: ChainHead.objects.update(last_at=clock.now() + timedelta(hours=9)), WindowNotOpen),
    ],
)
@pytest.mark.parametrize("is_before", [True, False])
def test_what_an_access_depends_on_is_read_before_the_name_and_again_when_it_is_recorded(
    cast: Cast,
    use: Callable[[Fake], Fake],
    change: Callable[[Cast], object],
    refusal: type[DomainError],
    is_before: bool,
) -> None:
    fake, grant, priya = use(Fake()), cast.opened(), cast.as_("priya")
    if is_before:
        change(cast)
    else:
        fake.meanwhile = partial(change, cast)
    with pytest.raises(refusal):
        content.open_item(grant.pk, cast.resource().pk, "x", actor=priya)
    assert (_looks(grant), fake.calls, fake.source) == ([], 0 if is_before else 1, None)
    # A row that the engineer can't see any more has no entry.
    assert _events(grant) == ([] if refusal is NotFound else ["act.refused"])


def test_a_ticket_that_ended_gives_nothing_though_its_window_were_open(cast: Cast) -> None:
    ticket = cast.ticket()
    grant = cast.opened(ticket=ticket)
    Ticket.objects.filter(pk=ticket.pk).update(state="RESOLVED")
    with pytest.raises(WindowNotOpen):
        _read(cast, grant)
    assert _looks(grant) == []


@pytest.mark.parametrize(
    ("item", "error"),
    [
        ("1699999999.M9.host", NotFound),
        ("../sales/1.M1.host", NotCovered),
        ("/etc/passwd", NotCovered),
        (mail_id().upper(), NotFound),
    ],
)
def test_a_missing_item_fails_with_an_entry(cast: Cast, item: str, error: type[Exception]) -> None:
    grant = cast.opened()
    with pytest.raises(error):
        _read(cast, grant, item=item)
    assert _looks(grant) == ["failed"]
    assert _events(grant) == ["content.failed"]


def test_a_bad_cursor_is_refused_after_the_question_was_recorded(cast: Cast) -> None:
    grant = cast.opened()
    with pytest.raises(Malformed):
        content.list_items(grant.pk, cast.resource().pk, actor=cast.as_("priya"), after="\x00nonsense")
    assert _looks(grant) == ["list_asked", "failed"]


def test_a_system_that_fails_is_logged_without_its_words(cast: Cast, use: Callable[[Fake], Fake]) -> None:
    fake, grant = use(Fake()), cast.opened()
    fake.fails = True
    with pytest.raises(ContentUnavailable) as refusal:
        content.open_item(grant.pk, cast.resource().pk, "x", actor=cast.as_("priya"))
    assert CANARY not in str(refusal.value)
    assert _events(grant) == ["content.opened", "content.failed"]
    assert not any(CANARY.encode() in bytes(entry.canonical) for entry in AuditEntry.objects.all())


def test_a_system_that_fails_in_the_middle_is_logged(cast: Cast, use: Callable[[Fake], Fake]) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"a"
        raise ConnectorUnavailable("gone")

    use(Fake(chunks))
    grant = cast.opened()
    stream, _ = _stream(cast, grant)
    assert next(stream) == b"a"
    with pytest.raises(ConnectorUnavailable):
        next(stream)
    assert _events(grant) == ["content.opened", "content.failed"]


# --- The witness ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("look", ["list", "open"])
def test_if_no_entry_can_be_written_nothing_is_read(
    cast: Cast, look: str, use: Callable[[Fake], Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake, grant = use(Fake()), cast.opened()

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("disk is full")

    monkeypatch.setattr(recorder, "record", refuse)
    question = content.list_items if look == "list" else partial(content.open_item, item_id="x")
    with pytest.raises(StoreUnavailable):
        question(grant.pk, cast.resource().pk, actor=cast.as_("priya"))
    assert fake.source is None  # never opened
    assert fake.calls == (0 if look == "list" else 1)  # only the item's name was read, and it is not returned
    assert (_looks(grant), _events(grant)) == ([], [])


# --- A stream ends with its window -----------------------------------------------------------------------------


def test_a_revoke_cuts_a_stream_within_a_second(cast: Cast, use: Callable[[Fake], Fake]) -> None:
    grant = cast.opened()
    given: list[int] = []

    def endless() -> Iterator[bytes]:
        for n in range(1000):
            if n == 3:
                operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
            time.sleep(0.01)
            given.append(n)
            yield b"x"

    fake = use(Fake(endless))
    chunks, _ = _stream(cast, grant)
    with pytest.raises(WindowClosed):
        for _ in chunks:
            pass
    # The product promises one second, and checks the window four times in this second.
    assert streams.RECHECK_SECONDS <= 0.25
    assert len(given) < 3 + streams.RECHECK_SECONDS / 0.01 + 3
    assert _events(grant) == ["content.opened", "grant.revoked", "content.cut"]
    assert fake.source is not None
    assert fake.source.is_closed


def test_a_slow_source_gives_nothing_more_once_the_window_is_closed(cast: Cast, use: Callable[[Fake], Fake]) -> None:
    grant = cast.opened()

    def slow() -> Iterator[bytes]:
        yield b"before"
        operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
        time.sleep(streams.RECHECK_SECONDS + 0.05)
        yield b"after"

    use(Fake(slow))
    chunks, _ = _stream(cast, grant)
    assert next(chunks) == b"before"
    with pytest.raises(WindowClosed):
        next(chunks)
    assert _looks(grant) == ["opened", "cut"]


def test_the_end_of_the_window_cuts_a_stream_by_a_clock_that_nobody_sets_back(
    cast: Cast, use: Callable[[Fake], Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    grant = cast.opened()
    present = [1000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: present[0])
    # The end of the window is known from the start, so the database is not asked for it.
    monkeypatch.setattr(streams, "live", lambda grant_ids: set(grant_ids))

    def chunks() -> Iterator[bytes]:
        yield b"a"
        present[0] += (grant.closes_at - grant.opens_at).total_seconds()
        yield b"b"

    use(Fake(chunks))
    stream, _ = _stream(cast, grant)
    assert next(stream) == b"a"
    with pytest.raises(WindowClosed):
        next(stream)
    assert _looks(grant) == ["opened", "cut"]


def test_a_database_that_does_not_answer_counts_as_closed(
    cast: Cast, use: Callable[[Fake], Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(Fake(lambda: iter([b"a"])))
    grant = cast.opened()
    chunks, _ = _stream(cast, grant)

    def refuse(*args: Any) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(type(Grant.objects.get_queryset()), "live", refuse)
    with pytest.raises(WindowClosed):
        next(chunks)


def test_a_reader_who_goes_away_leaves_nothing_open(cast: Cast, use: Callable[[Fake], Fake]) -> None:
    fake = use(Fake(lambda: iter([b"a", b"b"])))
    chunks, _ = _stream(cast, cast.opened())
    next(chunks)
    chunks.close()  # type: ignore[attr-defined]  # a generator
    assert fake.source is not None
    assert fake.source.is_closed


# --- Downloads: their number, and their end --------------------------------------------------------------------


def _download(cast: Cast, grant: Grant) -> Iterator[bytes]:
    _stream, chunks = content.download(grant.pk, cast.resource().pk, "x", actor=cast.as_("priya"))
    return chunks


@pytest.fixture
def _no_streams() -> Iterator[None]:
    yield
    assert streams.look_at_all() is False, "every stream of the test has ended"


@pytest.mark.usefixtures("_no_streams")
def test_a_third_download_under_one_window_is_refused_before_anything_is_asked(
    cast: Cast, use: Callable[[Fake], Fake]
) -> None:
    fake, grant = use(Fake(lambda: iter([b"a", b"b"]))), cast.opened()
    first, second = _download(cast, grant), _download(cast, grant)
    assert (next(first), next(second)) == (b"a", b"a")
    before = fake.calls
    with pytest.raises(TooMany, match="running in this access window"):
        _download(cast, grant)
    assert fake.calls == before
    assert _looks(grant) == ["downloaded", "downloaded"]
    assert _events(grant) == ["content.downloaded", "content.downloaded", "act.refused"]
    assert list(first) == [b"b"]
    third = _download(cast, grant)
    for chunks in (second, third):
        list(chunks)
    assert _looks(grant) == ["downloaded"] * 3


@pytest.mark.usefixtures("_no_streams")
def test_downloads_hold_a_quarter_of_the_streams_at_most(
    cast: Cast, use: Callable[[Fake], Fake], settings: Any
) -> None:
    use(Fake(lambda: iter([b"a", b"b"])))
    settings.WEB_STREAMS = 12
    grants = [cast.opened() for _ in range(4)]
    running = [_download(cast, grant) for grant in grants[:3]]
    for chunks in running:
        next(chunks)
    with pytest.raises(TooMany, match="are running at the moment"):
        _download(cast, grants[3])
    assert _events(grants[3]) == ["act.refused"]
    running.pop().close()  # type: ignore[attr-defined]  # a generator
    list(_download(cast, grants[3]))
    for chunks in running:
        list(chunks)


@pytest.mark.usefixtures("_no_streams")
def test_a_download_that_fails_to_open_leaves_its_place(cast: Cast, use: Callable[[Fake], Fake]) -> None:
    fake, grant = use(Fake()), cast.opened()
    fake.fails = True
    for _ in range(3):
        with pytest.raises(ContentUnavailable):
            _download(cast, grant)


@pytest.mark.usefixtures("_no_streams")
def test_a_text_is_read_beside_two_downloads(cast: Cast, use: Callable[[Fake], Fake]) -> None:
    """The server reads a text completely before it sends it, so a text does not count as a running download."""
    use(Fake(lambda: iter([b"a", b"b"])))
    grant = cast.opened()
    running = [_download(cast, grant), _download(cast, grant)]
    for chunks in running:
        next(chunks)
    text, _ = _stream(cast, grant)
    assert list(text) == [b"a", b"b"]
    for chunks in running:
        list(chunks)


@pytest.mark.usefixtures("_no_streams")
def test_a_stream_that_nobody_reads_is_cut_by_the_watch_and_once(cast: Cast, use: Callable[[Fake], Fake]) -> None:
    fake, grant = use(Fake(lambda: iter([b"a", b"b"]))), cast.opened()
    chunks = _download(cast, grant)
    assert next(chunks) == b"a"
    assert streams.look_at_all()
    assert _looks(grant) == ["downloaded"]
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    for _ in range(2):
        assert streams.look_at_all()
    assert _events(grant) == ["content.downloaded", "grant.revoked", "content.cut"]
    with pytest.raises(WindowClosed):
        next(chunks)
    assert _looks(grant) == ["downloaded", "cut"]
    assert fake.source is not None
    assert fake.source.is_closed


@pytest.mark.usefixtures("_no_streams")
def test_a_stream_that_has_ended_is_not_cut(cast: Cast, use: Callable[[Fake], Fake]) -> None:
    use(Fake(lambda: iter([b"a"])))
    grant = cast.opened()
    assert list(_download(cast, grant)) == [b"a"]
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    streams.look_at_all()
    assert _looks(grant) == ["downloaded"]


@pytest.mark.usefixtures("_no_streams")
def test_a_cut_that_cannot_be_written_gives_nothing_more_and_is_written_later(
    cast: Cast, use: Callable[[Fake], Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(Fake(lambda: iter([b"a", b"b"])))
    grant = cast.opened()
    chunks = _download(cast, grant)
    assert next(chunks) == b"a"
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("disk is full")

    with monkeypatch.context() as full:
        full.setattr(recorder, "record", refuse)
        with capture_logs() as logs:
            assert streams.look_at_all()
        assert [line["event"] for line in logs] == ["cut_not_recorded"]
        with pytest.raises(StoreUnavailable):
            next(chunks)
    assert _looks(grant) == ["downloaded"]
    assert streams.look_at_all(), "what is not in the log yet is not forgotten"
    assert _events(grant) == ["content.downloaded", "grant.revoked", "content.cut"]


# --- Resources that are stored in another way ------------------------------------------------------------------


def test_compressed_mail_is_read_like_any_other(cast: Cast, settings: Any) -> None:
    [file] = (Path(settings.CONTENT_ROOT) / "contoso/mail/finance/cur").iterdir()
    file.write_bytes(gzip.compress(file.read_bytes()))
    grant = cast.opened()
    _access, listing = content.list_items(grant.pk, cast.resource().pk, actor=cast.as_("priya"))
    assert [item.title for item in listing.items] == [f"{CANARY} invoice"]
    _access, message = _read(cast, grant)
    assert f"The invoice of {CANARY}" in message.text or CANARY in message.html
    assert _events(grant) == ["content.list_asked", "content.listed", "content.opened"]


def test_a_link_and_what_can_not_be_read_are_refused_with_their_reason(cast: Cast, settings: Any) -> None:
    root, grant = Path(settings.CONTENT_ROOT) / "contoso/mail", cast.opened()
    [file] = (root / "finance/cur").iterdir()
    file.write_bytes(b"\x28\xb5\x2f\xfd" + bytes(64))
    with pytest.raises(Unacceptable, match="stored in a format that can’t be read here"):
        _read(cast, grant)
    (root / "finance").rename(root / "elsewhere")
    (root / "finance").symlink_to(root / "elsewhere")
    with pytest.raises(NotCovered, match="a link to another file or folder"):
        content.list_items(grant.pk, cast.resource().pk, actor=cast.as_("priya"))
    failed = AuditEntry.objects.filter(event="content.failed").order_by("seq")
    codes = [json.loads(bytes(entry.canonical))["detail"]["code"] for entry in failed]
    assert codes == ["item_unreadable", "link_refused"]
