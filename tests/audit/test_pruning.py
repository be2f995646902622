"""Pruning removes old entries, while their hashes stay.

It removes only signed entries, in steps that can be interrupted.
"""

import datetime as dt
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from django.db import DatabaseError, connection, transaction

from audit_app import canonical, checkpoints, proofs, pruning, recorder, second_process, signing_round, tree
from audit_app import verify as verification
from audit_app.checkpoints import Refusal
from audit_app.models import AuditEntry, ChainHead, Checkpoint, SignedHead, Tile
from audit_app.notes import Head
from audit_app.verify import Verification, verify
from tests.audit import care
from tests.audit.test_checkpoints import AT, TENANT, append, flip_bit, flipped, leaves, meddle, uuid_sql

pytestmark = pytest.mark.django_db

LATER = AT + dt.timedelta(days=1)
REQUEST = uuid4()


def about(request: UUID, *, at: dt.datetime = AT) -> None:
    entry = recorder.Witnessed(
        tenant_id=TENANT,
        event="access_request.submitted",
        door="pages",
        actor={"kind": "person", "id": None, "name": "Priya", "side": "provider", "email": "p@e.test"},
        subject_type="access_request",
        subject_id=str(request),
        correlation_id=request,
    )
    with transaction.atomic():
        recorder.record([entry], at=at)


def planned(*, keep: list[UUID] | None = None, before: dt.datetime = LATER) -> pruning.Plan | None:
    return pruning.plan(TENANT, before=before, keep=keep or [])


def allowed(wanted: pruning.Plan) -> bool:
    """Allow the removal and write the entry about it, unless it was allowed before. Return whether this was new."""
    with transaction.atomic():
        if is_new := pruning.allow(wanted):
            care.say(TENANT, "log.pruned", wanted.entry_detail, at=LATER)
    return is_new


def pruned() -> int:
    """Remove all entries that can be removed. Return how many were removed."""
    wanted = planned()
    if wanted is None:
        return 0
    pruning.require_hashes(wanted)
    with transaction.atomic():
        recorder.lock(TENANT)
        assert allowed(wanted)
    return pruning.remove(TENANT, limit=100_000)


def seqs() -> list[int]:
    return list(AuditEntry.objects.filter(tenant_id=TENANT).order_by("seq").values_list("seq", flat=True))


# --- What can be removed ---------------------------------------------------------------------------------


def test_only_what_is_older_and_signed_may_go() -> None:
    append(10)
    assert planned() is None, "nothing is signed"
    checkpoints.sign(TENANT, at=AT)
    append(5)
    append(5, at=LATER)
    wanted = planned()
    assert wanted is not None
    assert (wanted.start, wanted.end) == (0, 10), "five are old, and not signed yet"
    checkpoint = checkpoints.sign(TENANT, at=LATER)
    assert checkpoint is not None
    wanted = planned()
    assert wanted is not None
    assert (wanted.start, wanted.end) == (0, 15), "five are signed, and not old"
    assert wanted.entry_detail == {
        "from": 0,
        "to": 15,
        "checkpoint": {
            "origin": checkpoints.origin_of(TENANT, 0),
            "size": 20,
            "root": bytes(checkpoint.root).hex(),
        },
    }
    assert planned(before=AT) is None, "nothing is old"


def test_nothing_is_removed_after_an_access_request_under_way() -> None:
    append(5)
    about(REQUEST)
    append(5)
    checkpoints.sign(TENANT, at=AT)
    wanted = planned(keep=[uuid4(), REQUEST])
    assert wanted is not None
    assert wanted.end == 5
    everything = planned(keep=[uuid4()])
    assert everything is not None
    assert everything.end == 11


def test_an_access_request_at_the_beginning_keeps_all_entries() -> None:
    about(REQUEST)
    append(5)
    checkpoints.sign(TENANT, at=AT)
    assert planned(keep=[REQUEST]) is None


def test_a_long_log_goes_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "MOST_ENTRIES", 400)
    append(1000)
    checkpoints.sign(TENANT, at=AT)
    assert [pruned() for _ in range(4)] == [400, 400, 200, 0]


# --- What stays ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("old", [1, 255, 256, 257, 599])
def test_remaining_entries_receipts_and_old_checkpoints_still_verify(old: int) -> None:
    append(old)
    first = checkpoints.sign(TENANT, at=AT)
    append(600 - old, at=LATER)
    checkpoints.sign(TENANT, at=LATER)
    root = tree.root_of(leaves())
    assert pruned() == old
    assert seqs() == list(range(old, 601))
    assert verify(TENANT).is_good
    append(3, at=LATER)
    newest = checkpoints.sign(TENANT, at=LATER)
    assert newest is not None
    assert first is not None
    proof = proofs.receipt(TENANT, 601)
    head = Head.parse(proof.checkpoint.text)
    assert proof.extra is not None
    tree.check_inclusion(601, head.size, tree.leaf(proof.extra), proof.path, head.root)
    assert proofs.consistency(first, newest)
    assert bytes(Checkpoint.objects.get(size=600).root) == root
    with pytest.raises(proofs.NotProven) as caught:
        proofs.receipt(TENANT, old - 1)
    assert caught.value.code in ("pruned", "absent")


