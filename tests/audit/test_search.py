"""The search of a log by words: it finds all that contains them, with and without its index, on both databases."""

from __future__ import annotations

import datetime as dt
import random
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import assume, given
from hypothesis import strategies as st

from audit_app import checkpoints, pruning, recorder, search, search_index, search_terms
from audit_app.models import AuditEntry, ChainHead, IndexedSegment, IndexPart
from audit_app.search_terms import Words, facts, folded, slots_of, terms
from tests.audit import care
from tests.audit.test_checkpoints import AT, TENANT, append

SEGMENT = 64
REQUEST = UUID(int=9)
NAMES = ("Priya Nair", "José Müller", "Zoë Ivanova", "王伟", "İpek Yılmaz", "Client 7")
EVENTS = ("ticket.opened", "content.opened", "act.refused")

#: What people type, and texts that contain it and that do not. A search in the database with `icontains` found all of
#: the first kind, too, unless it is said here.
CASES: list[tuple[str, list[str], list[str]]] = [
    ("10.0.0.7", ["open 10.0.0.7 refused", "from 10.0.0.77"], ["10.0.7.1", "10.0.1.7"]),
    ("AR-2026-000123", ["AR-2026-000123 Mailbox", "see (AR-2026-000123)."], ["AR-2026-000124", "AR-2026-00123"]),
    ("ar-7k2m-q4xd", ["AR-7K2M-Q4XD Mailbox of Mia"], ["AR-7K2M-Q4XE"]),
    ("t-1234", ["T-1234 The index skips"], ["T-1243"]),
    ("legal@contoso.example", ["Legal@Contoso.example joined"], ["legal@fabrikam.example"]),
    ("counsel@contoso", ["counsel@contoso.example"], ["counsel"]),
    ("contoso/mail/legal", ["a contoso/mail/legal b"], ["contoso/mail"]),
    ("OPS-77-b", ["ticket ops-77-B is open"], ["OPS-77"]),
    ("voice", ["Invoices of May"], ["voi ce"]),
    ("INVOICES", ["invoices"], ["invoice"]),
    ("ma", ["Mailbox", "karma"], ["m a"]),
    ("7", ["Client 7", "x7y"], ["eight"]),
    ("user 42", ["user 42", "42nd user"], ["user 4 2"]),
    ('"user 42"', ["the USER  42 asked"], ["42 user", "user: 42"]),
    ('5" disk', ['the 5" disk'], ["5 disk"]),
    ("jose", ["José", "JOSE\u0301"], ["jos"]),
    ("José", ["jose", "JOSÉ"], ["jos"]),
    ("muller", ["Müller"], ["mueller"]),
    ("strasse", ["Straße"], ["strase"]),
    ("istanbul", ["İstanbul", "ISTANBUL", "ıstanbul"], ["stanbul"]),
    ("İSTANBUL", ["istanbul"], ["stanbul"]),
    ("会議", ["次の会議の資料"], ["会と議"]),
    ("メール", ["メールを開く"], ["メル"]),
    ("привет", ["ПРИВЕТ"], ["приве"]),
    ("100%", ["100% done"], ["100 done"]),
    ("a_b", ["x a_b y"], ["a-b", "acb"]),
    ("\\", ["C:\\mail"], ["C:/mail"]),
    ("e4d909c2", ["import e4d909c290d0fb1ca068ffaddf22cbd0"], ["e4d909"]),
]


@pytest.fixture(autouse=True)
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_index, "SEGMENT", SEGMENT)


def written(
    log: UUID, texts: list[str], *, name: Callable[[int], str] = lambda number: NAMES[number % len(NAMES)]
) -> list[AuditEntry]:
    entries = [
        recorder.Witnessed(
            tenant_id=log,
            event=EVENTS[number % len(EVENTS)],
            door="pages",
            actor={"kind": "person", "id": str(UUID(int=100 + number % 5)), "name": name(number), "side": "customer"},
            subject_type="ticket",
            subject_id="1",
            correlation_id=REQUEST if number % 7 == 0 else None,
            text=text,
        )
        for number, text in enumerate(texts)
    ]
    with transaction.atomic():
        return recorder.record(entries, at=AT)


