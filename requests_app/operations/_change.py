"""Runs each act as one durable transaction, in a fixed order. Its entry and its messages are saved together with it.

An act takes its turn at a log: it locks the log's head until it commits. So only one act at a time judges the rows of
that log's tenant and writes an entry to the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from typing import Any, ParamSpec
from uuid import UUID

import structlog
from django.db import DatabaseError, IntegrityError, InterfaceError, connection, transaction
from django.db.models import Model
from django.utils.translation import gettext as _

from audit_app import recorder
from audit_app.beside import Beside, Changed, merged
from audit_app.models import AuditEntry, ChainHead
from requests_app.domain import clock, limits, policy
from requests_app.domain.actors import Actor, Side
from requests_app.domain.acts.declaration import Act, Comment, Party, StepUp
from requests_app.domain.acts.refusals import ACT_REFUSED
from requests_app.domain.errors import (
    DeadlinePassed,
    DomainError,
    NotAllowed,
    NotFound,
    OutcomeUnknown,
    SentAlready,
    StepUpRequired,
    StoreUnavailable,
    WrongState,
)
from requests_app.domain.events import PROVIDER_LOG as PROVIDER_LOG
from requests_app.domain.lifecycle import TICKET_TRANSITIONS, TRANSITIONS, Transition
from requests_app.domain.states import PENDING, State, TicketState, Timing
from requests_app.messages.topics import FEW, Note, post, row_of
from requests_app.models import AccessRequest, Grant, IdempotencyKey, Person, Ticket
from requests_app.models.people import reread, reread_person
from requests_app.models.practice import is_practice
from requests_app.models.row_security import own_account
from requests_app.operations._entries import described, searched
from requests_app.operations._locked_rows import FIND, earlier_decision, lock_places, locked_grant, read_decisions
from requests_app.operations._locked_rows import lock_access as lock_access
from requests_app.platform import bell, outcome, telemetry
from requests_app.platform.database.compiled import Reads
from requests_app.platform.database.errors import gave_up_waiting
from requests_app.queries import standing

security_log = structlog.get_logger("security")

P = ParamSpec("P")
_Facts = dict[str, Any] | None

#: unique_violation (PostgreSQL, appendix A).
_UNIQUE_VIOLATION = "23505"
#: The time of an act before its row is found and locked.
NOT_YET = datetime.min.replace(tzinfo=UTC)


class Repeated(Exception):
    """`change` raises this if the same human has already made the same transition.

    Nothing is written. `row` is the access request as it is now.
    """

    def __init__(self, row: AccessRequest) -> None:
        super().__init__()
        self.row = row


class Held(Exception):
    """An act raises this, before it has written anything, to become a proposal instead.

    `propose` writes the proposal and returns the error that the caller gets.
    """

    def __init__(self, propose: Callable[[], DomainError]) -> None:
        super().__init__()
        self.propose = propose


@dataclass(kw_only=True)
class Step:
    """One act that is running.

    `tenant_id` and the fields of the subject are set when the row of the act has been found.
    """

    actor: Actor
    act: Act
    at: datetime = NOT_YET
    tenant_id: UUID | None = None
    subject_type: str = ""
    subject_id: str = ""
    correlation_id: UUID | None = None
    detail: dict[str, Any] = field(default_factory=dict)
    notes: list[Note] = field(default_factory=list)
    # Rows that are inserted, and rows that are updated, together with the entry, at the end of the act.
    new_rows: list[Model] = field(default_factory=list)
    changed: list[Changed] = field(default_factory=list)
    # The head of the log, if a statement of this act has already locked and read it.
    head: ChainHead | None = None
    # The proposal that another person has confirmed, if this act is the proposed change.
    confirmed: UUID | None = None
    # The person who made that proposal. What the act creates belongs to them.
    proposer: UUID | None = None
    # The rows that this step makes, if the change is one of many rows.
    part: tuple[int, ...] = ()
    # Whether the act only records a refusal and changes nothing else.
    only_notes: bool = False
    # A function that stores what the interface needs for the same act. It runs in the same transaction.
    keep: Callable[[Any], object] | None = None
    # Whether the transaction has begun and the key of the form is taken.
    has_begun: bool = False
    # The row that the act is about, after it is found and locked, and its tenant if it has one.
    row: Any = None
    tenant: Any = None
    # The actor's account, if it was read under the locks, and what `reads` has found.
    person: Person | None = None
    found: list[Any] = field(default_factory=list)
    subject: policy.Subject | None = None
    # The comment and the inputs, after they are read and their limits are checked.
    note: str = ""
    inputs: dict[str, Any] = field(default_factory=dict)
    # Whether the act has required a fresh proof, or has stated that it needs none for this row and these inputs.
    is_proof_settled: bool = False
    # Whether the act is about something that people practise with. Each of its entries then says so.
    is_practice: bool = False

    def concerns(
        self,
        subject_type: str,
        row: Any,
        tenant_id: UUID,
        *,
        service_id: UUID | None = None,
        holder: UUID | None = None,
        parties: Mapping[Party, frozenset[UUID]] | None = None,
        reads: Sequence[Reads] = (),
    ) -> ChainHead:
        """Name the row that the act is about, take the turn at its tenant's log, and then read the clock.

        Call this after all other rows are locked. If the act is refused later, the refusal is recorded in that log.
        `service_id`, `holder` and `parties` are facts that the rules of the declaration need. `found` gets the row of
        each query in `reads`, or None. Return the head of the log, which an act that writes only one entry can use.
        """
        self.subject = policy.Subject(log_id=tenant_id, service_id=service_id, holder=holder, parties=parties or {})
        self.tenant_id, self.subject_type, self.subject_id = tenant_id, subject_type, str(row.pk)
        self.is_practice = is_practice(row)
        head = self.take_turn(tenant_id)
        # Read the actor again, because a role may have been taken away while this act waited for its turn.
        self.actor, self.person, self.found = reread_person(self.actor, *reads)
        return head

    def take_turn(self, log_id: UUID) -> ChainHead:
        """Take the turn at a log, and then read the clock. An act that is not about a row calls this directly."""
        with self.reaching(log_id):
            head, brought = recorder.turn(log_id)
        at = clock.now() if brought is None else clock.brought(brought)
        # If the clock was set back, a window that has closed must not open again.
        self.at = at if head.last_at is None else max(at, head.last_at)
        return head

    def reaching(self, log_id: UUID) -> AbstractContextManager[None]:
        """Return a context in which a customer's act can write to the provider's log.

        Outside it, PostgreSQL hides the provider's log from a customer's act.
        """
        is_hidden = log_id == PROVIDER_LOG and self.actor.side == Side.CUSTOMER
        return own_account() if is_hidden else nullcontext()

    @property
    def action(self) -> str:
        """The name of the act in the log."""
        return self.act.name

    @property
    def is_decision(self) -> bool:
        return self.act.moves is not None and self.act.moves.is_decision

    def tell(self, note: Note) -> None:
        self.notes.append(note)

    def messages_with_entry(self) -> list[Model]:
        """Return the rows of the messages, to write them with the entry. Many are written at the end of the act."""
        rows: list[Model] = [row_of(note, at=self.at) for note in self.notes] if len(self.notes) <= FEW else []
        if rows:
            self.notes.clear()
            bell.ring()
        return rows

    def require_proof(self, *, needed: bool = True) -> None:
        """Require a fresh proof of identity from the actor.

        With `needed=False`, state that this act needs no proof for this row and these inputs.
        """
        self.is_proof_settled = True
        if needed:
            policy.require_step_up(self.actor, self.at)

    def read_note(self, note: str) -> None:
        """Check the comment and store it in the step. Do nothing if the act takes no comment."""
        if self.act.comment is not Comment.NONE:
            self.note = limits.require_note(note, needed=self.act.comment is Comment.NEEDED)

    def witness(
        self,
        event: str,
        *,
        detail: dict[str, Any] | None = None,
        text: str = "",
        beside: Beside | None = None,
    ) -> AuditEntry:
        """Write the entry about the act, in the act's own transaction."""
        entry = self.entry(event, detail=detail, text=text)
        with self.reaching(entry.tenant_id):
            [written] = recorder.record([entry], at=self.at, locked_head=self.head, beside=beside)
        return written

    def entry(self, event: str, *, detail: _Facts = None, text: str = "", who: _Facts = None) -> recorder.Witnessed:
        """Return the entry about the act. `who` is the actor as `described` returns it, if the caller has it."""
        assert self.tenant_id is not None
        mark = {"practice": True} if self.is_practice or is_practice(self.row) else {}
        whole = {**self.detail, **(detail or {})}
        return recorder.Witnessed(
            tenant_id=self.tenant_id,
            event=str(event),
            door=self.actor.door,
            actor=who or described(self.actor, decides=self.act.is_deciding),
            subject_type=self.subject_type,
            subject_id=self.subject_id,
            correlation_id=self.correlation_id,
            detail=whole | mark,
            text=searched(text, whole),
        )


