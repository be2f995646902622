"""A damaged log that a tombstone has closed, and the log that continues after it."""

import random
from pathlib import Path
from typing import Any

import pytest

from tests.verify.runs import is_good, judged, problems, verdict
from tests.verify.writer import (
    SYSTEM,
    T0,
    TENANT,
    Log,
    Signer,
    Written,
    bundle,
    canonical,
    entry,
    instant,
    origin_of,
    pruning,
    story,
)

FIRST = story(random.Random(11), 80)


def tombstone(closed: Log, seq: int, checkpoint: str, **change: Any) -> dict[str, Any]:
    detail = {
        "closes": closed.origin,
        "opens": origin_of(closed.shard + 1),
        "checkpoint": checkpoint,
        "cause": "altered",
    }
    return entry(seq, 10**12, "log.tombstoned", actor=SYSTEM, subject=TENANT, detail={**detail, **change})


def two_logs(*, signed: int = 80, here: int = 80, **change: Any) -> tuple[Log, Log]:
    """Return two logs: a closed log that was signed up to `signed` and has `here` entries, and the log after it."""
    whole = Log.of(FIRST)
    closed = Log(whole.lines[:here], closed_by=80)
    entries = [tombstone(closed, 80, whole.note(signed), **change)]
    entries += [entry(81 + each, 10**12 + each) for each in range(20)]
    return closed, Log.of(entries, shard=1, first_seq=80)


def test_a_closed_log_and_the_next_are_good_under_one_named_key(tmp_path: Path) -> None:
    closed, opened = two_logs()
    written = bundle(closed, opened)
    for options in ({}, {"keys": [closed.vkey()]}, {"keys": [opened.vkey()]}):
        data = verdict(written, tmp_path, **options)
        assert is_good(data), data
        assert [log["log"] for log in data["logs"]] == [0, 1]
        assert data["notes"] == ["entry 80 closed log 0 as damaged; log 1 continues it"]


def test_damage_in_a_closed_log_is_reported_and_the_verdict_stays_open(tmp_path: Path) -> None:
    closed, opened = two_logs()
    written = bundle(closed, opened)
    lines = closed.lines[:]
    lines[33] = lines[33].replace(b"pages", b"admin")
    written.files["entries-0.jsonl"] = b"".join(line + b"\n" for line in lines)
    data = verdict(written, tmp_path, keys=[closed.vkey()])
    assert (data["exit"], data["problems"]) == (2, [])
    assert data["gaps"] == [
        "entry 80 closed log 0 as damaged: the log's entries from index 33 on prove nothing "
        "(the entry's hash is not the hash that the bundle lists for it)"
    ]


def test_damage_in_the_continuing_log_is_bad(tmp_path: Path) -> None:
    closed, opened = two_logs()
    written = bundle(closed, opened)
    lines = opened.lines[:]
    lines[7] = lines[7].replace(b"pages", b"admin")
    written.files["entries-1.jsonl"] = b"".join(line + b"\n" for line in lines)
    data = verdict(written, tmp_path, keys=[closed.vkey()])
    assert [(each["log"], each["index"], each["seq"]) for each in data["problems"]] == [(1, 7, 87)]


def test_a_damaged_log_that_no_tombstone_closed_is_bad(tmp_path: Path) -> None:
    closed, opened = two_logs(closes=origin_of(7))
    written = bundle(closed, opened)
    data = verdict(written, tmp_path, keys=[closed.vkey()])
    assert problems(data) == [(0, "log 0 ends here, but this entry is not its tombstone")]
    written.files["entries-0.jsonl"] = written.files["entries-0.jsonl"].replace(b"pages", b"admin", 1)
    data = verdict(written, tmp_path, keys=[closed.vkey()])
    assert [(each["log"], each["index"]) for each in data["problems"]][0] == (0, 0)


