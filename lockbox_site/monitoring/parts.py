"""Answers `/metrics` for a supervisor without a web server, such as the one of a worker in a container.

The answer has the counters of this host only. A web server gives the states, which are the same everywhere.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Collection
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseNotFound

from lockbox_site.monitoring import metrics
from requests_app.work import supervisor

#: How long a caller may take in all, in seconds, and how many callers are served at the same time.
WITHIN, MOST_CALLERS = 10.0, 8


def install() -> None:
    """Make the supervisor of this process listen at METRICS_PORT as soon as it runs."""
    if listen not in supervisor.beside:
        supervisor.beside.append(listen)


def listen(kinds: Collection[str]) -> None:
    """Listen at METRICS_PORT, in threads of this process. A web server among the parts answers instead of it.

    Raise CannotStart if the port can't be used. The parts run without it: metrics never stop the work.
    """
    if supervisor.WEB in kinds:
        return
    supervisor.require_free_port(settings.HOST, settings.METRICS_PORT, setting="METRICS_PORT")
    server = Server(supervisor.address_of(settings.HOST, settings.METRICS_PORT), settings.METRICS_PORT)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()


class Server(ThreadingMixIn, TCPServer):
    """Serves a few callers at the same time. Further ones are disconnected, so they take no memory from the parts."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 16

    def __init__(self, address: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._free = threading.BoundedSemaphore(MOST_CALLERS)
        super().__init__((address, port), Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except RuntimeError:  # no thread can be started
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        # A caller that sends one byte now and then is disconnected, too.
        limit = threading.Timer(WITHIN, _disconnect, [request])
        limit.daemon = True
        try:
            limit.start()
            super().process_request_thread(request, client_address)
        finally:
            limit.cancel()
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: the caller has gone."""


def _disconnect(request: socket.socket) -> None:
    with suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    timeout = WITHIN

    def do_GET(self) -> None:
        is_here = self.path.partition("?")[0] == "/metrics"
        answer = (metrics.metrics_of_part(self._as_django()) if is_here else None) or _nothing_here()
        self.send_response(answer.status_code)
        for name, value in answer.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.content)

    do_HEAD = do_GET

    def _as_django(self) -> HttpRequest:
        """Return what the guard of the metrics looks at."""
        request = HttpRequest()
        request.method = self.command
        headers = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in self.headers.items()}
        request.META = {**headers, "REMOTE_ADDR": self.client_address[0]}
        return request

    def version_string(self) -> str:
        """Return what the header Server says, without the version of Python."""
        return "Customer Lockbox"

    def log_message(self, *_: Any) -> None:
        """Log no requests. Monitoring would fill the log."""


def _nothing_here() -> HttpResponse:
    return HttpResponseNotFound("Not found.\n", content_type="text/plain")
