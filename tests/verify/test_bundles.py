"""A correct bundle, and then bundles with one fault each."""

import hashlib
import json
import random
import re
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.offenders import collected
from tests.verify.runs import is_good, judged, problems, verdict
from tests.verify.writer import TENANT, Log, Signer, Written, b64, bundle, canonical, compact, entry, pruning, story
from verify import lockbox_verify as lv


@pytest.fixture(scope="module")
def log() -> Log:
    return Log.of([*story(random.Random(7), 299), pruning(299, 77)], older=(1, 64, 100, 255))


def request_in(log: Log) -> str:
    return next(str(record["access_request"]) for line in log.lines if (record := json.loads(line))["access_request"])


def every_kind(log: Log) -> dict[str, Written]:
    return {
        "log": bundle(log),
        "period": bundle(log, kind="period", span=(13, 205)),
        "access_request": bundle(log, kind="access_request", request=request_in(log)),
        "pruned": bundle(log, pruned=77),
    }


KINDS = ("log", "period", "access_request", "pruned")


@pytest.mark.parametrize("kind", KINDS)
def test_a_bundle_is_good_as_a_zip_and_as_a_folder(log: Log, kind: str, tmp_path: Path) -> None:
    written = every_kind(log)[kind]
    for path in (written.zip(tmp_path / "a.zip"), written.folder(tmp_path / "a")):
        data = judged(path, keys=[log.vkey()])
        assert is_good(data), data
        assert data["logs"][0]["size"] == 300
        assert data["logs"][0]["signed_by"] == [log.vkey()]
        assert data["logs"][0]["dated_at"] == "2025-06-27T04:53:20Z"


def test_a_verdict_names_what_was_pruned(log: Log, tmp_path: Path) -> None:
    data = verdict(bundle(log, pruned=77), tmp_path)
    assert is_good(data)
    assert data["logs"][0]["entries"] == 223
    assert data["notes"] == [
        "entries 0 to 76 of log 0 are not in this bundle. An entry log.pruned says that they were removed because "
        "their storage time was over. Only their hashes are left, and these match the signed root"
    ]


@pytest.mark.parametrize("pruned", [1, 70, 120])
def test_a_beginning_that_no_signed_entry_calls_removed_may_be_hidden(pruned: int, tmp_path: Path) -> None:
    log = Log.of(story(random.Random(7), 120))
    data = verdict(bundle(log, pruned=pruned), tmp_path, keys=[log.vkey()])
    assert (data["exit"], data["problems"], data["notes"]) == (2, [], [])
    assert data["gaps"] == [
        f"entries 0 to {pruned - 1} of log 0 are not in this bundle, and no signed entry here says that they were "
        "removed (log.pruned). If they were removed within the last minute, a newer bundle says so. Otherwise somebody "
        "holds them back"
    ]


@pytest.mark.parametrize(("to", "is_named"), [(69, False), (70, True), (71, True), (101, False), ("70", False)])
def test_the_entry_about_a_removal_reaches_as_far_as_entries_are_missing(
    to: Any, is_named: bool, tmp_path: Path
) -> None:
    """The entry about a removal can only be about entries that come before it.

    If it could state a larger number, one entry could excuse all later removals.
    """
    log = Log.of([*story(random.Random(7), 100), pruning(100, to), *(entry(101 + n, 10**12 + n) for n in range(9))])
    assert is_good(verdict(bundle(log, pruned=70), tmp_path)) == is_named


def test_the_last_of_several_removals_covers_all(tmp_path: Path) -> None:
    """The second removal also removed the entry about the first removal."""
    log = Log.of([*story(random.Random(7), 60), pruning(60, 40), *(entry(61 + n, 10**12) for n in range(20))])
    assert not is_good(verdict(bundle(log, pruned=70), tmp_path))
    log = Log([*log.lines, canonical(pruning(81, 70))])
    assert is_good(verdict(bundle(log, pruned=70), tmp_path))


