"""The evidence bundle, checked with separate code in this module and with the customers' verifier."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import json
import tracemalloc
import zipfile
from base64 import b64decode
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from django.conf import settings
from django.db import transaction
from structlog.testing import capture_logs

from audit_app import (
    bundle_selection,
    checkpoint_history,
    checkpoints,
    evidence,
    keys,
    notes,
    recorder,
    redating,
    tree,
    zips,
)
from audit_app.bundle_selection import EvidenceScope
from audit_app.evidence import Evidence
from audit_app.models import (
    AuditEntry,
    ChainHead,
    Checkpoint,
    Cosignature,
    LogKey,
    LogOrigin,
    SignedHead,
    Tile,
    Witness,
)
from audit_app.proofs import NotProven
from tests.audit import care
from tests.audit.bundles import Files, files_of, listed, manifest_of, records, verified, zipped
from tests.audit.test_checkpoints import AT, TENANT, append, flip_bit, meddle, uuid_sql

pytestmark = pytest.mark.django_db

REQUEST = UUID("a0000000-0000-4000-8000-000000000007")
OTHER = UUID("a0000000-0000-4000-8000-000000000008")
NEW = UUID("a0000000-0000-4000-8000-000000000009")
HOUR = dt.timedelta(hours=1)


def sign(at: dt.datetime = AT) -> Checkpoint:
    found = checkpoints.sign(TENANT, at=at)
    assert found is not None
    return found


def about(request: UUID, count: int, *, at: dt.datetime = AT, event: str = "content.cut") -> None:
    entries = [
        recorder.Witnessed(
            tenant_id=TENANT,
            event=event,
            door="pages",
            actor={"kind": "person", "id": str(UUID(int=8)), "name": "Priya", "side": "provider", "email": "p@e.test"},
            subject_type="access_request",
            subject_id=str(request),
            correlation_id=request,
            detail={"comment": f"line {number}\u2028and \N{SNOWMAN}"},
        )
        for number in range(count)
    ]
    with transaction.atomic():
        recorder.record(entries, at=at)


def wanted(**what: Any) -> EvidenceScope:
    return EvidenceScope(tenant_id=TENANT, tenant_name="Contoso", **what)


def taken(**what: Any) -> bytes:
    return b"".join(evidence.prepare(wanted(**what), at=AT + HOUR).stream())


def tombstone(at: dt.datetime = AT) -> None:
    care.tombstone(TENANT, at=at)


def prune(seq: int) -> None:
    """Prune the log up to this entry, and sign the entry about it."""
    care.prune(TENANT, seq)
    sign(AT + 24 * HOUR)


def _write_log() -> None:
    append(250)
    sign()
    about(REQUEST, 30, at=AT + HOUR)
    sign()
    append(19, at=AT + 2 * HOUR)
    about(OTHER, 1, at=AT + 2 * HOUR)
    sign()
    append(290, at=AT + 3 * HOUR)
    about(REQUEST, 10, at=AT + 4 * HOUR)
    sign()


class _Copy:
    """A copy of a log's rows and of the heads outside the database. Tests get the log from it quickly."""

    def __init__(self) -> None:
        self.entries = list(AuditEntry.objects.order_by("pk"))
        self.others = {model: list(model.objects.all()) for model in _BESIDE}
        self.heads = Path(settings.LOG_HEADS_FILE).read_bytes()

    def put_back(self) -> None:
        recorder._write(self.entries, [])
        for model, rows in self.others.items():
            model.objects.bulk_create(rows)
        Path(settings.LOG_HEADS_FILE).write_bytes(self.heads)


#: The tables in which a signed log has rows, besides its entries.
_BESIDE: tuple[Any, ...] = (ChainHead, SignedHead, Checkpoint, Tile, LogKey, LogOrigin)
_copies: list[_Copy] = []


@pytest.fixture
def log() -> None:
    """Write 600 entries under four checkpoints. 40 of them, in two groups, belong to one access request.

    Each process writes and signs them only once. Later tests get a copy.
    """
    if _copies:
        _copies[0].put_back()
    else:
        _write_log()
        _copies.append(_Copy())


@pytest.fixture
def piecemeal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the product send each file of a bundle as a separate piece.

    Otherwise a small bundle is a single piece, and a test can do nothing between two pieces.
    """
    monkeypatch.setattr(zips, "PIECE", 1)


# --- Checked with separate code --------------------------------------------------------------------------


def merkle(leaves: list[bytes]) -> bytes:
    """Compute the root from the leaves recursively, exactly as RFC 6962, section 2.1, defines MTH."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256(b"").digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + merkle(leaves[:split]) + merkle(leaves[split:])).digest()


def root_by(index: int, size: int, leaf: bytes, path: list[bytes]) -> bytes:
    """Compute the root that an inclusion proof leads to, with the recursion of RFC 6962, section 2.1.1."""
    if size == 1:
        assert path == []
        return leaf
    split = 1
    while split * 2 < size:
        split *= 2
    *below, sibling = path
    if index < split:
        return hashlib.sha256(b"\x01" + root_by(index, split, leaf, below) + sibling).digest()
    return hashlib.sha256(b"\x01" + sibling + root_by(index - split, size - split, leaf, below)).digest()


def bodies(files: Files, shard: int = 0) -> list[bytes]:
    return files[f"entries-{shard}.jsonl"].split(b"\n")[:-1]


def leaves_of(entries: list[bytes]) -> list[bytes]:
    return [hashlib.sha256(b"\x00" + body).digest() for body in entries]


def checkpoint_in(text: str) -> tuple[str, int, bytes]:
    origin, size, root = text.split("\n\n")[0].split("\n")
    return origin, int(size), b64decode(root)


def require_signed(text: str) -> None:
    """Assert that the installation's key has signed the text before the empty line (signed-note)."""
    body, _, signatures = text.rpartition("\n\n")
    name = body.split("\n")[0]
    [line] = [line for line in signatures.split("\n") if line.startswith(f"— {name} ")]
    public = Ed25519PublicKey.from_public_bytes(keys.load().publics[0])
    public.verify(b64decode(line.split(" ")[2])[4:], f"{body}\n".encode())


