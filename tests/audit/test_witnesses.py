"""Cosignatures: what witnesses are asked, which answers are accepted, and reports about missing cosignatures."""

from __future__ import annotations

import datetime as dt
import threading
import time
from typing import Any
from uuid import UUID

import pytest
from django.db import transaction
from structlog.testing import capture_logs

from audit_app import checkpoints, cosigning, keys, log_name, notes, proofs, tree, witnesses
from audit_app.models import Checkpoint, Cosignature, Tile, Witness
from audit_app.notes import Head, Note
from audit_app.witnesses import Doubt
from requests_app.domain import clock
from tests.audit import care
from tests.audit.test_checkpoints import append, meddle
from tests.witness import SmallWitness, WitnessAnswer, sign, witness_answer

pytestmark = pytest.mark.django_db

TENANT = UUID("6a1c7c1e-0000-4000-8000-000000000001")
OTHER = UUID("6a1c7c1e-0000-4000-8000-000000000002")
URL = "https://witness.contoso.example/w"


@pytest.fixture(autouse=True)
def _still(travel: Any) -> None:
    travel.to(dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC))


def grow(count: int, tenant: UUID = TENANT) -> None:
    append(count, tenant=tenant, at=clock.now())
    sign(tenant)


def register(witness: SmallWitness, tenant: UUID = TENANT, url: str = URL) -> Witness:
    at = clock.now()
    return Witness.objects.create(tenant_id=tenant, vkey=witness.vkey, url=url, added_at=at, due_at=at)


def ask(*small: SmallWitness, **options: Any) -> cosigning.Round:
    """Ask every witness that is due.

    Each of `small` answers at its own URL. The first of them also answers at all other URLs.
    """
    by_url = {f"https://{each.verifier.name}/w/add-checkpoint": each for each in small}
    return cosigning.collect(clock.now, lambda url, body: by_url.get(url, small[0]).post(url, body), **options)


def problem() -> str:
    return Witness.objects.get().problem


# --- Asking ------------------------------------------------------------------------------------------------


def test_the_newest_checkpoint_is_cosigned_stored_and_served_with_its_cosignature() -> None:
    grow(3)
    small = SmallWitness()
    row = register(small)
    assert ask(small) == cosigning.Round(cosigned=1)

    checkpoint = Checkpoint.objects.get()
    line = Cosignature.objects.get()
    assert (line.checkpoint, line.vkey, line.at) == (checkpoint, small.vkey, clock.now())
    assert proofs.cosigned(checkpoint).times(small.verifier) == [int(clock.now().timestamp())]
    row.refresh_from_db()
    assert (row.held_size, row.failures, row.problem, row.cosigned_at) == (3, 0, "", clock.now())


def test_a_request_has_the_size_the_proof_and_the_signed_note() -> None:
    grow(3)
    first, second = SmallWitness("w.example/1"), SmallWitness("w.example/2")
    register(first, url="https://w.example/1/w")
    register(second, url="https://w.example/2/w/")
    ask(first, second)
    grow(4)
    ask(first, second)
    checkpoint = Checkpoint.objects.get(size=7)
    older = Checkpoint.objects.get(size=3)
    url, body = first.requests[-1]
    assert url == "https://w.example/1/w/add-checkpoint"
    assert {url for url, _body in second.requests} == {"https://w.example/2/w/add-checkpoint"}
    head, _gap, note = body.decode().partition("\n\n")
    old, *path = head.split("\n")
    assert old == "old 3"
    hashes = [notes.hash_from(line) for line in path]
    tree.check_consistency(3, 7, bytes(older.root), bytes(checkpoint.root), hashes)
    # The note has no signature of another witness.
    assert note == checkpoint.note


