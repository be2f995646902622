"""The state of a log in words: its signed entries, its cosigners, its flaws, and the result of the last check."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.conf import settings
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from audit_app import checkpoints, keys, witnesses
from audit_app.checkpoints import LogState
from audit_app.models import AuditEntry, Checkpoint, LogCheck, LogKey
from audit_app.notes import BadNote, Note, Verifier
from audit_app.shard_positions import Shards
from requests_app.doors.web._log_words import EntryPosition, flaw_words, grouped
from requests_app.models import Tenant
from requests_app.operations.checks import GIVEN_UP
from requests_app.queries import log as queries

#: Why a log is not signed any more, by the code in audit_app.checkpoints.Refusal. The alarm's detail has the {numbers}.
ALARMS: dict[str, Promise] = {
    "missing": gettext_lazy("Entry {seq} is missing."),
    "altered": gettext_lazy("Entry {seq} has changed since it was written. {why}"),
    "different": gettext_lazy("{signed} entries were signed. At least one of them has changed since then."),
    "shorter": gettext_lazy("{signed} entries were signed, but only {found} are there now."),
    "tile": gettext_lazy("The stored hashes of the log’s tree do not match each other."),
    "signature": gettext_lazy("A signature was checked immediately after it was made, and it was not valid."),
    "no_tombstone": gettext_lazy("A new part of the log begins at entry {seq}, but no tombstone gives the reason."),
    "outside_behind": gettext_lazy(
        "{signed} entries are signed, but the signer’s record outside the database has only {kept}."
    ),
    "outside_unreadable": gettext_lazy("The signer’s record outside the database can’t be read."),
    "unwitnessed": gettext_lazy(
        "The database was restored from a backup. The log is signed again when your witnesses or the provider have "
        "confirmed that nothing newer was signed."
    ),
}
#: Problems of the signer: it can't compare the log, so these codes don't mean damage. All other codes mean damage.
OF_THE_SIGNER = frozenset({"signature", "outside_behind", "outside_unreadable", "unwitnessed"})
#: If no worker has begun or continued a check for so long, the check counts as forgotten.
FORGOTTEN_AFTER = dt.timedelta(minutes=3)


def standing(tenant: Tenant, *, at: dt.datetime) -> dict[str, Any]:
    """Return what the top of the log's page shows: the newest checkpoint, the alarm, the witnesses and the keys."""
    state = checkpoints.state(tenant.pk)
    alarm = state.alarm
    return {
        "state": state,
        "signed": state.checkpoint,
        "is_late": _is_late(state, at),
        "alarm": alarm,
        "alarm_words": alarm_words(alarm.code, alarm.detail) if alarm else "",
        "is_damaged": alarm is not None and alarm.code not in OF_THE_SIGNER,
        "witnesses": witnesses.of(state),
        "closed": state.closed,
        "keys": signing_keys(state),
    }


def _is_late(state: LogState, at: dt.datetime) -> bool:
    """Return whether a checkpoint is overdue: entries wait for it too long, or the hourly checkpoint is missing."""
    longest = dt.timedelta(seconds=settings.CHECKPOINT_MAX_AGE_SECONDS)
    if state.unsigned and state.unsigned_since is not None and at - state.unsigned_since > longest:
        return True
    hourly = dt.timedelta(seconds=settings.LOG_HEARTBEAT_SECONDS)
    return state.checkpoint is not None and at - state.checkpoint.dated_at > hourly + longest


def alarm_words(code: str, detail: dict[str, Any]) -> str:
    """Return a sentence about an alarm. Return an unknown code unchanged."""
    words = ALARMS.get(code)
    if words is None:
        return code
    values = {name: grouped(value) for name, value in detail.items() if isinstance(value, int)}
    why = detail.get("why")
    values["why"] = flaw_words(why) if isinstance(why, str) else ""
    missing = dict.fromkeys(("seq", "signed", "found", "kept"), "?")
    return str(words).format(**{**missing, **values}).strip()


# --- Keys ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Key:
    """A key that has signed this log. People compare the whole key with another source, or only its fingerprint.

    The fingerprint is SHA-256 over the 32 bytes of the public key.
    """

    vkey: str
    key_id: str
    fingerprint: str
    signs: bool


def signing_keys(state: LogState) -> list[Key]:
    """Return the keys that have signed under this log's name. The keys of the newest checkpoint come first."""
    note = _note(state.checkpoint)
    found = [
        _key(keys.log_key(state.origin, bytes(public)), note)
        for public in LogKey.objects.order_by("-first_used_at").values_list("pk", flat=True)
    ]
    return sorted(found, key=lambda key: not key.signs)


def _key(verifier: Verifier, note: Note | None) -> Key:
    signs = note is not None and any(each.is_of(verifier) for each in note.signatures)
    return Key(str(verifier), verifier.key_id.hex(), hashlib.sha256(verifier.public).hexdigest(), signs)


def _note(checkpoint: Checkpoint | None) -> Note | None:
    try:
        return Note.parse(checkpoint.note) if checkpoint else None
    except BadNote:
        return None


# --- One entry -------------------------------------------------------------------------------------------


def places(state: LogState, entries: Iterable[AuditEntry]) -> dict[int, EntryPosition]:
    """Return each entry's tree and position, and the size of the checkpoint that covers the entry.

    The keys of the result are the entries' numbers.
    """
    first_seqs = {each.shard: each.first_seq for each in state.closed} | {state.shard: state.first_seq}
    where = Shards.known(state.tenant_id, first_seqs)
    found = {entry.seq: where.position(entry.seq) for entry in entries}
    shards = {place.shard for place in found.values()} - {state.shard}
    sizes = queries.signed_sizes(state.tenant_id, shards) if shards else {}
    sizes[state.shard] = state.checkpoint.size if state.checkpoint else 0
    return {
        seq: EntryPosition(
            index=place.index,
            origin=place.origin,
            signed_size=sizes.get(place.shard, 0) if place.index < sizes.get(place.shard, 0) else 0,
            is_closed=place.shard != state.shard,
        )
        for seq, place in found.items()
    }


# --- The last check --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Checked:
    """The last check of a log. The page shows it to every reader, not only to the person who started it."""

    row: LogCheck
    log_size: int
    at: dt.datetime

    @property
    def is_running(self) -> bool:
        return self.row.ended_at is None

    @property
    def start(self) -> int:
        """The number of the first checked entry. Pruned entries, and entries in closed shards, have lower numbers."""
        found = self.row.kept.get("start", 0)
        return found if isinstance(found, int) else 0

    @property
    def count(self) -> int:
        return max(0, self.row.size - self.start)

    @property
    def done(self) -> int:
        return max(0, self.row.done - self.start)

    @property
    def since(self) -> int:
        """The number of entries that were written after the check."""
        return max(0, self.log_size - self.row.size)

    @property
    def is_forgotten(self) -> bool:
        last = self.row.worked_at or self.row.asked_at
        return self.is_running and self.at - last > FORGOTTEN_AFTER

    @property
    def is_given_up(self) -> bool:
        return self.row.flaw == GIVEN_UP

    @property
    def is_good(self) -> bool:
        return not self.is_running and not self.row.flaw

    @property
    def why(self) -> str:
        return flaw_words(self.row.flaw)


def checked(tenant_id: UUID, *, log_size: int, at: dt.datetime) -> Checked | None:
    row = queries.last_check(tenant_id)
    return Checked(row, log_size, at) if row else None


__all__ = ["ALARMS", "Checked", "Key", "alarm_words", "checked", "places", "signing_keys", "standing"]