@pytest.mark.parametrize("kind", ["period", "access_request"])
def test_elsewhere_a_removal_is_called_the_word_of_the_bundle(log: Log, kind: str, tmp_path: Path) -> None:
    which: dict[str, Any] = {"span": (77, 205)} if kind == "period" else {"request": request_in(log)}
    data = verdict(bundle(log, kind=kind, pruned=2, **which), tmp_path)
    assert is_good(data)
    [removed] = [note for note in data["notes"] if note.startswith("entries 0 to 1 of log 0 are not in this bundle. ")]
    assert "The bundle claims, without proof, that they were removed" in removed


def test_an_empty_log_has_the_root_of_nothing(tmp_path: Path) -> None:
    assert is_good(verdict(bundle(Log([])), tmp_path))
    written = bundle(Log([]))
    other = Log([b"x"])
    text = f"{other.origin}\n0\n{b64(other.tree.root())}\n"
    written.files["checkpoint-0.txt"] = f"{text}\n{other.signers[0].sign(other.origin, text)}".encode()
    assert problems(verdict(written, tmp_path)) == [
        (None, "the checkpoint says that the log is empty, but its root is not the root of an empty log")
    ]


def test_a_period_may_begin_and_end_anywhere(log: Log, tmp_path: Path) -> None:
    cases = [(0, 0), (0, 1), (5, 5), (5, 6), (299, 300), (300, 300), (0, 300), (1, 300), (0, 299)]
    with collected() as case:
        for span in cases:
            with case(span):
                assert is_good(verdict(bundle(log, kind="period", span=span), tmp_path))


def test_a_period_has_only_entries_of_its_time(log: Log, tmp_path: Path) -> None:
    first, last, after = (json.loads(log.lines[index])["at"] for index in (13, 204, 205))
    assert is_good(verdict(bundle(log, kind="period", span=(13, 205), since=first, until=after), tmp_path))
    found = verdict(bundle(log, kind="period", span=(13, 205), since=first, until=last), tmp_path)
    assert problems(found) == [(204, "the entry is outside the period that the bundle claims to cover")]
    later = json.loads(log.lines[50])["at"]
    found = verdict(bundle(log, kind="period", span=(13, 205), since=later, until=last), tmp_path)
    assert problems(found) == [(13, "the entry is outside the period that the bundle claims to cover")]
    found = verdict(bundle(log, kind="period", span=(13, 205), since=first, until=later), tmp_path)
    assert [why for _index, why in problems(found)] == [
        "the entry is outside the period that the bundle claims to cover"
    ]
    assert 50 <= found["problems"][0]["index"] < 60
    assert verdict(bundle(log, kind="period", since="yesterday"), tmp_path)["problems"]


LEFT_OUT = "the entry belongs to the period, but was left out"


@pytest.mark.parametrize(
    ("span", "bad"), [((5, 60), 4), ((0, 60), 60), ((5, 300), 4), ((80, 80), 79), ((300, 300), 299), ((0, 0), 0)]
)
def test_a_period_leaves_out_nothing_at_its_edges(log: Log, span: tuple[int, int], bad: int, tmp_path: Path) -> None:
    written = bundle(log, kind="period", span=span, since=json.loads(log.lines[0])["at"], until="2030-01-01T00:00:00Z")
    assert problems(verdict(written, tmp_path)) == [(bad, LEFT_OUT)]


def test_a_period_without_a_bound_goes_to_the_end(log: Log, tmp_path: Path) -> None:
    for bound, bad in (("since", 4), ("until", 60)):
        written = bundle(log, kind="period", span=(5, 60))
        written.manifest[bound] = None
        assert problems(verdict(written, tmp_path)) == [(bad, LEFT_OUT)]


