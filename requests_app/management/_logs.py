"""Code that the commands about logs share: how to find a log by its name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from django.core.management.base import CommandError
from django.utils.translation import gettext as _

from audit_app.models import LogAlarm
from requests_app.domain.actors import Actor
from requests_app.domain.ids import as_id
from requests_app.models import Tenant
from requests_app.operations._change import PROVIDER_LOG

#: The name of the provider's own log, in place of a tenant's short name. No short name contains a dot.
PROVIDER = "provider."


@dataclass(frozen=True)
class Log:
    id: UUID
    name: str


def log_of(wanted: str) -> Log:
    """Return a tenant's log by the tenant's short name or id, or the provider's log by "provider." or its id.

    A restored backup can lack a tenant although an alarm about the tenant's log exists. The tenant's id still finds
    this log.
    """
    if wanted in (PROVIDER, str(PROVIDER_LOG)):
        return Log(PROVIDER_LOG, str(_("The provider's own log")))
    tenant_id = as_id(wanted)
    named = {"slug": wanted} if tenant_id is None else {"pk": tenant_id}
    found = Tenant.objects.filter(**named).first()
    if found is None and tenant_id is not None and LogAlarm.objects.filter(pk=tenant_id).exists():
        return Log(tenant_id, str(tenant_id))
    if found is None:
        raise CommandError(_("There is no tenant %(name)s.") % {"name": wanted}, returncode=2)
    return Log(found.pk, found.name)


def actor(name: str) -> Actor:
    """Return the system as the actor of a command that the operator runs."""
    return replace(Actor.system(name), door="command")
