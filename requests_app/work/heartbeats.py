"""Writes and claims heartbeats, which the watchdog, `/readyz` and the admin read."""

import datetime as dt
import os
import socket

from django.db.models import Q

from requests_app.models import Heartbeat


def host_name() -> str:
    return socket.gethostname()


def cluster_name() -> str:
    """Return the name under which this cluster's workers are watched: `CLUSTER_NAME`, else the host's."""
    return os.environ.get("CLUSTER_NAME") or host_name()


def of_cluster(cluster: str) -> str:
    """Return the heartbeat's name for one cluster, so that a stuck one can't hide behind its neighbours."""
    return f"{Heartbeat.WORKER}{cluster}"[:120]


def touch(name: str, *, at: dt.datetime) -> None:
    """Record that `name` was alive at `at`."""
    beat = Heartbeat(name=name, at=at, pid=os.getpid(), detail=cluster_name()[:200])
    Heartbeat.objects.bulk_create(
        [beat], update_conflicts=True, unique_fields=["name"], update_fields=["at", "pid", "detail"]
    )


def claim(name: str, *, every: dt.timedelta, at: dt.datetime) -> bool:
    """Take the turn `name`, which is free once per `every` for all processes; return whether it was free.

    A turn that seems to be in the future was taken before the clock was set back, and does not count.
    """
    free = Q(at__lte=at - every) | Q(at__gt=at + every)
    if Heartbeat.objects.filter(free, name=name).update(at=at, pid=os.getpid()):
        return True
    _, created = Heartbeat.objects.get_or_create(name=name, defaults={"at": at, "pid": os.getpid()})
    return created