def test_a_period_without_its_neighbours_may_leave_something_out(log: Log, tmp_path: Path) -> None:
    for span in ((13, 205), (205, 205)):
        written = bundle(log, kind="period", span=span)
        del written.files["neighbours-0.jsonl"]
        data = verdict(written, tmp_path, keys=[log.vkey()])
        assert (data["exit"], data["problems"]) == (2, [])
        assert data["gaps"] == [
            f"entry {span[0] - 1} of log 0 is not in this bundle: "
            "entries at the beginning of the period might be missing",
            "entry 205 of log 0 is not in this bundle: entries at the end of the period might be missing",
        ]


def test_the_neighbours_of_a_period_are_proven(log: Log, tmp_path: Path) -> None:
    def changed(place: int, **change: Any) -> dict[str, Any]:
        written = bundle(log, kind="period", span=(13, 205))
        rewritten(written, "neighbours-0.jsonl", place, **change)
        return verdict(written, tmp_path)

    for place, index in ((0, 12), (1, 205)):
        other = {**json.loads(log.lines[index]), "at": "2025-01-01T00:00:00.000000Z"}
        forged = (canonical(other).decode(), log.lines[index - 1].decode(), "", 7, None)
        for each in forged:
            why = "neighbours-0.jsonl: the entry's proof does not match the signed root"
            assert problems(changed(place, entry=each)) == [(index, why)]
        for number in (index + 1, 100, -1, None, "12", [index], 10**30):
            why = "neighbours-0.jsonl has an entry that is neither just before nor just after the period"
            assert problems(changed(place, index=number)) == [(None, why)]
        assert changed(place, hashes=7)["exit"] == 1
    for raw in (b'{"index":12,"entry":"\\ud800","hashes":[]}\n', b"[]\n", b"{", b"\xff\n", b"\n"):
        written = bundle(log, kind="period", span=(13, 205))
        written.files["neighbours-0.jsonl"] = raw
        assert verdict(written, tmp_path)["exit"] == 1, raw
    written = bundle(log, kind="period", span=(13, 205))
    written.files["neighbours-0.jsonl"] *= 2
    assert verdict(written, tmp_path)["exit"] == 1


def test_a_neighbour_with_another_number_is_refused(tmp_path: Path) -> None:
    log = Log([canonical(entry(each + (each == 3), each)) for each in range(9)])
    assert problems(verdict(bundle(log, kind="period", span=(4, 9)), tmp_path)) == [
        (3, "neighbours-0.jsonl: the entry belongs to another log, or has another index")
    ]


def test_a_period_may_begin_with_what_was_left_only_where_a_signed_entry_says_so(log: Log, tmp_path: Path) -> None:
    """Otherwise somebody could leave out the first entries of a period, and claim that they were removed."""
    for span in ((77, 205), (77, 77)):
        written = bundle(log, kind="period", span=span, pruned=77)
        assert len(written.files["neighbours-0.jsonl"].splitlines()) == 1
        data = verdict(written, tmp_path)
        assert (data["exit"], data["problems"]) == (2, [])
        [gap] = data["gaps"]
        assert gap.startswith("entries 0 to 76 of log 0 are not in this bundle, and no signed entry here says")
    shown = Log.of([*story(random.Random(7), 100), pruning(100, 77), *(entry(101 + n, 10**12 + n) for n in range(9))])
    written = bundle(shown, kind="period", span=(77, 105), pruned=77)
    assert len(written.files["neighbours-0.jsonl"].splitlines()) == 1
    assert is_good(verdict(written, tmp_path))


def test_an_access_request_is_never_called_whole(log: Log, tmp_path: Path) -> None:
    data = verdict(every_kind(log)["access_request"], tmp_path)
    assert data["notes"] == [
        "each entry here is in the log; "
        "the log can have more entries about the access request that are not in this bundle"
    ]
    assert verdict(every_kind(log)["period"], tmp_path)["notes"] == verdict(bundle(log), tmp_path)["notes"] == []


