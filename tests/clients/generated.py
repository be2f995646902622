"""Generates the Python client for tests and for mypy, in a directory below var that git ignores.

Run it with `python -m tests.clients.generated`. The client is used again until one of its sources changes.
"""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: The directory to import from. mypy finds it by `mypy_path`.
PLACE = ROOT / "var" / "client"
PACKAGE = PLACE / "lockbox_client"
DOCUMENT = ROOT / "docs" / "openapi.json"
BUILDER = ROOT / "clients" / "python" / "build_client.py"
#: The lock file contains the version of the generator.
SOURCES = (DOCUMENT, BUILDER, BUILDER.with_name("generator.yml"), ROOT / "requirements-dev.txt")
#: The longest wait in seconds. On a busy machine, a step of seconds can take minutes.
WITHIN = 500


def make() -> None:
    """Generate the package, unless it exists already for the current sources."""
    stamp = PLACE / "made-from"
    digest = hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in SOURCES)).hexdigest()
    PLACE.mkdir(parents=True, exist_ok=True)
    # mypy and several processes of pytest can run at the same time, and all of them need the package.
    with (PLACE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != digest:
            stamp.unlink(missing_ok=True)
            command = [sys.executable, str(BUILDER), str(PACKAGE)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN)
            assert done.returncode == 0, done.stderr
            stamp.write_text(digest)


def make_importable() -> None:
    """Add the generated package to this process's import path, because `lockbox_cli` imports it."""
    make()
    if str(PLACE) not in sys.path:
        sys.path.insert(0, str(PLACE))


if __name__ == "__main__":
    make()
