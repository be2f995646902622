"""Streams an evidence bundle as a ZIP: entries, their signed checkpoints, and the proofs between them.

The bundle ends at the checkpoint that was the newest when the bundle was begun. Only one batch of entries is in memory,
so a million entries need no more memory than a thousand.
"""

from __future__ import annotations

import base64
import datetime as dt
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import Any
from uuid import UUID

import structlog

from audit_app import canonical, keys, log_events, log_name, tree
from audit_app.bundle_selection import ACCESS_REQUEST, LOG, PERIOD, BundledShard, EvidenceScope, UnsignedShard, choose
from audit_app.checkpoint_history import older
from audit_app.entry_checks import leaves_of
from audit_app.models import AuditEntry, LogKey, Witness
from audit_app.tiles import WIDTH, Tiles
from audit_app.tree import BadProof, Frontier
from audit_app.zips import ZipStream

logger = structlog.get_logger(__name__)

FORMAT = "lockbox-evidence-v1"
_KINDS = {LOG: "the whole log", PERIOD: "a period of the log", ACCESS_REQUEST: "the log about one access request"}
#: A file that the caller adds to the bundle: its name and its content.
Extra = tuple[str, Iterable[bytes]]


# --- The content of a bundle -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A bundle that is ready to be sent: its entries and checkpoints are chosen. `waiting` counts unsigned entries."""

    wanted: EvidenceScope
    at: dt.datetime
    parts: tuple[BundledShard, ...]
    waiting: int
    unsigned: tuple[UnsignedShard, ...] = ()

    @property
    def count(self) -> int:
        return sum(part.count for part in self.parts)

    def entries(self) -> Iterator[AuditEntry]:
        """Yield every entry of the bundle in order. The entries are read in batches."""
        for part in self.parts:
            for batch in part.batches():
                yield from batch

    def stream(
        self, extras: Sequence[Extra] = (), *, progress: Callable[[int], None] = lambda count: None
    ) -> Iterator[bytes]:
        """Yield the bytes of the ZIP.

        `progress` is called with the number of entries that were added since its last call. If the stream fails (a tile
        is missing, or entries were removed meanwhile), the ZIP has no end, so no program opens it.
        """
        bundle, vkeys = ZipStream(self.at), _Vkeys(self.wanted.tenant_id, self.parts)
        yield from bundle.add("README.txt", [_readme(self)])
        for part in self.parts:
            yield from _add_part(bundle, part, vkeys, self.wanted.previous_size, progress)
        yield from bundle.add("keys.json", [_json(vkeys.described())])
        is_big = any(part.is_big for part in self.parts)
        for name, chunks in extras:
            yield from bundle.add(name, chunks, is_big=is_big)
        manifest = {**self.described(), "files": bundle.files}
        yield from bundle.add("manifest.json", [_json(manifest)])
        yield from bundle.end()

    def described(self) -> dict[str, Any]:
        wanted = self.wanted
        return {
            "format": FORMAT,
            "made_at": canonical.instant(self.at),
            "tenant": {"id": str(wanted.tenant_id), "name": wanted.tenant_name},
            "kind": wanted.kind,
            "access_request": str(wanted.access_request) if wanted.access_request else None,
            **({"practice": True} if wanted.is_practice else {}),
            "since": canonical.instant(wanted.since) if wanted.since else None,
            "until": canonical.instant(wanted.until) if wanted.until else None,
            "logs": sorted(
                [*(part.described() for part in self.parts), *(log.described() for log in self.unsigned)],
                key=itemgetter("shard"),
            ),
        }


def prepare(wanted: EvidenceScope, *, at: dt.datetime) -> Evidence:
    """Choose what the bundle contains, and return it. Raise NotProven if the wanted entries can't be proven.

    `bundle_selection.choose` describes the codes of this error. The tenant's name is read from the signed
    entries. The name in the database can be newer and would contradict them.
    """
    chosen = choose(wanted)
    newest = chosen.parts[-1]
    if name := log_events.name_in(wanted.tenant_id, newest.first_seq + newest.size):
        wanted = replace(wanted, tenant_name=name)
    return Evidence(wanted=wanted, at=at, parts=chosen.parts, waiting=chosen.waiting, unsigned=chosen.unsigned)


# --- One shard's files -----------------------------------------------------------------------------------


def _add_part(
    bundle: ZipStream, part: BundledShard, vkeys: _Vkeys, previous_size: int | None, progress: Callable[[int], None]
) -> Iterator[bytes]:
    number, seen = part.shard, _Seen(part)
    yield from bundle.add(f"entries-{number}.jsonl", seen.lines(progress), is_big=part.is_big)
    yield from bundle.add(f"leaf-hashes-{number}.bin", _leaf_hashes(part), is_packed=False, is_big=part.is_big)
    yield from bundle.add(f"checkpoint-{number}.txt", [str(part.note).encode()])
    yield from bundle.add(f"proofs-{number}.jsonl", _inclusions(part, seen), is_big=part.is_big)
    if part.neighbours:
        yield from bundle.add(f"neighbours-{number}.jsonl", _neighbours(part, seen))
    yield from bundle.add(f"consistency-{number}.jsonl", _consistency(part, vkeys, previous_size))
    if beside := part.beside():
        yield from bundle.add(f"log-entries-{number}.jsonl", (bytes(entry.canonical) + b"\n" for entry in beside))
        yield from bundle.add(f"log-proofs-{number}.jsonl", _inclusions_of(beside, part, seen))
    seen.report()