@dataclass(kw_only=True)
class Move(Step):
    """One transition of an access request that is being made."""

    row: AccessRequest
    edge: Transition
    grant: Grant | None = None
    target: str | None = None
    decide_by: datetime | None = None


@dataclass(kw_only=True)
class TicketMove(Step):
    row: Ticket
    edge: Transition
    target: str | None = None


@contextmanager
def act(declared: Act, *, actor: Actor, rereads: bool = True, is_inside: bool = False) -> Iterator[Step]:
    """Run one act in one durable transaction, and tell the observers how it ended. `_act` explains the rest."""
    inner = _act(declared, actor=actor, rereads=rereads, is_inside=is_inside)
    with telemetry.watched(telemetry.ACT, declared.name), inner as current:
        yield current


@contextmanager
def _act(declared: Act, *, actor: Actor, rereads: bool, is_inside: bool) -> Iterator[Step]:
    """Run one act in one durable transaction.

    If the act is refused, the transaction is rolled back, and the refusal is then recorded in a second transaction. If
    the database fails, the error has the status 503. With `rereads=False`, the act itself checks, after it has taken
    its locks, that the actor still has the account and the roles. With `is_inside`, the act is a part of the caller's
    transaction: a restore loads the database in the same one.
    """
    current = Step(actor=actor, act=declared)
    held_outcome: DomainError | None = None
    try:
        with transaction.atomic(durable=not is_inside):
            _take_key(current)
            current.has_begun = True
            if rereads:
                current.actor = reread(actor)
            policy.require_act(current.actor, declared.name)
            try:
                yield current
                _require_settled(current)
            except Held as held:
                held_outcome = held.propose()
            _post(current)
    except DomainError as refusal:
        record_refusal(current, refusal)
        raise
    except IntegrityError as error:
        guarded = _as_refusal(error)
        record_refusal(current, guarded)
        raise guarded from error
    except (DatabaseError, InterfaceError) as error:
        if current.only_notes:
            raise _not_done(error) from error
        about = current.subject_type, current.subject_id
        raise outcome.failed(error, *about, has_begun=current.has_begun) from error
    _note_commit(current)
    if held_outcome is not None:
        # The transaction is committed. The caller must still learn that the change is not made yet.
        raise held_outcome


