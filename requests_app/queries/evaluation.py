"""Advice from the decision point: what it would answer if a service asked now.

Advice is not recorded, so a service must not open content because of it.
"""

from __future__ import annotations

from requests_app.domain import evaluation
from requests_app.domain.actors import Actor
from requests_app.domain.evaluation import Question, Verdict
from requests_app.models.evaluation import ask, require_still
from requests_app.models.evaluations import read_all


def evaluate(question: Question, *, actor: Actor) -> Verdict:
    """Return what the decision point would answer to this question now, without recording an access.

    A service that wants to open content must report the access instead.
    """
    query = ask(question, actor=actor)
    [found] = read_all([query])
    require_still(found.facts, actor=actor)
    verdict, _window = evaluation.answer(question, found.facts, found.ended, sees_people=query.within is None)
    return verdict
