"""Runs `plan`, `apply` and `export` for the tests, and returns the state that they change."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

from django.core.management import CommandError, call_command

from audit_app.models import AuditEntry
from requests_app.models import HeldRow, Import, OutboxMessage, Proposal


def run(command: str, text: str | bytes, path: Path, *flags: str) -> tuple[int, str, str]:
    """Run a command on a file with this text. Return its exit status and what it prints."""
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    out, err = StringIO(), StringIO()
    try:
        call_command(command, str(path), *flags, stdout=out, stderr=err)
    except CommandError as error:
        return error.returncode, out.getvalue(), err.getvalue() + str(error)
    return 0, out.getvalue(), err.getvalue()


def exported() -> str:
    out = StringIO()
    call_command("export", stdout=out)
    return out.getvalue()


def state() -> list[object]:
    counts = [model.objects.count() for model in (Import, HeldRow, Proposal, OutboxMessage, AuditEntry)]
    return [exported(), counts]
