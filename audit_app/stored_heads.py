"""What all stores of heads share: a stored head, its change, the errors, and what a store can do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from audit_app.notes import Head
from audit_app.tree import Frontier

DIRECTORY, BUCKET = "dir://", "s3://"


class HeadsUnavailable(RuntimeError):
    """The stored heads can't be read or written. Nothing is then signed."""


class PlaceUnusable(HeadsUnavailable):
    """The whole place can't be used by this host now, so it says nothing about a log, and no log gets an alarm."""


class NoAnswer(HeadsUnavailable):
    """The place did not answer about one head. It is read again in the next round, so the log gets no alarm."""


class HeadConflict(RuntimeError):
    """The head does not continue the stored head: another process has signed meanwhile, or the log was changed."""


@dataclass(frozen=True)
class StoredHead:
    """A head as it is stored. `note` is empty between the move of the head and its first signature.

    `generation` grows with each change, so a head that has the same size and root again is still another one.
    """

    head: Head
    frontier: Frontier
    note: str
    generation: int = 0

    def is_same(self, other: StoredHead) -> bool:
        return (self.generation, self.head, self.note) == (other.generation, other.head, other.note)


class Store(Protocol):
    """A place for heads. Each method raises HeadsUnavailable if the place can't be read or written."""

    @property
    def name(self) -> str: ...

    def exists(self) -> bool:
        """Return whether this host has such a place. A host that does not sign may have none."""

    def get(self, origin: str) -> StoredHead | None: ...

    def get_many(self, origins: Sequence[str]) -> dict[str, StoredHead]: ...

    def every(self) -> list[StoredHead]: ...

    def put_many(self, moves: Sequence[Move]) -> dict[str, StoredHead]:
        """Store the new heads whose old heads are still stored. Return the stored ones; they are on the disk."""

    def require_usable(self) -> None: ...

    def identity(self, new: str = "") -> str:
        """Return the identity of this place, or "". If it has none and `new` is given, store that first."""


@dataclass(frozen=True)
class Move:
    """The change of one stored head. The first head of a log has no `before`."""

    before: StoredHead | None
    after: StoredHead


def stored(origin: str, size: int, root: bytes, frontier: bytes, note: str, generation: int) -> StoredHead:
    """Return the head that a store has read. Raise HeadsUnavailable if it is damaged."""
    hashes = [frontier[at : at + 32] for at in range(0, len(frontier), 32)]
    try:
        found = StoredHead(Head(origin, size, root), Frontier(size, hashes), note, generation)
    except ValueError as error:
        raise HeadsUnavailable(f"the stored head of {origin} is damaged") from error
    if found.frontier.root() != root:
        raise HeadsUnavailable(f"the stored head of {origin} is damaged")
    return found


def read_back(read: Callable[[str], StoredHead | None], origin: str) -> StoredHead | None:
    """Read a head for `get_many`: a damaged one counts as missing."""
    try:
        return read(origin)
    except HeadsUnavailable as error:
        if "damaged" in str(error):
            return None
        raise
