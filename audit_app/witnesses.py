"""A tenant's witnesses: who may be one, what they cosigned and when, and what is wrong with them.

How they are asked: cosigning.py. A cosignature counts because it is good, not because a row says so.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from uuid import UUID

from django.conf import settings
from django.db.models import OuterRef, Subquery
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from audit_app import checkpoints, keys, notes
from audit_app.keys import NoKey
from audit_app.models import ChainHead, Cosignature, LogKey, Witness
from audit_app.notes import COSIGNATURE, BadNote, Head, Note, Verifier

MOST_VKEY = 300


class NoWitness(ValueError):
    """A good key that can't be a witness's here, in words for whoever registers it."""


class Problem(Exception):
    """Why there is no cosignature: a code that PROBLEMS knows, and a number that belongs to it."""

    def __init__(self, code: str, number: int | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.number = number

    def __str__(self) -> str:
        return self.code if self.number is None else f"{self.code} {self.number}"


#: The witness has seen another log than this one is: one of the two is not telling the truth.
ALARMS = frozenset({"longer", "other_root"})
#: All that can be wrong with a witness, in words that say what to do. {n} is the number that belongs to it.
PROBLEMS: dict[str, Promise] = {
    "longer": gettext_lazy(
        "It has cosigned {n} entries of this log, which is more than the log has now. Entries have gone: keep what the "
        "witness holds, and ask the provider."
    ),
    "other_root": gettext_lazy(
        "It holds a checkpoint that does not fit this log. One of the two was changed: keep what the witness "
        "holds, and ask the provider."
    ),
    "unknown_log": gettext_lazy("It does not know this log. Start it with the key of this log."),
    "unknown_key": gettext_lazy(
        "It does not accept the key that signs this log. Was the key changed? Start it with the new key."
    ),
    "not_understood": gettext_lazy("It did not understand what it was asked. Is it a witness, and is the URL right?"),
    "elsewhere": gettext_lazy("It points to another URL. Register that one, if it is the right one."),
    "status": gettext_lazy("It answered with the error {n}."),
    "no_cosignature": gettext_lazy("Its answer has no signature by the key that is registered. Is it another witness?"),
    "bad_signature": gettext_lazy("Its signature is not good."),
    "clock": gettext_lazy("Its clock is wrong: it dates its signature more than five minutes away from now."),
    "damaged": gettext_lazy("The log cannot prove what it would have to prove to the witness. The provider must look."),
    "undecided": gettext_lazy("It said twice that it holds another size. Does somebody else give it this log?"),
    "unreachable": gettext_lazy("It cannot be reached. Is it running, and is the URL right?"),
    "no_such_host": gettext_lazy("There is no machine of this name."),
    "timeout": gettext_lazy("It did not answer in time."),
    "tls": gettext_lazy("Its certificate is not valid for its name."),
    "address": gettext_lazy("Its name leads to an address that is not public. It is not asked."),
    "no_http": gettext_lazy("What answers at its URL is no web server."),
    "too_long": gettext_lazy("Its answer is too long for a witness."),
}


def problem_words(problem: str) -> str:
    """What is wrong, and what to do; a code of a newer version stands for itself."""
    code, _gap, number = problem.partition(" ")
    words = PROBLEMS.get(code)
    return str(words).replace("{n}", number) if words else problem


# --- What is known of a tenant's witnesses ---------------------------------------------------------------


@dataclass(frozen=True)
class Standing:
    """One witness as it stands: which checkpoint of the log's current shard it cosigned last, and when."""

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


def of(tenant_id: UUID) -> list[Standing]:
    """The tenant's witnesses, the longest registered first, each with what it cosigned of the current shard."""
    shard = _shard(tenant_id)
    newest = checkpoints.newest(tenant_id, shard)
    found = []
    for witness, line in _newest_lines(tenant_id, shard):
        size, at = (line.checkpoint.size, line.at) if line else (None, None)
        found.append(Standing(witness, size, at, newest.size if newest else 0))
    return found


def freshest(tenant_id: UUID) -> dt.datetime | None:
    """When a witness that is registered now last cosigned the log as it is now; None if none ever has.

    Read from the signatures themselves and not from the columns beside them: whoever could write only those columns
    could otherwise make an old log look witnessed. A witness never goes back, so its newest checkpoint is its latest.
    """
    lines = _newest_lines(tenant_id, _shard(tenant_id))
    times = (_signed_at(line, witness.vkey) for witness, line in lines if line is not None)
    return max((at for at in times if at is not None), default=None)


