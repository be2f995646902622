"""Copies the signed heads to another place, so that they survive the machine that signs.

The place can be a store as in LOG_HEADS (`dir://` or `s3://`), which accepts only a change of the head that was read.
Or it is a plain directory, for example on another machine's file system. Each head is a file of its own, named for its
log and its size, that is never changed or replaced. So an older head can't take the place of a newer one, even
if several copies run at the same time.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from audit_app import head_text, heads
from audit_app.durable import sync
from audit_app.notes import Head
from audit_app.stored_heads import BUCKET, DIRECTORY, HeadsUnavailable, Move, Store, StoredHead

_NAME = re.compile(r"([0-9a-f]{32})\.([0-9]{20})\.head")
_DRAFT = re.compile(r"\.[0-9a-f]{32}\.[0-9a-f]{16}")
#: How many heads of each log stay. The one before the newest shows what was copied last if the newest is damaged.
_RETAINED = 2
_MOST_BYTES = 1 << 20


class CopyDiffers(RuntimeError):
    """The place has a head of the same log that can't be true if this one is. Nothing of this log was copied."""


@dataclass
class Copied:
    """How many heads were new, and for how many logs the place already has a longer head."""

    new: int = 0
    newer_there: int = 0


def copy_to(stored: Iterable[StoredHead], place: str) -> Copied:
    """Copy the heads that the place does not have yet. Raise CopyDiffers, HeadsUnavailable or OSError.

    A head that is larger there stays: the heads here are then an older copy.
    """
    if _is_store(place):
        return _copy_to_store(list(stored), heads.store(place))
    return copy(stored, Path(place))


def read_from(place: str) -> list[StoredHead]:
    """Return the largest head of each log in the place. Raise HeadsUnavailable if one of them is damaged."""
    return heads.store(place).every() if _is_store(place) else read(Path(place))


def _is_store(place: str) -> bool:
    return place.startswith((DIRECTORY, BUCKET))


def _copy_to_store(stored: Sequence[StoredHead], target: Store) -> Copied:
    done, there = Copied(), target.get_many([each.head.origin for each in stored])
    moves, differing = [], []
    for each in stored:
        found = there.get(each.head.origin)
        if found is None:
            moves.append(Move(None, each))
        elif found.head.size < each.head.size:
            moves.append(Move(found, replace(each, generation=max(each.generation, found.generation + 1))))
        elif found.head.size > each.head.size:
            done.newer_there += 1
        elif found.head != each.head:
            differing.append(each.head.origin)
    done.new = len(target.put_many(moves)) if moves else 0
    if differing:
        raise CopyDiffers(f"{target.name} has another head of {differing[0]}, with the same number of entries")
    return done


def copy(stored: Iterable[StoredHead], directory: Path) -> Copied:
    """Copy the heads to a plain directory, as `copy_to` does."""
    done, there = Copied(), _newest(directory)
    differing = []
    for each in stored:
        size, path = there.get(_id(each.head.origin), (-1, None))
        if size > each.head.size:
            done.newer_there += 1
        elif path is not None and size == each.head.size:
            if _read(path).head != each.head:
                differing.append(each.head.origin)
        else:
            done.new += _write(directory, each)
    # Before older copies are removed: after a power failure, the names of the new ones could be missing otherwise.
    sync(directory)
    _tidy(directory)
    if differing:
        raise CopyDiffers(f"{directory} has another head of {differing[0]}, with the same number of entries")
    return done


def read(directory: Path) -> list[StoredHead]:
    """Return the largest head of each log in the directory. Raise HeadsUnavailable if one of them is damaged."""
    try:
        return [_read(path) for _size, path in _newest(directory).values() if path is not None]
    except OSError as error:
        raise HeadsUnavailable(f"the heads in {directory} can't be read ({error.strerror})") from error


def _id(origin: str) -> str:
    return hashlib.sha256(origin.encode()).hexdigest()[:32]


def _name(head: Head) -> str:
    return f"{_id(head.origin)}.{head.size:020d}.head"


def _files(directory: Path) -> dict[str, list[tuple[int, Path]]]:
    found: dict[str, list[tuple[int, Path]]] = {}
    for path in directory.iterdir():
        if named := _NAME.fullmatch(path.name):
            found.setdefault(named[1], []).append((int(named[2]), path))
    return {log: sorted(files) for log, files in found.items()}


def _newest(directory: Path) -> dict[str, tuple[int, Path | None]]:
    return {log: files[-1] for log, files in _files(directory).items()}


def _write(directory: Path, stored: StoredHead) -> bool:
    """Write a head under its own name. Return False if another process has just written it."""
    draft = directory / f".{_id(stored.head.origin)}.{secrets.token_hex(8)}"
    try:
        with draft.open("xb") as file:
            file.write(head_text.written(stored, by=""))
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, directory / _name(stored.head))
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True


def _read(path: Path) -> StoredHead:
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise HeadsUnavailable(f"the stored head {path} is damaged")
    stored = head_text.read(content, at=str(path))
    if path.name != _name(stored.head):
        raise HeadsUnavailable(f"the stored head {path} is damaged")
    return stored


def _tidy(directory: Path) -> None:
    """Remove older heads, and what a copy left that was killed an hour before the newest file was written."""
    for files in _files(directory).values():
        for _size, path in files[:-_RETAINED]:
            path.unlink(missing_ok=True)
    written = {}
    for path in directory.iterdir():
        with suppress(FileNotFoundError):
            written[path] = path.stat().st_mtime
    for path, at in written.items():
        if _DRAFT.fullmatch(path.name) and at < max(written.values()) - 3600:
            path.unlink(missing_ok=True)
