"""`manage.py tool_proxy`: run the proxy for web tools that have an upstream address."""

import asyncio
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.utils.translation import gettext as _

from requests_app.doors.tools.server import serve
from requests_app.management._fitness import compare_heads, require_log_name
from requests_app.platform.database import bounds
from requests_app.work import supervisor


class Command(BaseCommand):
    help = "Runs the proxy for web tools until SIGTERM. It ends connections with their window."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.TOOL_PROXY_PORT:
            raise CommandError(_("Set TOOL_PROXY_PORT to the port of the proxy, for example 8002."))
        require_log_name()
        for line in compare_heads():
            self.stderr.write(line)
        bounds.of_process(bounds.web(statement_seconds=settings.STATEMENT_SECONDS, threads=settings.WEB_THREADS))
        # Connections that are already open don't have these limits yet.
        connections.close_all()
        try:
            host = supervisor.address_of(settings.HOST, settings.TOOL_PROXY_PORT)
        except supervisor.CannotStart as refusal:
            raise CommandError(str(refusal)) from refusal
        asyncio.run(serve(host, settings.TOOL_PROXY_PORT))
