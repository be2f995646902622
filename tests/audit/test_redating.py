"""The hourly dating of many logs: a log gets a new date only if it is exactly as it was signed."""

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.test.utils import CaptureQueriesContext

from audit_app import checkpoints, heads, keys, log_events, log_name, proofs, rechecks, redating, signing_round
from audit_app.models import AuditEntry, ChainHead, Checkpoint, LogAlarm, SignedHead, Tile
from audit_app.notes import Note
from audit_app.signing_round import Work
from audit_app.stored_heads import HeadsUnavailable
from audit_app.tiles import WIDTH, Tiles
from tests.audit import care
from tests.audit.test_checkpoints import AT, TENANT, append, cut_to, flip_bit, flipped, meddle, uuid_sql

pytestmark = pytest.mark.django_db

HOUR = dt.timedelta(hours=1)


def work(at: dt.datetime) -> Work:
    return signing_round.work(lambda: at, limit=1000)


def signed(*sizes: int) -> list[UUID]:
    tenants = [UUID(int=number) for number in range(1, len(sizes) + 1)]
    for tenant, size in zip(tenants, sizes, strict=True):
        append(size, tenant=tenant)
    assert work(AT) == Work(signed=len(sizes))
    return tenants


def test_logs_of_every_length_are_dated_with_good_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redating, "BATCH", 4)
    tenants = signed(1, 2, 255, 256, 257, 600, 1)
    monkeypatch.setattr(checkpoints, "sign", None)  # no log takes the slow path
    assert work(AT + HOUR) == Work(dated=7)
    public = keys.load().publics[0]
    for tenant in tenants:
        row = Checkpoint.objects.get(tenant_id=tenant)
        assert (row.signed_at, row.dated_at) == (AT, AT + HOUR)
        note = Note.parse(row.note)
        assert note.times(log_name.clock_key(public)) == [int((AT + HOUR).timestamp())]
        assert note.times(keys.log_key(checkpoints.origin_of(tenant, 0), public)) == [None]
        assert SignedHead.objects.get(pk=tenant).dated_at == AT + HOUR
        assert proofs.receipt(tenant, 0).checkpoint == note
    assert work(AT + HOUR) == Work()


@pytest.mark.slow
def test_a_hundred_logs_cost_as_many_queries_as_five() -> None:
    signed(*[3] * 5)
    with CaptureQueriesContext(connection) as few:
        assert work(AT + HOUR) == Work(dated=5)
    for number in range(6, 101):
        append(3, tenant=UUID(int=number))
    assert work(AT + HOUR) == Work(signed=95)
    with CaptureQueriesContext(connection) as many:
        assert work(AT + 2 * HOUR) == Work(dated=100)
    assert len(many) == len(few) < 25


def test_three_long_logs_cost_as_many_queries_as_one() -> None:
    """Their full tiles and the tiles above them are read together, too."""
    signed(300)
    with CaptureQueriesContext(connection) as few:
        assert work(AT + HOUR) == Work(dated=1)
    for number in (2, 3):
        append(300, tenant=UUID(int=number))
    assert work(AT + HOUR) == Work(signed=2)
    with CaptureQueriesContext(connection) as many:
        assert work(AT + 2 * HOUR) == Work(dated=3)
    assert len(many) == len(few)


def test_a_log_with_new_entries_is_signed_and_not_only_dated() -> None:
    first, second = signed(3, 3)
    append(1, tenant=second)
    ChainHead.objects.filter(pk=second).update(unsigned_since=None)  # as if the mark of unsigned entries had been lost
    assert work(AT + HOUR) == Work(dated=2)
    assert checkpoints.newest(first, 0).size == 3
    assert checkpoints.newest(second, 0).size == 4


