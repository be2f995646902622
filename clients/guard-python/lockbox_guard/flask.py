"""The guard in a Flask application."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, Request, Response, g, request

from lockbox_guard.guard import Guard
from lockbox_guard.lockbox import Refused
from lockbox_guard.middleware import WSGIGuard
from lockbox_guard.visit import KEY, Rule


def install(app: Flask, guard: Guard, rules: Callable[[Request], Rule | None]) -> None:
    """Guard the requests that `rules` gives a rule for. `g.lockbox` is the access."""
    app.wsgi_app = WSGIGuard(guard, app.wsgi_app)  # type: ignore[method-assign] # Flask's documented way

    @app.before_request
    def decide() -> Response | None:
        rule, visit = rules(request), request.environ[KEY]
        try:
            g.lockbox = visit.admit(rule, request.url_rule and request.url_rule.rule) if rule else None
        except Refused as refused:
            status, headers, body = visit.refusal(refused)
            return Response(body, status, headers)
        return None
