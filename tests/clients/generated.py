"""The generated Python package for tests and mypy: made once from the document, below var, where git ignores it.

`python -m tests.clients.generated` makes it. It stays for later runs, until something that it is made from changes.
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
#: The lock file names the version of the generator.
SOURCES = (DOCUMENT, BUILDER, BUILDER.with_name("generator.yml"), ROOT / "requirements-dev.txt")
#: Ends what hangs. A busy machine takes minutes for what an idle one does in seconds.
WITHIN = 500


def make() -> None:
    """Generate the package, unless it is already made from the present sources."""
    stamp = PLACE / "made-from"
    digest = hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in SOURCES)).hexdigest()
    PLACE.mkdir(parents=True, exist_ok=True)
    # mypy and the processes of pytest run side by side, and all of them need it.
    with (PLACE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != digest:
            stamp.unlink(missing_ok=True)
            command = [sys.executable, str(BUILDER), str(PACKAGE)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN)
            assert done.returncode == 0, done.stderr
            stamp.write_text(digest)


def make_importable() -> None:
    """Let this process import the package. `lockbox_cli` imports it."""
    make()
    if str(PLACE) not in sys.path:
        sys.path.insert(0, str(PLACE))


if __name__ == "__main__":
    make()
