"""Makes Django's values for each thread cheap to read: the language, the time zone, and how addresses are made.

A page asks for its language two hundred times. Django stores it in an object that takes a lock, which all threads of
the process share, and makes two Python calls below each read. This was a tenth of the time of a page.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from django.urls import base as urls
from django.utils import timezone
from django.utils.translation import trans_real

_NONE = object()
#: The modules, and the name of the object in each of them.
_PLACES = ((trans_real, "_active"), (timezone, "_active"), (urls, "_prefixes"), (urls, "_urlconfs"))


class ActiveValue:
    """Stores one `value` for each thread, or for each task of an event loop, as asgiref's `Local` does."""

    __slots__ = ("_stored",)

    def __init__(self) -> None:
        self._stored: ContextVar[Any] = ContextVar("value", default=_NONE)

    @property
    def value(self) -> Any:
        found = self._stored.get()
        if found is _NONE:
            raise AttributeError("value")
        return found

    @value.setter
    def value(self, value: Any) -> None:
        self._stored.set(value)

    @value.deleter
    def value(self) -> None:
        if self._stored.get() is _NONE:
            raise AttributeError("value")
        self._stored.set(_NONE)


def install() -> None:
    """Put such an object in the place of each of Django's. A value that is set already stays set."""
    for module, name in _PLACES:
        before, active = getattr(module, name), ActiveValue()
        if hasattr(before, "value"):
            active.value = before.value
        setattr(module, name, active)
