"""The shared components make the OpenAPI document shorter, but do not change its meaning."""

from __future__ import annotations

import copy
import json
from collections import Counter
from typing import Any

from requests_app.doors.api import components, reader
from requests_app.doors.api.generator import Generator
from tests.offenders import collected

KINDS = ("headers", "responses", "parameters")


def resolved(document: Any, part: Any) -> Any:
    """Return a part of the document with its headers, responses and parameters in place of references.

    References to schemas stay as they are.
    """
    if isinstance(part, list):
        return [resolved(document, each) for each in part]
    if not isinstance(part, dict):
        return part
    reference = part.get("$ref", "")
    if reference.startswith(tuple(f"#/components/{kind}/" for kind in KINDS)):
        assert set(part) == {"$ref"}
        return resolved(document, components.resolved(document, part))
    return {key: resolved(document, each) for key, each in part.items()}


def a_document(*operations: dict[str, Any]) -> dict[str, Any]:
    paths = {f"/{number}": {"get": {"responses": {}} | each} for number, each in enumerate(operations)}
    return {"paths": paths, "components": {"schemas": {}}}


def parameter(name: str, **schema: Any) -> dict[str, Any]:
    return {"in": "query", "name": name, "schema": schema}


def test_the_document_says_the_same_with_and_without_components() -> None:
    plain = Generator().get_schema(request=None, public=True)
    shared = components.share(copy.deepcopy(plain))
    found = resolved(shared, {key: value for key, value in shared.items() if key != "components"})
    # They are compared as text, because a change of order would appear in a diff.
    assert json.dumps(found | {"components": plain["components"]}) == json.dumps(plain)
    assert {kind: part for kind, part in shared["components"].items() if kind not in KINDS} == plain["components"]


def test_each_component_is_referred_to_more_than_once() -> None:
    document = reader.document()
    counts = Counter(_references(document))
    with collected() as case:
        for kind in KINDS:
            for name in document["components"][kind]:
                with case(name):
                    assert counts[f"#/components/{kind}/{name}"] > 1


def _references(part: Any) -> list[str]:
    if isinstance(part, list):
        return [found for each in part for found in _references(each)]
    if not isinstance(part, dict):
        return []
    return [part["$ref"]] if "$ref" in part else _references(list(part.values()))


def test_the_most_frequent_part_of_a_name_is_shared() -> None:
    often, seldom = parameter("limit", maximum=200), parameter("limit", maximum=20)
    document = components.share(a_document(*({"parameters": [each]} for each in (often, seldom, often))))
    assert document["components"]["parameters"] == {"limit-in-query": often}
    reference = {"$ref": "#/components/parameters/limit-in-query"}
    found = [item["get"]["parameters"] for item in document["paths"].values()]
    assert found == [[reference], [seldom], [reference]]


def test_a_part_that_occurs_once_or_equally_often_is_not_shared() -> None:
    one, other, single = parameter("order", enum=["a"]), parameter("order", enum=["b"]), parameter("$filter")
    lists: list[Any] = [[one, single], [other], [one], [other]]
    document = components.share(a_document(*({"parameters": each} for each in copy.deepcopy(lists))))
    assert [item["get"]["parameters"] for item in document["paths"].values()] == lists
    assert document["components"]["parameters"] == {}


def test_an_answer_is_named_after_its_body_and_its_status() -> None:
    shape = {"$ref": "#/components/schemas/Problem"}
    header = {"schema": {"type": "string"}}
    answers: dict[str, Any] = {
        "404": {"content": {"application/problem+json": {"schema": shape}}, "headers": {"X-Request-ID": header}},
        "204": {"description": "Done"},
        "200": {"content": {"text/csv": {"schema": {"type": "string"}}}},
    }
    document = components.share(a_document(*({"responses": copy.deepcopy(answers)} for _time in range(2))))
    found = document["paths"]["/0"]["get"]["responses"]
    assert found["404"] == {"$ref": "#/components/responses/Problem404"}
    assert found["204"] == {"$ref": "#/components/responses/Empty204"}
    assert found["200"] == answers["200"]
    inside = document["components"]["responses"]["Problem404"]["headers"]["X-Request-ID"]
    assert (inside, document["components"]["headers"]["X-Request-ID"]) == (
        {"$ref": "#/components/headers/X-Request-ID"},
        header,
    )
