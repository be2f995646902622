"""Describes an access to content elsewhere that was allowed or refused: its row, and its entry."""

from __future__ import annotations

from datetime import datetime

from structlog.contextvars import bound_contextvars

from audit_app import canonical
from audit_app.recorder import Witnessed
from requests_app.domain.acts.content import CONTENT_ACCESS_ALLOWED
from requests_app.domain.acts.refusals import ACT_REFUSED
from requests_app.domain.evaluation import Facts, Question, Verdict, Window
from requests_app.domain.ids import id_by_time
from requests_app.domain.levels import Action
from requests_app.models import ContentAccess
from requests_app.operations._change import Step, security_log

_KINDS = {
    Action.LIST: ContentAccess.Kind.LIST_ALLOWED,
    Action.VIEW: ContentAccess.Kind.VIEW_ALLOWED,
    Action.READ: ContentAccess.Kind.READ_ALLOWED,
    Action.DOWNLOAD: ContentAccess.Kind.DOWNLOAD_ALLOWED,
    Action.ACT_AS: ContentAccess.Kind.ACT_AS_ALLOWED,
}


def row_of(question: Question, facts: Facts, window: Window, *, at: datetime) -> ContentAccess:
    assert facts.tenant_id is not None
    assert facts.resource_id is not None
    return ContentAccess.new(
        id=id_by_time(at),
        tenant_id=facts.tenant_id,
        grant_id=window.grant_id,
        resource_id=facts.resource_id,
        kind=_KINDS[Action(question.action)],
        item_id=question.item,
        item_ref=question.item,
        at=at,
    )


def detail_of(access: ContentAccess, question: Question, facts: Facts, window: Window) -> dict[str, str]:
    return {
        "access": str(access.pk),
        "closes_at": canonical.instant(window.closes_at),
        "action": question.action,
        "engineer": facts.person_name,
        "engineer_id": str(facts.person_id),
        "resource": str(facts.resource_id),
        "resource_name": facts.resource_name,
        "item": question.item,
    }


def text_of(question: Question, facts: Facts) -> str:
    return f"{facts.resource_name} {facts.person_name} {question.item}"


def answered(
    current: Step, question: Question, facts: Facts, verdict: Verdict, window: Window | None
) -> tuple[Witnessed | None, ContentAccess | None]:
    """Return the entry about an answer to a service, and the row of the access if it is allowed.

    There is no entry about a resource that does not exist for the asker.
    """
    current.at, current.tenant_id, current.is_practice = facts.at, facts.tenant_id, facts.is_practice
    speaks_of = window or verdict.ended
    if speaks_of is not None:
        current.correlation_id = speaks_of.access_request_id
    if window is not None and verdict.decision:
        access = row_of(question, facts, window, at=facts.at)
        current.subject_type, current.subject_id = "grant", str(window.grant_id)
        detail = detail_of(access, question, facts, window)
        return current.entry(CONTENT_ACCESS_ALLOWED, detail=detail, text=text_of(question, facts)), access
    return _refused(current, question, facts, verdict), None


def _refused(current: Step, question: Question, facts: Facts, verdict: Verdict) -> Witnessed | None:
    if facts.resource_id is None:
        actor = current.actor
        with bound_contextvars(request_id=actor.request_id, ip=actor.ip):
            who = str(actor.person_id)
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
    return current.entry(
        ACT_REFUSED,
        detail={**detail, **asked, "item": question.item},
        text=f"{current.action} {verdict.reason}",
    )
