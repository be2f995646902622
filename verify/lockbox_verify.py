#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Verify exports of a Customer Lockbox's log, and witness such logs: one file, for a reader who trusts nobody.

    lockbox_verify.py verify evidence.zip --key K... [--previous checkpoint.txt [--consistency proof.txt]]
                                          [--witness W]... [--require-witness] [--max-age HOURS]
    lockbox_verify.py witness-key --name NAME --key-file F
    lockbox_verify.py witness --name NAME --key-file F --state S --log K...
    lockbox_verify.py previous ORIGIN --state S

It needs Python 3.11 and the package `cryptography` (for signatures only), shares no code with the product, and
`verify` opens no network connection. It is written to be read from top to bottom:

    1  Limits and outcomes          6  Where the files come from     10  The verdict in words
    2  The Merkle tree              7  One log of a bundle           11  A witness: its state
    3  Signed notes and keys        8  Who signed, and whom to trust 12  A witness: its interface
    4  Entries                      9  A bundle, a receipt           13  The command line
    5  Signed decisions

Exit status of `verify`: 0 everything is valid; 1 something is false; 2 something that is needed is missing.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import concurrent.futures
import contextlib
import datetime as dt
import functools
import gc
import hashlib
import http.server
import io
import itertools
import json
import multiprocessing
import operator
import os
import re
import signal
import socket
import sqlite3
import stat
import struct
import sys
import threading
import time
import zipfile
import zlib
from collections import Counter, deque
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn, TypeVar

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_public_key

# === 1  Limits and outcomes ==============================================================================
# The author of the file may be an attacker, so everything that is read as a whole has a limit.

FORMAT = "lockbox-evidence-v1"
RECEIPT = "c2sp.org/tlog-proof@v1"
BLOCK = 256 << 10  # bytes of entries that are checked together
POOL_FROM = 8 << 20  # with fewer bytes of entries, starting other processes takes longer than it saves
MAX_LINE = 8 << 20  # one entry, or one line of proofs
MAX_SMALL = 4 << 20  # manifest, keys, a receipt
MAX_NOTE = 256 << 10
MAX_OLDER = 1000  # older checkpoints in a bundle
MAX_PATH = 63  # hashes in a proof: trees have fewer than 2^63 leaves
MAX_NUMBER = (1 << 63) - 1
MAX_KEYS = 1000  # of each kind in keys.json, and announced by one log
MAX_SIGNATURES = 100  # under one note
LONGEST_VKEY = 1000  # of a witness's key that is compared as text
MAX_SHARDS = 100
MAX_RATIO = 200  # a member of more than 64 MiB with a higher compression ratio is refused as a bomb
LISTED = 1000  # decisions, unproven and signed ones, that are listed one by one
MAX_MANIFEST = 256 << 10  # the text that a decision signs
MAX_ANSWER = 64 << 10  # the passkey's answer, or a public key
#: In seconds. A log without new entries gets a new date each hour. One more hour is for a signer that was restarted or
#: has many logs. A longer pause needs an explanation, for any cause.
STALE = 2 * 3600


class Bad(Exception):
    """A part of the input is false.

    `index` is the first bad entry. If only a range is known, it begins at `index` and ends at `until`.
    """

    def __init__(self, why: str, *, index: int | None = None, until: int | None = None) -> None:
        super().__init__(why)
        self.why, self.index, self.until = why, index, until


class CannotTell(Exception):
    """A part of the input that the verdict needs is missing."""


# === 2  The Merkle tree: RFC 6962 section 2.1, RFC 9162 section 2.1 ======================================

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def walk(index: int, size: int, leaf: bytes, path: Sequence[bytes]) -> tuple[bytes | None, list[bytes]]:
    """Compute a tree's root from a leaf and its path (RFC 9162, 2.1.3.2).

    Also return those hashes of the path that are to the left of the leaf, the lowest first. A path of the
    wrong length gives no root.
    """
    if not 0 <= index < size:
        return None, []
    fn, sn, root, lefts = index, size - 1, leaf, []
    for sibling in path:
        if sn == 0:
            return None, []
        if fn & 1 or fn == sn:
            root = node_hash(sibling, root)
            lefts.append(sibling)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            root = node_hash(root, sibling)
        fn, sn = fn >> 1, sn >> 1
    return (root, lefts) if sn == 0 else (None, [])


