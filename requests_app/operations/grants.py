"""Ends a window: the engineer closes it, another person closes it early, or its time is over."""

from __future__ import annotations

from requests_app.domain.actors import Actor
from requests_app.domain.acts.access_requests import CLOSE, RELEASE, REVOKE
from requests_app.models import AccessRequest, Grant
from requests_app.operations._change import change, once
from requests_app.operations._ending import close_grant


@once
def release(access_request_id: object, *, actor: Actor, note: str = "") -> AccessRequest:
    """Close the actor's own window, because the engineer has finished."""
    with change(access_request_id, RELEASE, actor=actor, note=note) as step:
        close_grant(step, Grant.CloseReason.RELEASED)
    return step.row


@once
def revoke(access_request_id: object, *, actor: Actor, note: str = "") -> AccessRequest:
    """Close the window now. A comment is optional: nobody who may close a window must give a reason."""
    with change(access_request_id, REVOKE, actor=actor, note=note) as step:
        close_grant(step, Grant.CloseReason.REVOKED)
    return step.row


def close(access_request_id: object, *, actor: Actor) -> AccessRequest:
    """Record that the time of the window is over.

    The window has given no access since `closes_at`, even before this entry.
    """
    with change(access_request_id, CLOSE, actor=actor) as step:
        close_grant(step, Grant.CloseReason.ELAPSED)
    return step.row
