"""Access requests over AuthZEN: what binds a request to the denial before it, and its refusals. Pure.

The Access Request and Approval Profile (draft 1, docs/access-requests-over-authzen.md) calls an access request a task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from requests_app.domain.errors import DomainError, NotFound, WrongState
from requests_app.domain.ids import as_id
from requests_app.domain.states import PENDING, State

#: The type of the token that binds a request to its denial, so that no other token can be used in its place.
TOKEN_TYPE = "lockbox-denial+jwt"  # noqa: S105 - a name
#: How long an access request can be raised after the denial.
DENIAL_COUNTS_FOR = timedelta(minutes=10)
#: How long a task can be read. Both stages and the longest window are over by then.
TASK_LIVES_FOR = timedelta(days=3)
#: How long an engineer can confirm a draft.
DRAFT_LIVES_FOR = timedelta(hours=24)
#: The most characters of a token. Longer ones are not even read.
TOKEN_MAX = 8 * 1024


class NotRequestable(DomainError):
    code, status = "not_requestable", 400
    is_evidence = False
    default = _("Nobody can ask for this access. Ask the decision point again.")


class InvalidDenialBinding(DomainError):
    code, status = "invalid_denial_binding", 400
    default = _("The denial does not belong to this request, or was used before. Ask the decision point again.")


class ExpiredDenial(DomainError):
    code, status = "expired_denial", 410
    is_evidence = False
    default = _("The denial is too old. Ask the decision point again.")


class UnknownTask(NotFound):
    code = "unknown_task"
    default = _("There is no such task, or another client has it.")


class TaskExpired(DomainError):
    code, status = "task_expired", 410
    is_evidence = False
    default = _("This task can no longer be read.")


class InvalidTaskState(WrongState):
    code = "invalid_task_state"
    is_evidence = False
    default = _("The task has ended. It can’t be cancelled.")


class Status(StrEnum):
    """The states of a task. A task becomes one of the last four once, and then stays so."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


_STATUS: dict[State, Status] = {
    **dict.fromkeys(PENDING, Status.PENDING),
    State.OPEN: Status.APPROVED,
    # The window was opened. Its end does not change the decision.
    State.CLOSED: Status.APPROVED,
    State.DENIED: Status.DENIED,
    State.EXPIRED: Status.EXPIRED,
    State.WITHDRAWN: Status.CANCELLED,
}


def status_of(state: State) -> Status:
    return _STATUS[state]


def draft_status(ended_at: datetime | None, expires_at: datetime, *, at: datetime) -> Status:
    """Return the status of a draft that nobody confirmed. It expires without anybody's act."""
    if ended_at is not None and ended_at < expires_at:
        return Status.CANCELLED
    return Status.EXPIRED if (ended_at or at) >= expires_at else Status.PENDING


#: The ends about which a client can get a message (`callback.events`). The last two are in the profile, and never
#: happen.
CALLBACK_EVENTS = (*(str(status) for status in Status if status is not Status.PENDING), "failed", "partial")
#: The longest text that a client can get back with a callback.
CALLBACK_STATE_MAX = 1000


@dataclass(frozen=True, kw_only=True)
class Callback:
    """Where a client wants a message when its task has ended. Without `events`, it wants one about each end."""

    endpoint: str
    state: str = ""
    events: tuple[str, ...] | None = None


class NextAction(StrEnum):
    """What a caller should do after a denial, although it had an approval."""

    REQUEST = "request"
    NONE = "none"


class ApprovalReason(StrEnum):
    """Why the approval that a caller sent does not help."""

    EXPIRED = "approval_expired"
    OUT_OF_SCOPE = "out_of_scope"
    POLICY_DENIED = "policy_denied"
    UNVERIFIABLE = "approval_unverifiable"


#: The reasons after which a new access request can help.
ASKS_AGAIN = frozenset({ApprovalReason.EXPIRED, ApprovalReason.OUT_OF_SCOPE})


@dataclass(frozen=True, kw_only=True)
class Denial:
    """A denied question of one client, as its token says it. `number` is used once."""

    number: UUID
    client_id: UUID
    asked: Mapping[str, Any]
    engineer_id: UUID
    resource_id: UUID
    tenant_id: UUID
    ends_at: datetime

    def claims(self, *, issuer: str, audience: str, at: datetime) -> dict[str, Any]:
        return {
            "iss": issuer,
            "aud": audience,
            "iat": int(at.timestamp()),
            "exp": int(self.ends_at.timestamp()),
            "jti": str(self.number),
            "client_id": str(self.client_id),
            "evaluation_id": str(self.number),
            "denial_expires_at": instant(self.ends_at),
            "binding_context_members": sorted(self.asked["context"]),
            **self.asked,
            "engineer": str(self.engineer_id),
            "resource_id": str(self.resource_id),
            "tenant": str(self.tenant_id),
        }


def denial_in(claims: Mapping[str, Any], *, issuer: str, audience: str) -> Denial:
    """Read the claims of a token of TOKEN_TYPE. Raise InvalidDenialBinding if they are not ours."""
    number, client = as_id(claims.get("jti")), as_id(claims.get("client_id"))
    engineer, resource, tenant = (as_id(claims.get(name)) for name in ("engineer", "resource_id", "tenant"))
    ends = claims.get("exp")
    asked = {name: claims.get(name) for name in ("subject", "action", "resource", "context")}
    if (claims.get("iss"), claims.get("aud")) != (issuer, audience) or not isinstance(ends, int):
        raise InvalidDenialBinding
    if number is None or client is None or engineer is None or resource is None or tenant is None:
        raise InvalidDenialBinding
    return Denial(
        number=number,
        client_id=client,
        asked=asked,
        engineer_id=engineer,
        resource_id=resource,
        tenant_id=tenant,
        ends_at=datetime.fromtimestamp(ends, UTC),
    )


def instant(at: datetime) -> str:
    """Return the instant to the second, as callers must send it back."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