def test_a_change_of_what_remains_is_still_found() -> None:
    append(300)
    append(300, at=LATER)
    checkpoints.sign(TENANT, at=LATER)
    pruned()
    flip_bit("audit_app_auditentry", "canonical", "seq", 450, at=30)
    verdict = verify(TENANT)
    assert verdict.flaw is not None
    assert verdict.flaw.seq == 450


def test_a_running_check_continues_after_the_removed_entries() -> None:
    append(300)
    append(300, at=LATER)
    checkpoints.sign(TENANT, at=LATER)
    check = Verification.begin(TENANT)
    check.advance(100)
    pruned()
    while not check.has_ended:
        check.advance(100)
    assert (check.flaw, check.seq) == (None, 600)


def test_a_running_check_ends_although_all_that_it_has_not_read_was_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verification, "MANY", 2)
    monkeypatch.setattr(second_process, "is_of_use", lambda: True)
    append(100)
    checkpoints.sign(TENANT, at=AT)
    check = Verification.begin(TENANT)
    for _ in range(2):
        check.advance(20)
    # All batches but the last one were read.
    pruned()
    while not check.has_ended:
        check.advance(20)
    assert (check.flaw, check.seq) == (None, 100)


def test_a_missing_entry_is_a_flaw_although_others_were_removed() -> None:
    append(300)
    append(300, at=LATER)
    checkpoints.sign(TENANT, at=LATER)
    pruned()
    meddle("DELETE FROM audit_app_auditentry WHERE tenant_id = %s AND seq = 400", uuid_sql(TENANT))
    verdict = verify(TENANT)
    assert verdict.flaw is not None
    assert verdict.flaw.seq == 400


# --- Refusals --------------------------------------------------------------------------------------------


def test_the_database_lets_nothing_go_that_no_checkpoint_covers() -> None:
    append(10)
    checkpoints.sign(TENANT, at=AT)
    append(5)
    with pytest.raises(DatabaseError, match="only what a checkpoint covers is pruned"), transaction.atomic():
        ChainHead.objects.filter(pk=TENANT).update(pruned_to=11)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AuditEntry.objects.filter(seq=0).delete()
    wanted = planned()
    assert wanted is not None
    assert allowed(wanted)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AuditEntry.objects.filter(seq=10).delete()
    with pytest.raises(DatabaseError, match="only what a checkpoint covers is pruned"), transaction.atomic():
        ChainHead.objects.filter(pk=TENANT).update(pruned_to=9)
    assert seqs() == list(range(16))


@pytest.mark.parametrize("seq", [0, 255, 256, 299])
def test_an_entry_that_was_changed_does_not_vanish_and_the_signer_is_shown_it(seq: int) -> None:
    append(300)
    append(300, at=LATER)
    checkpoints.sign(TENANT, at=LATER)
    flip_bit("audit_app_auditentry", "canonical", "seq", seq, at=30)
    wanted = planned()
    assert wanted is not None
    with pytest.raises(Refusal) as caught:
        pruning.require_hashes(wanted)
    assert (caught.value.code, caught.value.detail["seq"]) == ("altered", seq)
    assert SignedHead.objects.get().checked_to == seq
    with pytest.raises(Refusal) as caught:
        checkpoints.sign(TENANT, at=LATER)
    assert caught.value.code == "altered"
    assert len(seqs()) == 600


def test_an_entry_that_is_gone_already_is_not_covered_up() -> None:
    append(300)
    append(300, at=LATER)
    checkpoints.sign(TENANT, at=LATER)
    meddle("DELETE FROM audit_app_auditentry WHERE tenant_id = %s AND seq = 17", uuid_sql(TENANT))
    wanted = planned()
    assert wanted is not None
    with pytest.raises(Refusal) as caught:
        pruning.require_hashes(wanted)
    assert caught.value.detail["seq"] == 17


