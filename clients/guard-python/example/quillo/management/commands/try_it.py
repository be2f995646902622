"""Makes the tables and some content to try Quillo with: a workspace, its user, and an engineer."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.core.management import BaseCommand, call_command
from django.core.management.base import CommandParser

from quillo.models import Member, Page, Workspace


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--tenant", required=True, help="the customer's id at Lockbox")
        parser.add_argument("--key", default="ws-1041", help="the workspace's external id at Lockbox")
        parser.add_argument(
            "--engineer", default="priya.nair@provider.example", help="the engineer's address at Lockbox"
        )
        parser.add_argument("--password", required=True, help="the password of both accounts, here only")

    def handle(self, *arguments: Any, tenant: str, key: str, engineer: str, password: str, **options: Any) -> None:
        call_command("migrate", verbosity=0)
        workspace, _ = Workspace.objects.get_or_create(key=key, defaults={"name": "Contoso", "tenant": tenant})
        for name, is_staff in ((engineer, True), ("nina@contoso.example", False)):
            user, is_new = User.objects.get_or_create(username=name, defaults={"email": name, "is_staff": is_staff})
            if is_new:
                user.set_password(password)
                user.save()
        Member.objects.get_or_create(user=user, workspace=workspace)
        for slug, title, body in (("plan", "Plan", "The plan for the year"), ("team", "Team", "Who does what")):
            Page.objects.get_or_create(workspace=workspace, slug=slug, defaults={"title": title, "body": body})
        self.stdout.write("Quillo has a workspace, one user and one engineer.")
