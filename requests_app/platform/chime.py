"""Wakes processes of this host that wait for a commit, within a millisecond and without the database.

Each listener has a named pipe in DATA_DIR. The process that has committed writes one byte to each of them. Without a
listener, this only lists an empty directory.

A chime says only that something has changed. It can be missing: other hosts and other containers are not reached, and
not every process can make a pipe. So a listener also looks at regular intervals, and a chime only makes it look sooner.
"""

from __future__ import annotations

import errno
import os
import secrets
import select
import stat
import time
from contextlib import suppress
from pathlib import Path

from django.conf import settings
from django.db import transaction

#: Names end like this, so that no other file in the directory is ever opened.
SUFFIX = ".chime"
_DIRECTORY = "chimes"
#: A thread rests for at least this many seconds before it hears the next chime.
REST_SECONDS = 0.01
#: A full pipe has rung already, so its bytes are read in any number.
_BYTES = 65536


def place() -> Path:
    return Path(settings.DATA_DIR) / _DIRECTORY


def strike_after_commit() -> None:
    """Wake the listeners when the current transaction has committed, once for each transaction."""
    known = transaction.get_connection().run_on_commit
    if not any(function is strike for _savepoints, function, *_rest in known):
        transaction.on_commit(strike, robust=True)


def strike() -> None:
    """Wake all listeners of this host now. Errors are ignored, because each listener also looks by itself."""
    # This runs after every commit. Making a Path would take longer than everything else here.
    with suppress(OSError), os.scandir(f"{settings.DATA_DIR}/{_DIRECTORY}") as found:
        for entry in found:
            if entry.name.endswith(SUFFIX) and stat.S_ISFIFO(entry.stat(follow_symlinks=False).st_mode):
                _strike(entry.path)


def _strike(path: str) -> None:
    try:
        pipe = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        # Nobody reads it: its process has ended.
        if error.errno == errno.ENXIO:
            with suppress(OSError):
                os.unlink(path)
        return
    try:
        # Fails if the pipe is full. Then its reader will wake anyway.
        with suppress(OSError):
            os.write(pipe, b"!")
    finally:
        os.close(pipe)


def rest_after(worked: float, *, factor: int, most: float) -> float:
    """Return for how many seconds a thread rests that a chime has woken, and that has worked for so many seconds.

    `most` is the interval at which it works without a chime. After a statement that has hung, it rests no longer than
    that: nobody would learn of an end meanwhile.
    """
    return min(most, max(REST_SECONDS, factor * worked))


class Listener:
    """The end of one thread that waits. Make it in the process that uses it, after any fork."""

    def __init__(self) -> None:
        self._pipe: int | None = None
        self._ready = select.poll()
        with suppress(OSError):
            place().mkdir(mode=0o700, exist_ok=True)
            self._path = place() / secrets.token_hex(8)
            os.mkfifo(self._path, 0o600)
            # Also open for writing. Otherwise the pipe would be at its end as soon as the first writer has left.
            self._pipe = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
            self._ready.register(self._pipe, select.POLLIN)
            # Named only now, because `strike` removes a pipe that nobody has open.
            self._path = self._path.rename(self._path.with_suffix(SUFFIX))

    @property
    def hears(self) -> bool:
        """Whether the pipe is there and has its name. Otherwise `wait` always takes its whole time."""
        return self._pipe is not None and self._path.exists()

    def wait(self, seconds: float) -> bool:
        """Wait until somebody strikes, but not longer than this. Return whether somebody did."""
        if self._pipe is None:
            time.sleep(seconds)
            return False
        if not self._ready.poll(max(0.0, seconds) * 1000):
            return False
        with suppress(OSError):
            os.read(self._pipe, _BYTES)
        return True

    def close(self) -> None:
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            with suppress(OSError):
                os.unlink(self._path)
            os.close(pipe)
