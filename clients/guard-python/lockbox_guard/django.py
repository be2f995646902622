"""The guard in a Django project: a middleware, and one line in wsgi.py or asgi.py.

In the settings, LOCKBOX_GUARD is the `Guard`, and LOCKBOX_RULES the dotted name of `rules(request)`, which returns a
`Rule` or None. A view with `@guarded(rules)` has its own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin
from django.utils.module_loading import import_string

from lockbox_guard.lockbox import Refused
from lockbox_guard.middleware import ASGIGuard, WSGIGuard
from lockbox_guard.visit import KEY, Rule


def wsgi(application: Any) -> WSGIGuard:
    """Wrap the application of wsgi.py: the outside of the guard cuts responses."""
    return WSGIGuard(getattr(settings, "LOCKBOX_GUARD"), application)  # noqa: B009 (django-stubs know only Django's settings)


def asgi(application: Any) -> ASGIGuard:
    """Wrap the application of asgi.py."""
    return ASGIGuard(application, getattr(settings, "LOCKBOX_GUARD"))  # noqa: B009 (django-stubs know only Django's)


def guarded(rules: Callable[[HttpRequest], Rule | None]) -> Callable[[Any], Any]:
    """Guard one view. Use it as the outermost decorator."""

    def mark(view: Any) -> Any:
        view.lockbox_rules = rules
        return view

    return mark


class LockboxMiddleware(MiddlewareMixin):
    """Decides before each view, when the route is known. Its place is after the authentication."""

    def process_view(self, request: Any, view: Any, *arguments: Any) -> HttpResponse | None:
        name = getattr(settings, "LOCKBOX_RULES", None)
        rules = getattr(view, "lockbox_rules", None) or (import_string(name) if name else lambda request: None)
        rule = rules(request)
        if rule is None:
            return None
        # Without the outside of the guard, nothing could cut the response: a KeyError then ends the request.
        visit = getattr(request, "scope", request.META)[KEY]
        try:
            request.lockbox = visit.admit(rule, f"/{request.resolver_match.route}")
        except Refused as refused:
            request.lockbox_refused = refused.code
            status, headers, body = visit.refusal(refused)
            return HttpResponse(body, status=status, headers=dict(headers))
        return None

    def process_response(self, request: Any, response: HttpResponse) -> HttpResponse:
        """Keep what was read in a window out of Django's own caches, which do not see the outside of the guard."""
        if hasattr(request, "lockbox"):
            response["Cache-Control"] = "private, no-store"
        return response
