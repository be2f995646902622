"""Which keys are trusted: the keys that the reader names, and rotated keys that follow from them.

Also tests the bundle's own keys, the keys of witnesses, and the key of a checkpoint that the reader saved.
"""

import json
import random
import time
from pathlib import Path

import pytest

from tests.verify.runs import is_good, judged, problems, receipt, verdict
from tests.verify.writer import (
    HOST,
    SYSTEM,
    T0,
    TENANT,
    Log,
    Signer,
    b64,
    bundle,
    canonical,
    entry,
    instant,
    origin_of,
    story,
)
from verify import lockbox_verify as lv

OLD, NEW, STRANGER = Signer.of("old"), Signer.of("new"), Signer.of("stranger")
W1, W2 = Signer.of("w1"), Signer.of("w2")
ENTRIES = story(random.Random(5), 120)


def rotated(*, new: Signer = NEW, at: int = 60, **rest: object) -> Log:
    """Return a log that announces a new key in the middle. The new key has signed the log's end."""
    entries = ENTRIES[:at]
    detail = {"old": [OLD.vkey(origin_of())], "new": new.vkey(origin_of())}
    entries.append(entry(at, 10**12, "log.key_rotated", actor=SYSTEM, subject=TENANT, detail=detail))
    entries += [entry(at + 1 + each, 10**12 + each) for each in range(30)]
    return Log.of(entries, **{"signers": (NEW,), **rest})


# --- Named keys ------------------------------------------------------------------------------------------


def test_a_named_key_must_have_signed(tmp_path: Path) -> None:
    log = Log.of(ENTRIES)
    assert is_good(verdict(bundle(log), tmp_path, keys=[log.vkey()]))
    assert is_good(verdict(bundle(log), tmp_path, keys=[STRANGER.vkey(log.origin), log.vkey()]))
    data = verdict(bundle(log), tmp_path, keys=[STRANGER.vkey(log.origin)])
    assert data["exit"] == 2
    assert data["gaps"][0].startswith(
        "the checkpoint of log 0 is signed by a key that you did not name (lockbox.example"
    )
    assert log.vkey() in data["gaps"][0]


def test_the_same_key_named_for_another_tenant_does_not_count_here(tmp_path: Path) -> None:
    log = Log.of(ENTRIES)
    other = origin_of(tenant="a1f2a0a7-8482-4321-a391-a91d406c9533")
    data = verdict(bundle(log), tmp_path, keys=[log.signers[0].vkey(other)])
    assert (data["exit"], data["problems"]) == (2, [])


def test_a_cosigner_s_key_is_no_log_s_key(tmp_path: Path) -> None:
    log = Log.of(ENTRIES)
    assert verdict(bundle(log), tmp_path, keys=[log.signers[0].vkey(log.origin, 4)])["exit"] == 2
    assert verdict(bundle(log), tmp_path, keys=[log.signers[0].vkey(HOST, 4)])["exit"] == 2


def test_a_bundle_whose_own_keys_did_not_sign_it_can_t_be_judged(tmp_path: Path) -> None:
    written = bundle(Log.of(ENTRIES))
    written.files["keys.json"] = json.dumps({"log": [STRANGER.vkey(origin_of())]}).encode()
    data = verdict(written, tmp_path)
    assert "the checkpoint of log 0 is not signed by any key in this bundle" in data["gaps"]
    assert (data["exit"], data["problems"]) == (2, [])


def test_a_checkpoint_without_a_time_leaves_open_when_it_was_made(tmp_path: Path) -> None:
    log, written = Log.of(ENTRIES), bundle(Log.of(ENTRIES))
    lines = log.note().splitlines(keepends=True)
    written.files["checkpoint-0.txt"] = "".join(lines[:5]).encode()
    data = verdict(written, tmp_path, keys=[log.vkey()])
    assert data["exit"] == 2
    assert data["gaps"] == [f"the checkpoint of log 0 has no time: the cosignature of {HOST} is missing"]


def test_a_heartbeat_s_newest_time_is_shown(tmp_path: Path) -> None:
    log, written = Log.of(ENTRIES), bundle(Log.of(ENTRIES))
    text = log.note().split("\n\n")[0] + "\n"
    later = log.signers[0].cosign(HOST, text, log.dated_at + 3600)
    written.files["checkpoint-0.txt"] += later.encode()
    data = verdict(written, tmp_path, keys=[log.vkey()])
    assert is_good(data)
    assert data["logs"][0]["dated_at"] == "2025-06-27T05:53:20Z"


