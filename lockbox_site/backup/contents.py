"""What is in a backup, and how its files are checked: names, order, hashes and numbers of rows.

backup.json          what this is: version, time, database, migrations, tables
settings/…           the file .env, keys and secrets, the log's key, and the files for SAML
heads                the signed heads that are stored outside the database
tables/NAME/NUMBER   rows, in parts
manifest.json        the hash of each file, and the number of rows of each table
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from lockbox_site.backup import BackupRefused, archive, sealing
from lockbox_site.backup.archive import Member
from lockbox_site.backup.sealing import Opener

FORMAT = 1
HEADER, MANIFEST, HEADS = "backup.json", "manifest.json", "heads"
#: The files with settings and keys.
ENV, KEYS, SECRET_KEY, LOG_KEY = "settings/env", "settings/keys", "settings/secret_key", "settings/log_key"
#: The settings that name files for SAML, and what these files are in a backup.
SAML = {
    "SSO_SAML_METADATA": ("settings/saml_metadata",),
    "SSO_SAML_KEYS": ("settings/saml_key_1", "settings/saml_key_2"),
}
SETTINGS = (ENV, KEYS, SECRET_KEY, LOG_KEY, *(name for names in SAML.values() for name in names))
_MOST_SETTINGS = 1 << 20
#: The settings that are keys. They can be in `.env`, in the environment, or in a file that NAME_FILE names.
KEY_SETTINGS = (
    *("SECRET_KEY", "SECRET_KEY_FALLBACKS", "TASK_SIGNING_KEY", "WEBHOOK_KEY", "WEBHOOK_KEY_FALLBACKS"),
    *("SECOND_FACTOR_KEY", "SECOND_FACTOR_KEY_FALLBACKS", "LOG_KEY"),
)

#: The settings that name places. Where the environment of a restore names one, the restored settings name it, too.
PLACES = ("LOG_KEY_FILE", "LOG_HEADS_FILE", "LOG_HEADS")

#: A function that takes a table and some of its rows.
Taker = Callable[[str, bytes], None]


@dataclass(frozen=True)
class StoredRow:
    """A signed head as it is stored outside the database. Its parts are not checked yet."""

    origin: str
    size: int
    root: bytes
    frontier: bytes
    note: str


@dataclass(frozen=True)
class Header:
    backup_id: UUID
    taken_at: dt.datetime
    version: str
    database: str
    log_name: str
    migrations: tuple[tuple[str, str], ...]
    columns: dict[str, list[str]]
    #: The data directory, so that a restore can find the paths inside it.
    data_dir: str = ""

    def content(self) -> bytes:
        return as_json(
            {
                "format": FORMAT,
                "backup_id": str(self.backup_id),
                "taken_at": self.taken_at.isoformat(),
                "version": self.version,
                "database": self.database,
                "log_name": self.log_name,
                "migrations": self.migrations,
                "columns": self.columns,
                "data_dir": self.data_dir,
            }
        )

    @classmethod
    def parse(cls, content: bytes) -> Header:
        read = json.loads(content)
        if read["format"] != FORMAT:
            raise BackupRefused(
                f"This backup was made by version {_short(read.get('version'))}, which writes another format. Install "
                "that version, and restore with it."
            )
        columns = {str(table): [str(each) for each in names] for table, names in read["columns"].items()}
        taken_at = dt.datetime.fromisoformat(read["taken_at"])
        if taken_at.tzinfo is None:
            raise ValueError("a time without a zone")
        return cls(
            UUID(read["backup_id"]),
            taken_at,
            _short(read["version"]),
            _short(read["database"]),
            str(read["log_name"]),
            tuple((str(app), str(name)) for app, name in read["migrations"]),
            columns,
            str(read.get("data_dir", "")),
        )


@dataclass
class Contents:
    """A backup that was read to its end and is complete."""

    header: Header
    #: Never shown: they have keys.
    settings: dict[str, bytes] = field(default_factory=dict, repr=False)
    heads: list[StoredRow] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    sequences: dict[str, int] = field(default_factory=dict)

    @property
    def entries(self) -> int:
        return self.rows.get("audit_app_auditentry", 0)

    @property
    def keys(self) -> dict[str, str]:
        return {str(name): str(value) for name, value in json.loads(self.settings.get(KEYS, b"{}")).items()}


# --- Writing ---------------------------------------------------------------------------------------------


def members(
    header: Header,
    settings: Mapping[str, bytes],
    heads: list[StoredRow],
    parts: Callable[[str], Iterator[bytes]],
    sequences: Mapping[str, int],
) -> Iterator[Member]:
    """Yield the files of a backup. The manifest is the last, because the numbers of rows are not known before."""
    files: dict[str, str] = {}
    first = {HEADER: header.content(), **settings, HEADS: as_json([_of_head(each) for each in heads])}
    for name, content in first.items():
        files[name] = hashlib.sha256(content).hexdigest()
        yield name, content
    tables = {}
    for table in header.columns:
        digest, rows = hashlib.sha256(), 0
        for number, part in enumerate(parts(table), 1):
            digest.update(part)
            rows += part.count(b"\n")
            yield f"tables/{table}/{number}", part
        tables[table] = {"rows": rows, "sha256": digest.hexdigest()}
    yield MANIFEST, as_json({"files": files, "tables": tables, "sequences": dict(sequences)})


def _of_head(head: StoredRow) -> list[Any]:
    return [
        head.origin,
        head.size,
        *(base64.b64encode(each).decode() for each in (head.root, head.frontier)),
        head.note,
    ]


def as_json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


# --- Reading ---------------------------------------------------------------------------------------------


def read(
    path: Path, key: Opener, take: Taker | None = None, *, begin: Callable[[Header], None] | None = None
) -> Contents:
    """Read a backup to its end, and check it. Pass the rows to `take`, in the order of the file.

    `begin` gets the header before the first rows. Until this function returns, it is not known whether the file is
    complete, so the caller must be able to undo what `take` has done. Raise BackupRefused if anything is wrong.
    """
    try:
        with sealing.opened(path, key) as pieces:
            return _Reading(take or (lambda _table, _part: None), begin).all(archive.unpacked(pieces))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        # The content was written by another program.
        raise sealing.damaged() from None


class _Reading:
    def __init__(self, take: Taker, begin: Callable[[Header], None] | None) -> None:
        self._take, self._begin = take, begin
        self._files: dict[str, str] = {}
        self._digests: dict[str, Any] = {}
        self._parts: dict[str, int] = {}
        self._rows: dict[str, int] = {}

    def all(self, members: Iterator[Member]) -> Contents:
        name, content = next(members)
        if name != HEADER:
            raise ValueError(name)
        found = Contents(Header.parse(content))
        self._note(name, content)
        self._digests = {table: hashlib.sha256() for table in found.header.columns}
        has_begun = False
        for name, content in members:
            if name == MANIFEST:
                self._finish(found, json.loads(content))
                for _rest in members:
                    raise ValueError("something after the manifest")
                return found
            if name.startswith("tables/"):
                if not has_begun and self._begin is not None:
                    self._begin(found.header)
                has_begun = True
                self._part(name, content)
            else:
                self._file(found, name, content)
        raise ValueError("no manifest")

    def _note(self, name: str, content: bytes) -> None:
        if name in self._files:
            raise ValueError(name)
        self._files[name] = hashlib.sha256(content).hexdigest()

    def _file(self, found: Contents, name: str, content: bytes) -> None:
        self._note(name, content)
        if name == HEADS:
            found.heads = [_head(each) for each in json.loads(content)]
        elif name in SETTINGS and len(content) <= _MOST_SETTINGS:
            content.decode()
            found.settings[name] = content
        else:
            raise ValueError(name)

    def _part(self, name: str, content: bytes) -> None:
        _tables, table, number = name.split("/")
        self._parts[table] = self._parts.get(table, 0) + 1
        if int(number) != self._parts[table] or not content.endswith(b"\n"):
            raise ValueError(name)
        self._digests[table].update(content)
        self._rows[table] = self._rows.get(table, 0) + content.count(b"\n")
        self._take(table, content)

    def _finish(self, found: Contents, manifest: dict[str, Any]) -> None:
        tables = {
            table: {"rows": self._rows.get(table, 0), "sha256": digest.hexdigest()}
            for table, digest in self._digests.items()
        }
        if manifest["files"] != self._files or manifest["tables"] != tables:
            raise ValueError("the manifest says something else")
        found.rows = {table: self._rows.get(table, 0) for table in self._digests}
        found.sequences = {str(name): int(value) for name, value in manifest["sequences"].items()}


def _head(row: list[Any]) -> StoredRow:
    origin, size, root, frontier, note = row
    return StoredRow(str(origin), int(size), base64.b64decode(root), base64.b64decode(frontier), str(note))


def _short(value: object) -> str:
    return "".join(each for each in str(value)[:40] if each.isprintable())
