"""Heartbeats of the background processes, and tasks that have not succeeded."""

from datetime import UTC, datetime

from django.db import models
from django.utils.translation import gettext_lazy as _


class HeartbeatQuerySet(models.QuerySet["Heartbeat"]):
    def workers(self) -> "HeartbeatQuerySet":
        """Return the heartbeats of the clusters, one row for each cluster."""
        return self.filter(name__startswith=Heartbeat.WORKER)

    def tool_proxies(self) -> "HeartbeatQuerySet":
        return self.filter(name__startswith=Heartbeat.TOOLS)

    def of_places(self) -> "HeartbeatQuerySet":
        """Return the heartbeats of clusters, beats, proxies and hosts. A removed host still has its rows."""
        beats = self.filter(name__startswith=f"{Heartbeat.BEAT}:")
        hosts = self.filter(name__startswith=Heartbeat.HOST)
        return self.workers() | beats | self.tool_proxies() | self.signers() | hosts

    def signers(self) -> "HeartbeatQuerySet":
        """Return the heartbeats of the hosts that have the log's key. `detail` says why a host is refused."""
        return self.filter(name__startswith=Heartbeat.SIGNER)


class Heartbeat(models.Model):
    """The time at which a background process, a task or a host last reported.

    `name` says who reported, and what:

    - `worker:<cluster>`: The cluster completed a task.
    - `<task>`: The task succeeded, or a beat looked and found that it had nothing to do.
    - `beat`: A beat runs.
    - `beat:<host>`: The beat of this host runs.
    - `pulse:<task>`: The beat queued the task without waiting for the task's schedule.
    - `tools:<host>`: The proxy for web tools runs on this host.
    - `signer:<host>`: This host has the log's key. If it can't sign, `detail` says why.
    - `backup`: A backup was made and checked. If the last one failed, `detail` says why.
    - `heads`: The signed heads were copied to another place.
    - `host:<name>`: The health check of a web server wrote this row, to test that the server can write.
    """

    WORKER = "worker:"
    BEAT = "beat"
    PULSE = "pulse:"
    HOST = "host:"
    TOOLS = "tools:"
    SIGNER = "signer:"
    #: The beginning of the detail of what failed.
    FAILED = "failed: "
    BACKUP = "backup"
    HEADS = "heads"
    #: When a job that has never succeeded was last seen. It is older than every limit.
    NEVER = datetime(1970, 1, 1, tzinfo=UTC)

    name = models.CharField(_("name"), max_length=120, primary_key=True)
    at = models.DateTimeField(_("last seen"), db_index=True)
    pid = models.PositiveIntegerField(_("process id"))
    detail = models.CharField(_("detail"), max_length=200, blank=True, default="")

    objects = HeartbeatQuerySet.as_manager()

    class Meta:
        verbose_name = _("heartbeat")
        verbose_name_plural = _("heartbeats")
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class TaskAttemptQuerySet(models.QuerySet["TaskAttempt"]):
    def parked(self) -> "TaskAttemptQuerySet":
        """Return the tasks that are no longer retried. Each raises an alarm until somebody deletes its row."""
        return self.filter(parked_at__isnull=False)


class TaskAttempt(models.Model):
    """A task that was started and has not yet succeeded. The row is deleted when the task succeeds."""

    key = models.CharField(_("key"), max_length=120, unique=True)
    name = models.CharField(_("task"), max_length=200)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    first_at = models.DateTimeField(_("first attempt"))
    last_at = models.DateTimeField(_("last attempt"))
    parked_at = models.DateTimeField(_("parked"), null=True, blank=True, db_index=True)
    last_error = models.TextField(_("last error"), blank=True, default="")

    objects = TaskAttemptQuerySet.as_manager()

    class Meta:
        verbose_name = _("unfinished task")
        verbose_name_plural = _("unfinished tasks")
        ordering = ["-last_at"]

    def __str__(self) -> str:
        return f"{self.name} ({self.attempts})"
