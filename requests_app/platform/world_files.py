"""Reads and writes `world.yaml`: plans, services, people, and tenants with their resources, as rows of an import.

Only plain YAML is accepted: lists, mappings and single values. Anchors, tags, a second document and a key that is there
twice are refused. Every fault has its line and its column.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from requests_app.domain.imports import (
    BYTES_MAX,
    FAULTS_MAX,
    LINES_MAX,
    PERSON,
    PLAN,
    RESOURCE,
    ROLE,
    SERVICE,
    TENANT,
    Fault,
    Row,
    RowKind,
    Source,
    read,
)

VERSION = "1"
#: The keys of each kind of row in the file, with the columns of the row. The order is that of a written file.
KEYS: dict[str, dict[str, str]] = {
    PLAN.name: {name: name for name in ("name", "includes_lockbox")},
    SERVICE.name: {
        name: name
        for name in (
            "key",
            "name",
            "connector",
            "covered",
            "active",
            "application",
            "link_template",
            "guidance",
            "levels",
            "gate_rules",
            "gate_identity",
            "gate_upstream",
        )
    },
    PERSON.name: {
        "email": "email",
        "name": "person_name",
        "time_zone": "person_time_zone",
        "staff": "staff",
        "active": "person_active",
    },
    ROLE.name: {"service": "queue", "role": "role"},
    TENANT.name: {
        "short_name": "tenant",
        "name": "tenant_name",
        "external_id": "tenant_external_id",
        "plan": "plan",
        "time_zone": "time_zone",
        "active": "tenant_active",
    },
    RESOURCE.name: {name: name for name in ("service", "external_id", "kind", "name", "locator", "active")},
}
SECTIONS: dict[str, RowKind] = {"plans": PLAN, "services": SERVICE, "people": PERSON, "tenants": TENANT}
#: The key of a tenant with the list of its resources, and that of a person with the list of their roles. Each is given
#: with the kind of these rows, and with the column that names the tenant or the person.
NESTED: dict[str, tuple[str, RowKind, str]] = {
    TENANT.name: ("resources", RESOURCE, "tenant"),
    PERSON.name: ("roles", ROLE, "email"),
}
#: A file has a list in a list at most this deep.
_DEPTH = 8
#: More values and keys than a file with LINES_MAX rows can have. Each takes memory, and is one character in the file.
_NODES_MAX = 20 * LINES_MAX
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NOTHING = ("", "~", "null", "Null", "NULL")


@dataclass(slots=True)
class _Node:
    """One value with its place. `value` is a text, a list of nodes, or a mapping of keys to pairs of nodes."""

    line: int
    column: int
    value: Any
    is_plain: bool = False
    key: _Node | None = None


class _Wrong(Exception):
    """The rest of the file can't be read."""

    def __init__(self, line: int, column: int, code: str, **facts: Any) -> None:
        super().__init__(code)
        self.line, self.column, self.code, self.facts = line, column, code, facts


@dataclass
class WorldFile:
    """A file that was read. `sections` has the lists that are in it.

    `complete` has the tenants with all resources and the people with all roles: the kind of the row, and its name.
    `places` has the place of each fault in the file: by the line of the row and the name of its column.
    """

    source: Source
    sections: set[str] = field(default_factory=set)
    complete: set[tuple[str, str]] = field(default_factory=set)
    places: dict[tuple[int, str], tuple[int, int, str]] = field(default_factory=dict)

    def place(self, fault: Fault) -> tuple[int, int, str]:
        """Return the line, the column and the key of a fault."""
        line, column, _key = self.places.get((fault.line, ""), (fault.line, 1, ""))
        return self.places.get((fault.line, fault.column), (line, column, fault.column))