def is_fresh(tenant_id: UUID, hours: int, at: dt.datetime) -> bool:
    """Whether a registered witness cosigned the log within so many hours before this instant."""
    last = freshest(tenant_id)
    return last is not None and at - last <= dt.timedelta(hours=hours)


def failing() -> int:
    """How many witnesses, of all tenants, have a problem now: informational, for whoever runs the whole."""
    return Witness.objects.exclude(problem="").count()


def _shard(tenant_id: UUID) -> int:
    return ChainHead.objects.filter(pk=tenant_id).values_list("shard", flat=True).first() or 0


def _newest_lines(tenant_id: UUID, shard: int) -> list[tuple[Witness, Cosignature | None]]:
    """Each witness with its cosignature of the newest checkpoint of the shard that it has cosigned."""
    lines = Cosignature.objects.filter(tenant_id=tenant_id, vkey=OuterRef("vkey"), checkpoint__shard=shard)
    newest = Subquery(lines.order_by("-checkpoint_id").values("pk")[:1])
    rows = list(Witness.objects.filter(tenant_id=tenant_id).annotate(newest=newest).order_by("added_at", "pk"))
    ids = {row.pk: getattr(row, "newest", None) for row in rows}
    found = Cosignature.objects.select_related("checkpoint").in_bulk([pk for pk in ids.values() if pk is not None])
    return [(row, found.get(ids[row.pk])) for row in rows]


def _signed_at(row: Cosignature, vkey: str) -> dt.datetime | None:
    try:
        head = Head.parse(Note.parse(row.checkpoint.note).text)
        if head.origin != checkpoints.origin_of(row.tenant_id, row.checkpoint.shard):
            return None
        return cosigned_at(head, row.line, Verifier.parse(vkey))[1]
    except (BadNote, Problem):
        return None


# --- What a witness signed -------------------------------------------------------------------------------


def cosigned_at(head: Head, raw: str, verifier: Verifier) -> tuple[str, dt.datetime]:
    """The witness's latest good line among these, and its time. Lines of other keys are passed over, as they must be.

    Raises Problem where there is none of it, or one that is not good.
    """
    try:
        lines = notes.signature_lines(raw)
    except BadNote as error:
        raise Problem("no_cosignature") from error
    own = [each for each in lines if each.is_of(verifier)]
    if not own or verifier.kind != COSIGNATURE:
        raise Problem("no_cosignature")
    try:
        times = {each.line: verifier.check(head.text, each.signature) or 0 for each in own}
    except BadNote as error:
        raise Problem("bad_signature") from error
    line = max(times, key=lambda each: times[each])
    try:
        return line, dt.datetime.fromtimestamp(times[line], tz=dt.UTC)
    except (OverflowError, ValueError, OSError) as error:  # beyond the year 9999
        raise Problem("clock") from error


# --- Registering -----------------------------------------------------------------------------------------


def verifier_of(vkey: str, tenant_id: UUID) -> Verifier:
    """The witness's key, if it may be one. Raises BadNote where it is no key, and NoWitness where it is a wrong one.

    The log's own key or name would let whoever runs the log stand for its witness.
    """
    found = Verifier.parse(vkey.strip())
    if found.kind != COSIGNATURE:
        raise NoWitness(_("This is the key of a log. A witness’s key has a B after the second plus sign."))
    if _is_own(found, tenant_id):
        raise NoWitness(_("This is the log’s own name or key. Nobody is a witness of themselves."))
    if len(str(found)) > MOST_VKEY:
        raise NoWitness(_("The witness’s name is too long."))
    return found


def _is_own(verifier: Verifier, tenant_id: UUID) -> bool:
    origin = checkpoints.origin_of(tenant_id, 0)
    if verifier.name == settings.LOG_ORIGIN or f"{verifier.name}/".startswith(f"{origin}/"):
        return True
    try:
        present = keys.load().publics
    except NoKey:
        present = []
    return verifier.public in present or LogKey.objects.filter(pk=verifier.public).exists()