def test_the_whole_log_leads_to_the_signed_root(log: None, tmp_path: Path) -> None:
    bundle = taken()
    files = files_of(bundle)
    origin, size, root = checkpoint_in(files["checkpoint-0.txt"].decode())
    leaves = leaves_of(bodies(files))
    assert (origin, size) == (f"{settings.LOG_ORIGIN}/log/{TENANT}", 600)
    assert merkle(leaves) == root
    assert files["leaf-hashes-0.bin"] == b"".join(leaves)
    require_signed(files["checkpoint-0.txt"].decode())
    proofs = records(files["proofs-0.jsonl"])
    assert [proof["index"] for proof in proofs] == [0, 599]
    for proof in proofs:
        path = [b64decode(each) for each in proof["hashes"]]
        assert root_by(proof["index"], size, leaves[proof["index"]], path) == root
    stored = AuditEntry.objects.filter(tenant_id=TENANT).order_by("seq").values_list("canonical", flat=True)
    assert bodies(files) == [bytes(body) for body in stored]
    status, verdict = verified(bundle, tmp_path)
    assert (status, verdict["problems"], verdict["gaps"]) == (0, [], [])


def test_the_manifest_is_last_and_lists_every_other_file(log: None) -> None:
    bundle = taken()
    files = files_of(bundle)
    assert list(files) == [
        "README.txt",
        "entries-0.jsonl",
        "leaf-hashes-0.bin",
        "checkpoint-0.txt",
        "proofs-0.jsonl",
        "consistency-0.jsonl",
        "keys.json",
        "manifest.json",
    ]
    manifest = manifest_of(files)
    assert manifest.pop("files") == {name: listed(raw) for name, raw in files.items() if name != "manifest.json"}
    assert manifest == {
        "format": "lockbox-evidence-v1",
        "made_at": "2026-03-01T13:00:00.000000Z",
        "tenant": {"id": str(TENANT), "name": "Contoso"},
        "kind": "log",
        "access_request": None,
        "since": None,
        "until": None,
        "logs": [
            {
                "shard": 0,
                "origin": f"{settings.LOG_ORIGIN}/log/{TENANT}",
                "first_seq": 0,
                "size": 600,
                "start": 0,
                "end": 600,
                "entries": 600,
                "pruned": 0,
                "closed_by": None,
            }
        ],
    }


def test_older_checkpoints_are_shown_to_be_the_beginning_of_the_newest(log: None) -> None:
    files = files_of(taken())
    leaves = leaves_of(bodies(files))
    found = records(files["consistency-0.jsonl"])
    sizes = []
    for record in found:
        _origin, size, root = checkpoint_in(record["checkpoint"])
        require_signed(record["checkpoint"])
        assert merkle(leaves[:size]) == root
        path = [b64decode(each) for each in record["hashes"]]
        tree.check_consistency(size, 600, root, merkle(leaves), path)
        sizes.append(size)
    assert sizes == [250, 280, 300]


def test_one_access_request_has_its_entries_each_with_its_proof(log: None, tmp_path: Path) -> None:
    bundle = taken(access_request=REQUEST)
    files = files_of(bundle)
    _origin, size, root = checkpoint_in(files["checkpoint-0.txt"].decode())
    entries = [json.loads(body) for body in bodies(files)]
    assert [entry["seq"] for entry in entries] == [*range(250, 280), *range(590, 600)]
    assert {entry["access_request"] for entry in entries} == {str(REQUEST)}
    proofs = records(files["proofs-0.jsonl"])
    assert [proof["index"] for proof in proofs] == [entry["seq"] for entry in entries]
    for proof, leaf in zip(proofs, leaves_of(bodies(files)), strict=True):
        assert root_by(proof["index"], size, leaf, [b64decode(each) for each in proof["hashes"]]) == root
    assert files["leaf-hashes-0.bin"] == b"".join(leaves_of(bodies(files)))
    manifest = manifest_of(files)
    assert (manifest["kind"], manifest["access_request"]) == ("access_request", str(REQUEST))
    [described] = manifest["logs"]
    assert described["entries"] == 40
    assert "start" not in described
    assert verified(bundle, tmp_path)[0] == 0


@pytest.mark.parametrize(
    ("since", "until", "start", "end"),
    [
        (AT + HOUR, AT + 2 * HOUR, 250, 280),
        (AT + HOUR + dt.timedelta(microseconds=1), AT + 3 * HOUR, 280, 300),
        (None, AT + HOUR, 0, 250),
        (AT + 4 * HOUR, None, 590, 600),
        (AT - HOUR, AT + 24 * HOUR, 0, 600),
    ],
)
def test_a_period_has_the_entries_from_its_beginning_to_before_its_end(
    log: None, tmp_path: Path, since: dt.datetime | None, until: dt.datetime | None, start: int, end: int
) -> None:
    bundle = taken(since=since, until=until)
    files = files_of(bundle)
    manifest = manifest_of(files)
    [described] = manifest["logs"]
    assert manifest["kind"] == "period"
    assert (described["start"], described["end"], described["entries"]) == (start, end, end - start)
    assert [json.loads(body)["seq"] for body in bodies(files)] == list(range(start, end))
    assert verified(bundle, tmp_path)[0] == 0


@pytest.mark.parametrize("since", [AT - 24 * HOUR, AT + 24 * HOUR])
def test_a_period_in_which_nothing_happened_is_a_tree_without_entries(
    log: None, tmp_path: Path, since: dt.datetime
) -> None:
    bundle = taken(since=since, until=since + HOUR)
    files = files_of(bundle)
    assert (files["entries-0.jsonl"], files["leaf-hashes-0.bin"], files["proofs-0.jsonl"]) == (b"", b"", b"")
    assert manifest_of(files)["logs"][0]["entries"] == 0
    assert verified(bundle, tmp_path)[0] == 0


