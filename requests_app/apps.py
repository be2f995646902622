"""Registers the application and its administration with Django."""

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.utils.translation import gettext_lazy as _


class RequestsConfig(AppConfig):
    name = "requests_app"
    verbose_name = _("Customer Lockbox")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from audit_app import recorder
        from requests_app.identity import sessions  # noqa: F401 - importing registers what a sign-out ends
        from requests_app.platform import chime
        from requests_app.work import startup_checks  # noqa: F401 - importing registers them

        recorder.tell(chime.strike_after_commit)


class LockboxAdminConfig(AdminConfig):
    """Replaces Django's admin site by the project's own site, so that all models are registered there."""

    default_site = "requests_app.doors.admin.site.LockboxAdminSite"