@pytest.mark.dialect
@pytest.mark.parametrize("hours", [-1000, 9])
def test_a_changed_time_removes_no_entry_that_is_not_old(hours: int) -> None:
    """A column changes no plan. Changed bytes do, and then nothing is removed."""
    for hour in range(64):
        append(1, at=AT + dt.timedelta(hours=hour))
    checkpoints.sign(TENANT, at=AT + dt.timedelta(hours=64))
    before, forged = AT + dt.timedelta(hours=10), AT + dt.timedelta(hours=hours)
    honest = planned(before=before)
    assert honest is not None
    assert honest.end == 10
    pruning.require_hashes(honest)
    change = "UPDATE audit_app_auditentry SET {} = %s WHERE tenant_id = %s AND seq = 31"
    meddle(change.format("at"), connection.ops.adapt_datetimefield_value(forged), uuid_sql(TENANT))
    assert planned(before=before) == honest
    entry = AuditEntry.objects.get(tenant_id=TENANT, seq=31)
    at = canonical.instant(AT + dt.timedelta(hours=31)).encode()
    body = bytes(entry.canonical).replace(at, canonical.instant(forged).encode())
    meddle(change.format("canonical"), body, uuid_sql(TENANT))
    wanted = planned(before=before)
    assert wanted is not None
    assert wanted.end == 32
    with pytest.raises(Refusal) as caught:
        pruning.require_hashes(wanted)
    assert (caught.value.code, caught.value.detail["seq"]) == ("altered", 31)


def test_no_plan_with_an_entry_that_is_not_old_is_followed() -> None:
    for hour in range(64):
        append(1, at=AT + dt.timedelta(hours=hour))
    checkpoints.sign(TENANT, at=AT + dt.timedelta(hours=64))
    honest = planned(before=AT + dt.timedelta(hours=10))
    assert honest is not None
    with pytest.raises(Refusal) as caught:
        pruning.require_hashes(replace(honest, end=32))
    assert (caught.value.code, caught.value.detail["seq"]) == ("altered", 31)


@pytest.mark.parametrize(("level", "number"), [(0, 0), (0, 1), (0, 2), (1, 0)])
def test_entries_with_wrong_hashes_are_not_removed(level: int, number: int) -> None:
    append(600)
    checkpoints.sign(TENANT, at=AT)
    row = Tile.objects.get(level=level, number=number)
    Tile.objects.filter(pk=row.pk).update(hashes=flipped(bytes(row.hashes), 5))
    wanted = planned()
    assert wanted is not None
    with pytest.raises(Refusal):
        pruning.require_hashes(wanted)
    Tile.objects.filter(pk=row.pk).delete()
    with pytest.raises(Refusal) as caught:
        pruning.require_hashes(wanted)
    assert caught.value.code == "tile"


# --- Interruptions ---------------------------------------------------------------------------------------


def test_removing_can_be_interrupted_anywhere_and_continues() -> None:
    append(10)
    append(2, at=LATER)
    checkpoints.sign(TENANT, at=LATER)
    wanted = planned()
    assert wanted is not None
    assert pruning.unfinished() == []
    assert allowed(wanted)
    assert pruning.unfinished() == [TENANT]
    assert pruning.remove(TENANT, limit=4) == 4
    assert pruning.unfinished() == [TENANT]
    assert verify(TENANT).is_good
    assert [pruning.remove(TENANT, limit=4) for _ in range(3)] == [4, 2, 0]
    assert pruning.unfinished() == []
    assert seqs() == [10, 11, 12]


def test_a_plan_that_was_overtaken_does_nothing() -> None:
    append(10)
    checkpoints.sign(TENANT, at=AT)
    wanted = planned()
    assert wanted is not None
    assert pruning.allow(wanted)
    assert not pruning.allow(wanted)
    assert ChainHead.objects.get().pruned_to == 10


def test_no_other_log_is_touched() -> None:
    other = UUID(int=9)
    append(10)
    append(10, tenant=other)
    signing_round.work(lambda: AT, limit=10)
    assert pruned() == 10
    assert AuditEntry.objects.filter(tenant_id=other).count() == 10
    assert ChainHead.objects.get(pk=other).pruned_to == 0


# --- After a tombstone -----------------------------------------------------------------------------------


def test_a_closed_shard_goes_as_far_as_it_was_signed_and_wholly_once_the_next_is() -> None:
    append(10)
    checkpoints.sign(TENANT, at=AT)
    append(4)
    care.tombstone(TENANT, at=AT)
    append(2)
    wanted = planned()
    assert wanted is not None
    assert wanted.end == 10
    assert wanted.entry_detail["checkpoint"]["origin"] == checkpoints.origin_of(TENANT, 0)
    checkpoints.sign(TENANT, at=AT)
    append(1, at=LATER)
    checkpoints.sign(TENANT, at=LATER)
    assert pruned() == 16
    assert seqs() == [14, 17, 18], "the tombstone stays"
    assert verify(TENANT).is_good
    assert ChainHead.objects.get().pruned_to == 17


def test_nothing_goes_of_a_closed_shard_that_was_never_signed() -> None:
    append(10)
    care.tombstone(TENANT, at=AT)
    assert planned() is None


