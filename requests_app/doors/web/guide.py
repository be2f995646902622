"""A tenant's set-up: the list of steps for its administrator, and the pages that ask for a part of a stored key."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from requests_app import operations
from requests_app.domain.acts.guide import CONFIRM_LOG_KEY, CONFIRM_RECOVERY_KEY
from requests_app.doors.web._thing_views import addresses
from requests_app.doors.web._things import Action, Link, Page, to
from requests_app.doors.web.forms.tenant import FingerprintForm, KeyEndingForm
from requests_app.queries.guide_of_tenant import tenant_guide

_LIST = to("web:guide", "tenant")
_BACK = Link(_("Set-up of {tenant}"), _LIST)


GUIDE = Page(
    name="guide",
    path="tenant/<uuid:tenant>/set-up/",
    heading=_("Set-up of {tenant}"),
    back=Link(_("Lockbox of {tenant}"), to("web:tenant", "tenant")),
    is_for_administrators=True,
    is_narrow=True,
    template="tenant/set_up.html",
    more=lambda visit: {"guide": tenant_guide(visit.tenant.pk, actor=visit.actor, at=visit.at)},
)
RECOVERY_KEY = Page(
    name="confirm_recovery_key",
    path="tenant/<uuid:tenant>/set-up/recovery-key/",
    heading=CONFIRM_RECOVERY_KEY.title or "",
    back=_BACK,
    is_for_administrators=True,
    is_narrow=True,
    lead=_(
        "Take the printed recovery key from the place where you store it, and enter its last four characters. This "
        "shows that the key can still be found and read. Don’t enter the whole key."
    ),
    action=Action(
        label=_("Confirm the key"),
        act=CONFIRM_RECOVERY_KEY,
        form=lambda visit, data: KeyEndingForm(data),
        run=lambda visit, values: operations.confirm_recovery_key(visit.tenant.pk, actor=visit.actor, **values),
        done=CONFIRM_RECOVERY_KEY.done,
        then=_LIST,
    ),
)
LOG_KEY = Page(
    name="confirm_log_key",
    path="tenant/<uuid:tenant>/set-up/log-key/",
    heading=CONFIRM_LOG_KEY.title or "",
    back=_BACK,
    is_for_administrators=True,
    is_narrow=True,
    lead=(
        _(
            "Take the fingerprint from your own note of the key, and not from this site. Enter its last four "
            "characters. If they are wrong, either your note or this site has a wrong key: ask {provider} by phone."
        ),
        Link(_("How to get the key and save it"), to("web:how_to_verify", "tenant")),
    ),
    action=Action(
        label=_("Confirm the key"),
        act=CONFIRM_LOG_KEY,
        form=lambda visit, data: FingerprintForm(data),
        run=lambda visit, values: operations.confirm_log_key(visit.tenant.pk, actor=visit.actor, **values),
        done=CONFIRM_LOG_KEY.done,
        then=_LIST,
    ),
)

urlpatterns = addresses(GUIDE, RECOVERY_KEY, LOG_KEY)
