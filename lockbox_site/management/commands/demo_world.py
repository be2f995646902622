"""`manage.py demo_world`: makes the demo world. A second run changes nothing."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from lockbox_site.demo import history, world


class Command(BaseCommand):
    help = "Make the demo world: Contoso, Fabrikam and Northwind with people, content, tickets and access requests."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--bare", action="store_true", help="only people and content, without a history")

    def handle(self, *args: Any, **options: Any) -> None:
        if world.exists():
            self.stdout.write("The demo world is there already.")
            return
        world.build()
        if not options["bare"]:
            history.play()
        self.stdout.write("The demo world is made.")