def test_witnesses_are_asked_immediately_for_a_new_checkpoint_and_later_every_half_hour(travel: Any) -> None:
    grow(1)
    small = SmallWitness()
    register(small)
    assert ask(small).cosigned == 1
    assert ask(small).total == 0
    grow(1)
    assert ask(small).cosigned == 1
    travel.by(minutes=29, seconds=59)
    assert ask(small).total == 0
    at = travel.by(seconds=1)
    assert ask(small).cosigned == 1
    assert small.requests[-1][1].startswith(b"old 2\n\n")
    assert Cosignature.objects.count() == 2
    assert witnesses.freshest(TENANT) == at


def test_a_tenant_without_witnesses_costs_nothing(django_assert_num_queries: Any) -> None:
    grow(3)
    with django_assert_num_queries(1):
        assert cosigning.collect(clock.now, lambda url, body: pytest.fail("asked")).total == 0


def test_a_log_that_nobody_signed_yet_is_not_shown_to_a_witness() -> None:
    append(1, at=clock.now())
    small = SmallWitness()
    register(small)
    assert ask(small).total == 0
    assert problem() == ""


def test_the_witness_that_holds_another_size_is_asked_again_from_there() -> None:
    grow(2)
    small = SmallWitness()
    row = register(small)
    ask(small)
    Witness.objects.filter(pk=row.pk).update(held_size=0)
    grow(5)
    assert ask(small).cosigned == 1
    assert [body.partition(b"\n")[0] for _url, body in small.requests] == [b"old 0", b"old 0", b"old 2"]
    row.refresh_from_db()
    assert row.held_size == 7


def test_a_witness_that_names_another_size_again_is_not_asked_a_third_time() -> None:
    grow(2)
    grow(3)
    small, sizes = SmallWitness(), iter(("2", "1", "2", "1"))
    small.misbehave = lambda _answer: witness_answer(409, next(sizes), "text/x.tlog.size")
    register(small)
    _refused(small, "undecided")
    assert [body.partition(b"\n")[0] for _url, body in small.requests] == [b"old 0", b"old 2"]


def test_a_new_shard_begins_again_at_the_witness() -> None:
    grow(5)
    small = SmallWitness()
    register(small)
    ask(small)
    care.tombstone(TENANT, at=clock.now())
    assert witnesses.freshest(TENANT) is None
    assert [each.cosigned_at for each in witnesses.of(checkpoints.state(TENANT))] == [None]
    grow(7)
    assert ask(small).cosigned == 1
    assert witnesses.freshest(TENANT) == clock.now()
    assert sorted(head.size for head in small.seen.values()) == [5, 8]


def test_a_new_shard_that_is_shorter_than_the_closed_one_begins_again_from_nothing() -> None:
    grow(5)
    small = SmallWitness()
    register(small)
    ask(small)
    care.tombstone(TENANT, at=clock.now())
    grow(1)
    assert ask(small) == cosigning.Round(cosigned=1)
    assert [body.partition(b"\n")[0] for _url, body in small.requests] == [b"old 0", b"old 0"]
    assert sorted(head.size for head in small.seen.values()) == [2, 5]


# --- Which answers are accepted ----------------------------------------------------------------------------


def _refused(small: SmallWitness, wanted: str) -> None:
    """Assert that an answer gives no cosignature, causes the problem `wanted`, and postpones the next attempt."""
    assert ask(small) == cosigning.Round(failed=1)
    assert problem() == wanted
    assert Cosignature.objects.count() == 0
    assert witnesses.freshest(TENANT) is None
    assert ask(small).total == 0
    assert "{n}" not in witnesses.problem_words(wanted) != wanted


