"""The errors that end a command, each with its exit status."""

from __future__ import annotations

from typing import Any

DONE, REFUSED, USAGE, NOT_SIGNED_IN, NOT_REACHABLE, NOT_KNOWN, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130


class Failure(Exception):
    """An error that ends the command. With `--json`, the program prints `problem` as a JSON document."""

    status = REFUSED
    code = "refused"

    @property
    def problem(self) -> dict[str, Any]:
        return {"code": self.code, "title": str(self)}


class Refused(Failure):
    """The server refused the call, and sent a problem document (RFC 9457)."""

    def __init__(self, problem: dict[str, Any], *, wait: str = "") -> None:
        title = problem.get("title")
        super().__init__(title if isinstance(title, str) else "The server refused this.")
        self._problem, self.wait = problem, wait
        self.code = str(problem.get("code", Failure.code))

    @property
    def problem(self) -> dict[str, Any]:
        return self._problem


class NotConfirmed(Failure):
    """The person did not confirm. Nothing was sent."""

    code = "not_confirmed"


class Usage(Failure):
    status, code = USAGE, "usage"


class NotSignedIn(Failure):
    status, code = NOT_SIGNED_IN, "not_signed_in"


class NotReachable(Failure):
    """No server answered, the server could not handle the call now, or something other than this API answered.

    Nothing was done.
    """

    status, code = NOT_REACHABLE, "not_reachable"


class NotKnown(Failure):
    """The change was sent, but the program can't find out whether it was saved."""

    status, code = NOT_KNOWN, "outcome_unknown"

    def __init__(self, problem: dict[str, Any] | None = None) -> None:
        super().__init__("We don't know whether this was saved. Check before you try again.")
        self._problem = problem

    @property
    def problem(self) -> dict[str, Any]:
        return self._problem or super().problem
