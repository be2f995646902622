"""`manage.py beat`: run the beat, which queues periodic work when it is due."""

import signal
from typing import Any

from django.core.management.base import BaseCommand

from requests_app.work.beat import Beat


class Command(BaseCommand):
    help = "Enqueues periodic work when it is due, until SIGTERM. Several can run at the same time."

    def handle(self, *args: Any, **options: Any) -> None:
        beat = Beat()
        signal.signal(signal.SIGTERM, beat.stop)
        signal.signal(signal.SIGINT, beat.stop)
        beat.run()
