"""Test cases for the acts on content in a window: through this product, or through another service."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from requests_app import operations
from requests_app.domain.evaluation import Question
from requests_app.domain.scopes import Scope
from requests_app.doors.api.guard_reports import report_in
from requests_app.models import Grant
from requests_app.platform import token_ids
from tests.acts.case import Case
from tests.cast import Cast


def _question(cast: Cast) -> Question:
    resource = str(cast.resource().pk)
    return Question(
        subject_type="engineer",
        subject=str(cast.priya.pk),
        action="read",
        service="exchange-online",
        resource=resource,
        item="7.mail",
    )


def _access_question(cast: Cast) -> dict[str, Any]:
    return {
        "subject": {"type": "engineer", "id": str(cast.priya.pk)},
        "action": {"name": "read"},
        "resource": {"type": "exchange-online", "id": str(cast.resource().pk)},
        "context": {"purpose": "access", "item": "7.mail"},
    }


def _reported(row: Grant) -> dict[str, Any]:
    """Return a report of a new guard about this window."""
    access = {
        "grant_id": str(row.pk),
        "resource": str(row.access_request.resources.get().pk),
        "engineer": str(row.engineer_id),
        "jti": token_ids.made(row.pk, row.engineer_id),
        "action": "view",
        "item": "GET /w/{id}",
        "at": row.opens_at.isoformat(),
        "kind": "access",
    }
    return {"guard": str(uuid4()), "life": str(uuid4()), "first": 1, "backlog": 0, "accesses": [access]}


CASES: dict[str, Case] = {
    "allow_access": Case(
        None,
        lambda cast: cast.opened(),
        lambda cast, row, actor: operations.allow_access(_question(cast), actor=actor),
        api=lambda cast, caller, row: caller.post("/access/v1/evaluation", _access_question(cast)),
    ),
    "report_accesses": Case(
        None,
        lambda cast: cast.in_quillo(),
        lambda cast, row, actor: operations.report_accesses(report_in(_reported(row)), actor=actor),
        api=lambda cast, caller, row: caller.post("guard/accesses", _reported(row)),
        scope=Scope.GUARD,
    ),
}
