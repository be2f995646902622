"""`manage.py log_key create|show|copy|restore|rotate|retire`: the key that signs the logs. It prints no private key."""

from __future__ import annotations

import getpass
import hashlib
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from audit_app import checkpoints, key_copy, keys, log_name
from audit_app.keys import BadKey, NoKey, NotMade
from requests_app import operations
from requests_app.domain import recovery
from requests_app.management._logs import actor, log_of
from requests_app.platform import program

#: The name of the copy in the data directory.
COPY = "log_key_copy.pem"


class Command(BaseCommand):
    help = "Make, show, copy, restore, rotate and retire the key that signs the logs; show also prints the logs' names."

    def add_arguments(self, parser: ArgumentParser) -> None:
        acts = parser.add_subparsers(dest="act", required=True, metavar="create|show|copy|restore|rotate|retire")
        create = acts.add_parser("create", help="make the first key, in LOG_KEY_FILE or in the HSM")
        create.add_argument("--if-missing", action="store_true", help="do nothing if there is a key")
        create.add_argument("--anyway", action="store_true", help="even if logs were signed with a key that is lost")
        show = acts.add_parser("show", help="print the public keys")
        show.add_argument(
            "--tenant", metavar="TENANT", help="show the keys with the names of this tenant's log (short name or id)"
        )
        copy = acts.add_parser("copy", help="write an encrypted copy of the key, and print its new passphrase once")
        copy.add_argument("file", nargs="?", default=str(settings.DATA_DIR / COPY), help=f"default: DATA_DIR/{COPY}")
        restore = acts.add_parser("restore", help="read a lost key back from a copy; asks for the passphrase")
        restore.add_argument("file", help="the copy")
        acts.add_parser("rotate", help="add a new key; the old key also signs until it is retired")
        retire = acts.add_parser("retire", help="remove the old key")
        retire.add_argument("--anyway", action="store_true", help="even while logs wait for the new key's signature")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            getattr(self, f"_{options['act']}")(options)
        except NoKey as refusal:
            raise CommandError(_one_line(refusal), returncode=1) from refusal
        except OSError as error:
            words = {"path": error.filename or settings.LOG_KEY_FILE, "why": error.strerror}
            raise CommandError(_("%(path)s can't be used: %(why)s.") % words, returncode=1) from error

    def _create(self, options: dict[str, Any]) -> None:
        try:
            keys.load()
        except NoKey as missing:
            if isinstance(missing, BadKey) and not isinstance(missing, NotMade):
                raise
            if _publics_used() and not options["anyway"]:
                # If two machines had different keys, each would announce its own key in every log, again and again.
                raise NoKey(
                    _(
                        "the logs were signed with a key that is not on this machine: put this key into %(path)s. If "
                        "the key is lost, create a new key with --anyway"
                    )
                    % {"path": settings.LOG_KEY_FILE}
                ) from None
            public = keys.create()
            self.stdout.write(str(log_name.clock_key(public, name=_name()[0])))
            self.stderr.write(_made())
            return
        if not options["if_missing"]:
            raise NoKey(_("there is a log key already"))

    def _show(self, options: dict[str, Any]) -> None:
        have, used = _publics_here(), _publics_used()
        found = [*have, *(public for public in reversed(used) if public not in have)]
        if not found:
            raise NoKey(_("there is no log key yet; make one with “%(command)s”") % _named("create"))
        if options["tenant"]:
            log = log_of(options["tenant"])
            for origin in checkpoints.origins(log.id):
                for public in found:
                    self.stdout.write(str(keys.log_key(origin, public)))
            return
        name, standing = _name()
        self.stdout.write(
            _("Name under which the logs are signed: %(name)s (%(standing)s)") % {"name": name, "standing": standing}
        )
        for place, public in enumerate(found):
            self.stdout.write(f"{log_name.clock_key(public, name=name)}  {_standing(place, public in have)}")
        self.stderr.write(
            _("These keys sign the times of the checkpoints. To show the keys of one log: %(command)s")
            % _named("show --tenant TENANT")
        )

    def _copy(self, options: dict[str, Any]) -> None:
        path, passphrase = Path(options["file"]), recovery.make()
        content = key_copy.sealed(keys.load(), passphrase)
        is_replaced = path.exists()
        keys.write_private(path, content)
        self.stdout.write(_("Copy of the log's key: %(path)s") % {"path": path})
        self.stdout.write(_("Its passphrase, which is shown only now: %(passphrase)s") % {"passphrase": passphrase})
        if is_replaced:
            self.stderr.write(
                _("A copy that was at this place is replaced. Its passphrase does not open the new copy.")
            )
        self.stderr.write(
            _(
                "Store the copy and the passphrase in different places, outside this machine. The set-up page then "
                "asks for the last four characters of the copy's fingerprint: run “sha256sum log_key_copy.pem” where "
                "you store the copy (on Windows, “certutil -hashfile log_key_copy.pem SHA256”)."
            )
        )
        # The last step, so that nobody counts on a copy whose passphrase was not shown. A pipe would hold it back.
        sys.stdout.flush()
        operations.record_key_copy(hashlib.sha256(content).hexdigest(), actor=actor("log_key"))

    def _restore(self, options: dict[str, Any]) -> None:
        content = Path(options["file"]).read_bytes()
        asked = getpass.getpass(_("Passphrase of the copy: ")) if sys.stdin.isatty() else sys.stdin.readline()
        found = key_copy.opened(content, asked.strip())
        keys.restore(found)
        for public in found.publics:
            self.stdout.write(str(log_name.clock_key(public, name=_name()[0])))
        self.stderr.write(_("The log's key is restored: %(path)s") % {"path": settings.LOG_KEY_FILE})

    def _rotate(self, options: dict[str, Any]) -> None:
        if len(keys.load().keys) > 1:
            raise NoKey(_("a rotation is under way: first retire the old key (%(command)s)") % _named("retire"))
        self.stdout.write(str(log_name.clock_key(keys.rotate())))
        self.stderr.write(
            _(
                "From now on, the new key and the old key both sign. Back up the key file. When every log has "
                "been signed with the new key, which takes about a day, remove the old key: %(command)s"
            )
            % _named("retire")
        )

    def _retire(self, options: dict[str, Any]) -> None:
        have = keys.load()
        if len(have.keys) == 1:
            raise NoKey(_("there is no old key to remove"))
        waiting = checkpoints.without_key(have.publics[0])
        if waiting and not options["anyway"]:
            words = ngettext(
                "%(n)d log was not yet signed with the new key: wait for its next checkpoint",
                "%(n)d logs were not yet signed with the new key: wait for their next checkpoints",
                waiting,
            )
            raise NoKey(words % {"n": waiting})
        gone = keys.retire()
        words = ngettext("%(n)d old key was removed.", "%(n)d old keys were removed.", gone)
        self.stdout.write(words % {"n": gone})


