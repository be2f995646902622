"""The last steps of a restore, when all rows are there and before the database can be used: heads, rules, files."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max

from audit_app import head_copies, heads, keys, restored_heads, unwitnessed
from audit_app.models import ChainHead
from audit_app.restored_heads import Choice, Fork, Source
from audit_app.stored_heads import HeadConflict, HeadsUnavailable, StoredHead, stored
from lockbox_site.backup import BackupRefused, contents, fitting, sealing, unfinished
from lockbox_site.backup.contents import Contents, StoredRow
from lockbox_site.backup.fitting import Fitted
from lockbox_site.installing import environment_file
from requests_app import operations
from requests_app.domain import clock, limits
from requests_app.domain.errors import DomainError
from requests_app.models import Restoration
from requests_app.platform import statics

_TIME = "%Y-%m-%d %H:%M:%S UTC"


class Finish:
    """Does these steps. An instance belongs to one restore."""

    def __init__(self, found: Contents, fitted: Fitted, data: Path, copies: str | None) -> None:
        self._found, self._fitted, self._data, self._copies = found, fitted, data, copies
        self._places: dict[Source, list[StoredHead]] = {}
        self._known: dict[str, Source] = {}
        self._newest = ""
        self._set_back = 0
        self._waiting = 0

    def read_heads(self) -> None:
        """Read the heads of all places, before anything is changed."""
        try:
            here = heads.every() if heads.exists() else []
            self._places[Source.HERE] = here
            self._places[Source.COPY] = head_copies.read_from(self._copies) if self._copies else []
        except HeadsUnavailable as error:
            raise BackupRefused(f"The heads can't be used: {error}.") from None
        self._places[Source.BACKUP] = [_stored(row) for row in self._found.heads]
        before = unfinished.remembered(self._data)
        if before.get("backup_id") == str(self._found.header.backup_id):
            # An earlier attempt may have stored heads here that it had from another place.
            self._known = {str(origin): Source(source) for origin, source in before["sources"].items()}

    def __call__(self, found: Contents) -> None:
        at = clock.now()
        if found.header != self._found.header:
            raise BackupRefused("The backup was replaced while it was read.")
        self._newest = _require_times(found.header.taken_at, restored_heads.newest_date(self._places), at)
        try:
            choice = restored_heads.choose(self._places, self._known)
        except (Fork, HeadsUnavailable) as error:
            raise BackupRefused(f"Nothing was restored: {error}.") from None
        if Restoration.objects.filter(pk=found.header.backup_id).exists():
            # Then nothing would be closed, because a second call of `restored` changes nothing.
            raise BackupRefused("Nothing was restored: the rows say that this backup was restored before it was made.")
        with transaction.atomic():
            self._set_back = len(choice.mark(at))
            self._waiting = len(unwitnessed.logs())
            try:
                operations.restored(backup_id=found.header.backup_id, taken_at=found.header.taken_at, at=at)
            except DomainError as refusal:
                raise BackupRefused(f"Nothing was restored: {refusal}") from None
        self._write_files()
        self._store(choice)

    def _store(self, choice: Choice) -> None:
        sources = {**restored_heads.sources_of(self._places), **self._known}
        value: dict[str, Any] = {
            "backup_id": str(self._found.header.backup_id),
            "sources": {origin: int(source) for origin, source in sources.items()},
        }
        unfinished.remember(self._data, value)
        try:
            choice.store()
        except (HeadConflict, HeadsUnavailable, Fork) as error:
            raise BackupRefused(f"Nothing was restored, because the heads can't be stored: {error}.") from None

    def _write_files(self) -> None:
        """Write the settings and keys that this machine does not have. What it has is the same, or comes first."""

        key = self._found.settings.get(contents.SECRET_KEY)
        if key is not None and not (self._data / "secret_key").exists():
            keys.write_private(self._data / "secret_key", key)
        for path, content in self._fitted.files.items():
            if not path.exists():
                keys.write_private(path, content)
        self._write_env()
        path = Path(settings.LOG_KEY_FILE)
        # The key was in the environment there, and is in a file here.
        log_key = self._found.settings.get(contents.LOG_KEY) or self._found.keys.get("LOG_KEY", "").encode() or None
        if log_key is not None and not settings.LOG_KEY and not path.exists():
            keys.write_private(path, log_key)

    def _write_env(self) -> None:
        """Write the file `.env` at once, so that a killed restore leaves none with the paths of the other machine."""
        env, found = self._data / ".env", self._found.settings
        values = dict(self._fitted.values)
        # The database may be at another place now. The environment of this command said so.
        if place := os.environ.get("DATABASE_URL"):
            values["DATABASE_URL"] = place
        values |= self._fitted.named
        if contents.SECRET_KEY in found:
            values.pop("SECRET_KEY", None)
        if env.exists():
            stored = environment_file.read(env)
            if missing := {name: value for name, value in values.items() if not fitting.is_given(name, stored)}:
                environment_file.write(env, missing)
        elif values or contents.ENV in found:
            text = _without(found.get(contents.ENV, b"").decode(), self._fitted.dropped)
            there = environment_file.names(text)
            new = {
                name: value
                for name, value in values.items()
                if name not in there or name in self._fitted.changed or name == "DATABASE_URL"
            }
            keys.write_private(env, environment_file.changed(text, new).encode())

    def report(self, program: str) -> Iterator[str]:
        """Yield what the operator reads at the end."""
        yield f"Restored. The logs were verified: {self._found.entries:,} entries.{self._newest}"
        if contents.LOG_KEY not in self._found.settings and "LOG_KEY" not in self._found.keys:
            yield "The backup has no key of the log: put it in its place on the machine that signs."
        if self._set_back:
            yield (
                f"{self._set_back} logs are shorter than they were signed: entries are lost. The signer refuses these "
                f"logs until you restore a newer backup, or close each of them: {program} tombstone TENANT --because "
                "WORDS"
            )
        if self._waiting:
            yield (
                f"The newest heads of {self._waiting} logs are lost, so the signer waits until their witnesses have "
                "confirmed that they have seen no longer log. Where there is no witness, or it does not answer, and "
                f"nothing was signed after the backup: {program} log_heads adopt --all-restored --because WORDS"
            )
        if why := statics.why_not_collected():
            yield why
        yield (
            f"Then start it. No window opens before the staff have confirmed the people at {settings.BASE_URL}"
            "/admin/restored/, and the people of each tenant what their page shows."
        )


def _require_times(taken_at: dt.datetime, signed_at: dt.datetime | None, at: dt.datetime) -> str:
    """Raise BackupRefused if the clock, or the backup's own time, can't be right. Return what the operator compares.

    With a clock that is late, the days in which only people of the backup can confirm would be over too soon.
    """
    entry_at = ChainHead.objects.aggregate(last=Max("last_at"))["last"]
    if entry_at is not None and entry_at > taken_at + limits.CLOCKS_DIFFER:
        raise BackupRefused(
            f"Nothing was restored: the backup says that it was made at {taken_at:{_TIME}}, but it has an entry of "
            f"{entry_at:{_TIME}}."
        )
    last = max(each for each in (entry_at, signed_at, taken_at) if each is not None)
    if last > at + limits.CLOCKS_DIFFER:
        raise BackupRefused(
            f"Nothing was restored: the clock says {at:{_TIME}}, but the backup or a signed head is of {last:{_TIME}}. "
            "Correct the clock of the machine with the database."
        )
    signed = f", and the newest head was signed at {signed_at:{_TIME}}" if signed_at is not None else ""
    return f" The newest entry is of {entry_at:{_TIME}}{signed}." if entry_at is not None else ""


def _without(env: str, names: Collection[str]) -> str:
    """Return the file without these settings, because this machine has them in its environment or in files."""
    stay = [line for line in env.splitlines() if line.removeprefix("export ").partition("=")[0].strip() not in names]
    return "".join(f"{line}\n" for line in stay)


def _stored(row: StoredRow) -> StoredHead:
    try:
        return stored(row.origin, row.size, row.root, row.frontier, row.note, 0)
    except HeadsUnavailable:
        raise sealing.damaged() from None