def is_included(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> bool:
    return walk(index, size, leaf, path)[0] == root


def is_consistent(old: int, new: int, old_root: bytes, new_root: bytes, path: Sequence[bytes]) -> bool:
    """Return whether the tree of `new` leaves begins with the tree of `old` leaves (RFC 9162, 2.1.4.2)."""
    if not 0 <= old <= new:
        return False
    if old in (0, new):
        return not path and (old_root == new_root if old == new else old_root == EMPTY_ROOT)
    hashes = [old_root, *path] if old & (old - 1) == 0 else list(path)
    if not path:
        return False
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = hashes[0]
    for sibling in hashes[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node_hash(sibling, fr), node_hash(sibling, sr)
            while fn and not fn & 1:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node_hash(sr, sibling)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and fr == old_root and sr == new_root


class Frontier:
    """The roots of the perfect subtrees that together cover the first `size` leaves, the largest first.

    There is one for each bit that is set in `size`. They are enough to append leaves and to compute the root.
    """

    def __init__(self, size: int = 0, lefts: Iterable[bytes] = ()) -> None:
        """Start with a tree of `size` leaves. `lefts` are the left siblings of the next leaf, as `walk` returns them.

        These siblings are exactly the roots of the perfect subtrees.
        """
        self.size = size
        levels = [level for level in range(size.bit_length()) if size >> level & 1]
        self.stack = list(zip(levels, lefts, strict=True))[::-1]

    def push(self, level: int, subtree: bytes) -> None:
        """Append a perfect subtree of 2^level leaves. `size` must be a multiple of 2^level."""
        self.size += 1 << level
        while self.stack and self.stack[-1][0] == level:
            subtree = node_hash(self.stack.pop()[1], subtree)
            level += 1
        self.stack.append((level, subtree))

    @property
    def hashes(self) -> list[bytes]:
        return [subtree for _level, subtree in self.stack]

    def root(self) -> bytes:
        if not self.stack:
            return EMPTY_ROOT
        root = self.stack[-1][1]
        for _level, subtree in reversed(self.stack[:-1]):
            root = node_hash(subtree, root)
        return root


def subtrees(first: int, leaves: Sequence[bytes], cuts: Sequence[int]) -> list[tuple[int, bytes]]:
    """Cover these leaves with perfect subtrees that are as large as possible. Return (level, root) of each.

    The first leaf has the index `first`. No subtree extends across a cut.
    """
    found: list[tuple[int, bytes]] = []
    start = first
    for end in (*cuts, first + len(leaves)):
        index, level, row, after = start, 0, leaves[start - first : end - first], []
        while row:
            if index & 1:
                found.append((level, row[0]))
            index, row = index + 1 >> 1, row[index & 1 :]
            if len(row) & 1:
                after.append((level, row[-1]))
            row = [
                hashlib.sha256(b"\x01" + left + right).digest()
                for left, right in zip(row[::2], row[1::2], strict=False)
            ]
            level += 1
        found += reversed(after)
        start = end
    return found


# === 3  Signed notes and keys: c2sp.org/signed-note, /tlog-checkpoint, /tlog-cosignature =================

ED25519, COSIGNATURE = 0x01, 0x04
_SIGNATURE_LINE = re.compile(r"— ([^\s+]+) ([A-Za-z0-9+/]+={0,2})")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")
#: <host>/log/<tenant>, with /<shard> from the second shard on.
_ORIGIN = re.compile(r"((.+)/log/([0-9a-f-]{36}))(?:/([1-9][0-9]{0,8}))?")


def decoded(text: str) -> bytes:
    """Decode Base64 (RFC 4648, section 4). Raise ValueError for any text that an encoder would not write."""
    raw = base64.b64decode(text, validate=True)
    if encoded(raw) != text:
        raise binascii.Error("not canonical")
    return raw


def encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def hash_of(text: str) -> bytes:
    raw = decoded(text)
    if len(raw) != 32:
        raise ValueError("a hash must have 32 bytes")
    return raw


def number_of(text: str) -> int:
    if not _NUMBER.fullmatch(text) or int(text) > MAX_NUMBER:
        raise ValueError("a number must be decimal and below 2^63")
    return int(text)


@functools.lru_cache(4096)
def _key_id(name: str, kind: int, public: bytes) -> bytes:
    return hashlib.sha256(name.encode() + b"\n" + bytes([kind]) + public).digest()[:4]


class Key(NamedTuple):
    """A public Ed25519 key with its name. As text, it is a vkey (signed-note): `name+key id+base64(type, key)`."""

    name: str
    kind: int
    public: bytes

    @property
    def id(self) -> bytes:
        return _key_id(self.name, self.kind, self.public)

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{encoded(bytes([self.kind]) + self.public)}"

    @property
    def fingerprint(self) -> str:
        """The SHA-256 of the key's 32 bytes. It is the same under every name of the key."""
        return hashlib.sha256(self.public).hexdigest()


def key_of(vkey: str) -> Key:
    """Read a vkey. Raise ValueError if it is invalid."""
    name, _, rest = vkey.partition("+")
    key_id, _, material = rest.partition("+")
    raw = decoded(material)
    if not name or any(each.isspace() for each in name) or len(raw) != 33 or raw[0] not in (ED25519, COSIGNATURE):
        raise ValueError("not a verifier key of an Ed25519 key")
    key = Key(name, raw[0], raw[1:])
    if key_id != key.id.hex():
        raise ValueError("the key id does not belong to the key")
    return key


@dataclass
class Note:
    text: str
    signatures: list[tuple[str, bytes, bytes]]  # name, key id, signature
    by_id: dict[tuple[str, bytes], list[bytes]] = field(default_factory=dict)
    times: dict[Key, list[int]] = field(default_factory=dict, init=False)  # filled by signatures_by


class Checkpoint(NamedTuple):
    origin: str
    size: int
    root: bytes
    note: Note


def signature_line(name: str, key_id: bytes, signature: bytes) -> str:
    return f"— {name} {encoded(key_id + signature)}\n"


def note_of(raw: bytes) -> Note:
    """Read a signed note. Raise ValueError if it is invalid."""
    if len(raw) > MAX_NOTE:
        raise ValueError("it is too long")
    whole = raw.decode()
    text, gap, tail = whole.rpartition("\n\n")
    if not gap or not tail.endswith("\n") or _CONTROL.search(whole):
        raise ValueError("a note must have a text, an empty line and signatures, and no control characters")
    note = Note(text + "\n", [])
    for line in tail[:-1].split("\n"):
        matched = _SIGNATURE_LINE.fullmatch(line)
        material = decoded(matched[2]) if matched else b""
        if not matched or len(material) < 5:
            raise ValueError("a signature line must have a dash, a name and Base64")
        if len(note.signatures) == MAX_SIGNATURES:
            raise ValueError(f"more than {MAX_SIGNATURES} signatures")
        note.signatures.append((matched[1], material[:4], material[4:]))
        note.by_id.setdefault((matched[1], material[:4]), []).append(material[4:])
    return note


def checkpoint_of(raw: bytes) -> Checkpoint:
    """Read a checkpoint. Raise ValueError if it is invalid."""
    note = note_of(raw)
    lines = note.text[:-1].split("\n")
    if len(lines) < 3 or not all(lines):
        raise ValueError("a checkpoint must have an origin, a size and a root")
    return Checkpoint(lines[0], number_of(lines[1]), hash_of(lines[2]), note)


def cosigned(text: str, at: int) -> bytes:
    """Return the bytes that a witness signs when it cosigns `text` at the time `at` (tlog-cosignature, Ed25519)."""
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def signatures_by(note: Note, key: Key) -> list[int]:
    """Return the times at which `key` signed the note, the newest last. The list is empty if it did not sign.

    A plain signature has no time and gives 0. Raise Bad if a signature has this key's id but is false: such a note is
    refused as a whole (signed-note).
    """
    if key in note.times:
        return note.times[key]
    times = []
    for signature in note.by_id.get((key.name, key.id), ()):
        at, message = 0, note.text.encode()
        if key.kind == COSIGNATURE:
            at, signature = int.from_bytes(signature[:8]), signature[8:]
            message = cosigned(note.text, at)
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            raise Bad(f"the signature of {key.name} ({key.id.hex()}) under the checkpoint is false") from None
        if at > MAX_NUMBER:
            raise Bad(f"the cosignature of {key.name} has an invalid time")
        times.append(at)
    note.times[key] = sorted(times)
    return note.times[key]


# === 4  Entries: RFC 8785 (JCS) JSON, one per line =======================================================


def _exact_integer(text: str) -> int:
    # RFC 8785 writes numbers as IEEE 754 doubles do. Above this limit, two different numbers can have the same form.
    if len(text) > 15 and (len(text) > 17 or abs(int(text)) >= 1 << 53):
        raise ValueError("a number that is not exact")
    return int(text)


def _no_float(text: str) -> NoReturn:
    raise ValueError("an entry contains a number with a fraction, which is not allowed")


_parsed = json.JSONDecoder(parse_float=_no_float, parse_constant=_no_float, parse_int=_exact_integer).raw_decode
# This writes RFC 8785 for values without fractions and without characters beyond U+FFFF (four bytes in UTF-8).
_written = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
_BEYOND = re.compile(rb"[\xf0-\xf4]")
_INSTANT = re.compile(r"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-6]\d\.\d{6}Z", re.ASCII)

DECISIONS = frozenset(
    f"access_request.{verdict}_by_{side}" for verdict in ("approved", "denied") for side in ("provider", "customer")
)
_ENDED = frozenset({"access_request.withdrawn", "access_request.expired"})
_CLOSED = frozenset({"grant.released", "grant.revoked", "grant.closed"})
_ALLOWED = "content.access_allowed"
_OPENED, _DOWNLOADED = "content.opened", "content.downloaded"
#: The levels of access, each wider than the one before, and the level that each allowed action needs. An unknown action
#: needs what "read" needs, and an unknown level gives only names.
_LEVELS = ("names", "view", "read", "act_as")
_ACTIONS = {"list": "names", "view": "view", "read": "read", "download": "read", "act_as": "act_as"}
_ACCESSED = frozenset({"content.list_asked", "content.listed", _OPENED, _DOWNLOADED, _ALLOWED})
#: Entries about the keys with which people sign. Every bundle contains them, like all entries of the log about itself.
ENROLLED, REMOVED = "passkey.enrolled", "passkey.removed"
_OF_THE_LOG = frozenset({"log.key_rotated", "log.tombstoned", "log.pruned", ENROLLED, REMOVED})
_SUBMITTED = "access_request.submitted"
#: Entries about the tenant's name and its witnesses. They are read wherever they are in the bundle.
_NAMES = frozenset({"tenant.created", "tenant.changed"})
WITNESS_ADDED, WITNESS_REMOVED = "witness.added", "witness.removed"
_REPLAYED = _ENDED | _CLOSED | _ACCESSED | {_SUBMITTED}
#: The parts of an entry's detail that the chapters below need. All other parts are dropped, because they are long.
_TERMS = ("digest", "state", "grant", "opens_at", "closes_at", "reference", "window_for", "level")


def canonical(value: Any) -> str:
    """Return the canonical JSON (RFC 8785) of a value that has no fractions."""
    text: str = _written(value)
    return text if text.isascii() or max(text) < "\U00010000" else _ordered(value)


def _ordered(value: Any) -> str:
    """Return canonical JSON with the members sorted by the UTF-16 units of their names (section 3.2.3).

    Python would sort the names by code points.
    """
    if isinstance(value, dict):
        members = sorted(value.items(), key=lambda item: item[0].encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{_written(name)}:{_ordered(each)}" for name, each in members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_ordered, value)) + "]"
    return str(_written(value))


def entry_of(line: bytes) -> dict[str, Any]:
    """Parse a line of an entries file.

    Raise Bad if it is not an entry, and CannotTell for a later version of the format.
    """
    try:
        text = line.decode()
        entry, end = _parsed(text)
        is_plain = text.isascii() or not _BEYOND.search(line)
        is_canonical = end == len(text) and (_written(entry) if is_plain else _ordered(entry)) == text
    except (ValueError, RecursionError):
        raise Bad("this is not an entry: an entry must be JSON in UTF-8, and all its numbers must be whole") from None
    if not isinstance(entry, dict):
        raise Bad("this is not an entry: an entry must be a JSON object")
    if not is_canonical:
        raise Bad("the entry is not canonical JSON (RFC 8785): encoding it again gives different bytes")
    try:
        version, request = entry["v"], entry["access_request"]
        if type(version) is int and version != 1:
            raise CannotTell(f"an entry has version {version}, but this verifier knows only version 1")
        is_complete = (
            type(version) is type(entry["seq"]) is int
            and type(entry["event"]) is type(entry["tenant"]) is str
            and type(entry["actor"]) is type(entry["subject"]) is type(entry["detail"]) is dict
            and (request is None or type(request) is str)
            and _INSTANT.fullmatch(entry["at"])
        )
    except (KeyError, TypeError):
        is_complete = False
    if not is_complete:
        raise Bad("this is not an entry: a member is missing or has another type")
    return entry


class Fact(NamedTuple):
    """The parts of an entry that later chapters of this file use.

    One fact can stand for several equal accesses to content in one block, with no other fact between them. `again` has
    the index and the time of each further one.
    """

    leaf_index: int
    at: str
    event: str
    actor: str
    name: str
    access_request: str | None
    subject: str
    detail: dict[str, Any]
    again: Sequence[tuple[int, str]] = ()


def _fact(index: int, entry: dict[str, Any], share: Callable[[Any, Any], Any]) -> Fact:
    """Return the parts of an entry that later chapters need.

    `share` stores equal texts once, which halves the data between processes.
    """
    at, event, detail, request = entry["at"], entry["event"], entry["detail"], entry["access_request"]
    event, request, subject = share(event, event), share(request, request), _subject(entry)
    if event in _ACCESSED:
        resource, action, is_practice = found = _look(detail)
        look = {"resource": resource, "action": action} | ({"practice": True} if is_practice else {})
        return Fact(index, at, event, "", "", request, share(subject, subject), share(found, look))
    if event in (ENROLLED, REMOVED):
        detail = {**detail, "leaf": leaf_hash(canonical(entry).encode()).hex()}
    if event in _NAMES:
        changed = detail.get("set")
        named = detail.get("name") or (changed.get("name") if isinstance(changed, dict) else None)
        return Fact(index, at, event, "", "", request, subject, {"name": named} if isinstance(named, str) else {})
    if event in (WITNESS_ADDED, WITNESS_REMOVED):
        return Fact(index, at, event, "", "", request, subject, {"vkey": str(detail.get("vkey"))[:LONGEST_VKEY]})
    if event in _OF_THE_LOG:
        return Fact(index, at, event, "", "", request, subject, detail)
    actor = entry["actor"]
    data = {name: detail[name] for name in _TERMS if type(detail.get(name)) in (str, int)} | _practice(detail)
    if event == _SUBMITTED:
        resources = detail.get("resources")
        rows = [each.get("id") for each in resources if isinstance(each, dict)] if isinstance(resources, list) else []
        ids: list[str] = [each for each in rows if isinstance(each, str)]
        data |= {"resources": ids, "digest": hashlib.sha256(canonical(detail).encode()).hexdigest()}
        engineer, service, level = detail.get("engineer"), detail.get("service"), detail.get("level")
        of_service = [detail.get(name) for name in ("enforced_by", "service_words")]
        data["terms"] = _terms(engineer, service, level, of_service, ids)
        if _is_mislabelled(detail):
            data["mislabelled"] = True
    elif event in DECISIONS and "signature" in detail:
        data["signed"] = proof_of(entry)
    if isinstance(actor.get("for"), dict):
        # A client acted in the name of a human. The human is the actor.
        data["client"], actor = str(actor.get("name")), actor["for"]
    if event in DECISIONS and detail.get("deputy_for"):
        data["deputy_for"] = str(detail["deputy_for"])
    name, who = f"{actor.get('name')} <{actor.get('email')}>", str(actor.get("id") or "")
    return Fact(index, at, event, share(who, who), share(name, name), request, subject, data)


def _subject(entry: dict[str, Any]) -> str:
    return str(entry["subject"].get("id"))


def _look(detail: dict[str, Any]) -> tuple[str | None, str, bool]:
    """Return what the entry of an access says: the resource, the action if it is known, and whether it is practice."""
    resource, action = detail.get("resource"), detail.get("action")
    is_known = type(action) is str and action in _ACTIONS
    return (
        resource if type(resource) is str else None,
        action if is_known else "",  # type: ignore[return-value]  # a known action is text
        detail.get("practice") is True,
    )


def _practice(detail: dict[str, Any]) -> dict[str, Any]:
    """Return the mark of an entry about a practice request. Its content is made up, and not the customer's."""
    return {"practice": True} if detail.get("practice") is True else {}


def _is_mislabelled(asked: dict[str, Any]) -> bool:
    """Return whether real content is called practice, or the reverse. Every practice resource has the same locator."""
    resources = asked.get("resources")
    found = [each for each in resources if isinstance(each, dict)] if isinstance(resources, list) else []
    return any((each.get("locator") == ":practice") != bool(_practice(asked)) for each in found)


def _terms(engineer: Any, service: Any, level: Any, of_service: list[Any], resources: list[str]) -> bytes:
    """Return 16 bytes that identify who may do what.

    `of_service` is which application enforces that, and the service's words about the level, or None for each. If all
    are equal for the signed text and for the access request, both have the same terms.
    """
    terms = [engineer, service, level, of_service, sorted(resources)]
    return hashlib.sha256(canonical(terms).encode()).digest()[:16]


def how_decided(fact: Fact) -> dict[str, Any]:
    """Return the client that acted for the deciding human, and the people whose deputy this human was."""
    return {name: fact.detail.get(name) for name in ("client", "deputy_for")}


def by_whom(decided: dict[str, Any]) -> str:
    who = str(decided["who"])
    who += f", deputy for {quoted(decided['deputy_for'])}" if decided.get("deputy_for") else ""
    return f"the API client {quoted(decided['client'])} for {who}" if decided.get("client") else who


_TOO_DEEP = "lists and objects are nested too deeply"


class Expected(NamedTuple):
    """What every entry of a file must contain, and whether the entries are replayed (see Rules).

    `access_request` is set in a bundle about one access request. The entries of such a bundle have gaps between them.
    """

    tenant: str
    first_seq: int
    is_replayed: bool = False
    access_request: str | None = None
    since: str = ""
    until: str = "~"  # this is after all digits


class Checked(NamedTuple):
    """The result of checking one block of lines.

    `bad` describes the first line that is not good: its place in the block, the reason, and True if this
    program can't judge it.
    """

    good: int
    bad: tuple[int, str, bool] | None
    indexes: list[int]
    subtrees: list[tuple[int, bytes]]
    first_at: str
    last_at: str
    facts: list[Fact]


#: What can be a number, and numbers that are exact and are written in only one way.
_NUMBERS, _WHOLE = re.compile(r"([-0-9][-+.eE0-9]*)"), re.compile(r"(?:(?:0|-?[1-9][0-9]{0,14}) )*")
#: What RFC 8785 writes for characters in a text that can't be written as they are.
_ESCAPED = re.compile(r'\\(?:["\\bfnrt]|u00(?:0[0-7bef]|1[0-9a-f]))')
_CONTROLS = bytes({*range(32)} - {10})
_HIDDEN = "\x01"  # replaces an escaped character; no canonical line contains it
#: How many forms of lines are stored, and how long these lines can be. An attacker can give each line another form.
MAX_FORMS, LONGEST_LINE = 500, 16 << 10
#: The same for patterns, which take much longer to make. A form gets one if it has this share of the lines of a block.
MAX_PATTERNS, LONGEST_PATTERN, FREQUENT = 16, 4 << 10, 1 / 16


#: The members of an entry that are needed: version, number, tenant, time, event, access request, subject, resource,
#: action, and whether it is practice. The first two are as they are written.
Row = tuple[str, str, str, str, str, str | None, str, str | None, str | None, bool]


class Form(NamedTuple):
    """The places of the needed members among a line's numbers, and a function that returns those that are texts."""

    version: int
    seq: int
    #: The places of the texts. -1 is a text that is missing.
    places: tuple[int, ...]
    texts: Callable[[Sequence[str | None]], tuple[Any, ...]]
    is_practice: bool


class Pattern(NamedTuple):
    """Matches the lines of one form. `groups` are those of a row's members, in the order of a row.

    It also matches more: escaped characters, and texts with a line break, which `rows_of` finds.
    """

    line: re.Pattern[str]
    groups: tuple[int, ...]
    is_practice: bool


#: By a line's outline and the names of its members. None if such a line must be parsed.
_forms: dict[tuple[str, tuple[str, ...]], Form | None] = {}
#: The patterns of frequent forms, by the same.
_patterns: dict[tuple[str, tuple[str, ...]], Pattern] = {}


def rows_of(text: str) -> list[Row] | None:
    """Return the rows of whole lines without control characters, or None unless each line is a canonical entry.

    If a pattern matches a line without escaped characters, the line differs from a canonical one only in texts and
    whole numbers, so it is canonical too. The other lines are divided (`divided`). None is no verdict: `check_block`
    then judges line by line.
    """
    rows: list[Row | None] = []
    others: list[str] = []
    known, count = [*_patterns.values()], text.count("\n")
    at, escaped = 0, text.find("\\")
    while at < len(text):
        for place, (pattern, groups, is_practice) in enumerate(known):
            matched = pattern.match(text, at)
            if matched and not at <= escaped < matched.end():
                rows.append((*matched.group(*groups), is_practice))  # type: ignore[arg-type]  # nine groups
                at = matched.end()
                if place:
                    # The next line probably has the same form.
                    known.insert(0, known.pop(place))
                break
        else:
            end = text.index("\n", at) + 1
            others.append(text[at:end])
            rows.append(None)
            if len(others) > count * FREQUENT:
                return divided(text)
            at, escaped = end, text.find("\\", end)
    found = iter((divided("".join(others)) if others else ()) or ())
    whole = [next(found, None) if row is None else row for row in rows]
    # With fewer rows than lines, a pattern has matched more than one line.
    return whole if len(whole) == count and None not in whole else None  # type: ignore[return-value]  # has no None


def divided(text: str) -> list[Row] | None:
    """Return the rows of whole lines without control characters, or None unless each line is a canonical entry.

    To parse a line and to write it again takes long. But most lines differ from an earlier line only in texts and whole
    numbers. If that line was canonical, they are canonical too. The outline of a line is all of it except its texts and
    numbers. Two lines have the same form if their outlines and the names of their members are equal. So only the first
    line of each form is parsed. `are_expected` checks what can differ: version, number, tenant and time.
    """
    lines = text.split("\n")[:-1]
    shown = _ESCAPED.sub(_HIDDEN, text) if "\\" in text else text
    pieces = shown.split('"')
    parts = _NUMBERS.split('"'.join(pieces[::2]))
    outlines, texts, numbers = "0".join(parts[::2]).split("\n")[:-1], pieces[1::2], parts[1::2]
    if len(outlines) != len(lines) or "\\" in shown or not _WHOLE.fullmatch(" ".join([*numbers, ""])):
        return None
    rows: list[Row] = []
    text_at = number_at = 0
    for line, outline in zip(lines, outlines, strict=True):
        is_short = len(line) <= LONGEST_LINE
        width, depth, names = _outline(outline) if is_short else _outline.__wrapped__(outline)
        if not names:
            return None
        found: list[Any] = texts[text_at : text_at + width]
        form = _form(line, outline, names(found)) if is_short else None
        if form:
            version, seq, _places, members, is_practice = form
            found.append(None)  # the place -1: a text that is missing
            rows.append((numbers[number_at + version], numbers[number_at + seq], *members(found), is_practice))
        elif row := _parsed_row(line):
            rows.append(row)
        else:
            return None
        text_at, number_at = text_at + width, number_at + depth
    # What is hidden must not make two members equal.
    is_hidden = shown is not text and any(type(each) is str and _HIDDEN in each for row in rows for each in row)
    if is_hidden:
        return None
    if shown is text:
        _learn_patterns(lines, outlines)
    return rows


def _learn_patterns(lines: Sequence[str], outlines: Sequence[str]) -> None:
    """Make patterns of the frequent forms of these lines, which are canonical and have no escaped characters."""
    for outline, count in Counter(outlines).most_common(MAX_PATTERNS):
        if count < max(2, len(outlines) * FREQUENT) or len(_patterns) >= MAX_PATTERNS:
            return
        line = lines[outlines.index(outline)]
        names_of = _outline(outline)[2] if len(line) <= LONGEST_PATTERN else None
        if names_of is not None:
            key = outline, names_of(line.split('"')[1::2])
            form = _forms.get(key)
            if form is not None and key not in _patterns:
                _patterns[key] = _pattern_of(line, form)


#: A text, and a number that is exact and is written in only one way. The text takes half the time if only one character
#: is excluded.
_ANY_TEXT, _ANY_NUMBER = '[^"]*+', "(?:0|-?[1-9][0-9]{0,14}+)"


def _pattern_of(line: str, form: Form) -> Pattern:
    """Return the pattern of all lines that have the form of this line. It captures what a row needs."""
    parts: list[str] = []
    members: list[int] = []  # of a row, in the order of the groups
    number, of_numbers, pieces = 0, (form.version, form.seq), line.split('"')
    for place, piece in enumerate(pieces):
        if place % 2:
            is_name, text = pieces[place + 1].startswith(":"), place // 2
            member = len(of_numbers) + form.places.index(text) if text in form.places else -1
            parts.append(f'"{re.escape(piece) if is_name else _captured(_ANY_TEXT, member, members)}"')
            continue
        for at, part in enumerate(_NUMBERS.split(piece)):
            if at % 2:
                member = of_numbers.index(number) if number in of_numbers else -1
                parts.append(_captured(_ANY_NUMBER, member, members))
                number += 1
            else:
                parts.append(re.escape(part))
    # The last group never matches. It is a member that is missing.
    found = re.compile("".join(parts) + r"\n(?:(?!)())?")
    groups = tuple(members.index(member) + 1 if member in members else len(members) + 1 for member in range(9))
    return Pattern(found, groups, form.is_practice)


def _captured(pattern: str, member: int, members: list[int]) -> str:
    if member < 0:
        return pattern
    members.append(member)
    return f"({pattern})"


@functools.lru_cache(MAX_FORMS)
def _outline(outline: str) -> tuple[int, int, Callable[[Sequence[Any]], tuple[Any, ...]] | None]:
    """Return how many texts and numbers a line with this outline has, and a function that returns its members' names.

    Return None for a line with fewer than two names.
    """
    after = outline.split('"')[1:]
    places = [place for place, piece in enumerate(after) if piece.startswith(":")]
    return len(after), len(_NUMBERS.findall(outline)), operator.itemgetter(*places) if len(places) > 1 else None


def _form(line: str, outline: str, names: tuple[str, ...]) -> Form | None:
    """Return the form of a line, or None if the line must be parsed."""
    key = outline, names
    form = _forms.get(key)
    if form is None and key not in _forms and len(_forms) < MAX_FORMS and _parsed_row(line):
        form = _forms[key] = _learned(_parsed(line)[0], outline, names)
    return form


def _learned(entry: dict[str, Any], outline: str, names: tuple[str, ...]) -> Form | None:
    tokens = list(_tokens(entry, ()))
    texts = [path for value, path in tokens if isinstance(value, str)]
    numbers = [path for value, path in tokens if not isinstance(value, str)]
    width, depth, names_in = _outline(outline)
    found = [value for value, path in tokens if isinstance(value, str)]
    is_usual = (len(texts), len(numbers)) == (width, depth) and ("subject", "id") in texts
    if not is_usual or names_in is None or names_in(found) != names or texts.count(()) != len(names):
        return None
    if any(_HIDDEN in name for name in names):
        # Names with other escaped characters would look the same, and could be in another order.
        return None
    needed = [("tenant",), ("at",), ("event",), ("access_request",), ("subject", "id")]
    needed += [("detail", "resource"), ("detail", "action")]
    places = tuple(texts.index(path) if path in texts else -1 for path in needed)
    texts_of, is_practice = operator.itemgetter(*places), _look(entry["detail"])[2]
    return Form(numbers.index(("v",)), numbers.index(("seq",)), places, texts_of, is_practice)


def _tokens(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, tuple[str | int, ...]]]:
    """Yield the texts and whole numbers of a JSON value in their order, each with its path.

    The name of a member has an empty path.
    """
    if isinstance(value, dict):
        for name, each in value.items():
            yield name, ()
            yield from _tokens(each, (*path, name))
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from _tokens(each, (*path, place))
    elif type(value) in (str, int):
        yield value, path


def _parsed_row(line: str) -> Row | None:
    """Return the row of a line, or None unless it is a canonical entry."""
    try:
        entry = entry_of(line.encode())
    except (Bad, CannotTell, RecursionError):
        return None
    members = (entry[name] for name in ("tenant", "at", "event", "access_request"))
    return str(entry["v"]), str(entry["seq"]), *members, _subject(entry), *_look(entry["detail"])


def are_expected(rows: Sequence[Row], first: int, expected: Expected) -> bool:
    """Return whether canonical entries without gaps between them are those that the file must contain."""
    versions, seqs, tenants, times, *_others = zip(*rows, strict=True)
    start = expected.first_seq + first
    return (
        {*versions} == {"1"}
        and {*tenants} == {expected.tenant}
        and seqs == (*map(str, range(start, start + len(rows))),)
        and all(map(_INSTANT.fullmatch, {*times}))
        and all(map(operator.le, times, times[1:]))
        and expected.since <= times[0] <= times[-1] < expected.until
    )


def facts_of(rows: Sequence[Row], lines: Sequence[bytes], first: int, of_interest: Container[str]) -> list[Fact]:
    """Return the facts of good entries. Equal accesses become one fact, as long as no other fact is between them."""
    facts: list[Fact] = []
    share = dict[Any, Any]().setdefault
    since_other: dict[Any, list[tuple[int, str]]] = {}
    for place, row in enumerate(rows):
        event = row[4]
        if event in _ACCESSED:
            if event in of_interest:
                same = row[4:]
                if (again := since_other.get(same)) is None:
                    again = since_other[same] = []
                    facts.append(_fact(first + place, _parsed(lines[place].decode())[0], share)._replace(again=again))
                else:
                    again.append((first + place, row[3]))
        elif event in of_interest:
            facts.append(_fact(first + place, _parsed(lines[place].decode())[0], share))
            since_other = {}
    return facts


def check_block(block: bytes, hashes: bytes, first: int, cuts: tuple[int, ...], expected: Expected) -> Checked:
    """Check whole lines of an entries file against their leaf hashes, up to the first bad line.

    The first line must have the index `first`. The function uses nothing but its arguments, so that several
    processes can check blocks. If the block is empty but `hashes` is not, a line is missing at the end.
    """
    *lines, rest = block.split(b"\n")
    bad = None
    if rest or not block:
        bad = (len(lines), "the file ends in the middle of this entry" if block else "the entry is missing", False)
    leaves = [hashlib.sha256(b"\x00" + line).digest() for line in lines]
    if b"".join(leaves) != hashes:
        same = [leaf == hashes[32 * place : 32 * place + 32] for place, leaf in enumerate(leaves)]
        if False in same:
            bad = (same.index(False), "the entry's hash is not the hash that the bundle lists for it", False)
    of_interest = DECISIONS | _OF_THE_LOG | _NAMES | {_SUBMITTED, WITNESS_ADDED, WITNESS_REMOVED}
    of_interest |= _REPLAYED if expected.is_replayed else frozenset()
    if not bad and expected.access_request is None and len(block.translate(None, _CONTROLS)) == len(block):
        with contextlib.suppress(UnicodeDecodeError, RecursionError):
            text = block.decode()
            rows = rows_of(text)
            if rows and are_expected(rows, first, expected):
                facts = facts_of(rows, lines, first, of_interest)
                return Checked(len(rows), None, [], subtrees(first, leaves, cuts), rows[0][3], rows[-1][3], facts)
    indexes: list[int] = []
    facts = []
    share = dict[Any, Any]().setdefault
    first_at = last_at = ""
    for place, line in enumerate(lines[: bad[0]] if bad else lines):
        try:
            entry = entry_of(line)
            index, at = entry["seq"] - expected.first_seq, entry["at"]
            if entry["tenant"] != expected.tenant:
                raise Bad("the entry belongs to another tenant")
            if expected.access_request is None:
                if index != first + place:
                    raise Bad(
                        f"the entry has number {entry['seq']}, but must have {expected.first_seq + first + place}"
                    )
            elif index < 0 or (indexes and index <= indexes[-1]):
                raise Bad(f"the entry has number {entry['seq']}, which is out of order")
            elif entry["access_request"] != expected.access_request and entry["event"] not in _OF_THE_LOG:
                raise Bad("the entry belongs to another access request")
            if at < last_at:
                raise Bad("the entry is older than the entry before it")
            if not expected.since <= at < expected.until:
                raise Bad("the entry is outside the period that the bundle claims to cover")
            new_facts = [_fact(index, entry, share)] if entry["event"] in of_interest else []
        except (Bad, CannotTell) as found:
            bad = (place, str(found), isinstance(found, CannotTell))
            break
        except RecursionError:
            bad = (place, _TOO_DEEP, False)
            break
        indexes.append(index)
        first_at, last_at = first_at or at, at
        facts += new_facts
    good, leaves = len(indexes), leaves[: len(indexes)]
    if expected.access_request is not None:
        return Checked(good, bad, indexes, [(0, leaf) for leaf in leaves], first_at, last_at, facts)
    inside = tuple(cut for cut in cuts if cut <= first + good)
    return Checked(good, bad, [], subtrees(first, leaves, inside), first_at, last_at, facts)


@dataclass
class Asked:
    """An access request that has not ended. `by` are the people who submitted it or have decided on it."""

    detail: dict[str, Any]
    by: set[str]
    is_approved: bool = False
    is_open: bool = False


class Window(NamedTuple):
    access_request: str
    asked: Asked
    start: str
    end: str


class Rules:
    """Replays a whole log from its first entry: who asked, who approved, and what was accessed in the window.

    Only what can never happen in the product is reported. What depends on settings outside the log is ignored:
    deadlines, and whether a service is covered. Of each access request that has ended, only 16 bytes are stored, so
    little memory is needed.
    """

    def __init__(self) -> None:
        self.asked: dict[str, Asked] = {}
        self.windows: dict[str, Window] = {}  # by grant
        self.known: set[bytes] = set()  # all access requests and grants so far: none may occur twice
        self.looks = self.downloads = self.opened = self.by_provider_alone = 0
        self.changes = 0
        self.practice_windows = self.practice_looks = 0  # no other number includes these
        self.flaw: Bad | None = None  # the first entry that can't have happened; the replay ends there
        self.is_over = False

    def see(self, fact: Fact) -> None:
        """Replay the entries of a fact, up to the first flaw.

        A fact can stand for accesses to content that are between those of other facts. So a later fact can have the
        first flaw, until an entry of another kind comes.
        """
        self.is_over = self.is_over or (self.flaw is not None and fact.event not in _ACCESSED)
        if self.is_over:
            return
        try:
            self._replay(fact)
        except Bad as flaw:
            self.flaw = min(self.flaw or flaw, flaw, key=lambda each: each.index or 0)

    def _replay(self, fact: Fact) -> None:
        request = fact.access_request or ""
        if fact.event == _SUBMITTED:
            self._new(fact, "access request", request)
            if fact.detail.get("mislabelled"):
                raise Bad(
                    "an access request says “practice”, but names real content, or the reverse", index=fact.leaf_index
                )
            self.asked[request] = Asked(fact.detail, {fact.actor})
        elif fact.event in DECISIONS:
            self._decided(fact, request)
        elif fact.event in _ENDED:
            self._pending(fact, request, "ended")
            del self.asked[request]
        elif fact.event in _CLOSED:
            window = self.windows.pop(str(fact.detail.get("grant")), None)
            if window is None or window.access_request != request:
                raise Bad("a window is closed, but it was not open", index=fact.leaf_index)
            self._same_kind(fact, window.asked)
            del self.asked[request]
        elif fact.event in _ACCESSED:
            self._accessed(fact, request)

    def _new(self, fact: Fact, what: str, name: str) -> None:
        """Raise Bad if an access request or grant with this id existed before.

        A second access request with an earlier one's id could put other terms under an earlier approval.
        """
        known = hashlib.sha256(f"{what} {name}".encode()).digest()[:16]
        if not name or known in self.known:
            raise Bad(f"the {what} has no id, or an id that was used before", index=fact.leaf_index)
        self.known.add(known)

    def _pending(self, fact: Fact, request: str, what: str) -> Asked:
        asked = self.asked.get(request)
        if asked is None or asked.is_open:
            raise Bad(f"an access request {what}, but it was not pending", index=fact.leaf_index)
        self._same_kind(fact, asked)
        return asked

    @staticmethod
    def _same_kind(fact: Fact, asked: Asked) -> None:
        """Raise Bad unless the entry and its access request are both practice, or both real."""
        if _practice(fact.detail) != _practice(asked.detail):
            raise Bad(
                "an entry says “practice”, but its access request does not, or the reverse", index=fact.leaf_index
            )

    def _decided(self, fact: Fact, request: str) -> None:
        asked, detail = self._pending(fact, request, "was decided on"), fact.detail
        if fact.actor in asked.by:
            raise Bad(
                "one person counts twice: the person who made this decision also asked for access, or decided earlier",
                index=fact.leaf_index,
            )
        if detail.get("digest") != asked.detail["digest"]:
            raise Bad("the decision is about something different from the access request", index=fact.leaf_index)
        by_customer = fact.event.endswith("_by_customer")
        if by_customer != asked.is_approved:
            raise Bad("the two stages of a decision are in the wrong order", index=fact.leaf_index)
        asked.by.add(fact.actor)
        if ".denied_" in fact.event:
            del self.asked[request]
            return
        asked.is_approved = True
        if detail.get("state") == "OPEN":
            self._opens(fact, request, asked)
            self.by_provider_alone += not by_customer and not _practice(asked.detail)
        elif by_customer:
            raise Bad("the customer approved, but no window opened", index=fact.leaf_index)

    def _opens(self, fact: Fact, request: str, asked: Asked) -> None:
        start, end = str(fact.detail.get("opens_at")), str(fact.detail.get("closes_at"))
        try:
            # The times are compared with those of entries as text, so they must have exactly the same form.
            if not (_INSTANT.fullmatch(start) and _INSTANT.fullmatch(end)):
                raise ValueError("another form")
            length = (instant(end) - instant(start)).total_seconds()
        except ValueError:
            raise Bad("the entry about a window does not have the window's times", index=fact.leaf_index) from None
        longest = asked.detail.get("window_for")
        if start < fact.at or type(longest) is not int or length > longest:
            raise Bad(
                "the window opened before the last approval, or is longer than the access request allows",
                index=fact.leaf_index,
            )
        grant = str(fact.detail.get("grant") or "")
        self._new(fact, "grant", grant)
        asked.is_open, self.windows[grant] = True, Window(request, asked, start, end)
        is_practice = bool(_practice(asked.detail))
        self.practice_windows += is_practice
        self.opened += not is_practice

    def _accessed(self, fact: Fact, request: str) -> None:
        is_practice, count = bool(_practice(fact.detail)), 1 + len(fact.again)
        self.practice_looks += is_practice * count
        self.looks += (not is_practice) * count
        # An access that was allowed through another service counts as done.
        action = fact.detail.get("action") if fact.event == _ALLOWED else ""
        is_download = fact.event == _DOWNLOADED or action == "download"
        is_opened = is_download or fact.event == _OPENED or (fact.event == _ALLOWED and action != "list")
        self.downloads += (is_download and not is_practice) * count
        self.changes += (action == "act_as" and not is_practice) * count
        what = "changed" if action == "act_as" else "downloaded" if is_download else "opened" if is_opened else "listed"
        window = self.windows.get(fact.subject)
        if window is None or window.access_request != request or not window.start <= fact.at < window.end:
            raise Bad(f"content was {what} outside a window", index=fact.leaf_index)
        self._same_kind(fact, window.asked)
        asked = window.asked.detail
        if fact.detail.get("resource") not in asked["resources"]:
            raise Bad(f"content was {what} in a resource that was not asked for", index=fact.leaf_index)
        # A page shows an opened item, and gives no file. Older entries of this kind can also be files, but in their
        # time no window was for viewing only.
        shows = "view" if fact.event == _OPENED else "read"
        needed = _ACTIONS.get(str(action), shows) if is_opened else "names"
        granted = asked.get("level") if asked.get("level") in _LEVELS else "names"
        if _LEVELS.index(granted) < _LEVELS.index(needed):
            kind = {"names": "names only", "view": "viewing only"}.get(str(granted), "viewing and downloading only")
            raise Bad(f"content was {what} in a window for {kind}", index=fact.leaf_index)
        for index, at in fact.again:
            if not window.start <= at < window.end:
                raise Bad(f"content was {what} outside a window", index=index)


def instant(text: str) -> dt.datetime:
    """Read a time in the form of RFC 3339. Raise ValueError if it is invalid."""
    at = dt.datetime.fromisoformat(text)
    return at if at.tzinfo else at.replace(tzinfo=dt.UTC)


# === 5  Signed decisions: W3C Web Authentication, Level 3, section 7.2 ==================================
# The entry of a decision contains the signed text, the passkey's answer, and the number of the entry about the passkey.

MANIFEST = "lockbox-decision-v1"
PROVIDER_LOG = "00000000-0000-0000-0000-000000000000"
_USER_PRESENT, _USER_VERIFIED, _BACKUP_ELIGIBLE = 0x01, 0x04, 0x08
#: Seconds from a decision to the end of its signed text: five minutes, and five more for clocks that differ.
_SIGNED_FOR = 600
_TEXTS = ("manifest", "passkey", "credential", "public_key", "algorithm", "rp_id")


class Proof(NamedTuple):
    """A decision's signature, and whether it is valid. `why` is empty if it is valid under the key that comes with it.

    The key's owner is checked later, when the whole bundle was read. `is_unknown` marks a later version of the format,
    which this program can't judge.
    """

    why: str = ""
    is_unknown: bool = False
    passkey: str = ""
    credential: str = ""
    public_key: str = ""
    rp_id: str = ""
    origin: str = ""
    is_device_bound: bool = False
    decider: str = ""
    nonce: str = ""
    digest: str = ""
    terms: bytes = b""
    log: str = ""
    seq: int = -1
    leaf: str = ""


def proof_of(entry: dict[str, Any]) -> Proof:
    """Verify the signature in a decision's entry. Only this entry is used."""
    signature = entry["detail"]["signature"]
    if not isinstance(signature, dict) or not str(signature.get("manifest")).startswith("{"):
        return Proof(why="this verifier does not know this kind of signature", is_unknown=True)
    try:
        return _verified(entry, signature)
    except Bad as flaw:
        return Proof(why=flaw.why)
    except (KeyError, TypeError, ValueError, RecursionError):
        return Proof(why="a part of the signature is missing, or can't be read")


def _verified(entry: dict[str, Any], signature: dict[str, Any]) -> Proof:
    """Verify the signature.

    Raise Bad if it is false, or an error of Python if a part is missing or has the wrong type.
    """
    text, passkey, credential, public_key, algorithm, rp_id = (_worded(signature[name]) for name in _TEXTS)
    enrolled, assertion = signature["enrolled"], signature["assertion"]
    manifest, end = _parsed(text)
    if len(text) > MAX_MANIFEST or end != len(text) or canonical(manifest) != text:
        raise Bad("the signed text is not canonical JSON (RFC 8785)")
    if manifest["format"] != MANIFEST:
        return Proof(why="the signed text has a version that this verifier does not know", is_unknown=True)
    _check_manifest(manifest, entry)
    challenge = hashlib.sha256(f"{MANIFEST}\n{text}".encode()).digest()
    client, data = _base64url(assertion["clientDataJSON"]), _base64url(assertion["authenticatorData"])
    origin = _check_client(json.loads(client), challenge, rp_id)
    if len(data) < 37 or data[:32] != hashlib.sha256(rp_id.encode()).digest():
        raise Bad("the passkey signed for another site")
    if ~data[32] & (_USER_PRESENT | _USER_VERIFIED):
        raise Bad("the passkey did not verify its user")
    message = data + hashlib.sha256(client).digest()
    if not _is_signed(algorithm, _base64(public_key), _base64url(assertion["signature"]), message):
        raise Bad("the signature is not valid under the public key that comes with it")
    return Proof(
        passkey=passkey, credential=credential, public_key=public_key, rp_id=rp_id, origin=origin,
        is_device_bound=not data[32] & _BACKUP_ELIGIBLE, decider=_worded(manifest["decider"]["id"]),
        nonce=_worded(manifest["nonce"]), digest=challenge.hex(), terms=_terms_signed(manifest),
        log=_worded(enrolled["log"]),
        seq=int(enrolled["seq"]), leaf=_worded(enrolled["leaf"]),
    )  # fmt: skip


def _check_manifest(manifest: dict[str, Any], entry: dict[str, Any]) -> None:
    """Raise Bad unless exactly this decision was signed, and its window is no longer than the signed text allows."""
    verdict, _by, stage = entry["event"].removeprefix("access_request.").partition("_by_")
    actor = entry["actor"].get("for") or entry["actor"]
    if manifest["tenant"]["id"] != entry["tenant"]:
        raise Bad("the signed text is about another tenant")
    if manifest["access_request"]["id"] != entry["access_request"]:
        raise Bad("the signed text is about another access request")
    if manifest["access_request"]["digest"] != entry["detail"]["digest"]:
        raise Bad("the signed text does not ask for the same access as the access request")
    if _practice(manifest) != _practice(entry["detail"]):
        raise Bad("the signed text is about a practice request and the decision is not, or the reverse")
    if _is_mislabelled(manifest):
        raise Bad("the signed text says “practice” about real content, or the reverse")
    if (manifest["decision"], manifest["stage"]) != ({"approved": "approve", "denied": "deny"}[verdict], stage):
        raise Bad("the signed text has another answer or another stage than this decision")
    if manifest["decider"]["id"] != actor["id"]:
        raise Bad("the signed text is the answer of another person")
    if not _INSTANT.fullmatch(manifest["not_after"]) or entry["at"] >= manifest["not_after"]:
        raise Bad("the signed text was no longer valid at the time of the decision")
    if (instant(manifest["not_after"]) - instant(entry["at"])).total_seconds() > _SIGNED_FOR:
        raise Bad("the signed text is valid for longer than is allowed")
    if not manifest["nonce"]:
        raise Bad("the signed text has no nonce")
    if entry["detail"].get("state") == "OPEN":
        opens, closes = (instant(_worded(entry["detail"][name])) for name in ("opens_at", "closes_at"))
        # The signed text has whole minutes, and a window can have any number of seconds.
        if (closes - opens).total_seconds() >= (_whole(manifest["minutes"]) + 1) * 60:
            raise Bad("the window is longer than the signed text allows")


def _terms_signed(manifest: dict[str, Any]) -> bytes:
    engineer, service, level = manifest["engineer"]["id"], manifest["service"], manifest["level"]
    resources = [_worded(each["id"]) for each in manifest["resources"]]
    names = ("enforced_by", "service_words")
    of_service = [_worded(manifest[name]) if name in manifest else None for name in names]
    return _terms(_worded(engineer), _worded(service), _worded(level), of_service, resources)


def _check_client(client: dict[str, Any], challenge: bytes, rp_id: str) -> str:
    """Check a passkey's client data, and return the origin of the page that used the passkey.

    Raise Bad unless this challenge was signed on a page of the passkey's site.
    """
    if client["type"] != "webauthn.get":
        raise Bad("the passkey was used for another purpose")
    if _base64url(client["challenge"]) != challenge:
        raise Bad("the passkey did not sign the text that comes with its signature")
    origin = _worded(client["origin"])
    scheme, _sep, rest = origin.partition("://")
    host = rest.partition(":")[0].partition("/")[0]
    is_of_site = host == rp_id or host.endswith(f".{rp_id}")
    if not is_of_site or scheme != ("http" if host == "localhost" and scheme == "http" else "https"):
        raise Bad("the page that used the passkey belongs to another site")
    if client.get("crossOrigin") not in (None, False) or "topOrigin" in client:
        raise Bad("the page that used the passkey was inside a page of another site")
    return origin


def _is_signed(algorithm: str, spki: bytes, signature: bytes, message: bytes) -> bool:
    try:
        key = load_der_public_key(spki)
        if algorithm == "ES256" and isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1":
            key.verify(signature, message, ec.ECDSA(SHA256()))
        elif algorithm == "EdDSA" and isinstance(key, Ed25519PublicKey):
            key.verify(signature, message)
        elif algorithm == "RS256" and isinstance(key, rsa.RSAPublicKey) and 2048 <= key.key_size <= 8192:
            key.verify(signature, message, padding.PKCS1v15(), SHA256())
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def _worded(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a text is missing")
    return value


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("a number is missing")
    return value


def _base64(text: Any) -> bytes:
    if len(_worded(text)) > MAX_ANSWER:
        raise ValueError("it is too long")
    return decoded(text)


def _base64url(text: Any) -> bytes:
    """Decode base64url (RFC 4648, section 5) without padding."""
    plain = _worded(text).replace("+", "!").replace("/", "!").replace("-", "+").replace("_", "/")
    return _base64(plain + "=" * (-len(plain) % 4))


class Enrolment(NamedTuple):
    """A passkey as the log's entries describe it. `removed` is the number of the entry that ends its validity."""

    seq: int
    detail: dict[str, Any]
    removed: int | None = None


def why_not_enrolled(proof: Proof, seq: int, found: Enrolment | None) -> str:
    """Return "" if the log shows that the decider had this key at the time of the decision.

    Otherwise return the reason why it does not. `seq` is the number of the decision's entry.
    """
    if found is None or found.seq != proof.seq:
        return "the signature names an entry that did not add this passkey"
    detail = found.detail
    if detail.get("leaf") != proof.leaf:
        return "the signature names another hash for the entry that added the passkey"
    same = (proof.passkey, proof.credential, proof.public_key, proof.rp_id, proof.decider)
    if tuple(detail.get(name) for name in ("passkey", "credential", "public_key", "rp_id", "person")) != same:
        return "the signature names an entry that added another passkey, or added this passkey for another person"
    if found.seq >= seq:
        return "the passkey was added after it signed this decision"
    if found.removed is not None and found.removed < seq:
        return "the passkey was removed before it signed this decision"
    if bool(detail.get("backup_eligible")) is proof.is_device_bound:
        return "the passkey's backup status is not the same as when the passkey was added"
    return ""


# === 6  Where the files come from: a ZIP, or a folder ====================================================

#: The errors that `zipfile` raises for a ZIP that is damaged or unknown.
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, OverflowError, struct.error)
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


class Folder:
    def __init__(self, path: Path) -> None:
        self.sizes: dict[str, int] = {}
        self.path = path
        for each in sorted(path.iterdir()):
            if each.is_symlink() or not each.is_file():
                raise Bad(f"{shown(each.name)} in the folder is not a plain file")
            self.sizes[each.name] = each.stat().st_size

    def open(self, name: str) -> BinaryIO:
        return open(self.path / name, "rb")

    def close(self) -> None:
        """Close all files."""


class Zip:
    """A ZIP that is read without unpacking it to disk. The names, duplicates and sizes in its directory are checked."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.zip = zipfile.ZipFile(path)
        except _ZIP_ERRORS as error:
            raise CannotTell(f"{path} is not a ZIP file, a folder or a receipt, or it is incomplete") from error
        self.sizes: dict[str, int] = {}
        for member in self.zip.infolist():
            if not _SAFE_NAME.fullmatch(member.filename) or member.filename != member.orig_filename:
                raise Bad(f"the ZIP has a member with an unsafe name: {shown(member.orig_filename)}")
            if member.filename in self.sizes:
                raise Bad(f"the ZIP has two members with the name {member.filename}")
            if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise Bad(f"{member.filename} in the ZIP is encrypted, or packed in an unusual way")
            if member.file_size > max(64 << 20, MAX_RATIO * member.compress_size):
                raise Bad(f"{member.filename} in the ZIP is too large: unpacked, it has {member.file_size:,} bytes")
            self.sizes[member.filename] = member.file_size

    def open(self, name: str) -> Any:
        try:
            return self.zip.open(name)
        except _ZIP_ERRORS as error:
            raise Bad(f"{name} can't be unpacked: {error}") from error

    def close(self) -> None:
        self.zip.close()


class Member:
    """A file of the bundle. When all of it was read, its size and digest must be those in the manifest."""

    def __init__(self, name: str, stream: Any, listed: dict[str, Any]) -> None:
        self.name, self.stream, self.listed = name, stream, listed
        self.sha256, self.bytes = hashlib.sha256(), 0

    def read(self, size: int) -> bytes:
        try:
            data: bytes = self.stream.read(size)
        except _ZIP_ERRORS as error:
            raise Bad(f"{self.name} can't be unpacked: {error}") from error
        self.sha256.update(data)
        self.bytes += len(data)
        return data

    def finish(self) -> None:
        while self.read(BLOCK):
            pass
        self.stream.close()
        if self.bytes != self.listed["bytes"]:
            raise Bad(f"{self.name} has {self.bytes:,} bytes, but the manifest says {self.listed['bytes']:,}")
        if self.sha256.hexdigest() != self.listed["sha256"]:
            raise Bad(f"{self.name} is not the file that the manifest lists: its SHA-256 is different")


def parsed_json(raw: bytes, what: str) -> dict[str, Any]:
    """Parse a JSON object. Raise Bad for anything else, and for an object with two members of one name."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a member twice")
        return dict(pairs)

    try:
        found = json.loads(raw, object_pairs_hook=once)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Bad(f"{what} is not a JSON object")
    return found