def _made() -> str:
    if keys.is_in_hsm():
        return _("The log's key was made in the HSM, and can't leave it. Back up the HSM as its maker says.")
    words = _("The log's key was made: %(path)s. Back up this file, separately from the database.")
    return words % {"path": settings.LOG_KEY_FILE}


def _named(act: str) -> dict[str, str]:
    return {"command": program.command(f"log_key {act}")}


def _name() -> tuple[str, str]:
    """Return the name of the logs, and words that say where the name comes from."""
    try:
        if log_name.is_recorded():
            return log_name.current(), _("recorded at the first signature")
        return log_name.current(), _("from the settings; can change until the first signature")
    except DatabaseError:
        # Before the first migration nothing has been signed.
        return settings.LOG_ORIGIN, _("from the settings; can change until the first signature")


def _publics_here() -> list[bytes]:
    try:
        return keys.load().publics
    except BadKey:
        raise
    except NoKey:
        # A machine without the key still knows which keys have signed.
        return []


def _publics_used() -> list[bytes]:
    try:
        return checkpoints.publics()
    except DatabaseError:
        # Before the first migration nothing has been signed.
        return []


def _standing(place: int, is_here: bool) -> str:
    if not is_here:
        return _("has signed, and is not on this machine")
    return _("signs") if place == 0 else _("also signs until it is retired")


def _one_line(refusal: NoKey) -> str:
    words = str(refusal)
    return f"{words[:1].upper()}{words[1:]}."