#: A function that raises an error if the row is not as the caller has read it.
Still = Callable[[AccessRequest], object]


@contextmanager
def change(
    access_request_id: object,
    declared: Act,
    *,
    actor: Actor,
    note: str = "",
    is_signed: bool = False,
    still: Still | None = None,
    reads: Callable[[AccessRequest], Sequence[Reads]] | None = None,
) -> Iterator[Move]:
    """Make one transition of an access request, in one transaction.

    The order is: scope, lock, clock, policy, transition table, body, rows and entry, commit, messages.

    `still(row)` raises an error if the row has changed since the caller read it. It is called after the policy, so that
    the log records every attempt of a person who may not make the transition. `found` gets the rows of `reads(row)`.

    A signed decision needs no step-up, because the body verifies the signature. If the same human makes the same
    transition again, `Repeated` is raised, so that the caller can give the first answer again.
    """
    edge = TRANSITIONS[declared.name]
    # The actor is read once, under the locks. Only this actor decides what the person may see and do.
    with act(declared, actor=actor, rereads=False) as outer:
        row = FIND(access_request_id, actor=outer.actor)
        if row.state in PENDING:
            # An access request that waits has no grant, and a grant is created only under this lock. So no query is
            # needed.
            row._state.fields_cache["grant"] = None
        grant = locked_grant(row) if State.OPEN in edge.moves.sources else None
        if len(edge.moves.targets) > 1:
            # The target of the transition depends on these two rows, so they must not change until the commit.
            lock_places(row)
        outer.correlation_id = row.pk
        earlier_one = earlier_decision(row) if edge.moves.is_decision else []
        asked = [*(reads(row) if reads else []), *earlier_one]
        head = outer.concerns("access_request", row, row.tenant_id, reads=asked)
        row.locked_at = outer.at
        if not policy.is_visible(outer.actor, row):
            raise NotFound
        step = Move(actor=outer.actor, act=declared, at=outer.at, row=row, edge=edge, grant=grant, notes=outer.notes)
        step.head, step.found = head, outer.found
        step.tenant_id, step.subject_type, step.subject_id = outer.tenant_id, outer.subject_type, outer.subject_id
        step.correlation_id = row.pk
        if edge.moves.is_decision:
            read_decisions(row, outer.found[-1] if earlier_one else None)
        earlier = row.deciders_before(edge.stage) if Party.DECIDER in declared.separate_from else frozenset()
        policy.require(outer.actor, edge, row, decided_by=earlier)
        if still is not None:
            still(row)
        is_repeated = standing.is_repeated(row, edge, outer.actor)
        if edge.moves.is_decision:
            # The prefetched decisions lack the one that is made here.
            del row._prefetched_objects_cache["decisions"]
        if is_repeated:
            outer.require_proof(needed=False)
        else:
            standing.require_move(row, edge, at=step.at)
            outer.require_proof(needed=edge.needs_step_up and not is_signed)
            step.read_note(note)
            yield step
            apply(step, posts=True)
    if step.grant is None:
        # The row had no grant when it was read. A caller that uses the row must read its grant again.
        row._state.fields_cache.pop("grant", None)
    if is_repeated:
        raise Repeated(row)