@pytest.mark.parametrize(("age", "is_fresh"), [(-30, True), (0, True), (7200, True), (7201, False), (10**7, False)])
def test_a_checkpoint_that_nobody_dates_any_more_leaves_open_what_is_held_back(
    age: int, is_fresh: bool, tmp_path: Path
) -> None:
    log, written = Log.of(ENTRIES), bundle(Log.of(ENTRIES))
    written.manifest["made_at"] = instant((log.dated_at - T0 + age) * 10**6)
    data = verdict(written, tmp_path, keys=[log.vkey()])
    assert is_good(data) == is_fresh
    assert data["logs"][0]["age_when_made"] == age
    if not is_fresh:
        assert (data["exit"], data["problems"], len(data["gaps"])) == (2, [], 1)
        assert data["gaps"][0].endswith(
            " old when the bundle was made, but a log gets a newly dated checkpoint each hour. The signer "
            "has stopped, or newer entries are held back"
        )


def test_a_period_that_was_over_when_its_checkpoint_was_dated_is_whole_however_old(tmp_path: Path) -> None:
    log = Log.of(ENTRIES)
    for until, is_over in ((0, True), (1, False)):
        written = bundle(log, kind="period", span=(0, 120), until=instant((log.dated_at - T0 + until) * 10**6))
        written.manifest["made_at"] = instant(10**14)
        assert is_good(verdict(written, tmp_path, keys=[log.vkey()])) == is_over


def test_a_checkpoint_of_the_future_could_be_shown_as_the_newest_for_long(tmp_path: Path) -> None:
    for ahead, is_fine in ((300, True), (3600, False)):
        log = Log.of(ENTRIES, dated_at=int(time.time()) + ahead)
        data = verdict(bundle(log), tmp_path, keys=[log.vkey()])
        assert (data["exit"], data["problems"]) == (0 if is_fine else 2, [])
        assert data["gaps"] == (
            [] if is_fine else ["by the clock of this machine, the date of the checkpoint of log 0 is in the future"]
        )


def test_a_bundle_that_does_not_say_when_it_was_made_may_be_old(tmp_path: Path) -> None:
    log, written = Log.of(ENTRIES), bundle(Log.of(ENTRIES))
    written.manifest["made_at"] = None
    data = verdict(written, tmp_path, keys=[log.vkey()])
    assert data["gaps"] == [
        "the bundle does not say when it was made, so it is not known whether its checkpoint is the newest"
    ]
    written.manifest["made_at"] = "lately"
    assert problems(verdict(written, tmp_path, keys=[log.vkey()])) == [(None, "manifest.json: “made_at” is not a time")]


# --- Rotation --------------------------------------------------------------------------------------------


def test_while_both_keys_sign_either_is_enough(tmp_path: Path) -> None:
    log = rotated(signers=(NEW, OLD))
    for key in (OLD, NEW):
        data = verdict(bundle(log), tmp_path, keys=[log.vkey(key)])
        assert is_good(data)
        assert log.vkey(key) in data["logs"][0]["signed_by"]


def test_a_reader_with_the_old_key_learns_the_new_one_from_the_log(tmp_path: Path) -> None:
    log = rotated(older=(61, 75), older_signers=(OLD,))
    data = verdict(bundle(log), tmp_path, keys=[log.vkey(OLD)])
    assert is_good(data), data
    assert [key["why"] for key in data["keys"]] == [
        "you named this key",
        "entry 60 of log 0, signed by a trusted key, names this key",
    ]


def test_a_rotation_that_the_old_key_did_not_sign_counts_for_nothing(tmp_path: Path) -> None:
    log = rotated(older=(10, 60), older_signers=(OLD,))
    data = verdict(bundle(log), tmp_path, keys=[log.vkey(OLD)])
    assert (data["exit"], data["problems"]) == (2, [])
    assert "signed by a key that you did not name" in data["gaps"][0]


