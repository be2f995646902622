"""Measures decisions by libraries of other makers. They get the grant as a fact, read no database and write no log."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench.grants import Pair
from bench.measure import Result

PEERS = Path(__file__).parent / "peers"
#: Where they are installed. They stay for later runs.
PLACE = Path("var/bench/peers")
NAMES = ("cedarpy", "pycasbin", "regopy")


def run(pair: Pair, each: int, lacks: str, bar: Any) -> tuple[list[Result], list[str]]:
    """Measure so many decisions about a pair. Return the results, and what is missing.

    `lacks` says what they do not do.
    """
    results, missing = [], []
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump([_for_peers(pair)], file)
        file.flush()
        for name in NAMES:
            ticking = bar.add_task(name, total=1)
            try:
                answer = _answer(_environment(), name, file.name, each)
            except (OSError, subprocess.SubprocessError, ValueError) as error:
                missing.append(f"{name}: {error}")
                continue
            finally:
                bar.advance(ticking)
            called = f"{name} {answer['version']}, in the process, handed the grant"
            results.append(Result(called, answer["seconds"], answer["wall"], lacks))
    return results, missing


def _for_peers(pair: Pair) -> dict[str, Any]:
    grant = {"engineer": pair.engineer, "resource": pair.resource, "until": int(pair.until), "level": pair.level}
    return {"engineer": pair.engineer, "resource": pair.resource, "action": "read", "grant": grant}


def _answer(python: str, name: str, questions: str, each: int) -> dict[str, Any]:
    command = [python, str(PEERS / "ask.py"), name, questions, str(each), "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise ValueError((done.stderr.strip().splitlines() or ["it failed"])[-1])
    record: dict[str, Any] = json.loads(done.stdout)
    return record


def _environment() -> str:
    """Return the path of Python in the other products' environment, which is made if needed.

    The environment has only the packages of their lock file.
    """
    python, lock = PLACE / "venv" / "bin" / "python", PEERS / "requirements.txt"
    stamp = PLACE / "venv" / lock.name
    if not stamp.exists() or stamp.read_text() != lock.read_text():
        shutil.rmtree(PLACE / "venv", ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", PLACE / "venv"], check=True, capture_output=True)
        install: list[Any] = [python, "-m", "pip", "install", "-q", "--require-hashes", "-r", lock]
        subprocess.run(install, check=True, capture_output=True, timeout=300)
        stamp.write_text(lock.read_text())
    return str(python.absolute())
