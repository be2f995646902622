"""Advice from the decision point: what it would answer if a service asked now.

Advice is not recorded, so a service must not open content because of it.
"""

from __future__ import annotations

from requests_app.domain import evaluation
from requests_app.domain.actors import Actor
from requests_app.domain.evaluation import Question, Verdict
from requests_app.models.evaluation import ask, last_ended, read, require_still


def evaluate(question: Question, *, actor: Actor) -> Verdict:
    """Return what the decision point would answer to this question now, without recording an access.

    A service that wants to open content must report the access instead.
    """
    query = ask(question, actor=actor)
    facts, _head = read(query, hold=False)
    require_still(facts, actor=actor)
    verdict, window = evaluation.judge(question, facts, at=facts.at, sees_people=query.within is None)
    if evaluation.may_have_ended(verdict, window):
        return evaluation.after(verdict, last_ended(question, facts))
    return verdict