@pytest.mark.parametrize(
    ("answer", "wanted"),
    [
        (witness_answer(404), "unknown_log"),
        (witness_answer(403), "unknown_key"),
        (witness_answer(400), "not_understood"),
        (witness_answer(422), "other_root"),
        (witness_answer(500), "status 500"),
        (witness_answer(503), "status 503"),
        (witness_answer(429), "status 429"),
        (witness_answer(204), "status 204"),
        (witness_answer(299), "status 299"),
        (witness_answer(300), "elsewhere"),
        (witness_answer(302), "elsewhere"),
        (witness_answer(399), "elsewhere"),
        (witness_answer(200), "no_cosignature"),
        (witness_answer(200, "thank you\n"), "no_cosignature"),
        (WitnessAnswer(200, "", b"\xff\xfe"), "no_cosignature"),
        (witness_answer(409), "undecided"),
        (witness_answer(409, "a lot\n", "text/x.tlog.size"), "undecided"),
        (witness_answer(409, "0\n", "text/x.tlog.size"), "undecided"),
        (witness_answer(409, "1\n", "text/plain"), "undecided"),
    ],
)
def test_an_answer_without_a_cosignature_is_explained(answer: WitnessAnswer, wanted: str) -> None:
    grow(3)
    small = SmallWitness()
    small.misbehave = lambda _answer: answer
    register(small)
    _refused(small, wanted)


@pytest.mark.parametrize("code", ["timeout", "tls", "address", "unreachable", "no_such_host", "no_http", "too_long"])
def test_a_missing_answer_is_explained(code: str) -> None:
    grow(3)
    register(SmallWitness())

    def post(_url: str, _body: bytes) -> WitnessAnswer:
        raise OSError(code)

    assert cosigning.collect(clock.now, post) == cosigning.Round(failed=1)
    assert problem() == code
    assert witnesses.problem_words(code) != code


def test_a_fault_of_the_network_that_nobody_foresaw_is_no_answer() -> None:
    grow(3)
    register(SmallWitness())

    def post(_url: str, _body: bytes) -> WitnessAnswer:
        raise ConnectionResetError(104, "Connection reset by peer")

    cosigning.collect(clock.now, post)
    assert problem() == "unreachable"


def test_a_signature_over_another_head_is_not_good() -> None:
    grow(3)
    small = SmallWitness()
    small.misbehave = lambda _answer: witness_answer(
        200, small.line(Head(checkpoints.origin_of(TENANT, 0), 3, bytes(32)))
    )
    register(small)
    _refused(small, "bad_signature")


def test_a_signature_over_another_tenants_log_is_not_good() -> None:
    grow(3)
    grow(3, OTHER)
    small = SmallWitness()
    other = Head.parse(Note.parse(Checkpoint.objects.get(tenant_id=OTHER).note).text)
    small.misbehave = lambda _answer: witness_answer(200, small.line(other))
    register(small)
    _refused(small, "bad_signature")


def test_a_signature_by_another_key_of_the_same_name_does_not_count() -> None:
    grow(3)
    small, stranger = SmallWitness(), SmallWitness()
    register(small)
    _refused(stranger, "no_cosignature")


def test_lines_of_keys_that_nobody_registered_are_passed_over() -> None:
    grow(3)
    small, stranger = SmallWitness(), SmallWitness("stranger.example")
    head = Head.parse(Note.parse(Checkpoint.objects.get().note).text)
    small.misbehave = lambda answer: WitnessAnswer(200, "", stranger.line(head).encode() + answer.body)
    register(small)
    assert ask(small).cosigned == 1
    assert {each.name for each in notes.signature_lines(Cosignature.objects.get().line)} == {small.verifier.name}


def test_a_plain_signature_by_the_witnesss_key_is_no_cosignature() -> None:
    grow(3)
    small = SmallWitness()
    text = Note.parse(Checkpoint.objects.get().note).text
    small.misbehave = lambda _answer: witness_answer(200, notes.sign(text, small.verifier.name, small.key).line)
    register(small)
    _refused(small, "no_cosignature")


def test_a_signature_from_the_future_does_not_count() -> None:
    grow(3)
    small = SmallWitness(now=lambda: clock.now() + dt.timedelta(minutes=5, seconds=1))
    register(small)
    _refused(small, "clock")


