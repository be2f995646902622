"""`customer-lockbox deploy-files DIRECTORY`: writes the units and the examples of the source's `deploy`."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
from pathlib import Path

from lockbox_site import places

#: Where the files say that the command is. They are written with the place where it really is.
AS_WRITTEN = b"/opt/lockbox/.venv/bin/customer-lockbox"


def run(words: list[str], *, program: str) -> int:
    parser = argparse.ArgumentParser(
        prog=f"{program} deploy-files",
        description="Write units for systemd, and examples for proxies and monitoring. The units start this program.",
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
            # A file is replaced, never written through a link that somebody else may have put there.
            to.unlink(missing_ok=True)
            with to.open("xb") as file:
                file.write(_adapted(source.read_bytes()))
            shutil.copymode(source, to, follow_symlinks=False)
            sys.stdout.write(f"{to}\n")
    except OSError as failure:
        why = failure.strerror or failure
        sys.stderr.write(f"{program}: The directory {target} can't be written ({why}). Choose another one.\n")
        return 2
    return 0


def _sources() -> list[Path]:
    return sorted(file for file in places.DEPLOY.rglob("*") if file.is_file())


def _adapted(text: bytes) -> bytes:
    # A link to the environment of one version stays a link, so the units need no change after an upgrade.
    called = Path(sys.argv[0]).absolute()
    is_same = called.name == places.PROGRAM.name and called.is_file() and called.samefile(places.PROGRAM)
    here = called if is_same else places.PROGRAM
    return text.replace(AS_WRITTEN, os.fsencode(shlex.quote(str(here)))) if here.is_file() else text
