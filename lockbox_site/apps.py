"""Connects other libraries to this project once the settings are loaded."""

from django.apps import AppConfig
from django.conf import settings


class SiteConfig(AppConfig):
    name = "lockbox_site"

    def ready(self) -> None:
        from django_q.conf import Conf

        from lockbox_site import active_values

        active_values.install()
        Conf.SECRET_KEY = settings.TASK_SIGNING_KEY
        if settings.METRICS or settings.TRACES:
            from lockbox_site.monitoring import watching

            watching.start()
        if settings.PSEUDO_LOCALE:
            from lockbox_site import pseudolocale

            pseudolocale.install()
