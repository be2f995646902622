"""Bundles of an attacker who has the log's key.

The verifier accepts a claim in them only with other proof. Otherwise it reports the claim as not proven.
"""

import json
import random
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.verify.runs import is_good, judged, problems, verdict
from tests.verify.writer import HOST, T0, TENANT, Log, Signer, Written, b64, bundle, canonical, entry, instant, story
from verify import lockbox_verify as lv

WITNESS, FORGER = Signer.of("w1"), Signer.of("forger")
NAME = "witness.contoso.example"
PINNED = WITNESS.vkey(NAME, 4)
NAMED = entry(0, 0, "tenant.created", subject=TENANT, detail={"name": "Contoso", "plan": "E5"})


def named_log(**rest: Any) -> Log:
    """Return a log whose first entry has the tenant's name, as in every real log."""
    return Log.of([NAMED, *(entry(1 + place, 1 + place) for place in range(40))], **rest)


def words(data: dict[str, Any]) -> str:
    return "\n".join(lv.in_words(data))


def rewritten(log: Log, **lines: str) -> Written:
    """Return a bundle whose checkpoint has these signature lines, in place of other lines with the same names."""
    written, note = bundle(log), log.note()
    lines_left = [line for line in note.splitlines(keepends=True) if not any(f"— {each} " in line for each in lines)]
    written.files["checkpoint-0.txt"] = "".join([*lines_left, *lines.values()]).encode()
    return written


# --- Witnesses -------------------------------------------------------------------------------------------


def test_a_witness_that_the_bundle_brings_is_nobody_s(tmp_path: Path) -> None:
    log = named_log(witnesses=((NAME, FORGER),))
    data = verdict(bundle(log), tmp_path, keys=[log.vkey()])
    [shard] = data["logs"]
    assert (data["exit"], shard["witnesses"]) == (0, [])
    assert [each["vkey"] for each in shard["unpinned"]] == [FORGER.vkey(NAME, 4)]
    report = words(data)
    assert f"cosigned by a key that you did not name, at 2025-06-27T04:53:25Z (the key calls itself {NAME})" in report
    assert "not cosigned by any witness whose key you named" in report
    assert f"cosigned by {NAME}" not in report


def test_another_key_under_a_pinned_witness_s_name_is_not_that_witness(tmp_path: Path) -> None:
    log = named_log(witnesses=((NAME, FORGER),))
    data = verdict(bundle(log), tmp_path, keys=[log.vkey()], witnesses=[PINNED])
    assert (data["exit"], data["problems"], data["logs"][0]["witnesses"]) == (2, [], [])
    assert data["gaps"] == [f"the witness {NAME}, which you named, did not cosign the checkpoint of log 0"]
    both = named_log(witnesses=((NAME, FORGER), (NAME, WITNESS)))
    data = verdict(bundle(both), tmp_path, keys=[log.vkey()], witnesses=[PINNED])
    assert is_good(data)
    assert [each["vkey"] for each in data["logs"][0]["witnesses"]] == [PINNED]
    assert "like a witness that you named with another key" in words(data)


def test_a_pinned_witness_s_id_before_another_signature_is_bad(tmp_path: Path) -> None:
    log = named_log()
    text = log.note().split("\n\n")[0] + "\n"
    forged = FORGER.private.sign(f"cosignature/v1\ntime {T0}\n{text}".encode())
    line = f"— {NAME} {b64(WITNESS.key_id(NAME, 4) + T0.to_bytes(8, 'big') + forged)}\n"
    written = bundle(log)
    written.files["checkpoint-0.txt"] += line.encode()
    data = verdict(written, tmp_path, keys=[log.vkey()], witnesses=[PINNED])
    assert (data["exit"], data["logs"][0]["witnesses"]) == (1, [])


def test_a_pinned_witness_of_a_smaller_tree_has_not_cosigned_this_one(tmp_path: Path) -> None:
    log = named_log(older=(20,), witnesses=((NAME, WITNESS),))
    written = bundle(log)
    written.files["checkpoint-0.txt"] = named_log().note().encode()
    data = verdict(written, tmp_path, keys=[log.vkey()], witnesses=[PINNED])
    assert (data["exit"], data["logs"][0]["witnesses"]) == (2, [])
    assert data["gaps"] == [
        f"the witness {NAME}, which you named, did not cosign the checkpoint of log 0; "
        "it cosigned an older checkpoint, of 20 entries, at 2025-06-27T04:53:25Z"
    ]
    # The log's signature for the smaller tree is false under the checkpoint of the larger tree.
    written.files["checkpoint-0.txt"] += log.note(20).splitlines(keepends=True)[-1].encode()
    assert verdict(written, tmp_path, keys=[log.vkey()], witnesses=[PINNED])["exit"] == 1