def test_entries_that_were_signed_and_lost_are_counted(tmp_path: Path) -> None:
    closed, opened = two_logs(signed=80, here=71)
    data = verdict(bundle(closed, opened), tmp_path, keys=[closed.vkey()])
    assert (data["exit"], data["problems"]) == (2, [])
    assert data["gaps"] == [
        "9 entries of log 0, from index 71 on, were signed but are lost: "
        f"{origin_of()} had 80 entries when it was closed"
    ]


def test_a_tombstone_that_names_another_tree_than_the_bundle_has_is_bad(tmp_path: Path) -> None:
    closed, _ = two_logs()
    other = Log.of([{**FIRST[0], "door": "admin"}, *FIRST[1:]])
    entries = [tombstone(closed, 80, other.note(60)), *(entry(81 + each, 10**12 + each) for each in range(20))]
    data = verdict(bundle(closed, Log.of(entries, shard=1, first_seq=80)), tmp_path, keys=[closed.vkey()])
    assert problems(data) == [
        (
            None,
            "the log was rewritten: it does not begin with the 60 entries of the checkpoint in the log's tombstone",
        )
    ]


def test_the_manifest_says_where_a_log_was_closed(tmp_path: Path) -> None:
    closed, opened = two_logs()
    for closed_by in (None, 79):
        closed.closed_by = closed_by
        data = verdict(bundle(closed, opened), tmp_path)
        assert problems(data) == [(None, "manifest.json does not say that the first entry of log 1 closed log 0")]


def test_a_closed_log_alone_says_that_it_was_closed(tmp_path: Path) -> None:
    closed, _ = two_logs()
    data = verdict(bundle(closed), tmp_path)
    assert (data["exit"], data["problems"]) == (2, [])
    assert data["gaps"] == [
        "log 0 was closed by entry 80, which is not in this bundle; "
        "the log that continues log 0 is not in this bundle either"
    ]


def test_a_period_that_was_over_before_the_log_was_closed_needs_no_other_log(tmp_path: Path) -> None:
    closed, _ = two_logs()
    until = instant((closed.dated_at - T0) * 10**6)
    data = verdict(bundle(closed, kind="period", span=(0, 80), until=until), tmp_path)
    assert is_good(data)
    assert data["notes"] == ["log 0 was closed by entry 80, which is not in this bundle"]
    later = instant((closed.dated_at - T0 + 1) * 10**6)
    assert verdict(bundle(closed, kind="period", span=(0, 80), until=later), tmp_path)["exit"] == 2


# --- A missing beginning ---------------------------------------------------------------------------------


def pruned_to(seq: int, *more: dict[str, Any]) -> Log:
    """Return the second log, with an entry about the removal of everything before the number `seq`."""
    _, opened = two_logs()
    lines = [*opened.lines, *map(canonical, more), canonical(pruning(101 + len(more), seq, 2 * 10**12))]
    return Log(lines, shard=1, first_seq=80)


def as_pruned(closed: Log, opened: Log, seq: int) -> Written:
    """Return the bundle of both logs as the product makes it when all entries before `seq` have been removed."""
    rest = bundle(opened, pruned=max(seq - 80, 0))
    written = bundle(closed, pruned=min(seq, 80))
    written.files |= {name: raw for name, raw in rest.files.items() if "-1." in name}
    written.manifest["logs"] += rest.manifest["logs"]
    return written


@pytest.mark.parametrize("seq", [50, 80, 95])
def test_the_next_log_tells_what_was_removed_of_the_one_before(seq: int, tmp_path: Path) -> None:
    """All entries of the closed log can be removed, and even the tombstone that closed it."""
    closed, _ = two_logs()
    assert is_good(verdict(as_pruned(closed, pruned_to(seq), seq), tmp_path, keys=[closed.vkey()]))
    data = verdict(as_pruned(closed, pruned_to(seq - 1), seq), tmp_path, keys=[closed.vkey()])
    assert (data["exit"], len(data["gaps"])) == (2, 1)
    assert "no signed entry here says that they were removed" in data["gaps"][0]


