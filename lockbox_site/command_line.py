"""The command `customer-lockbox`: sets up an installation, runs it, and passes every other command to Django.

Until the settings of the installation are known, nothing here imports them.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

from lockbox_site import __version__, command_words

PROGRAM = "customer-lockbox"
#: The data directory, if neither `--data-dir` nor DATA_DIR names one.
DATA_DIR = "/var/lib/lockbox"
HEAD = f"""\
usage: {PROGRAM} [--data-dir DIRECTORY] COMMAND ...
"""
FOOT = f"""
The data directory has the settings, keys and files of the installation. It is {DATA_DIR}, unless --data-dir or
DATA_DIR names another one. For more about one command: {PROGRAM} COMMAND --help
"""
#: What runs for each word: the flags of the command `lockbox`.
PARTS = {
    "serve": [],
    "web": ["--no-beat", "--no-tools", "--clusters", "0"],
    "worker": ["--no-web", "--no-beat", "--no-tools"],
    "beat": ["--no-web", "--no-tools", "--clusters", "0"],
    "tools": ["--no-web", "--no-beat", "--clusters", "0"],
}
#: Commands that also work before there is an installation in the data directory.
WITHOUT_INSTALLATION = frozenset({"demo", "doctor", "restore"})


def main() -> None:
    try:
        sys.exit(_run(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)


def _run(words: list[str]) -> int:
    words, data = _data_directory(words)
    os.environ["DATA_DIR"] = str(data)
    # The shell may be set up for another project of Django.
    os.environ["DJANGO_SETTINGS_MODULE"] = "lockbox_site.settings"
    if not words or words[0] in ("-h", "--help") or words == ["help"]:
        sys.stdout.write("\n".join([HEAD.rstrip(), *command_words.help_lines(), FOOT]))
        return 0
    if words[0] == "--version":
        sys.stdout.write(f"{PROGRAM} {__version__}\n")
        return 0
    command, *rest = words
    if command == "deploy-files":
        from lockbox_site.installing import deploy_files

        return deploy_files.run(rest, program=PROGRAM)
    if command == "init":
        from lockbox_site.installing import initialising

        return initialising.run(rest, data=data, program=PROGRAM)
    if command == "probe":
        from lockbox_site import probing

        return probing.run(rest, program=PROGRAM)
    if command == "restore":
        from lockbox_site.backup import restoring

        return restoring.run(rest, data=data, program=PROGRAM)
    if why := _why_not(command, data):
        return _refused(why)
    django = words
    if command in PARTS:
        django = _serving(command, rest)
    elif command == "setup-link":
        django = _linking(rest)
    elif command == "demo":
        _forget_settings()
        # The demo world's engineers sign in with a password alone.
        os.environ["ENGINEER_SECOND_FACTOR"] = "off"
    from lockbox_site import django_commands

    django_commands.run(PROGRAM, django)
    return 0


def _why_not(command: str, data: Path) -> str:
    """Return why this command can't run in this data directory, and what to do."""
    if not command_words.is_known(command):
        near = command_words.nearest(command)
        meant = f" Did you mean {near}?" if near else ""
        return f"There is no command {command!r}.{meant} To see all commands: {PROGRAM} --help"
    if command in WITHOUT_INSTALLATION:
        return ""
    for path in (data, data / ".env"):
        if (owner := _owner_of_unreadable(path)) is not None:
            return (
                f"This account can't read {path}. Run the command as the account of the installation: "
                f"runuser -u {owner} -- {PROGRAM} {command} ..."
            )
    if not _is_installed(data):
        return f"There is no installation in {data}. Make one: {PROGRAM} init --data-dir {data}"
    return ""


def _owner_of_unreadable(path: Path) -> str | None:
    """Return the account of a file or directory that this account can't read. Return None if it can."""
    try:
        facts = path.stat()
    except PermissionError:
        return _owner_of_unreadable(path.parent)
    except OSError:
        return None
    if os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)):
        return None
    try:
        return path.owner()
    except KeyError:  # an account that has a number only
        return str(facts.st_uid)


def _forget_settings() -> None:
    """Remove every setting from the environment but the data directory, because the demo uses only that.

    A setting that stayed could lead the demo to the database, the mail server or the heads of a real installation.
    """
    source = Path(__file__).with_name("settings.py").read_text(encoding="utf-8")
    names = set(re.findall(r'"([A-Z][A-Z0-9_]+)"', source)) - {"DATA_DIR"}
    for name in list(os.environ):
        if name in names or name.removesuffix("_FILE") in names:
            del os.environ[name]


def _serving(command: str, words: list[str]) -> list[str]:
    if command == "serve" and words and words[0] in PARTS:
        raise SystemExit(_refused(f"To run only this part: {PROGRAM} {words[0]}"))
    argparse.ArgumentParser(
        prog=f"{PROGRAM} {command}",
        description=f"{command_words.OURS[command].capitalize()}, until Ctrl-C or SIGTERM.",
        allow_abbrev=False,
    ).parse_args(words)
    return ["lockbox", *PARTS[command]]


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
