"""Moves headers, parameters and answers that several routes share into components of the OpenAPI document."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

#: The OpenAPI document, or a part of it.
_Part = dict[str, Any]
#: Where a part is: the mapping or list that contains it, its key or index, and the name of the future component.
_Place = tuple[Any, Any, str]


def share(result: _Part) -> _Part:
    """Replace each part that occurs more than once with a reference to a component. Change the document and return it.

    The document's meaning does not change: a test resolves the references and compares.
    """
    operations = [operation for item in result["paths"].values() for operation in item.values()]
    answers = [operation["responses"] for operation in operations]
    # Headers come first, because shared answers contain them.
    headers = [answer["headers"] for each in answers for answer in each.values() if "headers" in answer]
    _share(result, "headers", [(names, name, name) for names in headers for name in names])
    statuses = [(each, status, _name_of_answer(status, each[status])) for each in answers for status in each]
    _share(result, "responses", statuses)
    _share(result, "parameters", list(_parameters(operations)))
    return result


def _parameters(operations: Iterable[_Part]) -> Iterator[_Place]:
    for operation in operations:
        listed = operation.get("parameters", [])
        for index, parameter in enumerate(listed):
            yield listed, index, f"{parameter['name'].removeprefix('$')}-in-{parameter['in']}"


def _name_of_answer(status: str, answer: _Part) -> str:
    """Return a name such as `Problem404`, or "" for an answer whose body has no single named schema."""
    shapes = [media.get("schema", {}) for media in answer.get("content", {}).values()]
    names = [shape.get("$ref", "").rpartition("/")[2] for shape in shapes] or ["Empty"]
    return f"{names[0]}{status}" if len(names) == 1 and names[0] else ""


def _share(result: _Part, kind: str, places: list[_Place]) -> None:
    """For each name, move the most frequent part with this name into a component.

    The rarer parts stay where they are.
    """
    counts: dict[str, Counter[str]] = {}
    for holder, key, name in places:
        if name:
            counts.setdefault(name, Counter())[json.dumps(holder[key])] += 1
    common = {name: found for name, count in counts.items() if (found := _most_common(count))}
    components = result["components"].setdefault(kind, {})
    for holder, key, name in places:
        if json.dumps(holder[key]) == common.get(name):
            components[name] = holder[key]
            holder[key] = {"$ref": f"#/components/{kind}/{name}"}


def _most_common(count: Counter[str]) -> str:
    """Return the most frequent part, or "" if no part occurs twice or two parts are equally frequent."""
    [(found, times), *others] = count.most_common(2)
    return found if times > 1 and (not others or others[0][1] < times) else ""


def resolved(result: _Part, part: _Part) -> _Part:
    """Return the component to which a part refers, or the part itself if it is not a reference."""
    while "$ref" in part:
        _document, _components, kind, name = part["$ref"].split("/")
        part = result["components"][kind][name]
    return part
