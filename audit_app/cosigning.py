"""Asks the tenants' witnesses to cosign the newest checkpoints of their logs (C2SP tlog-witness, add-checkpoint)."""

from __future__ import annotations

import datetime as dt
import random
import re
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Protocol
from uuid import UUID

import structlog
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery

from audit_app import checkpoints, notes, proofs
from audit_app.models import ChainHead, Checkpoint, Cosignature, Witness
from audit_app.notes import BadNote, Head, Note, Verifier
from audit_app.proofs import NotProven
from audit_app.witnesses import ALARMS, PROBLEMS, WitnessProblem, cosigned_at, in_alarm

logger = structlog.get_logger(__name__)

#: How many witnesses are asked at the same time. A witness that does not answer blocks one thread until its request
#: ends.
AT_ONCE = 8
#: A witness without a problem is asked again after this time, even if nothing is new, because the shortest rule is one
#: hour.
ASK_AGAIN = dt.timedelta(minutes=30)
#: The wait after the first failure. It doubles with each further failure, up to the longest wait.
FIRST_WAIT, LONGEST_WAIT = dt.timedelta(seconds=30), dt.timedelta(minutes=15)
#: The clock of a witness may differ by this much.
CLOCK_SKEW = dt.timedelta(minutes=5)
SIZE_TYPE = "text/x.tlog.size"

_SIZE = re.compile(r"\A(0|[1-9][0-9]{0,18})\n?\Z")


class Answer(Protocol):
    """A witness's answer. The caller limits the length of the body."""

    @property
    def status(self) -> int: ...
    @property
    def content_type(self) -> str: ...
    @property
    def body(self) -> bytes: ...


#: A function that sends a body to a URL, within its own limits. It raises OSError without an answer; the first argument
#: is a code.
Post = Callable[[str, bytes], Answer]


# --- Requests --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Round:
    """The result of one round: how many witnesses cosigned, and how many failed."""

    cosigned: int = 0
    failed: int = 0

    @property
    def total(self) -> int:
        return self.cosigned + self.failed


@dataclass
class _Ask:
    """One call to a witness: the checkpoint, and the size of the log that the witness has seen."""

    witness: Witness
    checkpoint: Checkpoint
    old_size: int
    is_second: bool = False

    @property
    def head(self) -> Head:
        return Head.parse(Note.parse(self.checkpoint.note).text)


def collect(
    now: Callable[[], dt.datetime], post: Post, *, is_over: Callable[[], bool] = lambda: False, at_once: int = AT_ONCE
) -> Round:
    """Ask every witness that is due, until all were asked or `is_over` returns True.

    The threads only call `post`. This thread reads and writes the database, and no transaction is open while it waits
    for an answer. Witnesses that answered last time are asked first, so that witnesses that never answer
    can't delay them.
    """
    done = Round()
    with ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="witness") as pool:
        waiting: dict[Future[Answer], _Ask] = {}
        claimed = _claimed(now)

        def send(ask: _Ask) -> None:
            waiting[pool.submit(post, _url(ask.witness), request(ask.checkpoint, ask.old_size))] = ask

        while True:
            while len(waiting) < at_once and not is_over() and (ask := next(claimed, None)):
                try:
                    send(ask)
                except WitnessProblem as problem:
                    _failed(ask.witness, problem, now())
                    done = replace(done, failed=done.failed + 1)
            if not waiting:
                return done
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                ask = waiting.pop(future)
                try:
                    again = _answered(ask, future, now())
                    if again:
                        send(again)
                        continue
                except WitnessProblem as problem:
                    _failed(ask.witness, problem, now())
                    done = replace(done, failed=done.failed + 1)
                else:
                    done = replace(done, cosigned=done.cosigned + 1)


def request(checkpoint: Checkpoint, old_size: int) -> bytes:
    """Return the body of an add-checkpoint call: the old size, the proof from that size, and the signed checkpoint."""
    try:
        path = _proof(checkpoint, old_size)
    except NotProven as error:
        raise WitnessProblem("damaged") from error
    return f"old {old_size}\n{notes.hash_lines(path)}\n{checkpoint.note}".encode()


def _proof(checkpoint: Checkpoint, old_size: int) -> list[bytes]:
    if old_size == 0:
        return []
    same = Q(tenant_id=checkpoint.tenant_id, shard=checkpoint.shard, size=old_size)
    older = Checkpoint.objects.filter(same).first()
    # If the older checkpoint is known, the proof is checked here first, so that a damaged tile does not look like a
    # fork.
    return proofs.consistency(older, checkpoint) if older else proofs.consistency_to(checkpoint, old_size)


def _url(witness: Witness) -> str:
    return f"{witness.url.rstrip('/')}/add-checkpoint"


def due(at: dt.datetime) -> QuerySet[Witness]:
    """Return the witnesses that are due, and the healthy witnesses that have not cosigned the newest checkpoint."""
    newest = Checkpoint.objects.filter(tenant_id=OuterRef("tenant_id")).order_by("-shard", "-size").values("pk")[:1]
    signed = Cosignature.objects.filter(
        tenant_id=OuterRef("tenant_id"), checkpoint_id=OuterRef("newest"), vkey=OuterRef("vkey")
    )
    rows = Witness.objects.annotate(newest=Subquery(newest)).filter(newest__isnull=False)
    rows = rows.filter(Q(due_at__lte=at) | Q(failures=0) & ~Exists(signed))
    return rows.order_by("failures", "due_at", "pk")


