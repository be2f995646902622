"""Stored entries are checked in batches: nothing that is found one by one is overlooked, and nothing is read twice."""

import datetime as dt
import hashlib
import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from audit_app import batches, canonical, checkpoints, entry_checks, evidence, recorder, tree, verify
from audit_app.bundle_selection import EvidenceScope
from audit_app.entries import flaws_of
from audit_app.models import AuditEntry, Checkpoint
from audit_app.tree import Frontier
from tests.audit.test_checkpoints import AT, TENANT, append, meddle, uuid_sql

pytestmark = [pytest.mark.dialect, pytest.mark.django_db]

OTHER = UUID(int=9)


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """Collect the statements that read entries, with their values."""
    found: list[tuple[str, Any]] = []

    def wrapper(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if "canonical" in sql and "SELECT" in sql:
            found.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrapper):
        yield found


def varied(count: int, *more: dict[str, Any]) -> None:
    """Append entries of every shape: with and without people, requests, fractions of a second and other alphabets."""
    shapes: list[dict[str, Any]] = [
        {"actor": {"kind": "system", "id": None, "name": "sweep", "side": "system", "email": ""}},
        {"actor": {"kind": "person", "id": str(UUID(int=7)), "name": "Näir 日本", "side": "customer", "email": "n@e"}},
        {"correlation_id": UUID(int=11), "detail": {"n": [1, None, True, {"x": '“\u2028\\"/'}]}},
        {"detail": {"ä": 10**15 - 1}},
        *more,
    ]
    plain: dict[str, Any] = {"event": "ticket.commented", "door": "pages", "subject_type": "ticket", "subject_id": "1"}
    for number in range(count):
        shape = {"actor": shapes[0]["actor"], **shapes[number % len(shapes)]}
        at = AT + dt.timedelta(microseconds=number // 2 * 333_333)
        with transaction.atomic():
            recorder.record([recorder.Witnessed(tenant_id=TENANT, **plain, **shape)], at=at)


def test_columns_are_read_in_the_form_of_the_entries_bytes() -> None:
    varied(20)
    rows, batch = AuditEntry.objects.filter(tenant_id=TENANT).order_by("seq"), batches.read(TENANT, 0, 20)
    assert batch.times == tuple(canonical.instant(row.at) for row in rows)
    assert batch.actor_ids == tuple(str(row.actor_id) if row.actor_id else None for row in rows)
    assert batch.access_requests == tuple(str(row.correlation_id) if row.correlation_id else None for row in rows)
    assert batch.bodies == tuple(bytes(row.canonical) for row in rows)
    assert (batch.seqs, batch.size) == (tuple(range(20)), 20)
    assert batches.read(TENANT, 20, 30).size == 0


@pytest.mark.parametrize(
    "detail", [{"t": "beyond 😀"}, {"n": 2**53 - 1}, {"n": 0.5}, {"n": -0.5}, {"t": "a\nb"}, {"😀": 1, "\uffee": "x"}]
)
def test_good_entries_with_unusual_details_are_judged_together(detail: dict[str, Any]) -> None:
    varied(20, {"detail": detail})
    assert is_good()
    assert is_good()
    assert verify.verify(TENANT).is_good


def test_good_entries_of_another_version_are_judged_one_by_one() -> None:
    varied(20)
    [body] = (bytes(row.canonical) for row in AuditEntry.objects.filter(seq=7))
    _store(7, body.replace(b'"v":1', b'"v":2'))
    assert not is_good()
    assert verify.verify(TENANT).is_good


def is_good(start: int = 0, end: int = 20, last_at: str = "") -> bool:
    batch = batches.read(TENANT, start, end)
    return batch.size == end - start and entry_checks.is_good(batch, TENANT, start, last_at)


_COLUMNS: list[tuple[str, Any]] = [
    ("event", "ticket.gone"), ("door", "api"), ("actor_kind", "client"), ("actor_name", "Ada"),
    ("subject_type", "grant"), ("subject_id", "2"), ("leaf_hash", bytes(32)),
    ("actor_id", UUID(int=8)), ("correlation_id", UUID(int=8)), ("tenant_id", OTHER), ("seq", 400),
    ("at", AT - dt.timedelta(days=1)), ("at", AT + dt.timedelta(days=1)), ("at", AT + dt.timedelta(microseconds=1)),
]  # fmt: skip


@pytest.mark.parametrize(("column", "value"), _COLUMNS)
def test_each_changed_column_is_found(column: str, value: Any) -> None:
    """In the first entry of a batch, in the middle, and in the last one."""
    varied(20)
    assert is_good()
    if connection.vendor == "sqlite":
        value = value.hex if isinstance(value, UUID) else value
        value = f"{value:%Y-%m-%d %H:%M:%S.%f}" if isinstance(value, dt.datetime) else value
    for seq in (0, 10, 19):
        with transaction.atomic():
            meddle(f"UPDATE audit_app_auditentry SET {column} = %s WHERE tenant_id = %s AND seq = %s", value,
                   uuid_sql(TENANT), seq)  # fmt: skip
            assert not is_good() or _is_each_good()
            found = verify.verify(TENANT).flaw
            assert found is not None or _is_each_good()
            transaction.set_rollback(True)


def _is_each_good() -> bool:
    last_at = None
    rows = list(AuditEntry.objects.filter(tenant_id=TENANT).order_by("seq"))
    for seq, row in enumerate(rows):
        if next(flaws_of(row, seq, last_at), None):
            return False
        last_at = row.at
    return len(rows) == 20


def test_whatever_is_found_one_by_one_is_not_good_as_a_batch() -> None:
    """With the hash of the changed bytes beside them, only what they say can show the change."""
    varied(20)
    rng, original = random.Random(7), {row.seq: bytes(row.canonical) for row in AuditEntry.objects.all()}
    changes: list[Callable[[bytes], bytes]] = [
        lambda body: body.replace(b":", b": ", 1),
        lambda body: body + b" ",
        lambda body: b" " + body,
        lambda body: body[:-1] + b',"v":1}',
        lambda body: json.dumps(json.loads(body), separators=(",", ":")).encode(),
        lambda body: json.dumps(dict(reversed(json.loads(body).items())), separators=(",", ":")).encode(),
        lambda body: body.replace(b'"v":1', b'"v":1.0'),
        lambda body: body.replace(b'"detail":{', b'"detail":{"0":9007199254740993,').replace(b",}", b"}"),
        lambda body: body.replace(b"ticket", b"\\u0074icket", 1),
        lambda body: b"[" + body + b"]",
        lambda body: body + b"," + body,
        lambda body: b"",
        lambda body: b"\xff",
        lambda body: body.replace(b'"actor":{', b'"actor":null,"x":{', 1),
        lambda body: body.replace(b'"actor":{', b'"actor":{"a": 1,', 1),
        lambda body: body.replace(b'"actor":{', b'"actor":{"zz":1,', 1),
        lambda body: body.replace(b'"actor":{', b'"actor":{},"actor":{', 1),
        lambda body: body.replace(b'"detail":{', b'"detail":{"":1,"":1,', 1).replace(b",}", b"}"),
        lambda body: body.replace(b'"detail":{', b'"detail":{},"detail":{', 1),
        lambda body: body.replace(b'"detail":{', b'"detail":[],"x":{', 1),
        lambda body: body.replace(b'"seq":', b'"seq":0', 1),
        lambda body: body.replace(b'"subject":{', b'"subject":{"a":1,', 1),
        lambda body: body.replace(b'"door":', b'"df":1,"door":', 1),
        lambda body: body.replace(b'"at":"', b'"at":"\\u0032', 1),
    ]
    for change in changes * 3:
        seq = rng.randrange(20)
        body = change(original[seq])
        _store(seq, body)
        assert is_good() <= _is_each_good()
        assert not is_good() or body == original[seq]
        assert verify.verify(TENANT).is_good == _is_each_good()
        _store(seq, original[seq])
    assert is_good()


def _store(seq: int, body: bytes) -> None:
    leaf = hashlib.sha256(b"\x00" + body).digest()
    meddle("UPDATE audit_app_auditentry SET canonical = %s, leaf_hash = %s WHERE seq = %s", body, leaf, seq)


def test_bytes_that_only_fit_together_are_found_one_by_one() -> None:
    """The texts of two entries have one list's worth of objects together, but neither is one object."""
    varied(20)
    first, second = (bytes(row.canonical) for row in AuditEntry.objects.filter(seq__in=(4, 5)).order_by("seq"))
    _store(4, first + b"," + second[:10])
    _store(5, second[10:])
    assert not is_good()
    assert verify.verify(TENANT).flaw is not None


def test_an_entry_that_is_older_than_the_batch_before_is_found() -> None:
    varied(20)
    assert is_good(10, 20, canonical.instant(AT))
    assert not is_good(10, 20, canonical.instant(AT + dt.timedelta(days=1)))


@pytest.mark.parametrize("at", [999, 1000, 1001, 1999, 2000])
def test_a_fault_at_a_border_of_two_batches_is_found(at: int) -> None:
    append(2100)
    meddle("UPDATE audit_app_auditentry SET door = 'api' WHERE tenant_id = %s AND seq = %s", uuid_sql(TENANT), at)
    flaw = verify.verify(TENANT).flaw
    assert flaw is not None
    assert flaw.seq == at


def test_a_missing_entry_at_a_border_of_two_batches_is_found() -> None:
    append(2100)
    meddle("DELETE FROM audit_app_auditentry WHERE tenant_id = %s AND seq IN (1000, 1999)", uuid_sql(TENANT))
    flaw = verify.verify(TENANT).flaw
    assert flaw is not None
    assert flaw.seq == 1000


@pytest.mark.parametrize("size", [1, 999, 1000, 1001, 1500, 2100])
def test_another_signed_root_is_found_at_its_entry(size: int) -> None:
    append(size)
    checkpoints.sign(TENANT, at=AT)
    append(2100 - size) if size < 2100 else None
    checkpoints.sign(TENANT, at=AT)
    assert verify.verify(TENANT).is_good
    meddle("UPDATE audit_app_checkpoint SET root = %s WHERE tenant_id = %s AND size = %s", bytes(32),
           uuid_sql(TENANT), size)  # fmt: skip
    flaw = verify.verify(TENANT).flaw
    assert flaw is not None
    assert flaw.seq == size - 1


# --- What it costs ---------------------------------------------------------------------------------------


def test_a_good_log_is_read_once_and_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    append(2100)
    monkeypatch.setattr(verify, "flaws_of", None)
    with statements() as found:
        assert verify.verify(TENANT).is_good
    assert [tuple(params)[-2:] for _sql, params in found] == [(0, 1000), (1000, 2000), (2000, 2100)]


def test_the_signer_reads_new_entries_in_batches_and_judges_old_ones_together(monkeypatch: pytest.MonkeyPatch) -> None:
    append(1500)
    monkeypatch.setattr(checkpoints, "flaws_of", None)
    with statements() as found:
        checkpoints.sign(TENANT, at=AT)
    assert [tuple(params)[-2:] for sql, params in found if "to_char" not in sql and " at" not in sql] == [
        (0, 1000),
        (1000, 1500),
    ]
    append(10)
    checkpoints.sign(TENANT, at=AT + dt.timedelta(hours=1))


def test_each_page_of_evidence_is_a_range_of_numbers() -> None:
    """With LIMIT, PostgreSQL would read the whole table for each page, and sort it."""
    append(2100)
    checkpoints.sign(TENANT, at=AT)
    wanted = EvidenceScope(tenant_id=TENANT, tenant_name="Contoso")
    prepared = evidence.prepare(wanted, at=AT)
    with statements() as found:
        b"".join(prepared.stream())
        assert len(list(prepared.entries())) == 2100
    pages = [(sql, params) for sql, params in found if "event" not in sql.partition("WHERE")[2]]
    assert len(pages) == 6
    assert not any("LIMIT" in sql for sql, _params in pages)
    for _sql, params in pages:
        first, end = sorted(each for each in params if isinstance(each, int))
        assert end - first <= 1000


def test_entries_for_a_timeline_are_the_rows_that_django_would_read() -> None:
    varied(20)
    rows = AuditEntry.objects.filter(tenant_id=TENANT, seq__gte=3, seq__lt=17).order_by("seq").only(*batches.EXPORTED)

    def columns(row: AuditEntry) -> dict[str, Any]:
        found = {**vars(row), "_state": vars(row._state), "canonical": bytes(row.canonical)}
        return found | {"leaf_hash": bytes(row.leaf_hash), "at": (row.at, row.at.utcoffset())}

    with CaptureQueriesContext(connection) as queries:
        found = batches.exported(TENANT, 3, 17)
        assert len(found) == 14
    assert len(queries) == 1
    assert [columns(row) for row in found] == [columns(row) for row in rows]
    assert found[0].door == "pages"


@pytest.mark.parametrize("start", [0, 1, 2, 3, 5, 8, 100, 256, 1000])
def test_many_leaves_are_appended_as_one_by_one(start: int, monkeypatch: pytest.MonkeyPatch) -> None:
    leaves = [tree.leaf(b"%d" % number) for number in range(1700)]
    for end in (start, start + 1, start + 2, start + 255, start + 256, start + 700):
        one, many = Frontier(), Frontier()
        for each in leaves[:end]:
            one.append(each)
        many.extend(iter(leaves[:start]))
        many.extend(leaves[start:end])
        assert (many.size, many.hashes, many.root()) == (one.size, one.hashes, one.root())
    monkeypatch.setattr(Frontier, "append", None)
    monkeypatch.setattr(tree, "node", None)
    Frontier().extend(leaves[:1024])


# --- Details of a known form -----------------------------------------------------------------------------


_SYSTEM = '{"id":null,"kind":"system","name":"s"}'


def _expected_bytes(detail: str, event: str, actor: str) -> bytes:
    return (
        f'{{"access_request":null,"actor":{actor},"at":"t","detail":{detail}'
        f',"door":"d","event":"{event}","seq":7,"subject":{{"id":"i","type":"y"}},"tenant":"{TENANT}","v":1}}'
    ).encode()


def _is_expected(detail: str, event: str, actor: str = _SYSTEM) -> bool:
    body, nothing = _expected_bytes(detail, event, actor), b""
    row: list[Any] = [7, "t", event, "d", "system", None, "s", "y", "i", None, body, nothing]
    try:
        return entry_checks.are_expected(entry_checks.StoredBatch(*zip(row, strict=True)), TENANT)
    except (ValueError, TypeError, RecursionError):
        return False


def test_a_detail_of_a_known_form_is_judged_as_by_itself(clean_forms: None) -> None:
    """What differs by one piece from a detail of a known form is judged as it is without any known form."""
    known = ['{"a":"x","b":[1,null,{"c":-5}],"d":true}', '{"a":"x"}', '{"n":0.5}', "{}"]
    pieces = [
        "", '"', "\\", '\\"', "\\u0041", "\n", "\x7f", "\u2028", "😀", "é", "0", "00", "-0", "-", "1.0", "1e3", ".",
        "9007199254740993", "null", "true", "{", "}", "[", "]", ",", ":", " ", '"a":1', ',"a":1', "{}", "x",
    ]  # fmt: skip
    changed = {
        f"{text[:at]}{piece}{text[past:]}"
        for text in known
        for at in range(len(text) + 1)
        for past in (at, at + 1, at + 3)
        for piece in pieces
    }
    for text in known:
        assert _is_expected(text, "known")
    assert len(entry_checks._forms["known"]) == len(known)
    alone = {}
    for text in changed:
        entry_checks._forms.pop("alone", None)
        alone[text] = _is_expected(text, "alone")
    assert any(alone.values())
    found = {}
    for text in changed:
        entry_checks._forms["known"] = entry_checks._forms["known"][-len(known) :]
        found[text] = _is_expected(text, "known")
    assert found == alone


@pytest.mark.parametrize("is_known", [False, True])
@pytest.mark.parametrize(
    "actor",
    [
        "",
        "None",
        "null",
        "{}",
        "[]",
        _SYSTEM[:-1],
        _SYSTEM + " ",
        _SYSTEM.replace('"s"', '"t"'),
        f"{_SYSTEM},{_SYSTEM}",
    ],
)
def test_an_actor_that_is_absent_or_another_one_is_not_expected(clean_forms: None, actor: str, is_known: bool) -> None:
    if is_known:
        assert _is_expected("{}", "e")
    assert not _is_expected("{}", "e", actor)
    assert _is_expected("{}", "e")


@pytest.fixture
def clean_forms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_checks, "_forms", {})
    monkeypatch.setattr(entry_checks, "_actors", {})