def test_a_clock_that_is_a_little_ahead_is_fine() -> None:
    grow(3)
    small = SmallWitness(now=lambda: clock.now() + dt.timedelta(minutes=5))
    register(small)
    assert ask(small).cosigned == 1


@pytest.mark.parametrize(("seconds", "found"), [(300, ""), (301, "clock")])
def test_a_clock_may_be_five_minutes_behind_and_no_more(seconds: int, found: str) -> None:
    """A cosignature that is older than that is valid and is stored, but reported as a problem."""
    grow(3)
    small = SmallWitness(now=lambda: clock.now() - dt.timedelta(seconds=seconds))
    register(small)
    assert ask(small).failed == bool(found)
    assert problem() == found
    assert Cosignature.objects.get().at == clock.now() - dt.timedelta(seconds=seconds)


def test_a_clock_that_is_behind_makes_a_good_signature_that_is_old() -> None:
    grow(3)
    small = SmallWitness(now=lambda: clock.now() - dt.timedelta(hours=2))
    register(small)
    assert ask(small).failed == 1
    assert problem() == "clock"
    assert witnesses.freshest(TENANT) == clock.now() - dt.timedelta(hours=2)


def test_a_signature_with_an_impossible_time_does_not_end_the_round() -> None:
    grow(3)
    small = SmallWitness(now=lambda: dt.datetime.fromtimestamp(0, tz=dt.UTC))
    head = Head.parse(Note.parse(Checkpoint.objects.get().note).text)
    line = notes.cosign(head.text, small.verifier.name, small.key, (1 << 63) - 1).line
    small.misbehave = lambda _answer: witness_answer(200, line)
    register(small)
    _refused(small, "clock")


def test_an_answer_older_than_the_stored_one_changes_nothing(travel: Any) -> None:
    grow(3)
    small = SmallWitness()
    register(small)
    ask(small)
    at = clock.now()
    travel.by(minutes=31)
    small.now = lambda: at - dt.timedelta(minutes=1)
    ask(small)
    assert Cosignature.objects.get().at == at


# --- Answers about another log -----------------------------------------------------------------------------


def test_a_witness_that_has_seen_more_is_an_alarm() -> None:
    grow(3)
    small = SmallWitness()
    small.misbehave = lambda _answer: witness_answer(409, "120\n", "text/x.tlog.size")
    register(small)
    with capture_logs() as logs:
        assert ask(small).failed == 1
    assert problem() == "longer 120"
    [standing] = witnesses.of(checkpoints.state(TENANT))
    assert standing.is_alarm
    assert "120 entries" in standing.problem
    [alarm] = [line for line in logs if line["event"] == "witness_disagrees"]
    assert (alarm["log_level"], alarm["tenant"], alarm["witness"]) == ("error", str(TENANT), small.verifier.name)


def test_a_witness_that_holds_another_root_at_this_size_is_an_alarm() -> None:
    grow(3)
    small = SmallWitness()
    row = register(small)
    ask(small)
    origin = checkpoints.origin_of(TENANT, 0)
    small.seen[origin] = Head(origin, 3, bytes(32))
    Witness.objects.filter(pk=row.pk).update(due_at=clock.now())
    with capture_logs() as logs:
        assert ask(small).failed == 1
    assert problem() == "other_root"
    assert [line["log_level"] for line in logs if line["event"] == "witness_disagrees"] == ["error"]


def test_a_witness_that_holds_another_root_of_an_older_size_is_an_alarm() -> None:
    grow(3)
    small = SmallWitness()
    register(small)
    ask(small)
    origin = checkpoints.origin_of(TENANT, 0)
    small.seen[origin] = Head(origin, 3, bytes(32))
    grow(2)
    assert ask(small).failed == 1
    assert problem() == "other_root"


def test_a_tile_that_is_damaged_here_is_not_taken_for_a_fork() -> None:
    grow(3)
    small = SmallWitness()
    register(small)
    ask(small)
    grow(2)
    Tile.objects.filter(tenant_id=TENANT).update(hashes=bytes(5 * 32))
    assert ask(small).failed == 1
    assert problem() == "damaged"
    assert len(small.requests) == 1


