"""`manage.py cluster`: run one django-q2 cluster."""

import os
from typing import Any

from django.db import connections
from django_q.management.commands import qcluster

from requests_app.management._fitness import compare_heads, require_log_name
from requests_app.platform.database import bounds
from requests_app.work.broker import WAIT_SECONDS
from requests_app.work.sentinel import Sentinel


class Command(qcluster.Command):
    help = "Runs one cluster of workers until SIGTERM. CLUSTER_NAME names its heartbeat (default: the host)."

    def handle(self, *args: Any, **options: Any) -> None:
        require_log_name()
        for line in compare_heads():
            self.stderr.write(line)
        # This limit is for the processes that fetch tasks and record their end. A task can wait longer (guard.py).
        bounds.of_process(bounds.worker(wait_seconds=WAIT_SECONDS))
        # The processes that are forked next must not share a connection that is already open.
        connections.close_all()
        if name := options.get("cluster_name"):
            os.environ["Q_CLUSTER_NAME"] = name
        Sentinel(is_run_once=bool(options.get("run_once"))).start()
