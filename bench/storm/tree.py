"""The Merkle tree of RFC 6962 over leaf hashes, and checks of checkpoints (C2SP tlog-checkpoint) against it."""

from __future__ import annotations

import base64
import hashlib
from typing import NamedTuple


def root(leaves: list[bytes]) -> bytes:
    if not leaves:
        return hashlib.sha256(b"").digest()
    # The full subtrees, from the largest to the smallest. At the end, they are joined from the right.
    stack: list[tuple[int, bytes]] = []
    for leaf in leaves:
        size, node = 1, leaf
        while stack and stack[-1][0] == size:
            left_size, left = stack.pop()
            size, node = left_size + size, hashlib.sha256(b"\x01" + left + node).digest()
        stack.append((size, node))
    node = stack.pop()[1]
    while stack:
        node = hashlib.sha256(b"\x01" + stack.pop()[1] + node).digest()
    return node


class Checkpoint(NamedTuple):
    origin: str
    size: int
    root: bytes


def checkpoint(note: str) -> Checkpoint:
    origin, size, digest = note.split("\n")[:3]
    return Checkpoint(origin, int(size), base64.b64decode(digest))


def follows(leaves: list[bytes], note: str) -> str:
    """Return why a log with these leaves does not continue the signed checkpoint, or an empty text if it does."""
    signed = checkpoint(note)
    if signed.size > len(leaves):
        return f"{signed.origin}: {signed.size} entries were signed, and there are {len(leaves)}"
    if root(leaves[: signed.size]) != signed.root:
        return f"{signed.origin}: the first {signed.size} entries are not those that were signed"
    return ""