# --- Failure and recovery ----------------------------------------------------------------------------------


def test_the_wait_doubles_and_never_exceeds_a_quarter_of_an_hour(travel: Any) -> None:
    grow(1)
    small = SmallWitness()
    small.misbehave = lambda _answer: witness_answer(503)
    register(small)
    waits = []
    for failures in range(1, 12):
        assert ask(small).failed == 1
        row = Witness.objects.get()
        assert row.failures == failures
        waits.append((row.due_at - clock.now()).total_seconds())
        travel.to(row.due_at)
    for number, wait in enumerate(waits):
        longest = min(900, 30 * 2**number)
        assert longest / 2 <= wait <= longest
    small.misbehave = lambda answer: answer
    assert ask(small).cosigned == 1
    row = Witness.objects.get()
    assert (row.failures, row.problem) == (0, "")


def test_a_new_checkpoint_does_not_hurry_a_witness_that_fails() -> None:
    grow(1)
    small = SmallWitness()
    small.misbehave = lambda _answer: witness_answer(503)
    register(small)
    ask(small)
    grow(1)
    assert ask(small).total == 0


def test_a_witness_is_claimed_before_it_is_asked_so_that_a_dying_worker_backs_off() -> None:
    grow(1)
    register(SmallWitness())

    class Died(BaseException):
        pass

    def post(_url: str, _body: bytes) -> WitnessAnswer:
        raise Died

    with pytest.raises(Died):
        cosigning.collect(clock.now, post)
    row = Witness.objects.get()
    assert row.failures == 1
    assert row.due_at > clock.now()
    assert cosigning.collect(clock.now, lambda url, body: pytest.fail("asked")).total == 0


def test_a_witness_that_hangs_holds_up_no_other() -> None:
    for tenant in (TENANT, OTHER):
        grow(1, tenant)
    hanging, well = SmallWitness("hanging.example"), SmallWitness("well.example")
    register(hanging, url="https://hanging.example/w")
    register(well, OTHER, url="https://well.example/w")
    ended, order = threading.Event(), []

    def post(url: str, body: bytes) -> WitnessAnswer:
        if "hanging" in url:
            assert ended.wait(10)
            order.append("hanging")
            raise OSError("timeout")
        order.append("well")
        ended.set()
        return well.post(url, body)

    assert cosigning.collect(clock.now, post) == cosigning.Round(cosigned=1, failed=1)
    assert order == ["well", "hanging"]


def test_those_that_are_well_come_before_those_that_fail() -> None:
    for number in range(12):
        tenant = UUID(int=1000 + number)
        grow(1, tenant)
        row = register(SmallWitness(f"w{number}.example"), tenant, url=f"https://w{number}.example/w")
        Witness.objects.filter(pk=row.pk).update(failures=3 if number < 8 else 0)
    calls = []

    def post(url: str, _body: bytes) -> WitnessAnswer:
        calls.append(url)
        raise OSError("timeout")

    cosigning.collect(clock.now, post, at_once=1)
    assert len(calls) == 12
    assert {url.partition("//")[2].partition(".")[0] for url in calls[:4]} == {"w8", "w9", "w10", "w11"}


def test_a_round_ends_when_its_time_is_over_and_the_rest_stays_due() -> None:
    for number in range(5):
        tenant = UUID(int=1000 + number)
        grow(1, tenant)
        register(SmallWitness(f"w{number}.example"), tenant)
    calls = []

    def post(url: str, _body: bytes) -> WitnessAnswer:
        calls.append(url)
        return witness_answer(503)

    done = cosigning.collect(clock.now, post, at_once=1, is_over=lambda: len(calls) >= 2)
    assert done == cosigning.Round(failed=2)
    assert Witness.objects.filter(failures=0, due_at__lte=clock.now()).count() == 3