def test_a_new_key_is_announced_in_a_log_without_new_entries_before_it_signs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(settings, "LOG_KEY_FILE", tmp_path / "log_key")
    keys.create()
    [tenant] = signed(3)
    keys.rotate()
    assert work(AT + HOUR) == Work(dated=1)
    assert AuditEntry.objects.filter(tenant_id=tenant, event=log_events.KEY_ROTATED).count() == 1
    checkpoint = checkpoints.newest(tenant, 0)
    assert checkpoint is not None
    assert (checkpoint.size, bytes(SignedHead.objects.get().key)) == (4, keys.load().publics[0])
    assert work(AT + 2 * HOUR) == Work(dated=1)
    assert Checkpoint.objects.count() == 2


def test_one_tile_is_checked_each_time_then_the_next_in_a_circle() -> None:
    signed(600)
    seen = []
    for hour in range(1, 8):
        assert work(AT + hour * HOUR).dated == 1
        seen.append(SignedHead.objects.get().checked_to)
    assert seen == [256, 512, 600, 256, 512, 600, 256]


@pytest.mark.parametrize("seq", [0, 500, 1279, 1280, 1299])
def test_a_log_longer_than_the_recheck_is_covered_within_its_turn(seq: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rechecks, "TURN", 3 * HOUR)
    monkeypatch.setattr(checkpoints, "LOOK_BACK", WIDTH)
    append(1300)
    checkpoints.sign(TENANT, at=AT)
    for hour in (1, 2):  # each round begins at another position of the log
        assert work(AT + hour * HOUR) == Work(dated=1)
    flip_bit("audit_app_auditentry", "canonical", "seq", seq, at=40)
    found = [work(AT + hour * HOUR).refused for hour in (3, 4, 5)]
    assert [(TENANT, "altered")] in found
    assert LogAlarm.objects.get().detail["seq"] == seq


@pytest.mark.parametrize("minutes", [10, 50])
def test_a_growing_log_is_covered_within_its_turn_for_any_number_of_signatures(
    minutes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rechecks, "TURN", 5 * HOUR)
    monkeypatch.setattr(checkpoints, "LOOK_BACK", WIDTH)
    append(1600)
    checkpoints.sign(TENANT, at=AT)
    flip_bit("audit_app_auditentry", "canonical", "seq", 1500, at=40)
    refused = []
    for minute in range(minutes, 5 * 60 + minutes, minutes):
        append(1, at=AT + minute * dt.timedelta(minutes=1))
        refused += work(AT + minute * dt.timedelta(minutes=1)).refused
        if refused:
            break
    assert refused == [(TENANT, "altered")]


def test_a_short_log_costs_one_tile_and_a_very_long_one_no_more_than_the_most() -> None:
    def share(size: int, since: dt.timedelta | None, checked_to: int = 0) -> rechecks.Recheck:
        signed = SignedHead(size=size, checked_to=checked_to, dated_at=AT - since if since is not None else None)
        return rechecks.due(signed, AT, least=WIDTH)

    assert share(0, None).ranges == ()
    assert share(20, HOUR).ranges == ((0, 20),)
    assert share(20, 9 * 24 * HOUR, checked_to=20).ranges == ((0, 20),)
    assert share(6144, HOUR).count == WIDTH
    assert 1_000_000 / 24 <= share(1_000_000, HOUR).count < 1_000_000 / 24 + WIDTH
    assert share(1_000_000, dt.timedelta(seconds=10)).count == WIDTH
    assert share(1_000_000, -HOUR).count == WIDTH, "a clock that was set back"
    for size in (50_000_000, 99_999):
        assert share(size, 9 * 24 * HOUR).count <= rechecks.MOST_ENTRIES + WIDTH
    assert share(600, 12 * HOUR, checked_to=512).ranges == (
        (512, 600),
        (0, 256),
    )
    assert share(600, 24 * HOUR, checked_to=256).ranges == ((256, 600), (0, 256))
    assert share(600, 24 * HOUR, checked_to=256).end == 256


def test_long_logs_come_in_batches_that_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redating, "BATCH", 3)
    rows = [
        SignedHead(tenant_id=UUID(int=n), size=size, dated_at=AT) for n, size in enumerate([1, 18_000, 1, 1, 1, 300, 1])
    ]
    found = list(redating.batches(rows, at=AT + HOUR))
    assert [[pk.int for pk in each] for each in found] == [[0], [1], [2, 3, 4], [5, 6]]
    assert list(redating.batches([], at=AT)) == []


