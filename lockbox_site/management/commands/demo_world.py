"""`manage.py demo_world`: makes the demo world. A second run changes nothing."""

from __future__ import annotations

from argparse import SUPPRESS, ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from lockbox_site.demo import history, world


class Command(BaseCommand):
    help = "Make the demo world: Contoso, Fabrikam and Northwind with people, content, tickets and access requests."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--bare", action="store_true", help="only people and content, without a history")

        # Given by the demo, which runs an application and a web tool itself.
        for name in ("--guarded", "--tool", "--proxy-secret-hash"):
            parser.add_argument(name, default="", help=SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        if settings.PRODUCTION:
            raise CommandError("This installation has PRODUCTION=on, so no demo world is made in it.")
        if world.exists():
            self.stdout.write("The demo world is there already.")
            return
        given = (options["guarded"], options["tool"], options["proxy_secret_hash"])
        world.build(world.Applications(*given) if all(given) else None)
        if not options["bare"]:
            history.play()
        self.stdout.write("The demo world is made.")
