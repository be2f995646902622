"""A web tool for tests, a proxy in front of it, and a client that changes no path."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.cast import PROXY_SECRET
from tests.ports import free_port

CONFIGURATIONS = Path(__file__).parents[2] / "deploy" / "forward-auth"
HOST = "quillo.example"
#: How long a proxy may take until it answers, on a busy machine.
PATIENCE = 60


def program(name: str) -> str:
    """Return the path of a program: beside this Python, or where the system has it. Without it, the test fails."""
    path = path_of(name)
    if path is None:
        where = "apt-get install nginx" if name == "nginx" else "it is in requirements-dev.txt, for Linux alone"
        pytest.fail(
            f"The tests of web tools need {name}, and it is not installed. To install it: {where}", pytrace=False
        )
    return path


def path_of(name: str) -> str | None:
    """Return the path of a program, or None if this machine has none."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name) or shutil.which(name, path="/usr/sbin")


@dataclass
class Tool:
    """A web tool that answers each request with what it got."""

    server: ThreadingHTTPServer
    got: list[dict[str, Any]] = field(default_factory=list)
    #: How many requests have reached it.
    reached: int = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_port}"


@contextmanager
def tool() -> Iterator[Tool]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            found.reached += 1
            found.got.append({"method": self.command, "path": self.path, "headers": headers})
            body = json.dumps(found.got[-1]).encode()
            self.send_response(200)
            if "/streams" in self.path or self.path.startswith("/live/"):
                self.send_header("Content-Type", "text/event-stream")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if self.command != "HEAD" else b"")

        do_GET = do_HEAD = do_POST = do_DELETE = do_PUT = do_OPTIONS = do_TRACE = answer  # noqa: N815 - the library's names

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Tool(server)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True)
class Got:
    status: int
    body: str
    headers: dict[str, str]


def send(port: int, target: str, *, method: str = "GET", **headers: str) -> Got:
    """Send one request, with exactly this target."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in {"Host": HOST, **headers}.items():
            connection.putheader(name.replace("_", "-"), value)
        if method in ("POST", "PUT"):
            connection.putheader("Content-Length", "0")
        connection.endheaders()
        response = connection.getresponse()
        return Got(response.status, response.read().decode(), {k.lower(): v for k, v in response.getheaders()})
    finally:
        connection.close()


@contextmanager
def running(command: list[str], port: int, *, place: Path, **environment: str) -> Iterator[int]:
    """Run a proxy until the block ends. Yield its port, on which it answers now, and knows the host."""
    with (place / "output.log").open("wb") as output:
        env = {"PATH": "/usr/bin:/bin", "HOME": str(place), **environment}
        process = subprocess.Popen(command, cwd=place, stdout=output, stderr=output, env=env)  # noqa: S603 - our own
    try:
        ends = time.monotonic() + PATIENCE
        while not _answers(port):
            assert process.poll() is None, (place / "output.log").read_text()
            assert time.monotonic() < ends, (place / "output.log").read_text()
            time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _answers(port: int) -> bool:
    try:
        return send(port, "/.lockbox/nothing").status != 404
    except OSError:
        return False


def filled(
    name: str, place: Path, *, lockbox: str, tool: str, secret: str, host: str = HOST, **more: str
) -> tuple[Path, int]:
    """Write the shipped configuration for this machine: without TLS, with free ports. Return it with the port."""
    port = free_port()
    text = (CONFIGURATIONS / name).read_text()
    replaced = {
        **{shipped: here.replace("PORT", str(port)) for shipped, here in more.items()},
        "https://lockbox.example.com": f"http://{lockbox}",
        "127.0.0.1:9000": tool,
        "SECRET": secret,
        "quillo.example.com": host,
    }
    for shipped, here in replaced.items():
        text = text.replace(shipped, here)
    path = place / name
    path.write_text(text)
    return path, port


@contextmanager
def nginx(
    place: Path, lockbox: str, tool: str, host: str = HOST, *, inner: str = "", authority: Path | None = None
) -> Iterator[int]:
    """Run nginx with the shipped configuration until the block ends. Yield its port. `inner` is added to `http`.

    With `authority`, it calls Lockbox with TLS, and trusts this file. Browsers always call it without TLS.
    """
    path, port = filled(
        "nginx.conf", place, lockbox=lockbox, tool=tool, secret=PROXY_SECRET, host=host,
        **{
            "listen 443 ssl;": "listen 127.0.0.1:PORT;",
            "listen [::]:443 ssl;": "",
            "listen 443 ssl default_server;": "listen 127.0.0.1:PORT default_server;",
            "listen [::]:443 ssl default_server;": "",
            "lockbox.example.com:443": lockbox,
        },
    )  # fmt: skip
    text = path.read_text().replace("/var/log/nginx/", f"{place}/")
    if authority is None:
        text = re.sub(r"https://lockbox(?=[/;])", "http://lockbox", re.sub(r"(?m)^\s*proxy_ssl_\w+ .*$", "", text))
    text = re.sub(r"(?m)^\s*ssl_\w+ .*$", "", text).replace("/etc/ssl/certs/ca-certificates.crt", str(authority))
    here = f"daemon off; worker_processes 1; pid {place}/pid; error_log {place}/error.log; events {{}}\n"
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {place}/{kind};" for kind in kinds)
    path.write_text(f"{here}http {{ {temporary}\n{text}\n{inner}\n}}\n")
    with running([program("nginx"), "-c", str(path), "-e", f"{place}/early.log"], port, place=place) as there:
        yield there