def test_a_rotation_to_another_key_does_not_vouch_for_this_one(tmp_path: Path) -> None:
    log = rotated(new=STRANGER, older=(75,), older_signers=(OLD,))
    assert verdict(bundle(log), tmp_path, keys=[log.vkey(OLD)])["exit"] == 2


def test_a_rotation_is_trusted_through_a_stored_checkpoint(tmp_path: Path) -> None:
    log = rotated()
    previous = log.note(75, (OLD,))
    assert verdict(bundle(log), tmp_path, keys=[log.vkey(OLD)])["exit"] == 2
    assert is_good(verdict(bundle(log), tmp_path, keys=[log.vkey(OLD)], previous=previous))
    fork = rotated(at=59).note(75, (OLD,))
    assert verdict(bundle(log), tmp_path, keys=[log.vkey(OLD)], previous=fork)["exit"] == 1


def test_the_rotation_goes_along_with_an_access_request(tmp_path: Path) -> None:
    log = rotated(older=(75,), older_signers=(OLD,))
    request = str(json.loads(log.lines[1])["access_request"])
    assert is_good(verdict(bundle(log, kind="access_request", request=request), tmp_path, keys=[log.vkey(OLD)]))


# --- Witnesses -------------------------------------------------------------------------------------------


def test_cosignatures_are_listed_with_their_time(tmp_path: Path) -> None:
    log = Log.of(ENTRIES, witnesses=(("w1.example", W1), ("w2.example", W2)))
    named = [W1.vkey("w1.example", 4), W2.vkey("w2.example", 4)]
    data = verdict(bundle(log), tmp_path, keys=[log.vkey()], witnesses=named)
    assert is_good(data)
    assert [(each["name"], each["at"]) for each in data["logs"][0]["witnesses"]] == [
        ("w1.example", "2025-06-27T04:53:25Z"),
        ("w2.example", "2025-06-27T04:53:25Z"),
    ]


def test_a_named_witness_must_have_cosigned(tmp_path: Path) -> None:
    log = Log.of(ENTRIES, witnesses=(("w1.example", W1),))
    named = {"keys": [log.vkey()], "witnesses": [W1.vkey("w1.example", 4)]}
    assert is_good(verdict(bundle(log), tmp_path, **named))
    named["witnesses"].append(W2.vkey("w2.example", 4))
    data = verdict(bundle(log), tmp_path, **named)
    assert data["gaps"] == ["the witness w2.example, which you named, did not cosign the checkpoint of log 0"]


def test_a_false_cosignature_is_bad(tmp_path: Path) -> None:
    log = Log.of(ENTRIES, witnesses=(("w1.example", W1),))
    written = bundle(log)
    other = Log.of(ENTRIES[:-1], witnesses=(("w1.example", W1),)).note().splitlines(keepends=True)[-1]
    written.files["checkpoint-0.txt"] = "".join([*log.note().splitlines(keepends=True)[:-1], other]).encode()
    data = verdict(written, tmp_path, keys=[log.vkey()])
    assert [why for _index, why in problems(data)] == [
        f"the signature of w1.example ({W1.key_id('w1.example', 4).hex()}) under the checkpoint is false"
    ]


# --- A stored checkpoint ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 64, 119, 120])
def test_a_stored_checkpoint_is_the_beginning_of_the_log(size: int, tmp_path: Path) -> None:
    log = Log.of(ENTRIES)
    data = verdict(bundle(log), tmp_path, keys=[log.vkey()], previous=log.note(size))
    assert is_good(data)
    assert data["previous"]["holds"]


@pytest.mark.parametrize("size", [1, 64, 119, 120])
def test_a_log_that_was_rewritten_since_is_found(size: int, tmp_path: Path) -> None:
    log = Log.of(ENTRIES)
    previous = Log.of([{**ENTRIES[0], "door": "admin"}, *ENTRIES[1:]]).note(size)
    data = verdict(bundle(log), tmp_path, keys=[log.vkey()], previous=previous)
    assert problems(data) == [
        (None, f"the log was rewritten: it does not begin with the {size} entries of the checkpoint that you saved")
    ]
    assert not data["previous"]["holds"]