def test_more_than_a_file_may_have_is_refused(log: Log, tmp_path: Path) -> None:
    written = bundle(log)
    other = [Signer.of(str(each)).vkey(log.origin) for each in range(lv.MAX_KEYS)]
    written.files["keys.json"] = json.dumps({"log": [*other, log.vkey()]}).encode()
    assert problems(verdict(written, tmp_path)) == [(None, "keys.json lists more than 1000 keys")]
    written.files["keys.json"] = json.dumps({"log": [*other[1:], log.vkey()]}).encode()
    assert is_good(verdict(written, tmp_path))
    written = bundle(log)
    line = log.note().splitlines(keepends=True)[-1]
    written.files["checkpoint-0.txt"] += line.encode() * lv.MAX_SIGNATURES
    assert problems(verdict(written, tmp_path)) == [
        (None, "checkpoint-0.txt is not a checkpoint: more than 100 signatures")
    ]
    written = bundle(log)
    written.manifest["logs"] *= lv.MAX_SHARDS + 1
    assert problems(verdict(written, tmp_path)) == [(None, "manifest.json lists more than 100 logs")]


def test_many_keys_and_many_signatures_of_nobody_take_no_time(
    log: Log, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The id of each key is computed once, and not again for each signature line."""
    monkeypatch.setattr(lv, "_key_id", counted := Counted(lv._key_id))
    written = bundle(log)
    other = [Signer.of(str(each)).vkey(log.origin) for each in range(500)]
    written.files["keys.json"] = json.dumps({"log": [log.vkey(), *other]}).encode()
    nobody = "".join(f"— x {b64(each.to_bytes(5, 'big'))}\n" for each in range(90))
    written.files["checkpoint-0.txt"] += nobody.encode()
    rewritten(written, "consistency-0.jsonl", 2, checkpoint=log.note(100) + nobody)
    assert is_good(verdict(written, tmp_path, keys=[log.vkey()]))
    assert counted.calls < 501 * 4


class Counted:
    def __init__(self, called: Any) -> None:
        self.called, self.calls = called, 0

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        return self.called(*arguments)


@pytest.mark.parametrize("name", ["size", "start", "end", "entries", "first_seq", "pruned", "closed_by"])
def test_no_number_is_too_long_to_be_shown(log: Log, name: str, tmp_path: Path) -> None:
    for number in (1 << 63, int("9" * 4300)):
        written = bundle(log)
        written.manifest["logs"][0][name] = number
        assert problems(verdict(written, tmp_path)) == [
            (None, "manifest.json does not describe the logs of this bundle")
        ]


def test_no_manifest_is_too_deep_to_be_shown(log: Log, tmp_path: Path) -> None:
    names = ["format", "made_at", "access_request", "tenant", "logs", "since"]
    with collected() as case:
        for name in names:
            for depth in [200, 900]:
                with case(name, depth):
                    deep: Any = []
                    for _ in range(depth):
                        deep = [deep]
                    written = bundle(log)
                    written.manifest |= {name: {"id": TENANT, "name": deep} if name == "tenant" else deep}
                    data = verdict(written, tmp_path)
                    json.dumps(data, indent=2)
                    list(lv.in_words(data))


def test_the_key_of_the_bundle_itself_is_shown_to_be_compared(log: Log, tmp_path: Path) -> None:
    data = verdict(bundle(log), tmp_path)
    assert is_good(data)
    assert data["keys_from_bundle"]
    assert data["keys"] == [
        {
            "vkeys": [log.vkey()],
            "fingerprint": hashlib.sha256(log.signers[0].public).hexdigest(),
            "why": "this key comes from the bundle itself",
        }
    ]


# --- The manifest ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_must_be_the_one_of_the_manifest(log: Log, kind: str, tmp_path: Path) -> None:
    written = every_kind(log)[kind]
    listed = written.listed()
    for name in written.files:
        if written.files[name]:
            changed = Written({**written.files, name: written.files[name][:-1] + b"~"}, written.manifest)
            data = judged(changed.zip(tmp_path / "evidence.zip", listed))
            assert data["exit"] == 1, name
            longer = Written({**written.files, name: written.files[name] + b"\n"}, written.manifest)
            assert judged(longer.zip(tmp_path / "evidence.zip", listed))["exit"] == 1, name
        missing = Written({key: raw for key, raw in written.files.items() if key != name}, written.manifest)
        data = judged(missing.zip(tmp_path / "evidence.zip", listed))
        assert (data["exit"], data["gaps"]) == (2, [f"{name} is missing, but the manifest lists it"])


def test_a_changed_timeline_is_named(log: Log, tmp_path: Path) -> None:
    written = bundle(log)
    listed = written.listed()
    written.files["timeline.html"] = b"<p>Not for people.</p>"[:18]
    assert problems(judged(written.zip(tmp_path / "evidence.zip", listed))) == [
        (None, "timeline.html is not the file that the manifest lists: its SHA-256 is different")
    ]


def test_a_file_that_the_manifest_does_not_know_is_refused(log: Log, tmp_path: Path) -> None:
    written = bundle(log)
    listed = written.listed()
    written.files["more.txt"] = b""
    for path in (written.zip(tmp_path / "a.zip", listed), written.folder(tmp_path / "a", listed)):
        assert problems(judged(path)) == [(None, "more.txt is in the bundle, but not in the manifest")]


@pytest.mark.parametrize(
    "name", ["keys.json", "checkpoint-0.txt", "entries-0.jsonl", "leaf-hashes-0.bin", "proofs-0.jsonl"]
)
def test_a_bundle_that_never_had_what_is_needed_can_t_be_judged(log: Log, name: str, tmp_path: Path) -> None:
    written = bundle(log, kind="period", span=(13, 205))
    del written.files[name]
    data = verdict(written, tmp_path, keys=[log.vkey()])
    assert (data["exit"], data["gaps"]) == (2, [f"{name} is missing"])


def test_a_whole_log_leads_to_its_root_without_proofs_and_older_checkpoints(log: Log, tmp_path: Path) -> None:
    written = bundle(log)
    del written.files["proofs-0.jsonl"], written.files["consistency-0.jsonl"]
    assert is_good(verdict(written, tmp_path))


def test_a_later_format_is_unknown_and_not_false(log: Log, tmp_path: Path) -> None:
    written = bundle(log)
    written.manifest["format"] = "lockbox-evidence-v2"
    data = verdict(written, tmp_path)
    assert data["exit"] == 2
    assert data["gaps"] == ["the bundle's format is lockbox-evidence-v2; this verifier knows lockbox-evidence-v1"]


def test_a_manifest_that_does_not_make_sense_is_bad(log: Log, tmp_path: Path) -> None:
    cases: list[dict[str, Any]] = [
        {"logs": None},
        {"logs": [{}]},
        {"logs": [7]},
        {"tenant": None},
        {"tenant": {"id": 7}},
        {"since": 7},
        {"until": "never"},
        {"kind": "access_request"},
    ]
    with collected() as case:
        for change in cases:
            with case(change):
                written = bundle(log)
                written.manifest |= change
                data = verdict(written, tmp_path)
                assert data["exit"] == 1
                assert "manifest.json" in data["problems"][0]["why"]


def test_a_manifest_that_says_other_numbers_than_the_files_is_bad(log: Log, tmp_path: Path) -> None:
    cases: list[tuple[str, object]] = [
        ("size", 299),
        ("size", 301),
        ("size", -1),
        ("size", True),
        ("start", 1),
        ("end", 299),
        ("entries", 299),
        ("entries", 301),
        ("first_seq", 1),
        ("origin", "lockbox.example/log/x"),
        ("origin", None),
        ("pruned", 3),
        ("closed_by", "7"),
        ("shard", 1),
        ("shard", None),
    ]
    with collected() as case:
        for name, value in cases:
            with case(name, value):
                written = bundle(log)
                written.manifest["logs"][0][name] = value
                data = verdict(written, tmp_path)
                assert data["exit"] in ((1, 2) if name == "shard" else (1,))


def test_an_origin_of_another_tenant_is_bad(log: Log, tmp_path: Path) -> None:
    written = bundle(log)
    written.manifest["tenant"]["id"] = TENANT.replace("2", "3")
    assert problems(verdict(written, tmp_path)) == [(None, "manifest.json does not describe the logs of this bundle")]


def test_a_whole_log_that_is_cut_off_with_good_proofs_is_not_whole(log: Log, tmp_path: Path) -> None:
    written = bundle(log, span=(0, 250))
    assert problems(verdict(written, tmp_path)) == [
        (250, "the bundle claims to be the whole log, but entries at the log's beginning or end are not in it")
    ]
    written = bundle(log, span=(9, 300))
    assert problems(verdict(written, tmp_path))[0][0] == 0


def test_doubled_members_of_a_json_file_are_refused(log: Log, tmp_path: Path) -> None:
    path = bundle(log).folder(tmp_path / "a")
    manifest = (path / "manifest.json").read_text("utf-8")
    (path / "manifest.json").write_text('{"kind":"period",' + manifest[1:], "utf-8")
    assert problems(judged(path)) == [(None, "manifest.json is not a JSON object")]


# --- Hostile ZIP files -----------------------------------------------------------------------------------


def test_unsafe_names_in_a_zip_are_refused(log: Log, tmp_path: Path) -> None:
    cases = ["../x", "/etc/x", "a/b", "a\\b", ".hidden", "x\x00y", "C:x", "", "é", "a" * 200]
    with collected() as case:
        for name in cases:
            with case(name):
                path = bundle(log).zip(tmp_path / "a.zip")
                with zipfile.ZipFile(path, "a") as target:
                    info = zipfile.ZipInfo("a")
                    info.filename = name
                    target.writestr(info, b"")
                data = judged(path)
                assert data["exit"] == 1
                assert data["problems"][0]["why"].startswith("the ZIP has a member with an unsafe name")


def test_two_members_of_one_name_are_refused(log: Log, tmp_path: Path) -> None:
    path = bundle(log).zip(tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a") as target, pytest.warns(UserWarning, match="Duplicate name"):
        target.writestr("keys.json", b"{}")
    assert problems(judged(path)) == [(None, "the ZIP has two members with the name keys.json")]


def test_a_bomb_is_refused_before_it_is_unpacked(log: Log, tmp_path: Path) -> None:
    path = bundle(log).zip(tmp_path / "a.zip")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as target, target.open("bomb.txt", "w") as stream:
        for _ in range(80):
            stream.write(bytes(1 << 20))
    assert problems(judged(path)) == [(None, "bomb.txt in the ZIP is too large: unpacked, it has 83,886,080 bytes")]


def test_a_member_that_can_t_be_unpacked_is_bad(log: Log, tmp_path: Path) -> None:
    path = bundle(log).zip(tmp_path / "a.zip")
    with zipfile.ZipFile(path) as source:
        info = source.getinfo("entries-0.jsonl")
    raw = bytearray(path.read_bytes())
    raw[info.header_offset + 2000] ^= 0xFF
    path.write_bytes(raw)
    data = judged(path)
    assert data["exit"] == 1


def test_a_link_in_a_folder_is_refused(log: Log, tmp_path: Path) -> None:
    path = bundle(log).folder(tmp_path / "a")
    shutil.move(path / "keys.json", tmp_path / "keys.json")
    (path / "keys.json").symlink_to(tmp_path / "keys.json")
    assert problems(judged(path)) == [(None, "keys.json in the folder is not a plain file")]


@pytest.mark.parametrize("cut", [0, 1, 100, 20_000, -1])
def test_a_file_that_is_no_bundle_or_is_cut_off_can_t_be_judged(log: Log, cut: int, tmp_path: Path) -> None:
    path = bundle(log).zip(tmp_path / "a.zip")
    path.write_bytes(path.read_bytes()[:cut])
    data = judged(path)
    assert data["exit"] == 2
    assert data["gaps"] == [f"{path} is not a ZIP file, a folder or a receipt, or it is incomplete"]


def test_a_bundle_that_is_not_there_can_t_be_judged(tmp_path: Path) -> None:
    data = judged(tmp_path / "none.zip")
    assert (data["exit"], data["gaps"]) == (2, [f"{tmp_path / 'none.zip'} can't be read: No such file or directory"])


# --- Proofs and older checkpoints ------------------------------------------------------------------------


def rewritten(written: Written, name: str, place: int, **change: Any) -> None:
    """Change members of one line in a JSON Lines file, and update the manifest."""
    lines = written.files[name].splitlines(keepends=True)
    lines[place] = compact({**json.loads(lines[place]), **change})
    written.files[name] = b"".join(lines)


#: Other ways to write a line of a file with proofs. A reader of JSON takes each for the same values.
OTHER_FORMS: dict[str, Callable[[bytes], bytes]] = {
    "a space inside": lambda raw: raw.replace(b":", b": ", 1),
    "a space at the end": lambda raw: raw.replace(b"\n", b" \n", 1),
    "a carriage return": lambda raw: raw.replace(b"\n", b"\r\n", 1),
    "an empty line": lambda raw: raw + b"\n",
    "an escape": lambda raw: raw.replace(b'"hashes"', b'"hash\\u0065s"', 1),
    "another order": lambda raw: (
        compact(dict(reversed(json.loads(raw.splitlines()[0]).items()))) + raw.partition(b"\n")[2]
    ),
    "bits after the end of the Base64": lambda raw: re.sub(
        rb'(.)="', lambda found: bytes([found[1][0] + 1]) + b'="', raw, count=1
    ),
    "one more member": lambda raw: raw.replace(b"}\n", b',"more":1}\n', 1),
}


@pytest.mark.parametrize("form", OTHER_FORMS)
def test_a_proof_that_is_written_in_another_way_is_refused(log: Log, form: str, tmp_path: Path) -> None:
    """So two copies of a bundle with the same proofs have the same bytes, and nothing can be hidden between them."""
    tried = set()
    for kind, written in every_kind(log).items():
        for name in written.files:
            if name.startswith(("proofs-", "consistency-", "neighbours-", "log-proofs-")) and written.files[name]:
                changed = Written(dict(written.files), written.manifest)
                changed.files[name] = OTHER_FORMS[form](written.files[name])
                assert changed.files[name] != written.files[name]
                assert not is_good(verdict(changed, tmp_path)), (kind, name)
                tried.add(name.partition("-")[0])
    assert tried >= {"proofs", "consistency", "neighbours"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_false_inclusion_proof_is_found(log: Log, kind: str, tmp_path: Path) -> None:
    written = every_kind(log)[kind]
    proof = json.loads(written.files["proofs-0.jsonl"].splitlines()[-1])
    for hashes in (proof["hashes"][:-1], [*proof["hashes"], b64(b"x" * 32)], [b64(b"x" * 32), *proof["hashes"][1:]]):
        changed = Written(dict(written.files), written.manifest)
        rewritten(changed, "proofs-0.jsonl", -1, hashes=hashes)
        data = verdict(changed, tmp_path)
        assert data["exit"] == 1
        assert data["problems"][0]["index"] is not None
    for rubbish in ("", [7], ["AA=="], [b64(b"x" * 32)] * 64, None):
        changed = Written(dict(written.files), written.manifest)
        rewritten(changed, "proofs-0.jsonl", -1, hashes=rubbish)
        assert verdict(changed, tmp_path)["exit"] == 1


def test_each_entry_of_an_access_request_needs_its_own_proof(log: Log, tmp_path: Path) -> None:
    written = bundle(log, kind="access_request", request=request_in(log))
    lines = written.files["proofs-0.jsonl"].splitlines(keepends=True)
    indexes = [json.loads(line)["index"] for line in lines]
    for changed, why in (
        (lines[:-1], (indexes[-1], "there is no inclusion proof for the entry")),
        ([lines[0], *lines[2:]], (indexes[1], "there is no inclusion proof for the entry")),
        (
            [*lines, lines[-1]],
            (None, "proofs-0.jsonl has a proof that belongs to no entry"),
        ),
    ):
        written.files["proofs-0.jsonl"] = b"".join(changed)
        assert problems(verdict(written, tmp_path)) == [why]


def test_an_entry_of_another_access_request_is_not_about_this_one(log: Log, tmp_path: Path) -> None:
    written = bundle(log, kind="access_request", request=request_in(log))
    written.manifest["access_request"] = "f5b16522-4a58-b791-df6a-f1d8303e61cd"
    assert problems(verdict(written, tmp_path)) == [
        (
            json.loads(written.files["proofs-0.jsonl"].splitlines()[0])["index"],
            "the entry belongs to another access request",
        )
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_that_does_not_continue_an_older_one_is_a_fork(log: Log, kind: str, tmp_path: Path) -> None:
    written = every_kind(log)[kind]
    fork = Log.of(story(random.Random(8), 300))
    rewritten(written, "consistency-0.jsonl", 2, checkpoint=fork.note(100))
    data = verdict(written, tmp_path)
    assert data["exit"] == 1
    assert "the checkpoint of 300 entries does not continue the older checkpoint of 100" in [
        why for _i, why in problems(data)
    ]


def test_an_older_checkpoint_with_a_false_signature_is_refused(log: Log, tmp_path: Path) -> None:
    written = bundle(log)
    note = log.note(64)
    other = log.note(100).split("\n\n")[1]
    rewritten(written, "consistency-0.jsonl", 1, checkpoint=note.split("\n\n")[0] + "\n\n" + other)
    data = verdict(written, tmp_path)
    assert data["exit"] == 1
    assert "is false" in data["problems"][0]["why"]


def test_a_checkpoint_with_a_false_signature_is_refused(log: Log, tmp_path: Path) -> None:
    written = bundle(log)
    text, signatures = written.files["checkpoint-0.txt"].decode().split("\n\n")
    other = Log(log.lines, dated_at=log.dated_at + 1).note(200).split("\n\n")[1]
    written.files["checkpoint-0.txt"] = f"{text}\n\n{other}".encode()
    assert signatures != other
    data = verdict(written, tmp_path)
    assert data["exit"] == 1
    assert "is false" in data["problems"][0]["why"]


# --- Constant memory, several processes ------------------------------------------------------------------


def test_several_processes_come_to_the_verdict_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lv, "POOL_FROM", 0)
    monkeypatch.setattr(lv, "BLOCK", 4096)
    log = Log.of(story(random.Random(3), 2000), older=(5, 999, 1500))
    path = bundle(log).zip(tmp_path / "a.zip")
    seen: list[int] = []
    one, two = judged(path), judged(path, jobs=2, progress=lambda done, whole: seen.append(done))
    assert is_good(one)
    assert one == two
    assert (seen[-1], sorted(seen) == seen, len(seen) > 50) == (2000, True, True)
    lines = list(log.lines)
    lines[1234] = canonical(entry(1234, 10**12))
    changed = bundle(log)
    changed.files["entries-0.jsonl"] = b"".join(line + b"\n" for line in lines)
    path = changed.zip(tmp_path / "a.zip", bundle(log).listed())
    for jobs in (1, 2):
        assert problems(judged(path, jobs=jobs)) == [
            (1234, "the entry's hash is not the hash that the bundle lists for it")
        ]
