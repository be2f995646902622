"""What a check finds, and how checks are run: each within its time, none can end the others, and no secret is shown."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

#: The seconds of a check that says nothing else.
WITHIN = 5.0
#: Shorter values are part of too many other words.
_LEAST_SECRET = 6
HIDDEN = "[hidden]"


class Level(StrEnum):
    OK = "ok"
    #: Nobody can tell from this machine. It may be right, so it is no failure.
    UNKNOWN = "unknown"
    WARNING = "warning"
    PROBLEM = "problem"


#: The exit status, by the worst level.
STATUS = {Level.OK: 0, Level.UNKNOWN: 0, Level.WARNING: 1, Level.PROBLEM: 2}
#: A check that takes longer than this, in seconds, is announced.
ANNOUNCED_AFTER = 1.0


@dataclass(frozen=True)
class Finding:
    """One line: the name of the check, its level, what was found, and what to do about it."""

    name: str
    level: Level
    found: str
    advice: str = ""


#: What a check yields: level, what was found, and what to do.
Found = tuple[Level, str, str]


def ok(found: str) -> Found:
    return Level.OK, found, ""


def warning(found: str, advice: str) -> Found:
    return Level.WARNING, found, advice


def problem(found: str, advice: str) -> Found:
    return Level.PROBLEM, found, advice


def unknown(found: str, advice: str) -> Found:
    return Level.UNKNOWN, found, advice


@dataclass(frozen=True)
class Check:
    """A check, and its limit in seconds. With `needs_database`, it runs only if the database works.

    `late` returns what an answer that does not come in time means, if it is not a problem.
    """

    name: str
    run: Callable[[], Iterable[Found]]
    seconds: float = WITHIN
    needs_database: bool = False
    late: Callable[[], Found | None] | None = None


def examine(checks: Iterable[Check], *, announce: Callable[[Check], object] = lambda _: None) -> Iterator[Finding]:
    """Run the checks one after the other, and yield what they find. Announce each one that takes longer than others."""
    has_database = True
    for check in checks:
        if check.needs_database and not has_database:
            yield Finding(check.name, Level.WARNING, "Not checked, because the database can't be used.", "")
            continue
        found = list(_within(check, announce))
        if check.name == "database":
            has_database = all(each.level is not Level.PROBLEM for each in found)
        yield from found


def _within(check: Check, announce: Callable[[Check], object]) -> list[Finding]:
    """Run a check in a thread of its own. If it takes too long, its thread is left alone, and ends with the process."""
    found: list[Finding] = []

    def run() -> None:
        try:
            found.extend(Finding(check.name, *each) for each in check.run())
        except Exception as failure:  # a check that breaks must not hide the others
            # The text of an error may contain an address with a password.
            why = f"The check failed ({type(failure).__name__})."
            found.append(Finding(check.name, Level.PROBLEM, why, "Report this, with the version and the output above."))
        finally:
            _leave_database()

    thread = threading.Thread(target=run, name=f"doctor-{check.name}", daemon=True)
    thread.start()
    thread.join(min(ANNOUNCED_AFTER, check.seconds))
    if thread.is_alive() and check.seconds > ANNOUNCED_AFTER:
        announce(check)
        thread.join(check.seconds - ANNOUNCED_AFTER)
    if thread.is_alive():
        hangs = problem(
            f"No answer within {check.seconds:g} seconds.",
            "Find out what hangs: the database, the disk or the network.",
        )
        return [*found, Finding(check.name, *((check.late and check.late()) or hangs))]
    return found


def _leave_database() -> None:
    from django.core.exceptions import ImproperlyConfigured
    from django.db import connection

    with suppress(ImproperlyConfigured):  # without settings, there is no connection
        connection.close()


def without(secrets: Iterable[str], finding: Finding) -> Finding:
    """Return the finding with each secret hidden. No check shows a secret on purpose; errors of libraries might."""
    found, advice = finding.found, finding.advice
    for secret in secrets:
        if len(secret) >= _LEAST_SECRET:
            found, advice = found.replace(secret, HIDDEN), advice.replace(secret, HIDDEN)
    return Finding(finding.name, finding.level, found, advice)
