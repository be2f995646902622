"""`customer-lockbox probe live|ready`: answers a container's probes from the file that its supervisor writes.

It imports nothing of Django and opens no connection to the database, because it runs every few seconds in each
container.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

#: The supervisor writes the file every second. If it is older than this, the supervisor hangs.
MOST_AGE_SECONDS = 20.0
ANSWER_WITHIN_SECONDS = 3.0


def run(words: list[str], *, program: str) -> int:
    parser = argparse.ArgumentParser(
        prog=f"{program} probe",
        description="Say whether the parts that run in this container work. Exit with 0 if so, otherwise with 1.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "what",
        choices=["live", "ready"],
        help="live: whether the container must be restarted if not; ready: whether its parts do their work now",
    )
    what = parser.parse_args(words).what
    place = os.environ.get("PROBE_FILE", "")
    if not place:
        sys.stderr.write(f"{program}: PROBE_FILE is not set. Set it to the same file for this command and for serve.\n")
        return 2
    faults = _faults(Path(place), is_ready_asked=what == "ready")
    sys.stdout.write("".join(f"{line}\n" for line in faults or ["ok"]))
    return 1 if faults else 0


def _faults(path: Path, *, is_ready_asked: bool) -> list[str]:
    try:
        state: dict[str, Any] = json.loads(path.read_text())
        age = time.monotonic() - float(state["at"])
        faults = [str(fault) for fault in state["faults"]]
        web = str(state["web"])
    except (OSError, ValueError, KeyError, TypeError):
        return ["No part of Customer Lockbox runs here yet."]
    if not 0 <= age <= MOST_AGE_SECONDS:
        return [f"The supervisor has not reported for {age:.0f} s."]
    if not is_ready_asked:
        return []
    return faults or ([fault] if web and (fault := _fault_of_web(web)) else [])


def _fault_of_web(place: str) -> str:
    """Return why the web server of this container should get no requests, or ""."""
    connection = http.client.HTTPConnection(place, timeout=ANSWER_WITHIN_SECONDS)
    try:
        connection.request("GET", "/readyz?part=web")
        answer = connection.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException) as failure:
        return f"The web server does not answer ({type(failure).__name__})."
    finally:
        connection.close()
    return "" if answer.status == 200 else body.decode(errors="replace")