class Bundle:
    """The files of a bundle, and its manifest. The manifest must list all files."""

    def __init__(self, source: Folder | Zip) -> None:
        self.source = source
        self.opened = contextlib.ExitStack()
        self.unread: set[str] = set()
        #: Files that another process reads (see `is_as_listed`).
        self.elsewhere: dict[str, concurrent.futures.Future[bool]] = {}
        self.files: dict[str, dict[str, Any]] = {}
        if "manifest.json" not in source.sizes:
            raise CannotTell("manifest.json is missing")
        with source.open("manifest.json") as stream:
            raw = Member("manifest.json", stream, {}).read(MAX_SMALL + 1)
        if len(raw) > MAX_SMALL:
            raise Bad("manifest.json is too long")
        self.manifest = parsed_json(raw, "manifest.json")
        if self.manifest.get("format") != FORMAT:
            raise CannotTell(
                f"the bundle's format is {shown(self.manifest.get('format'))}; this verifier knows {FORMAT}"
            )
        files = self.manifest.get("files")
        if not isinstance(files, dict) or not all(_is_listed(each) for each in files.values()):
            raise Bad("manifest.json does not list the bundle's files with their sizes and SHA-256 digests")
        self.files, self.unread = files, set(files)
        for name in sorted(source.sizes.keys() - files.keys() - {"manifest.json"}):
            raise Bad(f"{shown(name)} is in the bundle, but not in the manifest")
        for name in sorted(files.keys() - source.sizes.keys()):
            raise CannotTell(f"{shown(name)} is missing, but the manifest lists it")

    def open(self, name: str) -> Member:
        if name not in self.files:
            raise CannotTell(f"{name} is missing")
        self.unread.discard(name)
        return Member(name, self.opened.enter_context(self.source.open(name)), self.files[name])

    def read_elsewhere(self, pool: concurrent.futures.Executor) -> None:
        """Have other processes read the large files that prove nothing, such as the timeline."""
        for name, listed in self.files.items():
            if listed["bytes"] >= POOL_FROM and not _OF_PROOF.fullmatch(name) and name not in self.elsewhere:
                self.elsewhere[name] = pool.submit(is_as_listed, self.source.path, name, listed)

    def is_read_elsewhere(self, name: str) -> bool:
        """Return whether another process has found that a file is as the manifest lists it."""
        found = self.elsewhere.get(name)
        return found is not None and not found.cancelled() and found.exception() is None and found.result()

    def read(self, name: str, limit: int) -> bytes:
        member = self.open(name)
        raw = member.read(limit + 1)
        if len(raw) > limit:
            raise Bad(f"{name} is too long")
        member.finish()
        return raw

    def lines(self, name: str) -> Iterator[bytes]:
        member, rest = self.open(name), b""
        while data := member.read(BLOCK):
            *whole, rest = (rest + data).split(b"\n")
            yield from whole
            if len(rest) > MAX_LINE:
                raise Bad(f"{name} has a line that is too long")
        member.finish()
        if rest:
            raise Bad(f"{name} ends in the middle of a line")

    def blocks(self, shard: int) -> Iterator[tuple[bytes, bytes, int]]:
        """Yield blocks of whole lines of entries.

        Each block comes with the leaf hashes of its lines, and with the count of lines.
        """
        entries, hashes = self.open(f"entries-{shard}.jsonl"), self.open(f"leaf-hashes-{shard}.bin")
        rest = b""
        while data := entries.read(BLOCK):
            data = rest + data
            end = data.rfind(b"\n") + 1
            block, rest = data[:end], data[end:]
            if block:
                count = block.count(b"\n")
                yield block, hashes.read(32 * count), count
            if len(rest) > MAX_LINE:
                raise Bad(f"entries-{shard}.jsonl has a line that is too long")
        if rest or (left := hashes.read(32)):
            yield rest, b"" if rest else left, 0
        entries.finish()
        hashes.finish()


