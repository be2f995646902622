"""Checks of the background work, the log's key and heads, and of what waits for somebody."""

from __future__ import annotations

import datetime as dt
import os
import threading
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django_q.models import OrmQ
from django_q.tasks import async_task

from audit_app import heads, keys, log_name, other_host
from audit_app.keys import NoKey
from audit_app.models import SignedHead
from audit_app.stored_heads import HeadsUnavailable
from lockbox_site import readiness
from lockbox_site.doctor.findings import Found, ok, problem, warning
from lockbox_site.doctor.of_database import bounded
from requests_app.domain import clock
from requests_app.models import Installation, OutboxMessage, Resource
from requests_app.platform import program
from requests_app.queries import sign_on_metadata

#: How long a worker has to run the doctor's own task, in seconds.
TASK_WITHIN = 10.0
_LOOK_EVERY = 0.2
#: A key older than this deserves a new one.
OLD_KEY = dt.timedelta(days=3 * 365)
#: The unit of systemd, and the service in containers, that runs a part (deploy/).
_RUNS = {"worker": ("lockbox-cluster", "worker"), "beat": ("lockbox-beat", "beat"), "tools": ("lockbox-tools", "tools")}


def _advice() -> dict[str, str]:
    """Return what to do if a check of /readyz fails."""
    return {
        "worker": f"Start a worker: {_start('worker')}. If one runs: {_log('worker')}",
        "beat": f"Start the beat: {_start('beat')}. If one runs: {_log('beat')}",
        "tools": f"Start the proxy for web tools: {_start('tools')}. If one runs: {_log('tools')}",
        "sweep": f"Read the worker's log: {_log('worker')}. Deadlines hold, but what has ended is not recorded.",
        "outbox": f"Read the worker's log: {_log('worker')}. The administration’s outbox shows the last error of each.",
        "log": "Read “When a log is refused” in docs/operators.md. The administration lists the alarms of logs.",
        "heads": "Read “After a restore” in docs/operators.md.",
    }


def _start(part: str) -> str:
    """Return the command that starts this part. For a container, it is a command of the machine around it."""
    unit, service = _RUNS[part]
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return f"kubectl rollout restart deployment/lockbox-{service}"
    return f"docker compose up -d {service}" if settings.PROBE_FILE else f"systemctl start {unit}"


def _log(part: str) -> str:
    unit, service = _RUNS[part]
    if os.environ.get("KUBERNETES_SERVICE_HOST"):
        return f"kubectl logs deployment/lockbox-{service} --tail 50"
    return f"docker compose logs --tail 50 {service}" if settings.PROBE_FILE else f"journalctl -u {unit} -n 50"


@bounded
def parts() -> Iterator[Found]:
    """Report what /readyz reports about the parts that run in the background."""
    advice = _advice()
    found = readiness.states(advice)
    for name, check in found.items():
        numbers = ", ".join(f"{key} {value}" for key, value in check.items() if key not in ("ok", "detail"))
        if not check["ok"]:
            yield problem(f"{name}: {check.get('detail') or numbers}", advice[name])
    if readiness.is_fit(found):
        yield ok("Worker, beat, outbox, sweep, log and heads are as /readyz expects them.")


def task() -> Iterator[Found]:
    """Queue a task, and wait until a worker has run it."""
    number = _queued()
    pause, until = threading.Event(), clock.monotonic() + TASK_WITHIN
    while clock.monotonic() < until:
        if not OrmQ.objects.filter(pk=number).exists():
            yield ok("A worker has run a task.")
            return
        pause.wait(_LOOK_EVERY)
    OrmQ.objects.filter(pk=number).delete()
    yield problem(
        f"No worker has run a task within {TASK_WITHIN:.0f} seconds.",
        f"Start a worker: {_start('worker')}. If one runs: {_log('worker')}. If its log says that a task is badly "
        "signed, give it the same TASK_SIGNING_KEY and SECRET_KEY as here.",
    )