def test_a_hash_of_a_higher_level_outside_the_root_is_checked_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test changes a hash on which the root does not depend. The root stays the same, so only the tile shows it."""
    append(300)
    checkpoints.sign(TENANT, at=AT)
    row = Tile.objects.get(level=1)
    Tile.objects.filter(pk=row.pk).update(hashes=flipped(bytes(row.hashes), 3))
    frontier = heads.get(checkpoints.origin_of(TENANT, 0)).frontier
    monkeypatch.setattr(Tiles, "frontier", lambda *_: frontier)
    [(tenant, code)] = work(AT + HOUR).refused
    assert (tenant, code) == (TENANT, "tile")


def test_a_bit_flipped_in_memory_before_a_heartbeat_is_signed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    signed(300)
    plain = redating._is_sound

    def and_flip(log: Any, entries: Any) -> bool:
        sound = plain(log, entries)
        log.stored = replace(log.stored, head=replace(log.stored.head, root=flipped(log.stored.head.root, 7)))
        return sound

    monkeypatch.setattr(redating, "_is_sound", and_flip)
    assert redating.date([UUID(int=1)], at=AT + HOUR, have=keys.load()) == set()
    assert Checkpoint.objects.get().dated_at == AT


@pytest.mark.parametrize("seq", [0, 255, 256, 599])
def test_a_changed_entry_of_an_idle_log_is_found_by_its_heartbeats(seq: int) -> None:
    append(600)
    checkpoints.sign(TENANT, at=AT)
    flip_bit("audit_app_auditentry", "canonical", "seq", seq, at=40)
    found = [work(AT + hour * HOUR).refused for hour in range(1, 4)]
    assert [(TENANT, "altered")] in found
    assert LogAlarm.objects.get().detail["seq"] == seq


def test_a_deleted_entry_of_an_idle_log_is_found() -> None:
    append(20)
    checkpoints.sign(TENANT, at=AT)
    meddle("DELETE FROM audit_app_auditentry WHERE tenant_id = %s AND seq = 7", uuid_sql(TENANT))
    assert work(AT + HOUR).refused == [(TENANT, "altered")]
    assert Checkpoint.objects.get().dated_at == AT


def test_a_flipped_tile_of_an_idle_log_is_found() -> None:
    append(300)
    checkpoints.sign(TENANT, at=AT)
    for row in Tile.objects.filter(level=0):
        Tile.objects.filter(pk=row.pk).update(hashes=flipped(bytes(row.hashes), 3))
    [(tenant, code)] = work(AT + HOUR).refused
    assert (tenant, code in ("altered", "tile", "different")) == (TENANT, True)
    assert Checkpoint.objects.get().dated_at == AT


def test_a_restored_idle_log_is_refused_and_holds_up_none_of_its_batch() -> None:
    others = signed(2, 2, 2)
    append(10)
    checkpoints.sign(TENANT, at=AT)
    cut_to(8)
    assert work(AT + HOUR) == Work(dated=3, refused=[(TENANT, "shorter")])
    assert set(Checkpoint.objects.filter(dated_at=AT + HOUR).values_list("tenant_id", flat=True)) == set(others)


def test_a_lost_file_outside_is_refused_for_every_idle_log() -> None:
    tenants = signed(2, 2)
    Path(settings.LOG_HEADS_FILE).unlink()
    assert sorted(work(AT + HOUR).refused) == [(tenant, "outside_behind") for tenant in sorted(tenants)]
    assert not Checkpoint.objects.filter(dated_at__gt=AT).exists()


def test_pruned_entries_are_not_missed() -> None:
    append(20)
    checkpoints.sign(TENANT, at=AT)
    care.prune(TENANT, 12)
    checkpoints.sign(TENANT, at=AT)
    assert work(AT + HOUR) == Work(dated=1)
    SignedHead.objects.update(checked_to=0)
    append(1)
    assert work(AT + 2 * HOUR) == Work(signed=1)


def test_entries_pruned_while_the_signer_reads_are_not_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    append(20)
    checkpoints.sign(TENANT, at=AT)
    append(1)
    plain = checkpoints._leaves

    def and_prune(*arguments: Any) -> Any:
        if not ChainHead.objects.get(pk=TENANT).pruned_to:
            care.prune(TENANT, 12)
        return plain(*arguments)

    monkeypatch.setattr(checkpoints, "_leaves", and_prune)
    assert work(AT) == Work(signed=1)
    assert not LogAlarm.objects.exists()


def test_a_date_by_another_signer_is_not_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    signed(2)
    plain = redating._write

    def late(*arguments: Any) -> Any:
        SignedHead.objects.update(dated_at=AT + HOUR)
        return plain(*arguments)

    monkeypatch.setattr(redating, "_write", late)
    assert redating.date([UUID(int=1)], at=AT + HOUR, have=keys.load()) == set()
    assert Checkpoint.objects.get().dated_at == AT


# --- Rounds ----------------------------------------------------------------------------------------------


def test_a_log_whose_rows_cannot_be_read_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    tenants = signed(2, 2, 2)
    for tenant in tenants:
        append(1, tenant=tenant)
    plain = checkpoints.sign

    def sign(tenant_id: UUID, **rest: Any) -> Any:
        if tenant_id == tenants[0]:
            with transaction.atomic():
                raise DatabaseError("a page of the table is broken")
        return plain(tenant_id, **rest)

    monkeypatch.setattr(checkpoints, "sign", sign)
    assert work(AT) == Work(signed=2, failed=[tenants[0]])
    assert not LogAlarm.objects.exists(), "the log itself is not to blame"


def test_rows_that_cannot_be_read_together_are_dated_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    signed(2, 2)

    def broken(*_: Any, **__: Any) -> Any:
        raise DatabaseError("a page of the table is broken")

    monkeypatch.setattr(redating, "date", broken)
    assert work(AT + HOUR) == Work(dated=2)


def test_a_round_ends_when_its_time_is_over() -> None:
    tenants = signed(1, 1, 1)
    for tenant in tenants:
        append(1, tenant=tenant)
    left = iter([False, True])
    assert signing_round.work(lambda: AT, limit=10, is_over=lambda: next(left)) == Work(signed=1)


def test_only_one_process_of_a_machine_signs_at_a_time() -> None:
    append(1)
    with heads.turn() as is_ours:
        assert is_ours
        assert work(AT) == Work()
    assert work(AT) == Work(signed=1)


def test_with_a_file_outside_that_cannot_be_written_a_round_does_nothing() -> None:
    append(1)
    Path(settings.LOG_HEADS_FILE).write_bytes(b"rubbish" * 1000)
    with pytest.raises(HeadsUnavailable):
        work(AT)
    assert not Checkpoint.objects.exists()
    assert not LogAlarm.objects.exists()


def test_killed_between_the_head_outside_and_the_commit_the_same_head_is_signed_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    append(300)
    checkpoints.sign(TENANT, at=AT)
    append(10)
    plain = heads.put

    class Killed(BaseException):
        pass

    def put_and_die(*arguments: Any, **rest: Any) -> None:
        plain(*arguments, **rest)
        raise Killed

    monkeypatch.setattr(heads, "put", put_and_die)
    with pytest.raises(Killed):
        checkpoints.sign(TENANT, at=AT)
    stored_head = heads.get(checkpoints.origin_of(TENANT, 0))
    assert (stored_head.head.size, checkpoints.newest(TENANT, 0).size) == (310, 300)
    monkeypatch.setattr(heads, "put", plain)
    append(5)
    assert work(AT) == Work(signed=1)
    stored = list(Checkpoint.objects.order_by("size"))
    assert [row.size for row in stored] == [300, 315]
    assert proofs.consistency(stored[0], stored[1])
    assert proofs.consistency_to(stored[1], 310)
    assert not LogAlarm.objects.exists()
