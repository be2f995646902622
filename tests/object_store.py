"""Starts a real S3 server (SeaweedFS) for tests, and one of our own that has faults."""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.ports import free_port

ACCESS, SECRET, BUCKET = "lockbox-tests", "not-a-secret-key", "heads"
#: Seconds in which the server must answer.
PATIENCE = 60


def settings_of(endpoint: str) -> dict[str, str]:
    """Return the settings that lead to this server."""
    return {
        "LOG_HEADS_S3_ENDPOINT": endpoint,
        "LOG_HEADS_S3_REGION": "us-east-1",
        "LOG_HEADS_S3_ACCESS_KEY": ACCESS,
        "LOG_HEADS_S3_SECRET_KEY": SECRET,
    }


@contextmanager
def seaweedfs() -> Iterator[str]:
    """Run SeaweedFS in a directory of its own, and yield its address. It has one empty bucket."""
    weed = shutil.which("weed") or str(Path(sys.executable).with_name("weed"))
    ports = {name: free_port() for name in ("master.port", "volume.port", "filer.port", "s3.port")}
    ports |= {f"{name}.grpc": free_port() for name in list(ports)}
    with tempfile.TemporaryDirectory(prefix="lockbox-weed-") as place:
        users = {"name": "t", "credentials": [{"accessKey": ACCESS, "secretKey": SECRET}], "actions": ["Admin"]}
        config = Path(place, "s3.json")
        config.write_text(json.dumps({"identities": [users]}))
        command = [weed, "server", f"-dir={place}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-s3.config={config}"]
        command += [f"-{name}={port}" for name, port in ports.items()]
        command += ["-s3", "-s3.port.iceberg=0", "-s3.port.lance=0", "-master.telemetry=false", "-volume.max=30"]
        command += ["-master.volumeSizeLimitMB=64"]
        with Path(place, "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=place)
        try:
            endpoint = f"http://127.0.0.1:{ports['s3.port']}"
            _make_bucket(endpoint, process)
            yield endpoint
        finally:
            # It takes ten seconds to end well, and its data is thrown away.
            process.kill()
            process.wait()


def _make_bucket(endpoint: str, process: subprocess.Popen[bytes]) -> None:
    from audit_app.s3 import Bucket, StoreFault
    from requests_app.domain import clock

    bucket = Bucket(endpoint, BUCKET, "us-east-1", ACCESS, SECRET, clock.here)
    until = time.monotonic() + PATIENCE
    while True:
        assert process.poll() is None, "SeaweedFS has ended"
        try:
            status, _headers, _body = bucket._call("PUT", "")
            if status == 200:
                bucket.put("first", b"1", after=None)
                return
        except StoreFault:
            pass
        assert time.monotonic() < until, "SeaweedFS does not answer"
        time.sleep(0.2)


class Faulty(ThreadingHTTPServer):
    """An S3 server in memory. `faults` has what happens to the next writes; the tests say what.

    `ignores` names conditions that it does not look at, as older servers do.
    """

    daemon_threads = True

    def __init__(self, ignores: tuple[str, ...] = (), *, tls: ssl.SSLContext | None = None) -> None:
        self.objects: dict[str, bytes] = {}
        self.faults: list[str] = []
        #: How many of the next reads get half of their answer.
        self.cuts = 0
        self.ignores = ignores
        self.writes = 0
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Faulty
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.server.objects.get(self.path)
        if self.server.cuts:
            self.server.cuts -= 1
            return self._answer(200, b"<Cut>" if body is None else body, cut=True)
        if body is None:
            self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        else:
            self._answer(200, body, {"ETag": _tag(body)})

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = ""
        if "/probe/" not in self.path:
            self.server.writes += 1
            fault = self.server.faults.pop(0) if self.server.faults else ""
        if fault in ("refused with 500", "refused with 409"):
            return self._answer(int(fault[-3:]), b"<Error><Code>ConditionalRequestConflict</Code></Error>")
        with self.server.lock:
            is_met = self._is_met()
            if is_met:
                self.server.objects[self.path] = body
        if fault == "written, answer lost":
            raise http.client.HTTPException("cut")
        if fault in ("written, then 500", "written, then 409"):
            return self._answer(int(fault[-3:]), b"")
        return self._answer(200 if is_met else 412, b"")

    def do_DELETE(self) -> None:
        self.server.objects.pop(self.path, None)
        self._answer(204, b"")

    def _is_met(self) -> bool:
        found = self.server.objects.get(self.path)
        if self.headers.get("If-None-Match") and "If-None-Match" not in self.server.ignores:
            return found is None
        if (tag := self.headers.get("If-Match")) and "If-Match" not in self.server.ignores:
            return found is not None and _tag(found) == tag
        return True

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None, *, cut: bool = False) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = self.close_connection or cut

    def handle(self) -> None:
        try:
            super().handle()
        except (http.client.HTTPException, OSError):
            self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _tag(body: bytes) -> str:
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
