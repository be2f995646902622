"""Sends requests to a server with wrk, which needs less of the machine than any server here, and reads its figures."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.proxies import stand

SCRIPT = Path(__file__).with_name("load.lua")


@dataclass(frozen=True)
class Answers:
    """What wrk saw. `seconds` has the 100 percentiles of the time until an answer, from 0 to 99.

    `refused` counts answers with a status of 400 or more. `broken` counts requests without an answer, and those that
    took longer than 10 seconds.
    """

    seconds: list[float]
    longest: float
    wall: float
    count: int
    refused: int
    broken: int


def line(method: str, path: str, headers: Mapping[str, str], body: str = "") -> str:
    """Return one request for `load`. None of its parts may have a tab or a line break."""
    fields = "\x1f".join(f"{name}: {value}" for name, value in headers.items())
    return f"{method}\t{path}\t{fields}\t{body}\n"


def has_wrk() -> bool:
    return stand.path_of("wrk") is not None


class Load:
    """Requests that wrk sends to a port of this host, again and again in their order, while the block lasts."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._file = tempfile.NamedTemporaryFile("w", suffix=".requests")  # noqa: SIM115 - closed in __exit__
        self._file.writelines(lines)
        self._file.flush()

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def begin(self, port: int, *, connections: int, seconds: float) -> subprocess.Popen[str]:
        """Start wrk. Its output is for `answers_of`."""
        command = [
            str(stand.path_of("wrk")), "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s",
            "-s", str(SCRIPT), f"http://127.0.0.1:{port}/",
        ]  # fmt: skip
        return subprocess.Popen(
            command,
            env={**os.environ, "REQUESTS": self._file.name},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, port: int, *, connections: int, seconds: float) -> Answers:
        """Send requests for so many seconds, and return the figures."""
        wrk = self.begin(port, connections=connections, seconds=seconds)
        try:
            return answers_of(wrk.communicate(timeout=seconds + 60)[0])
        finally:
            if wrk.poll() is None:
                wrk.kill()
                wrk.wait()


def answers_of(output: str) -> Answers:
    """Read what wrk printed. Raise SystemExit with it if it has no result."""
    found = re.search(r"^RESULT (.*)$", output, flags=re.MULTILINE)
    if found is None:
        raise SystemExit(f"wrk: {output[-1000:]}")
    record = json.loads(found.group(1))
    return Answers(
        seconds=[float(each) / 1e6 for each in record["quantiles"]],
        longest=record["longest"] / 1e6,
        wall=record["microseconds"] / 1e6,
        count=record["requests"],
        refused=record["refused"],
        broken=record["broken"],
    )
