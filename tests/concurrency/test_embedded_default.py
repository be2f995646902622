"""The default installation under load: several processes on SQLite, as `manage.py lockbox` runs them.

Each run takes eight seconds. For longer runs use `LOAD_SECONDS=60 bin/test sqlite`, with at most 240 seconds: after
five minutes, the callers would have to confirm their identity again.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests import ground
from tests.concurrency.embedded_callers import Callers
from tests.ports import free_port
from tests.tasks.conftest import Running

ROOT = Path(__file__).resolve().parents[2]
SECONDS = float(os.environ.get("LOAD_SECONDS", "8"))
#: How many processes of callers run. Each has several threads.
CALLERS = 2
#: The codes for a busy database: nothing was done, or the result is unknown. It is unknown if the act was saved and a
#: later step failed.
REFUSED, UNKNOWN = "store_unavailable", "outcome_unknown"
#: Acts that save nothing, so their result is always known.
READS = {"read", "wait", "follow"}

pytestmark = [pytest.mark.slow, pytest.mark.sqlite, pytest.mark.timeout(300 + 3 * SECONDS)]


@dataclass
class Installation:
    """A separate installation of the product, with a data directory, a port and settings of its own."""

    data: Path
    port: int
    env: dict[str, str] = field(default_factory=dict)

    def begin(self, module: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", f"tests.concurrency.{module}", *arguments], cwd=ROOT, env=self.env, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def world(self, *arguments: str) -> Any:
        return output_of(self.begin("embedded_world", *arguments))

    def acts(self, world: Any) -> list[dict[str, Any]]:
        """Run all callers to their end, and return their acts."""
        begun = [self.begin("embedded_callers", str(number), str(SECONDS)) for number in range(CALLERS)]
        try:
            for each in begun:
                assert each.stdin is not None
                each.stdin.write(json.dumps(world))
                each.stdin.close()
                each.stdin = None
            return [act for each in begun for act in output_of(each)]
        finally:
            for each in begun:
                each.kill()
                each.wait()


def output_of(program: subprocess.Popen[str]) -> Any:
    """Wait for a program to end without an error, and return what it printed, as parsed JSON."""
    out, err = program.communicate()
    assert program.returncode == 0, out[-2000:] + err[-4000:]
    return json.loads(out)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    data, port = tmp_path / "data", free_port()
    data.mkdir()
    shutil.copy(ground.sqlite(), data / "lockbox.sqlite3")
    inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "VIRTUAL_ENV") if name in os.environ}
    overrides = {
        "DATA_DIR": str(data), "HOST": "127.0.0.1", "PORT": str(port), "BASE_URL": f"http://127.0.0.1:{port}",
        "DJANGO_SETTINGS_MODULE": "lockbox_site.settings", "LOG_FORMAT": "json", "PYTHONUNBUFFERED": "1",
        # The background tasks run several times.
        "SWEEP_SECONDS": "1", "HEARTBEAT_SECONDS": "1",
    }  # fmt: skip
    return Installation(data, port, inherited | overrides)


@contextlib.contextmanager
def served(here: Installation, log: Path) -> Iterator[Running]:
    running = Running([sys.executable, "manage.py", "lockbox"], here.env, log)
    try:
        running.until("Ready:")
        yield running
        running.process.terminate()
        assert running.process.wait(60) == 0, running.log[-3000:]
    finally:
        running.clean_up()


def test_sqlite_under_load_loses_nothing(installation: Installation, tmp_path: Path) -> None:
    here = installation
    world = here.world("make", str(here.port))
    with served(here, tmp_path / "log") as running:
        until_the_log_is_signed(world)
        acts = here.acts(world)
    print(Counter((act["kind"], act["status"]) for act in acts))
    whole(here.data / "lockbox.sqlite3")
    whole(here.data / "log_heads.sqlite3")
    errors, ignored = errors_in(running.log)
    print(f"{len(acts)} acts, {len(ignored)} lines about a busy store")
    assert errors == []
    assert [act for act in acts if not is_answered_well(act)] == []
    assert sum(act["code"] == UNKNOWN for act in acts) <= few(acts)
    assert len(ignored) <= few(acts), ignored
    # Refusals are allowed, but each kind of act must succeed at least once. Only denials can all lose against an
    # approval.
    done = {act["kind"] for act in acts if act["status"] in (200, 201)}
    assert {act["kind"] for act in acts} - done <= {"deny"}
    everything_is_there_once(acts, here.world("read"))
    for slug in world["tenants"]:
        verified(here.data / f"{slug}.zip", here.data / f"{slug}.key")


def until_the_log_is_signed(world: dict[str, Any]) -> None:
    """Wait for the workers, which start when the web server answers. Without a checkpoint there is no evidence."""
    visitor, until = Callers(world, CALLERS), time.monotonic() + 60
    with contextlib.closing(visitor):
        while visitor.acts[-1:] == [] or visitor.acts[-1]["status"] != 200:
            assert time.monotonic() < until, visitor.acts[-1]
            time.sleep(0.2)
            visitor.evidence("ines")


def whole(file: Path) -> None:
    """Assert that SQLite's integrity check finds no fault in a file that nobody uses any more."""
    with contextlib.closing(sqlite3.connect(file)) as plain:
        assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert plain.execute("PRAGMA foreign_key_check").fetchall() == []


