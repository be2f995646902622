"""Makes sample content for a tenant of a trial."""

from __future__ import annotations

from django.utils.translation import gettext as _

from requests_app.content import samples
from requests_app.domain.actors import Actor
from requests_app.domain.acts.installation import MAKE_SAMPLE_FOLDER, SAMPLE_MADE
from requests_app.domain.errors import WrongState
from requests_app.models import Service, Tenant
from requests_app.operations._change import Step
from requests_app.operations._perform import perform
from requests_app.queries.installation import is_trial


def make_sample_folder(tenant_id: object, *, actor: Actor) -> Tenant:
    """Write made-up files for each kind of content that a service reads, under the tenant's own root.

    If the transaction fails after the files are written, they stay without an entry. They are made up, and they are no
    resource of anybody yet.
    """
    connectors: list[str] = []

    def state(current: Step) -> None:
        if not is_trial():
            raise WrongState(_("Only a trial has sample folders."))
        if not current.row.is_active:
            raise WrongState(_("The tenant is already switched off."))
        rows = Service.objects.filter(is_active=True).exclude(connector=Service.EXTERNAL)
        connectors.extend(rows.order_by("connector").values_list("connector", flat=True).distinct())
        if not connectors:
            raise WrongState(_("No service reads content from this machine yet."))
        if not samples.is_without_content(current.row.slug):
            raise WrongState(_("This tenant has content already."))

    with perform(MAKE_SAMPLE_FOLDER, tenant_id, actor=actor, state=state) as current:
        tenant: Tenant = current.row
        places = samples.make(tenant.slug, connectors)
        current.witness(SAMPLE_MADE, detail={"places": places})
    return tenant
