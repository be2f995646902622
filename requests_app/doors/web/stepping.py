"""Asks for a step-up during an act.

The page that asks for the proof contains the sent form, and sends it again with the proof.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.utils.cache import patch_cache_control

from requests_app.domain import clock
from requests_app.domain.errors import StepUpRequired
from requests_app.doors.web._known_password import act_of
from requests_app.doors.web._secrets import are_left_out, may_wait
from requests_app.doors.web._step_up import is_fresh, proven, step_up_form, to_confirm, to_step_up
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.security import StepUpForm
from requests_app.doors.web.middleware import actor_in
from requests_app.doors.web.sent import PREFIX, sent_with

#: The prefix of the proof's fields. They are removed before the view gets the form.
#: Forms with a secret. They ask for the proof before they are shown, because a secret is not stored in another page.
FIRST = frozenset({"account_change_password", "web:sign_on", "web:sign_on_saml", "admin:requests_app_person_add"})


class StepUpMiddleware:
    """Answers an act that needs a step-up with a page that asks for the proof.

    That page contains the sent values, and sends them again with the proof to the same address. So no typed text is
    lost except secrets, and no script is needed. Without the proof, the act has done nothing: it refused first.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, view: Any, args: Any, kwargs: Any) -> HttpResponse | None:
        """Remove the proof from the form, and check the proof. The CSRF check comes before this."""
        match = request.resolver_match
        if match is None or "api" in match.app_names or not request.user.is_authenticated:
            return None
        if match.view_name in FIRST and request.method != "POST" and not is_fresh(request, at=instant(request)):
            return to_step_up(request)
        if request.method != "POST" or not any(name.startswith(f"{PREFIX}-") for name in request.POST):
            return None
        proof, rest = request.POST.copy(), request.POST.copy()
        for name in request.POST:
            del (rest if name.startswith(f"{PREFIX}-") else proof)[name]
        request.POST = rest  # type: ignore[assignment]  # a copy that nobody changes
        return self._judged(request, proof)

    def _judged(self, request: HttpRequest, proof: Any) -> HttpResponse | None:
        act = act_of(request, [(name, value) for name, value in sent_with(request) if may_wait(name, value)])
        form = step_up_form(request, proof, prefix=PREFIX, act=act)
        status = proven(request, form)
        if status:
            return ask(request, form, status=status)
        request.actor = actor_in(request).stepped_up(clock.now())  # type: ignore[attr-defined]  # read by actor_in()
        return None

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        if type(exception) is not StepUpRequired:
            return None
        if request.method != "POST":
            return to_step_up(request)
        return ask(request, step_up_form(request, prefix=PREFIX))


def ask(request: HttpRequest, form: StepUpForm, *, status: int = StepUpRequired.status) -> HttpResponse:
    """Show the page that asks for the proof. It contains all sent values except secrets, which must be typed again."""
    sent = sent_with(request)
    context = {
        "now": instant(request),
        "form": form,
        "held": [(name, value) for name, value in sent if may_wait(name, value)],
        "has_left_out": are_left_out(sent),
        "action": request.get_full_path(),
    }
    context |= to_confirm(request)
    response = render(request, "security/step_up.html", context, status=status)
    patch_cache_control(response, no_store=True, private=True)
    return response
