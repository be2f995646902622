"""Runs Cerbos, a decision point without a database and without a log. It gets the grant as a fact."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from bench import load
from bench.grants import Pair
from bench.product import used, wait_for
from tests.ports import free_port

POLICIES = Path(__file__).parent / "peers" / "cerbos"
#: Where the program is installed. It stays for later runs.
PLACE = Path("var/bench/peers")
#: The npm package, and the SHA-256 of its file.
PACKAGE = "@cerbos/cerbos-linux-x64@0.55.0"
SUM = "dab3152a1530bec16b945473e9aea9af493fee123c477c4196a990fad58656d1"
ADDRESS, HEADERS = "/api/check/resources", {"Host": "localhost", "Content-Type": "application/json"}


class Missing(Exception):
    """Cerbos can't be installed here. The text says why."""


@dataclass(frozen=True)
class Cerbos:
    port: int
    pid: int
    version: str

    def used(self) -> float:
        """Return the seconds of processor time that it has used."""
        return used(self.pid)


@contextmanager
def running() -> Iterator[Cerbos]:
    """Run it on loopback until the block ends: without telemetry, audit log and admin API. Raise Missing."""
    program = _program()
    version = subprocess.run([program, "--version"], capture_output=True, text=True).stdout.split()[:1]
    with tempfile.TemporaryDirectory() as scratch:
        port = free_port()
        config = Path(scratch) / "config.yaml"
        config.write_text(
            "server:\n"
            f'  httpListenAddr: "127.0.0.1:{port}"\n  grpcListenAddr: "127.0.0.1:{free_port()}"\n'
            "telemetry:\n  disabled: true\naudit:\n  enabled: false\n"
            f'storage:\n  driver: disk\n  disk:\n    directory: "{POLICIES}"\n'
        )
        process = subprocess.Popen(
            [program, "server", f"--config={config}"],
            env={"CERBOS_NO_TELEMETRY": "1", "DO_NOT_TRACK": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            wait_for(port, process, within=30, path="/_cerbos/health")
            found = Cerbos(port, process.pid, version[0] if version else "")
            _require_same_rule(found)
            yield found
        finally:
            process.terminate()
            process.wait(15)


def body(pair: Pair, *, at: float, **changed: Any) -> str:
    """Return the question whether the engineer can read the resource. `changed` are other values in the grant."""
    grant = {"engineer": pair.engineer, "resource": pair.resource, "until": int(pair.until), "level": pair.level}
    resource = {"kind": "mailbox", "id": pair.resource, "attr": {**grant, **changed}}
    principal = {"id": pair.engineer, "roles": ["engineer"], "attr": {"now": int(at)}}
    return json.dumps({"principal": principal, "resources": [{"actions": ["read"], "resource": resource}]})


def line(pair: Pair) -> str:
    return load.line("POST", ADDRESS, HEADERS, body(pair, at=time.time()))


def _require_same_rule(cerbos: Cerbos) -> None:
    """Raise SystemExit unless it permits what our rule permits, and denies the rest."""
    pair = Pair("an engineer", "a mailbox", time.time() + 60, "read")
    changes: list[dict[str, Any]] = [{}, {"until": 0}, {"engineer": "another"}, {"resource": "another"}]
    for change in [*changes, {"level": "names"}]:
        connection = HTTPConnection("127.0.0.1", cerbos.port, timeout=30)
        connection.request("POST", ADDRESS, body(pair, at=time.time(), **change), HEADERS)
        answer = json.loads(connection.getresponse().read())
        connection.close()
        if (answer["results"][0]["actions"]["read"] == "EFFECT_ALLOW") is bool(change):
            raise SystemExit(f"Cerbos answers otherwise than Lockbox: {change}")


def _program() -> str:
    """Return the path of the program, from npm."""
    program = PLACE / "cerbos" / "package" / "cerbos-linux-x64"
    if not program.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise Missing("npm, which has its server, is not installed")
        PLACE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=PLACE) as scratch:
            packed = [npm, "pack", PACKAGE, "--silent", "--pack-destination", scratch]
            try:
                subprocess.run(packed, check=True, capture_output=True, timeout=300)
            except subprocess.SubprocessError as error:
                raise Missing(f"npm: {error}") from error
            [archive] = Path(scratch).glob("*.tgz")
            if hashlib.sha256(archive.read_bytes()).hexdigest() != SUM:
                raise Missing("the registry's file is not the known one")
            with tarfile.open(archive) as tar:
                tar.extractall(PLACE / "cerbos", filter="data")
    return str(program.absolute())
