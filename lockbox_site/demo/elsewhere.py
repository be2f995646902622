"""Two scenes in which content stays elsewhere: in an application with the guard, and in a web tool behind nginx."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from django.conf import settings

from lockbox_site import places
from lockbox_site.demo import people
from lockbox_site.demo.browser import Page, Stopped
from lockbox_site.demo.play import Play, expect
from lockbox_site.demo.stage import HOST
from requests_app.domain import clock

CUT_WITHIN = 1.0
_LONG = "1800"
CONFIGURATION = places.DEPLOY / "forward-auth" / "nginx.conf"


def a_guarded_application(here: Play, close: Callable[[str], None]) -> None:
    """`close` closes the window of an access request as the customer."""
    here.scene("Content that stays in the provider's own application, behind the guard")
    with _application(here):
        access_request = _approved(here, resource="Design workspace", level="read", service="Quillo")
        browser, place = here.person("priya.nair"), _opened(here, access_request)
        here.tell("Priya Nair", "opens Quillo from her window; a one-time code brings her browser in")
        answer = browser.post(place.url)
        expect(answer.status == 403, "a window for reading allows no change in the application", answer)
        here.tell("Priya Nair", "tries to change something: refused (403), because the window is for reading")
        taken, after = _cut(here, f"{place.url}/export", lambda: close(access_request))
        expect(taken > 0 and after <= CUT_WITHIN, f"the export is cut off ({taken} bytes came, {after:.1f} s)")
        here.tell("Priya Nair", f"is cut off {after:.1f} s after “Close now”, in the middle of an export")
        again = browser.get(place.url)
        expect(again.status in (401, 403), "a closed window opens nothing in the application", again)
        _reported(here, access_request)


def a_web_tool(here: Play, close: Callable[[str], None]) -> None:
    here.scene("A web tool without a line of code, behind nginx")
    nginx = shutil.which("nginx") or shutil.which("/usr/sbin/nginx")
    if nginx is None:
        here.tell("", "There is no nginx on this machine, so this scene is left out.")
        return
    with _tool(here, nginx):
        access_request = _approved(here, resource="Ledger of Contoso", level="view", service="Ledger")
        place = _opened(here, access_request)
        browser = here.person("priya.nair")
        here.tell("Priya Nair", "opens the tool from her window; nginx asks Lockbox about each request")
        other = browser.get(place.url.replace("contoso-ledger", "fabrikam-ledger"))
        expect(other.status == 403, "the path of another customer is refused", other)
        here.tell("Priya Nair", "tries the path of another customer: refused (403)")
        close(access_request)
        again = browser.get(place.url)
        expect(again.status in (401, 403), "the next request after the end is refused", again)
        here.tell("Ada Keller", "presses “Close now”; the next request in the tool is refused")


def _approved(here: Play, *, resource: str, level: str, service: str) -> str:
    ticket = here.opens_ticket(
        "mia.weber",
        service=service,
        title=f"{service} shows an old state",
        body=f"{service} has shown the same state since Monday.",
    )
    here.takes("priya.nair", ticket)
    access_request = here.asks(
        "priya.nair",
        f"{ticket}ask/",
        resource=resource,
        window=_LONG,
        level=level,
        tried="Read the logs of the last week, which name no error.",
        why="The old state is only visible in the content. I need to look at it to see where it comes from.",
    )
    here.decides("pat.doyle", access_request, "approve")
    here.decides("ada.keller", access_request, "approve")
    here.tell("Priya Nair", f"asks for “{resource}”; Pat Doyle and Ada Keller approve and sign")
    return access_request


def _opened(here: Play, access_request: str) -> Page:
    """Follow the button on the window's page, through Lockbox and back, as a browser does."""
    browser = here.person("priya.nair")
    page = browser.get(here.window_of("priya.nair", access_request))
    links = page.links("/.lockbox/open")
    expect(bool(links), "the window's page leads into the application", page)
    there = browser.get(links[0])
    expect(there.status == 200 and "/.lockbox/" not in there.url, "the application opens", there)
    return there


