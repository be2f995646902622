"""`customer-lockbox deploy-files DIRECTORY`: writes the units for systemd and the examples for proxies."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path

from lockbox_site import places

#: Where the files say that the command is. They are written with the place where it really is.
AS_WRITTEN = "/opt/lockbox/.venv/bin/customer-lockbox"
#: The directories and files of `deploy` that an installation uses.
FILES = ("systemd", "nginx.conf", "forward-auth", "tool-proxy")


def run(words: list[str], *, program: str) -> int:
    parser = argparse.ArgumentParser(
        prog=f"{program} deploy-files",
        description="Write units for systemd and examples for proxies. The units start this installation.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "directory", type=Path, help="for example /opt/lockbox/deploy; replaces files of the same names"
    )
    target = parser.parse_args(words).directory.absolute()
    try:
        for source in _sources():
            to = target / source.relative_to(places.DEPLOY)
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_text(_adapted(source.read_text(encoding="utf-8")), encoding="utf-8")
            sys.stdout.write(f"{to}\n")
    except OSError as failure:
        why = failure.strerror or failure
        sys.stderr.write(f"{program}: The directory {target} can't be written ({why}). Choose another one.\n")
        return 2
    return 0


def _sources() -> list[Path]:
    found = [places.DEPLOY / name for name in FILES]
    return sorted(file for each in found for file in ([each] if each.is_file() else each.rglob("*")) if file.is_file())


def _adapted(text: str) -> str:
    here = places.PROGRAM
    return text.replace(AS_WRITTEN, shlex.quote(str(here))) if here.is_file() else text