def is_as_listed(path: Path, name: str, listed: dict[str, Any]) -> bool:
    """Return whether a file of the bundle at this path is as the manifest lists it. False is no verdict."""
    try:
        with contextlib.closing(Folder(path) if path.is_dir() else Zip(path)) as source:
            Member(name, source.open(name), listed).finish()
    except (Bad, CannotTell, OSError):
        return False
    return True


def _is_listed(file: Any) -> bool:
    return (
        isinstance(file, dict)
        and type(file.get("bytes")) is int
        and isinstance(file.get("sha256"), str)
        and re.fullmatch(r"[0-9a-f]{64}", file["sha256"]) is not None
    )


# === 7  One log (shard) of a bundle ======================================================================


@dataclass
class Older:
    """An older checkpoint. A proof has shown that the tree of the newest checkpoint begins with its tree."""

    checkpoint: Checkpoint
    path: list[bytes]


@dataclass
class Shard:
    """One log (shard) as the manifest describes it, and the results of its checks."""

    number: int
    origin: str
    base: str
    clock: str
    first_seq: int
    size: int
    start: int
    end: int
    entries: int
    pruned: int
    closed_by: int | None
    checkpoint: Checkpoint
    older: list[Older] = field(default_factory=list)
    count: int = 0
    last_at: str = ""
    # the roots over the first n entries, computed from the bundle
    roots: dict[int, bytes] = field(default_factory=dict)
    rotations: list[Fact] = field(default_factory=list)
    prunings: list[Fact] = field(default_factory=list)
    ends: tuple[bytes, bytes] = (b"", b"")  # the leaf hashes of the first and of the last entry here
    is_closed: bool | None = None  # whether the next log's first entry says so; None if that entry is not here
    dated_at: int | None = None
    tombstone: Checkpoint | None = None  # the last signed checkpoint of this log, as that entry says
    # whether this log's first entry closes the log before it; None if that entry is not here
    is_opened: bool | None = None
    edges: set[int] = field(default_factory=set)  # entries just outside a period that were checked
    named: str = ""  # the tenant's name in the last entry here that contains it
    flaw: Bad | None = None
    gap: str = ""

    @property
    def is_whole(self) -> bool:
        return (self.start, self.end) == (0, self.size)

    @property
    def is_sound(self) -> bool:
        """Whether the entries were compared with the signed root, and are exactly those that it covers."""
        return self.flaw is None and not self.gap

    @property
    def before(self) -> str:
        """The origin of the log that this log continues."""
        return f"{self.base}/{self.number - 1}" if self.number > 1 else self.base


class Unsigned(NamedTuple):
    """A log that was closed before any of its entries was signed. The bundle has no checkpoint and no files of it."""

    number: int
    closed_by: int


#: A function that gets each entry that the chapters below need.
See = Callable[[Shard, Fact], None]


def shards_of(bundle: Bundle) -> tuple[list[Shard], list[Unsigned]]:
    manifest = bundle.manifest
    tenant, logs = manifest.get("tenant"), manifest.get("logs")
    if manifest.get("kind") not in ("log", "period", "access_request"):
        raise CannotTell(f"the bundle is of the kind {shown(manifest.get('kind'))}, which this verifier does not know")
    if not isinstance(tenant, dict) or not isinstance(tenant.get("id"), str) or not isinstance(logs, list):
        raise Bad("manifest.json does not say which tenant the logs belong to")
    if manifest["kind"] == "access_request" and not isinstance(manifest.get("access_request"), str):
        raise Bad("manifest.json does not say which access request the bundle is about")
    for name in ("since", "until", "made_at"):
        bound = manifest.get(name)
        try:
            manifest[name] = None if bound is None else f"{instant(bound).astimezone(dt.UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
        except (ValueError, TypeError, OverflowError):
            raise Bad(f"manifest.json: “{name}” is not a time") from None
    if len(logs) > MAX_SHARDS:
        raise Bad(f"manifest.json lists more than {MAX_SHARDS} logs")
    found = [_shard_of(bundle, log, tenant["id"]) for log in logs]
    shards = [each for each in found if isinstance(each, Shard)]
    if not shards:
        raise CannotTell("the bundle has no log")
    if any(after.number <= before.number for before, after in itertools.pairwise(found)):
        raise Bad("manifest.json: the logs are in the wrong order")
    return shards, [each for each in found if isinstance(each, Unsigned)]


def _shard_of(bundle: Bundle, log: Any, tenant: str) -> Shard | Unsigned:
    by_request = bundle.manifest["kind"] == "access_request"
    log = {**log, "start": 0, "end": 0} if isinstance(log, dict) and by_request else log
    names = ("shard", "first_seq", "size", "start", "end", "entries", "pruned")
    if not isinstance(log, dict) or not all(_is_number(log.get(name)) for name in names):
        raise Bad("manifest.json does not describe the logs of this bundle")
    number, origin, closed_by = log["shard"], log.get("origin"), log.get("closed_by")
    matched = _ORIGIN.fullmatch(origin) if isinstance(origin, str) else None
    if (
        not matched
        or matched[3] != tenant
        or int(matched[4] or 0) != number
        or not (closed_by is None or _is_number(closed_by))
        or (number == 0 and log["first_seq"] != 0)
    ):
        raise Bad("manifest.json does not describe the logs of this bundle")
    if not by_request and not (log["start"] + log["entries"] == log["end"] <= log["size"]):
        raise Bad(f"manifest.json: start, end, size and number of entries of log {number} do not match each other")
    if closed_by is not None and log["size"] == 0 and f"checkpoint-{number}.txt" not in bundle.files:
        return Unsigned(number, closed_by)
    try:
        checkpoint = checkpoint_of(bundle.read(f"checkpoint-{number}.txt", MAX_NOTE))
    except ValueError as error:
        raise Bad(f"checkpoint-{number}.txt is not a checkpoint: {error}") from None
    if (checkpoint.origin, checkpoint.size) != (origin, log["size"]):
        raise Bad(f"checkpoint-{number}.txt and manifest.json name different logs or different sizes")
    numbers = {name: log[name] for name in names[1:]}
    return Shard(number, matched[0], matched[1], matched[2], closed_by=closed_by, checkpoint=checkpoint, **numbers)


