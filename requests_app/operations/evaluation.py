"""Answers another service that wants to open content for an engineer. The answer is recorded and committed first."""

from __future__ import annotations

from requests_app.domain.actors import Actor
from requests_app.domain.evaluation import Question, Verdict
from requests_app.operations import _decision_lane
from requests_app.operations._waiting_questions import Call

__all__ = ["Call", "allow_access"]


def allow_access(question: Question, *, actor: Actor) -> Verdict:
    """Return the same answer as `queries.evaluation.evaluate` would give, and record the answer.

    When this returns, the entry is committed. A permission is valid for opening content once, now. A denial is recorded
    too, if the asker may know of the resource. Only a client can call this: the service that is about to open the
    content. The doors ask the decision lane, which answers many callers together in the same way.
    """
    return _decision_lane.recorded(question, actor=actor)