def test_the_log_s_own_key_is_no_witness(tmp_path: Path) -> None:
    log = named_log()
    written = bundle(log)
    log_key = log.signers[0].vkey(HOST, 4)
    written.files["keys.json"] = json.dumps({"log": [log.vkey()], "clock": [log_key], "witnesses": [log_key]}).encode()
    data = verdict(written, tmp_path, keys=[log.vkey()])
    assert (data["logs"][0]["witnesses"], data["logs"][0]["unpinned"]) == ([], [])
    data = verdict(written, tmp_path, keys=[log.vkey()], witnesses=[log_key])
    assert data["gaps"] == [f"you named the witness {HOST}, but its key is the key of the log itself"]


def test_without_a_pinned_key_cosigning_can_t_be_judged(tmp_path: Path) -> None:
    log = named_log(witnesses=((NAME, WITNESS),))
    data = verdict(bundle(log), tmp_path, keys=[log.vkey()], require_witness=True)
    assert (data["exit"], data["problems"]) == (2, [])
    assert data["gaps"] == [
        "you asked for a witness's cosignature, but you named no witness: name its key with --witness"
    ]
    assert is_good(verdict(bundle(log), tmp_path, keys=[log.vkey()], witnesses=[PINNED], require_witness=True))


def test_a_witness_that_the_log_tells_of_is_a_note_while_it_is_not_named(tmp_path: Path) -> None:
    def log_with(*events: str, **rest: Any) -> Log:
        detail = {"name": NAME, "vkey": PINNED, "url": "https://w"}
        entries = [entry(1 + at, 1 + at, event, subject=TENANT, detail=detail) for at, event in enumerate(events)]
        return Log.of([NAMED, *entries], **rest)

    says = f"entry 1 says that the witness {NAME} watches this log"
    absent = f"{says}, but it did not cosign the newest checkpoint"
    unnamed = f"{says}; you did not name the witness's key with --witness, so its cosignature was not checked"
    log = log_with("witness.added")
    data = verdict(bundle(log), tmp_path, keys=[log.vkey()])
    assert (data["exit"], data["notes"]) == (0, [absent])
    cosigned = log_with("witness.added", witnesses=((NAME, WITNESS),))
    assert verdict(bundle(cosigned), tmp_path, keys=[log.vkey()])["notes"] == [unnamed]
    assert verdict(bundle(cosigned), tmp_path, keys=[log.vkey()], witnesses=[PINNED])["notes"] == []
    gone = log_with("witness.added", "witness.removed")
    assert verdict(bundle(gone), tmp_path, keys=[log.vkey()])["notes"] == []


def test_entries_about_witnesses_may_have_any_shape(tmp_path: Path) -> None:
    details: list[dict[str, Any]] = [{}, {"vkey": None}, {"vkey": ["x"]}, {"vkey": "x" * 5000}, {"vkey": "a+zz+c"}]
    entries = [entry(1 + at, 1 + at, "witness.added", subject=TENANT, detail=each) for at, each in enumerate(details)]
    names: list[dict[str, Any]] = [{"set": ["name"]}, {"set": {"name": 5}}, {"name": {"x": 1}}]
    entries += [entry(6 + at, 6 + at, "tenant.changed", subject=TENANT, detail=each) for at, each in enumerate(names)]
    log = Log.of([NAMED, *entries])
    data = verdict(bundle(log), tmp_path, keys=[log.vkey()])
    assert (data["exit"], data["tenant"]["name"]) == (0, "Contoso")
    assert all(len(line) < 400 for line in lv.in_words(data))


# --- Signatures under checkpoints ------------------------------------------------------------------------


@pytest.mark.parametrize("signers", [(FORGER,), (WITNESS, FORGER)])
def test_an_older_checkpoint_that_the_log_did_not_sign_is_bad(signers: tuple[Signer, ...], tmp_path: Path) -> None:
    log = named_log(older=(20,), older_signers=signers)
    written = bundle(log)
    written.files["keys.json"] = json.dumps({"log": [log.vkey()]}).encode()
    assert problems(verdict(written, tmp_path, keys=[log.vkey()])) == [
        (None, "the older checkpoint of 20 entries in consistency-0.jsonl has no signature by this log's keys")
    ]


def test_an_older_checkpoint_by_a_key_that_only_the_bundle_names_is_bad(tmp_path: Path) -> None:
    log = named_log(older=(20, 30), older_signers=(FORGER,))
    why = "is signed by a key, but no signed entry says that the key belongs to this log"
    assert problems(verdict(bundle(log), tmp_path, keys=[log.vkey()])) == [
        (None, f"the older checkpoint of 20 entries in consistency-0.jsonl {why}")
    ]


