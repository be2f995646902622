"""Evidence bundles for tests: makes, unpacks and changes them, and checks them with the customers' verifier."""

from __future__ import annotations

import contextlib
import gc
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

from audit_app import keys
from verify import lockbox_verify as lv

Files = dict[str, bytes]


def files_of(bundle: bytes) -> Files:
    with zipfile.ZipFile(io.BytesIO(bundle)) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


def zipped(files: Files, *, honest: bool = True) -> bytes:
    """Pack the files as a bundle, with a new manifest.

    Without `honest`, the manifest keeps the original files' hashes.
    """
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


def run_verifier(*words: str) -> tuple[int, str, str]:
    """Run a command of the verifier in this process. Return its exit status, its output and its errors.

    A separate program would load its modules again for each bundle. tests/verify/test_command_line.py tests the
    program.
    """
    out, errors = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            status = lv.main(words)
    finally:
        # The program switches this off, because it ends soon.
        gc.enable()
    return status, out.getvalue(), errors.getvalue()


def verified(bundle: bytes, place: Path, *more: str) -> tuple[int, dict[str, Any]]:
    """Verify a bundle with the log's key. Return the verifier's exit status and its verdict."""
    path = place / "evidence.zip"
    path.write_bytes(bundle)
    origins = [log["origin"] for log in manifest_of(files_of(bundle))["logs"]]
    # The keys do not come from keys.json, because a bundle can't prove its own keys.
    named = [str(keys.log_key(origin, public)) for origin in origins for public in keys.load().publics]
    status, out, errors = run_verifier("verify", str(path), "--key", *named, "--json", "--jobs", "1", *more)
    assert out, errors
    return status, json.loads(out)
