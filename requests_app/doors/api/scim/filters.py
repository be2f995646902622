"""Reads filters and paths of SCIM (RFC 7644, sections 3.4.2.2 and 3.5.2). A library parses them.

A filter is tested on each resource in the form that an answer would have. Only the values in a filter
become part of a database query, as parameters. A filter can name only attributes of the schema, and reads
only the tenant's own resources.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import ModuleType
from typing import Any

from django.db.models import QuerySet
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from requests_app.doors.api.scim import discovery
from requests_app.doors.api.scim.shapes import USER, Fault
from requests_app.models import Person
from requests_app.queries import directory

#: The most characters of a filter and of a path. The library limits how deep expressions can be nested.
MOST, MOST_PATH = 1000, 400
#: No column is longer than this, so a longer value matches nothing.
_LONGEST_VALUE = 254
#: The attributes that every resource has (RFC 7643, section 3.1).
_COMMON: tuple[dict[str, Any], ...] = (
    {"name": "id", "type": "string", "caseExact": True},
    {"name": "externalId", "type": "string", "caseExact": True},
    {"name": "schemas", "type": "string", "caseExact": True},
    {
        "name": "meta",
        "type": "complex",
        "subAttributes": [
            {"name": "resourceType", "type": "string", "caseExact": True},
            {"name": "created", "type": "dateTime"},
            {"name": "lastModified", "type": "dateTime"},
            {"name": "location", "type": "reference", "caseExact": True},
            {"name": "version", "type": "string", "caseExact": True},
        ],
    },
)
_COMPARES: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "co": operator.contains,
    "sw": str.startswith,
    "ew": str.endswith,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}
_OF_TEXTS, _IN_ORDER = frozenset(("co", "sw", "ew")), frozenset(("gt", "ge", "lt", "le"))

Test = Callable[[Mapping[str, Any]], bool]
Table = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Target:
    """What a path names: an attribute, a choice among the attribute's values, and a part of these values.

    Names are in lower case.
    """

    name: str
    part: str | None = None
    chooses: Test | None = None


def people(rows: QuerySet[Person], raw: str) -> tuple[QuerySet[Person], Test]:
    """Return rows that include all matches of a filter, and a function that tests whether a User matches.

    Raise Fault with invalidFilter if the filter can't be read.
    """
    node = _parsed(raw)
    test = _test(node, _table(USER))
    among = _narrowed(rows, node, "")
    return (rows if among is None else among), test


def test_of(raw: str, schema: str) -> Test:
    """Return a function that tests whether a resource of this schema matches a filter.

    Raise Fault with invalidFilter if the filter can't be read.
    """
    return _test(_parsed(raw), _table(schema))


def target(
    raw: str, schema: str, *, more: Mapping[str, Table] | None = None, unread: frozenset[str] = frozenset()
) -> Target:
    """Read the path of a PATCH. Raise Fault if the path is invalid.

    `more` has parts of attributes that a path can name although answers do not show them. For attributes in `unread`,
    only the name is checked.
    """
    grammar = _grammar()
    try:
        node = grammar.Path(raw).ast if len(raw) <= MOST_PATH else None
    except Exception as error:
        raise _no_path() from error
    of = node.attr_path if isinstance(node, grammar.ValuePath) else node
    if not isinstance(of, grammar.AttrPath) or (of.uri is not None and of.uri.lower() != schema.lower()):
        raise _no_path()
    name = of.attr.lower()
    if name in unread or not isinstance(node, grammar.ValuePath):
        return Target(name, of.sub_attr.lower() if of.sub_attr else None)
    found = _table(schema).get(name)
    if found is None or not found.get("multiValued") or of.sub_attr:
        raise _no_path()
    _require_texts(node)
    parts = {**_parts(found), **(more or {}).get(name, {})}
    return Target(name, node.sub_attr.lower() if node.sub_attr else None, _test(node.val_filter, parts))


def no_target() -> Fault:
    return Fault("noTarget", _("The filter of the path matches nothing."))


# --- Reading -------------------------------------------------------------------------------------------------


@functools.cache
def _grammar() -> ModuleType:
    """Import the library at its first use, because it needs 30 MB and a third of a second."""
    from scim2_models import path

    return path


def _parsed(raw: str) -> Any:
    try:
        node = _grammar().ScimFilter(raw).ast if len(raw) <= MOST else None
    except Exception as error:
        raise _no_filter() from error
    if node is None:
        raise _no_filter()
    _require_texts(node)
    return node


def _require_texts(node: Any) -> None:
    """Raise Fault if a value contains half a surrogate pair. JSON allows such a value, but the value is not text."""
    try:
        for value in _values_in(node):
            value.encode()
    except UnicodeError as error:
        raise _no_filter() from error


def _values_in(node: Any) -> Iterator[str]:
    grammar = _grammar()
    if isinstance(node, grammar.Comparison) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, grammar.Not):
        yield from _values_in(node.expr)
    elif isinstance(node, grammar.ValuePath):
        yield from _values_in(node.val_filter)
    elif isinstance(node, grammar.LogicalExpr):
        for each in node.terms:
            yield from _values_in(each)


def _no_filter() -> Fault:
    return Fault("invalidFilter", _("This filter can’t be read. It must compare attributes of the schema with values."))


def _no_path() -> Fault:
    return Fault("invalidPath", _("There is no such path."))


@functools.cache
def _table(schema: str) -> Table:
    """Return the attributes of a resource by their lower-case names."""
    attributes = [*_COMMON, *discovery.schemas()[schema]["attributes"]]
    return {each["name"].lower(): {**each, "schema": schema} for each in attributes}


def _parts(attribute: Mapping[str, Any]) -> Table:
    return {each["name"].lower(): each for each in attribute.get("subAttributes", ())}


# --- Testing -------------------------------------------------------------------------------------------------


def _test(node: Any, table: Table) -> Test:
    """Return the test for an expression. Wrong names are refused here, even if there are no rows to test."""
    grammar = _grammar()
    if isinstance(node, grammar.Not):
        inner = _test(node.expr, table)
        return lambda resource: not inner(resource)
    if isinstance(node, grammar.LogicalExpr):
        tests = [_test(each, table) for each in node.terms]
        quantifier = all if node.op == grammar.LogicalOperator.and_ else any
        return lambda resource: quantifier(test(resource) for test in tests)
    if isinstance(node, grammar.ValuePath):
        return _value_test(node, table)
    if isinstance(node, grammar.Present):
        keys, _attribute = _named(node.attr_path, table)
        return lambda resource: any(True for _value in _values(resource, keys))
    if isinstance(node, grammar.Comparison):
        return _comparison(node, table)
    raise _no_filter()


def _value_test(node: Any, table: Table) -> Test:
    attribute = table.get(node.attr_path.attr.lower())
    if attribute is None or not attribute.get("subAttributes") or node.attr_path.sub_attr or node.sub_attr:
        raise _no_filter()
    _require_schema(node.attr_path, attribute)
    inner, keys = _test(node.val_filter, _parts(attribute)), (node.attr_path.attr.lower(),)
    return lambda resource: any(inner(each) for each in _values(resource, keys))


def _comparison(node: Any, table: Table) -> Test:
    keys, attribute = _named(node.attr_path, table)
    if attribute["type"] == "complex":
        if "value" not in _parts(attribute):
            raise _no_filter()
        keys, attribute = (*keys, "value"), _parts(attribute)["value"]
    name = str(node.op.value)
    if node.value is None and name in ("eq", "ne"):
        is_absent = name == "eq"
        return lambda resource: is_absent != any(True for _value in _values(resource, keys))
    read = _reader(attribute, name)
    wanted = read(node.value)
    if wanted is None:
        raise _no_filter()
    compares = _COMPARES["eq" if name == "ne" else name]

    def holds(resource: Mapping[str, Any]) -> bool:
        return any(compares(found, wanted) for value in _values(resource, keys) if (found := read(value)) is not None)

    return holds if name != "ne" else lambda resource: not holds(resource)


def _reader(attribute: Mapping[str, Any], name: str) -> Callable[[Any], Any]:
    """Return a function that converts a value for comparison with this attribute.

    For a value of another type than the attribute's, the function returns None.
    """
    kind = attribute["type"]
    if (kind == "boolean" and name in _OF_TEXTS | _IN_ORDER) or (kind == "dateTime" and name in _OF_TEXTS):
        raise _no_filter()
    if kind == "boolean":
        return _flag
    if kind == "dateTime":
        return _instant
    return _exact if attribute.get("caseExact") else _folded


def _flag(value: Any) -> bool | None:
    """Read a boolean. Entra ID's spelling, "True" and "False", is accepted too."""
    text = value.lower() if isinstance(value, str) else value
    return {True: True, False: False, "true": True, "false": False}.get(text) if isinstance(text, (bool, str)) else None