def _is_number(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MAX_NUMBER


def _hashes(value: Any, what: str) -> list[bytes]:
    try:
        if len(value) > MAX_PATH:
            raise ValueError("too many hashes")
        return [hash_of(each) for each in value]
    except (ValueError, TypeError):
        raise Bad(f"{what} has no valid list of hashes") from None


#: This writes the lines of the files with proofs.
_compact = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def records_in(bundle: Bundle, name: str, *members: str) -> Iterator[dict[str, Any]]:
    """Yield the lines of a file with proofs. Each has exactly these members, in this order, and nothing around them.

    So there is only one way to write a proof, and two copies of a bundle with the same proofs have the same bytes.
    """
    for line in bundle.lines(name):
        record = parsed_json(line, f"a line of {name}")
        if tuple(record) != members or _compact(record).encode(errors="replace") != line:
            raise Bad(f"a line of {name} is not in the form that this file has")
        yield record


def proofs_in(bundle: Bundle, name: str) -> Iterator[tuple[int, list[bytes]]]:
    for proof in records_in(bundle, name, "index", "hashes"):
        if not _is_number(proof.get("index")):
            raise Bad(f"a line of {name} has no index")
        yield proof["index"], _hashes(proof.get("hashes"), f"a line of {name}")


def read_older(bundle: Bundle, shard: Shard) -> None:
    """Read the older checkpoints.

    Raise Bad unless the newest checkpoint continues each of them (RFC 6962, section 2.1.2).
    """
    name = f"consistency-{shard.number}.jsonl"
    records = records_in(bundle, name, "checkpoint", "hashes") if name in bundle.files else ()
    for place, record in enumerate(records):
        if place >= MAX_OLDER:
            raise Bad(f"{name} has more than {MAX_OLDER} checkpoints")
        try:
            older = checkpoint_of(str(record.get("checkpoint")).encode())
        except ValueError as error:
            raise Bad(f"a line of {name} has no checkpoint: {error}") from None
        if older.origin != shard.origin:
            raise Bad(f"a line of {name} has a checkpoint of another log")
        shard.older.append(Older(older, _hashes(record.get("hashes"), f"a line of {name}")))


def check_older(shard: Shard) -> None:
    new = shard.checkpoint
    for each in shard.older:
        old = each.checkpoint
        if not is_consistent(old.size, new.size, old.root, new.root, each.path):
            raise Bad(f"the checkpoint of {new.size} entries does not continue the older checkpoint of {old.size}")


class Scan:
    """Runs `check_block` in this process or in several processes, and yields the results in order."""

    def __init__(self, jobs: int, progress: Callable[[int], None]) -> None:
        self.jobs, self.progress = jobs, progress

    def outcomes(self, bundle: Bundle, shard: Shard, expected: Expected, cuts: Sequence[int]) -> Iterator[Checked]:
        tasks = self._tasks(bundle.blocks(shard.number), shard, expected, deque(cuts))
        size = bundle.files.get(f"entries-{shard.number}.jsonl", {}).get("bytes", 0)
        pool = self._pool() if self.jobs > 1 and size >= POOL_FROM else None
        if pool is None:
            for task in tasks:
                yield check_block(*task)
            return
        with pool:
            bundle.read_elsewhere(pool)
            waiting: deque[concurrent.futures.Future[Checked]] = deque()
            flaw: Exception | None = None
            try:
                try:
                    for task in tasks:
                        waiting.append(pool.submit(check_block, *task))
                        if len(waiting) > 2 * self.jobs + 1:
                            yield waiting.popleft().result()
                except (Bad, CannotTell) as error:
                    flaw = error  # The entries before this error are judged first, because a bad entry has an index.
                while waiting:
                    yield waiting.popleft().result()
            except concurrent.futures.BrokenExecutor as error:
                raise CannotTell("a helper process ended unexpectedly: try again with --jobs 1") from error
            finally:
                for future in waiting:
                    future.cancel()
            if flaw:
                raise flaw

    def _pool(self) -> concurrent.futures.ProcessPoolExecutor | None:
        """Return processes that work, or None where there can be none: in a browser, or without shared memory."""
        try:
            context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
            pool = concurrent.futures.ProcessPoolExecutor(self.jobs, mp_context=context, initializer=gc.disable)
        except (ImportError, NotImplementedError, OSError):
            return None
        try:
            pool.submit(int).result()
        except (OSError, RuntimeError):
            pool.shutdown(wait=False)
            return None
        return pool

    @staticmethod
    def _tasks(blocks: Iterable[Any], shard: Shard, expected: Expected, cuts: deque[int]) -> Iterator[Any]:
        first = shard.start
        for block, hashes, count in blocks:
            end, inside = first + count, []
            while cuts and cuts[0] <= end:
                inside.append(cuts.popleft())
            shard.ends = (shard.ends[0] or hashes[:32], hashes[-32:])
            yield block, hashes, first, tuple(inside), expected
            first = end


def check_range(bundle: Bundle, shard: Shard, scan: Scan, expected: Expected, sizes: set[int], see: See) -> None:
    """Check all entries from start to end, and compute the roots of the tree at these `sizes`.

    The bundle has proofs of the first and the last entry. Both must lead to the signed root. The left siblings in the
    first proof cover all earlier entries. The left siblings in the last proof must be equal to the hashes that are
    computed from the entries.
    """
    proofs = _two_proofs(bundle, shard)
    lefts = walk(shard.start, shard.size, b"", proofs[0][1])[1] if shard.start and proofs else []
    if proofs and len(lefts) != shard.start.bit_count():
        raise Bad("the entry's proof does not have the right length", index=shard.start)
    frontier = Frontier(shard.start, lefts) if shard.entries else Frontier()
    last = shard.end - 1
    sizes = {size for size in sizes | {last, shard.end} if shard.start < size <= shard.end}
    shard.roots[frontier.size], edge = frontier.root(), frontier.hashes
    for checked in scan.outcomes(bundle, shard, expected, sorted(sizes)):
        for level, subtree in checked.subtrees:
            frontier.push(level, subtree)
            if frontier.size in sizes:
                shard.roots[frontier.size] = frontier.root()
                edge = frontier.hashes if frontier.size == last else edge
        first = shard.start + shard.count
        _take(shard, checked, first, see)
        if checked.bad:
            raise _flaw(shard, checked, first + checked.good)
        scan.progress(checked.good)
    if shard.count != shard.entries:
        index = shard.start + min(shard.count, shard.entries)
        raise Bad(f"there are {shard.count} entries, but the manifest says {shard.entries}", index=index)
    if shard.entries:
        _check_root(shard, frontier, edge, proofs)
    elif shard.size == 0 and shard.checkpoint.root != EMPTY_ROOT:
        raise Bad("the checkpoint says that the log is empty, but its root is not the root of an empty log")


def _two_proofs(bundle: Bundle, shard: Shard) -> list[tuple[int, list[bytes]]]:
    """Return the proofs of the first and the last entry.

    The list can be empty for a whole log, which needs no proofs.
    """
    name, proofs = f"proofs-{shard.number}.jsonl", []
    if name in bundle.files or (shard.entries and not shard.is_whole):
        for proof in proofs_in(bundle, name):
            proofs.append(proof)
            if len(proofs) > 2:
                break
    expected = {shard.start, shard.end - 1} if shard.entries else set()
    if (proofs or not shard.is_whole) and (len(proofs) > 2 or {index for index, _path in proofs} != expected):
        raise Bad(f"{name} does not have the proofs of the first and the last entry")
    return proofs


def _take(shard: Shard, checked: Checked, first: int, see: See) -> None:
    if checked.first_at and checked.first_at < shard.last_at:
        raise Bad("the entry is older than the entry before it", index=first)
    shard.count += checked.good
    shard.last_at = checked.last_at or shard.last_at
    for fact in checked.facts:
        see(shard, fact)


def _flaw(shard: Shard, checked: Checked, index: int) -> Exception:
    assert checked.bad is not None
    _place, why, is_unknown = checked.bad
    return CannotTell(f"log {shard.number}, index {index}: {why}") if is_unknown else Bad(why, index=index)


def _check_root(shard: Shard, frontier: Frontier, edge: list[bytes], proofs: list[tuple[int, list[bytes]]]) -> None:
    root, last = shard.checkpoint.root, shard.end - 1
    reached, lefts = walk(last, shard.size, shard.ends[1], proofs[-1][1]) if proofs else (None, [])
    signed = lefts[::-1] if reached == root else []
    is_good = frontier.root() == root if frontier.size == shard.size else reached == root and signed == edge
    if not is_good:
        raise _narrowed(shard, signed, edge)
    for index, leaf, place in ((shard.start, shard.ends[0], 0), (last, shard.ends[1], -1)):
        if proofs and not is_included(index, shard.size, leaf, proofs[place][1], root):
            raise Bad("the entry's proof does not match the signed root", index=index)


def _narrowed(shard: Shard, signed: list[bytes], found: list[bytes]) -> Bad:
    """Return an error that names the smallest range in which the first false entry must be.

    The range begins at the size of the largest older checkpoint that agrees, and ends at the size of the
    smallest that does not. `signed` and `found` are the subtrees before the last entry. The false entry is in
    the first subtree that differs, or else it is the last entry. This can make the range smaller.
    """
    low, high = shard.start, shard.end
    for each in sorted(shard.older, key=lambda each: each.checkpoint.size):
        size = each.checkpoint.size
        if shard.start < size <= shard.end:
            if shard.roots[size] != each.checkpoint.root:
                high = size
                break
            low = size
    if signed and len(signed) == len(found):
        place, last = 0, shard.end - 1
        for level, ours, theirs in zip((n for n in range(63, -1, -1) if last >> n & 1), found, signed, strict=True):
            if ours != theirs:
                break
            place += 1 << level
        else:
            level = 0
        low, high = max(low, place), min(high, place + (1 << level))
    return Bad("the entries do not match the signed root", index=low, until=None if high - low <= 1 else high - 1)


def check_edges(bundle: Bundle, shard: Shard, expected: Expected) -> None:
    """Check the entries just before and just after a period, each with its inclusion proof.

    Times never decrease within a log. So two entries outside the period prove that no entry of the period was left out.
    """
    name = f"neighbours-{shard.number}.jsonl"
    for record in records_in(bundle, name, "index", "entry", "hashes") if name in bundle.files else ():
        index, raw = record.get("index"), str(record.get("entry")).encode(errors="replace")
        if index not in (shard.start - 1, shard.end) or index in shard.edges:
            raise Bad(f"{name} has an entry that is neither just before nor just after the period")
        path = _hashes(record.get("hashes"), f"a line of {name}")
        if not is_included(index, shard.size, leaf_hash(raw), path, shard.checkpoint.root):
            raise Bad(f"{name}: the entry's proof does not match the signed root", index=index)
        entry = entry_of(raw)
        if (entry["tenant"], entry["seq"]) != (expected.tenant, shard.first_seq + index):
            raise Bad(f"{name}: the entry belongs to another log, or has another index", index=index)
        if not (entry["at"] < expected.since if index < shard.start else entry["at"] >= expected.until):
            raise Bad("the entry belongs to the period, but was left out", index=index)
        if index == 0 and shard.number > 0:
            shard.is_opened = _closes(entry, shard.before)
        shard.edges.add(index)


def check_each(bundle: Bundle, shard: Shard, scan: Scan, expected: Expected, see: See) -> None:
    """Check entries that have gaps between them. Each has an inclusion proof of its own (RFC 6962, section 2.1.1)."""
    proofs, before = proofs_in(bundle, f"proofs-{shard.number}.jsonl"), -1
    for checked in scan.outcomes(bundle, shard, expected, ()):
        for index, (_level, leaf) in zip(checked.indexes, checked.subtrees, strict=True):
            proven, path = next(proofs, (-1, []))
            if index <= before:
                raise Bad("the entry is out of order", index=index)
            if proven != index:
                raise Bad("there is no inclusion proof for the entry", index=index)
            if not is_included(index, shard.size, leaf, path, shard.checkpoint.root):
                raise Bad("the entry's inclusion proof does not match the signed root", index=index)
            before = index
        _take(shard, checked, checked.indexes[0] if checked.indexes else 0, see)
        if checked.bad:
            # The content of a bad line can't be trusted, so its place is that of the next proof.
            raise _flaw(shard, checked, next(proofs, (before + 1, []))[0])
        scan.progress(checked.good)
    if shard.count != shard.entries:
        raise Bad(f"there are {shard.count} entries, but the manifest says {shard.entries}")
    if next(proofs, None) is not None:
        raise Bad(f"proofs-{shard.number}.jsonl has a proof that belongs to no entry")


def check_beside(bundle: Bundle, shard: Shard, expected: Expected, see: See) -> None:
    """Check the log's entries about itself in their separate file. Each has an inclusion proof of its own."""
    name = f"log-entries-{shard.number}.jsonl"
    if name not in bundle.files:
        return
    proofs, share = proofs_in(bundle, f"log-proofs-{shard.number}.jsonl"), dict[Any, Any]().setdefault
    for line in bundle.lines(name):
        entry, (index, path) = entry_of(line), next(proofs, (-1, []))
        if entry["tenant"] != expected.tenant or entry["event"] not in _OF_THE_LOG:
            raise Bad(f"{name} has an entry that does not belong in it", index=entry["seq"] - shard.first_seq)
        if entry["seq"] - shard.first_seq != index or not is_included(
            index, shard.size, leaf_hash(line), path, shard.checkpoint.root
        ):
            raise Bad(
                "the entry's inclusion proof does not match the signed root", index=entry["seq"] - shard.first_seq
            )
        see(shard, _fact(index, entry, share))
    if next(proofs, None) is not None:
        raise Bad(f"log-proofs-{shard.number}.jsonl has a proof that belongs to no entry")


class Growth(NamedTuple):
    """A consistency proof from a separate file.

    It shows that the tree of `checkpoint` begins with a tree of `old` leaves.
    """

    old: int
    path: list[bytes]
    checkpoint: Checkpoint


def growth_of(raw: bytes) -> Growth:
    """Parse a consistency proof in the form of tlog-witness: `old` and a size, the hashes, an empty line, a checkpoint.

    Raise ValueError if it is invalid.
    """
    head, gap, tail = raw.partition(b"\n\n")
    first, *lines = head.decode("ascii").split("\n")
    if not gap or not first.startswith("old ") or len(lines) > MAX_PATH:
        raise ValueError("it must contain the old size, at most 63 hashes, an empty line and a checkpoint")
    return Growth(number_of(first.removeprefix("old ")), [hash_of(line) for line in lines], checkpoint_of(tail))


def check_previous(shard: Shard, saved: Checkpoint, what: str, growth: Growth | None = None) -> None:
    """Check that the log begins with the tree of another checkpoint. Raise Bad (a fork) or CannotTell (no proof).

    `growth` is a proof that leads from that checkpoint to a later one, which can be the newest.
    """
    new = shard.checkpoint
    known = {each.checkpoint.size: each.checkpoint.root for each in shard.older}
    root = {**known, **shard.roots, 0: EMPTY_ROOT, new.size: new.root}.get(saved.size)
    if saved.size > new.size:
        raise CannotTell(f"{what} has {saved.size} entries, but the bundle has only {new.size}: get a newer bundle")
    if root is None and growth and (growth.old, growth.checkpoint.origin) == (saved.size, saved.origin):
        between = growth.checkpoint
        if not is_consistent(saved.size, between.size, saved.root, between.root, growth.path):
            raise Bad(f"the consistency proof does not lead from {what} to the checkpoint of {between.size} entries")
        check_previous(shard, between, "the checkpoint at the end of the consistency proof")
        return
    if root is None:
        raise CannotTell(f"{what} has {saved.size} entries, but the bundle has no consistency proof for this size")
    if root != saved.root:
        raise Bad(f"the log was rewritten: it does not begin with the {saved.size} entries of {what}")


# === 8  Who signed, and whom to trust ====================================================================


class Trust:
    """The log's keys that are trusted, and why each is.

    One key signs all logs of an installation, under each log's own name. If you name a key for one log of a tenant, the
    key is trusted for the tenant's other logs (after a tombstone), but never for another tenant's logs.
    """

    def __init__(
        self, bases: set[str], named: list[Key] | None, offered: dict[str, list[Key]], saved: Checkpoint | None = None
    ) -> None:
        """Choose the first trusted keys. Raise Bad if a key is invalid.

        They are the keys that you named. If you named no key, it is the key that signed the checkpoint that you saved.
        Without a saved checkpoint, they are the bundle's own keys: these do not prove who made the signatures.
        """
        self.offered = {key.public for key in offered["log"]}
        self.why: dict[bytes, str] = {}
        self._ids: dict[tuple[str, int], dict[bytes, list[Key]]] = {}
        pinned = self.signers(saved, self.offered) if named is None and saved and _base(saved.origin) in bases else []
        self.is_named = named is not None or bool(pinned)
        found = named if named is not None else pinned or offered["log"]
        how = "you named this key" if named is not None else "this key signed the checkpoint that you saved"
        how = how if self.is_named else "this key comes from the bundle itself"
        self.why = {key.public: how for key in found if key.kind == ED25519 and _base(key.name) in bases}
        self._ids = {}

    def signers(self, checkpoint: Checkpoint, publics: Container[bytes]) -> list[Key]:
        """Return those of the keys in `publics` that signed the checkpoint.

        Raise Bad if a signature has the id of such a key but is false.
        """
        return self._signed(checkpoint, checkpoint.origin, ED25519, publics)

    def clocks(self, checkpoint: Checkpoint, clock: str) -> list[Key]:
        """Return the log's keys that dated the checkpoint, whether they are trusted or only in the bundle.

        Raise Bad if the signature of one of them is false.
        """
        return self._signed(checkpoint, clock, COSIGNATURE, self.offered | self.why.keys())

    def _signed(self, checkpoint: Checkpoint, name: str, kind: int, publics: Container[bytes]) -> list[Key]:
        known = self._known(name, kind)
        ids = [key_id for each, key_id in checkpoint.note.by_id if each == name]
        keys = [key for key_id in ids for key in known.get(key_id, ()) if key.public in publics]
        return [key for key in keys if signatures_by(checkpoint.note, key)]

    def _known(self, name: str, kind: int) -> dict[bytes, list[Key]]:
        """Return the log's keys under this name, by key id.

        The result is computed once for each name and kind. A file can have many keys and many signatures of unknown
        keys, so a new computation for each signature would take too long.
        """
        if (name, kind) not in self._ids:
            found = self._ids[name, kind] = {}
            for public in self.offered | self.why.keys():
                key = Key(name, kind, public)
                found.setdefault(key.id, []).append(key)
        return self._ids[name, kind]

    def vouch(self, shards: Iterable[Shard], saved: Checkpoint | None) -> None:
        """Trust the new key of a `log.key_rotated` entry, if a trusted key signed a checkpoint that covers the entry.

        Repeat this, because the new key may have signed a checkpoint that covers a later such entry.
        """
        rotated = [(shard, list(_announced(shard))) for shard in shards if shard.rotations]
        grown = -1
        while grown != len(self.why):
            grown = len(self.why)
            for shard, announced in rotated:
                trees = [shard.checkpoint, *(each.checkpoint for each in shard.older)]
                trees += [saved] if saved and saved.origin == shard.origin else []
                covered = max((tree.size for tree in trees if self.signers(tree, self.why)), default=0)
                for index, public in announced:
                    if index < covered and public not in self.why:
                        self.why[public] = (
                            f"entry {index} of log {shard.number}, signed by a trusted key, names this key"
                        )
                        self._ids.clear()

    def check(self, checkpoint: Checkpoint, what: str) -> list[Key]:
        signers = self.signers(checkpoint, self.why)
        others = self.signers(checkpoint, self.offered - self.why.keys())
        if signers:
            return signers
        if not self.is_named:
            raise CannotTell(f"{what} is not signed by any key in this bundle")
        raise CannotTell(
            f"{what} is signed by a key that you did not name"
            + "".join(f" ({key}, fingerprint {key.fingerprint})" for key in others)
        )

    def dated(self, checkpoint: Checkpoint, clock: str) -> int | None:
        """Return when a trusted key last dated the checkpoint, or None.

        The key dates a checkpoint by cosigning it under the installation's name.
        """
        keys = [key for key in self.clocks(checkpoint, clock) if key.public in self.why]
        return max((at for key in keys for at in signatures_by(checkpoint.note, key)), default=None)

    def check_older(self, shard: Shard, after: list[Shard]) -> int:
        """Return how many older checkpoints are signed only by keys that are not trusted.

        Raise Bad if one has no signature of the log: such a checkpoint proves nothing. A key that the log has
        replaced is good enough here, if an entry under a trusted signature names it. The entry is in this log or in
        a log in `after`.
        """
        here, unproven = [shard, *after], 0
        is_here = all(each.is_sound for each in here) and here[-1].number - shard.number == len(after)
        past = {public for each in here if self.signers(each.checkpoint, self.why) for public in _replaced(each)}
        for each in shard.older:
            what = f"the older checkpoint of {each.checkpoint.size} entries in consistency-{shard.number}.jsonl"
            signers = self.signers(each.checkpoint, self.offered | self.why.keys())
            if not signers:
                raise Bad(f"{what} has no signature by this log's keys")
            if not any(key.public in self.why or key.public in past for key in signers):
                if is_here and self.signers(shard.checkpoint, self.why):
                    raise Bad(f"{what} is signed by a key, but no signed entry says that the key belongs to this log")
                unproven += 1
            self.clocks(each.checkpoint, shard.clock)
        return unproven


class Witnesses:
    """The witnesses that cosigned: those whose keys you named, and separately those whose keys are only in the bundle.

    The latter prove little: anybody can invent a bundle with a key of their own under any name, and sign with it.
    """

    def __init__(self, named: list[Key] | None, offered: list[Key], logs: Container[bytes]) -> None:
        """Divide the keys into `pinned` (you named them) and `unpinned` (only the bundle has them).

        The log's own keys, `logs`, don't count, because a log can't be its own witness.
        """
        self.named = list(dict.fromkeys(named or ()))
        self.not_outside = [key for key in self.named if key.public in logs]
        self.pinned = [key for key in self.named if key.kind == COSIGNATURE and key not in self.not_outside]
        known = {*self.named}
        found = [key for key in offered if key.kind == COSIGNATURE and key not in known and key.public not in logs]
        self.unpinned = list(dict.fromkeys(found))

    @staticmethod
    def cosigned(checkpoint: Checkpoint, keys: list[Key]) -> dict[Key, int]:
        """Return, for each of these keys that cosigned, the last time.

        Raise Bad if one of their signatures is false.
        """
        present = checkpoint.note.by_id
        seen = {key: signatures_by(checkpoint.note, key) for key in keys if (key.name, key.id) in present}
        return {key: times[-1] for key, times in seen.items() if times}

    def check_older(self, shard: Shard) -> dict[Key, tuple[int, int]]:
        """Return, for each named witness, the size of the largest older tree that it cosigned, and when.

        Raise Bad if a signature is false.
        """
        largest: dict[Key, tuple[int, int]] = {}
        for each in shard.older:
            self.cosigned(each.checkpoint, self.unpinned)
            for key, at in self.cosigned(each.checkpoint, self.pinned).items():
                largest[key] = max(largest.get(key, (0, 0)), (each.checkpoint.size, at))
        return largest


def _announced(shard: Shard) -> Iterator[tuple[int, bytes]]:
    for fact in shard.rotations:
        with contextlib.suppress(ValueError):
            new = key_of(str(fact.detail.get("new")))
            if new.kind == ED25519 and _base(new.name) == shard.base:
                yield fact.leaf_index, new.public


def _replaced(shard: Shard) -> Iterator[bytes]:
    """Yield the keys that the log has replaced, according to its entries."""
    for fact in shard.rotations:
        old = fact.detail.get("old")
        for vkey in old if isinstance(old, list) else ():
            with contextlib.suppress(ValueError):
                key = key_of(str(vkey))
                if key.kind == ED25519 and _base(key.name) == shard.base:
                    yield key.public


def _base(name: str) -> str:
    matched = _ORIGIN.fullmatch(name)
    return matched[1] if matched else name


def keys_named(words: Sequence[str]) -> list[Key]:
    """Return the keys that these words of the command line name.

    Each word is a vkey, or a file with one vkey on each line (a line with `#` is a comment). Raise CannotTell
    for any other word.
    """
    keys = []
    for word in words:
        try:
            keys.append(key_of(word))
            continue
        except ValueError:
            pass
        try:
            lines = [line.strip() for line in Path(word).read_text("utf-8").splitlines()]
            found = [key_of(line) for line in lines if line and not line.startswith("#")]
        except (OSError, ValueError) as error:
            raise CannotTell(f"{shown(word)} is neither a verifier key nor a file of verifier keys") from error
        if not found:
            raise CannotTell(f"{shown(word)} contains no verifier key")
        keys += found
    return keys


def keys_offered(bundle: Bundle) -> dict[str, list[Key]]:
    raw = parsed_json(bundle.read("keys.json", MAX_SMALL), "keys.json")
    kinds = ("log", "clock", "witnesses")
    if any(isinstance(raw.get(name), list) and len(raw[name]) > MAX_KEYS for name in kinds):
        raise Bad(f"keys.json lists more than {MAX_KEYS} keys")
    try:
        return {name: [key_of(vkey) for vkey in raw.get(name, [])] for name in kinds}
    except (ValueError, TypeError, AttributeError):
        raise Bad("keys.json does not list verifier keys") from None


# === 9  A bundle, a receipt ==============================================================================


class Report:
    """Collects the results, for people and for programs."""

    def __init__(self, path: str) -> None:
        self.data: dict[str, Any] = {"path": path, "logs": [], "keys": [], "problems": [], "gaps": [], "notes": []}
        self.unproven: list[dict[str, Any]] = []
        self.proven: list[dict[str, Any]] = []
        self.vouched: list[dict[str, Any]] = []
        self.decisions: Counter[str] = Counter()
        self.signed = self.holds = self.vouches = 0
        self.proofs: list[tuple[Shard, Fact]] = []
        # By access request: the digest and the terms of the access request.
        self.asked: dict[str | None, tuple[str, bytes]] = {}
        self.enrolled: dict[str, Enrolment] = {}
        # The witnesses that the log's entries register: by key, the number of the entry.
        self.registered: dict[str, int] = {}

    def bad(self, flaw: Bad, shard: Shard | None = None) -> None:
        where: dict[str, Any] = {"log": shard.number if shard else None, "index": flaw.index, "until": flaw.until}
        where["seq"] = flaw.index + shard.first_seq if shard and flaw.index is not None else None
        self.data["problems"].append({**where, "why": flaw.why})

    def gap(self, what: object) -> None:
        self.data["gaps"].append(str(what))

    def note(self, what: str) -> None:
        self.data["notes"].append(what)

    def decided(self, shard: Shard, fact: Fact) -> None:
        """Record a decision. If it is signed, it is judged at the end, when all entries about passkeys were read."""
        if "signed" in fact.detail:
            self.signed += 1
            self.proofs.append((shard, fact))
        else:
            self.not_proven(shard, fact)

    def not_proven(self, shard: Shard, fact: Fact, why: str = "") -> None:
        """Record a decision that no signature proves: it is not signed, or nobody can check its signature."""
        self.decisions[fact.event] += 1
        if len(self.unproven) < LISTED:
            self.unproven.append({**self._named(shard, fact), **({"why": why} if why else {})})

    @staticmethod
    def _named(shard: Shard, fact: Fact) -> dict[str, Any]:
        who = {"event": fact.event, "who": fact.name, "at": fact.at, "reference": fact.detail.get("reference")}
        return {"log": shard.number, "index": fact.leaf_index, **who, **how_decided(fact), **_practice(fact.detail)}

    def tells_of_key(self, shard: Shard, fact: Fact) -> None:
        """Record that a passkey was added or removed.

        If one passkey was added several times, the first entry counts. The same is true for removals.
        """
        seq, before = shard.first_seq + fact.leaf_index, self.enrolled.get(fact.subject)
        if fact.event == ENROLLED:
            if before is None or before.seq < 0 or seq < before.seq:
                self.enrolled[fact.subject] = Enrolment(seq, fact.detail, before.removed if before else None)
        elif before is None:
            self.enrolled[fact.subject] = Enrolment(-1, {}, seq)
        elif before.removed is None or seq < before.removed:
            self.enrolled[fact.subject] = before._replace(removed=seq)

    def tells_of_witness(self, shard: Shard, fact: Fact) -> None:
        vkey = fact.detail["vkey"]
        if fact.event == WITNESS_REMOVED:
            self.registered.pop(vkey, None)
        elif len(self.registered) < MAX_KEYS:
            self.registered[vkey] = shard.first_seq + fact.leaf_index

    def judge_signed(self, tenant: str, *, is_receipt: bool = False) -> None:
        """Find out whose key made each valid signature. A key counts only if an earlier entry of the log added it."""
        nonces: set[str] = set()
        # By person at the provider: each of their keys, with the number of the entry that it signed first.
        seen: dict[str, dict[str, int]] = {}
        for shard, fact in sorted(self.proofs, key=lambda each: (each[0].number, each[1].leaf_index)):
            proof: Proof = fact.detail["signed"]
            if proof.is_unknown:
                self.not_proven(shard, fact, proof.why)
                continue
            why = proof.why or (
                "the signed text was already used for an earlier decision" if proof.nonce in nonces else ""
            )
            nonces.add(proof.nonce)
            asked = self.asked.get(fact.access_request)
            if not why and asked not in (None, (fact.detail.get("digest"), proof.terms)):
                why = "the signed text allows something different from the access request"
            whose = ""
            if not why and proof.log == PROVIDER_LOG and fact.event.endswith("_by_provider"):
                self._vouched(shard, fact, proof, seen.setdefault(proof.decider, {}))
                continue
            if not why and is_receipt and proof.log == tenant:
                whose = f"a receipt does not show whether entry {proof.seq} of the log added this person's passkey"
            elif not why and proof.log != tenant:
                why = "the signature says that another log records the passkey"
            elif not why and proof.passkey not in self.enrolled and self.data["problems"]:
                self.not_proven(shard, fact, "the check stopped before it found the entry that added the passkey")
                continue
            elif not why:
                why = why_not_enrolled(proof, shard.first_seq + fact.leaf_index, self.enrolled.get(proof.passkey))
            if why:
                self.bad(Bad(f"the decision's signature is false: {why}", index=fact.leaf_index), shard)
                self.not_proven(shard, fact, why)
            elif whose:
                self.not_proven(shard, fact, whose)
            else:
                self.holds += 1
                if len(self.proven) >= LISTED:
                    continue
                called = str(self.enrolled[proof.passkey].detail.get("passkey_name"))
                key = {"passkey": called, "site": proof.rp_id, "enrolled": proof.seq}
                key |= {"device_bound": proof.is_device_bound, "is_compared": asked is not None}
                self.proven.append({**self._named(shard, fact), **key, "digest": proof.digest})

    def _vouched(self, shard: Shard, fact: Fact, proof: Proof, keys: dict[str, int]) -> None:
        """Record an approval that somebody at the provider has signed. The signature is valid.

        Only the provider's own log proves who owns the key. This log only shows whether one key signed all decisions of
        one person.
        """
        seq = shard.first_seq + fact.leaf_index
        first = keys.setdefault(proof.public_key, seq)
        self.vouches += 1
        if len(self.vouched) >= LISTED:
            return
        key = {
            "key": hashlib.sha256(_base64(proof.public_key)).hexdigest(), "since": first,
            "others": sum(each < first for each in keys.values()), "device_bound": proof.is_device_bound,
        }  # fmt: skip
        self.vouched.append({**self._named(shard, fact), "seq": seq, **key, "digest": proof.digest})

    def close(self) -> dict[str, Any]:
        result = "bad" if self.data["problems"] else "unknown" if self.data["gaps"] else "good"
        self.data["decisions"] = {
            "holds": self.holds,
            "proven": self.proven,
            "vouches": self.vouches,
            "vouched": self.vouched,
            "unproven": self.decisions.total(),
            "by_event": dict(sorted(self.decisions.items())),
            "listed": sorted(self.unproven, key=lambda each: (each["log"], each["index"])),
            "signed": self.signed,
        }
        return {"result": result, "exit": {"good": 0, "bad": 1, "unknown": 2}[result], **self.data}


@dataclass
class Options:
    keys: list[Key] | None = None
    trust_bundle_key: bool = False  # if no key is named, use the bundle's own keys
    witnesses: list[Key] | None = None
    require_witness: bool = False  # a good verdict needs the cosignature of a witness that is named
    previous: Checkpoint | None = None
    consistency: Growth | None = None
    max_age: float | None = None  # in seconds, by the clock of this machine
    jobs: int = 1
    progress: Callable[[int, int], None] = lambda done, whole: None


def verify(path: Path, options: Options) -> dict[str, Any]:
    """Judge a bundle or a receipt, and return the report. Nothing in the file can make this raise an exception."""
    report = Report(str(path))
    try:
        if path.is_file() and _is_receipt(path):
            verify_receipt(path, options, report)
        else:
            with contextlib.closing(Folder(path) if path.is_dir() else Zip(path)) as source:
                bundle = Bundle(source)
                with bundle.opened:
                    verify_bundle(bundle, options, report)
    except Bad as flaw:
        report.bad(flaw)
    except CannotTell as gap:
        report.gap(gap)
    except OSError as error:
        report.gap(f"{error.filename or path} can't be read: {error.strerror or error}")
    except RecursionError:
        report.bad(Bad(_TOO_DEEP))
    except MemoryError:
        report.gap("there is not enough memory to check this file: try again with --jobs 1")
    return report.close()


def _text(value: Any) -> str | None:
    """Return a value of the manifest if it is text, to show it in the report. Return None for any other type."""
    return value if isinstance(value, str) else None


def verify_bundle(bundle: Bundle, options: Options, report: Report) -> None:
    manifest, (shards, unsigned) = bundle.manifest, shards_of(bundle)
    names = ("format", "kind", "made_at", "access_request", "since", "until")
    report.data.update({name: _text(manifest.get(name)) for name in names})
    report.data["tenant"] = {"id": _text(manifest["tenant"].get("id")), "name": None, "name_not_proven": None}
    offered, total = keys_offered(bundle), sum(shard.entries for shard in shards)
    trust = Trust({shard.base for shard in shards}, options.keys, offered, options.previous)
    for before, after in zip([None, *shards], shards, strict=False):
        read_tombstone(bundle, before, after)
    done = 0

    def progress(count: int) -> None:
        nonlocal done
        done += count
        options.progress(done, total)

    is_replayed = manifest["kind"] == "log" and len(shards) == 1 and shards[0].is_whole and shards[0].number == 0
    rules = Rules() if is_replayed else None

    def see(shard: Shard, fact: Fact) -> None:
        if _practice(fact.detail):
            report.data["practice"] = True
        if fact.event in DECISIONS:
            report.decided(shard, fact)
        elif fact.event == _SUBMITTED:
            report.asked.setdefault(fact.access_request, (fact.detail["digest"], fact.detail["terms"]))
        elif fact.event == "log.key_rotated" and len(shard.rotations) < MAX_KEYS:
            shard.rotations.append(fact)
        elif fact.event == "log.pruned":
            shard.prunings.append(fact)
        elif fact.event in (ENROLLED, REMOVED):
            report.tells_of_key(shard, fact)
        elif fact.event in (WITNESS_ADDED, WITNESS_REMOVED):
            report.tells_of_witness(shard, fact)
        elif fact.event in _NAMES:
            shard.named = fact.detail.get("name") or shard.named
        if rules:
            rules.see(fact)

    elsewhere = [options.previous, options.consistency and options.consistency.checkpoint]
    for shard in shards:
        check_shard(bundle, shard, Scan(options.jobs, progress), elsewhere, see, is_replayed)
    judge(shards, trust, Witnesses(options.witnesses, offered["witnesses"], trust.offered | trust.why.keys()), options,
          report)  # fmt: skip
    judge_extent(manifest, shards, unsigned, report)
    judge_name(manifest, shards, report)
    if not trust.is_named and not options.trust_bundle_key:
        report.gap(
            "you did not name the key of the log. A forged bundle can contain any key. Get the key from another "
            "source, and name it with --key (or use --trust-bundle-key to trust the bundle's own key)"
        )
    judge_beginning(shards, report)
    judge_age(shards[-1], options, report)
    if rules and rules.flaw and not shards[0].flaw:
        report.bad(rules.flaw, shards[0])
    report.judge_signed(str(report.data["tenant"]["id"]))
    if rules:
        counts = {"looks": rules.looks, "windows": rules.opened, "by_provider_alone": rules.by_provider_alone}
        counts["downloads"] = rules.downloads
        if rules.changes:
            counts["changes"] = rules.changes
        if rules.practice_windows:
            counts |= {"practice_windows": rules.practice_windows, "practice_looks": rules.practice_looks}
        report.data["rules"] = counts
    judge_files(bundle, shards, report)
    # After a flaw, some files were not read to their end. They could only add less important problems.
    for name in sorted(bundle.unread) if not report.data["problems"] else ():
        if not bundle.is_read_elsewhere(name):
            bundle.open(name).finish()


#: Names of files that contain signed data or proofs of it.
_OF_PROOF = re.compile(
    r"(?:entries|proofs|log-entries|log-proofs|neighbours|consistency)-.*\.jsonl|leaf-hashes-.*\.bin|checkpoint-.*\.txt"
)


def judge_files(bundle: Bundle, shards: list[Shard], report: Report) -> None:
    """Refuse files that look like parts of the proof but are not used. List all other extra files as unproven."""
    ours = {"keys.json"}
    for shard in shards:
        names = ["entries-%d.jsonl", "proofs-%d.jsonl", "consistency-%d.jsonl"]
        names += ["leaf-hashes-%d.bin", "checkpoint-%d.txt"]
        names += [] if bundle.manifest["kind"] == "access_request" else ["log-entries-%d.jsonl", "log-proofs-%d.jsonl"]
        names += ["neighbours-%d.jsonl"] if bundle.manifest["kind"] == "period" else []
        ours |= {name % shard.number for name in names}
    others = sorted(bundle.files.keys() - ours)
    report.data["files_not_proven"] = [name for name in others if not _OF_PROOF.fullmatch(name)]
    for name in others:
        if _OF_PROOF.fullmatch(name):
            report.bad(Bad(f"{shown(name)} does not belong to a log that manifest.json describes"))


def judge_name(manifest: dict[str, Any], shards: list[Shard], report: Report) -> None:
    """Find the tenant's name in the last entry that has it.

    The name counts only if all later entries are in the bundle. The manifest's name is not signed. If it were trusted,
    one tenant's log could be presented as another's.
    """
    name = _text(manifest["tenant"].get("name"))
    newest = next((place for place in range(len(shards) - 1, -1, -1) if shards[place].named), None)
    rest = shards[newest:] if newest is not None and manifest["kind"] != "access_request" else []
    is_to_the_end = all(each.is_sound and each.end == each.size for each in rest) and all(
        after.start == 0 and after.number == before.number + 1 for before, after in itertools.pairwise(rest)
    )
    if not rest or not is_to_the_end or shards[-1].closed_by is not None:
        report.data["tenant"]["name_not_proven"] = name
        return
    report.data["tenant"]["name"] = rest[0].named
    if name not in (None, rest[0].named):
        report.data["tenant"]["name_not_proven"] = name
        report.bad(Bad(f"manifest.json calls the tenant {quoted(name)}, but the log calls it {quoted(rest[0].named)}"))


def check_shard(
    bundle: Bundle, shard: Shard, scan: Scan, elsewhere: list[Checkpoint | None], see: See, is_replayed: bool
) -> None:
    manifest = bundle.manifest
    bounds = (manifest["since"] or "", manifest["until"] or "~") if manifest["kind"] == "period" else ("", "~")
    request = manifest["access_request"] if manifest["kind"] == "access_request" else None
    expected = Expected(manifest["tenant"]["id"], shard.first_seq, is_replayed, request, *bounds)
    try:
        read_older(bundle, shard)
        if request is not None:
            check_each(bundle, shard, scan, expected, see)
        else:
            saved = [each for each in (*elsewhere, shard.tombstone) if each and each.origin == shard.origin]
            sizes = {each.checkpoint.size for each in shard.older} | {each.size for each in saved}
            check_range(bundle, shard, scan, expected, sizes, see)
            check_beside(bundle, shard, expected, see)
        if manifest["kind"] == "period":
            check_edges(bundle, shard, expected)
        check_older(shard)
        if manifest["kind"] == "log" and (shard.start, shard.end) != (shard.pruned, shard.size):
            place = shard.pruned if shard.start > shard.pruned else shard.end
            raise Bad(
                "the bundle claims to be the whole log, but entries at the log's beginning or end are not in it",
                index=place,
            )
    except Bad as flaw:
        shard.flaw = flaw
    except CannotTell as gap:
        shard.gap = str(gap)


def read_tombstone(bundle: Bundle, closed: Shard | None, opened: Shard) -> None:
    """Read the tombstone: the first entry of the log that follows a damaged log.

    It names the damaged log, and contains that log's last signed checkpoint.
    """
    name = f"entries-{opened.number}.jsonl"
    if opened.start or opened.number == 0 or name not in bundle.files:
        return
    with contextlib.suppress(Bad, CannotTell, *_ZIP_ERRORS):
        with bundle.source.open(name) as stream:
            entry = entry_of(stream.readline(MAX_LINE).rstrip(b"\n"))
        if entry["seq"] != opened.first_seq:
            return
        opened.is_opened = _closes(entry, opened.before)
        if closed is None or closed.number != opened.number - 1:
            return
        closed.is_closed = opened.is_opened
        closed.tombstone = checkpoint_of(str(entry["detail"].get("checkpoint")).encode()) if closed.is_closed else None


def _closes(entry: dict[str, Any], origin: str) -> bool:
    return bool(entry["event"] == "log.tombstoned" and entry["detail"].get("closes") == origin)


def judge(shards: list[Shard], trust: Trust, witnesses: Witnesses, options: Options, report: Report) -> None:
    """Judge the whole bundle: who signed its logs, what is doubtful, and what is damaged."""
    whole = [shard for shard in shards if shard.is_sound]
    saved = options.previous
    try:
        trust.vouch(whole, saved if any(_continues(shard, options) for shard in whole) else None)
    except Bad as flaw:
        report.bad(flaw)
    for place, shard in enumerate(shards):
        after = next(iter(shards[place + 1 :]), None)
        log = _described(shard)
        report.data["logs"].append(log)
        try:
            if shard.gap:
                report.gap(shard.gap)
            if shard.flaw:
                _damaged(shard, after, trust, report)
            if shard.is_opened is False and shard.is_sound:
                report.bad(
                    Bad(f"log {shard.number - 1} ends here, but this entry is not its tombstone", index=0), shard
                )
            judge_witnesses(shard, witnesses, report, log, is_last=after is None)
            judge_signatures(shard, shards[place + 1 :], trust, report, log)
            judge_closing(shard, after, trust, report)
        except Bad as flaw:
            report.bad(flaw, shard)
        except CannotTell as gap:
            report.gap(gap)
    judge_registered(shards[-1], witnesses, options, report)
    if saved is not None:
        judge_previous(shards, saved, trust, options, report)
    # A reader who has a key only from the bundle must be able to compare it.
    for public, why in trust.why.items():
        vkeys = [str(Key(shard.origin, ED25519, public)) for shard in shards]
        report.data["keys"].append({"vkeys": vkeys, "fingerprint": hashlib.sha256(public).hexdigest(), "why": why})
    report.data["keys_from_bundle"] = not trust.is_named


def _continues(shard: Shard, options: Options) -> bool:
    saved = options.previous
    try:
        if saved is None or saved.origin != shard.origin:
            return False
        check_previous(shard, saved, "", options.consistency)
        return True
    except (Bad, CannotTell):
        return False


def _described(shard: Shard) -> dict[str, Any]:
    log = {name: getattr(shard, name) for name in ("origin", "first_seq", "size", "entries", "pruned", "closed_by")}
    root = encoded(shard.checkpoint.root)
    return {"log": shard.number, **log, "start": shard.start, "end": shard.end, "root": root, "older": len(shard.older)}


def _damaged(shard: Shard, after: Shard | None, trust: Trust, report: Report) -> None:
    """Report the damage in a log, and whether a tombstone excuses it.

    Only a tombstone that a trusted key signed counts, because anybody can invent a tombstone.
    """
    assert shard.flaw is not None
    if not (shard.is_closed and after and after.is_sound and trust.signers(after.checkpoint, trust.why)):
        report.bad(shard.flaw, shard)
        return
    where = "" if shard.flaw.index is None else f" from index {shard.flaw.index} on"
    why = f"the log's entries{where} prove nothing ({shard.flaw.why})"
    report.gap(f"entry {shard.closed_by} closed log {shard.number} as damaged: {why}")


def judge_witnesses(shard: Shard, witnesses: Witnesses, report: Report, log: dict[str, Any], *, is_last: bool) -> None:
    what = f"the checkpoint of log {shard.number}"
    log["witnesses"], log["unpinned"] = [], []
    for name, keys in (("witnesses", witnesses.pinned), ("unpinned", witnesses.unpinned)):
        seen = witnesses.cosigned(shard.checkpoint, keys)
        log[name] = [{"name": key.name, "vkey": str(key), "at": _time(at)} for key, at in seen.items()]
    older = witnesses.check_older(shard)
    cosigned = {each["vkey"] for each in log["witnesses"]}
    for key in witnesses.named if is_last else ():
        if key in witnesses.not_outside:
            report.gap(f"you named the witness {ascii_of(key.name)}, but its key is the key of the log itself")
        elif str(key) not in cosigned:
            size, at = older.get(key, (0, 0))
            before = f"; it cosigned an older checkpoint, of {size:,} entries, at {_time(at)}" if size else ""
            report.gap(f"the witness {ascii_of(key.name)}, which you named, did not cosign {what}{before}")


def judge_registered(shard: Shard, witnesses: Witnesses, options: Options, report: Report) -> None:
    """Report each missing cosignature of a witness that the options require or that the log's entries register."""
    if options.require_witness and not witnesses.named:
        report.gap("you asked for a witness's cosignature, but you named no witness: name its key with --witness")
    named, present = {str(key) for key in witnesses.named}, shard.checkpoint.note.by_id
    absent = [(seq, vkey) for vkey, seq in report.registered.items() if vkey not in named]
    for seq, vkey in sorted(absent)[:10]:
        name, _plus, rest = vkey.partition("+")
        says = f"entry {seq} says that the witness {ascii_of(name)} watches this log"
        try:
            is_here = (name, bytes.fromhex(rest.partition("+")[0])) in present
        except ValueError:
            is_here = False
        why = "you did not name the witness's key with --witness, so its cosignature was not checked"
        report.note(f"{says}; {why}" if is_here else f"{says}, but it did not cosign the newest checkpoint")
    if len(absent) > 10:
        report.note(f"entries say that {len(absent) - 10:,} more witnesses watch this log; you did not name their keys")


def judge_signatures(shard: Shard, after: list[Shard], trust: Trust, report: Report, log: dict[str, Any]) -> None:
    checkpoint, what = shard.checkpoint, f"the checkpoint of log {shard.number}"
    # False signatures of anybody come first. Missing parts come after.
    trust.clocks(checkpoint, shard.clock)
    log["older_unproven"] = trust.check_older(shard, after)
    log["signed_by"] = [str(key) for key in trust.check(checkpoint, what)]
    at = trust.dated(checkpoint, shard.clock)
    shard.dated_at, log["dated_at"] = at, None if at is None else _time(at)
    made_at = report.data.get("made_at")
    log["age_when_made"] = int(instant(made_at).timestamp()) - at if made_at and at is not None else None
    if at is None:
        report.gap(f"{what} has no time: the cosignature of {shard.clock} is missing")
    elif at > time.time() + 600:
        # Otherwise the checkpoint could be presented as the newest until that time.
        report.gap(f"by the clock of this machine, the date of {what} is in the future")


def judge_closing(shard: Shard, after: Shard | None, trust: Trust, report: Report) -> None:
    if after is None or after.number != shard.number + 1:
        if shard.closed_by is not None:
            closed = f"log {shard.number} was closed by entry {shard.closed_by}, which is not in this bundle"
            if after is None and not _is_over(shard, report):
                raise CannotTell(f"{closed}; the log that continues log {shard.number} is not in this bundle either")
            report.note(closed)
        return
    if shard.closed_by != after.first_seq:
        raise Bad(f"manifest.json does not say that the first entry of log {after.number} closed log {shard.number}")
    if not shard.is_closed or not after.is_sound:
        return
    report.note(f"entry {shard.closed_by} closed log {shard.number} as damaged; log {after.number} continues it")
    if shard.tombstone is None or not shard.is_sound:
        return
    trust.check(shard.tombstone, f"the checkpoint in the tombstone of log {shard.number}")
    lost = shard.tombstone.size - shard.size
    if lost > 0:
        raise CannotTell(
            f"{lost} entries of log {shard.number}, from index {shard.size} on, were signed but are lost: "
            f"{shard.origin} had {shard.tombstone.size} entries when it was closed"
        )
    with contextlib.suppress(CannotTell):
        check_previous(shard, shard.tombstone, "the checkpoint in the log's tombstone")


def judge_extent(manifest: dict[str, Any], shards: list[Shard], unsigned: list[Unsigned], report: Report) -> None:
    """Judge whether the bundle is complete: it must have every log of its extent, and both entries next to a period."""
    if manifest["kind"] == "access_request":
        report.note(
            "each entry here is in the log; the log can have more entries about the access request that are not in "
            "this bundle"
        )
        return
    for each in unsigned:
        why = "there is no signed checkpoint of this log, so its entries prove nothing"
        report.gap(f"entry {each.closed_by} closed log {each.number}: {why}")
    here = sorted([*(shard.number for shard in shards), *(each.number for each in unsigned)])
    first, last = 0, here[-1]
    if manifest["kind"] == "period":
        # One older entry shows where the period begins, and one newer entry where it ends. Logs before and after these
        # contain nothing of the period. They may be here for entries about keys or removals.
        first = max((shard.number for shard in shards if shard.start > 0), default=0)
        last = next((shard.number for shard in shards if shard.number >= first and shard.end < shard.size), last)
    for number in sorted(set(range(first, last)) - set(here)):
        report.gap(f"log {number} is not in this bundle")
    for shard in shards:
        end, is_lost = shard.first_seq + shard.size, shard.tombstone and shard.tombstone.size > shard.size
        is_end_of_it = shard.end == shard.size and first <= shard.number <= last
        if is_end_of_it and shard.closed_by is not None and end < shard.closed_by and not is_lost:
            report.gap(f"entries number {end} to {shard.closed_by - 1} of log {shard.number} were never signed")
        if manifest["kind"] == "log" or not shard.is_sound:
            continue
        if shard.start > shard.pruned and shard.start - 1 not in shard.edges:
            report.gap(
                f"entry {shard.start - 1} of log {shard.number} is not in this bundle: "
                "entries at the beginning of the period might be missing"
            )
        if shard.end < shard.size and shard.end not in shard.edges:
            report.gap(
                f"entry {shard.end} of log {shard.number} is not in this bundle: "
                "entries at the end of the period might be missing"
            )


def judge_beginning(shards: list[Shard], report: Report) -> None:
    """Require a signed entry about each removal, if the removed entries could belong in this bundle.

    The manifest is not signed. If it were trusted, somebody could leave out any number of first entries. Each
    removal leaves an entry about itself, which only a later removal can remove.
    """
    doubted = shards if report.data["kind"] == "log" else []
    if report.data["kind"] == "period":
        # If the bundle has the entry just before the period, nothing of the period was removed.
        doubted = [shard for shard in shards if shard.start > 0][-1:]
        doubted = [shard for shard in doubted if shard.start <= shard.pruned]
    removed = [(shard.first_seq + fact.leaf_index, fact.detail.get("to")) for shard in shards if not shard.flaw
            for fact in shard.prunings]  # fmt: skip
    # An entry about a removal can't cover entries after itself.
    gone = max((to for seq, to in removed if type(to) is int and to <= seq), default=0)
    for shard in shards:
        if shard.pruned:
            which = f"entries 0 to {shard.pruned - 1} of log {shard.number} are not in this bundle"
            if shard.first_seq + shard.pruned <= gone:
                report.note(f"{which}. An entry log.pruned says that they were removed because their storage time was "
                            "over. Only their hashes are left, and these match the signed root")  # fmt: skip
            elif shard in doubted:
                report.gap(
                    f"{which}, and no signed entry here says that they were removed (log.pruned). If they were "
                    "removed within the last minute, a newer bundle says so. Otherwise somebody holds them back"
                )
            else:
                report.note(f"{which}. The bundle claims, without proof, that they were removed because their storage "
                            "time was over. A bundle of the whole log has the entry that proves this")  # fmt: skip


def _is_over(shard: Shard, report: Report) -> bool:
    """Return whether the newest checkpoint was dated after the end of the bundle's period."""
    until = report.data.get("until")
    return bool(until and shard.dated_at is not None and instant(until).timestamp() <= shard.dated_at)


def judge_age(shard: Shard, options: Options, report: Report) -> None:
    """Judge how old the newest checkpoint is. If somebody holds new entries back, this date shows it.

    Even if a log does not grow, the signer dates it every hour. The bundle's own time is only a claim, so readers can
    set a limit by their own clock.
    """
    at = shard.dated_at
    if at is None or shard.closed_by is not None or _is_over(shard, report):
        return
    what, age = f"the checkpoint of log {shard.number}", report.data["logs"][-1]["age_when_made"]
    if age is None:
        report.gap("the bundle does not say when it was made, so it is not known whether its checkpoint is the newest")
    elif age > STALE:
        report.gap(
            f"{what} was {lasting(age)} old when the bundle was made, but a log gets a newly dated checkpoint each "
            "hour. The signer has stopped, or newer entries are held back"
        )
    if options.max_age is not None and not (ago := time.time() - at) <= options.max_age:
        report.gap(f"by the clock of this machine, {what} is {lasting(int(ago))} old, which is more than you allow")


def judge_previous(shards: list[Shard], saved: Checkpoint, trust: Trust, options: Options, report: Report) -> None:
    """Check `--previous`: the bundle must continue a checkpoint that you stored earlier, or got from a witness."""
    report.data["previous"] = {"origin": saved.origin, "size": saved.size, "root": encoded(saved.root), "holds": False}
    shard = next((shard for shard in shards if shard.origin == saved.origin), None)
    try:
        if shard is None:
            raise CannotTell(f"the checkpoint that you saved belongs to another log: {shown(saved.origin)}")
        trust.check(saved, "the checkpoint that you saved")
        if shard.is_sound:
            if options.consistency:
                trust.signers(options.consistency.checkpoint, trust.why)
            check_previous(shard, saved, "the checkpoint that you saved", options.consistency)
            report.data["previous"]["holds"] = True
    except Bad as flaw:
        report.bad(flaw, shard)
    except CannotTell as gap:
        report.gap(gap)


def _is_receipt(path: Path) -> bool:
    with open(path, "rb") as stream:
        return stream.read(len(RECEIPT)) == RECEIPT.encode()


def verify_receipt(path: Path, options: Options, report: Report) -> None:
    """Verify a receipt (c2sp.org/tlog-proof).

    A receipt has an entry (in `extra`), its index, its inclusion proof, and the checkpoint.
    """
    with open(path, "rb") as stream:
        raw = stream.read(MAX_SMALL + 1)
    try:
        if len(raw) > MAX_SMALL:
            raise ValueError("it is too long")
        head, _gap, tail = raw.partition(b"\n\n")
        first, *lines = head.decode().split("\n")
        extra = decoded(lines.pop(0).removeprefix("extra ")) if lines and lines[0].startswith("extra ") else None
        if first != RECEIPT or not lines or not lines[0].startswith("index ") or len(lines) > MAX_PATH + 1:
            raise ValueError("its lines are not in the format of a proof")
        index, proof = number_of(lines[0].removeprefix("index ")), [hash_of(line) for line in lines[1:]]
        checkpoint = checkpoint_of(tail)
    except ValueError as error:
        raise Bad(f"this is not a receipt ({RECEIPT}): {error}") from None
    matched = _ORIGIN.fullmatch(checkpoint.origin)
    if not matched:
        raise CannotTell(f"the receipt belongs to another kind of log: {shown(checkpoint.origin)}")
    if extra is None:
        raise CannotTell("the receipt does not contain its entry")
    number, size = int(matched[4] or 0), checkpoint.size
    shard = Shard(number, checkpoint.origin, matched[1], matched[2], 0, size, index, index + 1, 1, 0, None, checkpoint)
    report.data.update({"format": RECEIPT, "kind": "receipt", "tenant": {"id": matched[3]}})
    if not is_included(index, size, leaf_hash(extra), proof, checkpoint.root):
        raise Bad("the entry's inclusion proof does not match the signed root", index=index)
    entry = entry_of(extra)
    shard.first_seq = entry["seq"] - index
    if entry["tenant"] != matched[3] or shard.first_seq < 0 or (number == 0 and shard.first_seq):
        raise Bad("the entry does not belong to this log, or does not have this index", index=index)
    fact = _fact(index, entry, dict[Any, Any]().setdefault)
    entry_facts = {"index": index, "seq": entry["seq"], "at": fact.at, "event": fact.event, "who": fact.name}
    report.data["entry"] = {**entry_facts, **how_decided(fact), **_practice(entry["detail"])}
    if fact.event in DECISIONS:
        report.decided(shard, fact)
        report.judge_signed(str(matched[3]), is_receipt=True)
    if options.keys is None:
        raise CannotTell("a receipt contains no key: name the log's key with --key")
    trust = Trust({shard.base}, options.keys, {"log": [], "witnesses": []})
    judge([shard], trust, Witnesses(options.witnesses, [], trust.why), options, report)


def lasting(seconds: int) -> str:
    """Return a length of time in words, in the largest unit that fits at least twice (90 minutes, 2 hours)."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:,} {unit}"
    return f"{seconds} seconds"


def _time(at: int) -> str:
    try:
        return f"{dt.datetime.fromtimestamp(at, dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError, OSError):
        return f"{at} seconds after the start of 1970"


# === 10  The verdict in words =============================================================================


def shown(text: object) -> str:
    """Make a text from a file safe for a terminal.

    Characters that could move the cursor or change the direction of text are written as codes.
    """
    short = str(text) if len(str(text)) < 300 else str(text)[:300] + "…"
    if short.isprintable():
        return short
    return "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in short)


def ascii_of(text: str) -> str:
    """Return a key's name in ASCII. Other characters, which can look like ASCII letters, are written as their codes."""
    return "".join(each if " " <= each <= "~" else f"\\u{ord(each):04x}" for each in text[:100])


def quoted(text: object) -> str:
    """Return, in quotation marks, a text that somebody else chose.

    It is shortened, so that the rest of the line is visible.
    """
    return f"“{text if len(str(text)) <= 100 else str(text)[:100] + '…'}”"


def in_words(data: dict[str, Any]) -> Iterator[str]:
    def line(label: str, text: object) -> str:
        return f"{label:<11} {shown(text)}"

    if data.get("format"):
        kinds = {"log": "the whole log", "period": "a period of the log", "access_request": "one access request",
                 "receipt": "a receipt for one entry"}  # fmt: skip
        tenant = data["tenant"]
        named = f"the tenant named {quoted(tenant['name'])} in the entries" if tenant.get("name") else ""
        yield line("what", f"{kinds[data['kind']]} of {named or 'tenant ' + tenant['id']} ({data['format']})")
        if not tenant.get("name") and tenant.get("name_not_proven"):
            yield line("", f"not proven: the tenant's name, {quoted(tenant['name_not_proven'])}")
        bounds = [f"{name} {data[name]}" for name in ("since", "until", "access_request") if data.get(name)]
        if bounds:
            yield line("", ", ".join(bounds))
        if data.get("made_at"):
            yield line("", f"not proven: the time when the bundle was made, {data['made_at']}")
    if data.get("practice") and data.get("kind") == "access_request":
        yield line(
            "PRACTICE", "this is a practice request: its content is made up, and nobody's real content was opened"
        )
    if files := data.get("files_not_proven"):
        more = f" and {len(files) - 10:,} more" if len(files) > 10 else ""
        yield line("", f"not proven, because no signature covers these files: {', '.join(files[:10])}{more}")
    if entry := data.get("entry"):
        yield line("entry", f"index {entry['index']}: {_event(entry)} by {by_whom(entry)} at {entry['at']}")
    for key in data["keys"]:
        yield line("key", f"{key['why']}; fingerprint {key['fingerprint']}")
        yield from (f"            {shown(vkey)}" for vkey in key["vkeys"])
    for log in data["logs"]:
        yield from _log_in_words(log, line, data["kind"])
    if previous := data.get("previous"):
        words = (
            "the log continues this checkpoint"
            if previous["holds"]
            else "nothing in the bundle shows that the log continues this checkpoint"
        )
        yield line("previous", f"{previous['origin']}, {previous['size']:,} entries: {words}")
    if data["result"] != "bad" and (rules := data.get("rules")):
        words = (
            f"replayed {rules['windows']} windows and {rules['looks']} accesses to content; "
            "each access was inside its window"
        )
        yield line("rules", words)
        if rules["downloads"]:
            yield line("", f"{rules['downloads']} of these accesses were downloads")
        if rules.get("changes"):
            yield line("", f"{rules['changes']} of these accesses could change things")
        if rules["by_provider_alone"]:
            alone = rules["by_provider_alone"]
            yield line(
                "",
                f"{alone} windows opened with the provider's approval alone "
                "(Lockbox was off, or did not cover the service)",
            )
        if rules.get("practice_windows"):
            also = f"{rules['practice_windows']} more windows and {rules['practice_looks']} more accesses are practice:"
            yield line("PRACTICE", f"{also} their content is made up")
    yield from _decisions_in_words(data["decisions"], line)
    for note in data["notes"]:
        yield line("note", note)
    if data.get("keys_from_bundle") and data["keys"]:
        yield line(
            "WARNING", "the key came from the bundle itself. A person who can forge the bundle can put any key in it."
        )
        yield line("", "Compare its fingerprint with a fingerprint from another source, or name the key with --key.")
    for gap in data["gaps"]:
        yield line("CAN'T TELL", gap)
    for problem in data["problems"]:
        yield line("BAD", problem_in_words(problem))
    verdicts = {"good": "GOOD: everything that was checked is valid.", "bad": "BAD: do not rely on this.",
                "unknown": "CAN'T TELL: nothing false was found, but something is missing (see above)."}  # fmt: skip
    yield verdicts[data["result"]]


def problem_in_words(problem: dict[str, Any]) -> str:
    index, until = problem["index"], problem["until"]
    place = "" if problem["log"] is None else f"log {problem['log']}, "
    if index is not None:
        place += f"index {index}" if until is None else f"first bad index between {index} and {until}"
        place += "" if problem["seq"] in (None, index) else f" (number {problem['seq']})"
    return f"{place.removesuffix(', ')}: {problem['why']}" if place else problem["why"]


def _log_in_words(log: dict[str, Any], line: Callable[[str, object], str], kind: str) -> Iterator[str]:
    yield line(f"log {log['log']}", f"{log['origin']}: checkpoint of {log['size']:,} entries, root {log['root']}")
    if kind in ("log", "period"):
        which = f"index {log['start']:,} to {log['end'] - 1:,}" if log["entries"] else "none"
        yield line("", f"{log['entries']:,} entries here ({which}), {log['older']:,} older checkpoints")
    elif kind == "access_request":
        yield line("", f"{log['entries']:,} entries here, {log['older']:,} older checkpoints")
    if log.get("older_unproven"):
        yield line(
            "", f"not proven: {log['older_unproven']:,} of the older checkpoints, because you did not name their key"
        )
    if log.get("signed_by"):
        names = ", ".join(vkey.split("+")[1] for vkey in log["signed_by"])
        dated = f"dated {log['dated_at']}" if log.get("dated_at") else "not dated"
        yield line("", f"signed by key {names}; {dated}")
        if log.get("dated_at"):
            yield line("", f"this date was {_age_in_words(log)}")
    for witness in log.get("witnesses", ()):
        yield line("", f"cosigned by {ascii_of(witness['name'])} at {witness['at']}")
    for each in log.get("unpinned", ()):
        called = f"the key calls itself {ascii_of(each['name'])}"
        if each["name"] in (witness["name"] for witness in log["witnesses"]):
            called += ", like a witness that you named with another key"
        yield line("", f"cosigned by a key that you did not name, at {each['at']} ({called})")
    if log.get("witnesses") == []:
        yield line("", "not cosigned by any witness whose key you named")


def _age_in_words(log: dict[str, Any]) -> str:
    made, ago = log["age_when_made"], ""
    with contextlib.suppress(ValueError):
        past = int(time.time() - instant(log["dated_at"]).timestamp())
        ago = f"{f'{lasting(past)} ago' if past >= 0 else 'in the future'}, by the clock of this machine"
    if made is None:
        return ago
    by_bundle = f"{lasting(made)} before the bundle was made" if made >= 0 else "after the bundle was made"
    return f"{by_bundle}, according to the bundle; {ago}"


def _event(each: dict[str, Any]) -> str:
    return f"{each['event']}{' (practice)' if each.get('practice') else ''}"


def _decisions_in_words(decisions: dict[str, Any], line: Callable[[str, object], str]) -> Iterator[str]:
    if decisions["holds"]:
        many = f"{decisions['holds']:,} decisions have a valid signature by a passkey of the person who decided:"
        yield line("signed", many)
    for each in decisions["proven"][:10]:
        bound = "device-bound" if each["device_bound"] else "can be copied"
        key = f"passkey {each['passkey']} of {each['site']} ({bound}), added in entry number {each['enrolled']}"
        yield line("", f"index {each['index']}: {_event(each)} at {each['at']}")
        if each["client"] or each["deputy_for"]:
            yield line("", f"  by {by_whom(each)}")
        yield line("", f"  signed by {each['who']}'s {key}")
        yield line("", f"  digest {each['digest']}")
        if not each["is_compared"]:
            yield line("", "  the access request is not in this bundle, so the signed text was not compared with it")
    if decisions["holds"] > 10:
        yield line("", f"… and {decisions['holds'] - 10:,} more (--json names them, up to {LISTED:,})")
    if decisions["vouches"]:
        yield line("vouched", f"{decisions['vouches']:,} decisions of the provider have a valid signature.")
        yield line("", "Only the provider's own log says who owns the key, so you must trust the provider about this:")
    for each in decisions["vouched"][:10]:
        before = f"this key also signed entry number {each['since']}"
        if each["since"] == each["seq"]:
            before = "this key signs here for the first time"
        before += f"; this person used {each['others']} other keys earlier" if each["others"] else ""
        yield line("", f"index {each['index']}: {_event(each)} at {each['at']}")
        yield line("", f"  signed in the name of {each['who']} by key {each['key'][:16]} ({before})")
        yield line("", f"  digest {each['digest']}")
    if decisions["vouches"] > 10:
        yield line("", f"… and {decisions['vouches'] - 10:,} more (--json names them, up to {LISTED:,})")
    if not decisions["unproven"]:
        return
    are = "decision is" if decisions["unproven"] == 1 else "decisions are"
    yield line("unproven", f"{decisions['unproven']:,} {are} not proven by a signature of a person's key:")
    for each in decisions["listed"][:10]:
        yield line("", f"index {each['index']}: {_event(each)} by {by_whom(each)} at {each['at']}")
        if each.get("why"):
            yield line("", f"  {each['why']}")
    if decisions["unproven"] > 10:
        sums = ", ".join(f"{count:,} {event}" for event, count in decisions["by_event"].items())
        yield line("", f"… in total: {sums} (--json names them one by one, up to {LISTED:,})")


# === 11  A witness: its state (c2sp.org/tlog-witness) ====================================================

#: Marks the file as a witness's state ("LBXW"), so that no other database is used by mistake.
APPLICATION = 0x4C425857
_SCHEMA = """CREATE TABLE IF NOT EXISTS head (
    origin TEXT PRIMARY KEY, size INTEGER NOT NULL, root BLOB NOT NULL, at INTEGER NOT NULL, note TEXT NOT NULL)"""


class Refused(Exception):
    """Ends a request without a cosignature, with this status code and text."""

    def __init__(self, status: int, text: str, why: str = "") -> None:
        super().__init__(why or text)
        self.status, self.text = status, text


class State:
    """The last cosigned checkpoint of each log, in a file that several processes can share."""

    def __init__(self, path: Path, *, create: bool) -> None:
        """Open the file.

        Raise CannotTell, with the reason in one line, if it is damaged or belongs to another program.
        """
        self.path = path
        if not create and not path.is_file():
            raise CannotTell(f"{path} does not exist")
        try:
            with self.changing() as db:
                found = db.execute("PRAGMA application_id").fetchone()[0]
                if found == 0 and db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                    db.execute(f"PRAGMA application_id = {APPLICATION}")
                    db.execute(_SCHEMA)
                elif found != APPLICATION:
                    raise CannotTell(f"{path} is a database of another program")
                if (flaw := db.execute("PRAGMA integrity_check").fetchone()[0]) != "ok":
                    raise CannotTell(f"{path} is damaged: {flaw}".splitlines()[0])
                for origin, size, root, _at, note in db.execute("SELECT origin, size, root, at, note FROM head"):
                    if checkpoint_of(note.encode())[:3] != (origin, size, root):
                        raise ValueError(f"the stored size or root of {shown(origin)} is not that of the checkpoint")
        except (sqlite3.Error, ValueError, AttributeError) as error:
            raise CannotTell(f"{path} is damaged or can't be used: {error}") from error

    @contextlib.contextmanager
    def changing(self) -> Iterator[sqlite3.Connection]:
        """Run the block as one transaction, during which no other process writes.

        After the block, the data is on the disk. `synchronous=EXTRA` also writes the removal of the journal to the
        disk. Otherwise a power failure could restore the old state.
        """
        with contextlib.closing(sqlite3.connect(self.path, timeout=10, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous = EXTRA")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise

    def heads(self) -> list[tuple[str, int, int, str]]:
        # Only a read, so that a request for the witness's state does not delay its cosigning.
        with contextlib.closing(sqlite3.connect(self.path, timeout=10)) as db:
            return db.execute("SELECT origin, size, at, note FROM head ORDER BY origin").fetchall()


@dataclass(frozen=True)
class Cosigner:
    """The witness's private key, with its name."""

    name: str
    private: Ed25519PrivateKey

    @property
    def key(self) -> Key:
        return Key(self.name, COSIGNATURE, self.private.public_key().public_bytes_raw())

    def line(self, text: str, at: int) -> str:
        """Cosign a checkpoint, and return the signature's line.

        The signature has the type 0x04: eight bytes of time, then a signature over the time and `text`.
        """
        return signature_line(self.name, self.key.id, at.to_bytes(8) + self.private.sign(cosigned(text, at)))

    @classmethod
    def load(cls, path: Path, name: str) -> Cosigner:
        """Read a key file: `PRIVATE+KEY+name+id+base64(0x04, seed)`. Raise CannotTell if it is invalid."""
        try:
            if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise CannotTell(f"other users have access to {path}: run chmod 600 {path}")
            prefix, suffix, found, key_id, material = path.read_text("utf-8").strip().split("+", 4)
            raw = decoded(material)
            if (prefix, suffix) != ("PRIVATE", "KEY") or len(raw) != 33 or raw[0] != COSIGNATURE:
                raise ValueError("the key is of another kind")
            signer = cls(found, Ed25519PrivateKey.from_private_bytes(raw[1:]))
        except (OSError, ValueError) as error:
            raise CannotTell(f"{path} does not contain a witness key: {error}") from error
        if found != name or key_id != signer.key.id.hex():
            raise CannotTell(f"{path} contains the key of {shown(found)}, not of {shown(name)}")
        return signer

    @classmethod
    def make(cls, path: Path, name: str) -> Cosigner:
        if not re.fullmatch(r"[^\s+]{1,200}", name):
            raise CannotTell(
                "a name can't have spaces or a plus sign; usually it is a host name or a URL without “https://”"
            )
        signer = cls(name, Ed25519PrivateKey.generate())
        material = encoded(bytes([COSIGNATURE]) + signer.private.private_bytes_raw())
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise CannotTell(f"{path} was not written: {error.strerror}") from error
        with open(handle, "w", encoding="utf-8") as stream:
            stream.write(f"PRIVATE+KEY+{name}+{signer.key.id.hex()}+{material}\n")
            stream.flush()
            os.fsync(stream.fileno())
        return signer


def add_checkpoint(body: bytes, state: State, logs: Sequence[Key], signer: Cosigner) -> tuple[str, str]:
    """Answer one add-checkpoint request. Return the cosignature's line and a text for the diary, or raise Refused.

    The checks have the order of tlog-witness. One transaction compares the checkpoint with the newest one and replaces
    it. The new state is on the disk before the answer is sent.
    """
    try:
        head, gap, raw = body.partition(b"\n\n")
        first, *lines = head.decode("ascii").split("\n")
        if not gap or not first.startswith("old ") or len(lines) > MAX_PATH:
            raise ValueError("the body must contain the old size, at most 63 hashes, an empty line and a checkpoint")
        old, path = number_of(first.removeprefix("old ")), [hash_of(line) for line in lines]
        new = checkpoint_of(raw)
    except ValueError as error:
        raise Refused(400, f"malformed: {error}\n") from None
    keys = [key for key in logs if key.name == new.origin]
    if not keys:
        raise Refused(404, "unknown log\n", f"{shown(new.origin)}: unknown log")
    what = f"{shown(new.origin)} {old} -> {new.size}"
    try:
        # Every key is checked: if a false signature were stored, readers would refuse the whole note.
        if not sum(len(signatures_by(new.note, key)) for key in keys):
            raise Bad("no signature by a key of this log")
    except Bad as flaw:
        raise Refused(403, f"{flaw.why}\n", f"{what}: {flaw.why}") from None
    if old > new.size:
        raise Refused(400, "the old size is larger than the new size\n", f"{what}: the old size is larger")
    with state.changing() as db:
        held = db.execute("SELECT size, root, at FROM head WHERE origin = ?", (new.origin,)).fetchone()
        size, root, at = held or (0, EMPTY_ROOT, 0)
        if old != size:
            raise Refused(409, f"{size}\n", f"{what}: this witness is at size {size}")
        if old == new.size and root != new.root:
            raise Refused(409, f"{size}\n", f"{what}: FORK, another root at the same size")
        if not (is_consistent(old, new.size, root, new.root, path) if old else not path):
            raise Refused(422, "the consistency proof is not valid\n", f"{what}: FORK or a false proof")
        # If the clock was set back, a smaller tree must not get a later time than a larger one.
        at = max(int(time.time()), at)
        line = signer.line(new.note.text, at)
        # Each line is stored once. Repeated lines could make the note longer than the limit for reading it at the next
        # start.
        parts = dict.fromkeys(signature_line(*each) for each in new.note.signatures if (each[0], each[1]) in _ids(keys))
        note = f"{new.note.text}\n{''.join(parts)}{line}"
        if len(note.encode()) > MAX_NOTE or len(parts) >= MAX_SIGNATURES:
            raise Refused(400, "the checkpoint is too long\n", f"{what}: too long to be stored")
        row = (new.origin, new.size, new.root, at, note)
        db.execute("INSERT OR REPLACE INTO head (origin, size, root, at, note) VALUES (?, ?, ?, ?, ?)", row)
    return line, f"{what}: cosigned"


def _ids(keys: Iterable[Key]) -> set[tuple[str, bytes]]:
    return {(key.name, key.id) for key in keys}


# === 12  A witness: its interface ========================================================================

MAX_BODY = MAX_NOTE + MAX_PATH * 45 + 64
REQUEST_SECONDS = 20  # for a whole request, and for the pause before the next request
CONNECTIONS = 128


class _Timed(io.RawIOBase):
    """The receiving half of a connection. Reading ends at a fixed time, even if a client sends slowly."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection, self.until = connection, 0.0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("too slow")
        self.connection.settimeout(left)
        return self.connection.recv_into(buffer)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # keeps connections open, as tlog-witness requires
    server_version, sys_version = "lockbox-witness", ""
    disable_nagle_algorithm = True
    server: Server

    def setup(self) -> None:
        super().setup()
        self.timed = _Timed(self.connection)
        self.rfile = io.BufferedReader(self.timed)

    def handle_one_request(self) -> None:
        self.timed.until = time.monotonic() + REQUEST_SECONDS
        with contextlib.suppress(ConnectionError):
            super().handle_one_request()
            return
        self.close_connection = True

    def do_POST(self) -> None:
        try:
            if not self.path.partition("?")[0].endswith("/add-checkpoint"):
                raise Refused(404, "no such page\n")
            line, why = add_checkpoint(self._body(), self.server.state, self.server.logs, self.server.signer)
            self._answer(200, line, why)
        except Refused as refusal:
            self.close_connection = self.close_connection or refusal.status == 404
            kind = "text/x.tlog.size" if refusal.status == 409 else "text/plain; charset=utf-8"
            self._answer(refusal.status, refusal.text, str(refusal).strip(), kind)
        except sqlite3.Error as error:
            # Nothing was stored, so nothing is cosigned.
            self._answer(503, "the witness can't write its state\n", f"STATE {error}")

    def do_GET(self) -> None:
        if self.path not in ("/", "/status"):
            self._answer(404, "no such page\n", "no such page")
            return
        try:
            heads = self.server.state.heads()
        except sqlite3.Error as error:
            self._answer(503, "the witness can't read its state\n", f"STATE {error}")
            return
        lines = [f"{shown(origin)} {size} {_time(at)}\n" for origin, size, at, _note in heads]
        self._answer(200, f"witness {self.server.signer.key}\n" + "".join(lines), "status")

    def _body(self) -> bytes:
        length = self.headers.get("Content-Length", "")
        if not _NUMBER.fullmatch(length) or int(length) > MAX_BODY or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            raise Refused(400, f"the request must have a Content-Length, and a body of at most {MAX_BODY} bytes\n")
        body = self.rfile.read(int(length))
        if len(body) != int(length):
            self.close_connection = True
            raise Refused(400, "the body was cut off\n")
        return body

    def _answer(self, status: int, text: str, why: str, kind: str = "text/plain; charset=utf-8") -> None:
        body = text.encode()
        self.connection.settimeout(REQUEST_SECONDS)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        diary(f"{status} {why} from {self.client_address[0]}")

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Print nothing, because `_answer` prints the decision."""

    def log_message(self, format: str, *args: Any) -> None:
        diary(f"--- {shown(format % args)} from {self.client_address[0]}")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, listen: str, state: State, logs: Sequence[Key], signer: Cosigner) -> None:
        host, _, port = listen.rpartition(":")
        host = host.strip("[]")
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.state, self.logs, self.signer = state, logs, signer
        self.room = threading.BoundedSemaphore(CONNECTIONS)
        try:
            super().__init__((host, int(port)), Handler)
        except (OSError, ValueError, OverflowError) as error:
            raise CannotTell(f"the witness can't listen on {shown(listen)}: {error}") from error

    def server_bind(self) -> None:
        # HTTPServer would look up the machine's name here, and this may hang.
        socket.socket.setsockopt(self.socket, socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self.room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self.room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        diary(f"--- {type(sys.exc_info()[1]).__name__}: {sys.exc_info()[1]} from {client_address[0]}")


def diary(line: str) -> None:
    sys.stderr.write(f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ} {line}\n")
    sys.stderr.flush()


def run_witness(server: Server) -> None:
    """Run until SIGTERM or Ctrl-C. A request that is not answered by then gets no answer.

    For every answered request, the state is on the disk.
    """

    def stop(_signal: int, _frame: Any) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    host, port = server.server_name, server.server_port
    diary(f"witness {server.signer.key} listens on {host}:{port} and knows {len(server.logs)} log keys")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        diary("stopped")
    finally:
        server.server_close()


# === 13  The command line ================================================================================


T = TypeVar("T")


def say(text: str) -> None:
    sys.stdout.write(text)


class Progress:
    """A line on a terminal that shows the progress. Each update overwrites it."""

    def __init__(self, is_shown: bool) -> None:
        self.is_shown, self.next = is_shown, 0.0

    def __call__(self, done: int, whole: int) -> None:
        present = time.monotonic()
        if self.is_shown and present >= self.next:
            self.next = present + 0.1
            sys.stderr.write(f"\r{done:,} of {whole:,} entries ({done * 100 // max(whole, 1)} %)\x1b[K")
            sys.stderr.flush()

    def end(self) -> None:
        if self.is_shown and self.next:
            sys.stderr.write("\r\x1b[K")


def do_verify(args: argparse.Namespace) -> int:
    progress = Progress(sys.stderr.isatty() and not args.quiet)
    options = Options(jobs=args.jobs or min(os.cpu_count() or 1, 8), progress=progress)
    # No objects here form cycles, and looking for cycles takes a tenth of the time.
    gc.disable()
    try:
        options.keys = keys_named(args.key) if args.key else None
        options.witnesses = keys_named(args.witness) if args.witness else None
        options.trust_bundle_key, options.require_witness = args.trust_bundle_key, args.require_witness
        options.max_age = args.max_age and args.max_age * 3600
        if args.previous:
            options.previous = _stored(Path(args.previous), checkpoint_of, "checkpoint")
        if args.consistency:
            options.consistency = _stored(Path(args.consistency), growth_of, "consistency proof")
        data = verify(Path(args.bundle), options)
    except CannotTell as gap:
        report = Report(args.bundle)
        report.gap(gap)
        data = report.close()
    progress.end()
    if args.json:
        say(json.dumps(data, ensure_ascii=True, indent=2) + "\n")
    elif not args.quiet:
        say("".join(f"{line}\n" for line in in_words(data)))
    return int(data["exit"])


def _stored(path: Path, parse: Callable[[bytes], T], what: str) -> T:
    try:
        with open(path, "rb") as stream:
            return parse(stream.read(MAX_NOTE + 1))
    except (OSError, ValueError) as error:
        raise CannotTell(f"{path} contains no {what}: {error}") from error


def do_witness(args: argparse.Namespace) -> int:
    signer = Cosigner.load(Path(args.key_file), args.name)
    logs = [key for key in keys_named(args.log) if key.kind == ED25519]
    if not logs:
        raise CannotTell("none of these keys belongs to a log (type 0x01)")
    path = Path(args.state)
    if not path.exists() or not path.stat().st_size:
        diary(f"{path} is new: this witness accepts the first checkpoint of each log without a check")
    run_witness(Server(args.listen, State(path, create=True), logs, signer))
    return 0


def do_witness_key(args: argparse.Namespace) -> int:
    say(f"{Cosigner.make(Path(args.key_file), args.name).key}\n")
    return 0


def do_previous(args: argparse.Namespace) -> int:
    for origin, _size, _at, note in State(Path(args.state), create=False).heads():
        if origin == args.origin:
            sys.stdout.buffer.write(note.encode())
            return 0
    raise CannotTell(f"this witness has cosigned no checkpoint of {shown(args.origin)}")


def parser() -> argparse.ArgumentParser:
    whole = argparse.ArgumentParser(prog="lockbox_verify.py", description="Verify evidence of a Customer Lockbox log.")
    commands = whole.add_subparsers(required=True, metavar="COMMAND")
    add = commands.add_parser("verify", help="check a bundle or a receipt (exit status: 0 good, 1 bad, 2 can't tell)")
    add.add_argument("bundle", metavar="BUNDLE", help="evidence.zip, its unpacked folder, or a .tlog-proof")
    many: dict[str, Any] = {"nargs": "+", "action": "extend", "metavar": "KEY"}
    whose = add.add_mutually_exclusive_group()
    whose.add_argument("--key", help="the log's key (vkey), or a file with one key on each line", **many)
    whose.add_argument(
        "--trust-bundle-key", action="store_true", help="trust the bundle's own key, without a key from another source"
    )
    add.add_argument(
        "--witness",
        help="a witness's key (vkey), or a file of keys; the cosignature of each witness is required",
        **many,
    )
    add.add_argument(
        "--require-witness",
        action="store_true",
        help="the verdict is GOOD only with a cosignature of a witness named with --witness",
    )
    add.add_argument("--previous", metavar="CHECKPOINT", help="a file with a checkpoint that you saved earlier")
    add.add_argument(
        "--consistency",
        metavar="PROOF",
        help="a file with the consistency proof for --previous, if the bundle does not have this proof",
    )
    add.add_argument(
        "--max-age", type=float, metavar="HOURS", help="exit with status 2 if the checkpoint is older than this"
    )
    add.add_argument("--json", action="store_true", help="print the verdict as JSON")
    add.add_argument("--quiet", action="store_true", help="print nothing; only set the exit status")
    add.add_argument("--jobs", type=int, default=0, help="number of processes (with 1, no other process is started)")
    add.set_defaults(do=do_verify)
    add = commands.add_parser("witness", help="run a witness (C2SP tlog-witness)")
    add.add_argument("--name", required=True, help="the witness's name, as in its key")
    add.add_argument("--key-file", required=True, help="made by witness-key")
    add.add_argument("--state", required=True, help="an SQLite file, created if it does not exist")
    add.add_argument("--log", required=True, help="the keys (vkeys) of the logs to cosign, or files of keys", **many)
    add.add_argument("--listen", default="127.0.0.1:9180", help="host:port (127.0.0.1:9180)")
    add.set_defaults(do=do_witness)
    add = commands.add_parser("witness-key", help="make a witness's key and print its public half")
    add.add_argument("--name", required=True)
    add.add_argument("--key-file", required=True)
    add.set_defaults(do=do_witness_key)
    add = commands.add_parser("previous", help="print the checkpoint that a witness cosigned last")
    add.add_argument("origin", metavar="ORIGIN")
    add.add_argument("--state", required=True)
    add.set_defaults(do=do_previous)
    return whole


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        return int(args.do(args))
    except CannotTell as gap:
        sys.stderr.write(f"{gap}\n")
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
