"""`manage.py heartbeat`: report whether background work happens, for the liveness probe of a container."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from requests_app.domain import clock
from requests_app.models import Heartbeat
from requests_app.platform.database import bounds
from requests_app.work import heartbeats


class Command(BaseCommand):
    help = "Exits with 0 if the named part has recently sent a heartbeat, otherwise with 1."

    def add_arguments(self, parser: CommandParser) -> None:
        running = heartbeats.of_cluster(heartbeats.cluster_name())
        parser.add_argument(
            "name", nargs="?", default=running, help=f"a heartbeat's name, such as beat or {running} (default)"
        )
        parser.add_argument("--max-age", type=int, default=settings.HEARTBEAT_MAX_AGE_SECONDS, help="in seconds")

    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"]
        # Without this limit, a database that hangs would block the probe for just as long.
        with bounds.within(bounds.probe()):
            at, now = Heartbeat.objects.filter(name=name).values_list("at", flat=True).first(), clock.now()
        if at is None:
            raise CommandError(_("%(name)s has never been seen.") % {"name": name})
        age = int((now - at).total_seconds())
        line = _("%(name)s was last seen %(age)d s ago.") % {"name": name, "age": age}
        if age > options["max_age"]:
            raise CommandError(line)
        self.stdout.write(line)
