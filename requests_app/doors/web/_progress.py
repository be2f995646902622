"""The progress of a download. The stream reports it, and the page that waits for the download shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.core.cache import cache

ENTRIES, TIMELINE, DONE, STOPPED = "entries", "timeline", "done", "stopped"
_STORED_FOR = 3600
#: _STEPS: the most reports for one step. _LEAST: how many new entries a report needs at least.
_STEPS, _LEAST = 200, 1000


@dataclass
class Progress:
    """One download of one person.

    The key in the cache contains the person's id, so nobody else can read the progress.
    """

    person_id: UUID
    download: UUID
    total: int
    step: str = ENTRIES
    _done: int = 0
    _reported: int = field(default=-1, repr=False)

    def begin(self, step: str) -> Callable[[int], None]:
        """Begin a step. Return a function that takes the number of further entries that are done."""
        self.step, self._done, self._reported = step, 0, -1
        self._tell()
        return self.add

    def add(self, count: int) -> None:
        self._done += count
        if self._done - self._reported >= max(_LEAST, self.total // _STEPS):
            self._tell()

    @contextmanager
    def to_its_end(self) -> Iterator[None]:
        """Report at the end of the block that the whole file was sent.

        If the block raises an error, report that the download stopped: the reader disconnected, or something failed.
        """
        ended = STOPPED
        try:
            yield
            ended = DONE
        finally:
            self.step = ended
            self._tell()

    def _tell(self) -> None:
        self._reported = self._done
        state = {"step": self.step, "done": min(self._done, self.total), "total": self.total}
        cache.set(_key(self.person_id, self.download), state, _STORED_FOR)


def progress_of(person_id: UUID, download: UUID) -> dict[str, Any] | None:
    found: dict[str, Any] | None = cache.get(_key(person_id, download))
    return found


def _key(person_id: UUID, download: UUID) -> str:
    return f"download-{person_id}-{download}"
