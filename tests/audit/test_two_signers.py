"""Two hosts with the log's key: one is stopped between any two steps, the other signs, and the first continues."""

from __future__ import annotations

import datetime as dt
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from structlog.testing import capture_logs

from audit_app import (
    checkpoints,
    heads,
    heads_place,
    keys,
    lease,
    log_name,
    proofs,
    redating,
    signing_round,
    tree,
)
from audit_app.checkpoints import Refusal
from audit_app.models import AuditEntry, Checkpoint, HeadsPlace, LogAlarm, SignedHead, SignerLease
from audit_app.notes import Head, Note
from audit_app.signing_round import Work
from audit_app.stored_heads import HeadsUnavailable
from tests.audit.test_checkpoints import AT, TENANT, append, cut_to, leaves

pytestmark = pytest.mark.django_db

SECOND = dt.timedelta(seconds=1)
HOUR = dt.timedelta(hours=1)
#: A log that was never signed.
NEW = UUID(int=77)
#: The functions of checkpoints.py between which a signer can stop.
BEFORE = ("_read", "_extend_tiles", "_head_again")
AFTER = ("put the head", "signed_note", "put the note", "_publish")
STEPS = (*BEFORE, *AFTER)


class Dead(BaseException):
    """The process is gone, as after kill -9."""


@pytest.fixture(autouse=True)
def shared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(settings, "LOG_HEADS", f"dir://{tmp_path}")
    return tmp_path


