"""`manage.py reseal`: encrypt every secret in the database with the present keys of the settings, immediately."""

from typing import Any

from django.core.management.base import BaseCommand
from django.utils.translation import gettext as _

from requests_app.models import Webhook
from requests_app.work import resealing
from requests_app.work.webhooks import tidying


class Command(BaseCommand):
    help = (
        "Encrypt the stored secrets again with the present keys. Afterwards, a former SECRET_KEY, WEBHOOK_KEY or "
        "SECOND_FACTOR_KEY can be removed."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        resealing.work(lambda: False)
        for webhook in Webhook.objects.filter(removed_at=None):
            tidying.seal_anew(webhook)
        self.stdout.write(
            _(
                "Everything that a known key can decrypt is now encrypted with a present key: the first key of its "
                "setting."
            )
        )
