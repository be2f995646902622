"""The steps that an installation needs before it runs. A step that was done before does nothing."""

from __future__ import annotations

import io
from collections.abc import Callable

from lockbox_site import starting

#: What is done, as the terminal shows it, and the function that does it.
Step = tuple[str, Callable[[], object]]
#: The step whose failure shows the database's own words.
MIGRATING = "Bringing the database up to date"


def content() -> Step:
    return "Making the directory of the content", _make_content_root


def database(*, with_checks: bool = False) -> Step:
    """Return the migration. `with_checks` also checks settings and code, as `manage.py migrate` does."""
    return MIGRATING, lambda: command("migrate", interactive=False, verbosity=0, skip_checks=not with_checks)


def is_migrated() -> bool:
    """Return whether the database has all migrations. If it can't be read, the migration says why."""
    from django.db import DatabaseError, connection

    from requests_app.platform.database import migrated

    try:
        return not migrated.missing()
    except DatabaseError:
        return False
    finally:
        connection.close()


def checks() -> Step:
    """Return the checks of settings and code that `database(with_checks=True)` makes."""
    return "Checking settings and code", lambda: command("check", databases=["default"])


def key() -> Step:
    return "Making the log's key", lambda: command("log_key", "create", "--if-missing")


def trial_plan() -> Step:
    return "Making the plan of the trial", _make_trial_plan


def files() -> Step:
    return "Collecting the static files", _collect


def mails_to_files() -> Step:
    """Return the delivery of the mails that wait, so that they don't push later lines out of the terminal."""
    return "Writing the mails of the demo world", _write_mails


def schedules() -> Step:
    return "Synchronising the schedules", lambda: command("sync_schedules")


def command(name: str, *words: str, **options: object) -> None:
    """Run a command of Django without its output. If it fails, its output is a note in the traceback."""
    from django.core.management import call_command

    output = io.StringIO()
    try:
        call_command(name, *words, stdout=output, stderr=output, **options)
    except Exception as failure:
        failure.add_note(output.getvalue())
        raise


def why_failed(what: str, failure: Exception) -> str:
    """Return on one line why a step failed, without a full stop at its end."""
    from django.db import DatabaseError

    # The advice after a failed migration can't be to migrate.
    is_advised = isinstance(failure, DatabaseError) and what != MIGRATING
    why = starting.why_database_failed(failure) if is_advised else ""
    return (why or " ".join(str(failure).split()) or type(failure).__name__).rstrip(".")


def _make_content_root() -> None:
    """Make the directory in which staff put the content of customers. One elsewhere is made or mounted by them."""
    from django.conf import settings

    if settings.CONTENT_ROOT.is_relative_to(settings.DATA_DIR):
        settings.CONTENT_ROOT.mkdir(mode=0o700, parents=True, exist_ok=True)


def _make_trial_plan() -> None:
    """Make the plan that a trial begins with, if nobody has begun the trial."""
    from requests_app import operations
    from requests_app.management._logs import actor
    from requests_app.queries import installation

    if installation.needs_trial_plan():
        operations.make_trial_plan(actor=actor("run"))


def _write_mails() -> None:
    """Write the mails that are due to their files. With a mail server, the worker sends them."""
    from django.conf import settings

    from requests_app.platform.trial import MAIL_FILES

    if settings.EMAIL_BACKEND == MAIL_FILES:
        command("drain_outbox")


def _collect() -> None:
    """Collect the static files, unless they are those of the last time. To collect them takes a second."""
    from django.conf import settings

    from requests_app.platform import statics

    seen, now = settings.DATA_DIR / "static.sum", statics.sum_of_sources()
    if seen.is_file() and seen.read_text() == now and not statics.why_not_collected():
        return
    seen.unlink(missing_ok=True)
    command("collectstatic", interactive=False, verbosity=0)
    seen.write_text(now)