def test_older_checkpoints_by_a_key_that_was_replaced_are_the_log_s(tmp_path: Path) -> None:
    old, new = Signer.of("old"), Signer.of("new")
    origin = named_log().origin
    detail = {"old": [old.vkey(origin)], "new": new.vkey(origin)}
    lines = [*named_log().lines, canonical(entry(41, 41, "log.key_rotated", subject=TENANT, detail=detail))]
    log = Log(lines, signers=(new,), older=(20,), older_signers=(old,))
    data = verdict(bundle(log), tmp_path, keys=[log.vkey(new)])
    assert (data["exit"], data["logs"][0]["older_unproven"]) == (0, 0)
    # If you did not name the key of the newest checkpoint, the older checkpoint is not proven.
    data = verdict(bundle(log), tmp_path, keys=[FORGER.vkey(origin)])
    assert (data["exit"], data["problems"], data["logs"][0]["older_unproven"]) == (2, [], 1)
    assert "not proven: 1 of the older checkpoints, because you did not name their key" in words(data)


@pytest.mark.parametrize("where", ["newest", "older"])
@pytest.mark.parametrize("who", [HOST, NAME])
def test_a_false_time_or_cosignature_is_bad_under_every_checkpoint(where: str, who: str, tmp_path: Path) -> None:
    log = named_log(older=(20,), witnesses=((NAME, WITNESS),))
    written = bundle(log)
    name = "checkpoint-0.txt" if where == "newest" else "consistency-0.jsonl"
    text = written.files[name].decode()
    note = text if where == "newest" else json.loads(text)["checkpoint"]
    line = next(each for each in note.splitlines() if each.startswith(f"— {who} "))
    raw = bytearray(lv.decoded(line.split(" ")[2]))
    raw[11] ^= 1  # the last byte of its time
    changed = note.replace(line, f"— {who} {b64(bytes(raw))}")
    again = changed if where == "newest" else canonical({**json.loads(text), "checkpoint": changed}).decode() + "\n"
    written.files[name] = again.encode()
    data = verdict(written, tmp_path, keys=[log.vkey()], witnesses=[PINNED])
    key = (log.signers[0] if who == HOST else WITNESS).key_id(who, 4).hex()
    assert (None, f"the signature of {who} ({key}) under the checkpoint is false") in problems(data)
    # The signature is bad whether the log's key is named or not.
    assert verdict(written, tmp_path, keys=[FORGER.vkey(log.origin)])["exit"] == 1


def test_a_time_under_an_id_of_nobody_dates_nothing(tmp_path: Path) -> None:
    log = named_log()
    written = rewritten(log, **{HOST: FORGER.cosign(HOST, log.note().split("\n\n")[0] + "\n", T0)})
    data = verdict(written, tmp_path, keys=[log.vkey()])
    assert (data["exit"], data["logs"][0]["dated_at"]) == (2, None)


# --- The tenant's name -----------------------------------------------------------------------------------


def test_the_tenant_s_name_is_what_the_entries_call_it(tmp_path: Path) -> None:
    log = named_log()
    data = verdict(bundle(log), tmp_path, keys=[log.vkey()])
    assert data["tenant"] == {"id": TENANT, "name": "Contoso", "name_not_proven": None}
    assert "the whole log of the tenant named “Contoso” in the entries" in words(data)
    renamed = entry(41, 41, "tenant.changed", subject=TENANT, detail={"set": {"name": "Contoso AG"}, "was": {}})
    other = entry(42, 42, "tenant.changed", subject=TENANT, detail={"window_cap": 60})
    later = Log([*log.lines, canonical(renamed), canonical(other)])
    written = bundle(later)
    written.manifest["tenant"]["name"] = "Contoso AG"
    assert verdict(written, tmp_path, keys=[log.vkey()])["tenant"]["name"] == "Contoso AG"


@pytest.mark.parametrize("name", ["Fabrikam", "Contosо", "contoso", "Contoso\u200b"])
def test_a_bundle_that_calls_the_tenant_something_else_is_bad(name: str, tmp_path: Path) -> None:
    log = named_log()
    written = bundle(log)
    written.manifest["tenant"]["name"] = name
    data = verdict(written, tmp_path, keys=[log.vkey()])
    assert (data["exit"], data["tenant"]["name"], data["tenant"]["name_not_proven"]) == (1, "Contoso", name)


