"""The signer: what it signs, when it signs, and what it refuses to sign."""

import datetime as dt
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.db import DatabaseError, connection, transaction

from audit_app import (
    canonical,
    checkpoints,
    heads,
    keys,
    log_events,
    log_name,
    notes,
    proofs,
    recorder,
    signing_round,
    tree,
)
from audit_app.checkpoints import Refusal
from audit_app.models import AuditEntry, ChainHead, Checkpoint, ClosedShard, LogAlarm, SignedHead, Tile
from audit_app.notes import Head, Note
from audit_app.stored_heads import PlaceUnusable
from audit_app.tiles import Tiles
from audit_app.verify import verify
from requests_app.domain.acts.log import LOG_KEY_ROTATED
from tests.audit import care

pytestmark = [pytest.mark.dialect, pytest.mark.django_db]

AT = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
TENANT = UUID("6a1c7c1e-0000-4000-8000-000000000001")
OTHER = "what was signed is another head than that of the tiles"


def append(count: int, *, tenant: UUID = TENANT, at: dt.datetime = AT, what: str = "x") -> None:
    entries = [
        recorder.Witnessed(
            tenant_id=tenant,
            event="ticket.commented",
            door="pages",
            actor={"kind": "person", "id": str(UUID(int=7)), "name": "Nora", "side": "customer", "email": "n@e.test"},
            subject_type="ticket",
            subject_id=f"{what}{number}",
        )
        for number in range(count)
    ]
    with transaction.atomic():
        recorder.record(entries, at=at)


def leaves(tenant: UUID = TENANT) -> list[bytes]:
    bodies = AuditEntry.objects.filter(tenant_id=tenant).order_by("seq").values_list("canonical", flat=True)
    return [tree.leaf(bytes(body)) for body in bodies]


def meddle(sql: str, *values: Any) -> None:
    """Run a statement as the owner of the database could: with the triggers switched off."""
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            triggers = cursor.fetchall()
            for name, _sql in triggers:
                cursor.execute(f'DROP TRIGGER "{name}"')
            cursor.execute(sql, values)
            for _name, body in triggers:
                cursor.execute(body)
        else:
            cursor.execute("SET LOCAL session_replication_role = replica")
            cursor.execute(sql, values)
            cursor.execute("SET LOCAL session_replication_role = origin")


def uuid_sql(tenant: UUID) -> Any:
    return tenant.hex if connection.vendor == "sqlite" else tenant


def cut_to(size: int, signed: int | None = None) -> None:
    """Cut all rows of the log back to this size, as if somebody had restored an old backup.

    `signed` is the size of the last checkpoint in that backup. Without it, the whole log was signed.
    """
    tenant, last = uuid_sql(TENANT), size if signed is None else signed
    meddle("DELETE FROM audit_app_auditentry WHERE tenant_id = %s AND seq >= %s", tenant, size)
    meddle("DELETE FROM audit_app_checkpoint WHERE tenant_id = %s AND size > %s", tenant, last)
    meddle("UPDATE audit_app_chainhead SET size = %s WHERE tenant_id = %s", size, tenant)
    meddle("UPDATE audit_app_signedhead SET size = %s WHERE tenant_id = %s", last, tenant)


# --- What is signed --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 255, 256, 257, 600])
def test_a_checkpoint_is_the_root_over_the_entries_bytes_signed_by_the_logs_key(size: int) -> None:
    append(size)
    checkpoint = checkpoints.sign(TENANT, at=AT)
    assert checkpoint is not None
    note = Note.parse(checkpoint.note)
    origin = f"{settings.LOG_ORIGIN}/log/{TENANT}"
    assert Head.parse(note.text) == Head(origin, size, tree.root_of(leaves()))
    public = keys.load().publics[0]
    assert note.times(keys.log_key(origin, public)) == [None]
    assert note.times(log_name.clock_key(public)) == [int(AT.timestamp())]
    assert ChainHead.objects.get(pk=TENANT).unsigned_since is None


def test_it_grows_batch_by_batch_and_every_checkpoint_follows_from_every_earlier_one() -> None:
    for count in (1, 3, 250, 2, 300, 1):
        append(count)
        checkpoints.sign(TENANT, at=AT)
    stored = list(Checkpoint.objects.order_by("size"))
    assert [each.size for each in stored] == [1, 4, 254, 256, 556, 557]
    for newer in stored:
        for older in stored:
            if older.size <= newer.size:
                path = proofs.consistency(older, newer)
                tree.check_consistency(older.size, newer.size, bytes(older.root), bytes(newer.root), path)


