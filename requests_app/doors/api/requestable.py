"""What AuthZEN's Access Request and Approval Profile adds to an answer of the decision point.

A denial says that the engineer can ask for the access, and a denial despite an approval says what to do next. Nothing
here changes a decision, or writes anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.urls import reverse
from rest_framework import serializers

from requests_app.domain.access_tasks import ASKS_AGAIN, ApprovalReason, NextAction, instant
from requests_app.domain.actors import Actor
from requests_app.domain.evaluation import Question, Verdict
from requests_app.queries import asking

CAPABILITY = "urn:openid:authzen:capability:access-request"


class AccessRequestHint(serializers.Serializer):
    """How to ask for the denied access. It counts until `expires_at`. Send `binding_token` back unchanged."""

    endpoint = serializers.URLField()
    expires_at = serializers.DateTimeField()
    binding_token = serializers.CharField()
    request_schema_url = serializers.URLField()


class ApprovalEcho(serializers.Serializer):
    id = serializers.UUIDField()
    approved_until = serializers.DateTimeField()


def extended(
    found: dict[str, Any], question: Question, verdict: Verdict, *, approval: Any, actor: Actor
) -> dict[str, Any]:
    """Return the answer with the profile's members, if the caller is a client that can raise access requests."""
    if not asking.may_ask(actor):
        return found
    context = dict(found["context"])
    approval_id = approval["id"] if _is_approval(approval) else None
    if verdict.decision:
        return {**found, "context": context | _echo(approval_id, verdict, actor)}
    hint = _hint(question, verdict, actor)
    if approval_id is not None:
        reason = asking.why_not(approval_id, question, verdict, actor=actor)
        asks = reason in ASKS_AGAIN and bool(hint)
        context |= {"next_action": NextAction.REQUEST if asks else NextAction.NONE, "denied_because": verdict.reason}
        context["reason"] = reason
        if reason is ApprovalReason.POLICY_DENIED:
            # A new approval would not help, so the answer must not lead to one.
            hint = {}
    return {**found, "context": context | hint}


def _is_approval(approval: Any) -> bool:
    return isinstance(approval, Mapping) and isinstance(approval.get("id"), str)


def _echo(approval_id: str | None, verdict: Verdict, actor: Actor) -> dict[str, Any]:
    """Return the approval again if the permission comes from its window. The id alone gives nothing."""
    found = asking.approval_of(approval_id, actor=actor) if approval_id is not None else None
    if found is None or found[1].pk != verdict.grant_id:
        return {}
    return {"approval": {"id": found[1].pk, "approved_until": asking.approved_until(found[1])}}


def _hint(question: Question, verdict: Verdict, actor: Actor) -> dict[str, Any]:
    possible = asking.requestable(question, verdict, actor=actor)
    if possible is None:
        return {}
    denial, token = asking.bound(question, possible, at=verdict.at, actor=actor)
    return {
        "evaluation_id": denial.number,
        "evaluated_at": verdict.at,
        "access_request": {
            "endpoint": settings.BASE_URL + reverse("api:access_tasks"),
            "expires_at": instant(denial.ends_at),
            "binding_token": token,
            "request_schema_url": settings.BASE_URL + reverse("api:access_task_schema"),
        },
    }
