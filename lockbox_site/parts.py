"""Loads what the parts of the product need, and runs one part, in processes that the supervisor forks."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Collection, Sequence
from importlib import import_module

from django.conf import settings
from django.core.management import get_commands, load_command_class
from django.db import DatabaseError, InterfaceError, connections

from lockbox_site import places
from requests_app.domain import clock
from requests_app.models import Heartbeat
from requests_app.platform import frames
from requests_app.platform.database import bounds
from requests_app.work import heartbeats, pending, schedules, supervisor, undertaker
from requests_app.work.webhooks import delivery as webhooks

#: What a part imports while it starts. To load it before the fork must start no thread and open no connection.
MODULES = {
    supervisor.WEB: ("lockbox_site.serving.bridge", "lockbox_site.serving.handler", "lockbox_site.serving.fast_path",
                     "requests_app.operations.streams", "granian.cli", "granian.server", "asyncio", "uvloop"),
    supervisor.CLUSTER: ("requests_app.tasks", "requests_app.content.connectors.registry"),
    supervisor.BEAT: ("requests_app.work.beat",),
    supervisor.TOOLS: ("requests_app.doors.tools.server",),
}  # fmt: skip
#: Python adapts code to its data when it runs again, which also writes to memory.
ROUNDS = 3
#: The commands of the parts that are commands of Django.
COMMANDS = {supervisor.CLUSTER: "cluster", supervisor.BEAT: "beat", supervisor.TOOLS: "tool_proxy"}


def load(kinds: Collection[str]) -> None:
    """Import what these kinds of parts need, so that their processes share it. Nothing is read but code."""
    for kind in kinds:
        for module in MODULES[kind]:
            import_module(module)
        if kind in COMMANDS:
            load_command_class(get_commands()[COMMANDS[kind]], COMMANDS[kind])
    if supervisor.WEB in kinds:
        from django.urls import get_resolver

        get_resolver().url_patterns  # noqa: B018 - loads them


def warm_up(kinds: Collection[str]) -> None:
    """Do in this process what each part does first, for what that leaves in its caches.

    The database is only read, and afterwards this process has no connection. Static files must have been collected: the
    web server reads their names once.
    """
    if supervisor.WEB in kinds:
        from lockbox_site.serving.bridge import Bridge
        from lockbox_site.serving.handler import Handler

        # Middleware, templates, addresses, translations. It starts no thread until it serves.
        Bridge(Handler(), threads=1, streams=1, longest_body=1)
    try:
        with bounds.within(bounds.probe()):
            for _ in range(ROUNDS):
                schedules.faults(clock.now())
                heartbeats.Turns(clock.now())
                webhooks.next_attempt(clock.now())
                list(pending.tasks(clock.now()))
                list(Heartbeat.objects.all())
    except (DatabaseError, InterfaceError):
        # The parts wait for the database, each in its way.
        pass
    finally:
        connections.close_all()


def run(words: Sequence[str]) -> None:
    """Run the part whose command line this is, in this process."""
    if words[-1] == undertaker.__name__:
        with open(0, closefd=False) as orders:
            undertaker.main(orders)
        return
    if list(words[: len(settings.MANAGE)]) != settings.MANAGE:
        _serve(words[len(settings.PYTHON) + 2 :])
        return
    from lockbox_site import django_commands
    from lockbox_site.monitoring import watching

    command = list(words[len(settings.MANAGE) :])
    sys.argv = [settings.MANAGE[-1], *command]
    watching.start(watching.PARTS[command[0]])
    django_commands.run(settings.PROGRAM.name if places.IS_WHEEL else settings.MANAGE[-1], command)


def _serve(options: Sequence[str]) -> None:
    from granian.cli import entrypoint

    # The web server forks its processes, which then share the memory of this one.
    multiprocessing.set_start_method("fork", force=True)
    sys.argv = ["granian", *options]
    frames.in_one_chunk(entrypoint)
