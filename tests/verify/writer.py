"""Writes logs, bundles and receipts with hashlib only: an implementation of the format that shares no code with ours.

The tree follows the recursive definition of RFC 6962 word for word. This would be too slow for the product.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import random
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

HOST = "lockbox.example"
TENANT = "26c69d7c-b92f-41f5-aab7-cd7021653827"
T0 = 1_750_000_000


def b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


# --- Tree ------------------------------------------------------------------------------------------------


class Tree:
    """The functions MTH, PATH and PROOF over leaf hashes (RFC 6962, sections 2.1, 2.1.1 and 2.1.2)."""

    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.leaves = list(leaves)
        self._known: dict[tuple[int, int], bytes] = {}

    def root(self, size: int | None = None) -> bytes:
        return self.mth(0, len(self.leaves) if size is None else size)

    def mth(self, a: int, b: int) -> bytes:
        if (a, b) not in self._known:
            if a == b:
                found = hashlib.sha256(b"").digest()
            elif b - a == 1:
                found = self.leaves[a]
            else:
                k = split(b - a)
                found = hashlib.sha256(b"\x01" + self.mth(a, a + k) + self.mth(a + k, b)).digest()
            self._known[a, b] = found
        return self._known[a, b]

    def inclusion(self, m: int, size: int | None = None) -> list[bytes]:
        return self._path(m, 0, len(self.leaves) if size is None else size)

    def _path(self, m: int, a: int, b: int) -> list[bytes]:
        if b - a == 1:
            return []
        k = split(b - a)
        if m - a < k:
            return [*self._path(m, a, a + k), self.mth(a + k, b)]
        return [*self._path(m, a + k, b), self.mth(a, a + k)]

    def consistency(self, m: int, size: int | None = None) -> list[bytes]:
        return self._subproof(m, 0, len(self.leaves) if size is None else size, True) if m else []

    def _subproof(self, m: int, a: int, b: int, is_complete: bool) -> list[bytes]:
        if m == b - a:
            return [] if is_complete else [self.mth(a, b)]
        k = split(b - a)
        if m <= k:
            return [*self._subproof(m, a, a + k, is_complete), self.mth(a + k, b)]
        return [*self._subproof(m - k, a + k, b, False), self.mth(a, a + k)]


def split(n: int) -> int:
    """Return the largest power of two that is smaller than n."""
    return 1 << (n - 1).bit_length() - 1


def leaf(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


# --- Keys and notes --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Signer:
    seed: bytes

    @classmethod
    def of(cls, word: str) -> Signer:
        return cls(hashlib.sha256(word.encode()).digest())

    @cached_property
    def private(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self.seed)

    @cached_property
    def public(self) -> bytes:
        return self.private.public_key().public_bytes_raw()

    def key_id(self, name: str, kind: int) -> bytes:
        return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + self.public).digest()[:4]

    def vkey(self, name: str, kind: int = 1) -> str:
        return f"{name}+{self.key_id(name, kind).hex()}+{b64(bytes([kind]) + self.public)}"

    def sign(self, name: str, text: str) -> str:
        return f"— {name} {b64(self.key_id(name, 1) + self.private.sign(text.encode()))}\n"

    def cosign(self, name: str, text: str, at: int) -> str:
        signature = self.private.sign(f"cosignature/v1\ntime {at}\n{text}".encode())
        return f"— {name} {b64(self.key_id(name, 4) + at.to_bytes(8, 'big') + signature)}\n"


def body(origin: str, size: int, root: bytes) -> str:
    return f"{origin}\n{size}\n{b64(root)}\n"


# --- Entries ---------------------------------------------------------------------------------------------


def compact(value: Any) -> bytes:
    """Return a line of a file with proofs."""
    return (json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n").encode()


def canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()


def instant(micros: int) -> str:
    """Return a time in the form that entries have: so many microseconds after T0."""
    at = dt.datetime.fromtimestamp(T0, dt.UTC) + dt.timedelta(microseconds=micros)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def uuid(rng: random.Random) -> str:
    raw = rng.randbytes(16).hex()
    return "-".join((raw[:8], raw[8:12], raw[12:16], raw[16:20], raw[20:]))


PEOPLE: list[dict[str, Any]] = [
    {"email": "ada.keller@contoso.example", "id": "ac5e0394-b384-4fff-a66a-c60e73d5b6a7", "kind": "person",
     "name": "Ada Keller", "side": "customer"},
    {"email": "pat.doyle@provider.example", "id": "f10459aa-1e02-48ec-84b4-b12bfa50de9c", "kind": "person",
     "name": "Pat Doyle", "side": "provider"},
    {"email": "priya.nair@provider.example", "id": "1607f0b1-3252-4da4-96c4-d64c1b87f3c2", "kind": "person",
     "name": "Priya Näir 日本", "side": "provider"},
    {"email": "", "id": None, "kind": "system", "name": "sweep", "side": "system"},
]  # fmt: skip
CUSTOMER, PROVIDER, ENGINEER, SYSTEM = PEOPLE


def entry(
    seq: int, micros: int, event: str = "ticket.opened", *, actor: dict[str, Any] = SYSTEM, request: str | None = None,
    subject: str = "x", detail: dict[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    return {
        "v": 1, "tenant": TENANT, "seq": seq, "at": instant(micros), "event": event, "door": "pages", "actor": actor,
        "subject": {"type": event.split(".")[0], "id": subject}, "access_request": request, "detail": detail or {},
    }  # fmt: skip


def story(rng: random.Random, count: int, first_seq: int = 0) -> list[dict[str, Any]]:
    """Return `count` entries of a tenant's log. They are about complete access requests, and keep all rules."""
    entries: list[dict[str, Any]] = []
    micros = 0

    def add(event: str, actor: dict[str, Any], **rest: Any) -> dict[str, Any]:
        nonlocal micros
        micros += rng.choice((1, 2, 999, 1_000_000))
        entries.append(entry(first_seq + len(entries), micros, event, actor=actor, **rest))
        return entries[-1]

    while len(entries) < count:
        request, grant, resource = uuid(rng), uuid(rng), uuid(rng)
        add("ticket.opened", CUSTOMER, detail={"title": "Suche findet nichts – “warum”?", "n": rng.randrange(10**6)})
        fields = {"level": "read", "resources": [{"id": resource, "kind": "mailbox", "name": "a@b"}],
                "window_for": 3600,
                "justification": "x" * rng.randrange(20, 120), "reference": "AR-1", "previous": None}  # fmt: skip
        add("access_request.submitted", ENGINEER, request=request, subject=request, detail=fields)
        digest = hashlib.sha256(canonical(fields)).hexdigest()
        add("access_request.approved_by_provider", PROVIDER, request=request, subject=request,
            detail={"digest": digest, "state": "PENDING_CUSTOMER", "reference": "AR-1"})  # fmt: skip
        if rng.random() < 0.2:
            add("access_request.denied_by_customer", CUSTOMER, request=request, subject=request,
                detail={"digest": digest, "state": "DENIED", "reference": "AR-1"})  # fmt: skip
            continue
        opened = add("access_request.approved_by_customer", CUSTOMER, request=request, subject=request,
                     detail={"digest": digest, "state": "OPEN", "reference": "AR-1", "grant": grant})  # fmt: skip
        opened["detail"] |= {"opens_at": opened["at"], "closes_at": instant(micros + 3_600_000_000)}
        for _ in range(rng.randrange(4)):
            event = rng.choice(("content.list_asked", "content.listed", "content.opened"))
            add(event, ENGINEER, request=request, subject=grant,
                detail={"resource": resource, "item": uuid(rng), "size": rng.randrange(10**6)})  # fmt: skip
        add("grant.released", ENGINEER, request=request, subject=request,
            detail={"grant": grant, "closed_at": instant(micros), "how": "released", "state": "CLOSED"})  # fmt: skip
    return entries[:count]


