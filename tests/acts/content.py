"""Test cases for the acts on content in a window: through this product, or through another service."""

from __future__ import annotations

from typing import Any

from requests_app import operations
from requests_app.domain.evaluation import Question
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


CASES: dict[str, Case] = {
    "allow_access": Case(
        None,
        lambda cast: cast.opened(),
        lambda cast, row, actor: operations.allow_access(_question(cast), actor=actor),
        api=lambda cast, caller, row: caller.post("/access/v1/evaluation", _access_question(cast)),
    ),
}
