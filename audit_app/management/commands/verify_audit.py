"""`manage.py verify_audit`: checks every log, or one tenant's log. Exit status 0: good, 1: bad, 2: no such log."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.progress import Progress

from audit_app import checkpoints, heads, queries
from audit_app.checkpoints import LogState
from audit_app.stored_heads import HeadsUnavailable
from audit_app.verify import verify


class Command(BaseCommand):
    help = "Recompute sequence, hashes and signed roots of the logs, and name the first entry that has changed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = parser.add_mutually_exclusive_group()
        which.add_argument("--tenant", type=UUID, help="only this tenant's log (its id)")
        which.add_argument("--all", action="store_true", help="every log (the default)")

    def handle(self, *args: Any, **options: Any) -> None:
        tenants = queries.logs()
        if options["tenant"] is not None:
            if options["tenant"] not in tenants:
                raise CommandError("This tenant has no log.", returncode=2)
            tenants = [options["tenant"]]
        bad = 0
        with Progress(console=Console(file=sys.stderr), transient=True, disable=not sys.stderr.isatty()) as bar:
            bars = _Bars(bar, len(tenants))
            for tenant in tenants:
                bad += not self._check(checkpoints.state(tenant), bars)
        self.stdout.write(f"{len(tenants)} logs, {bad} bad")
        if bad:
            sys.exit(1)

    def _check(self, state: LogState, bars: _Bars) -> bool:
        bars.begin(state)
        verdict = verify(state.tenant_id, progress=bars.reach)
        bars.end()
        why = str(verdict.flaw) if verdict.flaw else _beyond(state)
        words = f"BAD  {why}" if why else "good"
        self.stdout.write(f"{state.tenant_id}  {verdict.size:>9} entries  {words}  ({_about(state)})")
        return not why


def _beyond(state: LogState) -> str:
    """Return why the log is bad although its entries fit together, or "" if it is good.

    Either a longer log was signed before, or the signer refuses the log.
    """
    try:
        stored = heads.get(state.origin)
    except HeadsUnavailable:
        stored = None
    # Read after the check, because the log may have grown and been signed since the check began.
    now = checkpoints.state(state.tenant_id)
    if stored is not None and now.shard == state.shard and stored.head.size > now.size - now.first_seq:
        return f"missing: {stored.head.size} entries were signed"
    return f"the signer refuses it: {now.alarm.code}" if now.alarm is not None else ""


def _about(state: LogState) -> str:
    """Return how much of the log is signed, and which parts were not checked."""
    found = [f"{state.checkpoint.size if state.checkpoint else 0} signed"]
    if state.shard:
        found[0] += f" of part {state.shard + 1}"
    found += [f"part {each.shard + 1} was closed, not checked" for each in state.closed]
    if state.pruned_to > state.first_seq:
        found.append(f"those before {state.pruned_to} were removed")
    return "; ".join(found)


@dataclass
class _Bars:
    """Two progress bars on standard error, for all logs and for the current log. Shown only on a terminal."""

    bar: Progress
    logs: int

    def __post_init__(self) -> None:
        self.overall = self.bar.add_task("all logs", total=self.logs, visible=self.logs > 1)
        self.here = self.bar.add_task("", total=1)
        self.start = 0

    def begin(self, state: LogState) -> None:
        self.start = max(state.first_seq, state.pruned_to)
        self.bar.reset(self.here, description=str(state.tenant_id), total=max(state.size - self.start, 1))

    def reach(self, seq: int) -> None:
        self.bar.update(self.here, completed=seq - self.start)

    def end(self) -> None:
        self.bar.advance(self.overall)
