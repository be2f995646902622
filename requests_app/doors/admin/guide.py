"""The provider's set-up: the list of steps for staff, the test mail, and the page that confirms the copy of the key."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.acts.guide import CONFIRM_KEY_COPY
from requests_app.domain.acts.invitations import SEND_INVITATIONS
from requests_app.domain.errors import TooMany
from requests_app.doors.admin import test_mail_words
from requests_app.doors.admin.acts import ActForm, AdminAction, actor_in, perform
from requests_app.queries.guide import ONWARDS
from requests_app.queries.guide_of_provider import provider_guide
from requests_app.queries.invitations import prepared
from requests_app.templatetags.lockbox import step_url

_TITLE = gettext_lazy("Set-up")


def steps(site: Any, request: HttpRequest) -> HttpResponse:
    """Show each step of the set-up with what the facts say about it."""
    guide = provider_guide(actor=actor_in(request), at=clock.now())
    context = {**site.each_context(request), "title": _TITLE, "guide": guide}
    return TemplateResponse(request, "admin/set_up.html", context)


def onwards(request: HttpRequest) -> HttpResponse | None:
    """Lead staff who came from the list to the form of the next step, or back to the list. None if nobody is led.

    The address has only a mark, and the facts say what comes next. So no link can lead anywhere else.
    """
    if ONWARDS not in request.GET:
        return None
    guide = provider_guide(actor=actor_in(request), at=clock.now())
    if guide.is_complete or guide.facts.is_in_use:
        return None
    form = guide.next.form if guide.next else None
    return HttpResponseRedirect(step_url(form) if form else reverse("admin:set_up"))


def test_mail(site: Any, request: HttpRequest) -> HttpResponse:
    """Send a test mail to the person who presses the button, and show the server's answer above the steps."""
    if request.method != "POST":
        return HttpResponseNotAllowed(["POST"])
    try:
        answer = operations.send_test_mail(actor=actor_in(request))
    except TooMany as refusal:
        messages.error(request, str(refusal.message))
    else:
        (messages.error if answer.problem else messages.success)(request, test_mail_words.outcome(answer))
    return HttpResponseRedirect(reverse("admin:set_up"))


class EndingForm(ActForm):
    characters = forms.CharField(
        label=gettext_lazy("Last four characters"),
        max_length=200,
        widget=forms.TextInput(attrs={"autocomplete": "off", "spellcheck": "false", "class": "mono"}),
    )


KEY_COPY = AdminAction(
    name="key-copy",
    label=CONFIRM_KEY_COPY.title or "",
    form=EndingForm,
    run=lambda row, actor, data: operations.confirm_key_copy(actor=actor, **data),
    done=CONFIRM_KEY_COPY.done,
    explains=CONFIRM_KEY_COPY.explains,
)


def key_copy(site: Any, request: HttpRequest) -> HttpResponse:
    """Ask for the end of the copy's fingerprint. Show a refusal in the form."""
    return _asked(site, request, KEY_COPY)


def _asked(site: Any, request: HttpRequest, act: AdminAction, hidden: dict[str, str] | None = None) -> HttpResponse:
    """Show the form of an act, and do the act. `hidden` has the values of the hidden fields for what is shown now."""
    status, form, back = 200, act.form(initial=hidden), reverse("admin:set_up")
    if request.method == "POST":
        form = act.form(request.POST)
        _result, status = perform(act, form, request)
        if not status:
            messages.success(request, str(act.done))
            return HttpResponseRedirect(back)
        form.data = {**request.POST.dict(), **(hidden or {})}
    shown = {"act": act, "form": form, "list_url": back, "list_title": _TITLE, "back_url": back}
    context = {**site.each_context(request), "title": act.label, **shown}
    return TemplateResponse(request, "admin/act.html", context, status=status)


class SendingForm(ActForm):
    # The hash of the list that the page shows. Without it, the operation refuses.
    shown = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)


SENDING = AdminAction(
    name="send-invitations",
    label=SEND_INVITATIONS.title or "",
    form=SendingForm,
    run=lambda row, actor, data: operations.send_invitations(actor=actor, **data),
    done=SEND_INVITATIONS.done,
    explains=SEND_INVITATIONS.explains,
)


def send_invitations(site: Any, request: HttpRequest) -> HttpResponse:
    """Show for whom invitations are prepared, and send them. Show a refusal on the same page."""
    waiting = prepared()
    shown = ", ".join(waiting.addresses)
    names = gettext("They are for: %(names)s.") % {"names": shown} if shown else ""
    act = replace(SENDING, explains=f"{SEND_INVITATIONS.explains} {names}")
    return _asked(site, request, act, {"shown": waiting.digest})


#: The addresses in the administration: path, page and name.
PAGES = (
    ("set-up/", steps, "set_up"),
    ("set-up/test-mail/", test_mail, "set_up_test_mail"),
    ("set-up/key-copy/", key_copy, "set_up_key_copy"),
    ("set-up/send-invitations/", send_invitations, "set_up_send_invitations"),
)
