"""Writes rows of plain columns as a serializer of the API declares, without making an object of each row."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from rest_framework import serializers

from requests_app.doors.api import output

#: Returns the value of a member that no column has.
Filled = Callable[[Any], Any]


class Columns:
    """Writes named tuples, whose fields are columns as `values_list` names them: `tenant__name`.

    `serializer` has to read each member from one column, from the columns of a related row, or with a method. A method
    gets the tuple of the row, or of the columns of the related row. What it reads must be a column.

    The columns of text must be text, and those of numbers must be numbers. `filled` names the members for which each
    call passes a function.
    """

    def __init__(self, serializer: type[Any], columns: Sequence[str], *, filled: Sequence[str] = ()) -> None:
        self._serializer, self._columns, self._filled = serializer, columns, filled
        # As for rows, a writer is used by one thread at a time.
        self._idle: deque[_Writer] = deque()

    def written(
        self,
        rows: Iterable[Any],
        *,
        only: Container[str] | None = None,
        filled: Mapping[str, Filled] | None = None,
        **context: Any,
    ) -> list[dict[str, Any]]:
        """Return what `output.all_shown` returns for the same rows."""
        try:
            writer = self._idle.pop()
        except IndexError:
            writer = _Writer(self._serializer(context={}), self._columns, "", self._filled)
        ways = [filled[name] for name in self._filled] if filled is not None else []
        writer.serializer._context = context
        try:
            with output.instants_in_zone():
                found = [writer.write(row, ways) for row in rows]
        finally:
            writer.forget()
            self._idle.append(writer)
        if only is None:
            return found
        return [{name: value for name, value in one.items() if name in only} for one in found]


class _Related(NamedTuple):
    """The place of a member in its row, the column with the key of the related row, and what writes that row."""

    place: int
    key: int
    writer: _Writer


class _Writer:
    def __init__(self, serializer: Any, columns: Sequence[str], prefix: str, filled: Sequence[str] = ()) -> None:
        self.serializer = serializer
        self._names: list[str] = []
        self._converted: list[tuple[int, Callable[[Any], Any]]] = []
        self._methods: list[tuple[int, Callable[[Any], Any]]] = []
        self._related: list[_Related] = []
        #: The place of each filled member in its row, and in the list of the functions that fill.
        self._filled: list[tuple[int, int]] = []
        #: The related rows that were written, by their keys.
        self._known: dict[Any, Any] = {}
        places = {name: n for n, name in enumerate(columns)}
        direct = [name for name in columns if name.startswith(prefix) and "__" not in name[len(prefix) :]]
        # What a method of a related row gets. A method of the row itself gets the whole row.
        self._view: Any = _view_of(direct, prefix) if prefix else None
        self._of_view = itemgetter(*(places[name] for name in direct)) if prefix else None
        wanted: list[int] = []
        for place, field in enumerate(serializer._readable_fields):
            self._names.append(field.field_name)
            source = f"{prefix}{field.source}"
            if field.field_name in filled:
                self._filled.append((place, filled.index(field.field_name)))
                wanted.append(0)
            elif type(field) is serializers.SerializerMethodField:
                self._methods.append((place, getattr(serializer, field.method_name)))
                wanted.append(0)
            elif isinstance(field, serializers.Serializer):
                key = places[f"{source}__id"]
                self._related.append(_Related(place, key, _Writer(field, columns, f"{source}__")))
                wanted.append(key)
            else:
                if (write := output.way_to_write(field)) not in (str, int) or type(field) is serializers.UUIDField:
                    self._converted.append((place, write))
                wanted.append(places[source])
        self._values = itemgetter(*wanted)

    def write(self, row: Any, filled: Sequence[Filled] = ()) -> dict[str, Any]:
        values = list(self._values(row))
        for place, write in self._converted:
            if (value := values[place]) is not None:
                values[place] = write(value)
        for place, key, writer in self._related:
            if row[key] is not None:
                values[place] = writer.write_once(row, row[key])
        if self._methods:
            seen = row if self._of_view is None else self._view(*self._of_view(row))
            for place, method in self._methods:
                values[place] = method(seen)
        for place, n in self._filled:
            values[place] = filled[n](row)
        return dict(zip(self._names, values, strict=True))

    def write_once(self, row: Any, key: Any) -> Any:
        if (found := self._known.get(key)) is None:
            found = self._known[key] = self.write(row)
        return found

    def forget(self) -> None:
        """Forget the answer that was written."""
        self.serializer._context = {}
        self._known.clear()
        for each in self._related:
            each.writer.forget()


def _view_of(columns: Sequence[str], prefix: str) -> Any:
    return NamedTuple("_View", [(name.removeprefix(prefix), Any) for name in columns])
