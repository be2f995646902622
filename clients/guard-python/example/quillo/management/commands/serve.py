"""Serves Quillo on this machine. Werkzeug shows the guard its connections, so that a download is cut at once.

Django's own `runserver` does not. For production, use gunicorn, which does.
"""

from __future__ import annotations

from typing import Any

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.core.management import BaseCommand
from django.core.management.base import CommandParser
from werkzeug.serving import run_simple

from quillo.wsgi import application


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("port", type=int, nargs="?", default=8400)

    def handle(self, *arguments: Any, port: int, **options: Any) -> None:
        run_simple("127.0.0.1", port, StaticFilesHandler(application), threaded=True)
