"""The admin site of this product."""

from typing import Any, cast

from allauth.account.decorators import secure_admin_login
from django.contrib.admin import AdminSite
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _


class LockboxAdminSite(AdminSite):
    site_header = _("Customer Lockbox administration")
    site_title = _("Customer Lockbox")
    index_title = _("Overview")

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Send people to the product's own sign-in, with its rate limits: a second one would have none."""
        return cast(HttpResponse, secure_admin_login(super().login)(request, extra_context))