def index(log: UUID | None = None) -> int:
    return search_index.work(lambda: False, tenant_id=log)


def found(log: UUID, words: Words, *, newest_first: bool = False, rows: Any = None, **bounds: int) -> list[int]:
    rows = AuditEntry.objects.filter(tenant_id=log) if rows is None else rows
    bounds = {"first": 0, "end": ChainHead.objects.get(pk=log).size} | bounds
    answer = search.find(rows, log, words, newest_first=newest_first, limit=10**6, most=10**9, **bounds)
    assert answer.edge is None
    return answer.numbers


def is_in(words: Words, text: str) -> bool:
    return words.compare(text, "")[0]


def plainly(texts: list[str], typed: str) -> list[int]:
    """Return what a search without any index finds."""
    wanted = [folded(term) for term in terms(typed)]
    return [number for number, text in enumerate(texts) if all(term in folded(text) for term in wanted)]


def prose(count: int, seed: int = 1) -> list[str]:
    dice = random.Random(seed)
    parts = [text for _typed, those, others in CASES for text in (*those, *others)]
    return [" ".join(dice.choice(parts) for _ in range(dice.randrange(1, 4))) for _ in range(count)]


def rows_of_index() -> list[tuple[UUID, int, bytes]]:
    rows = IndexPart.objects.order_by("tenant_id", "segment", "part").values_list("tenant_id", "part", "bits")
    return [(pk, part, bytes(bits)) for pk, part, bits in rows]


# --- What matches --------------------------------------------------------------------------------------------


def test_what_is_typed_finds_the_texts_that_contain_it() -> None:
    wrong = [
        (typed, text)
        for typed, those, others in CASES
        for text in (*those, *others)
        if is_in(Words(text=terms(typed)), text) != (text in those)
    ]
    assert wrong == []


@pytest.mark.django_db
def test_everything_that_the_database_finds_by_itself_is_found() -> None:
    """Before there was an index, the database looked for all that was typed as one part of the text."""
    log = uuid4()
    written(log, [text for _typed, those, others in CASES for text in (*those, *others)] + prose(2 * SEGMENT))
    index()
    rows = AuditEntry.objects.filter(tenant_id=log)
    compared = 0
    for typed, _those, _others in CASES:
        old = set(rows.filter(text__icontains=typed).values_list("seq", flat=True))
        assert old <= set(found(log, Words(text=terms(typed)))), typed
        compared += len(old)
    assert compared > 100


@given(st.text(max_size=40))
def test_a_folded_text_stays_as_it_is(text: str) -> None:
    assert folded(folded(text)) == folded(text)


#: Marks that are typed without their letter are no part of a word.
LETTERS = st.text(st.characters(exclude_categories=["Cs", "Mn", "Mc", "Me"]), max_size=20)


@given(LETTERS, LETTERS, LETTERS)
def test_what_is_typed_as_it_is_written_is_found(before: str, part: str, after: str) -> None:
    assume(folded(part))
    words = Words(text=terms(part))
    text = before + part + after
    assert is_in(words, text)
    assert is_in(words, text.upper()) or not text.isascii()
    assert set(words.slots()) <= slots_of(text, "", ())[0]


@given(st.text(max_size=30))
def test_terms_are_never_empty_strings(typed: str) -> None:
    assert all(terms(typed))
    assert bool(terms(typed)) == bool(typed.strip())


# --- With the index and without ------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("newest_first", [False, True])
def test_the_index_changes_no_result(newest_first: bool) -> None:
    log, other = uuid4(), uuid4()
    texts = prose(4 * SEGMENT + 17)
    written(log, texts)
    written(other, prose(2 * SEGMENT, seed=2))
    for state in ("nothing", "the newest", "all", "holes"):
        if state == "the newest":
            assert search_index.build(log, 3)
        elif state == "all":
            assert index() == 5
        elif state == "holes":
            search_index.forget(log, {1})
        for typed, _those, _others in [*CASES, ("nowhere", [], []), ("nowhere else", [], [])]:
            expected = plainly(texts, typed)
            numbers = found(log, Words(text=terms(typed)), newest_first=newest_first)
            assert numbers == (expected[::-1] if newest_first else expected), (state, typed)


