"""Evidence bundles for tests: made, unpacked, changed, and checked with the verifier that customers use."""

from __future__ import annotations

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from audit_app import keys
from verify import lockbox_verify

VERIFIER = Path(lockbox_verify.__file__)

Files = dict[str, bytes]


def files_of(bundle: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(bundle)) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


def zipped(files: Files, *, honest: bool = True) -> bytes:
    """Return the files as a bundle. Without `honest`, the manifest still lists the hashes of the unchanged files."""
    if honest:
        files = relisted(files)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return out.getvalue()


def relisted(files: Files) -> Files:
    manifest = manifest_of(files)
    manifest["files"] = {name: listed(content) for name, content in files.items() if name != "manifest.json"}
    return {**files, "manifest.json": json.dumps(manifest).encode()}


def listed(content: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def manifest_of(files: Files) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(files["manifest.json"])
    return found


def records(raw: bytes) -> list[Any]:
    """Read a .jsonl file: one JSON document per line."""
    assert raw == b"" or raw.endswith(b"\n")
    return [json.loads(line) for line in raw.split(b"\n")[:-1]]


def verified(bundle: bytes, place: Path, *more: str) -> tuple[int, dict[str, Any]]:
    """Return the verifier's exit status and verdict. The verifier gets the log's key.

    It runs in this process, because Python would compile it again for each program.
    """
    out = io.StringIO()
    with redirect_stdout(out):
        status = lockbox_verify.main(_command(bundle, place, more))
    return status, json.loads(out.getvalue())


def verified_by_program(bundle: bytes, place: Path) -> tuple[int, dict[str, Any]]:
    """Return the same as `verified`, from the verifier as a program of its own, as customers use it."""
    command = [sys.executable, "-I", str(VERIFIER), *_command(bundle, place)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def _command(bundle: bytes, place: Path, more: Sequence[str] = ()) -> list[str]:
    path = place / "evidence.zip"
    path.write_bytes(bundle)
    origins = [log["origin"] for log in manifest_of(files_of(bundle))["logs"]]
    # The keys do not come from keys.json, because a bundle can't prove its own keys.
    named = [str(keys.log_key(origin, public)) for origin in origins for public in keys.load().publics]
    return ["verify", str(path), "--key", *named, "--json", "--jobs", "1", *more]
