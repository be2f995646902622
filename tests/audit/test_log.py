"""The log: an entry is appended in the caller's transaction, or not at all.

Entries have numbers without gaps, canonical bytes, and hashes that can be verified.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import random
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import Field

from audit_app import beside, canonical, export, exported_entries, queries, recorder
from audit_app.beside import Beside, Changed, Fields, NotUpdated
from audit_app.models import AuditEntry, ChainHead
from audit_app.shard_positions import Shards
from audit_app.verify import verify
from requests_app import operations
from requests_app.domain.errors import StoreUnavailable
from requests_app.messages.topics import Topic
from requests_app.models import AccessRequest, Decision, Grant, OutboxMessage
from tests.cast import Cast, events_in

AT = dt.datetime(2026, 11, 25, 14, 5, tzinfo=dt.UTC)


def an_entry(tenant: UUID, **fields: Any) -> recorder.Witnessed:
    defaults: dict[str, Any] = {
        "tenant_id": tenant,
        "event": "thing.done",
        "door": "test",
        "actor": {"kind": "system", "id": None, "name": "tester", "side": "system", "email": ""},
        "subject_type": "thing",
        "subject_id": "1",
    }
    return recorder.Witnessed(**{**defaults, **fields})


# --- Bytes -----------------------------------------------------------------------------------------------


def test_canonical_bytes_are_those_of_rfc_8785() -> None:
    """The example of RFC 8785, section 3.2.2, with the values that this log uses: strings, integers, literals."""
    record = {"string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"/", "literals": [None, True, False], "number": 333}
    expected = '{"literals":[null,true,false],"number":333,"string":"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    assert canonical.encode(record) == expected.encode()


def test_a_leaf_is_hashed_as_rfc_6962_says() -> None:
    """The test vectors of certificate transparency: the leaf hashes of an empty entry and of one zero byte."""
    assert canonical.leaf_hash(b"").hex() == "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"
    assert canonical.leaf_hash(b"\x00").hex() == "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"


def test_equal_instants_have_equal_bytes_in_every_zone() -> None:
    east = AT.astimezone(dt.timezone(dt.timedelta(hours=9)))
    assert canonical.instant(AT) == canonical.instant(east) == "2026-11-25T14:05:00.000000Z"


# --- Appending -------------------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_nothing_is_recorded_outside_a_transaction() -> None:
    with pytest.raises(recorder.NotInTransaction):
        recorder.record([an_entry(uuid4())], at=AT)
    assert not AuditEntry.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_an_entry_leaves_with_the_change_that_is_rolled_back() -> None:
    tenant = uuid4()
    with transaction.atomic():
        recorder.record([an_entry(tenant)], at=AT)
        transaction.set_rollback(True)
    assert not AuditEntry.objects.exists()
    with transaction.atomic():
        (row,) = recorder.record([an_entry(tenant)], at=AT)
    assert row.seq == 0


@pytest.mark.django_db
def test_tenants_have_logs_of_their_own_with_dense_numbers() -> None:
    one, two = uuid4(), uuid4()
    rows = recorder.record([an_entry(one), an_entry(two), an_entry(one), an_entry(one)], at=AT)
    assert [row.seq for row in rows] == [0, 0, 1, 2]
    assert (queries.size(one), queries.size(two)) == (3, 1)


@pytest.mark.django_db
@pytest.mark.parametrize("count", [19, 20, 600])
def test_a_batch_is_written_as_its_entries_would_be_one_by_one(count: int) -> None:
    """On PostgreSQL this also works with the database role that the docs describe.

    Row-level security forbids COPY to this role.
    """
    tenants, odd = [uuid4() for _ in range(3)], 'a "quoted", {braced} \\ text\twith\nlines, \u20ac and NULL'
    person = {"kind": "person", "id": str(uuid4()), "name": "Ada", "side": "customer", "email": "ada@example.com"}
    entries = [
        an_entry(tenants[index % 3], **({"actor": person, "correlation_id": uuid4(), "text": odd} if index % 2 else {}))
        for index in range(count)
    ]
    rows = recorder.record(entries, at=AT)
    fields = [field.attname for field in AuditEntry._meta.concrete_fields if field.name != "id"]
    stored = {(row.tenant_id, row.seq): row for row in AuditEntry.objects.all()}
    assert len(stored) == count
    for row in rows:
        stored_row = stored[row.tenant_id, row.seq]
        assert [getattr(stored_row, name) for name in fields] == [getattr(row, name) for name in fields]
    assert all(verify(tenant).is_good for tenant in tenants)


@pytest.mark.postgres
@pytest.mark.django_db
@pytest.mark.parametrize("count", [1, 20])
def test_a_text_that_is_too_long_for_its_column_is_refused_and_never_cut(count: int) -> None:
    """This runs only on PostgreSQL, because SQLite does not enforce lengths."""
    tenant = uuid4()
    with pytest.raises(DatabaseError, match="too long"), transaction.atomic():
        recorder.record([an_entry(tenant, subject_id="x" * 65) for _ in range(count)], at=AT)
    assert not AuditEntry.objects.exists()


@pytest.mark.django_db
def test_an_entry_goes_into_its_own_log_whichever_head_is_locked() -> None:
    tenant, other = uuid4(), uuid4()
    with transaction.atomic():
        head, _at = recorder.turn(other)
        [row] = recorder.record([an_entry(tenant)], at=AT, locked_head=head)
    assert (row.tenant_id, row.seq) == (tenant, 0)
    sizes = dict(ChainHead.objects.values_list("tenant_id", "size"))
    assert (sizes[tenant], sizes.get(other, 0)) == (1, 0)


@pytest.mark.django_db
def test_an_entry_is_written_in_more_than_twenty_logs_at_once_of_which_two_are_new() -> None:
    """So many heads are locked in one statement, and the new ones are made in another one."""
    tenants = [UUID(int=number) for number in range(1, 23)]
    with transaction.atomic():
        recorder.record([an_entry(tenant) for tenant in tenants[:20]], at=AT)
    with transaction.atomic():
        recorder.record([an_entry(tenant) for tenant in tenants], at=AT)
    sizes = dict(ChainHead.objects.filter(pk__in=tenants).values_list("pk", "size"))
    assert sizes == {tenant: 2 if tenant in tenants[:20] else 1 for tenant in tenants}


@pytest.mark.django_db
def test_a_log_without_entries_is_claimed_and_a_row_beside_is_inserted_once() -> None:
    """A row whose key the table has already is left out. Without `skips_known`, it is an error."""
    one, two = uuid4(), uuid4()
    known = OutboxMessage(topic="a", about=one, key="known", created_at=AT, next_attempt_at=AT)
    for count in (1, 2):
        heads, _at = recorder.claim({one, two})
        rows = [known, OutboxMessage(topic="a", about=one, key=f"new {count}", created_at=AT, next_attempt_at=AT)]
        entries = [(an_entry(one), AT), (an_entry(two), AT), (an_entry(one), AT)]
        recorder.record_in(entries, heads=heads, beside=rows, skips_known=True)
    assert sorted(OutboxMessage.objects.values_list("key", flat=True)) == ["known", "new 1", "new 2"]
    assert (queries.size(one), queries.size(two)) == (4, 2)
    heads, _at = recorder.claim({one})
    with pytest.raises(IntegrityError), transaction.atomic():
        recorder.record_in([(an_entry(one), AT)], heads=heads, beside=[known])
    assert queries.size(one) == 4


@pytest.mark.django_db
@pytest.mark.parametrize("arrays_from", [1, 100])
def test_rows_beside_many_entries_are_stored_as_django_would_store_them(
    monkeypatch: pytest.MonkeyPatch, arrays_from: int
) -> None:
    """A column in which all rows have the same value, and one in which they differ: texts, JSON, times and nothing."""
    monkeypatch.setattr(beside, "ARRAYS_FROM", arrays_from)
    tenant, later = uuid4(), AT.replace(microsecond=7)
    differing: list[dict[str, Any]] = [
        {"payload": {"é": [1, None]}, "mark": "'%s'", "delivered_at": None, "attempts": 0, "rendered": None},
        {"payload": {}, "mark": "{,}", "delivered_at": later, "attempts": 3, "rendered": {"a": "\\"}},
    ]
    same = {"topic": "a", "about": tenant, "created_at": AT, "next_attempt_at": AT, "lane": "fanout"}
    rows = [OutboxMessage(key=f"{number}", **same, **each) for number, each in enumerate(differing)]
    known = OutboxMessage(key="known", **same)
    known.save(force_insert=True)
    known.topic, known.payload = "b", {"x": "y"}
    heads, _at = recorder.claim({tenant})
    changed = [Changed([known], "topic", "payload")]
    recorder.record_in([(an_entry(tenant), AT)] * 2, heads=heads, beside=rows, changed=changed)
    for row in (*rows, known):
        stored = OutboxMessage.objects.get(pk=row.pk)
        assert {**vars(stored), "_state": None} == {**vars(row), "_state": None}
    assert queries.size(tenant) == 2


@pytest.mark.postgres
@pytest.mark.django_db
@pytest.mark.parametrize("count", [2, 10, beside.ARRAYS_FROM + 1])
def test_several_entries_and_the_heads_of_their_logs_are_one_statement(
    count: int, django_assert_num_queries: Any
) -> None:
    one, two = uuid4(), uuid4()
    recorder.record([an_entry(one), an_entry(two)], at=AT)
    texts = ["\\", "a\\b", "", "null", "NULL", "{}", '",\\', "\u00e9\n\t", "%s", "\U0001f600"]
    entries = [
        an_entry((one, two)[number % 2], text=texts[number % len(texts)], subject_id=f"'{number}")
        for number in range(count)
    ]
    with django_assert_num_queries(3):  # a lock of each log
        rows = recorder.record(entries, at=AT)
    stored = {(row.tenant_id, row.seq): row for row in AuditEntry.objects.filter(seq__gt=0)}
    assert [{**vars(stored[row.tenant_id, row.seq]), "id": None, "_state": None} for row in rows] == [
        {**vars(row), "_state": None} for row in rows
    ]
    assert verify(one).is_good
    assert verify(two).is_good


@pytest.mark.postgres
@pytest.mark.django_db
def test_the_driver_converts_no_value_of_a_few_entries() -> None:
    """It needs several times as long for an array as it takes to make its text here."""
    one, two = uuid4(), uuid4()
    heads, _at = recorder.claim({one, two})
    sent: list[Any] = []

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        sent.extend(params)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        recorder.record_in([(an_entry(one), AT), (an_entry(two, text='",\\'), AT)], heads=heads)
    moved, columns = sent[:4], sent[4:-1]
    assert all(isinstance(values, list) for values in moved)
    assert {type(values) for values in columns} == {str, list}
    assert all(isinstance(value, bytes) for values in columns if isinstance(values, list) for value in values)
    assert '{"","\\",\\\\"}' in columns


@pytest.mark.dialect
@pytest.mark.django_db
def test_values_are_passed_to_the_driver_as_django_passes_them(cast: Cast) -> None:
    """Every column of the rows that acts and sweeps write, and values of other types than a column usually has."""
    cast.opened()
    at = dt.datetime(2026, 11, 25, 14, 5, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    odd = OutboxMessage(id=str(uuid4()), tenant_id=str(cast.contoso.pk), topic=Topic.REMINDER, created_at=at)
    odd.next_attempt_at, odd.payload, odd.mark, odd.seq = "2026-11-25 14:05:00+00:00", "text", 7, "8"
    models: list[Any] = [AccessRequest, Decision, Grant, OutboxMessage, AuditEntry, ChainHead]
    for rows in ([odd], *([*model._default_manager.all()] for model in models)):
        fields = rows[0]._meta.concrete_fields
        expected = [
            [field.get_db_prep_save(getattr(row, field.attname), connection) for field in fields] for row in rows
        ]
        assert [*map(_plain, beside.values_of(rows, Fields(fields)))] == [*map(_plain, expected)]
        # A single row is converted in another way.
        alone = [beside.values_of([row], Fields(fields))[0] for row in rows]
        assert [*map(_plain, alone)] == [*map(_plain, expected)]


def _plain(values: list[Any]) -> list[str]:
    """Return texts of the values that differ if a type differs. Bytes have several types."""
    plain = [getattr(each, "obj", each) for each in values]
    return [repr(bytes(each) if isinstance(each, bytes | memoryview) else each) for each in plain]


@pytest.mark.django_db
@pytest.mark.sqlite
def test_django_converts_only_json_of_what_a_sweep_writes_to_sqlite(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL gets the values of many rows as arrays."""
    cast.opened()
    rows: list[Any] = [*Grant.objects.all(), *AccessRequest.objects.all(), *OutboxMessage.objects.all()]
    converted: list[str] = []
    plain = Field.get_db_prep_save

    def note(field: Any, *args: Any, **kwargs: Any) -> Any:
        converted.append(field.name)
        return plain(field, *args, **kwargs)

    monkeypatch.setattr(Field, "get_db_prep_save", note)
    for row in rows:
        beside.values_of([row], Fields(row._meta.concrete_fields))
    assert set(converted) <= {"payload", "rendered"}