def pruning(seq: int, to: int, micros: int = 10**12) -> dict[str, Any]:
    """Return the entry about the removal of everything before the number `to`."""
    return entry(seq, micros, "log.pruned", subject=TENANT, detail={"from": 0, "to": to, "days": 30})


# --- Logs and bundles ------------------------------------------------------------------------------------


def origin_of(shard: int = 0, tenant: str = TENANT) -> str:
    return f"{HOST}/log/{tenant}" + (f"/{shard}" if shard else "")


LOG_KEY = Signer.of("log")


@dataclass
class Log:
    """One log (shard): its entries as bytes, and the keys that sign it."""

    lines: list[bytes]
    shard: int = 0
    first_seq: int = 0
    signers: tuple[Signer, ...] = (LOG_KEY,)
    witnesses: tuple[tuple[str, Signer], ...] = ()
    older: tuple[int, ...] = ()
    older_signers: tuple[Signer, ...] | None = None
    closed_by: int | None = None
    dated_at: int = T0 + 1_000_000

    @classmethod
    def of(cls, entries: Sequence[dict[str, Any]], **rest: Any) -> Log:
        return cls([canonical(each) for each in entries], **rest)

    @property
    def origin(self) -> str:
        return origin_of(self.shard)

    @cached_property
    def tree(self) -> Tree:
        return Tree([leaf(line) for line in self.lines])

    def note(self, size: int | None = None, signers: Sequence[Signer] | None = None) -> str:
        size = len(self.lines) if size is None else size
        text = body(self.origin, size, self.tree.root(size))
        by = self.signers if signers is None else signers
        lines = [key.sign(self.origin, text) for key in by]
        lines += [key.cosign(HOST, text, self.dated_at) for key in by]
        lines += [key.cosign(name, text, self.dated_at + 5) for name, key in self.witnesses]
        return f"{text}\n{''.join(lines)}"

    def vkey(self, signer: Signer | None = None) -> str:
        return (signer or self.signers[0]).vkey(self.origin)

    def receipt(self, index: int) -> str:
        path = "".join(f"{b64(each)}\n" for each in self.tree.inclusion(index))
        return f"c2sp.org/tlog-proof@v1\nextra {b64(self.lines[index])}\nindex {index}\n{path}\n{self.note()}"


