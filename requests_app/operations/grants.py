"""Ends a window: the engineer gives it back, somebody closes it early, or its time is over."""

from __future__ import annotations

from requests_app.domain.actors import Actor
from requests_app.domain.acts.access_requests import CLOSE, RELEASE, REVOKE
from requests_app.models import AccessRequest, Grant
from requests_app.operations._change import change, once
from requests_app.operations._ending import close_grant


@once
def release(access_request_id: object, *, actor: Actor, note: str = "") -> AccessRequest:
    """Close one's own window: the engineer is done."""
    with change(access_request_id, RELEASE, actor=actor, note=note) as step:
        close_grant(step, Grant.CloseReason.RELEASED)
    return step.row


@once
def revoke(access_request_id: object, *, actor: Actor, note: str = "") -> AccessRequest:
    """Close the window now. A reason is optional: nobody who is allowed to close a window has to give one."""
    with change(access_request_id, REVOKE, actor=actor, note=note) as step:
        close_grant(step, Grant.CloseReason.REVOKED)
    return step.row


def close(access_request_id: object, *, actor: Actor) -> AccessRequest:
    """Record that the window ran out. It gave no access from `closes_at` on, even before this was recorded."""
    with change(access_request_id, CLOSE, actor=actor) as step:
        close_grant(step, Grant.CloseReason.ELAPSED)
    return step.row