def test_only_the_first_actor_and_detail_of_each_form_are_parsed(
    clean_forms: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(2100)
    parsed, loads = [], json.loads

    def noted(text: str) -> Any:
        parsed.append(text)
        return loads(text)

    monkeypatch.setattr(json, "loads", noted)
    assert verify.verify(TENANT).is_good
    assert len(parsed) == 2


def test_what_is_remembered_is_bounded(clean_forms: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entry_checks, "_FORMS", 6)
    for event in "abc":
        for count in range(9):
            assert _is_expected(json.dumps({"n": [0] * count}, separators=(",", ":")), event)
    assert [len(each) for each in entry_checks._forms.values()] == [4, 2]
    assert _is_expected(json.dumps({"n": "x" * 3000}, separators=(",", ":")), "d")
    assert "d" not in entry_checks._forms


@pytest.mark.parametrize("heads_of", [4, 9, 1000])
@pytest.mark.parametrize("bad", [None, 2, 5, 6, 8, 17, 20])
def test_signed_roots_are_read_for_many_batches_and_each_is_compared(
    monkeypatch: pytest.MonkeyPatch, bad: int | None, heads_of: int
) -> None:
    monkeypatch.setattr(verify, "_HEADS_OF", heads_of)
    sizes = [2, 5, 6, 8, 17, 20]
    for before, size in zip([0, *sizes], sizes, strict=False):
        append(size - before)
        checkpoints.sign(TENANT, at=AT)
    if bad is not None:
        table = Checkpoint._meta.db_table
        meddle(f"UPDATE {table} SET root = %s WHERE tenant_id = %s AND size = %s", bytes(32), uuid_sql(TENANT), bad)
    found, read = verify.Verification.begin(TENANT), 0

    def wrapper(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal read
        read += '"root"' in sql.partition("FROM")[0] and '"note"' not in sql
        return execute(sql, params, many, context)

    with connection.execute_wrapper(wrapper):
        while not found.has_ended:
            found.advance(3)
    if bad is None:
        assert found.flaw is None
        assert read == {4: 7, 9: 3, 1000: 1}[heads_of]
    else:
        assert found.flaw is not None
        assert found.flaw.seq == bad - 1
