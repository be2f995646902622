"""Who is shown a page that only some people are shown. The pages ask here, and judge nothing themselves.

What may be done is an operation's to say. These say only what may be seen, and raise NotAllowed.
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
    """For those who read the tenant's whole log, and for staff."""
    policy.require_role(actor, _LOG_READERS, tenant_id=tenant_id)


def require_staff(actor: Actor) -> None:
    policy.require_staff(actor)
