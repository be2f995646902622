"""Answers another service that wants to open content for an engineer. The answer is recorded and committed first."""

from __future__ import annotations

from dataclasses import replace

from audit_app import recorder
from requests_app.domain import evaluation, policy
from requests_app.domain.actors import Actor
from requests_app.domain.acts.content import ALLOW_ACCESS
from requests_app.domain.evaluation import Question, Verdict
from requests_app.models.evaluation import ask, last_ended, read, require_still
from requests_app.operations import _allowing
from requests_app.operations._change import act


def allow_access(question: Question, *, actor: Actor) -> Verdict:
    """Return the same answer as `queries.evaluation.evaluate` would give, and record the answer.

    When this returns, the entry is committed. A permission is valid for opening content once, now. A denial is recorded
    too, if the asker may know of the resource. Only a client can call this: the service that is about to open the
    content.
    """
    with act(ALLOW_ACCESS, actor=actor, rereads=False) as current:
        # Checked before anything is read: otherwise a person could learn something, or put a line into an engineer's
        # window.
        policy.require_service(actor)
        asked = ask(question, actor=actor)
        facts, head = read(asked, hold=True)
        require_still(facts, actor=actor)
        verdict, window = evaluation.judge(question, facts, at=facts.at, sees_people=asked.within is None)
        if evaluation.may_have_ended(verdict, window):
            verdict = evaluation.after(verdict, last_ended(question, facts))
        entry, access = _allowing.answered(current, question, facts, verdict, window)
        beside = None if access is None else recorder.Beside(access)
        written = recorder.record([entry], at=facts.at, locked_head=head, beside=beside) if entry else []
    return replace(verdict, entry=written[0].seq if written else None)