#: How the log reports a database that was busy for too long. Other checks judge the responses.
BUSY = ('"error": "OperationalError"', '"code": 503')
#: The bell could not be rung because the database was busy. No message is lost: the bell only says that messages wait.
UNRUNG = "bell.not_rung"


def errors_in(log: str) -> tuple[list[str], list[str]]:
    """Return two lists of log lines: about failures, and about a database that was busy for too long."""
    errors: list[str] = []
    ignored: list[str] = []
    for line in log.splitlines():
        if UNRUNG in line:
            ignored.append(line)
        elif "Traceback" in line or "ended with code" in line:
            errors.append(line)
        elif '"level": "error"' in line:
            (ignored if any(words in line for words in BUSY) else errors).append(line)
    return errors, ignored


def few(acts: list[dict[str, Any]]) -> int:
    """Return how many acts may end with an unknown outcome, and how many log lines may report a busy database."""
    return 5 + len(acts) // 100


def is_answered_well(act: dict[str, Any]) -> bool:
    """Return whether a response is acceptable: a success, "somebody was first", "too many calls", or "busy"."""
    was_decided = act["kind"] in ("approve", "deny")
    is_busy = act["code"] == REFUSED or (act["code"] == UNKNOWN and act["kind"] not in READS)
    refused = {409: was_decided, 412: was_decided, 429: True, 503: is_busy}
    return act["status"] in (200, 201) or refused.get(act["status"], False)


def everything_is_there_once(acts: list[dict[str, Any]], held: dict[str, Any]) -> None:
    for kind in ("comment", "ticket", "ask"):
        there = Counter(held[kind])
        done = [act["key"] for act in acts if act["kind"] == kind and act["status"] == 201]
        assert done, kind
        assert {key: there[key] for key in done if there[key] != 1} == {}, kind
        unknown = [act["key"] for act in acts if act["kind"] == kind and act["code"] == UNKNOWN]
        assert {key: there[key] for key in unknown if there[key] > 1} == {}, kind
        refused = {act["key"] for act in acts if act["kind"] == kind and act["status"] != 201} - set(unknown)
        assert {key: there[key] for key in refused if there[key]} == {}, kind
    decisions_are_there_once(acts, held)
    looks = Counter(kind for kind, _item, _ref in held["looks"])
    assert number_of(acts, "download")
    for kind, act in (("downloaded", "download"), ("opened", "look")):
        # If the access was recorded but the session could not be saved, the page shows an error.
        busy = sum(each["kind"] == act and each["status"] == 503 for each in acts)
        assert number_of(acts, act) <= looks[kind] <= number_of(acts, act) + busy, kind
    allowed = Counter(ref for kind, _item, ref in held["looks"] if kind == "read_allowed")
    answered = [act["key"] for act in acts if act["kind"] == "evaluate" and act["status"] == 200]
    assert answered
    assert {key: allowed[key] for key in answered if allowed[key] != 1} == {}
    # There is one entry for each ticket, access request and exported file.
    events = Counter(held["events"])
    assert events["ticket.opened"] == len(held["ticket"])
    assert events["access_request.submitted"] == len(held["ask"])
    unknown_exports = sum(act["kind"] == "export" and act["code"] == UNKNOWN for act in acts)
    assert 0 <= events["log.exported"] - number_of(acts, "export") <= unknown_exports


def number_of(acts: list[dict[str, Any]], kind: str) -> int:
    return sum(act["kind"] == kind and act["status"] == 200 for act in acts)


def decisions_are_there_once(acts: list[dict[str, Any]], held: dict[str, Any]) -> None:
    """Assert that exactly one of two simultaneous decisions took effect, as the responses say."""
    decisions = [act for act in acts if act["kind"] in ("approve", "deny")]
    decided = Counter(decision_in(act) for act in decisions if act["status"] == 200)
    unknown = {decision_in(act) for act in decisions if act["code"] == UNKNOWN}
    keys = {act["key"] for act in acts if act["kind"] == "ask"}
    there = Counter((key, stage, verdict) for key, stage, verdict in held["decisions"] if key in keys)
    assert there - decided == {each: 1 for each in unknown if there[each]}
    assert decided - there == {}
    assert set(Counter((key, stage) for key, stage, _verdict in there).values()) == {1}


def decision_in(act: dict[str, Any]) -> tuple[str, str, str]:
    return act["key"], "provider" if act["who"] == "pat" else "customer", act["kind"]


def verified(bundle: Path, key: Path) -> None:
    """Verify a bundle as a customer does, with nothing but the verifier's file."""
    verifier = [sys.executable, "-I", str(ROOT / "verify" / "lockbox_verify.py"), "verify", str(bundle)]
    done = subprocess.run([*verifier, "--key", str(key)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