def test_a_backlog_is_signed_in_several_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "MOST_ENTRIES", 100)
    append(250)
    checkpoints.sign(TENANT, at=AT)
    assert list(Checkpoint.objects.values_list("size", flat=True)) == [100, 200, 250]
    assert verify(TENANT).is_good


def test_a_heartbeat_dates_the_same_head_again() -> None:
    append(3)
    first = checkpoints.sign(TENANT, at=AT)
    hour = dt.timedelta(hours=1)
    assert signing_round.work(lambda: AT + hour - dt.timedelta(seconds=1), limit=10) == signing_round.Work()
    assert signing_round.work(lambda: AT + hour, limit=10) == signing_round.Work(dated=1)
    row = Checkpoint.objects.get()
    note = Note.parse(row.note)
    assert first is not None
    assert note.text == Note.parse(first.note).text
    assert (row.signed_at, row.dated_at) == (AT, AT + hour)
    assert note.times(log_name.clock_key(keys.load().publics[0])) == [int((AT + hour).timestamp())]


def test_a_log_without_entries_is_not_signed_and_costs_no_row() -> None:
    assert checkpoints.sign(uuid4(), at=AT) is None
    assert signing_round.work(lambda: AT, limit=10) == signing_round.Work()
    assert not Checkpoint.objects.exists()
    assert not SignedHead.objects.exists()


def test_one_round_signs_only_logs_that_grew() -> None:
    tenants = [UUID(int=number) for number in range(1, 5)]
    for tenant in tenants:
        append(2, tenant=tenant)
    assert signing_round.work(lambda: AT, limit=10).signed == 4
    append(1, tenant=tenants[2])
    assert signing_round.work(lambda: AT, limit=10) == signing_round.Work(signed=1)


def test_without_a_key_nothing_is_signed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settings, "LOG_KEY_FILE", tmp_path / "none")
    append(1)
    with pytest.raises(keys.NoKey):
        signing_round.work(lambda: AT, limit=10)
    assert not Checkpoint.objects.exists()


# --- Key rotation ----------------------------------------------------------------------------------------


def test_a_new_key_is_announced_in_the_log_and_both_sign(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settings, "LOG_KEY_FILE", tmp_path / "log_key")
    keys.create()
    append(2)
    checkpoints.sign(TENANT, at=AT)
    old = keys.load().publics[0]
    keys.rotate()
    new = keys.load().publics[0]
    checkpoint = checkpoints.sign(TENANT, at=AT)
    assert checkpoint is not None
    entry = AuditEntry.objects.order_by("seq").last()
    origin = checkpoints.origin_of(TENANT, 0)
    assert entry.event == LOG_KEY_ROTATED == log_events.KEY_ROTATED
    assert entry.seq == 2
    old_key, new_key = keys.log_key(origin, old), keys.log_key(origin, new)
    words = canonical.encode({"new": str(new_key), "old": [str(old_key)]})
    assert words in bytes(entry.canonical)
    note = Note.parse(checkpoint.note)
    assert checkpoint.size == 3
    assert note.times(old_key) == note.times(new_key) == [None]
    keys.retire()
    append(1)
    later = checkpoints.sign(TENANT, at=AT)
    assert later is not None
    assert Note.parse(later.note).times(new_key) == [None]
    with pytest.raises(notes.BadNote):
        Note.parse(later.note).times(old_key)
    assert AuditEntry.objects.filter(event=LOG_KEY_ROTATED).count() == 1


# --- What is refused -------------------------------------------------------------------------------------


def refused(code: str, **detail: Any) -> None:
    """Assert that the signer refuses with this alarm, signs nothing, and leaves the stored head as it is."""
    signed = list(Checkpoint.objects.order_by("pk").values_list("size", "note"))
    stored = heads.get(checkpoints.origin_of(TENANT, 0))
    with pytest.raises(Refusal) as caught:
        checkpoints.sign(TENANT, at=AT)
    assert caught.value.code == code
    for name, value in detail.items():
        assert caught.value.detail[name] == value
    assert list(Checkpoint.objects.order_by("pk").values_list("size", "note")) == signed
    now = heads.get(checkpoints.origin_of(TENANT, 0))
    if code == "signature":
        # The head is moved before it is signed. Until a good signature is stored beside it, it has no note.
        assert now is None or not now.note or now.note == stored.note
    else:
        assert now == stored or now.head == stored.head
    assert LogAlarm.objects.get(pk=TENANT).code == code


