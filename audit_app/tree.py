"""The Merkle tree of RFC 6962, section 2.1: hashes, proofs, and the verification of proofs. Has no side effects.

A tree of n leaves is split at the largest power of two below n. A *complete subtree* has 2**level leaves and begins at
index << level. A proof is a list of hashes, each over a range of leaves. A range consists of a few complete subtrees.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence

#: A function that returns the hash of the complete subtree (level, index).
Subtree = Callable[[int, int], bytes]
#: The leaves from start to end. `end` is not included.
Range = tuple[int, int]

EMPTY = hashlib.sha256(b"").digest()


class BadProof(ValueError):
    """The proof is invalid, or is a proof of something else."""


def leaf(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """The complete subtrees along the right edge of a tree. They are enough to add leaves and to compute the root.

    There is one hash for each bit that is set in the size, the largest subtree first (a compact range that begins at
    0).
    """

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = ()) -> None:
        if len(hashes) != size.bit_count() or any(len(each) != 32 for each in hashes):
            raise BadProof(f"a frontier of {size} leaves has {size.bit_count()} hashes, not {len(hashes)}")
        self.size = size
        self.hashes = list(hashes)

    def append(self, leaf_hash: bytes) -> None:
        carried, size = leaf_hash, self.size
        while size & 1:
            carried = node(self.hashes.pop(), carried)
            size >>= 1
        self.hashes.append(carried)
        self.size += 1

    def extend(self, leaf_hashes: Iterable[bytes]) -> None:
        """Append these leaves. Complete subtrees of many leaves are computed level by level, which is faster."""
        added, start = list(leaf_hashes), 0
        while start < len(added):
            # The largest subtree that may begin here, and that these leaves fill.
            aligned = self.size & -self.size or len(added)
            width = 1 << (min(aligned, len(added) - start).bit_length() - 1)
            self._push(root_of_subtree(added[start : start + width]), width)
            start += width

    def _push(self, subtree: bytes, width: int) -> None:
        """Append a complete subtree of `width` leaves. The size must be a multiple of `width`."""
        carried, count = subtree, self.size // width
        while count & 1:
            carried, count = node(self.hashes.pop(), carried), count >> 1
        self.hashes.append(carried)
        self.size += width

    def root(self) -> bytes:
        if not self.hashes:
            return EMPTY
        found = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            found = node(left, found)
        return found

    def copy(self) -> Frontier:
        return Frontier(self.size, self.hashes)


def root_of_subtree(hashes: Sequence[bytes]) -> bytes:
    """Return the root over these hashes. Their number must be a power of two."""
    sha256, level = hashlib.sha256, hashes
    while len(level) > 1:
        pairs = b"".join(level)
        level = [sha256(b"\x01" + pairs[at : at + 64]).digest() for at in range(0, len(pairs), 64)]
    return level[0]


def root_of(leaf_hashes: Iterable[bytes]) -> bytes:
    """Return the root over these leaf hashes: MTH(D[n]) of RFC 6962."""
    frontier = Frontier()
    frontier.extend(leaf_hashes)
    return frontier.root()


def frontier_at(size: int, subtree: Subtree) -> Frontier:
    return Frontier(size, [subtree(level, index) for level, index in subtrees((0, size))])


# --- The parts of a proof --------------------------------------------------------------------------------


def subtrees(part: Range) -> Iterator[tuple[int, int]]:
    """Yield the complete subtrees of a range, from left to right. The start of the range must be aligned."""
    start, end = part
    while start < end:
        level = (end - start).bit_length() - 1
        if start & ((1 << level) - 1):
            raise ValueError(f"{part} is no range of a tree")
        yield level, start >> level
        start += 1 << level


def hash_of(part: Range, subtree: Subtree) -> bytes:
    """Return the hash of a range of leaves: the MTH of RFC 6962 over them. `subtree` returns the hashes of subtrees."""
    hashes = [subtree(level, index) for level, index in subtrees(part)]
    found = hashes.pop()
    while hashes:
        found = node(hashes.pop(), found)
    return found


def inclusion(index: int, size: int) -> list[Range]:
    """Return the ranges whose hashes make an inclusion proof, from the leaf's sibling upwards.

    This is PATH(index, D[size]) of RFC 6962, section 2.1.1.
    """
    if not 0 <= index < size:
        raise ValueError(f"there is no entry {index} in a tree of {size}")
    found, start, end = [], 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start = middle
    return found[::-1]


def consistency(old: int, new: int) -> list[Range]:
    """Return the ranges whose hashes make a consistency proof: PROOF(old, D[new]) of RFC 6962, section 2.1.2.

    The list is empty if `old` is 0 or equal to `new`.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {new} does not follow from one of {old}")
    if old in (0, new):
        return []
    found: list[Range] = []
    start, end, is_whole = 0, new, True
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            found.append((middle, end))
            end = middle
        else:
            found.append((start, middle))
            start, is_whole = middle, False
    if not is_whole:
        found.append((start, end))
    return found[::-1]


def _split(size: int) -> int:
    """Return the largest power of two below the size."""
    return 1 << ((size - 1).bit_length() - 1)


# --- Verification ----------------------------------------------------------------------------------------


def check_inclusion(index: int, size: int, leaf_hash: bytes, proof: Sequence[bytes], root: bytes) -> None:
    """Check an inclusion proof (RFC 9162, section 2.1.3.2). Raise BadProof if it is invalid."""
    if not 0 <= index < size:
        raise BadProof(f"there is no entry {index} in a tree of {size}")
    fn, sn, found = index, size - 1, leaf_hash
    for each in proof:
        if sn == 0:
            raise BadProof("the proof is too long")
        if fn & 1 or fn == sn:
            found = node(each, found)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            found = node(found, each)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise BadProof("the proof is too short")
    if found != root:
        raise BadProof("the proof leads to another root")


def check_consistency(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> None:
    """Check a consistency proof (RFC 9162, section 2.1.4.2). Raise BadProof if it is invalid.

    Every tree is consistent with the empty tree.
    """
    if not 0 <= old <= new:
        raise BadProof(f"a tree of {new} does not follow from one of {old}")
    if old == 0:
        if proof or old_root != EMPTY:
            raise BadProof("nothing is to be proven about an empty tree")
        return
    if old == new:
        if proof or old_root != new_root:
            raise BadProof("one size, and two roots")
        return
    path = list(proof)
    if old & (old - 1) == 0:
        path.insert(0, old_root)
    if not path:
        raise BadProof("the proof is too short")
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    first = second = path[0]
    for each in path[1:]:
        if sn == 0:
            raise BadProof("the proof is too long")
        if fn & 1 or fn == sn:
            first, second = node(each, first), node(each, second)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            second = node(second, each)
        fn, sn = fn >> 1, sn >> 1
    if sn != 0:
        raise BadProof("the proof is too short")
    if first != old_root:
        raise BadProof("the proof leads to another old root")
    if second != new_root:
        raise BadProof("the proof leads to another new root")