def loaded(data: bytes, *, file_name: str, size: int = 0) -> WorldFile:
    """Return the rows of a file, and every fault of its form."""
    reader = _Reader()
    size = max(size, len(data))
    try:
        if size > BYTES_MAX:
            megabyte = 1024 * 1024
            raise _Wrong(1, 1, "too_large", size=-(-size // megabyte), most=BYTES_MAX // megabyte)
        reader.world(_tree(_text(data), reader))
    except _Wrong as wrong:
        reader.fault(wrong.line, wrong.column, "", wrong.code, **wrong.facts)
    found = WorldFile(Source(reader.rows, reader.faults, file_name, hashlib.sha256(data).hexdigest()))
    found.sections, found.complete, found.places = reader.sections, reader.complete, reader.places
    return found


def dumped(world: dict[str, Any]) -> str:
    """Return the text of a file. The same world always has the same text."""
    return str(yaml.safe_dump(world, allow_unicode=True, sort_keys=False, width=120))


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _Wrong(data.count(b"\n", 0, error.start) + 1, 1, "not_utf8") from error


def _tree(text: str, reader: _Reader) -> _Node:
    """Return the whole file as nodes. It is built without recursion, so that no file can exhaust the stack."""
    root = _Node(1, 1, [])
    stack = [root]
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            _add(event, stack, reader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise _Wrong(*place, "bad_yaml", why=error.problem or "?") from error
    except yaml.reader.ReaderError as error:
        raise _Wrong(text.count("\n", 0, error.position) + 1, 1, "bad_yaml", why=error.reason) from error
    if len(root.value) != 1:
        raise _Wrong(1, 1, "empty") if not root.value else _Wrong(root.value[1].line, 1, "two_documents")
    node: _Node = root.value[0]
    return node


def _add(event: Any, stack: list[_Node], reader: _Reader) -> None:
    line, column = event.start_mark.line + 1, event.start_mark.column + 1
    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        raise _Wrong(line, column, "no_anchors")
    if getattr(event, "tag", None) or getattr(event, "tags", None):
        raise _Wrong(line, column, "no_tags")
    if isinstance(event, yaml.CollectionEndEvent):
        stack.pop()
        return
    if isinstance(event, yaml.ScalarEvent):
        node = _Node(line, column, event.value, is_plain=not event.style)
    elif isinstance(event, yaml.CollectionStartEvent):
        node = _Node(line, column, {} if isinstance(event, yaml.MappingStartEvent) else [])
    else:
        return
    _attach(node, stack[-1], reader)
    if isinstance(event, yaml.CollectionStartEvent):
        if len(stack) > _DEPTH:
            raise _Wrong(line, column, "too_deep")
        stack.append(node)


def _attach(node: _Node, parent: _Node, reader: _Reader) -> None:
    """Add a node to a list, or as the next key or value of a mapping."""
    reader.nodes += 1
    if reader.nodes > _NODES_MAX:
        raise _Wrong(node.line, node.column, "too_many_lines", most=LINES_MAX)
    if isinstance(parent.value, list):
        parent.value.append(node)
    elif parent.key is None:
        if not isinstance(node.value, str):
            raise _Wrong(node.line, node.column, "not_a_key")
        parent.key = node
    else:
        key, parent.key = parent.key, None
        if key.value in parent.value:
            reader.fault(key.line, key.column, key.value, "key_twice")
        else:
            parent.value[key.value] = key, node


class _Reader:
    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.faults: list[Fault] = []
        self.sections: set[str] = set()
        self.complete: set[tuple[str, str]] = set()
        self.places: dict[tuple[int, str], tuple[int, int, str]] = {}
        self.nodes = 0

    def fault(self, line: int, column: int, key: str, code: str, **facts: Any) -> None:
        key = key[:60]
        if len(self.faults) < FAULTS_MAX:
            self.places.setdefault((line, key), (line, column, key))
        self._add(Fault(line, key, code, facts))

    def _add(self, fault: Fault) -> None:
        """Keep at most FAULTS_MAX faults, because a file can have one in every few bytes. Count the others."""
        if len(self.faults) < FAULTS_MAX:
            self.faults.append(fault)
        elif len(self.faults) == FAULTS_MAX:
            self.faults.append(Fault(fault.line, "", "more_faults", {"number": 1}))
        else:
            self.faults[-1].facts["number"] += 1

    def world(self, root: _Node) -> None:
        if not isinstance(root.value, dict):
            raise _Wrong(root.line, root.column, "not_a_mapping")
        self._require_known(root, ["version", *SECTIONS])
        _key, version = root.value.get("version", (None, root))
        if version.value != VERSION:
            self.fault(version.line, version.column, "version", "bad_version", version=VERSION)
        for name, kind in SECTIONS.items():
            if name in root.value:
                self.sections.add(name)
                for node in self._list(*root.value[name]):
                    self._row(kind, node)

    def _list(self, key: _Node, node: _Node) -> list[_Node]:
        if isinstance(node.value, list):
            return node.value
        self.fault(node.line, node.column, key.value, "not_a_list")
        return []

    def _require_known(self, node: _Node, known: list[str]) -> None:
        for name, (key, _value) in node.value.items():
            if name not in known:
                self.fault(key.line, key.column, name, "unknown_key", known=", ".join(known))

    def _row(self, kind: RowKind, node: _Node, of: tuple[str, str] | None = None) -> None:
        """Read a row. `of` is the column that names the row around it, and the name."""
        if not isinstance(node.value, dict):
            self.fault(node.line, node.column, "", "not_a_mapping")
            return
        keys, nested = KEYS[kind.name], NESTED.get(kind.name)
        self._require_known(node, [*keys, *([nested[0]] if nested else [])])
        self.places[node.line, ""] = node.line, node.column, ""
        raw: dict[str, str] = {} if of is None else dict([of])
        for name, column in keys.items():
            self.places[node.line, column] = node.line, node.column, name
            if name in node.value:
                self._value(node, name, column, raw)
        row = read(kind, node.line, raw)
        if of is not None and not of[1]:
            # The row around it has this fault already.
            row = replace(row, faults=tuple(fault for fault in row.faults if fault.column != of[0]))
        self.rows.append(row)
        if len(self.rows) > LINES_MAX:
            raise _Wrong(node.line, node.column, "too_many_lines", most=LINES_MAX)
        if nested is not None and nested[0] in node.value:
            key, inner, column = nested
            self.complete.add((kind.name, raw.get(column, "")))
            for each in self._list(*node.value[key]):
                self._row(inner, each, (column, raw.get(column, "")))

    def _value(self, node: _Node, name: str, column: str, raw: dict[str, str]) -> None:
        _key, value = node.value[name]
        self.places[node.line, column] = value.line, value.column, name
        if not isinstance(value.value, str):
            self._add(Fault(node.line, column, "not_text_value"))
        elif not value.value.strip() or (value.is_plain and value.value in _NOTHING):
            self._add(Fault(node.line, column, "needed"))
        else:
            raw[column] = value.value