@dataclass
class Written:
    """The files of a bundle before they are zipped. Writing them updates the manifest."""

    files: dict[str, bytes]
    manifest: dict[str, Any] = field(default_factory=dict)

    def listed(self) -> dict[str, Any]:
        files = {
            name: {"sha256": hashlib.sha256(raw).hexdigest(), "bytes": len(raw)} for name, raw in self.files.items()
        }
        return {**self.manifest, "files": files}

    def zip(self, path: Path, manifest: dict[str, Any] | None = None) -> Path:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as target:
            for name, raw in self.files.items():
                target.writestr(name, raw)
            target.writestr("manifest.json", json.dumps(manifest or self.listed()))
        return path

    def folder(self, path: Path, manifest: dict[str, Any] | None = None) -> Path:
        path.mkdir()
        for name, raw in self.files.items():
            (path / name).write_bytes(raw)
        (path / "manifest.json").write_text(json.dumps(manifest or self.listed()), "utf-8")
        return path


def _at(line: bytes) -> str:
    return str(json.loads(line)["at"])


def bundle(*logs: Log, kind: str = "log", span: tuple[int, int] | None = None, request: str | None = None,
           pruned: int = 0, since: str | None = None, until: str | None = None) -> Written:  # fmt: skip
    """Return the bundle of these logs. `span` has the indexes of a period.

    `request` is the id of an access request. It selects the entries that its bundle contains.
    Without `since` and `until`, the entries at the ends of the span determine the period.
    """
    files: dict[str, bytes] = {"README.txt": b"How to verify this.\n"}
    described = []
    keys: dict[str, list[str]] = {"log": [], "clock": [], "witnesses": []}
    for log in logs:
        size = len(log.lines)
        start, end = span or (pruned, size)
        indexes = list(range(start, end))
        proven = sorted({start, end - 1}) if start < end else []
        if request:
            records = [json.loads(line) for line in log.lines]
            of_log = ("log.key_rotated", "log.tombstoned", "passkey.enrolled", "passkey.removed")
            indexes = proven = [
                index
                for index, each in enumerate(records)
                if each["access_request"] == request or each["event"] in of_log
            ]
        number = log.shard
        if kind == "period":
            neighbours = [index for index in (start - 1, end) if pruned <= index < size]
            since = since or (_at(log.lines[start]) if pruned < start < size else None)
            since = since or (instant(10**15) if start == size > pruned else None)
            until = until or (_at(log.lines[end]) if end < size else None)
            files[f"neighbours-{number}.jsonl"] = b"".join(
                compact({"index": index, "entry": log.lines[index].decode(),
                         "hashes": [b64(each) for each in log.tree.inclusion(index)]})
                for index in neighbours
            )  # fmt: skip
        files[f"entries-{number}.jsonl"] = b"".join(log.lines[index] + b"\n" for index in indexes)
        files[f"leaf-hashes-{number}.bin"] = b"".join(log.tree.leaves[index] for index in indexes)
        files[f"checkpoint-{number}.txt"] = log.note().encode()
        files[f"proofs-{number}.jsonl"] = b"".join(
            compact({"index": index, "hashes": [b64(each) for each in log.tree.inclusion(index)]}) for index in proven
        )
        files[f"consistency-{number}.jsonl"] = b"".join(
            compact({"checkpoint": log.note(old, log.older_signers),
                     "hashes": [b64(each) for each in log.tree.consistency(old)]})
            for old in log.older
        )  # fmt: skip
        place = {} if request else {"start": start, "end": end}
        described.append({
            "shard": number, "origin": log.origin, "first_seq": log.first_seq, "size": size, **place,
            "entries": len(indexes), "pruned": pruned, "closed_by": log.closed_by,
        })  # fmt: skip
        signers = dict.fromkeys((*log.signers, *(log.older_signers or ())))
        keys["log"] += [log.vkey(each) for each in signers]
        keys["clock"] += [each.vkey(HOST, 4) for each in signers]
        keys["witnesses"] += [each.vkey(name, 4) for name, each in log.witnesses]
    files["keys.json"] = json.dumps({name: list(dict.fromkeys(each)) for name, each in keys.items()}).encode()
    files["timeline.html"] = b"<p>For people.</p>"
    made_at = instant((logs[-1].dated_at - T0 + 60) * 10**6)
    manifest = {
        "format": "lockbox-evidence-v1", "made_at": made_at, "tenant": {"id": TENANT, "name": "Contoso"},
        "kind": kind, "access_request": request, "since": since, "until": until, "logs": described,
    }  # fmt: skip
    return Written(files, manifest)
