"""Ends windows: the engineer closes their own, another person closes one early, or the time of a window is over."""

from __future__ import annotations

from requests_app.domain.actors import Actor
from requests_app.domain.acts.access_requests import CLOSE, RELEASE, REVOKE
from requests_app.models import AccessRequest, Grant
from requests_app.operations._change import change, once
from requests_app.operations._ending import close_grant


@once
def release(access_request_id: object, *, actor: Actor, note: str = "") -> AccessRequest:
    """Close the actor's own window early, because the engineer has finished."""
    with change(access_request_id, RELEASE, actor=actor, note=note) as step:
        close_grant(step, Grant.CloseReason.RELEASED)
    return step.row


@once
def revoke(access_request_id: object, *, actor: Actor, note: str = "") -> AccessRequest:
    """Close a window now. The comment is optional: a person who may close a window need not give a reason."""
    with change(access_request_id, REVOKE, actor=actor, note=note) as step:
        close_grant(step, Grant.CloseReason.REVOKED)
    return step.row


def close(access_request_id: object, *, actor: Actor) -> AccessRequest:
    """Record that the time of a window is over.

    The window has given no access since `closes_at`, even if this is recorded later.
    """
    with change(access_request_id, CLOSE, actor=actor) as step:
        close_grant(step, Grant.CloseReason.ELAPSED)
    return step.row