def once(operation: Callable[P, AccessRequest]) -> Callable[P, AccessRequest]:
    """Make an operation return the current row, with no error, if the same human has already made this transition."""

    @wraps(operation)
    def answered(*args: P.args, **kwargs: P.kwargs) -> AccessRequest:
        try:
            return operation(*args, **kwargs)
        except Repeated as again:
            return again.row

    return answered


@contextmanager
def change_ticket(ticket_id: object, declared: Act, *, actor: Actor, note: str = "") -> Iterator[TicketMove]:
    """Make one transition of a ticket, in one transaction, as `change` does for an access request."""
    edge = TICKET_TRANSITIONS[declared.name]
    with act(declared, actor=actor) as outer:
        rows = Ticket.objects.visible_to(outer.actor)
        row = rows.select_related("tenant", "service", "assignee", "opened_by", "on_behalf_of").locked().find(ticket_id)
        lock_access(AccessRequest.objects.filter(ticket=row))
        outer.concerns("ticket", row, row.tenant_id, service_id=row.service_id)
        assert outer.subject is not None
        policy.require_entitled(outer.actor, declared, outer.subject)
        policy.require_separate(outer.actor, declared, outer.subject)
        _require_ticket_edge(row, edge, outer.at)
        step = TicketMove(actor=outer.actor, act=declared, at=outer.at, row=row, edge=edge, notes=outer.notes)
        step.tenant_id, step.subject_type, step.subject_id = outer.tenant_id, outer.subject_type, outer.subject_id
        step.read_note(note)
        yield step
        apply_ticket(step)


