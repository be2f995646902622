"""Tasks for tests: each run writes a line to a file, because a killed process can't report more."""

import os
import signal
import time
from pathlib import Path

from requests_app.work.guard import guarded


@guarded
def note(path: str, word: str, seconds: float = 0.0) -> None:
    """Write the word, after a while."""
    time.sleep(seconds)
    _append(path, word)


@guarded
def die(path: str) -> None:
    """Write that it ran, and kill the worker."""
    _append(path, f"died {os.getpid()}")
    os.kill(os.getpid(), signal.SIGKILL)


@guarded
def fail(path: str) -> None:
    """Write that it ran, and raise."""
    _append(path, "failed")
    raise RuntimeError("no luck")


def _append(path: str, line: str) -> None:
    # One write in append mode: lines of several processes never mix.
    with Path(path).open("a") as handle:
        handle.write(line + "\n")


@guarded
def hold_out(path: str, seconds: float) -> None:
    """Run for so long, beyond django-q2's time-out, as a call that never returns does."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    _append(path, "holding out")
    time.sleep(seconds)