def _queued() -> int:
    before = OrmQ.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    identity = async_task("requests_app.tasks.heartbeat")
    for row in OrmQ.objects.filter(pk__gt=before):
        if row.task_id() == identity:
            return int(row.pk)
    return 0


@bounded
def log_key() -> Iterator[Found]:
    if why := log_name.contradiction() or keys.trouble():
        yield problem(f"{why[0].upper()}{why[1:]}.", f"Correct it. Then run: {program.command('checkpoint')}")
        return
    try:
        found = keys.load()
    except keys.BadKey as failure:
        yield problem(f"{str(failure).capitalize()}.", f"Restore the key from its copy: {_restore_key()}")
        return
    except NoKey:
        yield ok("This machine has no log key, so another machine signs.")
        return
    yield from _fits(found)


def _fits(found: keys.Keys) -> Iterator[Found]:
    """Compare this machine's key with the newest one in the logs, and look at its age and its copy."""
    known = {bytes(key) for key in SignedHead.objects.exclude(key=b"").values_list("key", flat=True)[:100]}
    if known and known.isdisjoint(found.publics):
        yield problem(
            "The log key of this machine is not the one that the logs name.",
            f"Restore the right key: {_restore_key()}. Or read “The log's key and heads” in docs/operators.md.",
        )
        return
    try:
        other_host.require(found, clock.now())
    except (keys.BadKey, HeadsUnavailable) as difference:
        yield problem(f"This host can't take over from the one that signs: {difference}.", "Correct its settings.")
        return
    path = Path(settings.LOG_KEY_FILE)
    if not settings.LOG_KEY and path.exists():
        made = dt.datetime.fromtimestamp(path.stat().st_mtime, dt.UTC)
        if clock.now() - made > OLD_KEY:
            yield warning(f"The log key was made on {made:%Y-%m-%d}.", f"Run: {program.command('log_key rotate')}")
    row = Installation.objects.first()
    if row is None or row.key_copy_confirmed_at is None:
        yield warning(
            "Nobody has confirmed that the copy of the log key is stored elsewhere.",
            f"Confirm it on the page Set-up of the administration. A new copy: {program.command('log_key copy')}",
        )
    yield ok("The log key fits the logs, and only this account can read it.")


def _restore_key() -> str:
    return program.command("log_key restore")


def heads_are_writable() -> Iterator[Found]:
    try:
        heads.require_usable()
    except HeadsUnavailable as failure:
        yield problem(
            f"The heads can't be written: {' '.join(str(failure).split())}.",
            "Nothing is signed until this works. Check the place's permissions, its room, and whether it is mounted.",
        )
    else:
        yield ok("The place of the heads can be written.")


@bounded
def waiting() -> Iterator[Found]:
    """Report what waits for a person: parked tasks and messages, failing webhooks, witnesses and resources."""
    states = readiness.states(("tasks", "witnesses"))
    parked = OutboxMessage.objects.filter(state=OutboxMessage.State.PARKED)[: readiness.MOST_COUNTED].count()
    unreachable = Resource.objects.unreachable()[: readiness.MOST_COUNTED].count()
    foreign = readiness.states(("outbox",))["outbox"].get("of_another_version", 0)
    rows = [
        (states["tasks"].get("parked", 0), "tasks are parked", "The administration lists them under Task attempts."),
        (
            parked,
            "messages could not be delivered",
            "Send them again in the administration’s outbox.",
        ),
        (states["witnesses"].get("failing", 0), "witnesses fail", "Their tenants see why on the page Witnesses."),
        (unreachable, "resources can't be reached", "The page of each resource says why. Check its connector."),
        (
            sign_on_metadata.in_trouble(at=clock.now()),
            "tenants have a SAML identity provider whose metadata has ended, ends soon, or can't be used",
            "Their administrators got a mail. The administration shows each problem under Single sign-on.",
        ),
        (foreign, "messages wait for a worker of a newer version", "Finish the upgrade: docs/upgrades.md."),
    ]
    for count, what, advice in rows:
        if count:
            yield warning(f"{count} {what}.", advice)
    if not any(count for count, *_ in rows):
        yield ok("Nothing waits for an operator.")