def test_no_transaction_is_open_while_an_answer_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    grow(1)
    register(SmallWitness())
    depth, main = len(transaction.get_connection().savepoint_ids), threading.current_thread()
    inside = []

    def post(_url: str, _body: bytes) -> WitnessAnswer:
        assert threading.current_thread() is not main
        time.sleep(0.05)
        return witness_answer(503)

    plain = cosigning.wait

    def waiting(*args: Any, **options: Any) -> Any:
        inside.append(len(transaction.get_connection().savepoint_ids) - depth)
        return plain(*args, **options)

    monkeypatch.setattr(cosigning, "wait", waiting)
    cosigning.collect(clock.now, post)
    assert inside == [0]


def test_a_witness_that_was_removed_meanwhile_leaves_nothing() -> None:
    grow(1)
    small = SmallWitness()
    row = register(small)

    def leave(answer: WitnessAnswer) -> WitnessAnswer:
        return answer

    small.misbehave = leave
    plain = cosigning._keep

    def keep(*args: Any) -> None:
        Witness.objects.filter(pk=row.pk).delete()
        plain(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cosigning, "_keep", keep)
        ask(small)
    assert Cosignature.objects.count() == 0


# --- What pages show about witnesses -----------------------------------------------------------------------


def test_a_witnesss_standing_says_what_it_has_signed_and_how_far_it_is_behind() -> None:
    grow(3)
    small = SmallWitness()
    register(small)
    [new] = witnesses.of(checkpoints.state(TENANT))
    assert (new.size, new.cosigned_at, new.behind, new.problem) == (None, None, 3, "")
    ask(small)
    grow(4)
    [behind] = witnesses.of(checkpoints.state(TENANT))
    assert (behind.name, behind.size, behind.cosigned_at, behind.behind) == (
        "witness.contoso.example",
        3,
        clock.now(),
        4,
    )
    assert witnesses.of(checkpoints.state(OTHER)) == []


def test_the_list_of_a_tenant_without_witnesses_is_one_statement(django_assert_num_queries: Any) -> None:
    grow(1)
    log = checkpoints.state(TENANT)
    with django_assert_num_queries(1):
        assert witnesses.of(log) == []


def test_the_list_costs_the_same_for_one_witness_and_for_ten(django_assert_num_queries: Any) -> None:
    grow(1)
    small = [SmallWitness(f"w{number}.example") for number in range(10)]
    for each in small:
        register(each, url=f"https://{each.verifier.name}/w")
    ask(*small)
    log = checkpoints.state(TENANT)
    with django_assert_num_queries(2):
        assert len(witnesses.of(log)) == 10
    Witness.objects.exclude(vkey=small[0].vkey).delete()
    with django_assert_num_queries(2):
        assert len(witnesses.of(log)) == 1


def test_freshness_is_read_from_the_signature_and_not_from_a_column(travel: Any) -> None:
    grow(1)
    small = SmallWitness()
    register(small)
    ask(small)
    signed_at = clock.now()
    travel.by(hours=5)
    Cosignature.objects.update(at=clock.now())
    Witness.objects.update(cosigned_at=clock.now())
    assert witnesses.freshest(TENANT) == signed_at
    assert witnesses.doubt(TENANT, 5, clock.now()) is None
    assert witnesses.doubt(TENANT, 5, clock.now() + dt.timedelta(seconds=1)) is Doubt.STALE
    stranger = SmallWitness()
    head = Head.parse(Note.parse(Checkpoint.objects.get().note).text)
    Cosignature.objects.update(line=stranger.line(head))
    assert witnesses.freshest(TENANT) is None


def test_another_logs_cosignature_does_not_stand_for_this_one(travel: Any) -> None:
    grow(1)
    grow(1, OTHER)
    small = SmallWitness()
    register(small)
    ask(small)
    travel.by(hours=2)
    other = Head.parse(Note.parse(Checkpoint.objects.get(tenant_id=OTHER).note).text)
    Checkpoint.objects.filter(tenant_id=TENANT).update(note=Checkpoint.objects.get(tenant_id=OTHER).note)
    Cosignature.objects.update(line=small.line(other))
    assert witnesses.freshest(TENANT) is None


