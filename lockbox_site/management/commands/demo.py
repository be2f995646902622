"""`manage.py demo` (used by bin/demo): plays the demo. The exit status is 0 only if everything was as expected."""

from __future__ import annotations

import sys
from argparse import SUPPRESS
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser
from rich.console import Console
from rich.panel import Panel

from lockbox_site.demo.browser import Stopped
from lockbox_site.demo.scenes import introduction, play, working
from lockbox_site.demo.stage import STEPS, Stage


class Command(BaseCommand):
    help = "Play the main job through the real interfaces, in a separate data directory, and print it as a timeline."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        # The demo itself runs in another process, because it has its own settings.
        parser.add_argument("--prepare", action="store_true", help=SUPPRESS)
        for name in ("--guarded", "--tool", "--proxy-secret-hash"):
            parser.add_argument(name, default="", help=SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["prepare"]:
            given = [f"--{name.replace('_', '-')}={options[name]}" for name in ("guarded", "tool", "proxy_secret_hash")]
            for step in STEPS:
                call_command(*step, *(given if step[0] == "demo_world" else ()))
            return
        console = Console(width=max(Console().width, 100))
        console.print(Panel(introduction(), title="Customer Lockbox", title_align="left"))
        stage = Stage()
        try:
            with working(console, "Setting up the stage …"):
                context = stage.set_up()
                context.__enter__()
            try:
                play(stage, console)
            finally:
                context.__exit__(None, None, None)
        except Stopped as failure:
            console.print(f"\n[bold red]The demo stopped.[/] {failure}", highlight=False, soft_wrap=True)
            sys.exit(1)
        console.print("\n[bold green]Every step was observed.[/]")
