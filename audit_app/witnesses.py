"""A tenant's witnesses: which keys are allowed, what each witness has cosigned and when, and what is wrong with it.

cosigning.py asks the witnesses. A cosignature counts because its signature is valid, and not because a row exists.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from django.db.models import OuterRef, Q, Subquery
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit_app import checkpoints, keys, log_name, notes
from audit_app.checkpoints import LogState
from audit_app.exported_entries import parse
from audit_app.keys import NoKey
from audit_app.models import AuditEntry, ChainHead, Cosignature, LogKey, Witness
from audit_app.notes import COSIGNATURE, BadNote, Head, Note, Verifier

MOST_VKEY = 300


class NoWitness(ValueError):
    """The key is valid, but must not be a witness's key here. The text is for the person who registers it."""


class WitnessProblem(Exception):
    """The reason why a witness did not cosign: a code of PROBLEMS, and the number in this code's text, if any."""

    def __init__(self, code: str, number: int | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.number = number

    def __str__(self) -> str:
        return self.code if self.number is None else f"{self.code} {self.number}"


#: The codes for a witness that has seen a log that differs from this one. One of the two logs is false.
ALARMS = frozenset({"longer", "other_root"})
#: The problems of witnesses, in words that say what to do. {n} is the problem's number.
PROBLEMS: dict[str, Promise] = {
    "longer": gettext_lazy(
        "The witness has cosigned {n} entries of this log, which is more than the log has now. Entries are missing: "
        "save what the witness has, and ask the provider."
    ),
    "other_root": gettext_lazy(
        "The witness has a checkpoint that does not match this log. One of the two was changed: save what the "
        "witness has, and ask the provider."
    ),
    "unknown_log": gettext_lazy(
        "The witness does not know this log. Start the witness with the key of this log: the page “Witnesses” shows "
        "the command. After a damaged log was closed, the new log has another name, so the command is different."
    ),
    "unknown_key": gettext_lazy(
        "The witness does not accept the key that signs this log. Was the key changed? Start the witness with the "
        "new key."
    ),
    "not_understood": gettext_lazy(
        "The server at the witness’s URL did not understand the request. Is it a witness, and is the URL right?"
    ),
    "elsewhere": gettext_lazy("The witness redirects to another URL. If the other URL is right, register it."),
    "status": gettext_lazy("The witness answered with the error {n}."),
    "no_cosignature": gettext_lazy(
        "The answer has no signature by the registered key. Does another witness answer at this URL?"
    ),
    "bad_signature": gettext_lazy("The witness’s signature is not valid."),
    "clock": gettext_lazy(
        "The witness’s clock is wrong: the time of its signature differs from the server’s time by more than five "
        "minutes."
    ),
    "damaged": gettext_lazy(
        "The log cannot prove that it continues the checkpoint of the witness. The provider must check this."
    ),
    "undecided": gettext_lazy(
        "The witness has a different number of entries than this server expected, even after a second try. Does "
        "another server also send this log to the witness?"
    ),
    "unreachable": gettext_lazy("The witness cannot be reached. Is it running, and is the URL right?"),
    "no_such_host": gettext_lazy("The host name in the witness’s URL is unknown. Is the URL right?"),
    "timeout": gettext_lazy("The witness did not answer in time."),
    "tls": gettext_lazy("The witness’s certificate is not valid for its host name."),
    "address": gettext_lazy(
        "The witness’s host name leads to an address outside the public internet, so this server does not call it."
    ),
    "no_http": gettext_lazy("The program that answers at the witness’s URL is not a web server."),
    "too_long": gettext_lazy("The witness’s answer is too long."),
}


def problem_words(problem: str) -> str:
    """Return a text about a problem and what to do. If the code is unknown, because it is newer, return the code."""
    code, _gap, number = problem.partition(" ")
    words = PROBLEMS.get(code)
    return str(words).replace("{n}", number) if words else problem


# --- The witnesses of a tenant ---------------------------------------------------------------------------


@dataclass(frozen=True)
class WitnessStatus:
    """The state of one witness: which checkpoint of the current shard it cosigned last, and when."""

    witness: Witness
    size: int | None
    cosigned_at: dt.datetime | None
    log_size: int

    @property
    def name(self) -> str:
        return str(self.witness)

    @property
    def behind(self) -> int:
        """How many signed entries the witness has not cosigned."""
        return self.log_size - (self.size or 0)

    @property
    def problem(self) -> str:
        return problem_words(self.witness.problem) if self.witness.problem else ""

    @property
    def is_alarm(self) -> bool:
        return self.witness.problem.partition(" ")[0] in ALARMS


def of(log: LogState) -> list[WitnessStatus]:
    """Return the states of a log's witnesses, in the order in which they were registered."""
    found = []
    for witness, line in _newest_lines(log.tenant_id, log.shard):
        size, at = (line.checkpoint.size, line.at) if line else (None, None)
        found.append(WitnessStatus(witness, size, at, log.checkpoint.size if log.checkpoint else 0))
    return found


def freshest(tenant_id: UUID) -> dt.datetime | None:
    """Return when a registered witness last cosigned the current shard of the log, or None if no witness has.

    The time is read from the signatures. Somebody who can change only the columns could otherwise make an old log look
    witnessed. A witness never cosigns a smaller checkpoint than before, so only its largest checkpoint is read.
    """
    lines = _newest_lines(tenant_id, _shard(tenant_id))
    return max((at for _size, at in _good(lines)), default=None)


class Doubt(StrEnum):
    """Why a log does not count as witnessed."""

    ALARM = "alarm"  # a witness has seen another log
    STALE = "stale"  # no witness has cosigned for too long
    UNCOVERED = "uncovered"  # an entry that is not cosigned is too old to be still waiting for a cosignature


def doubt(tenant_id: UUID, hours: int, at: dt.datetime) -> Doubt | None:
    """Return why the log does not count as witnessed in the last `hours` before `at`, or None if it does.

    The last checkpoint need not be cosigned: each entry causes a new checkpoint, and often the next act comes before a
    witness can cosign it. But no entry that is older than `hours` may be without a cosignature. The age is the time in
    the entry's bytes. So nobody can make an entry younger by changing a column, and unsigned entries count too.
    """
    if Witness.objects.filter(in_alarm(), tenant_id=tenant_id).exists():
        return Doubt.ALARM
    since = at - dt.timedelta(hours=hours)
    head = ChainHead.objects.filter(pk=tenant_id).first() or ChainHead(tenant_id=tenant_id)
    seen = _good(_newest_lines(tenant_id, head.shard))
    if not seen or max(when for _size, when in seen) < since:
        return Doubt.STALE
    first_left_out = head.first_seq + max(size for size, _when in seen)
    return Doubt.UNCOVERED if first_left_out < head.size and _is_old(tenant_id, first_left_out, since) else None


def in_alarm() -> Q:
    """Return a condition for the witnesses in alarm: they have seen a log that differs from their tenant's log.

    A later cosignature ends the alarm.
    """
    found = Q()
    for code in ALARMS:
        found |= Q(problem=code) | Q(problem__startswith=f"{code} ")
    return found


def failing() -> int:
    """Return how many witnesses of all tenants have a problem now. The operator sees this number."""
    return Witness.objects.exclude(problem="").count()


def _shard(tenant_id: UUID) -> int:
    return ChainHead.objects.filter(pk=tenant_id).values_list("shard", flat=True).first() or 0


def _newest_lines(tenant_id: UUID, shard: int) -> list[tuple[Witness, Cosignature | None]]:
    """Return each witness with its cosignature of the largest checkpoint that it has cosigned in the shard.

    A witness that has cosigned nothing there has None instead.
    """
    lines = Cosignature.objects.filter(tenant_id=tenant_id, vkey=OuterRef("vkey"), checkpoint__shard=shard)
    newest = Subquery(lines.order_by("-checkpoint_id").values("pk")[:1])
    rows = list(Witness.objects.filter(tenant_id=tenant_id).annotate(newest=newest).order_by("added_at", "pk"))
    ids = {row.pk: getattr(row, "newest", None) for row in rows}
    found = Cosignature.objects.select_related("checkpoint").in_bulk([pk for pk in ids.values() if pk is not None])
    return [(row, found.get(ids[row.pk])) for row in rows]


def _good(lines: list[tuple[Witness, Cosignature | None]]) -> list[tuple[int, dt.datetime]]:
    """Return (number of covered entries, time) for each cosignature whose signature is valid."""
    found = [_signed(line, witness.vkey) for witness, line in lines if line is not None]
    return [each for each in found if each is not None]


def _signed(row: Cosignature, vkey: str) -> tuple[int, dt.datetime] | None:
    try:
        head = Head.parse(Note.parse(row.checkpoint.note).text)
        if head.origin != checkpoints.origin_of(row.tenant_id, row.checkpoint.shard):
            return None
        return head.size, cosigned_at(head, row.line, Verifier.parse(vkey))[1]
    except (BadNote, WitnessProblem):
        return None


def _is_old(tenant_id: UUID, seq: int, since: dt.datetime) -> bool:
    """Return whether this entry was written before `since`. A missing or damaged entry counts as old."""
    body = AuditEntry.objects.filter(tenant_id=tenant_id, seq=seq).values_list("canonical", flat=True).first()
    try:
        return body is None or dt.datetime.fromisoformat(parse(bytes(body))["at"]) < since
    except (ValueError, TypeError, KeyError):
        return True


# --- What a witness signed -------------------------------------------------------------------------------


def cosigned_at(head: Head, raw: str, verifier: Verifier) -> tuple[str, dt.datetime]:
    """Return the witness's latest valid signature line in an answer, and its time.

    Lines of other keys are ignored, as the specification requires. Raise WitnessProblem if the witness has no line, or
    an invalid line.
    """
    try:
        lines = notes.signature_lines(raw)
    except BadNote as error:
        raise WitnessProblem("no_cosignature") from error
    signatures = [each for each in lines if each.is_of(verifier)]
    if not signatures or verifier.kind != COSIGNATURE:
        raise WitnessProblem("no_cosignature")
    try:
        times = {each.line: verifier.check(head.text, each.signature) or 0 for each in signatures}
    except BadNote as error:
        raise WitnessProblem("bad_signature") from error
    line = max(times, key=lambda each: times[each])
    try:
        return line, dt.datetime.fromtimestamp(times[line], tz=dt.UTC)
    except (OverflowError, ValueError, OSError) as error:  # after the year 9999
        raise WitnessProblem("clock") from error


# --- Registering -----------------------------------------------------------------------------------------


def verifier_of(vkey: str, tenant_id: UUID) -> Verifier:
    """Return the key of a witness. Raise BadNote if the text is not a key, and NoWitness if the key is not allowed.

    The log's own key and name are not allowed: with them, the operator of the log could pretend to be a witness.
    """
    found = Verifier.parse(vkey.strip())
    if found.kind != COSIGNATURE:
        raise NoWitness(_("This is the key of a log. A witness’s key has a B after the second plus sign."))
    if _is_of_log(found, tenant_id):
        raise NoWitness(_("This is the log’s own name or key. A log can’t be its own witness."))
    if not found.name.isprintable():
        raise NoWitness(_("The witness’s name has characters that cannot be seen. Choose a name without them."))
    if len(str(found)) > MOST_VKEY:
        raise NoWitness(_("The witness’s name is too long."))
    return found


def _is_of_log(verifier: Verifier, tenant_id: UUID) -> bool:
    origin = checkpoints.origin_of(tenant_id, 0)
    if verifier.name == log_name.current() or f"{verifier.name}/".startswith(f"{origin}/"):
        return True
    try:
        present = keys.load().publics
    except NoKey:
        present = []
    return verifier.public in present or LogKey.objects.filter(pk=verifier.public).exists()