def test_a_witness_that_is_not_registered_any_more_does_not_count() -> None:
    grow(1)
    small = SmallWitness()
    register(small)
    ask(small)
    Witness.objects.all().delete()
    assert Cosignature.objects.count() == 1
    assert witnesses.freshest(TENANT) is None


# --- Whether the log counts as witnessed -------------------------------------------------------------------


def cosign_anew(small: SmallWitness, size: int) -> None:
    """Cosign the same checkpoint again with the present time, as a witness does while a log does not grow."""
    line = Cosignature.objects.get(checkpoint__size=size, vkey=small.vkey)
    line.line, line.at = small.line(Head.parse(Note.parse(line.checkpoint.note).text)), clock.now()
    line.save()


def test_only_older_entries_must_be_cosigned(travel: Any) -> None:
    grow(3)
    small = SmallWitness()
    register(small)
    ask(small)
    grow(2)
    assert witnesses.doubt(TENANT, 6, clock.now()) is None
    travel.by(hours=6)
    cosign_anew(small, 3)
    assert witnesses.doubt(TENANT, 6, clock.now()) is None
    at = travel.by(seconds=1)
    assert witnesses.doubt(TENANT, 6, at) is Doubt.UNCOVERED
    # Only the signed note and the entries' bytes decide. Changing any other column does not make the cosignature newer.
    Witness.objects.update(held_size=5, cosigned_at=at)
    meddle("UPDATE audit_app_auditentry SET at = %s WHERE seq = 3", at)
    meddle("DELETE FROM audit_app_checkpoint WHERE size = 5")
    meddle("UPDATE audit_app_checkpoint SET size = 5")
    assert witnesses.doubt(TENANT, 6, at) is Doubt.UNCOVERED


def test_an_old_entry_that_nobody_signs_is_missed_as_well(travel: Any) -> None:
    grow(3)
    small = SmallWitness()
    register(small)
    ask(small)
    append(1, at=clock.now())
    at = travel.by(hours=6, seconds=1)
    cosign_anew(small, 3)
    assert witnesses.doubt(TENANT, 6, at) is Doubt.UNCOVERED


def test_an_entry_that_is_damaged_or_gone_is_taken_for_old() -> None:
    grow(3)
    small = SmallWitness()
    register(small)
    ask(small)
    grow(1)
    assert witnesses.doubt(TENANT, 6, clock.now()) is None
    meddle("UPDATE audit_app_auditentry SET canonical = %s WHERE seq = 3", b"[]")
    assert witnesses.doubt(TENANT, 6, clock.now()) is Doubt.UNCOVERED
    meddle("DELETE FROM audit_app_auditentry WHERE seq = 3")
    assert witnesses.doubt(TENANT, 6, clock.now()) is Doubt.UNCOVERED


def test_one_witness_covers_what_another_does_not(travel: Any) -> None:
    grow(3)
    ahead, behind = SmallWitness("ahead.example"), SmallWitness("behind.example")
    for each in (ahead, behind):
        register(each, url=f"https://{each.verifier.name}/w")
    ask(ahead, behind)
    behind.misbehave = lambda _answer: witness_answer(503)
    grow(2)
    ask(ahead, behind)
    travel.by(hours=7)
    cosign_anew(behind, 3)
    assert witnesses.doubt(TENANT, 6, clock.now()) is None


