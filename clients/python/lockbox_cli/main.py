"""The program: reads the arguments, runs the command, and returns the exit status."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from lockbox_cli import account, arguments
from lockbox_cli.errors import DONE, INTERRUPTED, USAGE, Failure, Refused
from lockbox_cli.output import Output
from lockbox_cli.session import Session
from lockbox_cli.text import as_json


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        return _run(words)
    except Failure as failure:
        _tell(failure, plain="--json" not in words)
        return failure.status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The program that reads the output has closed the pipe. Python must not write the buffered output again when it
        # exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


def _run(words: list[str]) -> int:
    args = arguments.parser().parse_args(words)
    out = Output(as_json=getattr(args, "json", False))
    if getattr(args, "without_session", False):
        args.run(args, out)
        return DONE
    with Session(account.current(), keeps="LOCKBOX_TOKEN" not in os.environ) as session:
        args.run(args, session, out)
    return DONE


def _tell(failure: Failure, *, plain: bool) -> None:
    """Print an error on standard error, so that standard output has either a result or nothing."""
    if not plain:
        print(as_json(failure.problem), file=sys.stderr)
        return
    out = Output()
    mark = "lockbox: "
    out.note(f"{mark}{failure}", "" if failure.status == USAGE else "red")
    if isinstance(failure, Refused):
        for each in failure.problem.get("errors") or []:
            if each.get("detail") != str(failure):
                out.note(f"  {each.get('field')}: {each.get('detail')}")
        if failure.wait:
            out.note(f"  Wait {failure.wait} s.")
        number = failure.problem.get("request_id")
        out.note(f"  {failure.code}" + (f", call {number}" if number else ""), "dim")