def test_a_period_comes_with_the_entry_before_it_and_the_one_after_it(log: None, tmp_path: Path) -> None:
    bundle = taken(since=AT + HOUR, until=AT + 2 * HOUR)
    files = files_of(bundle)
    _origin, size, root = checkpoint_in(files["checkpoint-0.txt"].decode())
    found = records(files["neighbours-0.jsonl"])
    assert [each["index"] for each in found] == [249, 280]
    for each in found:
        body = each["entry"].encode()
        assert body == bytes(AuditEntry.objects.get(tenant_id=TENANT, seq=each["index"]).canonical)
        [leaf] = leaves_of([body])
        assert root_by(each["index"], size, leaf, [b64decode(one) for one in each["hashes"]]) == root
    # If an attacker leaves out entries at the edge of the period, a neighbour is an entry of the period.
    manifest = manifest_of(files)
    manifest["since"] = "2026-03-01T12:00:00.000000Z"
    changed = zipped({**files, "manifest.json": json.dumps(manifest).encode()})
    status, verdict = verified(changed, tmp_path)
    assert (status, [problem["index"] for problem in verdict["problems"]]) == (1, [249])
    del files["neighbours-0.jsonl"]
    assert verified(zipped(files), tmp_path)[0] == 2


def test_a_bundle_without_neighbours_has_no_file_for_them(log: None) -> None:
    for what in ({}, {"access_request": REQUEST}, {"since": AT, "until": AT + 24 * HOUR}):
        assert "neighbours-0.jsonl" not in files_of(taken(**what))


@pytest.mark.parametrize(("seq", "gone"), [(249, (249, 2)), (280, (250, 1))])
def test_a_neighbour_that_was_changed_or_is_gone_is_logged(
    log: None, tmp_path: Path, seq: int, gone: tuple[int, int]
) -> None:
    """First the entry after the period is changed, then it is deleted. Both are found.

    After the deletion, the next entry takes its place as the neighbour, and the verifier finds the gap between them.
    """
    body = bytes(AuditEntry.objects.get(tenant_id=TENANT, seq=seq).canonical) + b"\xff"
    one = (uuid_sql(TENANT), seq)
    meddle("UPDATE audit_app_auditentry SET canonical = %s WHERE tenant_id = %s AND seq = %s", body, *one)
    for index, status in ((seq, 1), gone):
        with capture_logs() as logs:
            bundle = taken(since=AT + HOUR, until=AT + 2 * HOUR)
        assert [(each["event"], each["index"]) for each in logs] == [("evidence_differs", index)]
        assert verified(bundle, tmp_path)[0] == status
        meddle("DELETE FROM audit_app_auditentry WHERE tenant_id = %s AND seq = %s", *one)


# --- Unsigned entries, removed entries, restarts after damage --------------------------------------------


@pytest.mark.slow
def test_unsigned_entries_are_counted_and_left_out(log: None, tmp_path: Path) -> None:
    about(REQUEST, 3, at=AT + 5 * HOUR)
    append(4, at=AT + 5 * HOUR)
    assert evidence.prepare(wanted(), at=AT).waiting == 7
    assert evidence.prepare(wanted(access_request=REQUEST), at=AT).waiting == 3
    assert evidence.prepare(wanted(access_request=OTHER), at=AT).waiting == 0
    assert evidence.prepare(wanted(since=AT + 5 * HOUR), at=AT).waiting == 7
    assert evidence.prepare(wanted(until=AT + 5 * HOUR), at=AT).waiting == 0
    bundle = taken(access_request=REQUEST)
    assert len(bodies(files_of(bundle))) == 40
    assert verified(bundle, tmp_path)[0] == 0


@pytest.mark.slow
def test_entries_appended_during_the_stream_are_not_in_it(log: None, tmp_path: Path, piecemeal: None) -> None:
    stream = evidence.prepare(wanted(), at=AT).stream()
    first = next(stream)
    append(700, at=AT + 5 * HOUR)
    sign(AT + 5 * HOUR)
    assert b"manifest.json" not in first
    bundle = first + b"".join(stream)
    assert len(bodies(files_of(bundle))) == 600
    assert verified(bundle, tmp_path)[0] == 0


@pytest.mark.parametrize(
    ("what", "code"),
    [({}, "absent"), ({"access_request": REQUEST}, "absent"), ({"since": AT}, "absent")],
)
def test_there_is_no_evidence_of_an_empty_log(what: dict[str, Any], code: str) -> None:
    with pytest.raises(NotProven) as refused:
        evidence.prepare(wanted(**what), at=AT)
    assert refused.value.code == code


def test_there_is_no_evidence_before_the_first_checkpoint() -> None:
    about(REQUEST, 2)
    for what in ({}, {"access_request": REQUEST}, {"since": AT}, {"until": AT}):
        with pytest.raises(NotProven) as refused:
            evidence.prepare(wanted(**what), at=AT)
        assert refused.value.code == "unsigned"


def test_an_access_request_that_the_log_does_not_know_has_no_evidence(log: None) -> None:
    with pytest.raises(NotProven) as refused:
        evidence.prepare(wanted(access_request=UUID(int=99)), at=AT)
    assert refused.value.code == "absent"


def test_a_log_whose_tiles_are_gone_is_refused_before_the_first_byte(log: None) -> None:
    Tile.objects.filter(tenant_id=TENANT, level=0, number=2).delete()
    with pytest.raises(NotProven) as refused:
        evidence.prepare(wanted(), at=AT)
    assert refused.value.code == "damaged"


@pytest.mark.parametrize("gone", [1, 255, 256, 260, 599])
def test_a_bundle_names_what_was_pruned_and_the_rest_verifies(log: None, tmp_path: Path, gone: int) -> None:
    prune(gone)
    bundle = taken()
    files = files_of(bundle)
    [described] = manifest_of(files)["logs"]
    assert (described["pruned"], described["start"], described["entries"]) == (gone, gone, 601 - gone)
    assert f"Entries 0 to {gone - 1} were removed" in files["README.txt"].decode()
    status, verdict = verified(bundle, tmp_path)
    assert (status, verdict["logs"][0]["pruned"]) == (0, gone)


