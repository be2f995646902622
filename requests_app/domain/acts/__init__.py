"""Collects all acts and events.

Each is declared in a module of this package, and all modules are found automatically.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules
from typing import TypeVar

from audit_app.meanings import Meaning
from requests_app.domain.acts.declaration import Act, Event, Mark, Proposal
from requests_app.domain.acts.soundness import problems as _problems
from requests_app.domain.scopes import Scope

_Declared = TypeVar("_Declared", Act, Event)


def _declared(kind: type[_Declared]) -> list[_Declared]:
    """Return the declarations of this kind from all modules of the package, in order.

    A declaration that a second module imports appears only once.
    """
    found: dict[int, _Declared] = {}
    for module in iter_modules(__path__):
        for value in vars(import_module(f"{__name__}.{module.name}")).values():
            if isinstance(value, kind):
                found.setdefault(id(value), value)
    return list(found.values())


_ALL_ACTS, _ALL_EVENTS = _declared(Act), _declared(Event)
ACTS: dict[str, Act] = {act.name: act for act in _ALL_ACTS}
EVENTS: dict[str, Event] = {str(event): event for event in _ALL_EVENTS}
PROPOSALS: dict[str, Proposal] = {each.name: each for act in _ALL_ACTS for each in act.proposes}
#: The scope that a token needs for each act that can be done with a token.
SCOPES: dict[str, Scope] = {act.name: act.scope for act in _ALL_ACTS if act.scope is not None}
#: The meaning of each event for a SIEM (`settings.LOG_MEANINGS`).
MEANINGS: dict[str, Meaning] = {str(event): event.meaning for event in _ALL_EVENTS}


def marked(*marks: Mark) -> frozenset[str]:
    """Return the names of the events that have one of these marks."""
    return frozenset(str(event) for event in _ALL_EVENTS if event.mark in marks)


def problems() -> Iterator[str]:
    """Yield each problem in the declarations. The start-up check stops the process if there is one."""
    return _problems(_ALL_ACTS, _ALL_EVENTS)