def apply_ticket(step: TicketMove) -> None:
    """Save the row of one transition of a ticket and write its entry."""
    row = step.row
    row.state = step.target or step.edge.target
    row.save_changed(at=step.at)
    step.witness(step.edge.event, detail=_noted(step.note), text=f"{row.reference} {row.title}")


def apply(step: Move, *, posts: bool = False) -> None:
    """Save the row of one transition, and write its entry together with its new and changed rows.

    With `posts`, write its messages in the same statement. All others are written at the end of the act.
    """
    messages = step.messages_with_entry() if posts else []
    row = step.row
    row.state = step.target or step.edge.target
    row.state_changed_at = step.at
    row.decide_by = step.decide_by or row.decide_by
    # The row is locked, so it is there.
    of_row = Changed([row], "state", "state_changed_at", "decide_by")
    beside = Beside(*step.new_rows, once=messages, changed=[of_row, *step.changed])
    detail = {"reference": row.reference, "state": str(row.state), **_noted(step.note)}
    text = f"{row.reference} {step.note}".strip()
    step.witness(step.edge.event, detail=detail, text=text, beside=beside)


def apply_all(steps: list[Move], *, heads: Mapping[UUID, ChainHead]) -> None:
    """Make the same transition for many access requests, and write entries and messages, with a few statements.

    The sweep uses this. All steps must have the same actor and transition and change the same fields, and the caller
    has locked the heads of their logs.
    """
    if not steps:
        return
    state, who = str(steps[0].edge.target), described(steps[0].actor, decides=steps[0].act.is_deciding)
    entries: list[tuple[recorder.Witnessed, datetime]] = []
    for step in steps:
        row = step.row
        row.state, row.state_changed_at = state, step.at
        detail = {"reference": row.reference, "state": state}
        entries.append((step.entry(step.edge.event, detail=detail, text=row.reference, who=who), step.at))
    changed = [Changed([step.row for step in steps], "state", "state_changed_at")]
    changed += merged(change for step in steps for change in step.changed)
    messages = [row_of(note, at=step.at) for step in steps for note in step.notes]
    recorder.record_in(entries, heads=heads, beside=messages, changed=changed, skips_known=True, calls_listeners=True)
    if messages:
        bell.ring()


def begin(step_actor: Actor, row: AccessRequest, grant: Grant | None, declared: Act, at: datetime) -> Move:
    """Return a second step inside the current act, for an access request that the act also changes."""
    step = Move(actor=step_actor, act=declared, at=at, row=row, edge=TRANSITIONS[declared.name], grant=grant)
    step.correlation_id = row.pk
    step.tenant_id, step.subject_type, step.subject_id = row.tenant_id, "access_request", str(row.pk)
    return step


def _require_settled(current: Step) -> None:
    """Raise RuntimeError if the act may need a proof of identity, but its body has not called `require_proof`.

    This is a bug in the body of the act.
    """
    if current.act.step_up is not StepUp.NEVER and not (current.is_proof_settled or current.only_notes):
        raise RuntimeError(f"{current.action} did not state whether it needs a proof of identity.")


def _take_key(current: Step) -> None:
    """Claim the once-key of the form, before anything is locked.

    If the form is sent twice, the second act waits for the first.
    """
    once = current.actor.once
    if once is None or not once.key or once.claim in outcome.current().used:
        return
    at = once.sent_at or clock.now()
    mine: dict[str, Any] = {"claim": once.claim, "key": once.key, "asked": once.asked, "account_id": once.account_id}
    if once.leads_to:
        # The address of the answer is already known, so the row is written once, in its final state.
        mine |= {"done_at": at, "status": 302, "headers": {"Location": once.leads_to}}
    try:
        with connection.awaiting("form", once.account_id, once.key):  # type: ignore[attr-defined]  # our own backends
            try:
                IdempotencyKey.objects.create(begun_at=at, claimed_until=at, **mine)
            except IntegrityError as error:
                # The first attempt has ended, and nobody waits for it any more.
                first = error
            else:
                return
    except (DatabaseError, InterfaceError) as error:
        if gave_up_waiting(error):
            # It may have waited for the first attempt with the same form. So it is not certain that nothing was
            # changed.
            raise OutcomeUnknown from error
        raise
    raise SentAlready from first


