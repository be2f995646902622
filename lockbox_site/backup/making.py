"""Makes a backup: one encrypted file, which gets its name only when it is complete and on the disk.

Nothing is written that is not encrypted. The database is read at one instant, while others write.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import os
import re
import resource
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

from django.conf import settings

import lockbox_site
from audit_app import heads, keys, log_name
from audit_app.durable import sync
from lockbox_site.backup import BackupRefused, archive, contents, sealing, tables
from lockbox_site.backup.contents import Header, StoredRow
from lockbox_site.backup.sealing import Opener, Readers
from lockbox_site.environment import IN_FILE, SECRETS, secret, text, words

_NAME = re.compile(r"lockbox-\d{8}T\d{6}Z-[0-9a-f]{8}\.age")
_DRAFT = re.compile(r"\.lockbox-\d{8}T\d{6}Z-[0-9a-f]{8}\.age\.partial")


@dataclass(frozen=True)
class Made:
    """A complete backup. `opener` opens it in this process."""

    path: Path
    backup_id: UUID
    opener: Opener


def make(to: Path, readers: Readers, *, at: dt.datetime) -> Made:
    """Write a backup into this directory, or to this new file. Raise BackupRefused or OSError if that fails.

    A file with the name of a backup is always complete. If this fails, it leaves nothing.
    """
    _leave_no_core_dump()
    backup_id = uuid4()
    if to.is_dir():
        path = to / f"lockbox-{at:%Y%m%dT%H%M%SZ}-{str(backup_id)[:8]}.age"
    elif to.exists():
        raise BackupRefused(f"{to} exists already. Name a new file, or a directory.")
    else:
        path = to
    _require_closed(path.parent)
    with turn(path.parent):
        remove_drafts(path.parent)
        draft = path.with_name(f".{path.name}.partial")
        try:
            opener = _write(draft, readers, backup_id, at)
            _name(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        sync(path.parent)
    return Made(path, backup_id, opener)


def _require_closed(directory: Path) -> None:
    """Raise BackupRefused if every account of this machine can write to the directory.

    Another account could replace backups, or make files with newer names, so that `--keep` removes the real ones.
    """
    if directory.stat().st_mode & stat.S_IWOTH:
        raise BackupRefused(f"Every account can write to {directory}. Run: chmod o-w {shlex.quote(str(directory))}")


def _write(draft: Path, readers: Readers, backup_id: UUID, at: dt.datetime) -> Opener:
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        opener = sealing.seal(archive.packed(_members(backup_id, at)), out, readers)
        out.flush()
        os.fsync(out.fileno())
    return opener


def _name(draft: Path, path: Path) -> None:
    """Give the complete file its name. A link fails if the name exists, and a rename would replace that file."""
    try:
        os.link(draft, path)
    except FileExistsError:
        raise BackupRefused(f"{path} exists already. Name a new file, or a directory.") from None
    except OSError:
        # Some file systems have no links. The names in a directory are new each time.
        draft.rename(path)


def _members(backup_id: UUID, at: dt.datetime) -> Iterator[archive.Member]:
    # Before the database is read: a head is stored after its entries. In the other order, a head could be newer than
    # the database, and the restored database would look cut.
    stored = [
        StoredRow(each.head.origin, each.head.size, each.head.root, b"".join(each.frontier.hashes), each.note)
        for each in (heads.every() if heads.exists() else [])
    ]
    files = settings_files()
    with tables.snapshot() as found:
        header = Header(
            backup_id,
            at,
            lockbox_site.__version__,
            tables.vendor(),
            log_name.current(),
            tuple((app, name) for app, name in found.migrations),
            found.columns,
            str(settings.DATA_DIR),
        )
        yield from contents.members(header, files, stored, found.parts, found.sequences)


def settings_files() -> dict[str, bytes]:
    """Return the settings and keys of this machine, as files of a backup."""
    found: dict[str, bytes] = {}
    if (env := settings.DATA_DIR / ".env").is_file():
        found[contents.ENV] = env.read_bytes()
    in_files = {name for name in SECRETS if text(f"{name}{IN_FILE}")}
    given = {name: value for name in sorted({*contents.KEY_SETTINGS, *in_files}) if (value := _key(name))}
    found[contents.KEYS] = contents.as_json(given)
    if "SECRET_KEY" not in given:
        found[contents.SECRET_KEY] = settings.SECRET_KEY.encode()
    if "LOG_KEY" not in given and Path(settings.LOG_KEY_FILE).is_file():
        keys.load()  # refuses a file that others can read
        found[contents.LOG_KEY] = Path(settings.LOG_KEY_FILE).read_bytes()
    for setting, names in contents.SAML.items():
        for name, path in zip(names, words(setting, default=[]), strict=False):
            with suppress(FileNotFoundError):
                found[name] = Path(path).read_bytes()
    return found


def _key(name: str) -> str:
    """Return a key that is set, also if it is in a file. LOG_KEY_FILE is a setting of its own."""
    return text(name) if name == "LOG_KEY" else secret(name)


def prune(directory: Path, keep: int, *, but: Path) -> list[Path]:
    """Remove all but the newest `keep` backups in this directory. Return them.

    Call this only after a new backup was checked. `but` is that backup, which is never removed.
    """
    names = sorted(path for path in directory.iterdir() if _NAME.fullmatch(path.name))
    old = [path for path in names[:-keep] if path != but]
    for path in old:
        path.unlink(missing_ok=True)
    return old


def withdraw(made: Made) -> Path:
    """Rename a backup that did not pass its check, so that nobody takes it for one. Return its new path."""
    bad = made.path.with_name(f"{made.path.name}.bad")
    made.path.rename(bad)
    return bad


def remove_drafts(directory: Path) -> None:
    """Remove what backups left behind that were killed. Call it while no other backup works here."""
    for path in directory.iterdir():
        if _DRAFT.fullmatch(path.name):
            path.unlink(missing_ok=True)


@contextmanager
def turn(directory: Path) -> Iterator[None]:
    """Inside the block, no other backup of this machine writes to this directory."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupRefused(f"Another backup to {directory} is being made at this moment.") from None
        except OSError:
            pass  # Some network file systems can't lock a directory. Names of backups never collide.
        yield
    finally:
        os.close(descriptor)


def _leave_no_core_dump() -> None:
    """Write no memory to the disk if this process crashes, because keys and rows are in it."""
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
