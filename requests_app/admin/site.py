"""The admin site of this product."""

from typing import Any

from allauth.account.decorators import secure_admin_login
from django.contrib.admin import AdminSite
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext_lazy as _


class LockboxAdminSite(AdminSite):
    site_header = _("Customer Lockbox administration")
    site_title = _("Customer Lockbox")
    index_title = _("Overview")

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        """Send people to the product's own sign-in, with its rate limits: a second one would have none."""
        return secure_admin_login(super().login)(request, extra_context)