@pytest.mark.dialect
@pytest.mark.django_db
def test_the_actor_of_many_entries_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal actors that are other objects are written again, because they may have other types of values."""
    tenant, actors = uuid4(), [{**an_entry(uuid4()).actor, "name": name} for name in ("Ada", "Ada", "Bo")]
    entries = [replace(an_entry(tenant), actor=actor, detail={}) for actor in [*actors, *actors]]
    written: list[Any] = []
    plain = canonical.text

    def note(value: Any) -> str:
        written.append(value)
        return plain(value)

    monkeypatch.setattr(canonical, "text", note)
    with transaction.atomic():
        rows = recorder.record(entries, at=AT)
    assert [each for each in written if each] == actors
    assert [json.loads(bytes(row.canonical))["actor"] for row in rows] == [*actors, *actors]
    assert verify(tenant).is_good


@pytest.mark.dialect
@pytest.mark.django_db
def test_an_act_hashes_no_field_of_the_rows_that_it_writes(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """Django computes this hash in Python. For the rows of an approval, it took a fifth of the whole act."""
    rows = [cast.confirmed() for _ in range(2)]
    ada, hashed = cast.as_("ada"), 0
    operations.approve_as_customer(rows[0].pk, actor=ada)
    plain = Field.__hash__

    def count(field: Any) -> int:
        nonlocal hashed
        hashed += 1
        return plain(field)

    monkeypatch.setattr(Field, "__hash__", count)
    operations.approve_as_customer(rows[1].pk, actor=ada)
    assert hashed == 0


@pytest.mark.django_db
def test_an_entry_is_written_with_several_rows_beside_it_or_with_none_of_them() -> None:
    tenant = uuid4()

    def row(key: str, **fields: Any) -> OutboxMessage:
        return OutboxMessage(topic="a", about=tenant, key=key, created_at=AT, next_attempt_at=AT, **fields)

    rows, known = [row("one", payload={"é": [1]}), row("two", mark="'%s'")], row("known")
    known.save(force_insert=True)
    again = row("known", mark="other")
    recorder.record([an_entry(tenant)], at=AT, beside=Beside(*rows, once=[again, row("three")]))
    stored = dict(OutboxMessage.objects.values_list("key", "mark"))
    assert stored == {"one": "", "two": "'%s'", "three": "", "known": ""}
    assert OutboxMessage.objects.get(key="one").payload == {"é": [1]}
    assert not rows[0]._state.adding
    with pytest.raises(IntegrityError), transaction.atomic():
        recorder.record([an_entry(tenant)], at=AT, beside=Beside(row("four"), again))
    assert (queries.size(tenant), OutboxMessage.objects.count()) == (1, 4)


@pytest.mark.django_db
@pytest.mark.parametrize("values", [({"a": 1}, {"a": True}), ({}, {"a": 0}), (None, {"a": None})])
def test_json_that_python_calls_equal_is_stored_as_it_is(monkeypatch: pytest.MonkeyPatch, values: Any) -> None:
    monkeypatch.setattr(beside, "ARRAYS_FROM", 2)
    monkeypatch.setattr(beside, "_CONSTANT", {})
    tenant, ends = uuid4(), {"topic": "a", "created_at": AT, "next_attempt_at": AT}
    rows = [OutboxMessage(about=tenant, key=f"{number}", rendered=value, **ends) for number, value in enumerate(values)]
    heads, _at = recorder.claim({tenant})
    recorder.record_in([(an_entry(tenant), AT)] * 2, heads=heads, beside=rows)
    stored = dict(OutboxMessage.objects.values_list("key", "rendered"))
    assert [json.dumps(stored[row.key]) for row in rows] == [json.dumps(value) for value in values]


@pytest.mark.postgres
@pytest.mark.django_db
def test_rows_with_other_equal_columns_need_few_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection prepares each statement, so their number must not grow with the combinations of columns."""
    monkeypatch.setattr(beside, "ARRAYS_FROM", 2)
    monkeypatch.setattr(beside, "_CONSTANT", {})
    tenant, texts = uuid4(), set[str]()
    names = {"mark": ("a", "b"), "attempts": (1, 2), "topic": ("a", "b"), "lane": ("fanout", "mail")}

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        texts.add(sql)
        return execute(sql, params, many, context)

    for number in range(2 ** len(names)):
        differing = [name for place, name in enumerate(names) if number >> place & 1]
        rows = [
            OutboxMessage(
                about=tenant, key=f"{number} {n}", created_at=AT, next_attempt_at=AT,
                **{name: values[n if name in differing else 0] for name, values in names.items()},
            )
            for n in (0, 1)
        ]  # fmt: skip
        heads, _at = recorder.claim({tenant})
        with connection.execute_wrapper(wrapper):
            recorder.record_in([(an_entry(tenant), AT)] * 2, heads=heads, beside=rows)
    assert OutboxMessage.objects.count() == 2 * 2 ** len(names)
    assert len(texts) <= len(names) + 1


