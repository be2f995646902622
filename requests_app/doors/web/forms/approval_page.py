"""The form in which a tenant's administrator sets the address of the tenant's own approval page."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from requests_app.doors.web.forms.strict import StrictForm
from requests_app.models import Tenant


class ApprovalPageForm(StrictForm):
    origin = forms.CharField(
        label=_("Address of your page"),
        help_text=_(
            "For example: https://approvals.example.com. Leave this field empty if you have no approval page of "
            "your own."
        ),
        max_length=300,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off", "inputmode": "url"}),
    )
    rp_id = forms.CharField(
        label=_("Site of the page’s passkeys (RP ID)"),
        help_text=_(
            "The host name of your page, or a parent domain of that host name. If you leave this field empty, the "
            "host name is used. Passkeys of other sites are not accepted."
        ),
        max_length=253,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    keys_only = forms.BooleanField(
        label=_("Approvals count only if they are signed with a passkey of this site."),
        required=False,
    )

    def __init__(self, *args: Any, tenant: Tenant, **kwargs: Any) -> None:
        now = {"origin": tenant.approval_origin, "rp_id": tenant.approval_rp_id, "keys_only": tenant.own_keys_only}
        kwargs.setdefault("initial", now)
        super().__init__(*args, **kwargs)
