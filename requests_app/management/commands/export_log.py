"""`manage.py export_log TENANT --format FORMAT`: write a tenant's log for a SIEM, one line per entry."""

from __future__ import annotations

import signal
import sys
import threading
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import OperationalError, connection
from django.utils.translation import gettext as _
from rich.console import Console
from rich.progress import Progress

from audit_app.siem import FORMATS
from requests_app import operations
from requests_app.domain.actors import Actor
from requests_app.domain.ids import as_id
from requests_app.management._pull import Cursor, CursorInUse, Lines, Pull, ReaderGone
from requests_app.models import Tenant
from requests_app.queries import log as queries

ACTOR = replace(Actor.system("export-log"), door="command")
KINDS = sorted(name for name, each in FORMATS.items() if not each.has_header)


class Command(BaseCommand):
    help = "Write a tenant's log to standard output, one line for each entry, for a system that watches logs (SIEM)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", metavar="TENANT", help="the tenant's short name or id")
        parser.add_argument("--format", choices=KINDS, default="jsonl", help="default: jsonl")
        begin = parser.add_mutually_exclusive_group()
        begin.add_argument("--after", type=_number, metavar="N", help="begin after entry number N")
        begin.add_argument(
            "--cursor-file", type=Path, metavar="FILE", help="continue where the last run with FILE ended"
        )
        parser.add_argument("--limit", type=_number, metavar="N", help="write at most N lines")
        parser.add_argument("--follow", action="store_true", help="continue with new entries until SIGTERM or Ctrl-C")
        parser.add_argument("--every", type=_seconds, default=2.0, metavar="SECONDS", help="with --follow; default: 2")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = _tenant(options["tenant"])
        path: Path | None = options["cursor_file"]
        try:
            with Cursor.held(path, tenant.pk) if path else nullcontext(None) as cursor:
                self._export(tenant, cursor, options)
        except CursorInUse as refusal:
            raise CommandError(str(refusal), returncode=2) from refusal
        except ReaderGone:
            raise CommandError(_("The program that read the lines has ended."), returncode=1) from None

    def _export(self, tenant: Tenant, cursor: Cursor | None, options: dict[str, Any]) -> None:
        after = cursor.after if cursor else options["after"]
        size = queries.head(tenant).size
        if after is not None and after >= size:
            words = _(
                "The log has %(size)d entries, and no entry with number %(after)d. So it is not the log that this "
                "program read before."
            )
            raise CommandError(words % {"size": size, "after": after}, returncode=1)
        filters = {} if after is None else {"after": str(after)}
        # Record the export once: with --follow, an entry for each round would itself be exported in the next round.
        operations.export_log(tenant.pk, actor=ACTOR, kind=options["format"], filters=filters)
        pull = Pull(
            tenant,
            Lines(self.stdout, options["format"], vendor=settings.PROVIDER_NAME),
            cursor=cursor,
            after=after,
            left=options["limit"],
            tell=lambda words: self.stderr.write(words),
        )
        if options["follow"]:
            with _stopped_by_signal() as stop:
                self._follow(pull, stop, every=options["every"])
        else:
            with _progress(pull, until=queries.head(tenant).size) as tick:
                pull.run(until=queries.head(tenant).size, tick=tick)

    def _follow(self, pull: Pull, stop: threading.Event, *, every: float) -> None:
        while not stop.is_set() and pull.left != 0:
            try:
                pull.run(until=queries.head(pull.tenant).size, stop=stop.is_set)
            except OperationalError:
                # The database may answer again later. The cursor still has the number of the last entry that was
                # written.
                self.stderr.write(_("The database does not answer; trying again."))
                with suppress(Exception):
                    connection.close()
            stop.wait(every)


def _tenant(wanted: str) -> Tenant:
    tenant_id = as_id(wanted)
    named = {"slug": wanted} if tenant_id is None else {"pk": tenant_id}
    found = Tenant.objects.filter(**named).first()
    if found is None:
        raise CommandError(_("There is no tenant %(name)s.") % {"name": wanted}, returncode=2)
    return found


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) < 2**53):
        raise ArgumentTypeError(_("a whole number, 0 or more"))
    return int(text)


def _seconds(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0.05 <= found <= 3600:
        raise ArgumentTypeError(_("a number of seconds, 0.05 to 3600"))
    return found


@contextmanager
def _stopped_by_signal() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM and Ctrl-C set.

    So the run ends only after the present batch is written and its last number is stored.
    """
    stop = threading.Event()
    before = {each: signal.signal(each, lambda *_: stop.set()) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _progress(pull: Pull, *, until: int) -> Iterator[Any]:
    """Show a progress bar on standard error, if standard error is a terminal and standard output is not."""
    is_shown = sys.stderr.isatty() and not sys.stdout.isatty()
    with Progress(console=Console(file=sys.stderr), transient=True, disable=not is_shown) as bar:
        task = bar.add_task(pull.tenant.slug, total=max(until - pull.next_seq, 1))
        yield lambda count: bar.advance(task, count)