@pytest.mark.django_db
@pytest.mark.parametrize("how", ["alone", "with others"])
def test_no_entry_is_written_if_a_row_that_it_is_about_is_not_updated(how: str) -> None:
    """The act would otherwise be in the log and not have happened."""
    tenant, ends = uuid4(), {"topic": "a", "created_at": AT, "next_attempt_at": AT}
    there = OutboxMessage.objects.create(about=tenant, key="there", **ends)
    gone, new = (OutboxMessage(about=tenant, key=key, **ends) for key in ("gone", "new"))
    there.mark = "changed"
    changed = [Changed([there], "mark"), Changed([gone], "mark")]

    def write() -> None:
        if how == "alone":
            recorder.record([an_entry(tenant)], at=AT, beside=Beside(new, changed=changed))
            return
        heads, _at = recorder.claim({tenant})
        recorder.record_in([(an_entry(tenant), AT)] * 2, heads=heads, beside=[new], changed=changed)

    with transaction.atomic():
        with pytest.raises(NotUpdated):
            write()
        # Even a caller that continues stores nothing.
        assert transaction.get_rollback()
    assert not AuditEntry.objects.exists()
    assert list(OutboxMessage.objects.values_list("key", "mark")) == [("there", "")]


@pytest.mark.django_db
@pytest.mark.parametrize("count", [1, 2, 25])
def test_no_entry_is_written_without_the_head_of_its_log(count: int) -> None:
    tenant = uuid4()
    entries = [an_entry(tenant)] * count
    with pytest.raises(NotUpdated), transaction.atomic():
        recorder.record(entries, at=AT, locked_head=recorder.head_of(tenant, 0, None, None))
    heads = {tenant: recorder.head_of(tenant, 0, None, None)}
    with pytest.raises(NotUpdated), transaction.atomic():
        recorder.record_in([(entry, AT) for entry in entries], heads=heads)
    assert not AuditEntry.objects.exists()


