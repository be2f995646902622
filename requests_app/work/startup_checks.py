"""Checks at the start of the product. They report faults that would otherwise stay unnoticed until something fails."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError, connection

from requests_app.domain import acts, lifecycle
from requests_app.messages import topics
from requests_app.models import token_keys
from requests_app.platform.database import versions
from requests_app.work import schedules

CONNECTORS = "requests_app.content.connectors.registry"
BROKER = "requests_app.work.broker.HeartbeatBroker"


@register("lockbox")
def queue_is_safe(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Report settings of django-q2 with which tasks run twice, get lost, or stop."""
    queue = settings.Q_CLUSTER
    timeout, retry = queue.get("timeout") or 0, queue.get("retry", 60)
    found = [
        (not 0 < timeout < retry, "E001", f"retry ({retry}) must be above timeout ({timeout})",
         "Otherwise one task runs several times at the same time."),
        (bool(queue.get("scheduler", True)), "E002", "scheduler must be off", "The beat starts the scheduled tasks."),
        (queue.get("orm") != "default", "E003", "orm must be the default database",
         "Otherwise a task does not commit or roll back with the change that it belongs to."),
        (bool(queue.get("ack_failures")), "E004", "ack_failures must be off",
         "Otherwise a failed task is lost."),
        (queue.get("bulk", 1) > 20 or queue.get("queue_limit", 99) > 40, "E005",
         "bulk must be at most 20 and queue_limit at most 40", "Otherwise a cluster hangs when it stops."),
        (bool(queue.get("recycle", 500)), "E006", "recycle must be 0",
         "A recycled worker can block the stop of a cluster."),
        (queue.get("broker_class") != BROKER, "E007", f"broker_class must be {BROKER}",
         "Otherwise the watchdog sees no heartbeat, and restarts healthy clusters again and again."),
    ]  # fmt: skip
    return [
        Error(f"Q_CLUSTER: {what}.", hint=why, id=f"requests_app.{code}") for wrong, code, what, why in found if wrong
    ]


@register("lockbox")
def periodic_work_exists(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Report a schedule whose function does not exist. It would fail only in a worker, where nobody would notice it."""
    return [Error(f"A schedule can't run {problem}", id="requests_app.E010") for problem in schedules.unusable()]


@register("lockbox")
def tables_are_sound(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Report contradictions in the table of transitions."""
    return [Error(f"Lifecycle: {problem}.", id="requests_app.E020") for problem in lifecycle.problems()]


@register("lockbox")
def declarations_are_sound(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Report an act or an event whose declaration contradicts itself, or contradicts another declaration."""
    return [Error(f"Acts: {problem}.", id="requests_app.E021") for problem in [*acts.problems(), *topics.problems()]]


@register("lockbox")
def connectors_import(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Report a connector that can't be imported. Otherwise this would show only when a customer's content is opened."""
    try:
        import_module(CONNECTORS)
    except Exception as failure:  # any error of the import is reported
        return [Error(f"The connectors can't be imported: {failure!r}", id="requests_app.E030")]
    return []


@register("lockbox")
def content_holds_no_database(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Report an SQLite file in the content root.

    A folder connector would show the file to engineers. Also, a process that opens and closes an SQLite file loses all
    its locks on that file, so two processes could write at the same time.
    """
    database = settings.DATABASES["default"]
    files = {"LOG_HEADS_FILE": settings.LOG_HEADS_FILE}
    if database["ENGINE"] == "requests_app.platform.database.sqlite":
        files["The database"] = database["NAME"]
    root = Path(settings.CONTENT_ROOT).resolve()
    return [
        Error(
            f"{name} is inside CONTENT_ROOT.",
            hint="Move it to another directory, or name another CONTENT_ROOT.",
            id="requests_app.E031",
        )
        for name, file in files.items()
        if root in Path(file).resolve().parents
    ]


@register("lockbox", deploy=True)
def token_keys_are_ours(app_configs: Sequence[AppConfig] | None = None, **_: Any) -> list[CheckMessage]:
    """Report a key for tokens that this installation has not made. Only `check --deploy` runs this check."""
    try:
        foreign = token_keys.foreign_keys()
    except DatabaseError:
        # The database is not there yet, or it is not migrated. Other checks and `serve` report this.
        return []
    return [
        Warning(
            f"The key for tokens {row.kid} is not the one that is sealed beside it, so it is not published.",
            hint="Somebody has changed the database, or WEBHOOK_KEY. Find out who, then run roll_token_keys --at-once.",
            id="requests_app.W033",
        )
        for row in foreign
    ]


@register(Tags.database)
def database_is_tested(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Report a PostgreSQL that is newer than all tested versions. Too old a server is refused at each connection."""
    if "default" not in (databases or ()) or connection.vendor != "postgresql":
        return []
    why = versions.why_too_new(versions.of(connection))
    return [Warning(why, hint="Install a newer version of Customer Lockbox.", id="requests_app.W034")] if why else []


@register(Tags.database)
def role_is_held_back(databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Report a database role that bypasses PostgreSQL's row-level security.

    Only `migrate` and `check --database default` run this check.
    """
    if "default" not in (databases or ()) or connection.vendor != "postgresql":
        return []
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")
        if cursor.fetchone() == (False,):
            return []
    return [
        Warning(
            "The role of DATABASE_URL bypasses row-level security.",
            hint="Use a role with NOSUPERUSER and NOBYPASSRLS, as docs/operators.md says.",
            id="requests_app.W032",
        )
    ]