def test_an_entry_about_a_removal_in_a_damaged_log_tells_nothing(tmp_path: Path) -> None:
    closed, _ = two_logs()
    opened = pruned_to(50)
    written = as_pruned(closed, opened, 50)
    written.files["entries-1.jsonl"] = written.files["entries-1.jsonl"].replace(b"pages", b"admin", 1)
    data = verdict(written, tmp_path, keys=[closed.vkey()])
    assert data["exit"] == 1
    assert "no signed entry here says that they were removed" in data["gaps"][0]


def test_a_whole_log_without_its_first_shard_is_not_whole(tmp_path: Path) -> None:
    _, opened = two_logs()
    data = verdict(bundle(opened), tmp_path, keys=[opened.vkey()])
    assert data["gaps"] == ["log 0 is not in this bundle"]
    # A period that begins with the first entry of a log may have begun in the log before it.
    data = verdict(bundle(opened, kind="period", span=(0, 21)), tmp_path, keys=[opened.vkey()])
    assert data["gaps"] == ["log 0 is not in this bundle"]


def test_a_stored_checkpoint_of_the_closed_log_is_compared_with_it(tmp_path: Path) -> None:
    closed, opened = two_logs()
    path = bundle(closed, opened).zip(tmp_path / "a.zip")
    for stored in (closed.note(55), opened.note(5)):
        data = judged(path, keys=[closed.vkey()], previous=stored)
        assert is_good(data)
        assert data["previous"]["holds"]
    fork = Log.of([{**FIRST[0], "door": "admin"}, *FIRST[1:]]).note(55)
    assert judged(path, keys=[closed.vkey()], previous=fork)["exit"] == 1


def third() -> Log:
    """Return the third log. The second one has 20 entries."""
    second = two_logs()[1]
    return Log.of([tombstone(second, 101, second.note()), entry(102, 10**13)], shard=2, first_seq=101)


def test_a_whole_log_without_one_of_its_shards_is_not_whole(tmp_path: Path) -> None:
    closed, opened = two_logs()
    opened.closed_by = 101
    assert is_good(verdict(bundle(closed, opened, third()), tmp_path, keys=[closed.vkey()]))
    for here, missing in (((opened, third()), [0]), ((closed, third()), [1]), ((third(),), [0, 1])):
        data = verdict(bundle(*here), tmp_path, keys=[closed.vkey()])
        assert (data["exit"], data["problems"]) == (2, [])
        assert data["gaps"] == [f"log {number} is not in this bundle" for number in missing]


@pytest.mark.parametrize("kind", ["log", "period", "access_request"])
def test_a_later_log_begins_with_a_tombstone_though_the_one_before_is_not_here(kind: str, tmp_path: Path) -> None:
    entries = [entry(80 + each, each, request="x") for each in range(20)]
    written = bundle(
        Log.of(entries, shard=1, first_seq=80), kind=kind, request="x" if kind == "access_request" else None
    )
    assert problems(verdict(written, tmp_path)) == [(0, "log 0 ends here, but this entry is not its tombstone")]
    if kind == "period":
        written = bundle(Log.of(entries, shard=1, first_seq=80), kind=kind, span=(0, 0))
        assert problems(verdict(written, tmp_path)) == [(0, "log 0 ends here, but this entry is not its tombstone")]


def test_a_period_may_begin_in_a_later_log_after_an_entry_that_is_older(tmp_path: Path) -> None:
    opened = two_logs()[1]
    since = instant(10**12 + 5)
    assert is_good(verdict(bundle(opened, kind="period", span=(6, 21), since=since), tmp_path))
    data = verdict(bundle(opened, kind="period", span=(0, 21), since=instant(1)), tmp_path)
    assert (data["exit"], data["gaps"]) == (2, ["log 0 is not in this bundle"])


