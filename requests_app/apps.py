"""Names the application and its administration to Django."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.utils.translation import gettext_lazy as _


class RequestsConfig(AppConfig):
    name = "requests_app"
    verbose_name = _("Customer Lockbox")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from requests_app.work import startup_checks  # noqa: F401 - importing registers them


class LockboxAdminConfig(AdminConfig):
    """Puts the project's own site in place of Django's, so that all registrations are made there."""

    default_site = "requests_app.doors.admin.site.LockboxAdminSite"
