"""A small application with the guard, which the demo runs as a program of its own.

Usage: python guarded.py PORT LOCKBOX CLIENT_ID QUEUE, with the client's secret in LOCKBOX_CLIENT_SECRET, and
the directory of the guard in LOCKBOX_GUARD.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

# A program of its own, which imports nothing of the product.
sys.path.insert(0, os.environ["LOCKBOX_GUARD"])

from lockbox_guard import ANYBODY, Guard, Rule, WSGIGuard

#: How much an export has, and how slowly it comes, so that the demo can close the window in the middle.
PIECES, PIECE, PAUSE = 600, b"x" * 65536, 0.02
Environ = dict[str, Any]


def application(environ: Environ, start: Any) -> Iterable[bytes]:
    """Show a workspace, export it slowly, or change its title."""
    is_export = environ["PATH_INFO"].endswith("/export")
    start("200 OK", [("Content-Type", "application/octet-stream" if is_export else "text/plain; charset=utf-8")])
    if is_export:
        return _export()
    return [b"The title is changed." if environ["REQUEST_METHOD"] == "POST" else b"Workspace: sketches of November"]


def _export() -> Iterator[bytes]:
    for _number in range(PIECES):
        yield PIECE
        time.sleep(PAUSE)


def rules(environ: Environ) -> Rule | None:
    """Return the rule for /support/TENANT/WORKSPACE and what is below it. The application has no sign-in of its own."""
    _, _, tenant, workspace, *more = [*environ["PATH_INFO"].split("/"), "", ""][:5]
    pattern = "/support/{tenant}/{workspace}" + "".join(f"/{part}" for part in more if part)
    is_file = "export" in more
    return Rule(tenant, workspace, ANYBODY, action="read" if is_file else None, pattern=pattern)


class _Handler(WSGIRequestHandler):
    def get_environ(self) -> Environ:
        # With the socket, the guard can break off a response.
        return {**super().get_environ(), "lockbox_guard.socket": self.connection}

    def log_message(self, *_args: object) -> None:
        """Write nothing: the demo prints what happens."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, *_args: object) -> None:
        """Write nothing about a response that the guard broke off."""


def main() -> None:
    port, lockbox, client_id, queue = sys.argv[1:]
    guard = Guard(
        issuer=lockbox,
        service="quillo",
        client_id=client_id,
        client_secret=os.environ["LOCKBOX_CLIENT_SECRET"],
        origin=f"http://localhost:{port}",
        queue=queue,
    )
    app = WSGIGuard(guard, application, rules)
    make_server("127.0.0.1", int(port), app, server_class=_Server, handler_class=_Handler).serve_forever()


if __name__ == "__main__":
    main()