def test_a_name_that_no_entry_here_gives_is_not_proven(tmp_path: Path) -> None:
    log = named_log()
    request = "d7c3a6f1-0000-4000-8000-000000000001"
    asked = Log([*log.lines, canonical(entry(41, 41, "ticket.linked", request=request))])
    for written, key in (
        (bundle(Log.of([entry(place, place) for place in range(5)])), log),
        (bundle(log, kind="period", span=(0, 20)), log),
        (bundle(log, kind="period", span=(10, 41)), log),
        (bundle(asked, kind="access_request", request=request), asked),
    ):
        written.manifest["tenant"]["name"] = "Fabrikam"
        data = verdict(written, tmp_path, keys=[key.vkey()])
        assert (data["exit"], data["tenant"]["name"], data["tenant"]["name_not_proven"]) == (0, None, "Fabrikam")
        report = words(data)
        assert f"of tenant {TENANT}" in report
        assert "not proven: the tenant's name, “Fabrikam”" in report
        assert "of Fabrikam" not in report


def test_a_long_name_pushes_no_word_out_of_sight(tmp_path: Path) -> None:
    log = Log.of([entry(0, 0)], witnesses=(("w" * 500, FORGER),))
    written = bundle(log)
    written.manifest["tenant"]["name"] = "Contoso " * 200
    report = words(verdict(written, tmp_path, keys=[log.vkey()]))
    assert "not proven: the tenant's name, “Contoso Contoso" in report
    assert "cosigned by a key that you did not name, at 2025-06-27T04:53:25Z (the key calls itself www" in report


def test_a_similar_letter_in_a_key_s_name_is_made_visible(tmp_path: Path) -> None:
    alike = "witness.cоntoso.example"
    log = named_log(witnesses=((alike, FORGER),))
    report = words(verdict(bundle(log), tmp_path, keys=[log.vkey()]))
    assert "the key calls itself witness.c\\u043entoso.example" in report
    assert alike not in report


# --- Files -----------------------------------------------------------------------------------------------


def test_files_for_people_in_a_bundle_are_not_proven(tmp_path: Path) -> None:
    log = named_log()
    written = bundle(log)
    written.files["timeline.html"] = b"<h1>Fabrikam: nothing was opened</h1>"
    written.files["summary.csv"] = b"opened,0\n"
    data = verdict(written, tmp_path, keys=[log.vkey()])
    assert (data["exit"], data["files_not_proven"]) == (0, ["README.txt", "summary.csv", "timeline.html"])
    assert "not proven, because no signature covers these files: README.txt, summary.csv, timeline.html" in words(data)


@pytest.mark.parametrize(
    "name", ["checkpoint-1.txt", "checkpoint-00.txt", "entries-9.jsonl", "neighbours-0.jsonl", "leaf-hashes-x.bin"]
)
def test_a_file_that_only_looks_like_a_proof_is_bad(name: str, tmp_path: Path) -> None:
    log = named_log()
    written = bundle(log)
    written.files[name] = log.note(10).encode()
    data = verdict(written, tmp_path, keys=[log.vkey()])
    assert (None, f"{name} does not belong to a log that manifest.json describes") in problems(data)


def test_a_member_twice_is_bad_in_the_zip_and_in_each_json(tmp_path: Path) -> None:
    log = named_log(older=(20,))
    path = bundle(log).zip(tmp_path / "a.zip")
    with pytest.warns(UserWarning, match="Duplicate name"), zipfile.ZipFile(path, "a") as target:
        target.writestr("checkpoint-0.txt", log.note(10))
    assert judged(path, keys=[log.vkey()])["exit"] == 1
    for name, old, new in (
        ("keys.json", '"log":', '"log": [], "log":'),
        ("consistency-0.jsonl", '"hashes":', '"hashes":[],"hashes":'),
        ("proofs-0.jsonl", '"index":', '"index":3,"index":'),
        ("entries-0.jsonl", '"door":', '"door":"api","door":'),
    ):
        written = bundle(log)
        written.files[name] = written.files[name].replace(old.encode(), new.encode(), 1)
        assert written.files[name] != bundle(log).files[name]
        assert verdict(written, tmp_path, keys=[log.vkey()])["exit"] == 1, name


def test_when_it_was_made_is_called_the_bundle_s_word(tmp_path: Path) -> None:
    log = Log.of(story(random.Random(7), 60))
    written = bundle(log)
    written.manifest["made_at"] = instant((log.dated_at - T0) * 10**6)
    assert "not proven: the time when the bundle was made, 2025-06-27T04:53:20.000000Z" in words(
        verdict(written, tmp_path, keys=[log.vkey()])
    )
