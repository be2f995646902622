"""Measure a backup: how long it takes to write, to check and to restore, its size, and the memory of each step."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyrage
from django.conf import settings
from django.db import connection

from audit_app import keys
from bench import log
from bench.measure import Result
from lockbox_site.backup import contents, loading, making, sealing
from lockbox_site.backup.making import Made
from requests_app.domain import clock

RESTORED = "lockbox_bench_restored"


def run(entries: int, scratch: Path, bar: Any) -> tuple[list[Result], list[str]]:
    with suppress(keys.NoKey):
        keys.create()
    log.append(bar, "entries to back up", entries, log.BATCH, "")
    (to := scratch / "backups").mkdir()
    identity = pyrage.x25519.Identity.generate()
    readers = sealing.readers([str(identity.to_public())], None)
    opener = sealing.Opener(identities=(identity,))
    ticking = bar.add_task("backup, check, restore", total=4)

    def measured(name: str, step: Callable[[], Any]) -> Result:
        found = _alone(name, step, entries)
        bar.advance(ticking)
        return found

    written = measured("backup written and encrypted", lambda: making.make(to, readers, at=clock.now()))
    (file,) = to.iterdir()
    made = Made(file, contents.read(file, opener).header.backup_id, opener)
    results = [
        written,
        measured("backup read to its end, all hashes checked", lambda: contents.read(file, opener)),
        measured("backup restored into a scratch place, logs verified", lambda: _scratch(made)),
        measured("backup restored, logs verified", lambda: _restore(made, scratch)),
    ]
    return results, [f"The backup of {entries:,} entries has {file.stat().st_size / 1e6:,.0f} MB."]


def _alone(name: str, step: Callable[[], Any], entries: int) -> Result:
    """Run a step in a process of its own, so that its memory is known."""
    connection.close()
    began = time.perf_counter()
    child = os.fork()
    if not child:
        status = 1
        try:
            step()
            status = 0
        finally:
            os._exit(status)
    _pid, status, used = os.wait4(child, 0)
    if status:
        raise SystemExit(f"{name}: failed")
    wall = time.perf_counter() - began
    return Result(name, [wall], wall, units=entries, unit="entries", peak=used.ru_maxrss * 1024)


def _nothing(_found: Any) -> None:
    """Do nothing. The operation that closes windows takes the same time for each number of entries."""


def _scratch(made: Made) -> None:
    beside = Path(str(settings.DATABASES["default"]["NAME"]))
    loading.into_nothing(made.path, made.opener, _nothing, beside=beside)


def _restore(made: Made, scratch: Path) -> None:
    if connection.vendor == "sqlite":
        loading.into_sqlite(scratch / "restored.sqlite3", made.path, made.opener, _nothing)
        return
    _each_database("DROP DATABASE IF EXISTS", "CREATE DATABASE")
    connection.close()
    before, connection.settings_dict["NAME"] = connection.settings_dict["NAME"], RESTORED
    settings.DATABASES["default"]["NAME"] = RESTORED
    loading.into_postgresql(made.path, made.opener, _nothing)
    connection.settings_dict["NAME"] = before
    _each_database("DROP DATABASE")


def _each_database(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(f"{statement} {RESTORED}")
