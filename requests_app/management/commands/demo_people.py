"""`manage.py demo_people [--json]`: who can sign in to the demo world as whom."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import IO, Any, cast

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from requests_app.demo import people
from requests_app.demo.world import exists


class Command(BaseCommand):
    help = "List the people of the demo world with their passwords, which are made per installation."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="for programs: a list of objects")

    def handle(self, *args: Any, **options: Any) -> None:
        if not exists():
            raise CommandError("There is no demo world here. Make it: python manage.py demo_world", returncode=2)
        rows = [_row(character) for character in people.everybody()]
        if options["json"]:
            self.stdout.write(json.dumps(rows, indent=2))
            return
        table = Table(title="Who can sign in", title_justify="left", box=None, pad_edge=False)
        for heading in ("Side", "Who", "Roles", "Email", "Password"):
            table.add_column(heading, no_wrap=heading in ("Email", "Password"), overflow="fold")
        for row in rows:
            side = row["tenant"] or settings.PROVIDER_NAME
            table.add_row(side, row["name"], ", ".join(row["roles"]).replace("_", " "), row["email"], row["password"])
        Console(file=cast(IO[str], self.stdout), width=max(Console().width, 110)).print(table)


def _row(character: people.Character) -> dict[str, Any]:
    tenant = next((tenant.name for tenant in people.TENANTS if tenant.slug == character.tenant), None)
    return {
        "email": character.email,
        "password": people.passwords()[character.email],
        "name": character.name,
        "side": character.side,
        "tenant": tenant,
        "roles": character.role_names,
    }
