"""Checks whether the actor may see a page that is only for some people. Pages call this and have no rules of their own.

The functions raise NotAllowed. They judge only what people may see. The operations judge what people may do.
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
    """Raise NotAllowed unless the actor may read the tenant's whole log. Staff may read it too."""
    policy.require_role(actor, _LOG_READERS, tenant_id=tenant_id)


def require_staff(actor: Actor) -> None:
    policy.require_staff(actor)
