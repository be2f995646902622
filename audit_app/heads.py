"""Stores, outside the database, the heads that were signed last.

A database that was restored, cut or replaced can't show that a longer log was signed before. This store can. Nothing in
it is secret. `LOG_HEADS` says where it is: a file on this host (head_file.py), a directory that several hosts share
(head_directory.py), or a bucket (head_bucket.py).

The store also decides which signer may sign. Each change of a head is a compare-and-set: it names the head that the
signer has read, and it has a generation number that is one higher. A signer that was stopped, and continues after
another has signed, names an old generation. Then the store refuses the change, and nothing is signed.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from django.conf import settings

from audit_app import head_bucket, head_directory, head_file
from audit_app.notes import Head
from audit_app.stored_heads import BUCKET, DIRECTORY, HeadConflict, HeadsUnavailable, Move, Store, StoredHead
from audit_app.tree import Frontier


def store(place: str | None = None) -> Store:
    """Return the store at a place that is written as in `LOG_HEADS`. Without a place, return the one in use."""
    place = settings.LOG_HEADS if place is None else place
    if place.startswith(DIRECTORY):
        return head_directory.Directory(Path(place.removeprefix(DIRECTORY)))
    if place.startswith(BUCKET):
        return head_bucket.opened(place)
    return head_file.File(Path(place or settings.LOG_HEADS_FILE))


def exists() -> bool:
    """Return whether this host can have stored heads. A host that does not sign may have none."""
    return store().exists()


def get(origin: str) -> StoredHead | None:
    """Return the last signed head of this log, or None if no head is stored."""
    return store().get(origin)


def get_many(origins: Sequence[str]) -> dict[str, StoredHead]:
    """Return the stored heads of these logs. A damaged head is left out here, while `get` raises an error for it."""
    return store().get_many(origins)


def every() -> list[StoredHead]:
    """Return all stored heads. Raise HeadsUnavailable if one of them is damaged."""
    return store().every()


@contextmanager
def turn() -> Iterator[bool]:
    """Take the lock of the signer and yield True, or yield False if another process of this machine has the lock.

    The operating system releases the lock when the process ends. This only saves work: `put` decides who may sign.
    """
    path = Path(settings.LOG_HEADS_FILE)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.with_name(f"{path.name}.lock").open("w")
    except OSError as error:
        raise HeadsUnavailable(f"{path.name} can't be used ({error})") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
        else:
            yield True


def require_usable() -> None:
    """Raise HeadsUnavailable if the place can't be written, as on a full disk, or does not refuse a stale change."""
    store().require_usable()


def put(head: Head, frontier: Frontier, note: str, *, after: Head | StoredHead | None) -> StoredHead:
    """Replace the stored head `after` by this head, and return it. When this returns, it is on the disk.

    Raise HeadConflict if the stored head is not `after`. A `StoredHead` must also have the stored generation.
    """
    place = store()
    if isinstance(after, Head):
        before = place.get(head.origin)
        if before is None or before.head != after:
            raise HeadConflict(f"another head of {head.origin} is kept than was read")
    else:
        before = after
    # A copy, because the caller's frontier can grow.
    new = StoredHead(head, frontier.copy(), note, before.generation + 1 if before else 1)
    done = place.put_many([Move(before, new)])
    if head.origin not in done:
        raise HeadConflict(f"another head of {head.origin} is kept than was read")
    return done[head.origin]


def renew(before: Iterable[StoredHead]) -> dict[str, StoredHead]:
    """Give these heads, which stay as they are, their next generation. Return those that nobody has changed."""
    moves = [Move(each, replace(each, generation=each.generation + 1)) for each in before]
    return store().put_many(moves) if moves else {}
