"""The commands that are made from the API's document: acts on one row, with a comment and simple inputs."""

from __future__ import annotations

import argparse
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from typing import Any, get_type_hints
from uuid import UUID

from lockbox_client import api

#: An act without a comment needs a form with texts of its own. An act that names a version of the row is a decision.
#: Both are written by hand.
_COMMENT, _VERSION = "comment", "if_match"


@dataclass(frozen=True)
class Verb:
    """One act as a command: its word and help text, the function that calls the API, and the class of the body."""

    word: str
    help: str
    call: Callable[..., Any]
    body: type[Any]

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add to the parser an option for each member of the body."""
        for name, kind in _members(self.body).items():
            if name == _COMMENT:
                parser.add_argument("--comment", default="", metavar="TEXT")
            else:
                is_id = kind is UUID
                parser.add_argument(
                    f"--{name.replace('_', '-')}", type=kind, required=True, metavar="ID" if is_id else "VALUE"
                )

    def body_of(self, args: argparse.Namespace) -> Any:
        return self.body(**{name: getattr(args, name) for name in _members(self.body)})


def verbs(things: str) -> Iterator[Verb]:
    """Yield the commands for acts on this kind of row, such as "tickets", in alphabetical order."""
    package = import_module(f"{api.__name__}.{things}")
    for found in sorted(iter_modules(package.__path__), key=lambda each: each.name):
        if not found.name.startswith(f"{things}_"):
            continue
        module = import_module(f"{package.__name__}.{found.name}")
        takes = inspect.signature(module.sync_detailed).parameters
        if "id" not in takes or "body" not in takes or _VERSION in takes:
            continue
        body = get_type_hints(module.sync_detailed)["body"]
        body = next((part for part in getattr(body, "__args__", (body,)) if hasattr(part, "__attrs_attrs__")), None)
        if body is not None and _COMMENT in _members(body):
            summary = inspect.getdoc(module.sync_detailed) or ""
            word = found.name.removeprefix(f"{things}_").replace("_", "-")
            yield Verb(word, f"{summary[:1].lower()}{summary[1:].splitlines()[0]}", module.sync_detailed, body)


def _members(body: type[Any]) -> dict[str, type[Any]]:
    """Return the names and types of a body's members, without those that a caller can't set."""
    hints = get_type_hints(body, vars(import_module(body.__module__)))
    return {each.name: hints[each.name] for each in body.__attrs_attrs__ if each.init}
