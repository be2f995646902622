"""Decides who may see a page that is only for some people. The pages ask here and judge nothing themselves.

These functions raise NotAllowed. They judge only what people may see; operations judge what people may do.
"""

from __future__ import annotations

from uuid import UUID

from requests_app.domain import policy
from requests_app.domain.actors import Actor, Role

_ADMINISTRATOR = frozenset({Role.ADMINISTRATOR})
_LOG_READERS = policy.LOG_READERS | {Role.STAFF}


def require_administrator(tenant_id: UUID, *, actor: Actor) -> None:
    policy.require_role(actor, _ADMINISTRATOR, tenant_id=tenant_id)


def require_log_reader(tenant_id: UUID, *, actor: Actor) -> None:
    """Raise NotAllowed unless the actor reads the tenant's whole log or is staff."""
    policy.require_role(actor, _LOG_READERS, tenant_id=tenant_id)


def require_staff(actor: Actor) -> None:
    policy.require_staff(actor)
