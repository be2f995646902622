"""Records of the background processes: heartbeats, and tasks that have not succeeded."""

from django.db import models
from django.utils.translation import gettext_lazy as _


class HeartbeatQuerySet(models.QuerySet["Heartbeat"]):
    """Querysets of heartbeats."""

    def workers(self) -> "HeartbeatQuerySet":
        """The heartbeats of the clusters, one row for each cluster."""
        return self.filter(name__startswith=Heartbeat.WORKER)

    def of_places(self) -> "HeartbeatQuerySet":
        """The heartbeats of clusters and of hosts. They are still there after a cluster or a host is removed."""
        return self.workers() | self.filter(name__startswith=Heartbeat.HOST)


class Heartbeat(models.Model):
    """When a background process, a task or a host last reported.

    The names: `worker:<cluster>` when that cluster has completed a task; `<task>` when that task has succeeded; `beat`
    from the beat; `pulse:<task>` when the beat has queued that task before its schedule; `host:<name>` from the health
    check of a web server, as a test that it can write.
    """

    WORKER = "worker:"
    BEAT = "beat"
    PULSE = "pulse:"
    HOST = "host:"

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
    """Querysets of unfinished tasks."""

    def parked(self) -> "TaskAttemptQuerySet":
        """The tasks that are no longer retried. Each raises an alarm until somebody deletes its row."""
        return self.filter(parked_at__isnull=False)


class TaskAttempt(models.Model):
    """A task that was started and has not succeeded. When it succeeds, the row is deleted."""

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