def test_an_access_request_that_was_pruned_in_part_has_its_rest(log: None, tmp_path: Path) -> None:
    prune(270)
    bundle = taken(access_request=REQUEST)
    assert [json.loads(body)["seq"] for body in bodies(files_of(bundle))] == [*range(270, 280), *range(590, 601)]
    assert verified(bundle, tmp_path)[0] == 0


def named(event: str, detail: dict[str, Any]) -> None:
    entry = recorder.Witnessed(
        tenant_id=TENANT,
        event=event,
        door="admin",
        actor={"kind": "person", "id": str(UUID(int=9)), "name": "Sam", "side": "provider", "email": "s@e.test"},
        subject_type="tenant",
        subject_id=str(TENANT),
        detail=detail,
    )
    with transaction.atomic():
        recorder.record([entry], at=AT)


def test_the_tenant_is_called_what_the_signed_entries_call_it(tmp_path: Path) -> None:
    """After a new name was given, the manifest has it only when the entry about it is signed.

    So the manifest and the entries always agree.
    """
    named("tenant.created", {"name": "Contoso before", "plan": "E5"})
    append(5)
    sign()
    named("tenant.changed", {"set": {"name": "Contoso"}, "was": {"name": "Contoso before"}})
    for name in ("Contoso before", "Contoso"):
        bundle = taken()
        assert manifest_of(files_of(bundle))["tenant"]["name"] == name
        status, verdict = verified(bundle, tmp_path)
        assert (status, verdict["tenant"]["name"]) == (0, name)
        sign()
    # A change of another setting does not contain the name. If the entry with the name is removed, the name is not
    # proven.
    named("tenant.changed", {"window_cap": 3600, "window_cap_before": 7200})
    sign()
    assert verified(taken(), tmp_path)[1]["tenant"]["name"] == "Contoso"
    prune(7)
    status, verdict = verified(taken(), tmp_path)
    assert (status, verdict["tenant"]["name"], verdict["tenant"]["name_not_proven"]) == (0, None, "Contoso")


def test_two_shards_are_two_trees_in_one_bundle(log: None, tmp_path: Path) -> None:
    tombstone(AT + 5 * HOUR)
    append(20, at=AT + 6 * HOUR)
    sign(AT + 6 * HOUR)
    bundle = taken()
    files = files_of(bundle)
    assert [json.loads(body)["seq"] for body in bodies(files, 0)] == list(range(600))
    assert [json.loads(body)["seq"] for body in bodies(files, 1)] == list(range(600, 621))
    for shard in (0, 1):
        origin, size, root = checkpoint_in(files[f"checkpoint-{shard}.txt"].decode())
        assert origin == checkpoints.origin_of(TENANT, shard)
        assert merkle(leaves_of(bodies(files, shard))) == root
        assert size == len(bodies(files, shard))
    first, second = manifest_of(files)["logs"]
    assert (first["closed_by"], second["closed_by"]) == (600, None)
    assert (first["first_seq"], second["first_seq"]) == (0, 600)
    assert verified(bundle, tmp_path)[0] == 0


@pytest.mark.slow
def test_a_shard_that_was_closed_before_it_was_signed_is_listed_with_nothing(tmp_path: Path) -> None:
    append(3)
    tombstone(AT + HOUR)
    append(5, at=AT + 2 * HOUR)
    about(REQUEST, 1, at=AT + 2 * HOUR)
    sign(AT + 2 * HOUR)
    for what in ({}, {"until": AT + 3 * HOUR}, {"since": AT + HOUR}):
        bundle = taken(**what)
        files = files_of(bundle)
        first, second = manifest_of(files)["logs"]
        assert (first["shard"], first["size"], first["first_seq"], first["closed_by"]) == (0, 0, 0, 3)
        assert (second["shard"], second["size"], second["first_seq"]) == (1, 7, 3)
        assert not any("-0." in name for name in files)
        assert "closed by entry number 3, before anything of it was signed" in files["README.txt"].decode()
        status, verdict = verified(bundle, tmp_path)
        assert (status, verdict["problems"]) == (2, [])
        assert verdict["gaps"] == [
            "entry 3 closed log 0: there is no signed checkpoint of this log, so its entries prove nothing"
        ]
    # A period that begins later and an access request do not need the closed shard.
    for other in ({"since": AT + 2 * HOUR}, {"access_request": REQUEST}):
        bundle = taken(**other)
        assert [each["shard"] for each in manifest_of(files_of(bundle))["logs"]] == [1]
        assert verified(bundle, tmp_path)[0] == 0


@pytest.mark.slow
def test_a_period_takes_the_shards_that_have_something_of_it_and_the_one_in_use(log: None, tmp_path: Path) -> None:
    tombstone(AT + 5 * HOUR)
    append(20, at=AT + 6 * HOUR)
    sign(AT + 6 * HOUR)
    for bounds, shards in (
        ({"until": AT + 2 * HOUR}, [0, 1]),
        ({"since": AT + 6 * HOUR}, [1]),
        ({"since": AT + 4 * HOUR}, [0, 1]),
        # Shard 1 begins after the period. It proves that the bundle contains all of shard 0.
        ({"since": AT + 4 * HOUR, "until": AT + 5 * HOUR}, [0, 1]),
        ({"until": AT + 5 * HOUR}, [0, 1]),
        ({"since": AT + 5 * HOUR}, [0, 1]),
        ({"since": AT + 7 * HOUR}, [1]),
    ):
        bundle = taken(**bounds)
        assert [each["shard"] for each in manifest_of(files_of(bundle))["logs"]] == shards
        assert verified(bundle, tmp_path)[0] == 0


