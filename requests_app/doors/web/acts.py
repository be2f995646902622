"""The pages of the acts on an access request that are not decisions: to withdraw it, or to close its window.

The pages are made from the declarations of the acts.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, register_converter, reverse
from django.urls.converters import StringConverter
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_http_methods

from requests_app import operations
from requests_app.domain import limits
from requests_app.domain.actors import Actor
from requests_app.domain.acts.access_requests import REVOKE
from requests_app.domain.acts.declaration import Act, Comment, Door, Noun
from requests_app.domain.errors import Malformed, NotAllowed, Unacceptable, WrongState
from requests_app.domain.lifecycle import STAYING, TRANSITIONS, Transition, plain_acts
from requests_app.doors.web._refusals import noted
from requests_app.doors.web._step_up import local
from requests_app.doors.web.access_requests import changed, facts
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.declared import fields_of
from requests_app.doors.web.middleware import actor_in
from requests_app.models import AccessRequest
from requests_app.queries import access, standing
from requests_app.words import sentences
from requests_app.words.text import visible_single

_ACTS: dict[str, Act] = {act.name: act for act in plain_acts(Noun.ACCESS_REQUEST, Door.PAGES)}


class ActForm(forms.Form):
    comment = forms.CharField(
        label=_("Your comment"),
        max_length=limits.COMMENT_MAX,
        required=False,
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def refuse_unknown(self) -> None:
        """Raise Malformed for a field that this form does not have."""
        if not set(self.data) <= {*self.fields, "csrfmiddlewaretoken"}:
            raise Malformed


class EndForm(ActForm):
    """The form of an act that ends something. `next` is the page with the button, to which the person returns."""

    next = forms.CharField(max_length=200, required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, act: Act, row: AccessRequest) -> None:
        super().__init__(*args)
        self.fields = {**fields_of(act, row.tenant_id), **self.fields}
        self.fields["comment"].required = act.comment is Comment.NEEDED
        if act.comment is Comment.NONE:
            del self.fields["comment"]

    @property
    def values(self) -> dict[str, Any]:
        """The arguments for the operation."""
        given = {name: value for name, value in self.cleaned_data.items() if name != "next"}
        return {"note" if name == "comment" else name: value for name, value in given.items()}


def is_offered(row: AccessRequest, edge: Transition, actor: Actor, *, at: datetime) -> bool:
    return edge in access.allowed_actions(row, actor=actor, at=at)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def act(request: HttpRequest, pk: UUID, action: str) -> HttpResponse:
    """On GET, ask for confirmation. On POST, do the act.

    To close a window, one button is enough, without a reason.
    """
    actor = actor_in(request)
    row = access.access_request(pk, actor=actor)
    edge = TRANSITIONS.get(action) or STAYING[action]
    if request.method == "POST":
        return _acted(request, row, edge)
    if not is_offered(row, edge, actor, at=instant(request)):
        return _not_offered(request, row, edge)
    return _ask(request, row, EndForm(act=_ACTS[action], row=row), edge)


def _not_offered(request: HttpRequest, row: AccessRequest, edge: Transition) -> HttpResponse:
    """Answer a person who can't do this act, or can't do it now.

    The form is not shown, because it can contain names of people.
    """
    actor, at = actor_in(request), instant(request)
    with noted(row, edge.act.name, actor):
        if isinstance(refusal := access.refusal(row, edge.act.name, actor=actor, at=at), NotAllowed):
            raise refusal
    if standing.is_repeated(row, edge, actor):
        return redirect("web:access_request", pk=row.pk)
    return changed(request, row, edge)


def _acted(request: HttpRequest, row: AccessRequest, edge: Transition) -> HttpResponse:
    declared = _ACTS[edge.act.name]
    form = EndForm(request.POST, act=declared, row=row)
    form.refuse_unknown()
    if not form.is_valid():
        if not is_offered(row, edge, actor_in(request), at=instant(request)):
            return _not_offered(request, row, edge)
        return _ask(request, row, form, edge, status=Unacceptable.status)
    try:
        operations.of(declared)(row.pk, actor=actor_in(request), **form.values)
    except WrongState as error:
        return changed(request, row, edge, error)
    except Unacceptable as error:
        fields = [name for name in (error.field, "comment") if name in form.fields]
        form.add_error(fields[0] if fields else None, str(error))
        return _ask(request, row, form, edge, status=error.status)
    messages.success(request, _done(row, declared))
    return redirect(local(form.cleaned_data["next"]) or reverse("web:access_request", args=[row.pk]))


def _done(row: AccessRequest, declared: Act) -> str:
    """Return the message after the act.

    For a closed window, name the window too, because a page can show several windows.
    """
    if declared is not REVOKE:
        return str(declared.done)
    act = sentences.reading(row.level, [line.resource for line in row.scope.all()])
    link = format_html('<a href="{}">{}</a>', reverse("web:access_request", args=[row.pk]), row.reference)
    who = visible_single(row.requested_by.name)
    if row.enforced_by:
        # Only the application knows whether it has ended what is open there.
        words = _("The window is closed. {application} gets no permission for {who} any more. {link}")
        return format_html(str(words), application=visible_single(row.enforced_by), who=who, link=link)
    return format_html(str(declared.done), who=who, act=visible_single(act), link=link)


def _ask(
    request: HttpRequest, row: AccessRequest, form: ActForm, edge: Transition, *, status: int = 200
) -> HttpResponse:
    context = facts(row, actor=actor_in(request), at=instant(request))
    return render(request, "access_requests/act.html", {**context, "form": form, "edge": edge}, status=status)


class _Act(StringConverter):
    regex = "|".join(_ACTS)


register_converter(_Act, "act")

urlpatterns = [path("access-requests/<uuid:pk>/<act:action>/", act, name="access_request_act")]
