"""Answers another service that wants to open content for an engineer. The answer is recorded and committed first."""

from __future__ import annotations

from dataclasses import replace

from audit_app import canonical, recorder
from audit_app.models import AuditEntry
from requests_app.domain import evaluation, policy
from requests_app.domain.actors import Actor
from requests_app.domain.acts.content import ALLOW_ACCESS, CONTENT_ACCESS_ALLOWED
from requests_app.domain.acts.refusals import ACT_REFUSED
from requests_app.domain.evaluation import Facts, Question, Verdict, Window
from requests_app.models.evaluation import ask, last_ended, read, require_still
from requests_app.operations import _allowing
from requests_app.operations._change import Step, act, security_log


def allow_access(question: Question, *, actor: Actor) -> Verdict:
    """Return the same answer as `queries.evaluation.evaluate` would give, and record the answer.

    When this returns, the entry is committed. A permission is valid for opening content once, now. A denial is recorded
    too, if the asker may know of the resource. Only a client can call this: the service that is about to open the
    content.
    """
    written: AuditEntry | None
    with act(ALLOW_ACCESS, actor=actor, rereads=False) as current:
        # Checked before anything is read: otherwise a person could learn something, or put a line into an engineer's
        # window.
        policy.require_service(actor)
        asked = ask(question, actor=actor)
        facts, current.head = read(asked, hold=True)
        require_still(facts, actor=actor)
        current.at, current.tenant_id, current.is_practice = facts.at, facts.tenant_id, facts.is_practice
        verdict, window = evaluation.judge(question, facts, at=facts.at, sees_people=asked.within is None)
        if evaluation.may_have_ended(verdict, window):
            verdict = evaluation.after(verdict, last_ended(question, facts))
        speaks_of = window or verdict.ended
        if speaks_of is not None:
            current.correlation_id = speaks_of.access_request_id
        if window is not None and verdict.decision:
            written = _allowed(current, question, facts, window)
        else:
            written = _refused(current, question, facts, verdict)
    return replace(verdict, entry=written.seq if written else None)


def _allowed(current: Step, question: Question, facts: Facts, window: Window) -> AuditEntry:
    access = _allowing.row_of(question, facts, window, at=current.at)
    current.subject_type, current.subject_id = "grant", str(window.grant_id)
    return current.witness(
        CONTENT_ACCESS_ALLOWED,
        detail=_allowing.detail_of(access, question, facts, window),
        text=_allowing.text_of(question, facts),
        beside=recorder.Beside(access),
    )


def _refused(current: Step, question: Question, facts: Facts, verdict: Verdict) -> AuditEntry | None:
    if facts.resource_id is None:
        who = str(current.actor.person_id)
        security_log.warning("act.refused", action=current.action, code=verdict.reason, person=who)
        return None
    current.subject_type, current.subject_id = "resource", str(facts.resource_id)
    # The subject is recorded as the asker wrote it. A name from the database would show a customer who is one of the
    # provider's people.
    detail: dict[str, object] = {"action": current.action, "code": verdict.reason, "subject": question.subject}
    if verdict.ended is not None:
        ended = verdict.ended
        detail["ended"] = {
            "grant": str(ended.grant_id),
            "closed_at": canonical.instant(ended.closed_at),
            "close_reason": ended.close_reason,
            "closed_by": ended.closed_by,
        }
    asked = {"asked": question.action, "resource": str(facts.resource_id), "resource_name": facts.resource_name}
    return current.witness(
        ACT_REFUSED,
        detail={**detail, **asked, "item": question.item},
        text=f"{current.action} {verdict.reason}",
    )
