"""The names that others depend on: URLs, the API's document, codes, events, tasks and commands."""

from __future__ import annotations

import argparse
import hashlib
import importlib
import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, get_commands, load_command_class
from django.urls import URLPattern, URLResolver, get_resolver

from requests_app import tasks
from requests_app.domain.acts import EVENTS
from requests_app.domain.errors import DomainError
from requests_app.domain.scopes import Scope
from requests_app.messages.topics import Topic
from requests_app.work import schedules
from tests.clients import generated

# --- Addresses -------------------------------------------------------------------------------------------------


def addresses() -> Iterator[str]:
    """Yield each URL of the site with its methods. A variable part is shown by its type only."""
    for pattern, view in sorted(_routes(get_resolver(), "/"), key=lambda each: each[0]):
        # A caller does not see the name of a variable part.
        address = re.sub(r"<(\w+):\w+>", r"<\1>", pattern)
        yield f"{address} {_methods(view)}"


def _routes(resolver: URLResolver, prefix: str) -> Iterator[tuple[str, Callable[..., Any]]]:
    for each in resolver.url_patterns:
        route = f"{prefix}{each.pattern}"
        if isinstance(each, URLPattern):
            yield route, each.callback
        else:
            yield from _routes(each, route)


def _methods(view: Callable[..., Any]) -> str:
    """Return the methods that a view accepts, or "any" if it does not limit them."""
    found: Any = view
    while found is not None:
        of_class = getattr(found, "cls", None) or getattr(found, "view_class", None)
        if of_class is not None:
            return _joined(name for name in of_class.http_method_names if hasattr(of_class, name))
        closure = inspect.getclosurevars(found).nonlocals if inspect.isfunction(found) else {}
        if "request_method_list" in closure:
            return _joined(closure["request_method_list"])
        found = getattr(found, "__wrapped__", None)
    return "any"


def _joined(methods: Iterable[str]) -> str:
    return ",".join(sorted({each.upper() for each in methods} - {"HEAD", "OPTIONS"}))


# --- The API's document ----------------------------------------------------------------------------------------

_WORDS = frozenset({"description", "summary", "title"})
#: Inside these, "title" and so on are values.
_VALUES = frozenset({"value", "example", "default", "const"})
#: Inside these, the keys are names.
_BY_NAME = frozenset({"properties", "schemas", "responses", "headers", "examples", "paths", "content", "variables"})
#: Lists whose order has no meaning.
_SETS = frozenset({"required", "tags"})


def resolved(document: dict[str, Any]) -> dict[str, Any]:
    """Return the document without references: each $ref is replaced by what it refers to.

    Texts for people and names of components are left out.
    """

    def follow(path: str) -> Any:
        found: Any = document
        for part in path.removeprefix("#/").split("/"):
            found = found[part.replace("~1", "/").replace("~0", "~")]
        return found

    def plain(node: Any, key: str = "", within: tuple[str, ...] = (), *, is_named: bool = False) -> Any:
        if isinstance(node, list):
            if key in _SETS and all(isinstance(each, str) for each in node):
                return sorted(node)
            found = [plain(each, "", within) for each in node]
            return sorted(found, key=_place) if key == "parameters" else found
        if not isinstance(node, dict):
            return node
        if "$ref" in node and isinstance(node["$ref"], str):
            if node["$ref"] in within:
                return {"recursive": True}
            beside = {name: value for name, value in node.items() if name != "$ref"}
            text = plain(follow(node["$ref"]), key, (*within, node["$ref"]), is_named=is_named)
            return {**text, **plain(beside, key, within)} if isinstance(text, dict) else text
        found_by: dict[str, Any] = {}
        for name, value in node.items():
            if is_named or name not in _WORDS:
                is_value = name in _VALUES and not is_named
                is_map = name in _BY_NAME and not is_named
                found_by[name] = _value(value) if is_value else plain(value, name, within, is_named=is_map)
        return found_by

    return {
        "openapi": document["openapi"],
        "version": document["info"]["version"],
        "paths": plain(document["paths"], "paths", is_named=True),
        "securitySchemes": plain(document["components"]["securitySchemes"], is_named=True),
    }


def _place(parameter: Any) -> tuple[str, str]:
    return (str(parameter.get("in")), str(parameter.get("name")))


def _value(value: Any) -> Any:
    """Return the value of an example. If it is a problem document, leave out its texts."""
    if isinstance(value, list):
        return [_value(each) for each in value]
    if not isinstance(value, dict):
        return value
    is_problem = "title" in value and "code" in value
    return {
        name: _value(each)
        for name, each in value.items()
        if not (is_problem and name in ("title", "detail")) and not ("field" in value and name == "detail")
    }


