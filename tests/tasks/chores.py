"""Tasks for tests. Each run writes a line to a file, because a process that is killed can't report in another way."""

import os
import signal
import time
from pathlib import Path

from requests_app.work.guard import guarded


@guarded
def note(path: str, word: str, seconds: float = 0.0) -> None:
    """Wait for `seconds`, then write the word as a line."""
    time.sleep(seconds)
    _append(path, word)


@guarded
def die(path: str) -> None:
    """Write a line, then kill the worker."""
    _append(path, f"died {os.getpid()}")
    os.kill(os.getpid(), signal.SIGKILL)


@guarded
def fail(path: str) -> None:
    """Write a line, then raise an error."""
    _append(path, "failed")
    raise RuntimeError("no luck")


def _append(path: str, line: str) -> None:
    # One write in append mode: lines of several processes never mix.
    with Path(path).open("a") as handle:
        handle.write(line + "\n")


@guarded
def hold_out(path: str, seconds: float) -> None:
    """Run for so many seconds, like a call that never returns. django-q2's time limit is blocked meanwhile."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    _append(path, "holding out")
    time.sleep(seconds)
