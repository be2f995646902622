"""Remembers from where an interrupted restore has the heads that it has stored already."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from audit_app import keys

_NAME = "restore_unfinished.json"


def remember(data: Path, value: dict[str, Any]) -> None:
    keys.write_private(data / _NAME, json.dumps(value).encode())


def remembered(data: Path) -> dict[str, Any]:
    """Return what an interrupted restore has stored, or {}."""
    try:
        found = json.loads((data / _NAME).read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def forget(data: Path) -> None:
    (data / _NAME).unlink(missing_ok=True)
