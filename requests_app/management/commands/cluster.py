"""`manage.py cluster`: run one django-q2 cluster."""

from typing import Any

from django.core.management.base import BaseCommand
from django.db import connections

from requests_app.management._fitness import compare_heads, require_log_name
from requests_app.platform.database import bounds
from requests_app.work.broker import WAIT_SECONDS
from requests_app.work.sentinel import Sentinel


class Command(BaseCommand):
    help = "Runs one cluster of workers until SIGTERM. CLUSTER_NAME names its heartbeat (default: the host)."

    def handle(self, *args: Any, **options: Any) -> None:
        require_log_name()
        for line in compare_heads():
            self.stderr.write(line)
        # This limit is for the processes that fetch tasks and record their end. A task can wait longer (guard.py).
        bounds.of_process(bounds.worker(wait_seconds=WAIT_SECONDS))
        # The processes that are forked next must not share a connection that is already open.
        connections.close_all()
        Sentinel().start()
