"""Describes an access to content elsewhere that was allowed: its row, and the detail of its entry."""

from __future__ import annotations

from datetime import datetime
from uuid import uuid4

from audit_app import canonical
from requests_app.domain.evaluation import Facts, Question, Window
from requests_app.domain.levels import Action
from requests_app.models import ContentAccess

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
    return ContentAccess(
        id=uuid4(),
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