@pytest.mark.slow
def test_an_access_request_that_continues_after_a_tombstone_includes_it(log: None, tmp_path: Path) -> None:
    tombstone(AT + 5 * HOUR)
    about(REQUEST, 2, at=AT + 6 * HOUR)
    sign(AT + 6 * HOUR)
    bundle = taken(access_request=REQUEST)
    files = files_of(bundle)
    assert [json.loads(body)["event"] for body in bodies(files, 1)] == [
        "log.tombstoned",
        "content.cut",
        "content.cut",
    ]
    assert verified(bundle, tmp_path)[0] == 0
    # If the access request ended before, the bundle still has the current shard's tombstone. It proves that this shard
    # is the newest.
    bundle = taken(access_request=OTHER)
    assert [json.loads(body)["event"] for body in bodies(files_of(bundle), 1)] == ["log.tombstoned"]
    assert [each["entries"] for each in manifest_of(files_of(bundle))["logs"]] == [1, 1]
    assert verified(bundle, tmp_path)[0] == 0


# --- Entries about the log -------------------------------------------------------------------------------


def beside(files: Files, shard: int = 0) -> list[tuple[int, str]]:
    """Return (number, event) of each additional entry, after checking that its proof leads to the signed root."""
    _origin, size, root = checkpoint_in(files[f"checkpoint-{shard}.txt"].decode())
    [described] = [log for log in manifest_of(files)["logs"] if log["shard"] == shard]
    entries = files.get(f"log-entries-{shard}.jsonl", b"").split(b"\n")[:-1]
    proofs = records(files.get(f"log-proofs-{shard}.jsonl", b""))
    found = []
    for body, leaf, proof in zip(entries, leaves_of(entries), proofs, strict=True):
        entry = json.loads(body)
        assert proof["index"] == entry["seq"] - described["first_seq"]
        assert root_by(proof["index"], size, leaf, [b64decode(each) for each in proof["hashes"]]) == root
        found.append((entry["seq"], entry["event"]))
    return found


def rotate(at: dt.datetime) -> keys.Keys:
    """Change to a new key, and return the keys for later signatures. Both keys sign one checkpoint."""
    [old] = keys.load().keys
    new = Ed25519PrivateKey.generate()
    checkpoints.sign(TENANT, at=at, have=keys.Keys((new, old)))
    return keys.Keys((new,))


def test_a_period_includes_the_earlier_entries_about_keys(log: None, tmp_path: Path) -> None:
    have = rotate(AT + 5 * HOUR)
    append(5, at=AT + 6 * HOUR)
    checkpoints.sign(TENANT, at=AT + 6 * HOUR, have=have)
    bundle = taken(since=AT + 6 * HOUR)
    assert beside(files_of(bundle)) == [(600, "log.key_rotated")]
    assert [json.loads(body)["seq"] for body in bodies(files_of(bundle))] == [*range(601, 606)]
    # The verifier gets only the old key, and finds the new key in the log.
    assert verified(bundle, tmp_path)[0] == 0
    assert beside(files_of(taken(since=AT + 5 * HOUR))) == []


@pytest.mark.slow
def test_a_new_key_is_announced_after_the_entry_about_it_was_pruned(log: None, tmp_path: Path) -> None:
    have = rotate(AT + 5 * HOUR)
    append(5, at=AT + 6 * HOUR)
    about(REQUEST, 2, at=AT + 6 * HOUR)
    checkpoints.sign(TENANT, at=AT + 6 * HOUR, have=have)
    care.prune(TENANT, 604)
    checkpoints.sign(TENANT, at=AT + 6 * HOUR, have=have)
    assert AuditEntry.objects.filter(tenant_id=TENANT).order_by("seq")[0].seq == 600
    bundle = taken()
    assert beside(files_of(bundle)) == [(600, "log.key_rotated")]
    assert verified(bundle, tmp_path)[0] == 0, "the verifier is told the old key alone"
    of_request = taken(access_request=REQUEST)
    assert [json.loads(body)["seq"] for body in bodies(files_of(of_request))] == [600, 606, 607, 608]
    assert verified(of_request, tmp_path)[0] == 0, "the verifier is told the old key alone"


def test_a_new_key_is_announced_if_nothing_happened_until_the_old_one_was_retired(log: None, tmp_path: Path) -> None:
    """Both keys sign the newest tree, and then no entry is added.

    The new key then dates the tree again. The old key's signature must stay.
    """
    have = rotate(AT + 5 * HOUR)
    checkpoints.sign(TENANT, at=AT + 6 * HOUR, have=have)
    assert redating.date([TENANT], at=AT + 7 * HOUR, have=have) == {TENANT}
    assert verified(taken(), tmp_path)[0] == 0, "the verifier is told the old key alone"
    append(5, at=AT + 8 * HOUR)
    checkpoints.sign(TENANT, at=AT + 8 * HOUR, have=have)
    assert verified(taken(), tmp_path)[0] == 0, "the verifier is told the old key alone"


@pytest.mark.slow
def test_the_newest_tree_comes_with_the_shard_that_announced_its_key(log: None, tmp_path: Path) -> None:
    """The bundle contains the shard with the entry about the new key, even if this shard is later than the period."""
    tombstone(AT + 5 * HOUR)
    sign(AT + 5 * HOUR)
    have = rotate(AT + 6 * HOUR)
    tombstone(AT + 7 * HOUR)
    append(3, at=AT + 8 * HOUR)
    checkpoints.sign(TENANT, at=AT + 8 * HOUR, have=have)
    for what in ({"until": AT + HOUR}, {"access_request": OTHER}):
        bundle = taken(**what)
        assert [each["shard"] for each in manifest_of(files_of(bundle))["logs"]] == [0, 1, 2]
        assert verified(bundle, tmp_path)[0] == 0, "the verifier is told the old key alone"


