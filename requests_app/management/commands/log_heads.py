"""`manage.py log_heads show|adopt|copy|check|move`: the heads of the logs, which are stored outside the database."""

from __future__ import annotations

import base64
from argparse import ArgumentParser
from contextlib import suppress
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, InterfaceError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from audit_app import checkpoints, head_copies, heads, keys, lease, moving_heads, other_host, unwitnessed
from audit_app.head_copies import CopyDiffers
from audit_app.keys import BadKey, NoKey
from audit_app.stored_heads import BUCKET, DIRECTORY, HeadsUnavailable
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.errors import DomainError
from requests_app.management._ending import refused
from requests_app.management._logs import Log, actor, log_of
from requests_app.models import Heartbeat
from requests_app.work import heartbeats


class Command(BaseCommand):
    help = (
        "Show, repair, copy and move the heads of the logs, which are stored outside the database. It shows a log's "
        "head, stores the database's newest head there again, copies all heads, tests the place, and moves all heads "
        "to a place that several hosts share."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True, metavar="show|adopt|copy|check|move")
        show = acts.add_parser("show", help="what is stored outside, and what the database has")
        adopt = acts.add_parser("adopt", help="after the heads were lost: store the database's newest checkpoint")
        name = "short name or id; provider. for the provider's own log"
        show.add_argument("tenant", metavar="TENANT", help=name)
        which = adopt.add_mutually_exclusive_group(required=True)
        which.add_argument("tenant", metavar="TENANT", nargs="?", help=name)
        which.add_argument(
            "--all-restored", action="store_true", help="every log that waits for its witnesses after a restore"
        )
        copy = acts.add_parser("copy", help="copy all heads to another place; an older one replaces no newer one")
        copy.add_argument(
            "--to", required=True, metavar="PLACE", help="a directory, dir:///shared/path or s3://bucket/prefix"
        )
        adopt.add_argument("--because", required=True, metavar="WORDS", help="what happened; it is written to the log")
        acts.add_parser("check", help="test the place of the heads, and show which host signs")
        move = acts.add_parser("move", help="copy all heads to another place, before you change LOG_HEADS")
        move.add_argument("place", metavar="PLACE", help="dir:///shared/path or s3://bucket/prefix")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            match options["act"]:
                case "show":
                    self._show(log_of(options["tenant"]))
                case "adopt":
                    names = map(str, unwitnessed.logs()) if options["all_restored"] else [options["tenant"]]
                    for name in list(names):
                        self._adopt(log_of(name), options["because"])
                case "copy":
                    self._copy(options["to"])
                case "check":
                    self._check()
                case "move":
                    self._move(options["place"])
        except (DomainError, HeadsUnavailable, CopyDiffers) as refusal:
            raise refused(refusal) from refusal
        except OSError as error:
            words = {"path": error.filename, "why": error.strerror}
            raise CommandError(_("%(path)s can't be used: %(why)s.") % words, returncode=1) from error

    def _copy(self, place: str) -> None:
        """Copy the heads. This needs no database, so an account that can't reach the database can do it."""
        done = head_copies.copy_to(heads.every(), place)
        if done.newer_there:
            words = ngettext(
                "%(path)s has a newer head of %(n)d log than this machine: the heads here are an older copy.",
                "%(path)s has newer heads of %(n)d logs than this machine: the heads here are an older copy.",
                done.newer_there,
            )
            raise CommandError(words % {"path": place, "n": done.newer_there}, returncode=1)
        with suppress(DatabaseError, InterfaceError):
            heartbeats.touch(Heartbeat.HEADS, at=clock.now())
        words = ngettext("%(n)d new head was copied.", "%(n)d new heads were copied.", done.new)
        self.stdout.write(words % {"n": done.new})

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

    def _check(self) -> None:
        place = heads.store()
        place.require_usable()
        stored = place.every()
        try:
            other_host.require(keys.load(), clock.now())
        except BadKey as difference:
            raise CommandError(f"{difference}.", returncode=1) from difference
        except NoKey:
            self.stdout.write(_("This host has no key, so it can't sign."))
        words = ngettext(
            "%(place)s can be used; it has %(n)d head.", "%(place)s can be used; it has %(n)d heads.", len(stored)
        )
        self.stdout.write(words % {"place": place.name, "n": len(stored)})
        signer = lease.current()
        if signer is None:
            self.stdout.write(_("No host has signed yet."))
            return
        self.stdout.write(
            _("Last signer: %(host)s, since %(since)s, last at %(until)s.")
            % {"host": signer.host, "since": _time(signer.since), "until": _time(signer.until)}
        )
        if signer.taken_over_at is not None:
            self.stdout.write(
                _("On %(at)s, a host took over from %(host)s, which had stopped.")
                % {"at": _time(signer.taken_over_at), "host": signer.taken_from}
            )

    def _move(self, place: str) -> None:
        if not place.startswith((DIRECTORY, BUCKET)):
            raise CommandError(_("The place must be dir:///shared/path or s3://bucket/prefix."), returncode=2)
        done = moving_heads.move(place)
        words = ngettext("%(n)d head is stored in %(place)s.", "%(n)d heads are stored in %(place)s.", done.total)
        self.stdout.write(words % {"n": done.total, "place": place})
        self.stderr.write(
            _(
                "This host signs no more at the former place. On each host that signs, set LOG_HEADS=%(place)s and "
                "start the workers again."
            )
            % {"place": place}
        )


def _time(at: Any) -> str:
    return str(at.isoformat(timespec="seconds"))


def _head(size: int, root: bytes) -> str:
    return f"{size} {base64.b64encode(root).decode()}"


def _alarm(alarm: Any) -> dict[str, str]:
    return {"code": alarm.code, "since": alarm.since.isoformat(timespec="seconds")}