@pytest.mark.django_db
def test_the_row_of_an_entry_is_the_row_that_django_would_make() -> None:
    [row] = recorder.record([an_entry(uuid4(), text="a", correlation_id=uuid4())], at=AT)
    columns = {field.attname: getattr(row, field.attname) for field in AuditEntry._meta.concrete_fields}
    djangos = AuditEntry(**columns)
    assert {**vars(row), "_state": None} == {**vars(djangos), "_state": None}


@pytest.mark.django_db
def test_time_never_goes_back_in_a_log() -> None:
    tenant = uuid4()
    recorder.record([an_entry(tenant)], at=AT)
    (row,) = recorder.record([an_entry(tenant)], at=AT - dt.timedelta(hours=1))
    assert row.at == AT
    assert recorder.lock(tenant) == AT


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("statement", ["UPDATE audit_app_auditentry SET seq = 9", "DELETE FROM audit_app_auditentry"])
def test_the_database_refuses_to_change_or_delete_an_entry(statement: str) -> None:
    tenant = uuid4()
    with transaction.atomic():
        recorder.record([an_entry(tenant)], at=AT)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert verify(tenant).is_good


@pytest.mark.django_db(transaction=True)
def test_an_operation_refuses_to_run_inside_somebody_elses_transaction(cast: Cast) -> None:
    row = cast.submitted()
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic():
        operations.withdraw(row.pk, actor=cast.as_("priya"))
    row.refresh_from_db()
    assert row.state == "PENDING_PROVIDER"