def _note_commit(current: Step) -> None:
    if current.only_notes:
        return
    once = current.actor.once
    outcome.note(current.subject_type, current.subject_id, claim=once.claim if once is not None else None)


def _post(current: Step) -> None:
    once = current.actor.once
    if once is not None and not once.leads_to and once.claim not in outcome.current().used:
        # Written with the act or not at all. A caller who got no answer may repeat the call, and the act is done once.
        held = IdempotencyKey.objects.filter(claim=once.claim, done_at=None)
        about = {"subject_type": current.subject_type, "subject_id": current.subject_id}
        if not held.update(done_at=current.at, **about):
            raise WrongState(
                _(
                    "This call took too long and changed nothing. Another process is now making the same call. Wait a "
                    "moment, then send the call again to get the answer."
                )
            )
    if current.notes:
        post(current.notes, at=current.at)
        bell.ring()


def _require_ticket_edge(row: Ticket, edge: Transition, at: datetime) -> None:
    if row.state not in edge.moves.sources:
        state = TicketState(row.state).label
        raise WrongState(_("This ticket is %(state)s now.") % {"state": state}, current={"state": row.state})
    if edge.moves.timing is Timing.BEFORE and row.ended_at is not None and at >= row.ended_at + limits.REOPEN_FOR:
        raise DeadlinePassed(_("A ticket can be reopened only within 7 days. Open a new ticket."))


def _noted(note: str) -> dict[str, str]:
    return {"comment": note} if note else {}


def _as_refusal(error: IntegrityError) -> DomainError:
    """Return the refusal for an error of a database constraint. If no refusal fits, raise the error again.

    Another act that ran at the same time caused the error. So the checks of this act could not see the reason.
    """
    words = str(error)
    if "decision_not_by_requester" in words:
        return NotAllowed(_("You submitted this access request, so you can’t decide on it."))
    if getattr(error.__cause__, "sqlstate", "") == _UNIQUE_VIOLATION or words.startswith("UNIQUE constraint failed"):
        return WrongState(_("This name or value already exists."))
    raise error


def record_refusal(current: Step, refusal: DomainError) -> None:
    """Record that an act of a known person was refused: what the person tried, and why it was refused."""
    actor = current.actor
    if not actor.is_person:
        return
    if not refusal.is_evidence:
        security_log.info("act.failed", action=current.action, code=refusal.code, person=str(actor.person_id))
        return
    if type(refusal) is StepUpRequired and not current.is_decision:
        # The person may do this, and is asked for the proof first. The log will have the result.
        security_log.info("step_up.asked", action=current.action, person=str(actor.person_id))
        return
    if current.tenant_id is None or isinstance(refusal, NotFound):
        security_log.warning("act.refused", action=current.action, code=refusal.code, person=str(actor.person_id))
        return
    current.detail = {"action": current.action, "code": refusal.code}
    # The rollback of the act has released its locks, so the head must be read again.
    current.head = None
    try:
        with transaction.atomic(durable=True):
            current.witness(ACT_REFUSED, text=f"{current.action} {refusal.code}")
    except (DatabaseError, InterfaceError) as error:
        raise _not_done(error) from error


def _not_done(error: BaseException) -> DomainError:
    """Return the error for a refused act whose entry could not be written, or perhaps was not written.

    The refused act itself has saved nothing.
    """
    if outcome.current().may_have_changed:
        return outcome.refusal_of(error)
    return StoreUnavailable(
        _("The service can't reach its database. What you asked for was not done. Try again in a moment.")
    )
