"""`customer-lockbox restore`: from a backup to an installation that can be started, in an empty place.

The settings are in the backup, so this runs before any settings are read. Nothing is written before the whole backup
was read and checked. The database is the last thing that appears: if this is killed at any step, there is no database,
and the same command can be run again.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from lockbox_site.backup import BackupRefused, contents, fitting, sealing
from lockbox_site.backup.contents import Contents
from lockbox_site.backup.fitting import Fitted
from lockbox_site.backup.sealing import Opener

HELP = "Restore a backup into a place where there is no installation. It overwrites nothing."
MORE = "DATABASE_URL in the environment names the empty database, if it is not where it was."
#: Names that change how a program runs. No settings of this product begin like this.
_DANGEROUS = re.compile(
    r"(?:LD_|DYLD_|PYTHON|DJANGO_|GCONV|GLIBC|MALLOC_|LOCPATH$|OPENSSL_|SSLKEYLOGFILE$|PGSERVICE|PGSYSCONFDIR$|TMPDIR$"
    r"|NOTIFY_SOCKET$|PATH$|HOME$|SHELL$|IFS$|BASH|DATA_DIR$)"
)
_SETTING = re.compile(r"[A-Z][A-Z0-9_]*")


def run(words: list[str], *, data: Path, program: str) -> int:
    """Restore a backup into this data directory. Return the exit status."""
    parser = argparse.ArgumentParser(prog=f"{program} restore", description=HELP, epilog=MORE, allow_abbrev=False)
    add_arguments(parser)
    return run_given(parser.parse_args(words), data=data, program=program)


def run_given(given: argparse.Namespace, *, data: Path, program: str) -> int:
    """Do what `run` does, with arguments that are parsed already."""
    try:
        key = sealing.opener(given.identity, given.passphrase_file)
        if given.check:
            return _check(given, key)
        return _restore(given, key, data, program)
    except BackupRefused as refusal:
        sys.stderr.write(f"{program}: {refusal}\n")
    except OSError as failure:
        reason = f"{failure.filename or 'The data directory'} can't be used ({failure.strerror or failure})."
        sys.stderr.write(f"{program}: {reason}\n")
    except KeyboardInterrupt:
        sys.stderr.write(f"\n{program}: Nothing was restored. To begin again, run the same command.\n")
        return 130
    return 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="the backup")
    parser.add_argument("--identity", type=Path, metavar="FILE", help="the private key that opens the backup")
    parser.add_argument("--passphrase-file", type=Path, metavar="FILE", help="the passphrase that opens the backup")
    parser.add_argument("--heads", metavar="PLACE", help="where “log_heads copy” has copied the heads")
    parser.add_argument("--check", action="store_true", help="only read and check the backup; change nothing")


def _check(given: argparse.Namespace, key: Opener) -> int:
    from lockbox_site.backup import schema

    found = contents.read(given.file, key)
    # Reading the settings makes files in the data directory, such as a new secret key.
    with tempfile.TemporaryDirectory(prefix="lockbox-check-") as scratch:
        os.environ["DATABASE_URL"] = f"sqlite:///{scratch}/none.sqlite3"
        os.environ.pop("DATABASE_URL_FILE", None)
        _use(fitting.fit(found, _settings_of(found), _here(Path(scratch)), Path(scratch)), Path(scratch))
        _prepare_django()
        schema.targets(found.header)
    _say(_about(found))
    _say("The file is complete, and every hash in it is right. The logs in it are verified when it is restored.")
    return 0


def _about(found: Contents) -> str:
    header = found.header
    return (
        f"Backup {header.backup_id} of {header.log_name}, made at {header.taken_at:%Y-%m-%d %H:%M:%S %Z} by version "
        f"{header.version} from {header.database}: {sum(found.rows.values()):,} rows, {found.entries:,} of them "
        f"entries of logs; {len(found.heads):,} signed heads"
    )


# --- Restoring -------------------------------------------------------------------------------------------


def _restore(given: argparse.Namespace, key: Opener, data: Path, program: str) -> int:
    from lockbox_site.installing import answers

    found = contents.read(given.file, key)
    _say(_about(found))
    data.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with answers.alone(data):
            settings = _settings_of(found)
            _require_same_keys(settings, data)
            fitted = fitting.fit(found, settings, _here(data), data)
            fitting.require_inside(fitted, data)
            _use(fitted, data)
            _prepare_django()
            return _into_database(given, key, found, fitted, data, program)
    except answers.WrongAnswer:
        raise BackupRefused(f"Another command works on {data} at this moment.") from None


def _settings_of(found: Contents) -> dict[str, str]:
    """Return the settings and keys in the backup. Raise BackupRefused if one of them is no setting of this product."""
    from environ import Env

    read: dict[str, str] = {}

    class Reader(Env):
        ENVIRON = read

    Reader.read_env(io.StringIO(found.settings.get(contents.ENV, b"").decode()))
    read |= {name: value for name, value in found.keys.items() if not read.get(name)}
    if contents.SECRET_KEY in found.settings:
        read["SECRET_KEY"] = found.settings[contents.SECRET_KEY].decode().strip()
    for name, value in read.items():
        if not _SETTING.fullmatch(name) or _DANGEROUS.match(name) or "\0" in value:
            raise BackupRefused(f"The backup has a setting that this product does not have: {name[:40]!r}.")
    return read


def _require_same_keys(settings: Mapping[str, str], data: Path) -> None:
    """Raise BackupRefused if this machine has other keys than the backup. They would be needed for other rows."""
    from lockbox_site.installing import environment_file

    here = environment_file.read(data / ".env")
    if (data / "secret_key").is_file():
        here["SECRET_KEY"] = (data / "secret_key").read_text().strip()
    here |= {name: value for name in contents.KEY_SETTINGS if (value := _in_environment(name))}
    for name in contents.KEY_SETTINGS:
        if here.get(name) and here[name] != settings.get(name, ""):
            raise BackupRefused(
                f"{name} is set on this machine, and is another one than in the backup: there is an installation here. "
                "Choose another data directory with --data-dir."
            )


def _in_environment(name: str) -> str:
    """Return a key that the environment gives to this command, or that a file has which it names."""
    path = os.environ.get(f"{name}_FILE") if name != "LOG_KEY" else ""
    return Path(path).read_text().strip() if path else os.environ.get(name, "")


def _here(data: Path) -> dict[str, str]:
    """Return the settings of this machine: its environment, and the file `.env` in the data directory."""
    from lockbox_site.installing import environment_file

    return environment_file.read(data / ".env") | os.environ


def _use(fitted: Fitted, data: Path) -> None:
    """Make these the settings of this process."""
    os.environ.update(fitted.values)
    os.environ["DATA_DIR"] = str(data)


def _prepare_django() -> None:
    import django
    from django.core.exceptions import ImproperlyConfigured

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lockbox_site.settings")
    os.environ.setdefault("LOG_LEVEL", "ERROR")
    try:
        django.setup()
    except ImproperlyConfigured as wrong:
        raise BackupRefused(f"The settings can't be used: {wrong}") from None


def _into_database(
    given: argparse.Namespace, key: Opener, found: Contents, fitted: Fitted, data: Path, program: str
) -> int:
    from django.conf import settings as here
    from django.db import DatabaseError

    from lockbox_site.backup import loading, schema, unfinished
    from lockbox_site.backup.finishing import Finish

    schema.targets(found.header)
    _require_log_key(found, fitted)
    finish = Finish(found, fitted, data, given.heads)
    finish.read_heads()
    try:
        if "sqlite" in here.DATABASES["default"]["ENGINE"]:
            path = Path(here.DATABASES["default"]["NAME"])
            if path.exists():
                raise BackupRefused(f"There is a database already: {path}. Nothing was changed.")
            loading.into_sqlite(path, given.file, key, finish)
        else:
            loading.into_postgresql(given.file, key, finish)
    except DatabaseError as failure:
        raise BackupRefused(
            f"The database can't be used, so nothing was restored: {_one_line(failure)}. If it is at another "
            "place now, name an empty database in the environment: DATABASE_URL=postgres://…"
        ) from None
    unfinished.forget(data)
    for line in (*fitted.notes, *finish.report(program)):
        _say(line)
    return 0


def _require_log_key(found: Contents, fitted: Fitted) -> None:
    """Raise BackupRefused if this machine has another key, or if only the backup names a library for an HSM.

    The signer loads this library into its process, so a hostile backup could make it run any program.
    """
    from django.conf import settings

    from audit_app import hsm

    path = Path(settings.LOG_KEY_FILE)
    content = found.settings.get(contents.LOG_KEY)
    if path.is_file() and not settings.LOG_KEY:
        if path.read_bytes() != content:
            raise BackupRefused(f"{path} is another key than the one in the backup: there is an installation here.")
        content = None
    if hsm.SCHEME.encode() in (content or b"") and not settings.LOG_KEY:
        _refuse_library(f"write the same key into {path}")
    if hsm.SCHEME in fitted.values.get("LOG_KEY", ""):
        _refuse_library("set LOG_KEY in the environment to the same key")


def _refuse_library(how: str) -> NoReturn:
    raise BackupRefused(
        "The key of the log is in an HSM, and no library is taken from a backup. Look at the key in the backup with "
        f"“age” and “tar”. If it names the right library, {how}, and run the command again."
    )


def _one_line(failure: Exception) -> str:
    return " ".join(str(failure).split())


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