@pytest.mark.parametrize("answer", [witness_answer(422), witness_answer(409, "120\n", "text/x.tlog.size")])
def test_a_witness_in_alarm_is_so_until_it_cosigns_again(travel: Any, answer: WitnessAnswer) -> None:
    grow(3)
    small = SmallWitness()
    register(small)
    ask(small)
    grow(1)
    small.misbehave = lambda _answer: answer
    ask(small)
    alarm = problem()
    assert witnesses.doubt(TENANT, 6, clock.now()) is Doubt.ALARM
    # A witness that no longer answers does not end the alarm.
    small.misbehave = lambda _answer: witness_answer(503)
    travel.by(minutes=15)
    ask(small)
    row = Witness.objects.get()
    assert (row.problem, row.failures) == (alarm, 2)
    assert witnesses.doubt(TENANT, 6, clock.now()) is Doubt.ALARM
    small.misbehave = lambda given: given
    travel.by(minutes=15)
    ask(small)
    assert problem() == ""
    assert witnesses.doubt(TENANT, 6, clock.now()) is None


def test_an_alarm_of_another_tenants_witness_does_not_count_here() -> None:
    for tenant in (TENANT, OTHER):
        grow(1, tenant)
        register(SmallWitness(f"{tenant.fields[-1]}.example"), tenant)
    Witness.objects.filter(tenant_id=OTHER).update(problem="longer 7")
    assert witnesses.doubt(TENANT, 6, clock.now()) is Doubt.STALE
    assert witnesses.doubt(OTHER, 6, clock.now()) is Doubt.ALARM


def test_an_alarm_about_a_shard_ends_with_it_and_the_next_must_be_cosigned(travel: Any) -> None:
    grow(3)
    small = SmallWitness()
    register(small)
    ask(small)
    Witness.objects.update(problem="longer 120", failures=3, due_at=clock.now() + dt.timedelta(minutes=15))
    care.tombstone(TENANT, at=clock.now())
    sign(TENANT)
    assert problem() == ""
    assert witnesses.doubt(TENANT, 6, clock.now()) is Doubt.STALE
    small.misbehave = lambda _answer: witness_answer(404)
    ask(small)
    assert problem() == "unknown_log"
    assert "the command is different" in witnesses.problem_words(problem())
    small.misbehave = lambda given: given
    travel.by(minutes=1)
    ask(small)
    assert witnesses.doubt(TENANT, 6, clock.now()) is None


# --- Who can be a witness ----------------------------------------------------------------------------------


def test_a_witnesss_key_is_taken_and_given_back_as_it_is() -> None:
    small = SmallWitness()
    assert witnesses.verifier_of(f"  {small.vkey}\n", TENANT) == small.verifier


def test_the_logs_own_keys_and_names_are_no_witness() -> None:
    grow(1)
    public = keys.load().publics[0]
    mine = notes.public_bytes(SmallWitness().key)
    for verifier in (
        log_name.clock_key(public),
        notes.Verifier("elsewhere.example", public, notes.COSIGNATURE),
        notes.Verifier(log_name.clock_key(public).name, mine, notes.COSIGNATURE),
        notes.Verifier(checkpoints.origin_of(TENANT, 0), mine, notes.COSIGNATURE),
        notes.Verifier(checkpoints.origin_of(TENANT, 3), mine, notes.COSIGNATURE),
        notes.Verifier("elsewhere.example", mine, notes.ED25519),
    ):
        with pytest.raises(witnesses.NoWitness):
            witnesses.verifier_of(str(verifier), TENANT)


def test_a_key_of_the_log_that_is_out_of_use_is_no_witness_either() -> None:
    from audit_app.models import LogKey

    retired = SmallWitness()
    LogKey.objects.create(public=notes.public_bytes(retired.key), first_used_at=clock.now())
    with pytest.raises(witnesses.NoWitness):
        witnesses.verifier_of(retired.vkey, TENANT)


@pytest.mark.parametrize("vkey", ["", "x", "a+b+c", "witness.example+00000000+BAAA", "witness example+0+0"])
def test_a_malformed_key_is_refused(vkey: str) -> None:
    with pytest.raises(notes.BadNote):
        witnesses.verifier_of(vkey, TENANT)