@pytest.mark.django_db
def test_a_search_combines_words_names_and_filters() -> None:
    log = uuid4()
    texts = prose(5 * SEGMENT)
    written(log, texts)
    index()
    rows = AuditEntry.objects.filter(tenant_id=log)
    for typed, name, event in [
        ("ma", "", EVENTS[1]),
        ("", "muller", ""),
        ("user", "ivanova", EVENTS[2]),
        ("7", "王", ""),
    ]:
        narrowed = rows.filter(event=event, correlation_id=REQUEST) if event else rows
        words = Words(text=terms(typed), name=terms(name), facts=facts(event=event))
        expected = [
            row.seq
            for row in narrowed.order_by("seq")
            if row.seq in plainly(texts, typed) and folded(name) in folded(row.actor_name)
        ]
        assert expected, "the case finds something"
        assert found(log, words, rows=narrowed) == expected
        assert found(log, replace(words, are_few=True), rows=narrowed) == expected
        assert found(log, words, rows=narrowed, first=70, end=200) == [seq for seq in expected if 70 <= seq < 200]


@pytest.mark.django_db
def test_pages_that_follow_each_other_have_every_entry_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "AT_FIRST", 3)
    monkeypatch.setattr(search, "AT_ONCE", 10)
    log = uuid4()
    texts = prose(6 * SEGMENT + 5)
    written(log, texts)
    index()
    rows, words = AuditEntry.objects.filter(tenant_id=log), Words(text=terms("ma"))
    for most in (1, 15, 10_000):
        seen: list[int] = []
        end = len(texts)
        while True:
            some = search.find(rows, log, words, first=0, end=end, newest_first=True, limit=7, most=most)
            seen += some.numbers
            if some.edge is None and len(some.numbers) < 7:
                break
            end = seen[-1] if len(some.numbers) == 7 else some.edge or 0
        assert seen == plainly(texts, "ma")[::-1]
        seen, first = [], 0
        while True:
            some = search.find(rows, log, words, first=first, end=len(texts), newest_first=False, limit=7, most=most)
            seen += some.numbers
            if some.edge is None and len(some.numbers) < 7:
                break
            first = seen[-1] + 1 if len(some.numbers) == 7 else some.edge or 0
        assert seen == plainly(texts, "ma")


@pytest.mark.django_db
def test_an_entry_is_found_as_soon_as_it_is_written() -> None:
    log = uuid4()
    written(log, ["needle"])
    assert found(log, Words(text=("needle",))) == [0]
    assert not IndexedSegment.objects.exists()


