"""The guard in a Starlette or FastAPI application."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Match

from lockbox_guard.guard import Guard
from lockbox_guard.middleware import ASGIGuard
from lockbox_guard.visit import Rule


def install(app: Starlette, guard: Guard, rules: Callable[[HTTPConnection], Rule | None]) -> None:
    """Guard what `rules` gives a rule for. A middleware that `rules` needs, such as sessions, is added after this."""
    app.add_middleware(
        ASGIGuard,
        guard=guard,
        rules=lambda scope: rules(HTTPConnection(scope)),
        pattern=lambda scope: pattern_of(app.routes, scope),
    )


def pattern_of(routes: Iterable[Any], scope: Any) -> str | None:
    """Return the path of the route that will answer, with placeholders."""
    for route in routes:
        match, found = route.matches(scope)
        if match == Match.FULL:
            # FastAPI does not copy an included router's routes into the application.
            included: list[Any] = getattr(route, "effective_candidates", list)()
            inner = pattern_of(included or getattr(route, "routes", None) or [], {**scope, **found})
            return (getattr(route, "path", None) or "") + (inner or "")
    return None