def test_a_stored_checkpoint_without_a_proof_can_t_be_compared(tmp_path: Path) -> None:
    log = Log.of(ENTRIES, older=(40,))
    period = bundle(log, kind="period", span=(60, 100))
    for size in (40, 60, 77, 100, 120):
        assert is_good(verdict(period, tmp_path, keys=[log.vkey()], previous=log.note(size))), size
    for size in (39, 41, 59, 101, 119):
        data = verdict(period, tmp_path, keys=[log.vkey()], previous=log.note(size))
        why = f"the checkpoint that you saved has {size} entries, "
        why += "but the bundle has no consistency proof for this size"
        assert (data["exit"], data["gaps"]) == (2, [why])
    request = bundle(log, kind="access_request", request=str(json.loads(log.lines[1])["access_request"]))
    assert is_good(verdict(request, tmp_path, keys=[log.vkey()], previous=log.note(40)))
    assert verdict(request, tmp_path, keys=[log.vkey()], previous=log.note(41))["exit"] == 2


def growth(log: Log, old: int, new: int) -> str:
    """Return a consistency proof in the form that a witness expects. The log's page offers it in this form too."""
    hashes = "".join(f"{b64(each)}\n" for each in log.tree.consistency(old, new))
    return f"old {old}\n{hashes}\n{log.note(new)}"


@pytest.mark.parametrize("new", [40, 77, 120])
def test_a_separate_consistency_proof_continues_from_a_stored_checkpoint(new: int, tmp_path: Path) -> None:
    """The proof leads either to the newest checkpoint, or to an older checkpoint in the bundle."""
    log = Log.of(ENTRIES, older=(40,))
    path = bundle(log, kind="period", span=(60, 100)).zip(tmp_path / "a.zip")
    named = {"keys": [log.vkey()], "previous": log.note(31)}
    assert judged(path, **named)["exit"] == 2
    data = judged(path, **named, consistency=growth(log, 31, new))
    assert is_good(data)
    assert data["previous"]["holds"]
    # With only the stored checkpoint, the key that signed it counts as named.
    assert is_good(judged(path, previous=log.note(31), consistency=growth(log, 31, new), trust_bundle_key=False))


def test_a_consistency_proof_that_does_not_lead_there_is_no_proof(tmp_path: Path) -> None:
    log = Log.of(ENTRIES, older=(40,))
    path = bundle(log, kind="period", span=(60, 100)).zip(tmp_path / "a.zip")
    fork = Log.of([{**ENTRIES[0], "door": "admin"}, *ENTRIES[1:]])
    named = {"keys": [log.vkey()], "previous": log.note(31)}
    # Proofs from another size, and to another size.
    for proof in (growth(log, 30, 120), growth(log, 31, 59)):
        assert judged(path, **named, consistency=proof)["exit"] == 2
    # From a stored checkpoint of another log, and then with a proof of that log.
    data = judged(path, keys=[log.vkey()], previous=fork.note(31), consistency=growth(log, 31, 120))
    assert problems(data) == [
        (
            None,
            "the consistency proof does not lead from the checkpoint that you saved to the checkpoint of 120 entries",
        )
    ]
    data = judged(path, keys=[log.vkey()], previous=fork.note(31), consistency=growth(fork, 31, 120))
    assert (
        "the log was rewritten: it does not begin with the 120 entries of the checkpoint at the end"
        in data["problems"][0]["why"]
    )
    assert not data["previous"]["holds"]


