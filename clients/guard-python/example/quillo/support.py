"""Support impersonation behind the customer's approval."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, login
from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from hijack import signals
from hijack.views import keep_session_age

from lockbox_guard import Access, Refused, Rule
from lockbox_guard.visit import KEY
from quillo.models import Member, Workspace

#: With these refusals the window is still open, or Lockbox is not heard. An impersonation waits. Nothing is shown.
PASSING = {"level_too_low", "method_override", "feed_silent", "keys_unavailable", "queue_unavailable", "queue_full"}


def impersonated(request: HttpRequest) -> tuple[Workspace | None, User | None]:
    """Return the workspace that an engineer begins to see or sees as one of its users, and this engineer."""
    name, history = request.resolver_match.view_name, request.session.get("hijack_history")
    if name == "hijack:acquire" and request.user.is_staff:
        wanted = request.POST.get("user_pk", "")
        member = Member.objects.filter(user=wanted).first() if wanted.isdecimal() else None
        return (member.workspace, request.user) if member else (None, None)
    if not history or name in ("hijack:release", "logout"):
        return None, None
    return request.user.member.workspace, User.objects.get(pk=history[0])


def action_of(request: HttpRequest) -> str | None:
    """Return what a view does, or None where its method says it: GET looks, and all other methods change."""
    return {"hijack:acquire": "view", "export": "download"}.get(request.resolver_match.view_name)


# --- The guard: three of its ten lines ---
def rules(request: HttpRequest) -> Rule | None:
    workspace, engineer = impersonated(request)
    return workspace and Rule(str(workspace.tenant), workspace.key, engineer.email, action_of(request))


# --- to here ---


def may_impersonate(*, hijacker: User, hijacked: User) -> bool:
    """Engineers see Quillo as a customer's user, and never as a colleague."""
    return (
        hijacker.is_staff
        and hijacked.is_active
        and not hijacked.is_staff
        and Member.objects.filter(user=hijacked).exists()
    )


def window(request: HttpRequest, workspace: Workspace) -> Access | None:
    """Return the engineer's open window on the workspace, if this browser came in with it. Nothing is opened."""
    guard, visit = settings.LOCKBOX_GUARD, request.META[KEY]
    guard.wait_for_feed()
    try:
        return guard.decide(
            visit.token(), action="view", item="GET /support", tenant=str(workspace.tenant), identifier=workspace.key,
            engineer=request.user.email,
        )  # fmt: skip
    except Refused:
        return None


def banner(request: HttpRequest) -> dict[str, Any]:
    """Return what the banner shows: only inside an impersonation."""
    access = getattr(request, "lockbox", None)
    if access is None:
        return {}
    try:
        left = access.window_end - settings.LOCKBOX_GUARD.feed.now()
    except Refused:  # Lockbox has been silent since this request was allowed
        left = 0
    return {"lockbox": access, "minutes_left": max(0, round(left / 60))}


class EndOfAccess:
    """Ends an impersonation whose window has ended, together with the session of the customer's user."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        code = getattr(request, "lockbox_refused", "")
        if not code:
            return response
        if code in PASSING:
            return render(request, "quillo/refused.html", {"code": code}, status=response.status_code)
        workspace, _ = impersonated(request)
        if request.session.get("hijack_history"):
            release(request)
        return redirect("support", workspace.key)


def release(request: HttpRequest) -> None:
    """Make the session the engineer's own again. `login` deletes the session of the customer's user."""
    hijacked, engineer = request.user, User.objects.get(pk=request.session["hijack_history"][0])
    with signals.no_update_last_login(), keep_session_age(request.session):
        login(request, engineer, backend=request.session[BACKEND_SESSION_KEY])
    request.session.pop("hijack_history", None)
    signals.hijack_ended.send(sender=None, request=request, hijacker=engineer, hijacked=hijacked)


class ContentPolicy:
    """A strict policy. “I am done” sends the browser on to Lockbox, so forms may lead there."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response
        self._policy = (
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
            f"base-uri 'none'; frame-ancestors 'none'; form-action 'self' {settings.LOCKBOX_URL}"
        )

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self._get_response(request)
        response.headers.setdefault("Content-Security-Policy", self._policy)
        return response
