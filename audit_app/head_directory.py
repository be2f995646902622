"""Stores the heads in a directory that several hosts share, such as NFS.

Each generation of a head is a file of its own, named by its number. It is written completely under another name, synced
to the disk, and then gets its name by `link()`, which fails if the name exists. So of two hosts that write the same
generation, one loses. `rename()` must never be used here: it replaces the other's file without an error.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import socket
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from audit_app import head_text
from audit_app.durable import sync
from audit_app.stored_heads import HeadConflict, HeadsUnavailable, Move, NoAnswer, StoredHead, read_back

#: So many older generations stay, so that somebody who has listed the directory can still read one.
RETAINED = 16
#: Drafts of writers that were killed are removed when the newest file is a day newer, in seconds.
DRAFT_AGE = 86_400
#: The file with the identity of the place. Its name has no dot, so that `cp *` copies it.
_IDENTITY = "installation"
#: A file that is longer than this is not one of ours.
MOST_BYTES = 1 << 20
#: What a network file system reports after a restart of its server, and, if it is mounted with `soft`, after a cut.
_NO_ANSWER = (errno.ESTALE, errno.EIO, errno.ETIMEDOUT)
_GENERATION = re.compile(r"[0-9]{20}")
_DRAFT = re.compile(r"\.(?:draft|probe)-.+")


@dataclass(frozen=True)
class Directory:
    path: Path

    @property
    def name(self) -> str:
        return str(self.path)

    def exists(self) -> bool:
        return True

    def get(self, origin: str) -> StoredHead | None:
        with self._reported():
            found = _newest(self._of(origin))
        if found is not None and found.head.origin != origin:
            raise HeadsUnavailable(f"the stored head of {origin} is damaged")
        return found

    def get_many(self, origins: Sequence[str]) -> dict[str, StoredHead]:
        rows = {origin: read_back(self.get, origin) for origin in origins}
        return {origin: row for origin, row in rows.items() if row is not None}

    def every(self) -> list[StoredHead]:
        with self._reported():
            found = [_newest(each) for each in sorted(self.path.glob("[0-9a-f][0-9a-f]/*/"))]
        return sorted((each for each in found if each is not None), key=lambda each: each.head.origin)

    def put_many(self, moves: Sequence[Move]) -> dict[str, StoredHead]:
        done = {}
        for move in moves:
            with suppress(HeadConflict):
                self._put(move)
                done[move.after.head.origin] = move.after
        return done

    def require_usable(self) -> None:
        """Raise HeadsUnavailable if the directory can't be written, or if a second `link()` does not fail."""
        with self._reported():
            name = self.path / f".probe-{secrets.token_hex(8)}"
            try:
                _link(_draft(self.path, b"1"), name)
                try:
                    _link(_draft(self.path, b"2"), name)
                except HeadConflict:
                    return
                raise HeadsUnavailable(f"{self.path} can't be used: it replaces files that exist")
            finally:
                _remove_old(self.path, name)
                name.unlink(missing_ok=True)

    def identity(self, new: str = "") -> str:
        path = self.path / _IDENTITY
        with self._reported():
            if new:
                with suppress(HeadConflict):
                    _link(_draft(self.path, new.encode()), path)
                sync(self.path)
            try:
                return _content(path).decode()
            except FileNotFoundError:
                return ""

    def _of(self, origin: str) -> Path:
        return self.path / head_text.folder_of(origin)

    def _put(self, move: Move) -> None:
        folder, generation = self._of(move.after.head.origin), move.after.generation
        with self._reported():
            _make(folder)
            found = _newest(folder)
            if (found is None) != (move.before is None) or (
                found is not None and move.before is not None and not found.is_same(move.before)
            ):
                raise HeadConflict(f"another head of {move.after.head.origin} is kept than was read")
            name = folder / f"{generation:020d}"
            _link(_draft(folder, head_text.written(move.after, by=secrets.token_hex(16))), name)
            # The number was free if a writer slept so long that its file was removed already. A newer one is then here.
            if max(_generations(folder)) != generation:
                name.unlink(missing_ok=True)
                raise HeadConflict(f"another head of {move.after.head.origin} is kept than was read")
            sync(folder)
            _tidy(folder, generation)

    @contextmanager
    def _reported(self) -> Iterator[None]:
        if not self.path.is_dir():
            # Not made here: an empty directory in place of a share that is not mounted would look like no heads.
            raise HeadsUnavailable(f"{self.path} can't be used (there is no such directory)")
        try:
            yield
        except OSError as error:
            kind = NoAnswer if error.errno in _NO_ANSWER else HeadsUnavailable
            raise kind(f"{self.path} can't be used ({error.strerror or error})") from error


def _make(folder: Path) -> None:
    for each in (folder.parent, folder):
        if not each.is_dir():
            each.mkdir(exist_ok=True)
            sync(each.parent)


def _generations(folder: Path) -> list[int]:
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return [int(name) for name in names if _GENERATION.fullmatch(name)]


def _newest(folder: Path) -> StoredHead | None:
    """Return the head with the highest number. It is complete, because a file gets its number when it is complete."""
    while found := _generations(folder):
        number = max(found)
        # A listing can be old on a network file system. Looking for the next numbers asks the server.
        while (folder / f"{number + 1:020d}").exists():
            number += 1
        try:
            content = _content(folder / f"{number:020d}")
        except FileNotFoundError:
            # Since the listing, so many newer ones were written that this one was removed.
            continue
        head = head_text.read(content, at=str(folder / f"{number:020d}"))
        if head.generation != number:
            raise HeadsUnavailable(f"the stored head {folder.name} is damaged")
        return head
    return None


def _content(path: Path) -> bytes:
    """Read a file of this store. A symbolic link, a pipe or a file that is too long is not one, and is refused."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise HeadsUnavailable(f"{path} is damaged: it is not a file")
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise HeadsUnavailable(f"{path} is damaged: it is too long")
    return content


def _draft(folder: Path, content: bytes) -> Path:
    """Write a file that nobody reads yet. When this returns, its content is on the disk."""
    path = folder / f".draft-{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(8)}"
    try:
        with path.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        with suppress(OSError):
            path.unlink()
        raise
    return path


def _link(draft: Path, name: Path) -> None:
    """Give the draft its name, and remove its first name. Raise HeadConflict if the name is taken."""
    try:
        os.link(draft, name)
    except OSError as error:
        # On NFS, the answer can be lost and the repeated call then fails, though the first has made the link.
        if draft.stat().st_nlink != 2:
            if error.errno == errno.EEXIST:
                raise HeadConflict(f"{name.name} is taken") from error
            raise
    finally:
        with suppress(OSError):
            draft.unlink()


def _tidy(folder: Path, generation: int) -> None:
    """Remove generations far behind the newest one, and drafts of writers that were killed. Failures do no harm."""
    with suppress(OSError):
        for number in sorted(_generations(folder)):
            if number >= generation - RETAINED:
                break
            (folder / f"{number:020d}").unlink(missing_ok=True)
    _remove_old(folder, folder / f"{generation:020d}")


def _remove_old(folder: Path, newest: Path) -> None:
    """Remove drafts and probes of processes that were killed a day before the newest file was written."""
    with suppress(OSError):
        limit = newest.stat().st_mtime - DRAFT_AGE
        for name in os.listdir(folder):
            if _DRAFT.fullmatch(name) and (folder / name).lstat().st_mtime < limit:
                (folder / name).unlink(missing_ok=True)