@dataclass
class _Seen:
    """Compares the entries with the signed tree while they are written to the bundle."""

    part: BundledShard
    frontier: Frontier = field(init=False)
    flaw: int | None = None

    def __post_init__(self) -> None:
        tiles, part = Tiles(self.part.tenant_id, self.part.shard), self.part
        self.frontier = tiles.frontier(part.start) if part.is_contiguous and part.count else Frontier()

    def lines(self, progress: Callable[[int], None]) -> Iterator[bytes]:
        if self.part.is_contiguous:
            batches = self.part.bodies()
        else:
            found = self.part.batches()
            batches = ([(one.seq, bytes(one.canonical), bytes(one.leaf_hash)) for one in each] for each in found)
        for batch in batches:
            leaves = leaves_of([body for _seq, body, _leaf in batch])
            if leaves != [leaf for _seq, _body, leaf in batch]:
                bad = (seq for leaf, (seq, _body, stored) in zip(leaves, batch, strict=True) if leaf != stored)
                self.found(next(bad) - self.part.first_seq)
            if self.part.is_contiguous:
                self.frontier.extend(leaves)
            yield b"".join(body + b"\n" for _seq, body, _leaf in batch)
            progress(len(batch))

    def found(self, index: int) -> None:
        self.flaw = index if self.flaw is None else min(self.flaw, index)

    def report(self) -> None:
        """Log an error if an entry differs from what was signed.

        The verifier and the signer find the difference too.
        """
        part = self.part
        if self.flaw is None and part.is_contiguous and part.count:
            signed = Tiles(part.tenant_id, part.shard).frontier(part.end)
            self.flaw = None if signed.hashes == self.frontier.hashes else part.start
        if self.flaw is not None:
            logger.error("evidence_differs", tenant_id=str(part.tenant_id), shard=part.shard, index=self.flaw)


