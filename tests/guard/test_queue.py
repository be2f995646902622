"""An access is on the disk before it happens, and reaches Lockbox in order, once."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lockbox_guard import Guard, Refused, Rule
from lockbox_guard import queue as queues
from lockbox_guard.lockbox import Lockbox
from lockbox_guard.visit import Visit
from requests_app.domain import reports
from requests_app.doors.api import guard_reports
from tests.guard.conftest import NewGuard, until
from tests.guard.fake import ADDRESS, FakeLockbox
from tests.guard.test_tokens import asked

ROOT = Path(__file__).parents[2]
#: A program that stores accesses and prints each number once it is stored. It ends when it is killed.
PROGRAM = """
import itertools, pathlib, sys
from lockbox_guard.lockbox import Lockbox, Refused
from lockbox_guard.queue import Queue
queue = Queue(pathlib.Path(sys.argv[1]), Lockbox(sys.argv[2], "shop", "secret"), 1_000_000)
{before}
for number in itertools.count():
    try:
        queue.append({{"item": f"{{sys.argv[3]}}-{{number}}", "kind": "access", "text": "x" * {length}}})
    except Refused as refused:
        print(refused.code, flush=True)
        break
    print(number, flush=True)
"""


def started(place: Path, issuer: str, name: str, before: str = "", length: int = 200) -> subprocess.Popen[str]:
    program = PROGRAM.format(before=before, length=length)
    env = os.environ | {"PYTHONPATH": str(ROOT / "clients" / "guard-python")}
    words = [sys.executable, "-c", program, str(place), issuer, name]
    return subprocess.Popen(words, env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def stored(place: Path) -> list[dict[str, Any]]:
    with sqlite3.connect(place / "accesses.sqlite3") as database:
        rows = database.execute("SELECT number, record FROM accesses ORDER BY number").fetchall()
    database.close()
    assert [number for number, _ in rows] == list(range(rows[0][0], rows[0][0] + len(rows))) if rows else True
    return [json.loads(text) for _, text in rows]


def test_the_access_is_on_the_disk_when_it_is_allowed(guard: Guard, lockbox: FakeLockbox, tmp_path: Path) -> None:
    lockbox.is_reporting_down = True
    access = guard.admit(lockbox.token(), **asked())
    [record] = stored(tmp_path / "queue")
    assert record == {
        "grant_id": access.detail["grant_id"], "resource": access.detail["resource"], "engineer": access.claims["sub"],
        "jti": access.claims["jti"], "action": "view", "item": "GET /w/{id}", "at": record["at"], "kind": "access",
        "code": "",
    }  # fmt: skip


def test_the_connection_that_writes_synchronises_the_disk(guard: Guard, lockbox: FakeLockbox) -> None:
    guard.admit(lockbox.token(), **asked())
    for pragma, value in (("synchronous", 2), ("fullfsync", 1), ("journal_mode", "wal")):
        with guard._queue._turn() as database:
            assert database.execute(f"PRAGMA {pragma}").fetchall() == [(value,)]


@pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace here")
def test_each_access_is_synchronised_before_it_is_allowed(lockbox: FakeLockbox, tmp_path: Path) -> None:
    """The kernel sees `fdatasync` or `fsync` before each number that the program prints."""
    lockbox.is_reporting_down = True
    trace = tmp_path / "trace"
    program = PROGRAM.format(before="", length=200).replace("itertools.count()", "range(6)")
    env = os.environ | {"PYTHONPATH": str(ROOT / "clients" / "guard-python")}
    words = [
        "strace",
        "-f",
        "-qq",
        "-e",
        "trace=fsync,fdatasync,write",
        "-o",
        str(trace),
        sys.executable,
        "-c",
        program,
    ]
    subprocess.run([*words, str(tmp_path / "queue"), lockbox.issuer, "a"], env=env, check=True, timeout=60)
    calls = [line.partition(" ")[2].strip() for line in trace.read_text().splitlines()]
    seen = [call for call in calls if call.startswith(("fsync(", "fdatasync(", "write(1,"))]
    for number in range(6):
        at = next(place for place, call in enumerate(seen) if call.startswith(f'write(1, "{number}'))
        assert "sync(" in seen[at - 1], seen


def test_accesses_are_reported_in_order_once(guard: Guard, lockbox: FakeLockbox, tmp_path: Path) -> None:
    for number in range(30):
        guard.admit(lockbox.token(), **asked(item=f"GET /{number}"))
    until(lambda: len(lockbox.accesses) == 30)
    assert [access["item"] for access in lockbox.accesses] == [f"GET /{number}" for number in range(30)]
    until(lambda: stored(tmp_path / "queue") == [])
    [name] = lockbox.reports
    assert lockbox.bodies[0] == {
        "guard": name, "life": lockbox.lives[name], "version": "lockbox-guard-python/0.1.0", "first": 1,
        "backlog": lockbox.bodies[0]["backlog"], "accesses": [],
    }  # fmt: skip


def test_accesses_that_come_in_while_others_are_reported_are_not_taken_for_a_copy(
    guard: Guard, lockbox: FakeLockbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "LOOK_EVERY", 0.0001)
    token = lockbox.token()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: guard.admit(token, **asked()), range(400)))
    until(lambda: len(lockbox.accesses) >= 400)
    assert (len(lockbox.reports), len(lockbox.accesses)) == (1, 400)


def test_a_refusal_is_reported_if_the_token_itself_is_good(guard: Guard, lockbox: FakeLockbox) -> None:
    for token, changed in (
        (lockbox.token(), {"action": "act_as"}), (lockbox.token(), {"tenant": "fabrikam"}), ("forged", {}),
        (lockbox.token(iss="https://other.example"), {}),
    ):  # fmt: skip
        with pytest.raises(Refused):
            guard.admit(token, **asked(**changed))
    until(lambda: len(lockbox.accesses) == 2)
    time.sleep(2 * queues.LOOK_EVERY)
    assert [(access["kind"], access["code"]) for access in lockbox.accesses] == [
        ("refused", "level_too_low"), ("refused", "out_of_scope"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("given", "stored_as"),
    [
        ("GET /w/{id}", "GET /w/{id}"),
        (r"GET /^w/(?P<pk>\d+)/a b/ü#?$", r"GET /^w/(_P<pk>\d+)/a_b/___$"),
        ("get w/{id}", "OTHER /w/{id}"),
        ("M-SEARCH /", "OTHER /"),
        ("", "OTHER /"),
        ("GET /" + "x" * 400, "GET /" + "x" * 295),
    ],
)
def test_lockbox_can_take_in_every_item(guard: Guard, lockbox: FakeLockbox, given: str, stored_as: str) -> None:
    """One access that Lockbox could not take in would hold up all others."""
    assert reports.item(stored_as)
    assert guard.decide(lockbox.token(), **asked(item=given)).item == stored_as


def test_a_refusal_of_an_unknown_action_holds_up_nothing(guard: Guard, lockbox: FakeLockbox) -> None:
    with pytest.raises(Refused, match="level_too_low"):
        guard.admit(lockbox.token(), **asked(action="anything"))
    guard.admit(lockbox.token(), **asked())
    until(lambda: [access["kind"] for access in lockbox.accesses] == ["access"])


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"identifier": "w-2", "action": "act_as"}, ["w-2"]),
        ({"identifier": "w-2", "engineer": "omar@provider.example"}, ["w-2"]),
        ({"identifier": "w-9"}, []),
    ],
    ids=str,
)
def test_a_refusal_names_the_resource_that_was_asked_for(
    guard: Guard, lockbox: FakeLockbox, tmp_path: Path, changed: dict[str, Any], named: list[str]
) -> None:
    lockbox.is_reporting_down = True
    [detail] = lockbox.claims()["authorization_details"]
    resources = {name: str(uuid.uuid5(uuid.NAMESPACE_DNS, name)) for name in ("w-1", "w-2")}
    details = [detail | {"identifier": name, "resource": resource} for name, resource in resources.items()]
    with pytest.raises(Refused):
        guard.admit(lockbox.token(authorization_details=details), **asked(**changed))
    records = stored(tmp_path / "queue")
    assert [(each["kind"], each["resource"]) for each in records] == [("refused", resources[name]) for name in named]


def test_a_sign_of_life_is_sent_without_accesses(guard: Guard, lockbox: FakeLockbox) -> None:
    body = until(lambda: lockbox.bodies)[0]
    assert (body["first"], body["backlog"], body["accesses"]) == (1, 0, [])


def test_nothing_is_reported_twice_after_an_outage(guard: Guard, lockbox: FakeLockbox) -> None:
    lockbox.is_reporting_down = True
    for number in range(10):
        guard.admit(lockbox.token(), **asked(item=f"GET /{number}"))
    time.sleep(2 * queues.LOOK_EVERY)
    lockbox.is_reporting_down = False
    until(lambda: len(lockbox.accesses) == 10)
    assert [access["item"] for access in lockbox.accesses] == [f"GET /{number}" for number in range(10)]


def test_a_lost_answer_does_not_double_a_report(guard: Guard, lockbox: FakeLockbox, tmp_path: Path) -> None:
    lockbox.loses_answers = 1
    for number in range(2):
        guard.admit(lockbox.token(), **asked(item=f"GET /{number}"))
    until(lambda: len(lockbox.accesses) == 2 and not stored(tmp_path / "queue"))
    assert lockbox.loses_answers == 0
    assert [access["item"] for access in lockbox.accesses] == ["GET /0", "GET /1"]


def test_if_lockbox_went_back_to_a_backup_the_guard_takes_another_id(
    guard: Guard, lockbox: FakeLockbox, tmp_path: Path
) -> None:
    for _ in range(3):
        guard.admit(lockbox.token(), **asked())
    until(lambda: len(lockbox.accesses) == 3 and not stored(tmp_path / "queue"))
    [name] = lockbox.reports
    lockbox.reports[name] = lockbox.reports[name][:1]
    guard.admit(lockbox.token(), **asked(item="GET /after"))
    until(lambda: len(lockbox.reports) == 2)
    [other] = set(lockbox.reports) - {name}
    until(lambda: [access["item"] for access in lockbox.reports[other]] == ["GET /after"])


def test_if_the_disk_went_back_to_a_backup_no_access_is_taken_for_a_known_one(
    new_guard: NewGuard, lockbox: FakeLockbox, tmp_path: Path
) -> None:
    guard = new_guard(queue=tmp_path / "first")
    guard.wait_for_feed()
    for _ in range(3):
        guard.admit(lockbox.token(), **asked())
    until(lambda: len(lockbox.accesses) == 3 and not stored(tmp_path / "first"))
    name = guard._queue.name()
    guard.close()
    restored = new_guard(queue=tmp_path / "second")
    restored._queue_of_test = restored.feed  # type: ignore[attr-defined] # starts it
    restored._queue._run("UPDATE reporter SET id = ?", name)
    restored.wait_for_feed()
    restored.admit(lockbox.token(), **asked(item="GET /after"))
    until(lambda: lockbox.accesses[-1]["item"] == "GET /after")
    assert len(lockbox.accesses) == 4


@pytest.mark.parametrize("copied_at", ["no access yet", "all reported", "some not reported"])
@pytest.mark.parametrize("begins_first", [0, 1], ids=["original first", "copy first"])
def test_two_machines_with_a_copy_of_one_queue_lose_nothing(
    new_guard: NewGuard, lockbox: FakeLockbox, tmp_path: Path, copied_at: str, begins_first: int
) -> None:
    """As after two machines were started from one image: both number their accesses in the same way."""
    before = new_guard(queue=tmp_path / "first")
    before.wait_for_feed()
    if copied_at != "no access yet":
        before.admit(lockbox.token(), **asked(item="GET /1"))
        until(lambda: len(lockbox.accesses) == 1 and not stored(tmp_path / "first"))
    lockbox.is_reporting_down = True
    if copied_at == "some not reported":
        before.admit(lockbox.token(), **asked(item="GET /2"))
    before.close()
    until(lambda: before._queue._database is None)
    with before._queue._lock:
        shutil.copytree(tmp_path / "first", tmp_path / "second")
    lockbox.is_reporting_down = False
    places = [tmp_path / "first", tmp_path / "second"]
    if begins_first:
        places.reverse()
    items = {access["item"] for access in [*lockbox.accesses, *stored(tmp_path / "first")]}
    machines = []
    for place in places:
        lockbox.is_reporting_down = True
        machines.append(new_guard(queue=place))
        machines[-1].wait_for_feed()
        # The second one stores more before its first report than the first one has reported by then.
        waiting = [(True, len(machines) - 1)] * 2 * len(machines)
        for is_down, number in [*waiting, *((False, number) for number in range(len(machines)))]:
            lockbox.is_reporting_down = is_down
            items.add(item := f"GET /{len(items)}-on-{number}")
            machines[number].admit(lockbox.token(), **asked(item=item))
            until(lambda is_down=is_down, place=places[number]: is_down or not stored(place))
    reported = [access["item"] for access in lockbox.accesses]
    assert set(reported) == items
    # What waited when the copy was made is reported by each machine: neither can know whether the other one did.
    assert len(reported) - len(items) == (1 if copied_at == "some not reported" else 0)


def test_of_two_lives_at_the_same_time_only_the_later_one_reports(
    guard: Guard, lockbox: FakeLockbox, tmp_path: Path
) -> None:
    guard.admit(lockbox.token(), **asked(item="GET /before"))
    until(lambda: not stored(tmp_path / "queue"))
    [name] = lockbox.reports
    lockbox.lives[name] = str(uuid.uuid4())
    guard.admit(lockbox.token(), **asked(item="GET /after"))
    until(lambda: not stored(tmp_path / "queue"))
    assert [access["item"] for access in lockbox.reports.pop(name)] == ["GET /before"]
    [[after]] = lockbox.reports.values()
    assert after["item"] == "GET /after"


def test_two_guards_of_one_process_do_not_take_each_other_for_a_copy(new_guard: NewGuard, lockbox: FakeLockbox) -> None:
    guards = [new_guard(), new_guard()]
    for number in range(3):
        for guard in guards:
            guard.wait_for_feed()
            guard.admit(lockbox.token(), **asked())
        until(lambda number=number: len(lockbox.accesses) == 2 * number + 2)
    assert len({(body["guard"], body["life"]) for body in lockbox.bodies}) == 1


def test_each_life_claims_the_guard_before_it_reports(new_guard: NewGuard, lockbox: FakeLockbox) -> None:
    for number in range(2):
        guard = new_guard()
        guard.wait_for_feed()
        guard.admit(lockbox.token(), **asked())
        until(lambda number=number: len(lockbox.accesses) == number + 1)
        guard.close()
        with guard._queue._lock:
            guard._queue._close()
    lives = list(dict.fromkeys(body["life"] for body in lockbox.bodies))
    assert len(lives) == 2
    for life in lives:
        assert next(body for body in lockbox.bodies if body["life"] == life)["accesses"] == []
    assert len(lockbox.reports) == 1


def test_if_lockbox_has_too_many_guards_the_guard_makes_no_more_ids(
    guard: Guard, lockbox: FakeLockbox, tmp_path: Path
) -> None:
    lockbox.has_too_many_guards = True
    guard.admit(lockbox.token(), **asked())
    time.sleep(6 * queues.LOOK_EVERY)
    assert len({body["guard"] for body in lockbox.bodies}) == 1
    assert len(stored(tmp_path / "queue")) == 1


@pytest.mark.parametrize("has_copy", [False, True])
def test_after_a_restart_only_the_own_reports_are_taken_for_known(
    new_guard: NewGuard, lockbox: FakeLockbox, tmp_path: Path, has_copy: bool
) -> None:
    """The answer to a report is lost, and the guard ends. In the meantime, a copy can have reported its own access."""
    guard = new_guard()
    guard.wait_for_feed()
    until(lambda: lockbox.bodies)
    lockbox.loses_answers = 1
    guard.admit(lockbox.token(), **asked())
    until(lambda: not lockbox.loses_answers)
    guard.close()
    with guard._queue._lock:
        guard._queue._close()
    assert len(stored(tmp_path / "queue")) == 1
    if has_copy:
        [name] = lockbox.reports
        lockbox.lives[name] = str(uuid.uuid4())
        lockbox.reports[name] = [{"item": "GET /of-the-copy"}]
    new_guard().wait_for_feed()
    until(lambda: not stored(tmp_path / "queue"))
    assert [access["item"] for access in lockbox.accesses] == ["GET /of-the-copy"] * has_copy + ["GET /w/{id}"]


def test_a_life_that_ends_before_its_claim_is_answered_doubles_nothing(
    new_guard: NewGuard, lockbox: FakeLockbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to a report is lost, and so is the answer to the claim of the next life. A third one follows."""

    def end(guard: Guard) -> None:
        guard.close()
        with guard._queue._lock:
            guard._queue._close()

    first = new_guard()
    first.wait_for_feed()
    until(lambda: lockbox.bodies)
    lockbox.loses_answers = 1
    first.admit(lockbox.token(), **asked())
    until(lambda: not lockbox.loses_answers)
    end(first)
    [name], before = lockbox.reports, dict(lockbox.lives)
    post = Lockbox.post

    def lost(*words: Any) -> tuple[int, dict[str, Any]]:
        post(*words)
        return 502, {}

    monkeypatch.setattr(Lockbox, "post", lost)
    second = new_guard()
    second.wait_for_feed()
    until(lambda: lockbox.lives != before)
    end(second)
    monkeypatch.setattr(Lockbox, "post", post)
    new_guard().wait_for_feed()
    until(lambda: not stored(tmp_path / "queue"))
    assert ([*lockbox.reports], len(lockbox.accesses)) == ([name], 1)