def packed(document: dict[str, Any]) -> list[str]:
    """Return the resolved document as lines.

    A part that occurs often is written once, together with its hash. Elsewhere only the hash is written.
    """
    parts: dict[str, str] = {}

    def pack(node: Any) -> Any:
        if isinstance(node, list):
            return [pack(each) for each in node]
        if not isinstance(node, dict):
            return node
        text = json.dumps({name: pack(value) for name, value in sorted(node.items())}, ensure_ascii=False)
        if len(text) < 120:
            return json.loads(text)
        name = hashlib.sha256(text.encode()).hexdigest()[:10]
        parts[name] = text
        return f"@{name}"

    root = {"document": {**document, "paths": {path: pack(item) for path, item in document["paths"].items()}}}
    lines = [f"{path} {json.dumps(item)}" for path, item in sorted(root["document"].pop("paths").items())]
    lines += [f"{name} {json.dumps(value)}" for name, value in sorted(root["document"].items())]
    return [*lines, *(f"@{name} {text}" for name, text in sorted(parts.items()))]


def unpacked(lines: list[str]) -> dict[str, Any]:
    by_name = dict(line.split(" ", 1) for line in lines)

    def unpack(node: Any) -> Any:
        if isinstance(node, str) and node in by_name:
            return unpack(json.loads(by_name[node])) if node.startswith("@") else node
        if isinstance(node, list):
            return [unpack(each) for each in node]
        if isinstance(node, dict):
            return {name: unpack(value) for name, value in node.items()}
        return node

    rest = {name: unpack(json.loads(text)) for name, text in by_name.items() if name[0] not in "@/"}
    return {**rest, "paths": {name: unpack(json.loads(text)) for name, text in by_name.items() if name[0] == "/"}}


def differing(before: Any, now: Any, place: str = "") -> Iterator[str]:
    """Yield each place at which two documents differ."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in sorted(before.keys() | now.keys()):
            at = f"{place} › {name}" if place else str(name)
            if name not in now:
                yield f"{at}: is gone, was {_shortened(before[name])}"
            elif name not in before:
                yield f"{at}: is new, {_shortened(now[name])}"
            else:
                yield from differing(before[name], now[name], at)
    elif place.endswith(" › enum") and isinstance(before, list) and isinstance(now, list):
        # The order of these values has no meaning.
        if sorted(map(repr, before)) != sorted(map(repr, now)):
            yield f"{place}: was {_shortened(before)}, is {_shortened(now)}"
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, (one, other) in enumerate(zip(before, now, strict=True)):
            yield from differing(one, other, f"{place}[{number}]")
    elif before != now:
        yield f"{place}: was {_shortened(before)}, is {_shortened(now)}"


def _shortened(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)[:300]


# --- Names -----------------------------------------------------------------------------------------------------


def names() -> Iterator[str]:
    yield from (f"event {event}" for event in sorted(EVENTS))
    yield from (f"scope {scope}" for scope in sorted(map(str, Scope)))
    yield from (f"topic {topic}" for topic in sorted(map(str, Topic)))
    yield from sorted({f"problem {each.code} {each.status}" for each in _kinds(DomainError)})
    yield from (f"schedule {each.name} {each.func} {each.minutes} {each.in_turn}" for each in schedules.PERIODIC)
    yield from (f"task requests_app.tasks.{name}" for name in sorted(task_names()))
    yield from _commands()
    generated.make_importable()
    from lockbox_cli.arguments import parser

    yield from _verbs(parser(), "lockbox")


def task_names() -> list[str]:
    return [name for name, value in vars(tasks).items() if getattr(value, "is_guarded", False)]


def _kinds(kind: type[DomainError]) -> Iterator[type[DomainError]]:
    yield kind
    for each in kind.__subclasses__():
        # Classes of tests do not belong to the product.
        if not each.__module__.startswith("tests."):
            yield from _kinds(each)


def _commands() -> Iterator[str]:
    """Yield the commands of this project's own apps. Options that every Django command has are left out."""
    bare = BaseCommand().create_parser("manage.py", "bare")
    common = {option for action in bare._actions for option in action.option_strings}
    for name, app in sorted(get_commands().items()):
        app = app if isinstance(app, str) else app.__module__
        source = importlib.import_module(app).__file__ or ""
        if not source.startswith(str(settings.BASE_DIR)) or "site-packages" in source:
            continue
        command = load_command_class(app, name)
        made = command.create_parser("manage.py", name)
        yield from sorted(set(_verbs(made, f"manage.py {name}", but=common)))


def _verbs(found: argparse.ArgumentParser, name: str, but: set[str] | None = None) -> Iterator[str]:
    """Yield a command and its subcommands, each with its options, but without help texts."""
    options = []
    for action in found._actions:
        if isinstance(action, argparse._SubParsersAction):
            for verb, below in sorted(action.choices.items()):
                yield from _verbs(below, f"{name} {verb}", but)
        elif not set(action.option_strings) & {"-h", *(but or ())}:
            text = "|".join(action.option_strings) or f"<{action.dest}>"
            choices = f"={','.join(map(str, action.choices))}" if action.choices else ""
            options.append(f"{text}{choices}")
    yield " ".join(["command", name, *options])