def test_a_log_that_was_closed_before_it_was_signed_is_listed_and_leaves_it_open(tmp_path: Path) -> None:
    closed = Log([], closed_by=80)
    opened = Log.of([tombstone(closed, 80, ""), entry(81, 10**13)], shard=1, first_seq=80)
    written = bundle(closed, opened)
    for name in [name for name in written.files if name.endswith(("-0.jsonl", "-0.bin", "-0.txt"))]:
        del written.files[name]
    data = verdict(written, tmp_path, keys=[opened.vkey()])
    assert (data["exit"], data["problems"]) == (2, [])
    assert data["gaps"] == [
        "entry 80 closed log 0: there is no signed checkpoint of this log, so its entries prove nothing"
    ]
    written.manifest["logs"][0]["closed_by"] = None
    assert verdict(written, tmp_path, keys=[opened.vkey()])["gaps"] == ["checkpoint-0.txt is missing"]


def test_numbers_that_no_checkpoint_covered_are_named(tmp_path: Path) -> None:
    whole = Log.of(FIRST)
    closed = Log(whole.lines[:70], closed_by=80)
    opened = Log.of([tombstone(closed, 80, closed.note())], shard=1, first_seq=80)
    data = verdict(bundle(closed, opened), tmp_path, keys=[closed.vkey()])
    assert (data["exit"], data["gaps"]) == (2, ["entries number 70 to 79 of log 0 were never signed"])


@pytest.mark.parametrize("broken", ["key", "flaw", "gap"])
def test_a_tombstone_that_no_trusted_key_signed_excuses_no_damage(broken: str, tmp_path: Path) -> None:
    closed, opened = two_logs()
    if broken == "key":
        opened.signers = (Signer.of("stranger"),)
    written = bundle(closed, opened)
    written.files["entries-0.jsonl"] = written.files["entries-0.jsonl"].replace(b"pages", b"admin", 1)
    if broken == "flaw":
        written.files["entries-1.jsonl"] = written.files["entries-1.jsonl"].replace(b"x", b"y", 1)
    if broken == "gap":
        del written.files["leaf-hashes-1.bin"]
    data = verdict(written, tmp_path, keys=[closed.vkey()])
    assert data["exit"] == 1
    assert (data["problems"][0]["log"], data["problems"][0]["index"]) == (0, 0)


def test_no_key_is_believed_for_entries_that_were_not_compared_with_the_root(tmp_path: Path) -> None:
    """The last entry is of a later version, so the verifier can't compute the root."""
    evil, real = Signer.of("evil"), Log.of(FIRST, closed_by=80)
    detail = {"old": [real.vkey()], "new": evil.vkey(real.origin)}
    fake = Log.of([entry(0, 0, "log.key_rotated", detail=detail), {**entry(1, 1), "v": 2}])
    opened = Log.of([tombstone(real, 80, real.note())], shard=1, first_seq=80, signers=(evil,))
    written = bundle(real, opened)
    written.files["entries-0.jsonl"] = b"".join(line + b"\n" for line in fake.lines)
    written.files["leaf-hashes-0.bin"] = b"".join(fake.tree.leaves)
    data = verdict(written, tmp_path, keys=[real.vkey()])
    assert data["exit"] == 2
    assert [key["why"] for key in data["keys"]] == ["you named this key"]
    assert "the checkpoint of log 1 is signed by a key that you did not name" in data["gaps"][1]


def test_the_logs_of_a_bundle_are_in_their_order(tmp_path: Path) -> None:
    closed, opened = two_logs()
    written = bundle(closed, opened)
    written.manifest["logs"].reverse()
    assert problems(verdict(written, tmp_path)) == [(None, "manifest.json: the logs are in the wrong order")]


@pytest.mark.parametrize("first", [b"rubbish", canonical({"v": 1}), b""])
def test_a_next_log_that_begins_with_rubbish_is_bad(first: bytes, tmp_path: Path) -> None:
    closed, opened = two_logs()
    written: Written = bundle(closed, Log([first, *opened.lines[1:]], shard=1, first_seq=80))
    data = verdict(written, tmp_path)
    assert [(each["log"], each["index"]) for each in data["problems"]] == [(1, 0)]
