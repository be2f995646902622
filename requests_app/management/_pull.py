"""Writes an export so that no entry is lost: it writes the entries first, and then stores the last entry's number."""

from __future__ import annotations

import fcntl
import io
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from django.utils.translation import gettext as _

from audit_app import queries as audit
from audit_app.models import AuditEntry
from audit_app.shard_positions import Shards
from audit_app.siem import FORMATS, Source
from requests_app.models import Tenant


class CursorInUse(Exception):
    """Another run uses the cursor file, or the file belongs to another tenant, or it is not a cursor file."""


class ReaderGone(Exception):
    """The program that read the lines has closed the pipe."""


@dataclass
class Cursor:
    """The number of the last entry that was written. The number is stored in a file that is replaced as a whole."""

    path: Path
    tenant_id: UUID
    after: int | None = None

    @classmethod
    @contextmanager
    def held(cls, path: Path, tenant_id: UUID) -> Iterator[Cursor]:
        """Yield the cursor, which only one run at a time can use. Raise CursorInUse if another run uses it.

        Two runs would send each entry twice, and each would overwrite the other's number.
        """
        lock = path.with_name(f"{path.name}.lock")
        try:
            handle = lock.open("w")
        except OSError as error:
            raise CursorInUse(f"{lock}: {error.strerror}") from error
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise CursorInUse(_("Another run of this command uses %(path)s.") % {"path": path}) from error
            yield cls(path, tenant_id, _read(path, tenant_id))

    def store(self, after: int) -> None:
        """Store the new number. A second file gets the number, and then replaces the first file in one step.

        After a crash, one of the two files exists as a whole.
        """
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            with draft.open("w") as handle:
                json.dump({"tenant": str(self.tenant_id), "after": after}, handle)
                handle.write("\n")
                handle.flush()
                os.fsync(handle.fileno())
            os.replace(draft, self.path)
        except OSError as error:
            raise CursorInUse(f"{self.path}: {error.strerror}") from error
        self.after = after


def _read(path: Path, tenant_id: UUID) -> int | None:
    try:
        stored = json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CursorInUse(_("%(path)s is not a cursor file.") % {"path": path}) from error
    after = stored.get("after") if isinstance(stored, dict) else None
    if type(after) is not int or after < 0:
        raise CursorInUse(_("%(path)s is not a cursor file.") % {"path": path})
    if stored.get("tenant") != str(tenant_id):
        raise CursorInUse(_("%(path)s belongs to another tenant's log.") % {"path": path})
    return after


class Lines:
    """Formats entries and writes them to the output, as UTF-8 in every environment."""

    def __init__(self, out: Any, kind: str, *, vendor: str) -> None:
        self._out, self._vendor = out, vendor
        self._format = FORMATS[kind]
        if reconfigure := getattr(out, "reconfigure", None):
            reconfigure(encoding="utf-8", newline="\n")

    def write(self, tenant_id: UUID, batch: list[AuditEntry]) -> None:
        """Write the entries and flush the output. Raise ReaderGone if nobody reads it any more."""
        source = Source(Shards.of(tenant_id), vendor=self._vendor)
        try:
            self._out.write("".join(self._format.lines(batch, source)), ending="")
            self._out.flush()
        except BrokenPipeError as error:
            self._give_up()
            raise ReaderGone from error
        # The entries must be on the disk before the cursor names them. A pipe can't be synced, so errors are ignored.
        with suppress(OSError, io.UnsupportedOperation):
            os.fsync(self._out.fileno())

    def _give_up(self) -> None:
        """Redirect the output to /dev/null.

        Python flushes the output again when it exits, and would report an error then.
        """
        with suppress(OSError, AttributeError), open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), self._out.fileno())


@dataclass
class Pull:
    """One export that is running.

    After a crash, the next run may write some entries a second time, with the same numbers. No entry is left out.
    """

    tenant: Tenant
    lines: Lines
    cursor: Cursor | None
    after: int | None
    left: int | None
    tell: Callable[[str], object]

    @property
    def next_seq(self) -> int:
        return 0 if self.after is None else self.after + 1

    def run(
        self,
        *,
        until: int,
        stop: Callable[[], bool] = lambda: False,
        tick: Callable[[int], object] = lambda _: None,
    ) -> None:
        """Write the entries below the number `until` in batches. Store the last number after each batch."""
        while self.next_seq < until and self.left != 0 and not stop():
            batch = self._batch(until)
            if not batch:
                self._tell_gap(until)
                self.after = until - 1
                return
            self._tell_gap(batch[0].seq)
            self.lines.write(self.tenant.pk, batch)
            self.after = batch[-1].seq
            if self.left is not None:
                self.left -= len(batch)
            if self.cursor is not None:
                self.cursor.store(self.after)
            tick(len(batch))

    def _batch(self, until: int) -> list[AuditEntry]:
        """Return the next entries, up to the first gap in their numbers."""
        most = audit.BATCH if self.left is None else min(self.left, audit.BATCH)
        rows = AuditEntry.objects.filter(tenant_id=self.tenant.pk, seq__gte=self.next_seq, seq__lt=until)
        found = list(rows.order_by("seq")[:most])
        return [entry for place, entry in enumerate(found) if entry.seq == found[0].seq + place]

    def _tell_gap(self, seq: int) -> None:
        if seq > self.next_seq:
            words = _("Entries %(first)d to %(last)d are not in the log any more.")
            self.tell(words % {"first": self.next_seq, "last": seq - 1})