@pytest.mark.django_db(transaction=True)
def test_if_the_entry_cannot_be_written_the_whole_act_fails(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    row = cast.confirmed()
    before = events_in(cast.contoso)

    def refuse(*args: object, **kwargs: object) -> None:
        raise DatabaseError("disk full")

    monkeypatch.setattr(recorder, "record", refuse)
    with pytest.raises(StoreUnavailable):
        operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    row.refresh_from_db()
    assert row.state == "PENDING_CUSTOMER"
    assert not hasattr(row, "grant")
    assert events_in(cast.contoso) == before


# --- Verifying -------------------------------------------------------------------------------------------


@pytest.fixture
def log(db: None) -> UUID:
    tenant = uuid4()
    recorder.record([an_entry(tenant, subject_id=str(index)) for index in range(40)], at=AT)
    return tenant


def _tamper(statement: str, *values: Any) -> None:
    """Change a row as the owner of the database could: with the triggers switched off."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("ALTER TABLE audit_app_auditentry DISABLE TRIGGER USER")
            cursor.execute(statement, values)
            cursor.execute("ALTER TABLE audit_app_auditentry ENABLE TRIGGER USER")
        else:
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            triggers = cursor.fetchall()
            for name, _sql in triggers:
                cursor.execute(f"DROP TRIGGER {name}")
            cursor.execute(statement, values)
            for _name, sql in triggers:
                cursor.execute(sql)


def test_a_log_that_nobody_touched_is_good(log: UUID) -> None:
    verdict = verify(log)
    assert (verdict.is_good, verdict.size) == (True, 40)


@pytest.mark.parametrize(
    ("statement", "first_bad"),
    [
        ("UPDATE audit_app_auditentry SET event = 'thing.undone' WHERE seq = 17", 17),
        ("UPDATE audit_app_auditentry SET actor_name = 'somebody' WHERE seq = 5", 5),
        ("UPDATE audit_app_auditentry SET door = 'x' WHERE seq = 0", 0),
        ("UPDATE audit_app_auditentry SET subject_id = '9' WHERE seq = 39", 39),
        ("DELETE FROM audit_app_auditentry WHERE seq = 20", 20),
        ("DELETE FROM audit_app_auditentry WHERE seq >= 38", 38),
        ("UPDATE audit_app_auditentry SET seq = 400 WHERE seq = 3", 3),
        ("UPDATE audit_app_chainhead SET size = 39", 39),
        ("UPDATE audit_app_chainhead SET size = 41", 40),
    ],
)
def test_a_change_names_the_first_bad_entry(log: UUID, statement: str, first_bad: int) -> None:
    _tamper(statement)
    flaw = verify(log).flaw
    assert flaw is not None
    assert flaw.seq == first_bad


def test_any_changed_byte_of_the_evidence_is_found(log: UUID) -> None:
    chance = random.Random(20261125)
    for _ in range(30):
        seq = chance.randrange(40)
        body = bytearray(AuditEntry.objects.get(tenant_id=log, seq=seq).canonical)
        original = bytes(body)
        body[chance.randrange(len(body))] ^= 1 << chance.randrange(8)
        _tamper("UPDATE audit_app_auditentry SET canonical = %s WHERE seq = %s", bytes(body), seq)
        flaw = verify(log).flaw
        assert flaw is not None
        assert flaw.seq == seq
        _tamper("UPDATE audit_app_auditentry SET canonical = %s WHERE seq = %s", original, seq)
    assert verify(log).is_good


def test_bytes_and_hash_changed_together_disagree_with_the_columns(log: UUID) -> None:
    body = bytes(AuditEntry.objects.get(tenant_id=log, seq=8).canonical).replace(b"thing.done", b"thing.gone")
    _tamper(
        "UPDATE audit_app_auditentry SET canonical = %s, leaf_hash = %s WHERE seq = 8",
        body,
        canonical.leaf_hash(body),
    )
    flaw = verify(log).flaw
    assert flaw is not None
    assert (flaw.seq, "column event" in flaw.why) == (8, True)


def test_the_command_says_good_and_exits_zero(log: UUID, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("verify_audit")
    out = capsys.readouterr().out
    assert f"{log}         40 entries  good" in out
    assert "1 logs, 0 bad" in out


def test_the_command_names_the_bad_entry_and_exits_one(log: UUID, capsys: pytest.CaptureFixture[str]) -> None:
    _tamper("DELETE FROM audit_app_auditentry WHERE seq = 20")
    with pytest.raises(SystemExit) as end:
        call_command("verify_audit", tenant=log)
    assert end.value.code == 1
    assert "BAD" in capsys.readouterr().out


# --- Reading and removing --------------------------------------------------------------------------------


def test_pages_follow_each_other_without_a_gap(log: UUID) -> None:
    seen: list[int] = []
    before = None
    while page := queries.page(log, queries.Filter(), before=before, limit=7):
        seen += [entry.seq for entry in page]
        before = page[-1].seq
    assert seen == list(range(39, -1, -1))


@pytest.mark.parametrize("cell", ["=HYPERLINK(1)", "+1", "-1", "@x", "\tx", "\rx"])
def test_a_cell_that_a_spreadsheet_would_run_is_neutralised(cell: str) -> None:
    assert export.neutral(cell).startswith("'")


@pytest.mark.parametrize("cell", ["plain", "a=b", "", "1-2", "x\ty"])
def test_other_cells_stay_as_they_are(cell: str) -> None:
    assert export.neutral(cell) == cell


@pytest.mark.django_db
def test_the_csv_has_one_line_for_every_entry() -> None:
    tenant = uuid4()
    hostile = {
        "kind": "person",
        "id": str(uuid4()),
        "name": '=cmd|"/c calc"!A1',
        "side": "customer",
        "email": "a@b.example",
    }
    recorder.record([an_entry(tenant, actor=hostile, detail={"comment": 'two\r\nlines, "quoted"'})], at=AT)
    text = "".join(export.csv_lines(queries.in_order(tenant), Shards.of(tenant)))
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert text.count("\r\n") == 2
    assert rows[0]["actor"] == '\'=cmd|"/c calc"!A1'
    assert json.loads(rows[0]["detail"]) == {"comment": 'two\r\nlines, "quoted"'}


@pytest.mark.django_db
def test_the_csv_says_which_decisions_were_signed() -> None:
    tenant = uuid4()
    details: list[dict[str, Any]] = [{}, {"signed": False}, {"signed": True, "signature": {"passkey": "p-1"}}]
    recorder.record([an_entry(tenant, detail=detail) for detail in details], at=AT)
    text = "".join(export.csv_lines(queries.in_order(tenant), Shards.of(tenant)))
    rows = csv.DictReader(io.StringIO(text, newline=""))
    assert [(row["signed"], row["signed_by"]) for row in rows] == [("", ""), ("no", ""), ("yes", "p-1")]


@pytest.mark.django_db
def test_json_lines_carry_the_record_with_its_index_and_hash(log: UUID) -> None:
    lines = list(export.json_lines(queries.in_order(log), Shards.of(log)))
    assert len(lines) == 40
    for index, line in enumerate(lines):
        record = json.loads(line)
        assert record["index"] == index
        assert canonical.leaf_hash(canonical.encode(record["entry"])).hex() == record["leaf_hash"]


@pytest.mark.parametrize(("opened", "closed"), [(b"[", b"]"), (b'{"a":', b"}")])
def test_what_is_nested_too_deeply_is_not_read(opened: bytes, closed: bytes) -> None:
    deepest = opened * 49 + b"1" + closed * 49
    assert exported_entries.parse(deepest) == json.loads(deepest)
    for levels in (51, 100_000):
        with pytest.raises(ValueError, match="nested too deeply"):
            exported_entries.parse(opened * levels + b"1" + closed * levels)


@pytest.mark.django_db
def test_a_line_separator_in_a_comment_keeps_one_event_on_one_line() -> None:
    tenant = uuid4()
    recorder.record([an_entry(tenant, detail={"comment": "a\u2028b\u2029c\u0085d"})], at=AT)
    (line,) = export.json_lines(queries.in_order(tenant), Shards.of(tenant))
    assert len(line.splitlines()) == 1


@pytest.mark.django_db
def test_deleting_a_person_leaves_the_evidence(cast: Cast) -> None:
    operations.switch_off_person(cast.erik.pk, actor=cast.as_("stella"))
    before = AuditEntry.objects.count()
    cast.erik.queue_assignments.all().delete()
    cast.erik.delete()
    assert AuditEntry.objects.count() == before
    assert ChainHead.objects.count() == 1
