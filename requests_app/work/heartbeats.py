"""Writes the heartbeats, and gives each turn of periodic work to only one process.

The watchdog, `/readyz` and the admin read heartbeats.
"""

import datetime as dt
import os
import socket
from functools import partial

from django.db import connection

from audit_app import lease
from requests_app.models import Heartbeat
from requests_app.platform.database.compiled import CompiledQuery, store
from requests_app.platform.database.prepared import prepared

#: How often a host writes that nothing has changed about its right to sign.
SIGNER_EVERY = dt.timedelta(minutes=1)


#: The name and the time of every heartbeat and turn.
all_times = CompiledQuery(lambda: Heartbeat.objects.order_by().values_list("name", "at"))


def host_name() -> str:
    return socket.gethostname()


def cluster_name() -> str:
    """Return the name of this cluster: `CLUSTER_NAME`, or the host's name if that is not set."""
    return os.environ.get("CLUSTER_NAME") or host_name()


def of_cluster(cluster: str) -> str:
    """Return the name of a cluster's heartbeat.

    Each cluster has its own heartbeat, so that a stuck cluster is noticed.
    """
    return f"{Heartbeat.WORKER}{cluster}"[:120]


def of_beat() -> str:
    """Return the name of the heartbeat of this host's beat, so that another host's beat does not hide a stuck one."""
    return f"{Heartbeat.BEAT}:{host_name()}"[:120]


def of_tool_proxy() -> str:
    """Return the name of the heartbeat of this host's proxy for web tools."""
    return f"{Heartbeat.TOOLS}{host_name()}"[:120]


def of_task(task: str) -> str:
    """Return the name of the sign of a task, which is written when the task succeeds, or has nothing to do."""
    return task.rpartition(".")[2]


def touch(*names: str, at: dt.datetime) -> None:
    """Store that the processes or tasks with these names were alive at `at`, or that the tasks had nothing to do."""
    pid, detail = os.getpid(), cluster_name()[:200]
    if names:
        store([Heartbeat(name=name, at=at, pid=pid, detail=detail) for name in sorted(names)])


def report_failure(name: str, why: str) -> None:
    """Store why the job `name` failed, and leave the time of its last success."""
    detail = f"{Heartbeat.FAILED}{why}"[:200]
    Heartbeat.objects.get_or_create(name=name, defaults={"at": Heartbeat.NEVER, "pid": os.getpid()})
    Heartbeat.objects.filter(name=name).update(detail=detail)


def report_signer(*, at: dt.datetime, refused: str = "") -> None:
    """Store that this host can sign the logs, or why it can't. Without a change, this is written once a minute."""
    name = f"{Heartbeat.SIGNER}{lease.host()}"[:120]
    detail = f"{Heartbeat.FAILED}{refused}"[:200] if refused else ""
    if Heartbeat.objects.filter(name=name, detail=detail, at__gt=at - SIGNER_EVERY, at__lte=at).exists():
        return
    store([Heartbeat(name=name, at=at, pid=os.getpid(), detail=detail)])


#: Adds the row of a turn, or changes it if the turn is free.
_CLAIM = prepared(
    """
    INSERT INTO requests_app_heartbeat (name, at, pid, detail) VALUES (%s, %s, %s, '')
    ON CONFLICT (name) DO UPDATE SET at = EXCLUDED.at, pid = EXCLUDED.pid
    WHERE requests_app_heartbeat.at <= %s OR requests_app_heartbeat.at > %s
    """
)


class Turns:
    """The turns as one query has read them, so that a turn that is not free costs no further query."""

    def __init__(self, at: dt.datetime) -> None:
        self._at, self._taken = at, dict(all_times())

    def knows(self, name: str) -> bool:
        return name in self._taken

    def claim(self, name: str, *, every: dt.timedelta) -> bool:
        """As `claim`. Another process may have taken the turn since it was read."""
        return self.is_free(name, every=every) and claim(name, every=every, at=self._at)

    def is_free(self, name: str, *, every: dt.timedelta) -> bool:
        """Return whether nobody had taken this turn when the turns were read."""
        taken = self._taken.get(name)
        return taken is None or not self._at - every < taken <= self._at + every


def claim(name: str, *, every: dt.timedelta, at: dt.datetime) -> bool:
    """Claim the turn `name`, which only one process gets in each period `every`.

    Return whether this process got the turn. If the stored turn is in the future, the clock was set back since then,
    and that turn is ignored.
    """
    instant = partial(Heartbeat._meta.get_field("at").get_db_prep_value, connection=connection)
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, [name, instant(at), os.getpid(), instant(at - every), instant(at + every)])
        return bool(cursor.rowcount)
