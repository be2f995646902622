"""`manage.py demo_people [--json] [--code WHO]`: lists who can sign in to the demo world, with password and code."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import IO, Any, cast

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from rich.console import Console
from rich.table import Table

from lockbox_site.demo import people
from lockbox_site.demo.world import exists
from requests_app.domain import clock
from requests_app.management._shell import line
from requests_app.platform import totp
from requests_app.platform.trial import MAIL_FILES


class Command(BaseCommand):
    help = "List the people of the demo world with their passwords, which are different in each installation."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="for programs: a list of objects")
        parser.add_argument(
            "--code", metavar="WHO", help="print the code that this person's authenticator app shows now"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not exists():
            raise CommandError(f"There is no demo world here. Make it: {line('demo_world')}", returncode=2)
        if options["code"]:
            self.stdout.write(_code(options["code"]))
            return
        rows = [_row(character) for character in people.everybody()]
        if options["json"]:
            self.stdout.write(json.dumps(rows, indent=2))
            return
        # The names and the sides are in the addresses. With columns for them, a line would not fit into a terminal.
        signing_in, apps = _table("Who can sign in"), _table("\nThe secrets of their authenticator apps")
        for row in rows:
            signing_in.add_row(row["email"], row["password"], ", ".join(row["roles"]).replace("_", " "))
            if row["app"]:
                apps.add_row(row["email"], row["app"])
        console = Console(file=cast(IO[str], self.stdout), width=max(Console().width, 80))
        console.print(signing_in)
        console.print(apps)
        console.print(
            "\nType the secret of a person into an authenticator app, or print the current code:"
            f"\n{line('demo_people --code ada.keller')}",
            highlight=False,
            soft_wrap=True,
        )
        guard = people.client()
        console.print(
            "\nQuillo is an application of the provider. Nothing runs at its address, http://localhost:8400, until you"
            "\nput your application there (docs/your-application.md)."
            f"\nIts guard has the client {guard['client_id']}, and this secret:"
            f"\nexport LOCKBOX_CLIENT_SECRET={guard['client_secret']}",
            highlight=False,
            soft_wrap=True,
        )
        if settings.EMAIL_BACKEND == MAIL_FILES:
            console.print(f"\nEach mail is a file in {settings.EMAIL_FILE_PATH}", highlight=False, soft_wrap=True)
        if any("engineer" in row["roles"] and not row["app"] for row in rows):
            console.print(
                "\nThe engineers of this demo world have no second factor: it is switched off for them"
                " (ENGINEER_SECOND_FACTOR=off).\nIn a real installation they must have one.",
                highlight=False,
            )


def _table(title: str) -> Table:
    """Return a table without headings, in which only the last column may need more than one line."""
    table = Table(title=title, title_justify="left", box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    return table


def _code(login: str) -> str:
    secrets = people.app_secrets()
    found = next((address for address in secrets if address == login or address.startswith(f"{login}@")), None)
    if found is None:
        raise CommandError(f"In the demo world, nobody with an authenticator app has the name {login!r}.", returncode=2)
    return totp.code(secrets[found], totp.step_at(clock.now()))


def _row(character: people.Character) -> dict[str, Any]:
    tenant = next((tenant.name for tenant in people.TENANTS if tenant.slug == character.tenant), None)
    return {
        "email": character.email,
        "password": people.passwords()[character.email],
        "app": people.app_secrets().get(character.email, ""),
        "name": character.name,
        "side": character.side,
        "tenant": tenant,
        "roles": character.role_names,
    }
