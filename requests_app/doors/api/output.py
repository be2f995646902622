"""Writes rows as the serializers of the API declare, many times faster than the framework does.

The framework copies every field of a serializer for each object that it writes. Here, a serializer is kept for the next
object, with what must be known about each of its fields.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.db.models import Model
from django.db.models.manager import BaseManager
from django.utils import timezone
from rest_framework import serializers
from rest_framework.fields import Field, SkipField
from rest_framework.renderers import JSONRenderer


class _OfThread(threading.local):
    #: Whether the answer that this thread writes has its instants in UTC. None if it writes none.
    is_in_utc: bool | None = None


_here = _OfThread()
_RENDERER = JSONRenderer()
#: The writers that no thread uses now. There are never more of a class than threads that have written it at once.
_idle: dict[type[Any], deque[_Writer]] = defaultdict(deque)


def shown(serializer: type[Any], row: Any, **context: Any) -> Any:
    """Return what `serializer(row, context=context).data` returns."""
    [found] = all_shown(serializer, (row,), **context)
    return found


def all_shown(
    serializer: type[Any], rows: Iterable[Any], *, only: Container[str] | None = None, **context: Any
) -> list[Any]:
    """Return what `serializer(rows, many=True, context=context).data` returns. `only` names the members to write."""
    idle = _idle[serializer]
    try:
        writer = idle.pop()
    except IndexError:
        writer = _Writer(serializer(context={}))
    writer.serializer._context = context
    try:
        with instants_in_zone():
            return [writer.write(row, only) for row in rows]
    finally:
        writer.forget()
        idle.append(writer)


@contextmanager
def instants_in_zone() -> Iterator[None]:
    """Inside the block, this thread writes an answer. It asks only once whether the instants are in UTC."""
    outer = _here.is_in_utc
    # A method of a serializer may write the parts of its row with another serializer.
    _here.is_in_utc = _is_utc() if outer is None else outer
    try:
        yield
    finally:
        _here.is_in_utc = outer


def as_json(data: Any) -> bytes:
    """Return an answer as the framework's renderer writes it."""
    return bytes(_RENDERER.render(data))


def _is_utc() -> bool:
    return getattr(timezone.get_current_timezone(), "key", "") == "UTC"


class _Writer:
    """Writes rows with one serializer, in one thread at a time."""

    def __init__(self, serializer: Any) -> None:
        self.serializer = serializer
        self._is_plain = type(serializer).to_representation is serializers.Serializer.to_representation
        #: The writers of the rows to which a row refers.
        self._below: list[_Writer] = []
        #: What was written of each row by `write_once`, by the id of the object, which is stored too, so that it stays.
        self._written: dict[int, tuple[Any, Any]] = {}
        self._fields = [(field, field.field_name, *self._ways(field)) for field in serializer._readable_fields]

    def write(self, row: Any, only: Container[str] | None = None) -> Any:
        if not self._is_plain or (not isinstance(row, Model) and isinstance(row, Mapping)):
            found = self.serializer.to_representation(row)
            return found if only is None else {name: value for name, value in found.items() if name in only}
        found = {}
        for field, name, source, write in self._fields:
            if only is not None and name not in only:
                continue
            if source is None:
                found[name] = write(row)
                continue
            try:
                value = getattr(row, source)
            except Exception:
                # The framework knows what this means: another source, no such row, a default value, or a bug.
                value = field.get_attribute
            if callable(value):
                try:
                    value = field.get_attribute(row)
                except SkipField:
                    continue
            found[name] = None if value is None else write(value)
        return found

    def write_once(self, row: Any) -> Any:
        """Write a row to which several rows of the answer may refer. Queries give them the same object."""
        written = self._written.get(id(row))
        if written is None:
            written = self._written[id(row)] = row, self.write(row)
        return written[1]

    def write_all(self, rows: Any) -> list[Any]:
        return [self.write_once(row) for row in (rows.all() if isinstance(rows, BaseManager) else rows)]

    def forget(self) -> None:
        """Forget the answer that was written."""
        self.serializer._context = {}
        self._written.clear()
        for each in self._below:
            each.forget()

    def _ways(self, field: Any) -> tuple[str | None, Callable[[Any], Any]]:
        """Return the attribute with the field's value, and the function that writes it. None means the whole row."""
        if type(field) is serializers.SerializerMethodField:
            return None, getattr(field.parent, field.method_name)
        is_plain = type(field).get_attribute is Field.get_attribute and len(field.source_attrs) == 1
        return field.source_attrs[0] if is_plain else "", self._way_to_write(field)

    def _way_to_write(self, field: Any) -> Callable[[Any], Any]:
        if isinstance(field, serializers.Serializer):
            return self._of(field).write_once
        if type(field) is serializers.ListSerializer:
            return self._of(field.child).write_all
        return way_to_write(field)

    def _of(self, serializer: Any) -> _Writer:
        self._below.append(_Writer(serializer))
        return self._below[-1]


def way_to_write(field: Any) -> Callable[[Any], Any]:
    """Return the function that writes a value that is not None, as the field does."""
    to_representation: Callable[[Any], Any] = field.to_representation
    way = type(field).to_representation
    if way is serializers.CharField.to_representation:
        return str
    if way is serializers.UUIDField.to_representation and field.uuid_format == "hex_verbose":
        return str
    if way is serializers.IntegerField.to_representation:
        return int
    if way is serializers.ChoiceField.to_representation:
        values = field.choice_strings_to_values
        return lambda value: values.get(value, value) if type(value) is str else to_representation(value)
    if way is serializers.BooleanField.to_representation:
        return lambda value: value if value is True or value is False else to_representation(value)
    if way is serializers.DateTimeField.to_representation and not hasattr(field, "format"):
        return lambda value: _instant(value) or to_representation(value)
    return to_representation


def _instant(value: Any) -> str:
    """Return an instant as text, or "" if this is not the usual case: UTC in the database and UTC on the page."""
    if _here.is_in_utc and isinstance(value, datetime) and value.tzinfo is UTC:
        return f"{value.isoformat()[:-6]}Z"
    return ""