def test_threads_share_one_write(guard: Guard, lockbox: FakeLockbox, monkeypatch: pytest.MonkeyPatch) -> None:
    lockbox.is_reporting_down = True
    sizes, plain = [], guard._queue._write

    def counted(writes: list[Any]) -> None:
        sizes.append(len(writes))
        time.sleep(0.02)
        plain(writes)

    monkeypatch.setattr(guard._queue, "_write", counted)
    token = lockbox.token()
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda _: guard.admit(token, **asked()), range(64)))
    assert sum(sizes) == 64
    assert max(sizes) > 4


@contextmanager
def hung(place: Path) -> Iterator[None]:
    """Hold the turn at the queue, as a process does that stopped within a write, or whose disk hangs."""
    with (place / "room.lock").open("ab") as room:
        fcntl.flock(room, fcntl.LOCK_EX)
        yield


def test_a_disk_that_hangs_holds_one_request_and_refuses_the_others(
    guard: Guard, lockbox: FakeLockbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lockbox.is_reporting_down = True
    monkeypatch.setattr(queues, "WRITE_WITHIN", 0.2)
    admit = partial(code_of_admission, guard, lockbox.token())
    assert admit() == "allowed"
    with ThreadPoolExecutor(5) as pool:
        with hung(tmp_path / "queue"):
            calls = [pool.submit(admit) for _ in range(5)]
            until(lambda: sum(call.done() for call in calls) >= 4, 5)
            # One of them, or the reporter, waits in the queue itself.
            assert {call.result() for call in calls if call.done()} == {"queue_unavailable"}
        allowed = [call.result() for call in calls].count("allowed")
    assert admit() == "allowed"
    # What was refused is not stored later.
    assert len(stored(tmp_path / "queue")) == allowed + 2


def code_of_admission(guard: Guard, token: str) -> str:
    try:
        guard.admit(token, **asked())
    except Refused as refused:
        return refused.code
    return "allowed"


def test_a_disk_that_hangs_delays_no_cut(guard: Guard, lockbox: FakeLockbox, tmp_path: Path) -> None:
    cuts: dict[str, float] = {}
    grants = [str(uuid.uuid4()) for _ in range(2)]
    for grant in grants:
        headers = [("lockbox-grant", lockbox.token(detail={"grant_id": grant}))]
        visit = Visit(guard, "GET", "/w/1", "", headers, lambda grant=grant: cuts.setdefault(grant, time.monotonic()))
        visit.admit(Rule(tenant="contoso", identifier="w-17", engineer=ADDRESS, pattern="/w/{id}"))
    with hung(tmp_path / "queue"):
        for grant in grants:
            lockbox.close(grant)
            until(lambda grant=grant: grant in cuts, 1)
        cut_by = lockbox.now() + 0.5
        time.sleep(1)
    until(lambda: [access["kind"] for access in lockbox.accesses].count("cut") == 2)
    # The time is that of the cut, not of the write.
    times = [access["at"] for access in lockbox.accesses if access["kind"] == "cut"]
    assert max(map(datetime.fromisoformat, times)).timestamp() < cut_by


def test_a_lockbox_that_hangs_holds_one_renewal_and_not_the_others(
    guard: Guard, lockbox: FakeLockbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs, has_begun = threading.Event(), threading.Event()

    def token(**_form: str) -> tuple[str, float]:
        has_begun.set()
        hangs.wait(30)
        raise TimeoutError

    monkeypatch.setattr(guard.lockbox, "token", token)
    monkeypatch.setattr("lockbox_guard.guard.RENEW_WAIT", 0.1)
    first, *others = (lockbox.token() for _ in range(5))
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(guard.renewed, first, 400)
        assert has_begun.wait(5)
        begun = time.monotonic()
        # They go on with the tokens that they have.
        assert [guard.renewed(each, 400) for each in others] == others
        assert time.monotonic() - begun < 2
        assert not held.done()
        hangs.set()
        assert held.result() == first


def test_a_full_queue_refuses_but_stores_what_was_cut(
    new_guard: NewGuard, lockbox: FakeLockbox, tmp_path: Path
) -> None:
    lockbox.is_reporting_down = True
    guard = new_guard(queue_limit=3)
    guard.wait_for_feed()
    for _ in range(3):
        access = guard.admit(lockbox.token(), **asked())
    with pytest.raises(Refused, match="queue_full"):
        guard.admit(lockbox.token(), **asked())
    guard.record(access, "cut", "closed")
    assert [record["kind"] for record in stored(tmp_path / "queue")] == ["access"] * 3 + ["cut"]
    lockbox.is_reporting_down = False
    until(lambda: stored(tmp_path / "queue") == [])
    guard.admit(lockbox.token(), **asked())
    assert len(lockbox.accesses) == 4


def test_a_disk_that_fails_refuses_and_works_again_when_repaired(
    guard: Guard, lockbox: FakeLockbox, tmp_path: Path
) -> None:
    place = tmp_path / "queue"
    with guard._queue._lock:
        guard._queue._close()
        place.rename(tmp_path / "away")
        place.write_text("not a directory")
    with pytest.raises(Refused, match="queue_unavailable"):
        guard.admit(lockbox.token(), **asked())
    place.unlink()
    guard.admit(lockbox.token(), **asked())


def test_a_full_disk_refuses_and_loses_nothing(lockbox: FakeLockbox, tmp_path: Path) -> None:
    lockbox.is_reporting_down = True
    limit = "import resource; queue.name(); resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))"
    process = started(tmp_path, lockbox.issuer, "a", limit, length=900)
    lines = process.communicate(timeout=60)[0].split()
    assert lines[-1] == "queue_unavailable"
    assert len(lines) > 20
    assert [record["item"] for record in stored(tmp_path)] == [f"a-{number}" for number in lines[:-1]]


@pytest.mark.parametrize("seconds", [0.05, 0.11, 0.2])
def test_a_killed_process_loses_nothing_that_it_allowed(lockbox: FakeLockbox, tmp_path: Path, seconds: float) -> None:
    lines: list[int] = []
    for life in ("a", "b"):
        process = started(tmp_path, lockbox.issuer, life)
        assert process.stdout is not None
        lines.append(int(process.stdout.readline()))
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        allowed = [*lines, *map(int, process.communicate()[0].split())]
        items = [access["item"] for access in lockbox.accesses + stored(tmp_path) if access["item"][0] == life]
        # One more can be there: it was stored, and the process was killed before it could allow it.
        assert list(dict.fromkeys(items))[: len(allowed)] == [f"{life}-{number}" for number in allowed]
        assert len(dict.fromkeys(items)) <= len(allowed) + 1
        lines.clear()


def test_a_write_that_is_torn_anywhere_is_left_out(new_guard: NewGuard, lockbox: FakeLockbox, tmp_path: Path) -> None:
    """The write-ahead log is cut off, or damaged, at each place of its last writes."""
    lockbox.is_reporting_down = True
    guard, ends = new_guard(), [0]
    guard.wait_for_feed()
    place, log = tmp_path / "queue", tmp_path / "queue" / "accesses.sqlite3-wal"
    for number in range(4):
        guard.admit(lockbox.token(), **asked(item=f"GET /{number}"))
        ends.append(log.stat().st_size)
    whole = log.read_bytes()
    for at in range(ends[1], len(whole), 509):
        for torn in (whole[:at], whole[:at] + bytes(len(whole) - at), whole[:at] + whole[at + 1 :]):
            copy = tmp_path / "copy"
            shutil.copytree(place, copy, ignore=lambda _, names: [name for name in names if name.endswith("-shm")])
            (copy / log.name).write_bytes(torn)
            found = [record["item"] for record in stored(copy)]
            durable = max(number for number, end in enumerate(ends) if end <= at)
            assert found == [f"GET /{number}" for number in range(len(found))]
            assert len(found) >= durable
            shutil.rmtree(copy)


def test_processes_share_one_queue(lockbox: FakeLockbox, tmp_path: Path) -> None:
    """Several processes of a server, one of them killed, and then one more."""
    lockbox.is_reporting_down = True
    first = [started(tmp_path, lockbox.issuer, name) for name in "abc"]
    begun = [[process.stdout.readline().strip() for _ in range(5)] for process in first if process.stdout]
    lockbox.is_reporting_down = False
    for process in first:
        process.kill()
    printed = [[*lines, *process.communicate()[0].split()] for lines, process in zip(begun, first, strict=True)]
    last = started(tmp_path, lockbox.issuer, "d")
    until(lambda: any(access["item"].startswith("d-") for access in lockbox.accesses), 20)
    last.kill()
    last.communicate()
    [accesses] = lockbox.reports.values()
    for name, lines in zip("abc", printed, strict=True):
        items = [access["item"] for access in accesses if access["item"].startswith(f"{name}-")]
        assert items[: len(lines)] == [f"{name}-{number}" for number in lines]
        assert len(items) <= len(lines) + 1


def test_no_process_is_overtaken_again_and_again(lockbox: FakeLockbox, tmp_path: Path) -> None:
    """Each of many processes gets its turn, though each asks again at once."""
    lockbox.is_reporting_down = True
    processes = [started(tmp_path, lockbox.issuer, str(number)) for number in range(6)]
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    before = len(stored(tmp_path))
    time.sleep(2)
    for process in processes:
        process.kill()
    for process in processes:
        process.communicate()
    names = [record["item"].partition("-")[0] for record in stored(tmp_path)[before:]]
    counts = sorted(names.count(str(number)) for number in range(6))
    assert counts[0] > counts[-1] / 4, counts


def test_a_fork_keeps_no_lock_of_its_parent(lockbox: FakeLockbox, tmp_path: Path) -> None:
    """The parent is killed in the middle of a write and while it reports; the child lives on, and others go on."""
    before = f"""
import os, signal
from lockbox_guard import Guard
guard = Guard(issuer={lockbox.issuer!r}, service="quillo", client_id="shop", client_secret="secret",
              queue=sys.argv[1], origin="http://localhost:9")
guard.wait_for_feed()
with guard._queue._turn():
    if os.fork():
        os.kill(os.getpid(), signal.SIGKILL)
os.close(1)
sys.stdin.read()
"""
    env = os.environ | {"PYTHONPATH": str(ROOT / "clients" / "guard-python")}
    words = [sys.executable, "-W", "ignore", "-c", "import sys" + before, str(tmp_path)]
    with subprocess.Popen(words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.wait(20) == -signal.SIGKILL
        last = started(tmp_path, lockbox.issuer, "d")
        until(lambda: any(access["item"].startswith("d-") for access in lockbox.accesses), 20)
        last.kill()
        last.communicate()


@pytest.mark.parametrize("place", [0, 1, 36, 49])
def test_an_access_that_lockbox_does_not_take_in_holds_up_nothing(
    guard: Guard, lockbox: FakeLockbox, tmp_path: Path, place: int
) -> None:
    lockbox.is_reporting_down, lockbox.not_taken = True, f"GET /{place}"
    for number in range(50):
        guard.admit(lockbox.token(), **asked(item=f"GET /{number}"))
    lockbox.is_reporting_down = False
    until(lambda: len(lockbox.accesses) == 50)
    items = [f"GET /{number}" for number in range(50)]
    assert [access["item"] for access in lockbox.accesses] == [
        *items[:place], "OTHER /not-taken-in", *items[place + 1 :],
    ]  # fmt: skip
    until(lambda: stored(tmp_path / "queue") == [])
    [(number, text)] = guard._queue._run("SELECT number, record FROM not_taken")
    assert (number, json.loads(text)["item"]) == (place + 1, items[place])
    assert len(lockbox.reports) == 1


def test_lockbox_can_take_in_what_replaces_an_access() -> None:
    body = {"guard": str(uuid.uuid4()), "life": str(uuid.uuid4()), "first": 1, "accesses": [json.loads(queues.SKIPPED)]}
    assert guard_reports.report_in(body).accesses[0].item == "OTHER /not-taken-in"


def test_if_lockbox_takes_in_nothing_at_all_the_queue_waits(guard: Guard, lockbox: FakeLockbox, tmp_path: Path) -> None:
    lockbox.not_taken = ""
    for number in range(3):
        guard.admit(lockbox.token(), **asked(item=f"GET /{number}"))
    time.sleep(6 * queues.LOOK_EVERY)
    assert lockbox.accesses == []
    assert [record["item"] for record in stored(tmp_path / "queue")][1:] == ["GET /1", "GET /2"]
    assert len(lockbox.bodies) < 10


def test_two_guards_on_one_host_have_their_own_ids(new_guard: NewGuard, lockbox: FakeLockbox, tmp_path: Path) -> None:
    for name in ("one", "two"):
        guard = new_guard(queue=tmp_path / name)
        guard.wait_for_feed()
        for number in range(5):
            guard.admit(lockbox.token(), **asked(item=f"GET /{name}/{number}"))
    until(lambda: len(lockbox.accesses) == 10)
    assert sorted([access["item"] for access in accesses] for accesses in lockbox.reports.values()) == [
        [f"GET /{name}/{number}" for number in range(5)] for name in ("one", "two")
    ]


def test_a_forked_process_has_its_own_threads_and_connection(
    guard: Guard, lockbox: FakeLockbox, tmp_path: Path
) -> None:
    """As in a server that forks after the application was used."""
    guard.admit(lockbox.token(), **asked(item="GET /parent"))
    program = f"""
import os
from lockbox_guard import Guard
guard = Guard(issuer={lockbox.issuer!r}, service="quillo", client_id="shop", client_secret="secret",
              queue={str(tmp_path / "queue")!r}, origin="http://localhost:9")
question = {asked()!r}
guard.wait_for_feed()
guard.admit({lockbox.token()!r}, **question | {{"item": "GET /before"}})
child = os.fork()
guard.wait_for_feed()
guard.admit({lockbox.token()!r}, **question | {{"item": "GET /child" if child == 0 else "GET /after"}})
if child:
    os._exit(os.waitpid(child, 0)[1])
os._exit(0)
"""
    env = os.environ | {"PYTHONPATH": str(ROOT / "clients" / "guard-python")}
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], env=env, check=True, timeout=60)
    until(lambda: len(lockbox.accesses) == 4)
    assert {access["item"] for access in lockbox.accesses} == {
        f"GET /{name}" for name in ("parent", "before", "child", "after")
    }
    assert len(lockbox.reports) == 1


@pytest.mark.slow
def test_a_queue_of_a_hundred_thousand_is_reported(guard: Guard, lockbox: FakeLockbox, tmp_path: Path) -> None:
    lockbox.is_reporting_down = True
    access = guard.admit(lockbox.token(), **asked(item="GET /0"))
    record = stored(tmp_path / "queue")[0]
    texts = (json.dumps(record | {"item": f"GET /{number}"}) for number in range(1, 100_000))
    writes = [{"text": text, "kind": "access", "why": "not yet"} for text in texts]
    guard._queue._write(writes)
    assert {write["why"] for write in writes} == {""}
    lockbox.is_reporting_down = False
    until(lambda: len(lockbox.accesses) >= 100_000, 60)
    guard.record(access, "access")
    until(lambda: len(lockbox.accesses) == 100_001)
    assert [one["item"] for one in lockbox.accesses[:-1]] == [f"GET /{number}" for number in range(100_000)]
    assert max(len(body["accesses"]) for body in lockbox.bodies) == queues.BATCH_MAX
    guard._queue._send(is_sign_due=True)
    assert (tmp_path / "queue" / "accesses.sqlite3").stat().st_size < 100_000