@pytest.mark.slow
def test_an_unsigned_shard_before_a_period_leaves_no_gap_in_it(log: None, tmp_path: Path) -> None:
    """The bundle contains an earlier shard only for its entry about the key.

    That shard's unsigned entries are not a gap.
    """
    have = rotate(AT + 5 * HOUR)
    append(4, at=AT + 6 * HOUR)
    tombstone(AT + 7 * HOUR)
    append(3, at=AT + 8 * HOUR)
    checkpoints.sign(TENANT, at=AT + 8 * HOUR, have=have)
    bundle = taken(since=AT + 8 * HOUR)
    assert [each["shard"] for each in manifest_of(files_of(bundle))["logs"]] == [0, 1]
    status, verdict = verified(bundle, tmp_path)
    assert (status, verdict["gaps"]) == (0, [])
    status, verdict = verified(taken(since=AT + 6 * HOUR), tmp_path)
    assert (status, verdict["gaps"]) == (2, ["entries number 601 to 604 of log 0 were never signed"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("log-entries-0.jsonl", b'"side":"system"', b'"side":"systen"'),
        ("log-entries-0.jsonl", b"log.key_rotated", b"log.key_rotater"),
        ("log-proofs-0.jsonl", b'"index":600', b'"index":599'),
        ("log-proofs-0.jsonl", b"\n", b'\n{"index":601,"hashes":[]}\n'),
    ],
)
def test_files_beside_the_entries_are_proven_too(log: None, tmp_path: Path, name: str, old: bytes, new: bytes) -> None:
    have = rotate(AT + 5 * HOUR)
    append(5, at=AT + 6 * HOUR)
    checkpoints.sign(TENANT, at=AT + 6 * HOUR, have=have)
    files = files_of(taken(since=AT + 6 * HOUR))
    assert old in files[name]
    assert verified(zipped({**files, name: files[name].replace(old, new)}), tmp_path)[0] == 1


@pytest.mark.slow
@pytest.mark.parametrize("what", [{"since": AT + 4 * HOUR, "until": AT + 5 * HOUR}, {"access_request": OTHER}])
def test_every_bundle_of_a_log_that_was_pruned_says_what_was_removed(
    log: None, tmp_path: Path, what: dict[str, Any]
) -> None:
    prune(260)
    append(3, at=AT + 24 * 41 * HOUR)
    prune(270)
    bundle = taken(**what)
    files = files_of(bundle)
    inline = [(entry["seq"], entry["event"]) for entry in map(json.loads, bodies(files))]
    removals = [each for each in [*inline, *beside(files)] if each[1] == "log.pruned"]
    assert removals == [(604, "log.pruned")], "the newest, which covers all that was removed"
    assert verified(bundle, tmp_path)[0] == 0


def test_there_is_no_evidence_while_no_checkpoint_covers_what_says_what_was_removed(log: None) -> None:
    care.prune(TENANT, 270)
    for what in ({}, {"since": AT + 3 * HOUR}, {"access_request": REQUEST}):
        with pytest.raises(NotProven) as refused:
            evidence.prepare(wanted(**what), at=AT)
        assert refused.value.code == "unsigned"


@pytest.mark.parametrize("what", [{"until": AT + 3 * HOUR}, {"access_request": OTHER}])
def test_the_shard_that_says_what_was_removed_of_an_older_one_comes_with_it(
    log: None, tmp_path: Path, what: dict[str, Any]
) -> None:
    tombstone(AT + 5 * HOUR)
    append(5, at=AT + 6 * HOUR)
    sign(AT + 6 * HOUR)
    prune(270)
    files = files_of(taken(**what))
    assert [each["shard"] for each in manifest_of(files)["logs"]] == [0, 1]
    inline = [json.loads(body)["event"] for body in bodies(files, 1)]
    assert inline.count("log.pruned") + [event for _seq, event in beside(files, 1)].count("log.pruned") == 1
    assert verified(taken(**what), tmp_path)[0] == 0


def test_the_shard_that_says_what_was_removed_is_left_out_if_nothing_requested_was_removed(
    log: None, tmp_path: Path
) -> None:
    tombstone(AT + 5 * HOUR)
    append(5, at=AT + 6 * HOUR)
    sign(AT + 6 * HOUR)
    prune(270)
    sign(AT + 6 * HOUR)
    tombstone(AT + 7 * HOUR)
    about(NEW, 2, at=AT + 8 * HOUR)
    sign(AT + 8 * HOUR)
    bundle = taken(access_request=NEW)
    assert [each["shard"] for each in manifest_of(files_of(bundle))["logs"]] == [2]
    assert verified(bundle, tmp_path)[0] == 0


@pytest.mark.parametrize("what", [{"since": AT + 6 * HOUR}, {"access_request": REQUEST}])
@pytest.mark.parametrize("is_damaged", [False, True])
def test_a_sound_closed_shard_that_announced_a_key_is_included(
    log: None, tmp_path: Path, what: dict[str, Any], is_damaged: bool
) -> None:
    have = rotate(AT + 5 * HOUR)
    care.tombstone(TENANT, at=AT + 5 * HOUR)
    about(REQUEST, 2, at=AT + 6 * HOUR)
    checkpoints.sign(TENANT, at=AT + 6 * HOUR, have=have)
    meddle("DELETE FROM audit_app_auditentry WHERE tenant_id = %s AND correlation_id = %s AND seq < 600",
           uuid_sql(TENANT), uuid_sql(REQUEST))  # fmt: skip
    if is_damaged:
        meddle("DELETE FROM audit_app_tile WHERE tenant_id = %s AND shard = 0 AND level = 1", uuid_sql(TENANT))
    bundle = taken(**what)
    shards = [each["shard"] for each in manifest_of(files_of(bundle))["logs"]]
    assert shards == ([1] if is_damaged else [0, 1])
    assert verified(bundle, tmp_path)[1]["problems"] == []


# --- Keys, witnesses, older checkpoints ------------------------------------------------------------------


