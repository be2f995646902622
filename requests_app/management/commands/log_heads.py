"""`manage.py log_heads show|adopt TENANT`: show a log's head that is stored outside the database, or store it again."""

from __future__ import annotations

import base64
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils.translation import gettext as _

from audit_app import checkpoints, heads
from audit_app.heads import HeadsUnavailable
from requests_app import operations
from requests_app.domain.errors import DomainError
from requests_app.management._ending import refused
from requests_app.management._logs import Log, actor, log_of


class Command(BaseCommand):
    help = (
        "Show the head of a log that is stored outside the database, or store the database's newest head there again."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True, metavar="show|adopt")
        show = acts.add_parser("show", help="what is stored outside, and what the database has")
        adopt = acts.add_parser("adopt", help="after the file outside was lost: store the database's newest checkpoint")
        for each in (show, adopt):
            each.add_argument("tenant", metavar="TENANT", help="short name or id; provider. for the provider's own log")
        adopt.add_argument("--because", required=True, metavar="WORDS", help="what happened; it is written to the log")

    def handle(self, *args: Any, **options: Any) -> None:
        log = log_of(options["tenant"])
        try:
            if options["act"] == "show":
                self._show(log)
            else:
                self._adopt(log, options["because"])
        except (DomainError, HeadsUnavailable) as refusal:
            raise refused(refusal) from refusal

    def _show(self, log: Log) -> None:
        state = checkpoints.state(log.id)
        stored = heads.get(state.origin)
        self.stdout.write(state.origin)
        self.stdout.write(
            _("outside:  %(head)s") % {"head": _head(stored.head.size, stored.head.root) if stored else "–"}
        )
        latest = state.checkpoint
        self.stdout.write(_("database: %(head)s") % {"head": _head(latest.size, bytes(latest.root)) if latest else "–"})
        self.stdout.write(_("entries:  %(n)d") % {"n": state.size - state.first_seq})
        if state.alarm is not None:
            self.stdout.write(_("refused:  %(code)s, since %(since)s") % _alarm(state.alarm))

    def _adopt(self, log: Log, because: str) -> None:
        head = operations.adopt_log_head(log.id, comment=because, actor=actor("log-heads"))
        self.stdout.write(f"{head.origin}\n{_head(head.size, head.root)}")
        self.stderr.write(
            _(
                "With this command, you confirm that nobody has replaced this database with an older copy since the "
                "last signature. This is wrong if a witness, an exported checkpoint or a receipt has more entries than "
                "this database."
            )
        )


def _head(size: int, root: bytes) -> str:
    return f"{size} {base64.b64encode(root).decode()}"


def _alarm(alarm: Any) -> dict[str, str]:
    return {"code": alarm.code, "since": alarm.since.isoformat(timespec="seconds")}