def _claimed(now: Callable[[], dt.datetime]) -> Iterator[_Ask]:
    """Yield the due witnesses one by one. Each is first marked as failed, so that no other process asks it too.

    A success removes the mark. If a process is killed during a call, the mark stays, and the witness is asked less
    often.
    """
    passed: set[UUID] = set()
    while True:
        at = now()
        row = due(at).exclude(pk__in=passed).first()
        if row is None:
            return
        passed.add(row.pk)
        mine = Witness.objects.filter(pk=row.pk, failures=row.failures, due_at=row.due_at)
        if not mine.update(failures=F("failures") + 1, due_at=at + _wait(row.failures + 1)):
            continue
        row.failures += 1
        checkpoint = checkpoints.newest(row.tenant_id, _shard(row))
        if checkpoint is not None:
            # The size that the witness has of a closed shard does not apply here. The witness will report its size.
            yield _Ask(row, checkpoint, row.held_size if row.held_size <= checkpoint.size else 0)


def _shard(row: Witness) -> int:
    return ChainHead.objects.filter(pk=row.tenant_id).values_list("shard", flat=True).first() or 0


def _wait(failures: int) -> dt.timedelta:
    """Return how long to wait after this number of failures. The time doubles with each failure.

    Up to half of the time is subtracted at random, so that the retries of many witnesses are spread.
    """
    longest = min(LONGEST_WAIT, FIRST_WAIT * 2 ** min(failures - 1, 10))
    return longest * random.uniform(0.5, 1)  # noqa: S311  # spreads load, hides nothing


# --- Answers ---------------------------------------------------------------------------------------------


def _answered(ask: _Ask, future: Future[Answer], at: dt.datetime) -> _Ask | None:
    """Store the cosignature in the answer.

    If the witness has seen another size of the log, return a corrected call. Raise WitnessProblem for other
    failures.
    """
    try:
        answer = future.result()
    except OSError as error:
        code = error.args[0] if error.args and error.args[0] in PROBLEMS else "unreachable"
        raise WitnessProblem(str(code)) from error
    if answer.status == 409:
        return _other_size(ask, answer)
    if answer.status != 200:
        raise _refusal(answer.status)
    try:
        line, when = cosigned_at(ask.head, answer.body.decode(), Verifier.parse(ask.witness.vkey))
    except (UnicodeDecodeError, BadNote) as error:
        raise WitnessProblem("no_cosignature") from error
    # A cosignature with a time in the future would count as recent for too long.
    if when > at + CLOCK_SKEW:
        raise WitnessProblem("clock")
    _keep(ask, line, when, at)
    if when < at - CLOCK_SKEW:
        raise WitnessProblem("clock")
    return None


def _refusal(status: int) -> WitnessProblem:
    known = {400: "not_understood", 403: "unknown_key", 404: "unknown_log", 422: "other_root"}
    if 300 <= status < 400:
        return WitnessProblem("elsewhere")
    return WitnessProblem(known[status]) if status in known else WitnessProblem("status", status)


def _other_size(ask: _Ask, answer: Answer) -> _Ask:
    """Return a second call, with a proof that starts at the size that the witness reports. Raise WitnessProblem."""
    kind = answer.content_type.partition(";")[0].strip().lower()
    held_size = _SIZE.match(answer.body.decode(errors="replace"))
    if kind != SIZE_TYPE or not held_size:
        # If both sizes are equal, this answer means that the roots differ.
        raise WitnessProblem("other_root" if ask.old_size == ask.checkpoint.size else "undecided")
    size = int(held_size[1])
    if size == ask.old_size == ask.checkpoint.size:
        raise WitnessProblem("other_root")
    # Another worker may have got a cosignature for a newer checkpoint meanwhile.
    newest = checkpoints.newest(ask.checkpoint.tenant_id, ask.checkpoint.shard) or ask.checkpoint
    if size > newest.size:
        raise WitnessProblem("longer", size)
    if ask.is_second or size == ask.old_size:
        raise WitnessProblem("undecided")
    return _Ask(ask.witness, newest, size, is_second=True)


def _keep(ask: _Ask, line: str, when: dt.datetime, at: dt.datetime) -> None:
    """Store the cosignature. It replaces an older cosignature of the same witness under the same checkpoint.

    If the witness was removed meanwhile, nothing is stored.
    """
    with transaction.atomic():
        witness = Witness.objects.filter(pk=ask.witness.pk)
        well = {"failures": 0, "problem": "", "due_at": at + ASK_AGAIN}
        if not witness.update(held_size=ask.checkpoint.size, cosigned_at=when, **well):
            return
        cosignature, is_new = Cosignature.objects.get_or_create(
            tenant_id=ask.checkpoint.tenant_id,
            checkpoint=ask.checkpoint,
            vkey=ask.witness.vkey,
            defaults={"line": line, "at": when},
        )
        if not is_new and cosignature.at < when:
            cosignature.line, cosignature.at = line, when
            cosignature.save(update_fields=["line", "at"])


def _failed(witness: Witness, problem: WitnessProblem, at: dt.datetime) -> None:
    """Record the problem in the witness's row and in the operator's log, and postpone the next attempt.

    If the witness has seen a longer or different version of this log, this problem stays until the witness
    cosigns again. A problem of another kind, such as a missing answer, does not replace it.
    """
    row = Witness.objects.filter(pk=witness.pk)
    if not row.update(failures=witness.failures, due_at=at + _wait(witness.failures)):
        return
    (row if problem.code in ALARMS else row.exclude(in_alarm())).update(problem=str(problem))
    context = {"tenant": str(witness.tenant_id), "witness": str(witness), "problem": str(problem)}
    if problem.code in ALARMS:
        logger.error("witness_disagrees", **context)
    else:
        logger.warning("witness_failed", **context, failures=witness.failures)
