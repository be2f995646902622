"""`customer-lockbox init`: from an empty directory to an installation that can be started.

Each step can be done again. So after a failure, or if the process was killed, the next `init` continues.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from audit_app import keys
from lockbox_site.installing import answers, environment_file, steps
from lockbox_site.installing.answers import WrongAnswer
from lockbox_site.installing.questions import QUESTIONS, Interview, derived
from requests_app.platform.certificates import AUTHORITIES

#: Keys of the installation. They are made once and never replaced.
SECRETS = ("SECRET_KEY", "TASK_SIGNING_KEY", "WEBHOOK_KEY", "SECOND_FACTOR_KEY")
#: Answers that can contain a password. They can also come from the environment.
WITH_PASSWORD = ("DATABASE_URL", "EMAIL_URL")
#: The files in a data directory that a trial, or a lost `.env`, leaves behind.
OF_OTHERS = ("lockbox.sqlite3", "secret_key")


def run(words: list[str], *, data: Path, program: str) -> int:
    """Set up the installation in this data directory, or finish what is missing. Return the exit status."""
    given = _given(words, program)
    ended = "No new answer is stored, so the next init asks again."
    try:
        answers.directory(data)
        with answers.alone(data):
            keys.remove_drafts(data)
            known = _settings(given, data)
            ended = "The answers are stored. To continue, run init again."
            for name in known:
                # What was tested and written is used now, and not what this shell has.
                os.environ.pop(name, None)
            return _prepare(program)
    except WrongAnswer as wrong:
        sys.stderr.write(f"{program}: {wrong}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"\n{program}: {ended}\n")
        return 130
    except OSError as failure:
        reason = f"The settings in {data} can't be written ({failure.strerror or failure})."
        sys.stderr.write(f"{program}: {reason} To continue, run init again.\n")
        return 1


def _given(words: list[str], program: str) -> dict[str, str]:
    parser = argparse.ArgumentParser(
        prog=f"{program} init",
        description="Set up an installation: asks for what is missing, tests each answer, and can be run again.",
        epilog=f"{' and '.join(WITH_PASSWORD)} can also come from the environment, so that their passwords "
        "are not in the list of processes.",
        allow_abbrev=False,
    )
    for question in QUESTIONS:
        parser.add_argument(question.flag, dest=question.setting, help=f"{question.asks} ({question.setting})")
    found = {name: value for name, value in vars(parser.parse_args(words)).items() if value is not None}
    return {name: os.environ[name] for name in WITH_PASSWORD if os.environ.get(name)} | found


def _settings(given: dict[str, str], data: Path) -> dict[str, str]:
    """Ask for the settings that are missing, and write them together with new secrets. Return all of them."""
    path = data / ".env"
    stored = environment_file.read(path)
    # The file .env of a trial has no keys. Those that this command would make could not open what is stored there.
    if not stored.get("SECRET_KEY") and (there := [name for name in OF_OTHERS if (data / name).exists()]):
        raise WrongAnswer(
            f"{data} has {' and '.join(there)} but no SECRET_KEY in .env, so it belongs to a trial, or .env is lost. "
            "Restore .env from your backup, or choose another directory with --data-dir."
        )
    if stored:
        _say(f"Settings are there already: {path}")
    interview = Interview(given, data=data, is_terminal=sys.stdin.isatty())
    known = authorities(stored)
    for question in QUESTIONS:
        was = stored.get(question.setting)
        known[question.setting] = found = interview.answer(question, known, was)
        _say(
            f"{question.setting}: {_shown(found)}{'' if was is None else ' (as before)' if was == found else ' (new)'}"
        )
        if found == was and given.get(question.setting, found) != found:
            _say(f"  {question.flag} is not used. To change the setting, edit {path}")
    known |= {name: value for name, value in derived(known).items() if name not in stored}
    # The questions may have waited for hours. A key that is in the file now is never replaced.
    stored = environment_file.read(path)
    known |= {name: secrets.token_urlsafe(64) for name in SECRETS if not stored.get(name)}
    environment_file.write(path, {name: value for name, value in known.items() if stored.get(name) != value})
    return known


def authorities(stored: Mapping[str, str]) -> dict[str, str]:
    """Trust your own certificate authorities. Those of the environment are kept, because the units need them too."""
    raw = os.environ.get(AUTHORITIES) or stored.get(AUTHORITIES)
    if not raw:
        return {}
    path = answers.authorities(raw)
    _say(f"{AUTHORITIES}: {path}")
    return {AUTHORITIES: path}


def _shown(value: str) -> str:
    """Return a setting without the password in an address."""
    head, at, tail = value.rpartition("@")
    scheme, slashes, account = head.partition("://")
    if not (at and slashes and ":" in account):
        return value
    return f"{scheme}://{account.partition(':')[0]}:…@{tail}"


def _prepare(program: str) -> int:
    import django
    from django.core.management import CommandError
    from django.db import DatabaseError

    from lockbox_site import starting
    from requests_app.domain.errors import DomainError

    os.environ["DJANGO_SETTINGS_MODULE"] = "lockbox_site.settings"
    what = "Reading the settings"
    # The migrations make some thousand classes of models. To visit them again and again takes a tenth of the time.
    starting.manage_memory()
    with starting.settings_or_exit(program):
        try:
            django.setup()
            for what, step in _steps():
                _say(f"{what} ...")
                step()
            what = "Copying the log's key"
            _copy_key()
            what = "Making the set-up link"
            _tell_end()
        except (CommandError, DatabaseError, DomainError, OSError) as failure:
            why = steps.why_failed(what, failure)
            sys.stderr.write(f"{program}: {what} failed: {why}. To continue, run init again.\n")
            return 1
    return 0


def _steps() -> list[steps.Step]:
    """Return the steps before the set-up link is made."""
    from django.conf import settings

    found = [steps.content(), steps.database(), steps.key(), steps.files(), steps.schedules()]
    if settings.BASE_URL.startswith("https://"):
        found.append(("Checking the settings", lambda: steps.command("check", deploy=True, fail_level="WARNING")))
    return found


def _copy_key() -> None:
    from django.core.management import call_command

    from audit_app import keys
    from requests_app.platform import program as commands
    from requests_app.queries import installation

    if keys.is_in_hsm():
        _say("The log's key is in an HSM and can't be copied. Back up the HSM as its maker says.")
    elif installation.has_key_copy():
        _say("An encrypted copy of the log's key was made already.")
        _say(f"  If you don't have its passphrase, make another copy: {commands.command('log_key copy')}")
    else:
        call_command("log_key", "copy")


def _tell_end() -> None:
    from django.conf import settings
    from django.core.management import call_command

    from requests_app.platform import program as commands
    from requests_app.queries import installation

    _say(f"The installation is ready. Start it: {commands.command('serve')}")
    if settings.TRUSTED_PROXY_COUNT:
        _say(f"The reverse proxy passes requests to {settings.HOST}:{settings.PORT}, as deploy/nginx.conf does.")
    if not settings.BACKUP_TO:
        _say("No backup is made yet. Before people use it, set up a backup each night: docs/backup.md")
    if installation.has_staff():
        _say("There is a staff member already, so no set-up link is made.")
    call_command("setup_link", if_needed=True)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
