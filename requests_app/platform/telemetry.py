"""Tells observers what runs: acts, tasks, calls to other machines, and decisions.

The site adds observers that count and trace (`lockbox_site`). Without an observer, these functions do almost nothing. A
failing observer never makes the work fail. Names come from declarations, never from what somebody has sent.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Protocol

import structlog

from requests_app.domain.errors import DomainError

#: The kinds of work.
ACT, TASK, CALL, DECISION = "act", "task", "call", "decision"
#: The outcomes of work: it was done, it waits for a second person, it was refused, or something broke.
DONE, HELD, REFUSED, FAILED = "done", "held", "refused", "failed"

#: A function that takes the outcome when the work ends.
End = Callable[[str], None]
log = structlog.get_logger(__name__)


class Observer(Protocol):
    def began(self, kind: str, name: str) -> End: ...

    def happened(self, kind: str, name: str, outcome: str) -> None: ...


_observers: list[Observer] = []


def add(observer: Observer) -> None:
    _observers.append(observer)


def has(observer: Observer) -> bool:
    return observer in _observers


def remove(observer: Observer) -> None:
    _observers.remove(observer)


class watched:
    """Tell the observers when the block begins, and how it ended."""

    __slots__ = ("_ends", "_kind", "_name")

    def __init__(self, kind: str, name: str) -> None:
        self._kind, self._name = kind, name
        self._ends: list[End] = []

    def __enter__(self) -> None:
        for observer in _observers:
            try:
                self._ends.append(observer.began(self._kind, self._name))
            except Exception:
                log.exception("telemetry_failed")

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for end in reversed(self._ends):
            try:
                end(outcome_of(error))
            except Exception:
                log.exception("telemetry_failed")


def happened(kind: str, name: str, outcome: str) -> None:
    """Tell the observers about something that takes no time of its own."""
    for observer in _observers:
        try:
            observer.happened(kind, name, outcome)
        except Exception:
            log.exception("telemetry_failed")


def outcome_of(error: BaseException | None) -> str:
    if error is None:
        return DONE
    if isinstance(error, DomainError) and error.status < 500:
        return HELD if error.status < 300 else REFUSED
    return FAILED
