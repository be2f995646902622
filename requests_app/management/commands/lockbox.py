"""`manage.py lockbox`: run web server, clusters and beat in one foreground command."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.utils.translation import gettext as _

from requests_app.domain import clock
from requests_app.management import _waiting
from requests_app.management._fitness import (
    compare_heads,
    require_log_name,
    require_migrated,
    require_static_files,
    version_of_database,
)
from requests_app.management._setup_link import new_setup_link
from requests_app.platform import forks, program, terminal, webauthn
from requests_app.queries import installation
from requests_app.work import forking, schedules, supervisor


class Command(BaseCommand):
    help = (
        "Runs the web server, the clusters, the beat and the proxy for web tools until Ctrl-C or SIGTERM. It restarts "
        "a part that ends unexpectedly."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--no-web", action="store_true", help="do not run the web server")
        parser.add_argument(
            "--no-beat", action="store_true", help="do not run the beat, because another machine runs it"
        )
        parser.add_argument(
            "--no-tools", action="store_true", help="do not run the proxy for web tools, even if TOOL_PROXY_PORT is set"
        )
        parser.add_argument("--clusters", type=int, default=settings.CLUSTERS, help="how many (default: CLUSTERS)")

        parser.add_argument(
            "--trial",
            action="store_true",
            help=(
                "for a trial in a terminal: print lines without labels, and when the server is ready, the provider's "
                "name and the set-up link, if they are not set up yet"
            ),
        )

    def handle(self, *args: Any, **options: Any) -> None:
        web, beat, clusters = not options["no_web"], not options["no_beat"], options["clusters"]
        tools = bool(settings.TOOL_PROXY_PORT) and not options["no_tools"]
        if not (web or beat or clusters or tools):
            raise CommandError(
                _(
                    "There is nothing to run. Leave out --no-web or --no-beat, set --clusters to 1 or more, or set "
                    "TOOL_PROXY_PORT for the proxy for web tools."
                )
            )
        try:
            if web:
                supervisor.require_free_port(settings.HOST, settings.PORT)
            if tools:
                supervisor.require_free_port(settings.HOST, settings.TOOL_PROXY_PORT, setting="TOOL_PROXY_PORT")
            wanted = supervisor.child_processes(web=web, beat=beat, clusters=clusters, tools=tools)
        except supervisor.CannotStart as refusal:
            raise CommandError(str(refusal)) from refusal
        # The checks load much that no part needs, and connect to the database. All of that ends with their process.
        checking = forks.Aside(partial(_check, web=web, beat=beat, is_trial=options["trial"]))
        kinds = [part.kind for part in wanted]
        forking.load(kinds)
        found = checking.result()
        forking.warm_up(kinds)
        for line in found.warnings:
            self.stderr.write(line)
        for line in found.changes:
            self.stdout.write(line)
        # The child processes open their own connections.
        connection.close()
        running = supervisor.Supervisor(
            wanted,
            when_ready=found.first_steps,
            has_labels=not options["trial"],
            nursery=forking.Nursery(),
        )
        if code := running.run():
            raise SystemExit(code)


@dataclass
class _Found:
    """What the checks before the start have found, as lines to print."""

    warnings: list[str] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    first_steps: list[str] = field(default_factory=list)


def _check(*, web: bool, beat: bool, is_trial: bool) -> _Found:
    """Raise CommandError if the product can't run here. Return the lines for the operator."""
    found = _Found()
    if settings.WAIT_FOR_DATABASE:
        _waiting.for_database()
    else:
        require_migrated()
    require_log_name()
    found.warnings += [*version_of_database(), *compare_heads()]
    if web:
        require_static_files()
        if not webauthn.site_has_name():
            words = _(
                "Passkeys can't be used at %(address)s: browsers store them for a name, not for an IP address. Set "
                "BASE_URL or HOST to a name, for example localhost."
            )
            found.warnings.append(words % {"address": settings.BASE_URL})
    if is_trial:
        found.first_steps += _first_steps()
    elif not installation.has_staff():
        found.warnings.append(_how_to_begin())
    if beat:
        found.changes += schedules.sync(clock.now())
    return found


def _first_steps() -> list[str]:
    """Return what somebody who tries the product reads last. It has the set-up link, and nobody else reads it."""
    named = [] if settings.PROVIDER_NAME_IS_SET else ["", installation.provider_name()]
    if installation.has_staff():
        return named
    sentence, link = new_setup_link()
    return [*named, "", sentence, "", f"    {terminal.highlighted(link)}", ""]


def _how_to_begin() -> str:
    """Return what the operator does next while nobody is staff. The output is a log, so it never has the link."""
    if installation.is_setup_link_open(clock.now()):
        words = _(
            "Nobody can sign in yet. Open the set-up link that was printed. If it is lost, make a new one: %(command)s"
        )
    else:
        words = _("Nobody can sign in yet. Make a link for the first staff member: %(command)s")
    return words % {"command": program.command("setup-link")}
