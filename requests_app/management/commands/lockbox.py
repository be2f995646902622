"""`manage.py lockbox`: run web server, clusters and beat in one foreground command."""

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
from requests_app.platform import program, terminal, webauthn
from requests_app.queries import installation
from requests_app.work import schedules, supervisor


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
        if settings.WAIT_FOR_DATABASE:
            _waiting.for_database()
        else:
            require_migrated()
        require_log_name()
        for line in [*version_of_database(), *compare_heads()]:
            self.stderr.write(line)
        if web:
            require_static_files()
        try:
            if web:
                supervisor.require_free_port(settings.HOST, settings.PORT)
            if tools:
                supervisor.require_free_port(settings.HOST, settings.TOOL_PROXY_PORT, setting="TOOL_PROXY_PORT")
            wanted = supervisor.child_processes(web=web, beat=beat, clusters=clusters, tools=tools)
        except supervisor.CannotStart as refusal:
            raise CommandError(str(refusal)) from refusal
        if web and not webauthn.site_has_name():
            words = _(
                "Passkeys can't be used at %(address)s: browsers store them for a name, not for an IP address. Set "
                "BASE_URL or HOST to a name, for example localhost."
            )
            self.stderr.write(words % {"address": settings.BASE_URL})
        first_steps = _first_steps() if options["trial"] else []
        if not options["trial"] and not installation.has_staff():
            self.stderr.write(_how_to_begin())
        if beat:
            for line in schedules.sync(clock.now()):
                self.stdout.write(line)
        # The child processes open their own connections.
        connection.close()
        code = supervisor.Supervisor(wanted, when_ready=first_steps, has_labels=not options["trial"]).run()
        if code:
            raise SystemExit(code)


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