def _cut(here: Play, address: str, close: Callable[[], None]) -> tuple[int, float]:
    """Read until the response breaks off; close the window in the middle. Return bytes, and seconds after the close."""
    taken, closed_at = 0, 0.0
    with here.person("priya.nair").stream(address) as answer, contextlib.suppress(OSError, http.client.HTTPException):
        while piece := answer.read(64 * 1024):
            taken += len(piece)
            if not closed_at and taken > 2**20:
                close()
                closed_at = clock.monotonic()
                here.tell("Ada Keller", "presses “Close now”")
    return taken, clock.monotonic() - closed_at


def _reported(here: Play, access_request: str) -> None:
    ends, page = clock.monotonic() + 10, None
    while clock.monotonic() < ends:
        page = here.person("ada.keller").get(f"{access_request}live/")
        if "reported by" in page.text and "GET /support/{tenant}/{workspace}" in page.text:
            here.tell("Ada Keller", "sees each request as a line of her log, reported by the application Quillo")
            return
        time.sleep(0.3)
    expect(seen=False, what="the application's accesses, reported by it, on the customer's page", page=page)


# --- What runs beside the product ----------------------------------------------------------------------------


@contextlib.contextmanager
def _application(here: Play) -> Iterator[None]:
    client = people.client()
    command = [*places.PYTHON, str(Path(__file__).with_name("guarded.py")), str(here.stage.guarded_port)]
    queue = Path(settings.DATA_DIR) / "guard"
    command += [here.stage.base, client["client_id"], str(queue)]
    environment = {"LOCKBOX_CLIENT_SECRET": client["client_secret"], "LOCKBOX_GUARD": str(places.GUARD)}
    with _running(command, here.stage.guarded_port, **environment):
        yield


@contextlib.contextmanager
def _tool(here: Play, nginx: str) -> Iterator[None]:
    server = ThreadingHTTPServer((HOST, 0), _Tool)
    Thread(target=server.serve_forever, daemon=True).start()
    place = Path(settings.DATA_DIR) / "nginx"
    place.mkdir(exist_ok=True)
    (place / "nginx.conf").write_text(_configuration(here, place, server.server_address[1]))
    try:
        with _running([nginx, "-c", str(place / "nginx.conf"), "-e", str(place / "early.log")], here.stage.tool_port):
            yield
    finally:
        server.shutdown()
        server.server_close()


def _configuration(here: Play, place: Path, tool: int) -> str:
    """Return the configuration that is shipped for nginx, without TLS and with the demo's addresses."""
    text = re.sub(r"(?m)^\s*(proxy_)?ssl_\w+ .*$", "", CONFIGURATION.read_text(encoding="utf-8"))
    text = re.sub(r"listen \[::\]:443 [^;]*;", "", text)
    text = re.sub(r"listen 443 ssl( default_server)?;", rf"listen {HOST}:{here.stage.tool_port}\1;", text)
    text = re.sub(r"https://lockbox(?=[/;])", "http://lockbox", text)
    for old, new in (
        ("lockbox.example.com:443", f"{HOST}:{here.stage.port}"),
        ("https://lockbox.example.com", here.stage.base),
        ("lockbox.example.com", f"{HOST}:{here.stage.port}"),
        ("quillo.example.com", "localhost"),
        ("127.0.0.1:9000", f"{HOST}:{tool}"),
        ("SECRET", here.stage.proxy_secret),
    ):
        text = text.replace(old, new)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    temporary = "".join(f"{kind}_temp_path {place}/{kind};" for kind in kinds)
    head = f"daemon off; worker_processes 1; pid {place}/pid; error_log {place}/error.log; events {{}}\n"
    return f"{head}http {{ access_log off; {temporary}\n{text}\n}}\n"


class _Tool(BaseHTTPRequestHandler):
    """A web tool that knows nothing of Lockbox."""

    def do_GET(self) -> None:  # the name that the library requires
        body = f"Ledger {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Write nothing: the demo prints what happens."""


@contextlib.contextmanager
def _running(command: list[str], port: int, **environment: str) -> Iterator[None]:
    log = (Path(settings.DATA_DIR) / f"{Path(command[0]).name}-{port}.log").open("wb")
    process = subprocess.Popen(  # noqa: S603 - our own command line
        command, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
    )
    log.close()
    try:
        ends = clock.monotonic() + 20
        while process.poll() is None and clock.monotonic() < ends:
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
                break
            time.sleep(0.1)
        else:
            raise Stopped(f"{command[0]} did not start. Its log: {log.name}")
        yield
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
        process.kill()
        process.wait()