def test_a_log_whose_tail_was_cut_is_refused() -> None:
    append(10)
    checkpoints.sign(TENANT, at=AT)
    cut_to(7)
    refused("shorter", signed=10, found=7)


def test_a_restored_backup_that_grew_again_is_refused() -> None:
    append(300)
    checkpoints.sign(TENANT, at=AT)
    append(10)
    checkpoints.sign(TENANT, at=AT)
    cut_to(300)
    append(40, what="another history ")
    refused("different", signed=310)


def test_a_restored_backup_whose_lost_entries_came_back_unchanged_is_signed_on() -> None:
    append(300)
    checkpoints.sign(TENANT, at=AT)
    append(10)
    checkpoints.sign(TENANT, at=AT)
    cut_to(300)
    append(10)
    append(1, what="new")
    checkpoint = checkpoints.sign(TENANT, at=AT)
    assert checkpoint is not None
    assert checkpoint.size == 311
    assert bytes(checkpoint.root) == tree.root_of(leaves())


@pytest.mark.parametrize("earlier", [0, 2])
@pytest.mark.parametrize("seq", [0, 255, 256, 511, 512, 599])
def test_a_bit_flipped_in_bytes_that_are_signed_is_found_before_the_next_signature(seq: int, earlier: int) -> None:
    append(600)
    checkpoints.sign(TENANT, at=AT)
    for _ in range(earlier):  # the number of earlier signatures decides which signed entries are checked again
        append(1)
        checkpoints.sign(TENANT, at=AT)
    flip_bit("audit_app_auditentry", "canonical", "seq", seq, at=40)
    append(1)
    refused("altered", seq=seq)


def test_a_bit_flipped_in_bytes_that_wait_for_their_signature_is_found() -> None:
    append(5)
    flip_bit("audit_app_auditentry", "canonical", "seq", 3, at=40)
    refused("altered", seq=3)


def test_bytes_and_hash_changed_together_are_found() -> None:
    append(600)
    checkpoints.sign(TENANT, at=AT)
    entry = AuditEntry.objects.get(seq=100)
    body = bytes(entry.canonical).replace(b"x100", b"y100")
    where = "WHERE tenant_id = %s AND seq = 100"
    meddle(
        f"UPDATE audit_app_auditentry SET canonical = %s, leaf_hash = %s, subject_id = 'y100' {where}",
        body,
        tree.leaf(body),
        uuid_sql(TENANT),
    )
    refused("altered", seq=100, why="the tree has another hash for it")


@pytest.mark.parametrize(("level", "number", "at"), [(0, 0, 31), (0, 1, 32 * 255), (0, 2, 0), (1, 0, 33)])
def test_a_bit_flipped_in_a_tile_is_found_before_the_next_signature(level: int, number: int, at: int) -> None:
    append(600)
    checkpoints.sign(TENANT, at=AT)
    row = Tile.objects.get(level=level, number=number)
    Tile.objects.filter(pk=row.pk).update(hashes=flipped(bytes(row.hashes), at))
    append(1)
    with pytest.raises(Refusal) as caught:
        checkpoints.sign(TENANT, at=AT)
    assert caught.value.code in ("tile", "different", "altered")
    assert Checkpoint.objects.count() == 1


@pytest.mark.parametrize("way", [0, 1])
def test_a_bit_flipped_in_memory_before_signing_is_found(way: int, monkeypatch: pytest.MonkeyPatch) -> None:
    append(300)
    plain = checkpoints._leaves

    def faulty(*arguments: Any) -> Any:
        ways = plain(*arguments)
        ways[way][17] = flipped(ways[way][17], 5)
        return ways

    monkeypatch.setattr(checkpoints, "_leaves", faulty)
    refused("tile", why="the tiles lead to another root than the entries")


def test_a_bit_flipped_while_a_tile_is_stored_is_found_in_the_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    append(300)
    plain = Tiles.extend

    def and_flip(tiles: Tiles, *arguments: Any) -> None:
        plain(tiles, *arguments)
        row = Tile.objects.get(level=0, number=1)
        Tile.objects.filter(pk=row.pk).update(hashes=flipped(bytes(row.hashes), 5))

    monkeypatch.setattr(Tiles, "extend", and_flip)
    refused("tile", why="the tiles lead to another root than the entries")


