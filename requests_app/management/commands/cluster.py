"""Runs one django-q2 cluster."""

from typing import Any

from django.db import connections
from django_q.management.commands import qcluster


class Command(qcluster.Command):
    help = "Runs one cluster of workers until SIGTERM. CLUSTER_NAME names its heartbeat (default: the host)."

    def handle(self, *args: Any, **options: Any) -> None:
        # A connection that the start-up checks opened must not be shared with the processes that are forked.
        connections.close_all()
        super().handle(*args, **options)