@pytest.mark.django_db
def test_the_index_is_never_believed() -> None:
    """Even an index of wrong bits shows no entry without the words: each entry's own text decides."""
    log = uuid4()
    written(log, ["hay"] * SEGMENT)
    index()
    every = b"\xff" * (SEGMENT // 8 * 4)
    IndexPart.objects.update(bits=zlib.compress(every, 1, -15))
    assert found(log, Words(text=("hay",))) == list(range(SEGMENT))
    assert found(log, Words(text=("hey",))) == []


@pytest.mark.django_db
@pytest.mark.parametrize("newest_first", [False, True])
def test_an_index_that_is_deleted_or_made_again_during_a_search_changes_no_result(
    newest_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = uuid4()
    texts = prose(6 * SEGMENT)
    written(log, texts)
    index()
    expected = plainly(texts, "ma")
    read = search._Index._read

    def make_again(pk: Any) -> None:
        search_index.forget_all(pk)
        index(pk)

    for change in (search_index.forget_all, make_again):

        def _read(self: Any, segments: list[int], slots: list[int], change: Any = change) -> Any:
            change(log)
            return {} if change is search_index.forget_all else read(self, segments, slots)

        with monkeypatch.context() as patched:
            patched.setattr(search._Index, "_read", _read)
            numbers = found(log, Words(text=("ma",)), newest_first=newest_first)
        assert numbers == (expected[::-1] if newest_first else expected)
        index()


# --- The work ------------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_only_full_segments_are_indexed_and_each_once() -> None:
    log, short = uuid4(), uuid4()
    written(log, prose(2 * SEGMENT + 1))
    written(short, prose(SEGMENT - 1))
    assert search_index.has_new_work()
    assert search_index.due() == [log]
    assert index() == 2
    assert not search_index.has_new_work()
    assert (search_index.due(), index()) == ([], 0)
    assert set(IndexedSegment.objects.values_list("tenant_id", "segment")) == {(log, 0), (log, 1)}
    assert search_index.build(log, 1) is False, "another worker has done this"
    assert IndexedSegment.objects.count() == 2


@pytest.mark.django_db
def test_the_newest_segments_come_first_and_the_logs_take_turns() -> None:
    logs = sorted([uuid4(), uuid4()])
    for log in logs:
        written(log, prose(2 * SEGMENT))
    left = [3]

    def is_over() -> bool:
        left[0] -= 1
        return left[0] < 0

    assert search_index.work(is_over) == 3
    (first, newest), (second, also_newest), third = IndexedSegment.objects.order_by("pk").values_list(
        "tenant_id", "segment"
    )
    assert ({first, second}, newest, also_newest, third) == (set(logs), 1, 1, (first, 0))
    assert index() == 1


@pytest.mark.django_db
def test_a_log_that_fails_stops_no_other_log(monkeypatch: pytest.MonkeyPatch) -> None:
    logs = [uuid4() for _ in range(4)]
    for log in logs:
        written(log, prose(2 * SEGMENT))
    parts = search_index._parts

    def fail(tenant_id: UUID, *more: Any) -> Any:
        if tenant_id == logs[1]:
            raise RuntimeError("a fault of this log")
        return parts(tenant_id, *more)

    with monkeypatch.context() as patched:
        patched.setattr(search_index, "_parts", fail)
        with pytest.raises(RuntimeError, match="a fault of this log"):
            index()
    done = Counter(IndexedSegment.objects.values_list("tenant_id", flat=True))
    assert done == {log: 2 for log in logs if log != logs[1]}
    assert index() == 2


@pytest.mark.django_db
def test_a_log_that_ends_the_process_each_time_stops_no_other_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that takes too long is killed. Another log is the first one in the next run."""
    logs = [uuid4() for _ in range(3)]
    for log in logs:
        written(log, prose(SEGMENT))
    parts = search_index._parts

    class _Killed(BaseException):
        pass

    def kill(tenant_id: UUID, *more: Any) -> Any:
        if tenant_id == logs[0]:
            raise _Killed
        return parts(tenant_id, *more)

    monkeypatch.setattr(search_index, "_parts", kill)
    orders = iter([logs, [logs[1], logs[0], logs[2]], [logs[2], logs[0]]])
    monkeypatch.setattr(
        search_index._CHANCE, "sample", lambda found, _count: [pk for pk in next(orders) if pk in found]
    )
    for _ in range(3):
        with pytest.raises(_Killed):
            index()
    assert set(IndexedSegment.objects.values_list("tenant_id", flat=True)) == set(logs[1:])


@pytest.mark.django_db
def test_an_index_of_another_form_is_made_again_and_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    log = uuid4()
    written(log, prose(SEGMENT))
    index()
    IndexPart.objects.all().delete()
    IndexedSegment.objects.update(form="0 of long ago")
    assert found(log, Words(text=("ma",))) == plainly(prose(SEGMENT), "ma")
    assert index() == 1
    assert IndexedSegment.objects.get().form == search_index.FORM
    assert IndexPart.objects.exists()


@pytest.mark.django_db
def test_the_index_can_be_deleted_and_is_made_again() -> None:
    log, other = uuid4(), uuid4()
    for each in (log, other):
        written(each, prose(SEGMENT))
    index()
    before = rows_of_index()
    search_index.forget_all(log)
    assert {row.tenant_id for row in IndexPart.objects.all()} == {other}
    search_index.forget_all()
    assert not IndexPart.objects.exists()
    assert index() == 2
    assert rows_of_index() == before


@pytest.mark.django_db
def test_a_crash_leaves_no_half_of_a_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    log = uuid4()
    written(log, prose(SEGMENT))

    def fail(*_: object, **__: object) -> Iterator[None]:
        raise RuntimeError("killed")

    with monkeypatch.context() as patched:
        patched.setattr(search_index, "_pruned_to", lambda *_, is_locked=False: fail() if is_locked else 0)
        with pytest.raises(RuntimeError):
            index()
    assert not IndexedSegment.objects.exists()
    assert not IndexPart.objects.exists()
    assert index() == 1


@pytest.mark.django_db
def test_words_that_are_removed_while_their_segment_is_indexed_are_not_in_the_index(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = uuid4()
    written(log, prose(SEGMENT))
    parts = search_index._parts

    def prune_meanwhile(tenant_id: UUID, segment: int, pruned_to: int) -> Any:
        made = parts(tenant_id, segment, pruned_to)
        ChainHead.objects.filter(pk=log).update(unsigned_since=None)
        monkeypatch.setattr(search_index, "_pruned_to", lambda *_, is_locked=False: 5 if is_locked else 0)
        return made

    monkeypatch.setattr(search_index, "_parts", prune_meanwhile)
    assert search_index.build(log, 0) is False
    assert not IndexPart.objects.exists()


@pytest.mark.django_db
def test_words_whose_removal_is_allowed_are_not_indexed_although_their_entries_are_still_there() -> None:
    """A removal between the reading of the entries and the commit would not find the segment, and move nothing."""
    append(3 * SEGMENT)
    checkpoints.sign(TENANT, at=AT)
    wanted = pruning.plan(TENANT, before=AT + dt.timedelta(days=1), keep=[])
    assert wanted is not None
    with transaction.atomic():
        recorder.lock(TENANT)
        assert pruning.allow(wanted)
        care.say(TENANT, "log.pruned", wanted.entry_detail, at=AT)
    assert index() == 3
    assert AuditEntry.objects.filter(seq__gte=SEGMENT, seq__lt=2 * SEGMENT).count() == SEGMENT
    assert not IndexPart.objects.filter(segment=1).exists()


@pytest.mark.django_db
def test_the_words_of_removed_entries_are_removed_from_the_index() -> None:
    log = TENANT
    append(3 * SEGMENT)
    checkpoints.sign(log, at=AT)
    index()
    wanted = pruning.plan(log, before=AT + dt.timedelta(days=1), keep=[])
    assert wanted is not None
    with transaction.atomic():
        recorder.lock(log)
        assert pruning.allow(wanted)
        care.say(log, "log.pruned", wanted.entry_detail, at=AT)
    while pruning.remove(log, limit=SEGMENT + 3):
        assert not IndexPart.objects.filter(segment__lt=AuditEntry.objects.order_by("seq")[0].seq // SEGMENT).exists()
    assert not IndexPart.objects.exists()
    assert index() == 3
    # Only facts of the entry about the removal, and of entries that are always kept, are left.
    assert IndexPart.objects.filter(segment=1).count() == 0
    assert found(log, Words(text=terms("ar-"))) == []


def test_the_command_makes_the_index_of_one_log_or_of_all(db: None, capsys: pytest.CaptureFixture[str]) -> None:
    log, other = uuid4(), uuid4()
    for each in (log, other):
        written(each, prose(2 * SEGMENT))
    call_command("index_logs", "--tenant", str(log))
    assert capsys.readouterr().out == f"{2 * SEGMENT} entries indexed\n"
    assert {row.tenant_id for row in IndexedSegment.objects.all()} == {log}
    call_command("index_logs")
    assert IndexedSegment.objects.count() == 4
    old = set(IndexedSegment.objects.values_list("pk", flat=True))
    call_command("index_logs", "--again")
    assert IndexedSegment.objects.count() == 4
    assert not old & set(IndexedSegment.objects.values_list("pk", flat=True))
    with pytest.raises(CommandError) as caught:
        call_command("index_logs", "--tenant", str(uuid4()))
    assert caught.value.returncode == 2


@pytest.mark.django_db
def test_appending_writes_nothing_to_the_index() -> None:
    log = uuid4()
    written(log, prose(SEGMENT - 1))
    with CaptureQueriesContext(connection) as captured:
        written(log, ["the last one of a segment", "the first one of the next"])
    assert [query["sql"] for query in captured if "index" in query["sql"]] == []


# --- What it costs -------------------------------------------------------------------------------------------

#: This letter becomes 18 characters when it is folded.
LONGEST_LETTER = "\ufdfa"


@pytest.fixture
def lengths(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of characters of each text that is folded."""
    found: list[int] = []

    def counting(text: str) -> str:
        shown = folded(text)
        found.append(len(shown))
        return shown

    monkeypatch.setattr(search_terms, "folded", counting)
    return found


@pytest.mark.django_db
@pytest.mark.parametrize("newest_first", [False, True])
def test_a_page_compares_a_limited_number_of_characters(newest_first: bool, lengths: list[int]) -> None:
    log, size = uuid4(), 2 * SEGMENT
    written(log, [f"{LONGEST_LETTER * 2000} {number}" for number in range(size)])
    rows, words = AuditEntry.objects.filter(tenant_id=log), Words(text=("nowhere",))
    first, end, most = 0, size, 2 * search.AT_ONCE
    for _page in range(size):
        some = search.find(rows, log, words, first=first, end=end, newest_first=newest_first, limit=51, most=most)
        assert some.numbers == []
        assert sum(lengths) <= (most + search.AT_ONCE) * 128 + 2 * 36_010
        if some.edge is None:
            break
        assert sum(lengths) >= most * 128 - 36_010, "a page does what it may"
        del lengths[:]
        first, end = (first, some.edge) if newest_first else (some.edge, end)
    assert some.edge is None
    assert _page > 10


@pytest.mark.django_db
def test_a_segment_divides_a_limited_number_of_characters(lengths: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_index, "MOST_FOLDED", 40_000)
    monkeypatch.setattr(search_index, "_AT_ONCE", 7)
    log, other = uuid4(), uuid4()
    texts = prose(3 * SEGMENT)
    texts[SEGMENT + 5 : SEGMENT + 25] = [f"{LONGEST_LETTER * 1000} {number}" for number in range(20)]
    written(log, texts)
    written(other, prose(SEGMENT))
    assert search_index.build(log, 1)
    assert sum(lengths) <= 40_000 + 18_003
    assert index() == 3
    for typed, _those, _others in [*CASES, ("nowhere", [], []), (LONGEST_LETTER, [], [])]:
        assert found(log, Words(text=terms(typed))) == plainly(texts, typed), typed
        assert found(log, Words(text=terms(typed)), newest_first=True) == plainly(texts, typed)[::-1], typed
    # The entries beyond the limit are read, and no others.
    del lengths[:]
    assert found(log, Words(text=("nowhere",))) == []
    assert len(lengths) <= SEGMENT - 7


@pytest.mark.django_db
def test_the_statements_of_a_page_do_not_grow_with_the_log() -> None:
    def statements(log: UUID, words: Words) -> int:
        size = ChainHead.objects.get(pk=log).size
        rows = AuditEntry.objects.filter(tenant_id=log)
        with CaptureQueriesContext(connection) as captured:
            search.find(rows, log, words, first=0, end=size, newest_first=True, limit=51, most=10**9)
        return len(captured)

    short, long = uuid4(), uuid4()
    written(short, prose(3 * SEGMENT))
    written(long, prose(30 * SEGMENT))
    index()
    for words in (Words(text=("ma",)), Words(text=("nowhere",)), Words(name=("nobody",))):
        assert statements(long, words) <= statements(short, words) + 4
    # An absent word reads the index of all segments, and hardly an entry.
    rows = AuditEntry.objects.filter(tenant_id=long)
    steps = list(search.walk(rows, long, Words(text=("nowhere",)), first=0, end=30 * SEGMENT, newest_first=True))
    assert sum(step.cost for step in steps) <= 30 * search._SEGMENT_COST + 5


@pytest.mark.postgres
@pytest.mark.django_db
def test_the_index_is_read_by_its_key() -> None:
    log = uuid4()
    written(log, prose(8 * SEGMENT))
    index()
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE audit_app_indexpart")
        cursor.execute("SET LOCAL enable_seqscan = off")
    with CaptureQueriesContext(connection) as captured:
        found(log, Words(text=("nowhere",)))
    [sql] = [query["sql"] for query in captured if 'FROM "audit_app_indexpart"' in query["sql"]][:1]
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN {sql}")
        plan = "\n".join(line for (line,) in cursor.fetchall())
    assert "index_part_once" in plan
    assert "part = ANY" in plan.split("Index Cond:")[1].splitlines()[0]
