"""The admin site of this product."""

from allauth.account.decorators import secure_admin_login
from django.contrib.admin import AdminSite
from django.utils.translation import gettext_lazy as _


class LockboxAdminSite(AdminSite):
    site_header = _("Customer Lockbox administration")
    site_title = _("Customer Lockbox")
    index_title = _("Overview")

    # The product's own sign-in, with its rate limits, in place of a second one without them.
    login = secure_admin_login(AdminSite.login)  # type: ignore[assignment]
