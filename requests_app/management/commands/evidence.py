"""`manage.py evidence TENANT -o FILE`: write the signed part of a tenant's log, with its proofs, into one file."""

from __future__ import annotations

import datetime as dt
import os
import secrets
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from audit_app import checkpoint_history, checkpoints, evidence
from audit_app.bundle_selection import EvidenceScope
from audit_app.checkpoints import Refusal
from audit_app.evidence import Evidence
from audit_app.keys import NoKey
from audit_app.proofs import NotProven
from audit_app.stored_heads import HeadsUnavailable
from requests_app import operations
from requests_app.domain import clock
from requests_app.doors.web.timeline import Subject, timelines
from requests_app.management._logs import actor, log_of
from requests_app.models import AccessRequest, Tenant

ACTOR = actor("evidence")
#: Takes the number of further items that are done.
Report = Callable[[int], None]
#: Where no terminal can show a bar, one line is written after this many items.
_EVERY = 100_000


class Command(BaseCommand):
    help = "Write the evidence for a tenant's log, for a period of it, or for one access request, to a file."
    # They load all pages and the API, which takes a fifth more memory. The server makes them when it starts.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("tenant", metavar="TENANT", help="the tenant's short name or id")
        parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the ZIP file to write")
        parser.add_argument("--access-request", metavar="REF", help="only this access request: AR-7K2M-Q4XD")
        parser.add_argument("--since", type=_instant, metavar="TIME", help="from this day or instant on (UTC)")
        parser.add_argument("--until", type=_instant, metavar="TIME", help="before this day or instant (UTC)")
        parser.add_argument(
            "--kept", type=int, metavar="SIZE", help="the number of entries in a checkpoint that you saved"
        )
        parser.add_argument("--no-timeline", action="store_true", help="without the files for people")

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = _tenant(options["tenant"])
        about = _access_request(tenant, options)
        since, until = options["since"], options["until"]
        if since and until and until <= since:
            raise CommandError(_("--until must be after --since."), returncode=2)
        _require_checkpoint(tenant, options["kept"])
        self._sign(tenant)
        wanted = EvidenceScope(
            tenant_id=tenant.pk,
            tenant_name=tenant.name,
            access_request=about.pk if about else None,
            since=since,
            until=until,
            previous_size=options["kept"],
            is_practice=about is not None and about.is_practice,
        )
        try:
            prepared = evidence.prepare(wanted, at=clock.now())
        except NotProven as refusal:
            raise CommandError(_words(refusal), returncode=1) from refusal
        operations.take_evidence(
            tenant.pk, actor=ACTOR, access_request_id=wanted.access_request, since=since, until=until
        )
        self._write(options["output"], prepared, Subject(tenant, about), with_timeline=not options["no_timeline"])
        self.stdout.write(_summary(prepared, options["output"]))

    def _sign(self, tenant: Tenant) -> None:
        """Sign the log up to its last entry if this machine can. Otherwise the file contains what was signed before."""
        try:
            checkpoints.sign(tenant.pk, at=clock.now())
        except NoKey:
            pass
        except HeadsUnavailable as why:
            words = _("The newest entries can't be signed now: %(why)s. The evidence has only the signed entries.")
            self.stderr.write(words % {"why": why})
        except Refusal as refusal:
            words = _(
                "The log is not signed any more (%(code)s). The evidence has only the entries that were signed before."
            )
            self.stderr.write(words % {"code": refusal.code})

    def _write(self, path: Path, prepared: Evidence, subject: Subject, *, with_timeline: bool) -> None:
        try:
            with _whole(path) as out, self._progress(prepared.count) as begin, timezone.override(dt.UTC):
                extras = timelines(prepared, subject, actor=ACTOR, begin=lambda: begin(_("timeline")))
                for chunk in prepared.stream(extras if with_timeline else [], progress=begin(_("entries"))):
                    out.write(chunk)
        except OSError as error:
            words = _("%(path)s can't be written: %(why)s.")
            raise CommandError(words % {"path": path, "why": error.strerror or error}, returncode=1) from error

    @contextmanager
    def _progress(self, total: int) -> Iterator[Callable[[str], Report]]:
        """Yield a function that starts the progress display of one step.

        The function returns a callback that takes the number of further items that are done.
        """
        console = Console(stderr=True)
        if not console.is_terminal:
            yield lambda step: _Lines(self.stderr, step, total).add
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=console, transient=True) as bar:

            def begin(step: str) -> Report:
                task = bar.add_task(step, total=total)
                return lambda count: bar.advance(task, count)

            yield begin


class _Lines:
    """Progress in a log file: a line after each `_EVERY` items, and no line for a short step."""

    def __init__(self, out: Any, step: str, total: int) -> None:
        self.out, self.step, self.total, self.done = out, step, total, 0

    def add(self, count: int) -> None:
        before, self.done = self.done, self.done + count
        if before // _EVERY != self.done // _EVERY:
            self.out.write(f"{self.step}: {self.done} / {self.total}")


@contextmanager
def _whole(path: Path) -> Iterator[Any]:
    """Yield a file that gets its name only when it is complete. Only its owner can read the file.

    A failure leaves no file behind.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as out:
            yield out
        os.replace(draft, path)
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()


def _tenant(wanted: str) -> Tenant:
    log = log_of(wanted)
    found = Tenant.objects.filter(pk=log.id).first()
    if found is None:
        raise CommandError(
            _("%(log)s does not belong to a tenant, and evidence is only for tenants.") % {"log": log.name},
            returncode=2,
        )
    return found


def _access_request(tenant: Tenant, options: dict[str, Any]) -> AccessRequest | None:
    reference = options["access_request"]
    if reference is None:
        return None
    if options["since"] or options["until"]:
        raise CommandError(
            _("--access-request exports a whole access request. Don't use it with --since or --until."), returncode=2
        )
    found = AccessRequest.objects.filter(tenant=tenant, reference=reference.upper()).first()
    if found is None:
        words = _("%(tenant)s has no access request %(reference)s.")
        raise CommandError(words % {"tenant": tenant.slug, "reference": reference}, returncode=2)
    return found


def _require_checkpoint(tenant: Tenant, size: int | None) -> None:
    if size and not checkpoint_history.is_known(tenant.pk, size):
        words = _("The log of %(tenant)s has no checkpoint with %(size)d entries.")
        raise CommandError(words % {"tenant": tenant.slug, "size": size}, returncode=2)


def _words(refusal: NotProven) -> str:
    return {
        "unsigned": _(
            "None of these entries is signed yet, and this machine has no log key. Try again when the entries are "
            "signed."
        ),
        "absent": _("The log has no entries of this access request or period."),
    }.get(refusal.code) or _("The proofs can't be made, because some of the signed data is missing in the database.")


def _summary(prepared: Evidence, path: Path) -> str:
    count, waiting = prepared.count, prepared.waiting
    summary = ngettext("%(path)s: %(n)d entry", "%(path)s: %(n)d entries", count) % {"path": path, "n": count}
    if not waiting:
        return summary
    more = ngettext("%(n)d more entry waits for a signature", "%(n)d more entries wait for a signature", waiting)
    return f"{summary}; {more % {'n': waiting}}"


def _instant(text: str) -> dt.datetime:
    try:
        at = dt.datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(_("a day (2026-03-01) or an instant (2026-03-01T12:00Z)")) from None
    return at if at.tzinfo else at.replace(tzinfo=dt.UTC)