def test_an_access_request_brings_the_entry_that_announced_a_new_key(
    log: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [old] = keys.load().keys
    new = Ed25519PrivateKey.generate()
    both = keys.Keys((new, old))
    checkpoints.sign(TENANT, at=AT + 5 * HOUR, have=both)
    about(REQUEST, 1, at=AT + 6 * HOUR)
    checkpoints.sign(TENANT, at=AT + 6 * HOUR, have=keys.Keys((new,)))
    bundle = taken(access_request=REQUEST)
    files = files_of(bundle)
    events = [json.loads(body)["event"] for body in bodies(files)]
    assert events.count("log.key_rotated") == 1
    origin = checkpoints.origin_of(TENANT, 0)
    vkeys = {str(keys.log_key(origin, public)) for public in both.publics}
    assert set(json.loads(files["keys.json"])["log"]) == vkeys
    # The verifier gets only the old key, and finds the new key in the log.
    status, verdict = verified(bundle, tmp_path)
    assert (status, verdict["gaps"], verdict["problems"]) == (0, [], [])


def test_cosignatures_go_with_their_checkpoints_even_of_a_witness_that_is_gone(log: None, tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    vkey = str(notes.Verifier("witness.example/w", notes.public_bytes(key), notes.COSIGNATURE))
    registered = str(notes.Verifier("other.example/w", bytes(32), notes.COSIGNATURE))
    Witness.objects.create(tenant_id=TENANT, vkey=registered, url="https://w.example", added_at=AT, due_at=AT)
    for checkpoint in Checkpoint.objects.filter(size__in=(280, 600)):
        text = notes.Note.parse(checkpoint.note).text
        line = notes.cosign(text, "witness.example/w", key, int(AT.timestamp())).line
        Cosignature.objects.create(tenant_id=TENANT, checkpoint=checkpoint, vkey=vkey, line=line, at=AT)
    bundle = taken()
    files = files_of(bundle)
    assert json.loads(files["keys.json"])["witnesses"] == [registered, vkey]
    assert "— witness.example/w " in files["checkpoint-0.txt"].decode()
    cosigned = ["— witness.example/w " in each["checkpoint"] for each in records(files["consistency-0.jsonl"])]
    assert cosigned == [False, True, False]
    assert verified(bundle, tmp_path, "--witness", vkey)[0] == 0


def test_the_key_of_a_removed_witness_is_listed_if_only_an_older_checkpoint_has_its_cosignature(log: None) -> None:
    key = Ed25519PrivateKey.generate()
    vkey = str(notes.Verifier("witness.example/w", notes.public_bytes(key), notes.COSIGNATURE))
    checkpoint = Checkpoint.objects.get(size=280)
    line = notes.cosign(notes.Note.parse(checkpoint.note).text, "witness.example/w", key, int(AT.timestamp())).line
    Cosignature.objects.create(tenant_id=TENANT, checkpoint=checkpoint, vkey=vkey, line=line, at=AT)
    files = files_of(taken())
    assert json.loads(files["keys.json"])["witnesses"] == [vkey]
    assert "— witness.example/w " not in files["checkpoint-0.txt"].decode()


@pytest.mark.slow
def test_of_many_older_checkpoints_the_newest_and_a_spread_of_the_others_are_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(checkpoint_history, "MOST", 10)
    for _ in range(30):
        append(1)
        sign()
    bundle = taken()
    found = [checkpoint_in(each["checkpoint"])[1] for each in records(files_of(bundle)["consistency-0.jsonl"])]
    assert found == [1, 6, 11, 16, 21, 25, 26, 27, 28, 29]
    assert verified(bundle, tmp_path)[0] == 0


@pytest.mark.slow
def test_of_many_older_checkpoints_the_first_that_tells_of_a_new_key_is_taken(
    log: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(checkpoint_history, "MOST", 6)
    have = rotate(AT + 5 * HOUR)
    for _ in range(8):
        append(1, at=AT + 6 * HOUR)
        checkpoints.sign(TENANT, at=AT + 6 * HOUR, have=have)
    bundle = taken(previous_size=250)
    sizes = [checkpoint_in(each["checkpoint"])[1] for each in records(files_of(bundle)["consistency-0.jsonl"])]
    assert len(sizes) == 6
    assert {250, 601} < set(sizes)
    assert verified(bundle, tmp_path)[0] == 0, "the verifier is told the old key alone"


def test_where_there_are_few_older_checkpoints_all_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_history, "MOST", 10)
    for count in range(13):
        append(1)
        sizes = [one[0].size for batch in checkpoint_history.older(sign()) for one in batch]
        assert len(sizes) <= 10, count
        assert sizes == sorted(set(sizes)), count
        assert count > 10 or sizes == list(range(1, count + 1)), count


# --- Changed files and rows ------------------------------------------------------------------------------


@pytest.mark.slow
def test_every_file_that_is_changed_is_found(log: None, tmp_path: Path) -> None:
    files = files_of(taken())
    for name in files.keys() - {"manifest.json", "README.txt"}:
        raw = files[name]
        changed = raw[: len(raw) // 2] + bytes([raw[len(raw) // 2] ^ 1]) + raw[len(raw) // 2 + 1 :]
        assert verified(zipped({**files, name: changed}, honest=False), tmp_path)[0] == 1, name


def test_an_entry_that_is_changed_in_the_bundle_is_named_by_its_index(log: None, tmp_path: Path) -> None:
    files = files_of(taken())
    entries = bodies(files)
    entries[321] = entries[321].replace(b"Nora", b"Nina")
    changed = {**files, "entries-0.jsonl": b"".join(body + b"\n" for body in entries)}
    status, verdict = verified(zipped(changed), tmp_path)
    assert status == 1
    assert [problem["index"] for problem in verdict["problems"]] == [321]


@pytest.mark.parametrize("what", [{}, {"since": AT}, {"access_request": REQUEST}])
def test_an_entry_that_was_changed_in_the_database_is_named_and_logged(
    log: None, tmp_path: Path, what: dict[str, Any]
) -> None:
    """The attacker changes an entry and also its stored leaf hash. The signed tree still has the original hash."""
    entry = AuditEntry.objects.get(tenant_id=TENANT, seq=265)
    body = bytes(entry.canonical).replace(b"Priya", b"Paula")
    meddle(
        "UPDATE audit_app_auditentry SET canonical = %s, leaf_hash = %s WHERE tenant_id = %s AND seq = 265",
        body,
        tree.leaf(body),
        uuid_sql(TENANT),
    )
    with capture_logs() as logs:
        bundle = taken(**what)
    assert [each["event"] for each in logs] == ["evidence_differs"]
    assert (logs[0]["log_level"], logs[0]["tenant_id"], logs[0]["shard"]) == ("error", str(TENANT), 0)
    status, verdict = verified(bundle, tmp_path)
    assert status == 1
    assert [problem["index"] for problem in verdict["problems"]] == [265]


def test_an_entry_that_is_gone_from_the_database_is_named_and_logged(log: None, tmp_path: Path) -> None:
    meddle("DELETE FROM audit_app_auditentry WHERE tenant_id = %s AND seq = 77", uuid_sql(TENANT))
    with capture_logs() as logs:
        bundle = taken()
    assert [each["event"] for each in logs] == ["evidence_differs"]
    status, verdict = verified(bundle, tmp_path)
    assert status == 1
    assert [problem["index"] for problem in verdict["problems"]] == [77]


def test_a_changed_entry_of_a_later_shard_is_logged_with_its_index_in_that_shard(log: None) -> None:
    tombstone(AT + 5 * HOUR)
    append(20, at=AT + 6 * HOUR)
    sign(AT + 6 * HOUR)
    flip_bit("audit_app_auditentry", "canonical", "seq", 610, at=40)
    with capture_logs() as logs:
        taken()
    assert [(each["event"], each["shard"], each["index"]) for each in logs] == [("evidence_differs", 1, 10)]


def test_a_tenants_name_adds_no_line_to_the_readme(log: None) -> None:
    what = replace(wanted(), tenant_name="Contoso\nNothing here is proven.\u2028Really")
    text = files_of(b"".join(evidence.prepare(what, at=AT + HOUR).stream()))["README.txt"].decode()
    plain = files_of(taken())["README.txt"].decode()
    assert text == plain.replace(" of Contoso,", " of Contoso Nothing here is proven. Really,")
    assert text != plain


def test_a_good_log_logs_nothing(log: None) -> None:
    with capture_logs() as logs:
        for what in ({}, {"since": AT + HOUR}, {"access_request": REQUEST}):
            taken(**what)
    assert logs == []


def test_a_tile_that_vanishes_under_way_leaves_no_zip(log: None, piecemeal: None) -> None:
    stream = evidence.prepare(wanted(), at=AT).stream()
    sent = [next(stream)]
    Tile.objects.filter(tenant_id=TENANT).delete()
    with pytest.raises(LookupError):
        sent.extend(stream)
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(b"".join(sent)))


@pytest.mark.parametrize(("what", "seq"), [({}, 240), ({"access_request": REQUEST}, 270), ({"since": AT + HOUR}, 300)])
def test_a_removal_before_the_read_leaves_no_zip(log: None, piecemeal: None, what: dict[str, Any], seq: int) -> None:
    stream = evidence.prepare(wanted(**what), at=AT).stream()
    sent = [next(stream)]
    care.prune(TENANT, seq)
    with pytest.raises(bundle_selection.RemovedMeanwhile):
        sent.extend(stream)
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(b"".join(sent)))


def test_a_removal_elsewhere_does_not_disturb_a_bundle(log: None, tmp_path: Path, piecemeal: None) -> None:
    stream = evidence.prepare(wanted(since=AT + 3 * HOUR), at=AT).stream()
    sent = [next(stream)]
    care.prune(TENANT, 290)
    bundle = b"".join([*sent, *stream])
    assert verified(bundle, tmp_path)[0] == 0


# --- Streaming -------------------------------------------------------------------------------------------


def peak_of(prepared: Evidence) -> int:
    tracemalloc.start()
    try:
        for _chunk in prepared.stream():
            pass
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


class AtOnce(Executor):
    """Does all work at once, in the thread that gives it."""

    def __init__(self, *_: object) -> None:
        super().__init__()

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        done = Future[Any]()
        done.set_result(fn(*args, **kwargs))
        return done


@pytest.mark.slow
def test_ten_times_the_entries_take_no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """With batches and pieces of 1/25 of their usual size, 2,000 entries need as many of them as 50,000 would.

    So 200 entries are enough to fill all places where pieces wait. How many pieces are there at the worst moment would
    depend on the threads, so each is packed at once here.
    """
    monkeypatch.setattr(bundle_selection, "BATCH", bundle_selection.BATCH // 25)
    monkeypatch.setattr(zips, "PIECE", zips.PIECE // 25)
    monkeypatch.setattr(zips, "ThreadPoolExecutor", AtOnce)
    append(200)
    sign()
    small = peak_of(evidence.prepare(wanted(), at=AT))
    append(1800)
    sign()
    large = evidence.prepare(wanted(), at=AT)
    assert large.count == 2_000
    assert peak_of(large) < small + 51 * 1024


def test_the_progress_of_a_stream_adds_up(log: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_selection, "BATCH", 100)
    counts: list[int] = []
    prepared = evidence.prepare(wanted(), at=AT)
    b"".join(prepared.stream(progress=counts.append))
    assert counts == [100] * 6
    assert prepared.count == 600


def test_files_of_others_are_in_the_bundle_and_in_its_manifest(log: None, tmp_path: Path) -> None:
    prepared = evidence.prepare(wanted(), at=AT)
    bundle = b"".join(prepared.stream([("timeline.html", iter([b"<p>", b"so it was"]))]))
    files = files_of(bundle)
    assert files["timeline.html"] == b"<p>so it was"
    assert manifest_of(files)["files"]["timeline.html"] == listed(b"<p>so it was")
    assert verified(bundle, tmp_path)[0] == 0