@pytest.mark.parametrize(
    "raw", [b"", b"old 3\n", b"old x\n\nx", b"new 3\n\nx", b"old 3\nAA==\n\nx", b"old 3\n\nx\n\nx"]
)
def test_rubbish_is_no_consistency_proof(raw: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # any fault
        lv.growth_of(raw)


def test_a_fork_is_found_by_a_consistency_proof_alone(tmp_path: Path) -> None:
    log = Log.of(ENTRIES, older=(40,))
    fork = Log.of([{**ENTRIES[0], "door": "admin"}, *ENTRIES[1:]]).note(40)
    data = verdict(bundle(log, kind="period", span=(60, 100)), tmp_path, keys=[log.vkey()], previous=fork)
    assert data["exit"] == 1


def test_a_newer_or_a_foreign_stored_checkpoint_can_t_be_compared(tmp_path: Path) -> None:
    log = Log.of(ENTRIES)
    newer = Log.of([*ENTRIES, entry(120, 10**12)]).note()
    data = verdict(bundle(log), tmp_path, keys=[log.vkey()], previous=newer)
    assert data["gaps"] == [
        "the checkpoint that you saved has 121 entries, but the bundle has only 120: get a newer bundle"
    ]
    data = verdict(bundle(log), tmp_path, keys=[log.vkey()], previous=Log.of(ENTRIES, shard=3).note())
    assert data["gaps"] == [f"the checkpoint that you saved belongs to another log: {origin_of(3)}"]
    data = verdict(bundle(log), tmp_path, keys=[log.vkey()], previous=log.note(50, (STRANGER,)))
    assert data["exit"] == 2
    assert "the checkpoint that you saved is signed by a key that you did not name" in data["gaps"][0]


# --- Receipts --------------------------------------------------------------------------------------------


def test_a_receipt_is_good_under_a_named_key(tmp_path: Path) -> None:
    log = Log.of(ENTRIES, witnesses=(("w1.example", W1),))
    for index in (0, 1, 64, 119):
        data = judged(receipt(log, index, tmp_path), keys=[log.vkey()], witnesses=[W1.vkey("w1.example", 4)])
        assert is_good(data)
        assert data["entry"]["index"] == index
        assert data["entry"]["event"] == ENTRIES[index]["event"]
    assert is_good(judged(receipt(log, 3, tmp_path), keys=[log.vkey()], previous=log.note()))


def test_a_receipt_without_a_named_key_can_t_be_judged(tmp_path: Path) -> None:
    data = judged(receipt(Log.of(ENTRIES), 3, tmp_path))
    assert (data["exit"], data["gaps"]) == (2, ["a receipt contains no key: name the log's key with --key"])


def test_a_receipt_of_a_later_shard_counts_from_the_shard_s_beginning(tmp_path: Path) -> None:
    entries = [entry(500 + index, index) for index in range(9)]
    log = Log.of(entries, shard=2, first_seq=500)
    data = judged(receipt(log, 4, tmp_path), keys=[log.signers[0].vkey(origin_of())])
    assert is_good(data)
    assert (data["entry"]["index"], data["entry"]["seq"]) == (4, 504)


@pytest.mark.parametrize(
    ("old", "new", "exit_status"),
    [
        ("index 5", "index 4", 1),
        ("index 5", "index 05", 1),
        ("index 5", "index 500", 1),
        ("index 5\n", "", 1),
        ("tlog-proof@v1\n", "tlog-proof@v1\n\n", 1),
        ("tlog-proof@v1", "tlog-proof@v10", 1),
        ("extra ", "extra =", 1),
        ("extra ", "extre ", 1),
        ("\n120\n", "\n119\n", 1),
    ],
)
def test_a_tampered_receipt_is_bad(old: str, new: str, exit_status: int, tmp_path: Path) -> None:
    log = Log.of(ENTRIES)
    path = receipt(log, 5, tmp_path)
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    assert judged(path, keys=[log.vkey()])["exit"] == exit_status


def test_a_receipt_for_another_entry_is_bad(tmp_path: Path) -> None:
    log = Log.of(ENTRIES)
    path = receipt(log, 5, tmp_path)
    lines = path.read_text("utf-8").splitlines(keepends=True)
    lines[1] = f"extra {lv.encoded(log.lines[6])}\n"
    path.write_text("".join(lines), "utf-8")
    assert problems(judged(path, keys=[log.vkey()])) == [
        (5, "the entry's inclusion proof does not match the signed root")
    ]


def test_a_receipt_whose_entry_says_another_number_is_bad(tmp_path: Path) -> None:
    log = Log([canonical(entry(index + 1, index)) for index in range(9)])
    assert problems(judged(receipt(log, 5, tmp_path), keys=[log.vkey()])) == [
        (5, "the entry does not belong to this log, or does not have this index")
    ]


def test_a_receipt_without_its_entry_can_t_be_judged(tmp_path: Path) -> None:
    log = Log.of(ENTRIES)
    path = receipt(log, 5, tmp_path)
    lines = path.read_text("utf-8").splitlines(keepends=True)
    path.write_text("".join([lines[0], *lines[2:]]), "utf-8")
    assert judged(path, keys=[log.vkey()])["gaps"] == ["the receipt does not contain its entry"]