def _instant(value: Any) -> datetime | None:
    try:
        found = parse_datetime(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None


def _exact(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _folded(value: Any) -> str | None:
    return value.casefold() if isinstance(value, str) else None


def _named(path: Any, table: Table) -> tuple[tuple[str, ...], Mapping[str, Any]]:
    attribute = table.get(path.attr.lower())
    if attribute is None:
        raise _no_filter()
    _require_schema(path, attribute)
    if path.sub_attr is None:
        return (path.attr.lower(),), attribute
    part = _parts(attribute).get(path.sub_attr.lower())
    if part is None:
        raise _no_filter()
    return (path.attr.lower(), path.sub_attr.lower()), part


def _require_schema(path: Any, attribute: Mapping[str, Any]) -> None:
    if path.uri is not None and path.uri.lower() != str(attribute.get("schema", "")).lower():
        raise _no_filter()


def _values(resource: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[Any]:
    """Yield all values at this path. Case does not matter in names, and empty values count as missing.

    (RFC 7643, sections 2.1 and 2.5.)
    """
    found = next((value for name, value in resource.items() if name.lower() == keys[0]), None)
    for each in found if isinstance(found, list) else [found]:
        if len(keys) > 1 and isinstance(each, Mapping):
            yield from _values(each, keys[1:])
        elif len(keys) == 1 and each not in (None, "", {}):
            yield each


# --- Rows from an index --------------------------------------------------------------------------------------

_BY: dict[str, Callable[[QuerySet[Person], str], QuerySet[Person]]] = {
    "id": directory.by_id,
    "username": directory.by_user_name,
    "externalid": directory.by_external_id,
    "emails": directory.by_address,
    "emails.value": directory.by_address,
}


def _narrowed(rows: QuerySet[Person], node: Any, within: str) -> QuerySet[Person] | None:
    """Return rows that an index finds and that include all matches of the expression.

    If no index helps, return None.
    """
    grammar = _grammar()
    if isinstance(node, grammar.Comparison) and node.op == grammar.CompareOperator.eq and isinstance(node.value, str):
        parts = (within, node.attr_path.attr, node.attr_path.sub_attr)
        by = _BY.get(".".join(each.lower() for each in parts if each))
        if by is None:
            return None
        is_possible = len(node.value) <= _LONGEST_VALUE and "\x00" not in node.value
        return by(rows, node.value) if is_possible else rows.none()
    if isinstance(node, grammar.ValuePath) and not within:
        return _narrowed(rows, node.val_filter, node.attr_path.attr)
    if isinstance(node, grammar.LogicalExpr):
        found = [_narrowed(rows, each, within) for each in node.terms]
        sure = [each for each in found if each is not None]
        if node.op == grammar.LogicalOperator.and_:
            return sure[0] if sure else None
        return functools.reduce(operator.or_, sure) if len(sure) == len(found) else None
    return None
