"""The second half of `bin/run`: bring the installation up to date, and run it.

It is one process, because each process needs seconds to import the product.
"""

from __future__ import annotations

import os
import sys
import traceback
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path

from lockbox_site import django_commands, starting
from lockbox_site.installing import steps

PROGRAM = "run"
#: Where `bin/run` writes the details of a step that fails.
DETAILS = Path("var/setup.log")


def main(words: list[str]) -> None:
    is_empty = words == ["--empty"]
    if is_empty and (company := os.environ.pop("COMPANY", "")):
        _store_name(company)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lockbox_site.settings")
    starting.manage_memory()
    try:
        with starting.settings_or_exit(PROGRAM):
            import django

            # Before all that takes long.
            _require_free_port()
            django.setup()
            from requests_app.platform import forks
            from requests_app.work import forking, supervisor

            forks.allow()
            ahead = forks.Aside(partial(_prepare_ahead, is_empty=is_empty))
            # The checks of the code need the pages, too.
            forking.load([supervisor.WEB, supervisor.CLUSTER, supervisor.BEAT])
            is_prepared = ahead.result()
            forks.Aside(_check if is_prepared else partial(_prepare, is_empty=is_empty)).result()
    except KeyboardInterrupt:
        sys.exit(130)
    _say("Starting the server ...")
    # Settings and code were checked with the migrations.
    django_commands.run(PROGRAM, ["lockbox", "--skip-checks", *(["--trial"] if is_empty else [])])


def _store_name(company: str) -> None:
    """Store the answer that `bin/run --empty` got, as PROVIDER_NAME. After a wrong answer, ask again."""
    from lockbox_site.installing import environment_file
    from lockbox_site.installing.answers import WrongAnswer
    from lockbox_site.installing.questions import QUESTIONS, Interview

    data = Path(os.environ["DATA_DIR"])
    [question] = [each for each in QUESTIONS if each.setting == "PROVIDER_NAME"]
    try:
        interview = Interview({question.setting: company}, data=data, is_terminal=True, read=input)
        name = interview.answer(question, {}, None)
    except WrongAnswer as wrong:
        raise starting.CannotStart(PROGRAM, str(wrong)) from None
    except KeyboardInterrupt:
        sys.exit(130)
    data.mkdir(parents=True, exist_ok=True)
    environment_file.write(data / ".env", {question.setting: name})


def _require_free_port() -> None:
    from django.conf import settings

    from lockbox_site import listening

    if why := listening.why_not(settings.HOST, settings.PORT, choosing=lambda port: f"PORT={port} bin/run"):
        raise starting.CannotStart(PROGRAM, why)


def _prepare_ahead(*, is_empty: bool) -> bool:
    """Prepare everything, if no migration is to be applied. Return whether that is so.

    Before a migration, settings and code are checked. Otherwise they can be checked later.
    """
    if not steps.is_migrated():
        return False
    _prepare(is_empty=is_empty, is_migrated=True)
    return True


def _check() -> None:
    _do(steps.checks())


def _prepare(*, is_empty: bool, is_migrated: bool = False) -> None:
    from django.core.management import call_command

    _do(steps.content())
    if not is_migrated:
        _do(steps.database(with_checks=True), is_slow=True)
    _do(steps.key())
    _do(steps.schedules())
    if is_empty:
        _do(steps.trial_plan())
    else:
        _do(("Making the demo world", lambda: steps.command("demo_world")), is_slow=True)
        _do(steps.mails_to_files())
    _do(steps.files(), is_slow=True)
    if not is_empty:
        call_command("demo_people")


def _do(step: steps.Step, *, is_slow: bool = False) -> None:
    """Do one step without its output. If it fails, end the process with one line."""
    what, act = step
    if is_slow:
        _say(f"{what} ...")
    with DETAILS.open("w") as details, redirect_stdout(details), redirect_stderr(details):
        try:
            act()
            return
        except Exception as failure:  # each failure is shown in the same way
            traceback.print_exc()
            why = steps.why_failed(what, failure)
    raise starting.CannotStart(PROGRAM, f"{what} failed: {why}. Details: {DETAILS}")


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
