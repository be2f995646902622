"""A writer of heads in a shared directory: `python -m tests.audit.nfs_writer NAME DIRECTORY SECONDS JOURNAL`.

Each head that it tries to store has a leaf that no other writer has. So the journals show if two writers have moved one
generation.
"""

from __future__ import annotations

import json
import os
import secrets
import sys
import time
from pathlib import Path
from typing import Any

from audit_app.head_directory import Directory
from audit_app.notes import Head
from audit_app.stored_heads import HeadsUnavailable, Move, StoredHead
from audit_app.tree import Frontier

ORIGIN = "lockbox.example.com/log/a"


def main(name: str, place: Directory, seconds: float, journal: Path) -> None:
    out = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def say(what: str, **facts: Any) -> None:
        os.write(out, json.dumps({"by": name, "what": what, **facts}).encode() + b"\n")

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            before = place.get(ORIGIN)
            after = _next(before)
            facts = {"generation": after.generation, "root": after.head.root.hex()}
            facts["before"] = before.head.root.hex() if before else ""
            say("tried", **facts)
            say("moved" if place.put_many([Move(before, after)]) else "lost", **facts)
        except HeadsUnavailable as error:
            say("trouble", why=str(error))
            time.sleep(0.1)


def _next(before: StoredHead | None) -> StoredHead:
    frontier = before.frontier.copy() if before else Frontier()
    frontier.extend([secrets.token_bytes(32)])
    generation = before.generation + 1 if before else 1
    return StoredHead(Head(ORIGIN, frontier.size, frontier.root()), frontier, "", generation)


if __name__ == "__main__":
    main(sys.argv[1], Directory(Path(sys.argv[2])), float(sys.argv[3]), Path(sys.argv[4]))
