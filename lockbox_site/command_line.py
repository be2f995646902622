"""The command `customer-lockbox`: sets up an installation, runs it, and passes every other command to Django.

Until the settings of the installation are known, nothing here imports them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

PROGRAM = "customer-lockbox"
#: The data directory, if neither `--data-dir` nor DATA_DIR names one.
DATA_DIR = "/var/lib/lockbox"
HELP = f"""\
usage: {PROGRAM} [--data-dir DIRECTORY] COMMAND ...

  init                      set up an installation, or finish what is missing; asks, or takes flags
  serve [web|worker|beat|tools]
                            run everything, or one part
  setup-link                print a new link for the first staff member
  COMMAND ...               any other command, such as migrate or log_key; help lists them

The data directory has the settings, keys and files of the installation. It is {DATA_DIR}, unless --data-dir or
DATA_DIR names another one.
"""
#: What runs for each part: the flags of `manage.py lockbox`.
PARTS = {
    "web": ["--no-beat", "--no-tools", "--clusters", "0"],
    "worker": ["--no-web", "--no-beat", "--no-tools"],
    "beat": ["--no-web", "--no-tools", "--clusters", "0"],
    "tools": ["--no-web", "--no-beat", "--clusters", "0"],
}


def main() -> None:
    try:
        sys.exit(_run(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)


def _run(words: list[str]) -> int:
    words, data = _data_directory(words)
    os.environ["DATA_DIR"] = str(data)
    if not words or words[0] in ("-h", "--help"):
        sys.stdout.write(HELP)
        return 0
    if words[0] == "init":
        from lockbox_site.installing import initialising

        return initialising.run(words[1:], data=data, program=PROGRAM)
    if not _is_installed(data):
        return _refused(f"There is no installation in {data}. Make one: {PROGRAM} init --data-dir {data}")
    ours: dict[str, Callable[[list[str]], list[str]]] = {"serve": _serving, "setup-link": _linking}
    command = ours.get(words[0], lambda _rest: words)
    from lockbox_site import django_commands

    django_commands.run(PROGRAM, command(words[1:]))
    return 0


def _serving(words: list[str]) -> list[str]:
    parser = argparse.ArgumentParser(
        prog=f"{PROGRAM} serve",
        description="Run the web server, the workers, the beat and the proxy for web tools until Ctrl-C or SIGTERM.",
        allow_abbrev=False,
    )
    parser.add_argument("part", nargs="?", choices=list(PARTS), help="run only this part (default: all)")
    part = parser.parse_args(words).part
    return ["lockbox", *PARTS.get(part, [])]


def _linking(words: list[str]) -> list[str]:
    argparse.ArgumentParser(
        prog=f"{PROGRAM} setup-link",
        description="Print a new link for the first staff member. The link before stops working.",
        allow_abbrev=False,
    ).parse_args(words)
    return ["setup_link"]


def _data_directory(words: list[str]) -> tuple[list[str], Path]:
    """Take `--data-dir` out of the words, wherever it is. Return the other words and the directory."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--data-dir", default=os.environ.get("DATA_DIR") or DATA_DIR)
    known, others = parser.parse_known_args(words)
    # A relative path in the settings would start at the directory of the code.
    return others, Path(known.data_dir).absolute()


def _is_installed(data: Path) -> bool:
    """Return whether there are settings: from `init`, from the environment, or those of a trial."""
    return bool(os.environ.get("PRODUCTION")) or any((data / name).is_file() for name in (".env", "secret_key"))


def _refused(line: str) -> int:
    sys.stderr.write(f"{PROGRAM}: {line}\n")
    return 2


if __name__ == "__main__":
    main()
