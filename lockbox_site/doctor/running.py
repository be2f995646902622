"""Runs the checks in their order, and prints what they find."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import unquote

from lockbox_site.doctor import of_machine
from lockbox_site.doctor.findings import STATUS, Check, Finding, Level, examine, problem, without

_SECRETS = re.compile(r"(^|_)(SECRET|KEY|TOKEN|PASSWORD)(_|S|$)|_URL$")
_PASSWORD = re.compile(r"://[^/@\s]*:([^/@\s]+)@")
_NAME = 13


def checks(*, mail_to: str = "") -> list[Check]:
    """Return all checks. The settings must be readable."""
    from lockbox_site.doctor import of_backup, of_database, of_network, of_sign_on, of_work

    return [
        Check("settings", of_machine.settings_fit),
        Check("start", of_machine.django_fits, seconds=20),
        Check("files", of_machine.files_are_private),
        Check("static files", of_machine.static_files),
        Check("room", of_machine.room),
        Check("memory", of_machine.memory),
        Check("database", of_database.database, seconds=10),
        Check("role", of_database.role, needs_database=True),
        Check("row security", of_database.row_security, needs_database=True),
        Check("log tables", of_database.log_tables, needs_database=True),
        Check("connections", of_database.connections, needs_database=True),
        Check("clock", of_database.clocks, needs_database=True),
        Check("log key", of_work.log_key, needs_database=True),
        Check("heads", of_work.heads_are_writable),
        Check("backups", of_backup.backups, needs_database=True),
        Check("sign-on", of_sign_on.provider_sign_on),
        Check("metadata", of_sign_on.provider_metadata, needs_database=True),
        Check("parts", of_work.parts, needs_database=True),
        Check("task", of_work.task, seconds=of_work.TASK_WITHIN + 5, needs_database=True),
        Check("waiting", of_work.waiting, needs_database=True),
        Check("address", of_network.address, seconds=15, late=of_network.no_answer_in_time),
        Check("mail", of_network.mail_server(mail_to), seconds=25),
    ]


def broken_settings(refusal: str, data: Path) -> Iterator[Finding]:
    """Yield what can be found without settings: why they are refused, and whether others can read their files."""
    for line in refusal.splitlines():
        yield Finding("settings", Level.PROBLEM, line, "Correct it, and run doctor again.")
    yield from examine([Check("files", lambda: of_machine.private(data, [data / ".env", data / "secret_key"]))])
    yield (
        Finding(*("room", *of_machine.room_in("the data directory", data)))
        if data.is_dir()
        else Finding("room", *problem(f"There is no directory {data}.", "Name the data directory with --data-dir."))
    )


def secrets_of_process() -> Iterator[str]:
    """Yield each value of the environment and of the settings that must not be printed."""
    from django.conf import settings

    values: dict[str, Any] = dict(os.environ)
    if settings.configured:
        values |= {name: getattr(settings, name, "") for name in dir(settings) if name.isupper()}
        database = settings.DATABASES["default"].get("PASSWORD", "")
        keys = [database, *settings.SECRET_KEY_FALLBACKS, *settings.WEBHOOK_KEYS, *settings.SECOND_FACTOR_KEYS]
        values |= {f"KEY_{at}": value for at, value in enumerate(keys)}
    for name, value in values.items():
        if not isinstance(value, str) or not _SECRETS.search(name) or name.endswith("_FILE"):
            continue
        if found := _PASSWORD.search(value):
            yield from {found[1], unquote(found[1])}
        elif not name.endswith("_URL"):
            yield value


def _where_settings_are() -> str:
    from django.conf import settings

    if not settings.configured:
        return ""
    restart = "Then restart all parts, and run doctor again."
    if settings.PROBE_FILE:
        return f"\nSettings are in .env beside compose.yaml, or in your manifests. {restart}\n"
    return f"\nSettings are in {settings.DATA_DIR}/.env, or in the environment of the units. {restart}\n"


def announced(check: Check) -> None:
    """Say which check somebody waits for. It is no result, so it goes to standard error."""
    sys.stderr.write(f"{'…':<8} {check.name:<{_NAME}} This takes up to {check.seconds:.0f} seconds.\n")
    sys.stderr.flush()


def report(found: Iterable[Finding], out: TextIO, *, as_json: bool) -> int:
    """Print the findings, each as soon as it is there. Return the exit status."""
    secrets = [each for each in secrets_of_process() if each]
    worst, rows = Level.OK, []
    for finding in found:
        shown = without(secrets, finding)
        worst = max(worst, shown.level, key=list(Level).index)
        rows.append({"check": shown.name, "level": shown.level, "found": shown.found, "do": shown.advice})
        if not as_json:
            out.write(f"{shown.level:<8} {shown.name:<{_NAME}} {shown.found}\n")
            out.write(f"{'':<8} {'':<{_NAME}} → {shown.advice}\n" if shown.advice else "")
            out.flush()
    if not as_json and STATUS[worst]:
        out.write(_where_settings_are())
    if as_json:
        out.write(json.dumps({"level": worst, "findings": rows}, indent=2, ensure_ascii=False) + "\n")
    return STATUS[worst]
