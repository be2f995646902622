"""The page that an invitation's link opens. Opening the page changes nothing; accepting creates the account."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from requests_app import operations
from requests_app.domain.actors import Actor
from requests_app.domain.acts.invitations import ACCEPT_INVITATION
from requests_app.domain.errors import NotFound, Unacceptable
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.tenant import ROLE_HELP, AcceptForm
from requests_app.models import Membership
from requests_app.queries import tenant as queries


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, secret: str) -> HttpResponse:
    """Show an invitation. When the form is sent, create the account. All invalid links get the same page.

    A person who is signed in already has an account, so they get a page that says so.
    """
    if request.user.is_authenticated:
        return render(request, "invitations/signed_in.html")
    form = AcceptForm(request.POST if request.method == "POST" else None)
    if request.method == "POST":
        form.require_known()
    try:
        if request.method == "POST" and form.is_valid():
            return _accepted(request, secret, form)
        return _page(request, secret, form)
    except NotFound:
        return render(request, "invitations/no_good.html", status=NotFound.status)


def _accepted(request: HttpRequest, secret: str, form: AcceptForm) -> HttpResponse:
    try:
        operations.accept_invitation(secret, **form.cleaned_data, actor=stranger(request))
    except Unacceptable as refusal:
        form.refuse(refusal)
        return _page(request, secret, form)
    messages.success(request, str(ACCEPT_INVITATION.done))
    return redirect("account_login")


def _page(request: HttpRequest, secret: str, form: AcceptForm) -> HttpResponse:
    at = instant(request)
    row = queries.invitation_behind(secret, at=at)
    help_text = ROLE_HELP[Membership.Role(row.role)]
    context = {"now": at, "invitation": row, "form": form, "role_help": help_text, "tenant": row.tenant}
    return render(request, "invitations/accept.html", context, status=Unacceptable.status if form.errors else 200)


def stranger(request: HttpRequest) -> Actor:
    """Return the actor for a person who is not signed in and uses a secret link or key."""
    request_id = getattr(request, "request_id", "")
    return Actor.stranger(door="pages", request_id=request_id, ip=request.META.get("REMOTE_ADDR", ""))


urlpatterns = [path("invitation/<str:secret>/", invitation, name="invitation")]