@pytest.mark.parametrize("where", ["root", "size", "origin"])
def test_a_bit_flipped_in_the_head_before_signing_is_found(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    append(300)
    checkpoints.sign(TENANT, at=AT)
    append(5)
    plain = checkpoints.signed_note

    def faulty(head: Head, *arguments: Any, **rest: Any) -> Note:
        flips: dict[str, Any] = {
            "root": flipped(head.root, 3),
            "size": head.size ^ 8,
            "origin": head.origin.replace("6a1c", "6a1d"),
        }
        object.__setattr__(head, where, flips[where])
        return plain(head, *arguments, **rest)

    monkeypatch.setattr(checkpoints, "signed_note", faulty)
    refused("signature", why=OTHER)


def test_a_full_tile_is_compared_with_all_levels_above_it() -> None:
    """In a log of 65,536 entries, the last full tile fills the tile above it, whose root is in the third level."""
    tiles = Tiles(TENANT, 0)
    tiles.give((0, 255), b"".join(tree.leaf(bytes([number])) for number in range(256)))
    tiles.give((1, 0), bytes(255 * 32) + tiles.root(0, 255))
    tiles.give((2, 0), tiles.root(1, 0))
    checkpoints.look_above(tiles, 255)
    tiles.give((2, 0), flipped(tiles.root(1, 0), 3))
    with pytest.raises(Refusal):
        checkpoints.look_above(tiles, 255)


def test_a_bit_flipped_in_the_root_while_it_is_computed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    append(300)
    plain, calls = checkpoints._agree, []

    def and_flip(reading: Any, tiles: Any, frontier: tree.Frontier) -> None:
        plain(reading, tiles, frontier)
        calls.append(frontier.size)
        frontier.hashes[0] = flipped(frontier.hashes[0], 31)

    monkeypatch.setattr(checkpoints, "_agree", and_flip)
    refused("signature", why="the computed head is another one than that of the tiles")
    assert calls == [300]
    assert heads.get(checkpoints.origin_of(TENANT, 0)) is None


@pytest.mark.parametrize("made_by", ["sign", "cosign"])
def test_a_bit_flipped_in_a_signature_is_found_before_it_is_stored(
    made_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(300)
    plain = getattr(notes, made_by)

    def faulty(*arguments: Any) -> notes.Signature:
        made = plain(*arguments)
        return replace(made, signature=flipped(made.signature, 20))

    monkeypatch.setattr(notes, made_by, faulty)
    refused("signature")
    assert heads.get(checkpoints.origin_of(TENANT, 0)).note == ""


def test_a_bit_flipped_in_the_text_before_signing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    append(300)
    plain = Head.text.fget  # type: ignore[attr-defined]  # a property

    monkeypatch.setattr(Head, "text", property(lambda head: plain(head).replace("\n300\n", "\n301\n")))
    refused("signature", why=OTHER)
    assert heads.get(checkpoints.origin_of(TENANT, 0)).note == ""


def test_a_signature_that_is_not_good_never_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    append(3)
    plain = notes.sign

    def faulty(*arguments: Any) -> notes.Signature:
        made = plain(*arguments)
        return notes.Signature(made.name, made.key_id, flipped(made.signature, 9))

    monkeypatch.setattr(notes, "sign", faulty)
    refused("signature")
    monkeypatch.setattr(notes, "sign", plain)
    assert checkpoints.sign(TENANT, at=AT).size == 3
    assert not LogAlarm.objects.exists()


def test_a_log_whose_head_outside_was_lost_is_refused_until_somebody_vouches_for_it() -> None:
    append(3)
    checkpoints.sign(TENANT, at=AT)
    Path(settings.LOG_HEADS_FILE).unlink()
    append(1)
    refused("outside_behind", kept=0, signed=3)
    assert checkpoints.adopt(TENANT).size == 3
    assert checkpoints.sign(TENANT, at=AT).size == 4
    assert not LogAlarm.objects.exists()


def test_a_file_outside_that_is_rubbish_is_refused() -> None:
    append(3)
    Path(settings.LOG_HEADS_FILE).write_bytes(b"rubbish" * 1000)
    with pytest.raises(PlaceUnusable, match="not a database"):
        checkpoints.sign(TENANT, at=AT)
    assert not Checkpoint.objects.exists()
    # The file is not about one log, so no log gets an alarm.
    assert not LogAlarm.objects.exists()


def test_a_refused_log_holds_up_no_other() -> None:
    other = UUID(int=99)
    append(3)
    checkpoints.sign(TENANT, at=AT)
    cut_to(2)
    append(1, what="forged")
    append(2, tenant=other)
    done = signing_round.work(lambda: AT, limit=10)
    assert done.signed == 1
    assert done.refused == [(TENANT, "different")]
    assert Checkpoint.objects.get(tenant_id=other).size == 2


# --- Restart after damage --------------------------------------------------------------------------------


def test_a_damaged_shard_is_closed_and_the_next_begins_above_all_that_was_signed() -> None:
    append(10)
    last = checkpoints.sign(TENANT, at=AT)
    cut_to(7)
    refused("shorter")
    detail = care.tombstone(TENANT, at=AT)
    assert last is not None
    origin = checkpoints.origin_of(TENANT, 0)
    assert detail == {
        "closes": origin,
        "opens": f"{origin}/1",
        "signed_size": 10,
        "found_size": 7,
        "checkpoint": last.note,
        "cause": "shorter",
    }
    append(1)
    assert list(AuditEntry.objects.order_by("seq").values_list("seq", flat=True)) == [*range(7), 10, 11]
    checkpoint = checkpoints.sign(TENANT, at=AT)
    assert checkpoint is not None
    assert Head.parse(Note.parse(checkpoint.note).text).origin == f"{origin}/1"
    assert checkpoint.size == 2
    assert bytes(checkpoint.root) == tree.root_of(leaves()[7:])
    assert not LogAlarm.objects.exists()
    assert verify(TENANT).is_good
    assert proofs.receipt(TENANT, 11).index == 1


def begun_again(**head: int) -> None:
    meddle(
        f"UPDATE audit_app_chainhead SET {', '.join(f'{name} = {value}' for name, value in head.items())}, "
        "unsigned_since = last_at WHERE tenant_id = %s",
        uuid_sql(TENANT),
    )


def no_tombstone() -> None:
    """Assert that the signer refuses a shard without a valid tombstone, and that the log's check finds a flaw."""
    assert verify(TENANT).flaw is not None
    refused("no_tombstone")
    assert heads.get(checkpoints.origin_of(TENANT, 1)) is None


def test_a_shard_that_no_tombstone_opened_is_not_signed() -> None:
    append(20)
    checkpoints.sign(TENANT, at=AT)
    begun_again(shard=1, first_seq=10)
    no_tombstone()


def test_another_history_is_not_signed_as_the_next_shard() -> None:
    """An attacker deletes all signed entries, and writes other entries that begin with an invented tombstone."""
    append(20)
    checkpoints.sign(TENANT, at=AT)
    meddle("DELETE FROM audit_app_auditentry WHERE tenant_id = %s", uuid_sql(TENANT))
    begun_again(shard=1, first_seq=0, size=0)
    closed = ClosedShard(tenant_id=TENANT, shard=0, first_seq=0, end_seq=0, found_size=0, closed_at=AT)
    closed.save()
    origin = checkpoints.origin_of(TENANT, 0)
    with transaction.atomic():
        care.say(TENANT, "log.tombstoned", {"closes": origin}, at=AT)
    append(30)
    refused("no_tombstone", seq=0, end=20)
    # A tombstone restarts the log at a number above all signed numbers.
    assert care.tombstone(TENANT, at=AT)["cause"] == "no_tombstone"
    assert checkpoints.sign(TENANT, at=AT) is not None
    assert ChainHead.objects.get(pk=TENANT).first_seq == 31


@pytest.mark.parametrize(
    "detail", [{}, {"closes": "somebody.else/log"}, {"closes": f"{settings.LOG_ORIGIN}/log/{TENANT}/1"}]
)
def test_a_tombstone_of_another_shard_opens_no_shard(detail: dict[str, Any]) -> None:
    append(20)
    checkpoints.sign(TENANT, at=AT)
    ClosedShard.objects.create(tenant_id=TENANT, shard=0, first_seq=0, end_seq=20, found_size=20, closed_at=AT)
    begun_again(shard=1, first_seq=20)
    with transaction.atomic():
        care.say(TENANT, "log.tombstoned", detail, at=AT)
    no_tombstone()


def test_a_tombstone_whose_bytes_were_changed_opens_no_shard() -> None:
    append(20)
    checkpoints.sign(TENANT, at=AT)
    care.tombstone(TENANT, at=AT)
    meddle("UPDATE audit_app_auditentry SET event = 'log.exported' WHERE tenant_id = %s AND seq = 20", uuid_sql(TENANT))
    no_tombstone()


@pytest.mark.parametrize(
    "head",
    [
        {"shard": 1, "first_seq": 590},
        {"shard": 1},
        {"first_seq": 10},
        {"shard": 1, "first_seq": 0, "size": 0},
        {"shard": 2, "first_seq": 20},
        {"shard": 1, "first_seq": 20, "pruned_to": 20},
    ],
)
def test_the_database_begins_a_shard_only_where_the_one_before_it_was_closed(head: dict[str, int]) -> None:
    append(20)
    checkpoints.sign(TENANT, at=AT)
    ClosedShard.objects.create(tenant_id=TENANT, shard=0, first_seq=0, end_seq=20, found_size=20, closed_at=AT)
    with pytest.raises(DatabaseError, match="a shard begins where"), transaction.atomic():
        ChainHead.objects.filter(pk=TENANT).update(**head)
    assert ChainHead.objects.get(pk=TENANT).shard == 0


def test_the_database_takes_no_shard_back() -> None:
    append(20)
    checkpoints.sign(TENANT, at=AT)
    care.tombstone(TENANT, at=AT)
    with pytest.raises(DatabaseError, match="a shard begins where"), transaction.atomic():
        ChainHead.objects.filter(pk=TENANT).update(shard=0, first_seq=0)


# --- Proofs ----------------------------------------------------------------------------------------------


def test_every_entry_has_a_receipt_under_the_newest_checkpoint() -> None:
    append(300)
    checkpoints.sign(TENANT, at=AT)
    append(1)
    for seq in (0, 255, 256, 299):
        proof = proofs.receipt(TENANT, seq)
        head = Head.parse(proof.checkpoint.text)
        assert proof.extra is not None
        tree.check_inclusion(seq, head.size, tree.leaf(proof.extra), proof.path, head.root)
    with pytest.raises(proofs.NotProven) as caught:
        proofs.receipt(TENANT, 300)
    assert caught.value.code == "unsigned"
    with pytest.raises(proofs.NotProven) as caught:
        proofs.receipt(TENANT, 301)
    assert caught.value.code == "absent"


def test_an_entry_has_its_place_in_the_tree_of_its_own_shard() -> None:
    append(10)
    checkpoints.sign(TENANT, at=AT)
    care.tombstone(TENANT, at=AT)
    append(5)
    checkpoints.sign(TENANT, at=AT)
    care.tombstone(TENANT, at=AT)
    places = {seq: proofs.tree_position(TENANT, seq) for seq in (0, 9, 10, 12, 15, 16)}
    assert {seq: (place.shard, place.first_seq, place.index) for seq, place in places.items()} == {
        0: (0, 0, 0),
        9: (0, 0, 9),
        10: (1, 10, 0),
        12: (1, 10, 2),
        15: (1, 10, 5),
        16: (2, 16, 0),
    }
    for seq in (-1, 17):
        with pytest.raises(proofs.NotProven) as caught:
            proofs.tree_position(TENANT, seq)
        assert caught.value.code == "absent"


def test_a_newest_checkpoint_that_is_not_the_logs_is_a_flaw() -> None:
    append(10)
    older = checkpoints.sign(TENANT, at=AT)
    append(5)
    newest = checkpoints.sign(TENANT, at=AT)
    assert older is not None
    assert newest is not None
    signature = newest.note.splitlines()[-2]
    for note, why in (
        (older.note, "the checkpoint says another head than the log"),
        ("no note", "the checkpoint can't be read"),
        (newest.note.replace(signature, older.note.splitlines()[-2]), "the checkpoint has no good signature"),
        (newest.note, None),
    ):
        Checkpoint.objects.filter(pk=newest.pk).update(note=note)
        flaw = verify(TENANT).flaw
        assert (flaw and (flaw.seq, flaw.why)) == (why and (14, why))


def test_a_damaged_tile_gives_no_receipt() -> None:
    append(300)
    checkpoints.sign(TENANT, at=AT)
    row = Tile.objects.get(level=0, number=0)
    Tile.objects.filter(pk=row.pk).update(hashes=flipped(bytes(row.hashes), 40))
    with pytest.raises(proofs.NotProven) as caught:
        proofs.receipt(TENANT, 3)
    assert caught.value.code == "damaged"


def flipped(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :]


def flip_bit(table: str, column: str, key: str, value: int, *, at: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {column} FROM {table} WHERE {key} = %s", [value])
        raw = bytes(cursor.fetchone()[0])
    meddle(f"UPDATE {table} SET {column} = %s WHERE {key} = %s", flipped(raw, at), value)
