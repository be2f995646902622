"""Reads and writes the file `.env` of the data directory, in which the settings of an installation are."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from environ import Env

from audit_app import keys

_LINE = re.compile(r"(?:export )?([A-Za-z_0-9]+)=")
_PLAIN = re.compile(r"[\w./:@%+,=&?~-]*")


def read(path: Path) -> dict[str, str]:
    """Return the settings in the file, exactly as the product reads them. Return {} if there is no file."""
    found: dict[str, str] = {}
    if path.is_file():

        class Reader(Env):
            ENVIRON = found

        Reader.read_env(str(path))
    return found


def names(text: str) -> set[str]:
    """Return the names of the settings in the content of such a file."""
    return {found[1] for line in text.splitlines() if (found := _LINE.match(line))}


def write(path: Path, values: Mapping[str, str]) -> None:
    """Add these settings to the file, or change them there. Only its owner can read the file.

    All other lines stay as they are. If the process is killed, the file is either the old or the new one.
    """
    text = path.read_text() if path.is_file() else ""
    keys.write_private(path, changed(text, values).encode())


def changed(text: str, values: Mapping[str, str]) -> str:
    """Return the content of such a file with these settings added or changed."""
    lines = text.splitlines()
    left = dict(values)
    for at, line in enumerate(lines):
        found = _LINE.match(line)
        if found and found[1] in left:
            lines[at] = _written(found[1], left.pop(found[1]))
    lines += [_written(name, value) for name, value in left.items()]
    return "\n".join(lines) + "\n"


def _written(name: str, value: str) -> str:
    return f"{name}={value}" if _PLAIN.fullmatch(value) else f"{name}='{value}'"