@pytest.fixture
def three_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host a has signed a log with three entries."""
    on_host("a", monkeypatch)
    append(3)
    assert signing_round.work(lambda: AT, limit=10) == Work(signed=1)


def stop_after(step: str, what: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do `what` once, when the next signer has done this step and before it continues."""
    name = "put" if step.startswith("put") else step
    module = heads if name == "put" else checkpoints
    plain: Any = getattr(module, name)
    calls = 2 if step == "put the note" else 1

    def call(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        found = plain(*arguments, **named)
        calls -= 1
        if calls == 0:
            monkeypatch.setattr(module, name, plain)
            what()
        return found

    monkeypatch.setattr(module, name, call)


def require_sound() -> None:
    """Every stored note fits the entries, so any two fit each other; sizes only grow; nothing is in alarm."""
    found = list(Checkpoint.objects.order_by("pk"))
    assert [row.size for row in found] == sorted({row.size for row in found})
    public = keys.load().publics[0]
    for row in found:
        note = Note.parse(row.note)
        head = Head.parse(note.text)
        assert head == Head(checkpoints.origin_of(TENANT, 0), row.size, tree.root_of(leaves()[: row.size]))
        assert note.times(keys.log_key(head.origin, public)) == [None]
    for older, newer in zip(found, found[1:], strict=False):
        assert proofs.consistency(older, newer) is not None
    stored = heads.get(checkpoints.origin_of(TENANT, 0))
    assert stored.head.size == found[-1].size
    assert not LogAlarm.objects.exists()


@pytest.mark.parametrize("step", STEPS)
def test_a_signer_that_continues_after_another_has_signed_publishes_nothing_older(
    three_signed: None, step: str, monkeypatch: pytest.MonkeyPatch, signed_sizes: list[int]
) -> None:
    append(2)
    before = len(signed_sizes)

    def other() -> None:
        append(4)
        assert checkpoints.sign(TENANT, at=AT + SECOND).size == 9

    stop_after(step, other, monkeypatch)
    found = checkpoints.sign(TENANT, at=AT)
    assert (found is not None) == (step == "_publish")
    sizes = [3, 5, 9] if step == "_publish" else [3, 9]
    assert list(Checkpoint.objects.order_by("pk").values_list("size", flat=True)) == sizes
    # Before the head is moved nothing is signed, so a signer that comes too late signs nothing at all.
    assert (5 in signed_sizes[before:]) == (step in AFTER)
    require_sound()
    append(1)
    assert checkpoints.sign(TENANT, at=AT + HOUR).size == 10
    require_sound()


@pytest.mark.parametrize("step", [step for step in STEPS if step != "put the note"])
def test_a_signer_that_continues_after_another_has_dated_keeps_the_newer_date(
    three_signed: None, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop_after(step, lambda: checkpoints.sign(TENANT, at=AT + 2 * HOUR), monkeypatch)
    checkpoints.sign(TENANT, at=AT + HOUR)
    row = Checkpoint.objects.get()
    assert row.dated_at == AT + 2 * HOUR
    assert SignedHead.objects.get().dated_at == AT + 2 * HOUR
    require_sound()


@pytest.mark.parametrize("step", STEPS)
def test_a_signer_that_dies_at_any_step_costs_nothing(
    three_signed: None, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(2)

    def die() -> None:
        raise Dead

    stop_after(step, die, monkeypatch)
    with pytest.raises(Dead):
        checkpoints.sign(TENANT, at=AT)
    assert checkpoints.sign(TENANT, at=AT + SECOND).size == 5
    require_sound()
    assert heads.get(checkpoints.origin_of(TENANT, 0)).note
    assert signing_round.work(lambda: AT + SECOND, limit=10) == Work()


def test_a_signer_that_has_read_the_checkpoints_before_another_published_one_publishes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It has read the newest checkpoint before, and the stored head after the other. The size is the same for both."""
    append(3)

    def die() -> None:
        raise Dead

    stop_after("_extend_tiles", die, monkeypatch)
    with pytest.raises(Dead):
        checkpoints.sign(TENANT, at=AT)
    plain = heads.get

    def other_first(origin: str) -> Any:
        monkeypatch.setattr(heads, "get", plain)
        checkpoints.sign(TENANT, at=AT + SECOND)
        return plain(origin)

    monkeypatch.setattr(heads, "get", other_first)
    assert checkpoints.sign(TENANT, at=AT) is None
    assert Checkpoint.objects.get().dated_at == AT + SECOND
    require_sound()


@pytest.mark.parametrize("step", STEPS)
def test_after_a_failover_to_a_database_that_lost_entries_the_stopped_signer_publishes_nothing(
    step: str, monkeypatch: pytest.MonkeyPatch, signed_sizes: list[int]
) -> None:
    """The lost entry 5 has another one in its place. What one signer has moved, the other never contradicts."""
    append(4)
    checkpoints.sign(TENANT, at=AT)
    append(1)

    def fail_over() -> None:
        cut_to(4)
        SignedHead.objects.update(dated_at=AT)
        append(1, what="other")
        with suppress(Refusal):
            checkpoints.sign(TENANT, at=AT + SECOND)

    stop_after(step, fail_over, monkeypatch)
    with suppress(Refusal):
        checkpoints.sign(TENANT, at=AT)
    moved = heads.get(checkpoints.origin_of(TENANT, 0)).head
    published = list(Checkpoint.objects.filter(size=5))
    # At most one of the two trees of five entries was ever signed.
    assert {bytes(row.root) for row in published} <= {moved.root}
    assert signed_sizes.count(5) <= 1
    assert (tree.root_of(leaves()) == moved.root) == (step in BEFORE)
    if step in BEFORE:
        assert checkpoints.sign(TENANT, at=AT + 2 * SECOND).size == 5
        require_sound()
    else:
        with pytest.raises(Refusal):
            checkpoints.sign(TENANT, at=AT + 2 * SECOND)
        assert LogAlarm.objects.get().code == "different"


def test_without_compare_and_set_two_trees_of_one_size_would_be_signed(
    monkeypatch: pytest.MonkeyPatch, signed_sizes: list[int]
) -> None:
    """What `rename()` would do: each signer replaces what the other has stored. This shows that the tests can fail."""
    append(4)
    checkpoints.sign(TENANT, at=AT)
    append(1)
    roots = set()
    plain = heads.put

    def overwrite(head: Head, frontier: Any, note: str, *, after: Any) -> Any:
        roots.add((head.size, head.root))
        return plain(head, frontier, note, after=heads.get(head.origin))

    def fail_over() -> None:
        cut_to(4)
        append(1, what="other")
        monkeypatch.setattr(heads, "put", overwrite)
        checkpoints.sign(TENANT, at=AT + SECOND)

    stop_after("_head_again", fail_over, monkeypatch)
    with suppress(Refusal):
        checkpoints.sign(TENANT, at=AT)
    assert len({root for size, root in roots if size == 5}) == 2
    assert signed_sizes.count(5) == 2


def test_a_signer_that_wakes_up_while_it_dates_many_logs_dates_only_those_that_nobody_has_moved(
    three_signed: None, monkeypatch: pytest.MonkeyPatch, signed_sizes: list[int]
) -> None:
    del signed_sizes[:]
    plain = redating._read_tiles

    def other(logs: Any) -> None:
        plain(logs)
        monkeypatch.setattr(redating, "_read_tiles", plain)
        append(1)
        checkpoints.sign(TENANT, at=AT + HOUR + SECOND)

    monkeypatch.setattr(redating, "_read_tiles", other)
    assert redating.date([TENANT], at=AT + HOUR, have=keys.load()) == set()
    assert signed_sizes == [4]
    require_sound()


def test_a_signer_that_wakes_up_after_it_has_dated_a_log_does_not_replace_what_is_newer(
    three_signed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = redating._write

    def other(*arguments: Any) -> set[Any]:
        append(1)
        checkpoints.sign(TENANT, at=AT + HOUR + SECOND)
        return plain(*arguments)

    monkeypatch.setattr(redating, "_write", other)
    assert redating.date([TENANT], at=AT + HOUR, have=keys.load()) == set()
    require_sound()
    assert Checkpoint.objects.get(size=3).dated_at == AT


def test_the_dates_of_checkpoints_never_go_back() -> None:
    """A signer that was stopped before it read the log continues with the time at which it began."""
    append(3)
    checkpoints.sign(TENANT, at=AT + HOUR)
    append(1)
    checkpoints.sign(TENANT, at=AT)
    newest = checkpoints.newest(TENANT, 0)
    assert (newest.size, newest.signed_at, newest.dated_at) == (4, AT + HOUR, AT + HOUR)
    public = keys.load().publics[0]
    assert Note.parse(newest.note).times(log_name.clock_key(public)) == [int((AT + HOUR).timestamp())]
    assert redating.date([TENANT], at=AT, have=keys.load()) == set()
    require_sound()


def test_no_transaction_is_open_while_the_head_is_moved_and_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The place can be slow or away. On SQLite, an open transaction would stop every other writer meanwhile."""
    from django.db import connection

    depths = []
    outside = len(connection.savepoint_ids)
    plain = heads.put

    def put(*arguments: Any, **named: Any) -> Any:
        depths.append(len(connection.savepoint_ids) - outside)
        return plain(*arguments, **named)

    monkeypatch.setattr(heads, "put", put)
    append(3)
    checkpoints.sign(TENANT, at=AT)
    assert depths == [0, 0]


def test_a_place_that_is_away_stops_the_signatures_and_nothing_else(
    three_signed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(1)
    monkeypatch.setattr(settings, "LOG_HEADS", f"{settings.LOG_HEADS}/gone")
    with pytest.raises(HeadsUnavailable):
        signing_round.work(lambda: AT, limit=10)
    assert Checkpoint.objects.get().size == 3
    assert AuditEntry.objects.filter(tenant_id=TENANT).count() == 4


# --- Hosts whose settings differ ----------------------------------------------------------------------------------


def new_key() -> str:
    return f"{keys.MARK} {b64encode(Ed25519PrivateKey.generate().private_bytes_raw()).decode()}"


def another_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str) -> None:
    """Give this host other heads: an empty directory, as where a share is not mounted, or a file of its own."""
    (tmp_path / "other").mkdir(exist_ok=True)
    monkeypatch.setattr(settings, "LOG_HEADS", f"dir://{tmp_path}/other" if kind == "directory" else "")


@pytest.mark.parametrize("kind", ["directory", "file"])
def test_a_host_with_other_heads_signs_nothing_and_raises_no_alarm(
    three_signed: None, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, signed_sizes: list[int]
) -> None:
    append(1)
    append(1, tenant=NEW)
    before = len(signed_sizes)
    on_host("b", monkeypatch)
    another_place(monkeypatch, tmp_path, kind)
    for call in (lambda: signing_round.work(lambda: AT, limit=10), lambda: checkpoints.sign(NEW, at=AT)):
        with pytest.raises(heads.HeadsUnavailable, match=r"is not the place .* as on a, which has signed last"):
            call()
    assert len(signed_sizes) == before
    assert heads.every() == []
    assert heads.store().identity() == ""
    assert not LogAlarm.objects.exists()
    assert SignerLease.objects.get().host == "a"
    # The right host continues at once.
    on_host("a", monkeypatch)
    monkeypatch.setattr(settings, "LOG_HEADS", f"dir://{tmp_path}")
    assert signing_round.work(lambda: AT, limit=10) == Work(signed=2)


def test_without_the_identity_a_host_with_other_heads_would_sign_a_new_log(
    three_signed: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """This shows that the test above can fail."""
    append(1, tenant=NEW)
    on_host("b", monkeypatch)
    another_place(monkeypatch, tmp_path, "directory")
    monkeypatch.setattr(heads_place, "difference", lambda: "")
    assert signing_round.work(lambda: AT, limit=10) == Work(signed=1)


def test_a_host_that_has_lost_its_own_heads_signs_nothing_until_an_operator_confirms_them(
    three_signed: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, signed_sizes: list[int]
) -> None:
    append(1)
    append(1, tenant=NEW)
    before = len(signed_sizes)
    another_place(monkeypatch, tmp_path, "directory")
    done = signing_round.work(lambda: AT, limit=10)
    assert dict(done.refused) == {TENANT: "outside_behind", NEW: "outside_unreadable"}
    assert len(signed_sizes) == before
    checkpoints.adopt(TENANT)
    later = AT + signing_round.RETRY_AFTER
    assert signing_round.work(lambda: later, limit=10) == Work(signed=2)
    # From then on, it is the former place that is refused.
    on_host("b", monkeypatch)
    monkeypatch.setattr(settings, "LOG_HEADS", f"dir://{tmp_path}")
    with pytest.raises(heads.HeadsUnavailable, match="is not the place"):
        signing_round.work(lambda: later, limit=10)


def test_an_installation_of_the_former_version_gets_its_identity_from_the_place_with_its_heads(
    three_signed: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    HeadsPlace.objects.all().delete()
    (tmp_path / "installation").unlink()
    append(1)
    on_host("b", monkeypatch)
    another_place(monkeypatch, tmp_path, "directory")
    with pytest.raises(heads.HeadsUnavailable, match="no head of the log that was signed last"):
        signing_round.work(lambda: AT, limit=10)
    append(1, tenant=NEW)
    on_host("a", monkeypatch)
    assert dict(signing_round.work(lambda: AT, limit=10).refused).keys() == {TENANT, NEW}
    assert not HeadsPlace.objects.exists()
    LogAlarm.objects.all().delete()
    monkeypatch.setattr(settings, "LOG_HEADS", f"dir://{tmp_path}")
    assert signing_round.work(lambda: AT, limit=10) == Work(signed=2)
    assert HeadsPlace.objects.get().identity == heads.store().identity() != ""


def test_a_host_with_another_key_announces_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, signed_sizes: list[int]
) -> None:
    """Each host would announce its own key again and again, and each entry about a key needs a signature again."""
    append(3)
    old, new = (new_key() for _ in range(2))

    def use_keys(*rows: str) -> None:
        monkeypatch.setattr(settings, "LOG_KEY", "\n".join(rows))

    use_keys(old)
    on_host("a", monkeypatch)
    assert signing_round.work(lambda: AT, limit=10) == Work(signed=1)
    append(1)
    entries, before = AuditEntry.objects.count(), len(signed_sizes)
    on_host("b", monkeypatch)
    use_keys(new)
    with pytest.raises(keys.BadKey, match=r"a key that this host does not have, and the host a has signed last"):
        signing_round.work(lambda: AT, limit=10)
    assert (AuditEntry.objects.count(), len(signed_sizes)) == (entries, before)
    # A rotation is announced by a host that has both keys. Then the other host waits until it has them too.
    use_keys(new, old)
    assert signing_round.work(lambda: AT, limit=10) == Work(signed=1)
    append(1)
    on_host("a", monkeypatch)
    for wrong, why in (((old,), "does not have"), ((old, new), "was replaced by its second")):
        use_keys(*wrong)
        with pytest.raises(keys.BadKey, match=why):
            signing_round.work(lambda: AT, limit=10)
    use_keys(new, old)
    assert signing_round.work(lambda: AT, limit=10) == Work(signed=1)
    assert AuditEntry.objects.filter(event="log.key_rotated").count() == 1


def test_an_hour_after_the_other_host_and_its_key_were_lost_a_host_signs_with_a_new_key(
    three_signed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(1)
    on_host("b", monkeypatch)
    monkeypatch.setattr(settings, "LOG_KEY", new_key())
    with pytest.raises(keys.BadKey):
        signing_round.work(lambda: AT + HOUR - SECOND, limit=10)
    assert signing_round.work(lambda: AT + HOUR, limit=10) == Work(signed=1)


@pytest.mark.parametrize("what", ["rights", "rolled back"])
def test_a_fault_of_one_host_keeps_the_other_from_nothing(
    three_signed: None, what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One host can't read the folder of a log, or its network file system shows an old state of it."""
    append(1)
    on_host("b", monkeypatch)
    plain = heads.get

    def get(origin: str) -> Any:
        if what == "rights":
            raise heads.HeadsUnavailable("Permission denied")
        return None

    monkeypatch.setattr(heads, "get", get)
    found = signing_round.work(lambda: AT, limit=10)
    assert [code for _log, code in found.refused] == ["outside_unreadable" if what == "rights" else "outside_behind"]
    assert LogAlarm.objects.get().detail["host"] == "b"
    assert signing_round.work(lambda: AT, limit=10) == Work()
    monkeypatch.setattr(heads, "get", plain)
    on_host("a", monkeypatch)
    assert signing_round.work(lambda: AT, limit=10) == Work(signed=1)
    require_sound()


# --- The lease ----------------------------------------------------------------------------------------------------


def on_host(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "LOG_SIGNER_NAME", name)


def take_and_be_lost(at: dt.datetime) -> None:
    """Take the lease and never release it. A `taken` that is not ended would be released when Python frees it."""
    assert lease._take(at)
    assert SignerLease.objects.get().released_at is None


def test_while_one_host_signs_another_does_nothing_and_after_its_turn_it_can(monkeypatch: pytest.MonkeyPatch) -> None:
    append(1)
    on_host("a", monkeypatch)
    with lease.taken(lambda: AT) as held:
        assert held
        on_host("b", monkeypatch)
        assert signing_round.work(lambda: AT, limit=10) == Work()
        on_host("a", monkeypatch)
    on_host("b", monkeypatch)
    assert signing_round.work(lambda: AT, limit=10) == Work(signed=1)
    row = SignerLease.objects.get()
    assert (row.host, row.since, row.taken_from) == ("b", AT, "")


def test_a_host_that_was_lost_is_replaced_when_its_lease_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    append(1)
    on_host("a", monkeypatch)
    take_and_be_lost(AT)
    on_host("b", monkeypatch)
    length = dt.timedelta(seconds=settings.LOG_LEASE_SECONDS)
    assert signing_round.work(lambda: AT + length - SECOND, limit=10) == Work()
    with capture_logs() as logged:
        assert signing_round.work(lambda: AT + length, limit=10) == Work(signed=1)
    row = SignerLease.objects.get()
    assert (row.host, row.taken_from, row.taken_over_at) == ("b", "a", AT + length)
    assert [each["event"] for each in logged if each["event"].startswith("log_signer")] == ["log_signer_taken_over"]


def test_a_long_round_renews_the_lease_and_ends_when_it_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    on_host("a", monkeypatch)
    at = AT
    length = dt.timedelta(seconds=settings.LOG_LEASE_SECONDS)
    with lease.taken(lambda: at) as held:
        at += length - SECOND
        assert held.is_held()
        assert SignerLease.objects.get().until == at + length
        at += 2 * length
        on_host("b", monkeypatch)
        with lease.taken(lambda: at) as other:
            assert other
            on_host("a", monkeypatch)
            assert not held.is_held()
            on_host("b", monkeypatch)
        on_host("a", monkeypatch)
    assert SignerLease.objects.get().host == "b"


def test_a_host_that_starts_again_goes_on_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    on_host("a", monkeypatch)
    take_and_be_lost(AT)
    with lease.taken(lambda: AT + SECOND) as held:
        assert held
    assert SignerLease.objects.get().taken_from == ""


def test_a_clock_that_was_set_back_keeps_nobody_from_signing(monkeypatch: pytest.MonkeyPatch) -> None:
    on_host("a", monkeypatch)
    take_and_be_lost(AT + HOUR)
    on_host("b", monkeypatch)
    with lease.taken(lambda: AT) as held:
        assert held


def test_a_task_that_reaches_a_host_without_a_key_is_passed_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    append(1)
    assert not signing_round.is_for_another_host(AT)
    on_host("a", monkeypatch)
    assert signing_round.work(lambda: AT, limit=10) == Work(signed=1)
    append(1)
    assert not signing_round.is_for_another_host(AT)
    on_host("b", monkeypatch)
    assert signing_round.is_for_another_host(AT + SECOND)
    # Not for ever: two hosts without a key would pass it to each other all the time.
    assert not signing_round.is_for_another_host(AT + signing_round.PASSED_ON_FOR)
