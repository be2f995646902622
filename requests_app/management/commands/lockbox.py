"""Runs web server, clusters and beat in one foreground command."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils.translation import gettext as _

from requests_app.worker import supervisor


class Command(BaseCommand):
    help = "Runs web server, clusters and beat until Ctrl-C or SIGTERM, and starts again what ends by itself."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--no-web", action="store_true", help="leave the web server to somebody else")
        parser.add_argument("--no-beat", action="store_true", help="leave the beat to another machine")
        parser.add_argument("--clusters", type=int, default=settings.CLUSTERS, help="how many (default: CLUSTERS)")

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = supervisor.parts(web=not options["no_web"], beat=not options["no_beat"], clusters=options["clusters"])
        if not wanted:
            raise CommandError(_("Nothing is left to run."))
        _require_migrated()
        try:
            if not options["no_web"]:
                supervisor.require_free_port(settings.HOST, settings.PORT)
        except supervisor.CannotStart as refusal:
            raise CommandError(str(refusal)) from refusal
        code = supervisor.Supervisor(wanted).run()
        if code:
            raise SystemExit(code)


def _require_migrated() -> None:
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        raise CommandError(_("The database is not up to date. Run: manage.py migrate"))
    # The children open their own.
    connection.close()