def _leaf_hashes(part: BundledShard) -> Iterator[bytes]:
    """Yield the leaf hashes of the entries, from the signed tree.

    The hash that is stored in an entry's row would prove no more than the entry itself.
    """
    if part.is_contiguous:
        for number in range(part.start // WIDTH, -(-part.end // WIDTH) if part.count else 0):
            hashes = Tiles(part.tenant_id, part.shard).leaves(number)
            first, end = max(part.start, number * WIDTH), min(part.end, (number + 1) * WIDTH)
            yield hashes[(first - number * WIDTH) * 32 : (end - number * WIDTH) * 32]
        return
    for batch in part.batches():
        tiles = Tiles(part.tenant_id, part.shard)
        yield b"".join(tiles.subtree(0, entry.seq - part.first_seq) for entry in batch)


def _inclusions(part: BundledShard, seen: _Seen) -> Iterator[bytes]:
    """Yield the inclusion proofs of the entries.

    If the entries have no gaps, the proofs of the first and the last entry are enough. Otherwise each entry has a
    proof.
    """
    if part.is_contiguous:
        tiles = Tiles(part.tenant_id, part.shard)
        for index in sorted({part.start, part.end - 1}) if part.count else ():
            path = tiles.inclusion(index, part.size)
            _check(seen, index, tiles.subtree(0, index), path)
            yield _proof(index, path)
        return
    for batch in part.batches():
        yield from _inclusions_of(batch, part, seen)


def _inclusions_of(entries: Sequence[AuditEntry], part: BundledShard, seen: _Seen) -> Iterator[bytes]:
    tiles = Tiles(part.tenant_id, part.shard)
    for entry in entries:
        index = entry.seq - part.first_seq
        path = tiles.inclusion(index, part.size)
        _check(seen, index, tree.leaf(bytes(entry.canonical)), path)
        yield _proof(index, path)


def _neighbours(part: BundledShard, seen: _Seen) -> Iterator[bytes]:
    """Yield the entry just before a period and the entry just after it, each with its proof."""
    seqs = [part.first_seq + index for index in part.neighbours]
    rows = AuditEntry.objects.filter(tenant_id=part.tenant_id, seq__in=seqs)
    bodies = {seq - part.first_seq: bytes(body) for seq, body in rows.values_list("seq", "canonical")}
    tiles = Tiles(part.tenant_id, part.shard)
    for index in part.neighbours:
        if index not in bodies:
            seen.found(index)
            continue
        path = tiles.inclusion(index, part.size)
        _check(seen, index, tree.leaf(bodies[index]), path)
        entry = bodies[index].decode(errors="replace")
        yield _line({"index": index, "entry": entry, "hashes": [_b64(each) for each in path]})


def _check(seen: _Seen, index: int, leaf: bytes, path: list[bytes]) -> None:
    """Check an inclusion proof. If it leads to another root, note the index as a difference.

    The bundle still contains this proof, because it must show that the log was changed.
    """
    try:
        tree.check_inclusion(index, seen.part.size, leaf, path, bytes(seen.part.checkpoint.root))
    except BadProof:
        seen.found(index)


def _proof(index: int, path: list[bytes]) -> bytes:
    return _line({"index": index, "hashes": [_b64(each) for each in path]})


def _consistency(part: BundledShard, vkeys: _Vkeys, previous_size: int | None) -> Iterator[bytes]:
    for batch in older(part.checkpoint, previous_size=previous_size):
        tiles = Tiles(part.tenant_id, part.shard)
        for old, note, witnesses in batch:
            vkeys.saw(witnesses)
            path = tiles.consistency(old.size, part.size)
            yield _line({"checkpoint": str(note), "hashes": [_b64(each) for each in path]})


# --- Keys ------------------------------------------------------------------------------------------------


class _Vkeys:
    """The keys that made the signatures in the bundle.

    Readers must compare the log's keys with a copy from elsewhere.
    """

    def __init__(self, tenant_id: UUID, parts: Sequence[BundledShard]) -> None:
        self._origins = [part.origin for part in parts]
        self._publics = [bytes(public) for public in LogKey.objects.values_list("pk", flat=True)]
        registered = Witness.objects.filter(tenant_id=tenant_id).order_by("added_at").values_list("vkey", flat=True)
        # The signatures of a removed witness remain, so the key of every signature is added.
        self._witnesses = dict.fromkeys([*registered, *(vkey for part in parts for vkey in part.witnesses)])

    def saw(self, witnesses: Iterable[str]) -> None:
        self._witnesses |= dict.fromkeys(witnesses)

    def described(self) -> dict[str, list[str]]:
        return {
            "log": [str(keys.log_key(origin, public)) for origin in self._origins for public in self._publics],
            "clock": [str(log_name.clock_key(public)) for public in self._publics],
            "witnesses": list(self._witnesses),
        }


# --- Texts -----------------------------------------------------------------------------------------------

_README = """\
Evidence from a Customer Lockbox
================================

What this is: {what} of {tenant}, with what was signed of it. Made {made_at}.
{count} entries.{practice}

{logs}

For people:   timeline.html and timeline.pdf, if they are in here. Alone, they prove nothing.
For proof:    entries-<n>.jsonl has the entries as they were hashed, one on each line; checkpoint-<n>.txt has what was
              signed, with the signatures; proofs-<n>.jsonl and consistency-<n>.jsonl connect the two;
              neighbours-<n>.jsonl shows that a period is complete; leaf-hashes-<n>.bin names a changed entry;
              manifest.json has the SHA-256 of every file.

How to verify, on your own machine and without a network. lockbox_verify.py is one file that you can read; it needs
Python 3.11 and the package "cryptography":

    python3 lockbox_verify.py verify evidence.zip --key '<verifier key of the log>'

keys.json lists keys, so that you can tell their signatures apart. A person who forges a bundle can put any key into it.
Compare the key with the one that you got when the log was set up, or that your witness has. Name it with --key.
The same is true for witnesses: a cosignature counts only if you name the key of your witness with --witness.
A checkpoint that you saved earlier shows that the log was not rewritten since then:

    python3 lockbox_verify.py verify evidence.zip --key '<verifier key of the log>' --previous checkpoint.txt

Exit status: 0 everything is valid; 1 something is false, and the program prints which entry; 2 it can't decide,
and it prints what is missing.

Formats: RFC 6962 (tree), RFC 8785 (entries), c2sp.org/signed-note, /tlog-checkpoint, /tlog-cosignature.
"""


def _readme(evidence: Evidence) -> bytes:
    described = evidence.described()
    text = _README.format(
        what=_KINDS[evidence.wanted.kind],
        tenant=_one_line(evidence.wanted.tenant_name),
        made_at=described["made_at"],
        count=evidence.count,
        practice="\n\nPRACTICE: the content is made up. Nobody's real content is opened."
        if evidence.wanted.is_practice
        else "",
        logs="\n".join([*map(_about_part, evidence.parts), *map(_about_unsigned, evidence.unsigned)]),
    )
    return text.encode()


def _about_part(part: BundledShard) -> str:
    about = [f"Log {part.shard} ({part.origin}): {part.count} entries, under a checkpoint of {part.size} entries."]
    if part.pruned:
        about.append(f"  Entries 0 to {part.pruned - 1} were removed after their time; their hashes are in the proofs.")
    if part.closed_by is not None:
        about.append(f"  It was closed as damaged by entry number {part.closed_by}, and another log continues it.")
    return "\n".join(about)


def _about_unsigned(log: UnsignedShard) -> str:
    about = f"Log {log.shard} ({log.origin}): closed by entry number {log.closed_by}, before anything of it was signed."
    return f"{about} Nothing of that log is here."


def _one_line(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)


def _json(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()


def _line(value: Any) -> bytes:
    return (json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
