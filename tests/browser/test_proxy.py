"""The real nginx, with the configuration of deploy/nginx.conf, logs no secret of a link."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import pytest

from tests.browser.road import Proxy, nginx, wait_for
from tests.ports import free_port
from tests.secret_links import SECRET, secret_links


class Answering(BaseHTTPRequestHandler):
    names: ClassVar[list[str]] = []

    def do_GET(self) -> None:  # noqa: N802 - the library's name
        self.names[:] = self.headers
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", free_port()), Answering)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def ask(proxy: Proxy, path: str, **headers: str) -> int:
    request = urllib.request.Request(f"https://127.0.0.1:{proxy.port}{path}", headers=headers)
    context = ssl.create_default_context(cafile=proxy.place / "fullchain.pem")
    context.check_hostname = False
    try:
        with urllib.request.urlopen(request, context=context, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as refusal:
        return refusal.code


def logged(proxy: Proxy) -> str:
    return "".join(path.read_text() for path in proxy.place.glob("*.log"))


def test_the_log_of_the_proxy_has_no_secret_of_a_link(tmp_path: Path, server: int) -> None:
    paths = secret_links()
    assert len(paths) >= 4
    with nginx(tmp_path / "nginx", behind=server) as proxy:
        # nginx and the product also understand these two.
        for path in [*paths, f"/{paths[0]}", f"/%{ord(paths[0][1]):x}{paths[0][2:]}"]:
            ask(proxy, path)
        assert ask(proxy, "/tickets/", Referer=f"https://lockbox.example.com{paths[0]}") == 200
        assert ask(proxy, f"/sign-in/callback/provider/?code={SECRET}") == 200
        text = wait_for(lambda: logged(proxy) if "callback" in logged(proxy) else "", "the log")
        assert '"GET /tickets/ HTTP/1.1" 200' in text
        assert text.count("[redacted]") == len(paths) + 2
        assert SECRET not in text


def test_the_product_sees_the_names_with_underscores_that_a_gate_refuses(tmp_path: Path, server: int) -> None:
    with nginx(tmp_path / "nginx", behind=server) as proxy:
        assert ask(proxy, "/forward-auth/forwarded", X_HTTP_Method_Override="DELETE") == 200
    assert "x_http_method_override" in map(str.lower, Answering.names)


def test_the_log_of_errors_has_no_secret_either(tmp_path: Path) -> None:
    with nginx(tmp_path / "nginx", behind=free_port()) as proxy:
        assert [ask(proxy, path) for path in secret_links()] == [502] * len(secret_links())
        assert ask(proxy, "/tickets/") == 502
        text = wait_for(lambda: logged(proxy) if '"GET /tickets/' in logged(proxy) else "", "the log")
        assert "Connection refused" in text
        assert SECRET not in text