# --- Removed without an entry --------------------------------------------------------------------------------


def test_the_database_removes_nothing_that_no_entry_says_was_removed() -> None:
    append(10)
    checkpoints.sign(TENANT, at=AT)
    ChainHead.objects.filter(pk=TENANT).update(pruned_to=10)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AuditEntry.objects.filter(seq=0).delete()
    with transaction.atomic():
        care.say(TENANT, "log.pruned", {"to": 9}, at=AT)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AuditEntry.objects.filter(seq=0).delete()
    assert seqs() == list(range(11))


@pytest.mark.parametrize("detail", [None, {}, {"to": 299}, {"to": "300"}])
def test_a_removal_without_an_entry_is_found_by_signer_and_check(
    detail: dict[str, object] | None,
) -> None:
    append(300)
    append(10, at=LATER)
    checkpoints.sign(TENANT, at=LATER)
    if detail is not None:
        with transaction.atomic():
            care.say(TENANT, "log.pruned", detail, at=LATER)
    meddle("UPDATE audit_app_chainhead SET pruned_to = 300 WHERE tenant_id = %s", uuid_sql(TENANT))
    meddle("DELETE FROM audit_app_auditentry WHERE tenant_id = %s AND seq < 300", uuid_sql(TENANT))
    flaw = verify(TENANT).flaw
    assert flaw is not None
    assert (flaw.seq, flaw.why) == (0, "missing: no entry says that it was removed")
    append(1, at=LATER)
    with pytest.raises(Refusal) as caught:
        checkpoints.sign(TENANT, at=LATER)
    assert (caught.value.code, caught.value.detail["seq"]) == ("missing", 0)
    assert Checkpoint.objects.count() == 1


def test_an_entry_beyond_the_end_of_the_log_does_not_explain_a_removal() -> None:
    append(300)
    append(10, at=LATER)
    checkpoints.sign(TENANT, at=LATER)
    with transaction.atomic():
        care.say(TENANT, "log.pruned", {"to": 300}, at=LATER)
    meddle("UPDATE audit_app_chainhead SET pruned_to = 300, size = 310 WHERE tenant_id = %s", uuid_sql(TENANT))
    meddle("DELETE FROM audit_app_auditentry WHERE tenant_id = %s AND seq < 300", uuid_sql(TENANT))
    assert signing_round.work(lambda: LATER, limit=10) == signing_round.Work(refused=[(TENANT, "missing")])
    assert Checkpoint.objects.get().size == 310


def test_an_idle_log_with_a_removal_without_an_entry_is_not_dated() -> None:
    append(10)
    checkpoints.sign(TENANT, at=AT)
    meddle("UPDATE audit_app_chainhead SET pruned_to = 10 WHERE tenant_id = %s", uuid_sql(TENANT))
    meddle("DELETE FROM audit_app_auditentry WHERE tenant_id = %s", uuid_sql(TENANT))
    assert signing_round.work(lambda: LATER, limit=10) == signing_round.Work(refused=[(TENANT, "missing")])


def test_a_removal_without_an_entry_during_a_check_is_found() -> None:
    append(300)
    append(300, at=LATER)
    checkpoints.sign(TENANT, at=LATER)
    check = Verification.begin(TENANT)
    check.advance(100)
    meddle("UPDATE audit_app_chainhead SET pruned_to = 300 WHERE tenant_id = %s", uuid_sql(TENANT))
    meddle("DELETE FROM audit_app_auditentry WHERE tenant_id = %s AND seq < 300", uuid_sql(TENANT))
    check.advance(100)
    assert check.flaw is not None


def test_a_tombstone_repairs_a_log_with_a_removal_without_an_entry() -> None:
    append(10)
    checkpoints.sign(TENANT, at=AT)
    meddle("UPDATE audit_app_chainhead SET pruned_to = 10 WHERE tenant_id = %s", uuid_sql(TENANT))
    meddle("DELETE FROM audit_app_auditentry WHERE tenant_id = %s", uuid_sql(TENANT))
    append(1)
    with pytest.raises(Refusal):
        checkpoints.sign(TENANT, at=AT)
    care.tombstone(TENANT, at=AT)
    checkpoints.sign(TENANT, at=AT)
    assert verify(TENANT).is_good


@pytest.mark.parametrize("event", ["log.key_rotated", "log.tombstoned"])
def test_entries_about_keys_and_shards_are_never_removed(event: str) -> None:
    append(3)
    with transaction.atomic():
        care.say(TENANT, event, {}, at=AT)
    append(3)
    checkpoints.sign(TENANT, at=AT)
    assert pruned() == 6
    assert seqs() == [3, 7]
    assert pruning.unfinished() == []
    assert verify(TENANT).is_good
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        AuditEntry.objects.filter(seq=3).delete()
