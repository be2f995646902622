"""The page that an invitation's link opens. Opening the page changes nothing; accepting makes the account.

Accepting also signs in. What the person's role needs first, such as a second factor, is asked for on the next page.
"""

from __future__ import annotations

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from requests_app import operations
from requests_app.domain.actors import Role
from requests_app.domain.acts.invitations import ACCEPT_INVITATION, NOTE_LINK_COPY
from requests_app.domain.errors import NotAllowed, NotFound, Unacceptable
from requests_app.doors.web import single_sign_on
from requests_app.doors.web._step_up import remember_sign_in
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.strict import require_nothing
from requests_app.doors.web.forms.tenant import AcceptForm, AcceptWithSignOnForm
from requests_app.doors.web.gate import second_factor_page
from requests_app.doors.web.middleware import actor_in, stranger
from requests_app.identity import sessions
from requests_app.models import Invitation
from requests_app.queries import invitations as queries
from requests_app.queries.installation import is_trial
from requests_app.queries.single_sign_on import name_for_invited
from requests_app.words import invitations as words


@sensitive_post_parameters("password")
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, secret: str) -> HttpResponse:
    """Show an invitation. When the form is sent, make the account and sign in. All invalid links get the same page.

    If every form would be refused, the page says why, and has no form.

    A person who is signed in already has an account, so they get a page that says so. But if they have just accepted
    this invitation, for example with a double click, they continue.
    """
    if request.user.is_authenticated:
        if queries.has_accepted(secret, actor=actor_in(request)):
            return redirect(settings.LOGIN_REDIRECT_URL)
        return render(request, "invitations/signed_in.html")
    try:
        if request.method == "POST":
            row = queries.invitation_behind(secret, at=instant(request))
        else:
            row = operations.invitation_to_accept(secret, actor=stranger(request), at=instant(request))
        place = name_for_invited(row)
        form_class = AcceptWithSignOnForm if place else AcceptForm
        form = form_class(request.POST if request.method == "POST" else None, initial={"name": _proposed_name(row)})
        if request.method != "POST":
            return _page(request, row, form, place)
        form.require_known()
        if not form.is_valid():
            return _page(request, row, form, place)
        if place:
            accepts = {"secret": secret, "name": form.cleaned_data["name"]}
            return single_sign_on.begin(request, place, email=row.email, accepts=accepts, target=_next_page(row))
        return _accepted(request, row, secret, form)
    except NotFound:
        return render(request, "invitations/no_good.html", status=NotFound.status)
    except (NotAllowed, Unacceptable) as refusal:
        return render(request, "invitations/no_good.html", {"refusal": refusal}, status=refusal.status)


def _proposed_name(row: Invitation) -> str:
    """Return the name with which the form begins. In a trial, somebody plays all people, so the address gives one."""
    return row.name or (words.name_from(row.email) if is_trial() else "")


def _accepted(request: HttpRequest, row: Invitation, secret: str, form: AcceptWithSignOnForm) -> HttpResponse:
    onward = _next_page(row)
    try:
        person = operations.accept_invitation(secret, **form.cleaned_data, actor=stranger(request))
    except Unacceptable as refusal:
        form.refuse(refusal)
        return _page(request, row, form, "")
    except NotAllowed as refusal:
        form.add_error(None, str(refusal.message))
        return _page(request, row, form, "", status=refusal.status)
    if person.has_second_factor:
        # An account from before: the link and a new password alone must not pass its second factor.
        messages.success(request, _("Your account is ready. Sign in with your new password and your second factor."))
        return redirect("account_login")
    # This begins a session with a new key. It is no proof for an act, only for the first second factor.
    get_adapter(request).login(request, person)
    remember_sign_in(request, by_link=True)
    sessions.note(request)
    messages.success(request, str(ACCEPT_INVITATION.done))
    return redirect(onward)


def _next_page(row: Invitation) -> str:
    """Return the page that follows the acceptance. Call this before the invitation is accepted.

    If a role waits, the person can add the second factor now, so that nothing is missing when the role arrives. If they
    have a role at once, `gate` leads them to the second factor.
    """
    page = _first_page(row)
    if any(map(words.is_proposed, queries.invited_to(row))):
        return redirect_to_login(page, second_factor_page()).url
    return page


def _first_page(row: Invitation) -> str:
    """Return the page that a new person sees first: the set-up, if they can do its steps, or else the home page.

    If somebody copied the link, the new person reads that first, on the home page.
    """
    if row.link_copied_at is None and row.proposal is None:
        if row.tenant is not None and row.role == Role.ADMINISTRATOR:
            return reverse("web:guide", args=[row.tenant.pk])
        if row.role == Role.STAFF:
            return reverse("admin:set_up")
    return settings.LOGIN_REDIRECT_URL


def _page(
    request: HttpRequest, row: Invitation, form: AcceptWithSignOnForm, place: str, *, status: int = 0
) -> HttpResponse:
    offers = queries.invited_to(row)
    context = {
        "now": instant(request),
        "invitation": row,
        "sender": words.sender(row),
        "offers": [(each, words.ROLE_HELP[str(each.role)], queries.queues(each)) for each in offers],
        "is_proposed": any(map(words.is_proposed, offers)),
        "place": place,
        "form": form,
    }
    answer = status or (Unacceptable.status if form.errors else 200)
    return render(request, "invitations/accept.html", context, status=answer)


@login_required
@require_POST
def note_copy(request: HttpRequest, pk: str) -> HttpResponse:
    """Record that this person has read who copied the link of their invitation."""
    row = queries.invitation(pk, actor=actor_in(request))
    require_nothing(request.POST)
    operations.note_link_copy(row.pk, actor=actor_in(request))
    messages.success(request, str(NOTE_LINK_COPY.done))
    return redirect(settings.LOGIN_REDIRECT_URL)


urlpatterns = [
    path("invitation/<str:secret>/", invitation, name="invitation"),
    path("invitations/<uuid:pk>/copied/", note_copy, name="note_link_copy"),
]
