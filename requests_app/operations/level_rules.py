"""A tenant's rule about levels of access: its administrator rules a level out, or allows it again."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from django.utils.translation import gettext as _

from requests_app.domain.actors import Actor
from requests_app.domain.acts.proposals import PROPOSAL_WITHDRAWN
from requests_app.domain.acts.tenants import ALLOW_LEVEL, LEVEL_ALLOWED, LEVEL_RULED_OUT, RULE_OUT_LEVEL
from requests_app.domain.errors import WrongState
from requests_app.domain.ids import as_id
from requests_app.domain.levels import Level
from requests_app.messages.topics import Audience, Note, Topic
from requests_app.models import AccessRequest, Tenant
from requests_app.models.tenants import LEVEL_RULES
from requests_app.operations._change import Step, lock_access
from requests_app.operations._ending import end_access
from requests_app.operations._perform import perform
from requests_app.operations._second import controlled, proposal_detail, require_customer, tell
from requests_app.operations._subjects import tenant as found_tenant


def rule_out_level(tenant_id: object, *, level: str, actor: Actor) -> Tenant:
    """Rule a level out: nobody can ask for it, and what was asked or opened with it ends at once.

    It only takes power away from the provider, so it needs neither a fresh proof nor a second person.
    """

    def find(current: Step, row_id: object) -> Tenant:
        lock_access(AccessRequest.objects.visible_to(current.actor).filter(tenant=as_id(row_id), level=level))
        return found_tenant(current, row_id)

    def state(current: Step) -> None:
        if not current.row.allows(level):
            raise WrongState(_("This level is ruled out already."))

    def holds(current: Step) -> None:
        require_customer(current, current.row)

    inputs = {"level": level}
    with perform(RULE_OUT_LEVEL, tenant_id, actor=actor, inputs=inputs, find=find, state=state, holds=holds) as current:
        tenant: Tenant = current.row
        tenant.set_level_rule(level, is_allowed=False)
        tenant.save(update_fields=LEVEL_RULES)
        current.witness(LEVEL_RULED_OUT, detail={"level": level})
        _tell(current, tenant, level)
        _withdraw_proposals(current, tenant, level)
        # The log is locked here, so no approval can open a window with this level behind our back.
        end_access(current, AccessRequest.objects.filter(tenant=tenant, level=level), cause="level-ruled-out")
    return tenant


def allow_level(tenant_id: object, *, level: str, actor: Actor) -> Tenant:
    """Allow a level that was ruled out. Nothing that ended is restored."""

    def state(current: Step) -> None:
        _require_ruled_out(current.row, level)

    inputs = {"level": level}
    with perform(ALLOW_LEVEL, tenant_id, actor=actor, inputs=inputs, state=state, holds=lambda _: inputs) as current:
        _allow_level(current, current.row, inputs)
        tenant: Tenant = current.row
    return tenant


@controlled(ALLOW_LEVEL)
def _allow_level(current: Step, tenant: Tenant, terms: dict[str, Any]) -> None:
    level = str(terms["level"])
    _require_ruled_out(tenant, level)
    tenant.set_level_rule(level, is_allowed=True)
    tenant.save(update_fields=LEVEL_RULES)
    current.witness(LEVEL_ALLOWED, detail={"level": level})
    _tell(current, tenant, level)


def _withdraw_proposals(current: Step, tenant: Tenant, level: str) -> None:
    """Withdraw the proposals to allow this level. Otherwise, an older proposal could undo the newer rule."""
    for row in tenant.proposals.pending(current.at).filter(act=ALLOW_LEVEL.name, said__level=level):
        row.ended_at = current.at
        row.save(update_fields=["ended_at"])
        current.witness(PROPOSAL_WITHDRAWN, detail={**proposal_detail(row), "proposed_by": row.proposed_by.name})
        tell(current, row, "withdrawn")


def _require_ruled_out(tenant: Tenant, level: str) -> None:
    if level in Level.values and tenant.allows(level):
        raise WrongState(_("This level is allowed already."))


def _tell(current: Step, tenant: Tenant, level: str) -> None:
    current.tell(
        Note(
            topic=Topic.LEVEL_RULE_CHANGED,
            tenant_id=tenant.pk,
            about=tenant.pk,
            audiences=(Audience.CUSTOMER, Audience.ADMINISTRATORS),
            mark=uuid4().hex,
            extra={"level": level, "allowed": "yes" if tenant.allows(level) else "", "by": current.actor.name},
        )
    )
