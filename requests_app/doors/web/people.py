"""A tenant's people: who has which role since when. The administrator adds people, and gives and takes roles."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from requests_app import operations
from requests_app.domain.actors import Actor
from requests_app.domain.acts.invitations import INVITE_PERSON, RESEND_INVITATION, WITHDRAW_INVITATION
from requests_app.domain.errors import DomainError, TooMany, Unacceptable, WrongState
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.tenant import InvitationActForm, InvitationForm, PeopleFilter, RoleForm
from requests_app.doors.web.middleware import actor_in
from requests_app.doors.web.tenant import about
from requests_app.identity import factors
from requests_app.models import Membership, Person, Tenant
from requests_app.models.row_security import own_account
from requests_app.queries import readers
from requests_app.queries import tenant as queries
from requests_app.queries.single_sign_on import identities, identity_of
from requests_app.words.invitations import ROLE_HELP
from requests_app.words.text import visible_single


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def people(request: HttpRequest, tenant: UUID) -> HttpResponse:
    """Show the list to everybody in the tenant. The administrator can invite people below the list."""
    actor = actor_in(request)
    row = queries.tenant(tenant, actor=actor)
    if request.method != "POST":
        return _people_page(request, row, InvitationForm())
    if "invitation" in request.POST:
        return _on_invitation(request, row)
    form = InvitationForm(request.POST)
    form.require_known()
    if form.is_valid():
        try:
            sent = operations.invite_person(row.pk, actor=actor, **form.cleaned_data)
        except (Unacceptable, WrongState, TooMany) as refusal:
            form.refuse(refusal)
            return _people_page(request, row, form, status=refusal.status)
        messages.success(request, format_html(str(INVITE_PERSON.done), email=visible_single(sent.email)))
        return redirect("web:people", row.pk)
    readers.require_administrator(row.pk, actor=actor)
    return _people_page(request, row, form, status=Unacceptable.status)


def _on_invitation(request: HttpRequest, row: Tenant) -> HttpResponse:
    form = InvitationActForm(request.POST)
    form.require_known()
    form.require_valid()
    actor, pk = actor_in(request), queries.invitation(row, form.cleaned_data["invitation"]).pk
    if form.cleaned_data["act"] == "withdraw":
        done = operations.withdraw_invitation(pk, actor=actor)
        words = str(WITHDRAW_INVITATION.done)
    else:
        done = operations.resend_invitation(pk, actor=actor)
        words = str(RESEND_INVITATION.done)
    messages.success(request, format_html(words, email=visible_single(done.email)))
    return redirect("web:people", row.pk)


def _people_page(request: HttpRequest, row: Tenant, form: InvitationForm, *, status: int = 200) -> HttpResponse:
    search = PeopleFilter(request.GET)
    search.require_known()
    search.require_valid()
    words = search.cleaned_data["q"]
    found = queries.people(row, words=words)
    context = {
        **about(actor_in(request), row),
        "now": instant(request),
        "form": form,
        "search": search,
        "words": words,
        "people": found.rows,
        "has_more": found.has_more,
        "has_search": bool(words) or found.has_more,
        "most": queries.SHOWN,
        "roles": [(role.label, ROLE_HELP[str(role)]) for role in Membership.Role],
        "has_recovery_key": queries.recovery_key(row) is not None,
        "invitations": list(queries.invitations(row, actor=actor_in(request))),
    }
    return render(request, "tenant/people.html", context, status=status)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def person(request: HttpRequest, tenant: UUID, person: UUID) -> HttpResponse:
    """Show one person, and do the acts on this person. A refusal is shown beside the text that explains the act."""
    actor = actor_in(request)
    row = queries.tenant(tenant, actor=actor)
    someone = queries.person(row, person)
    if request.method != "POST":
        readers.require_administrator(row.pk, actor=actor)
        return _person_page(request, row, someone)
    form = RoleForm(request.POST)
    form.require_known()
    form.require_valid()
    act, role = form.cleaned_data["act"], form.cleaned_data["role"]
    try:
        if act == "unlink":
            operations.unlink_identity(identity_of(someone, row, form.cleaned_data["identity"]).pk, actor=actor)
        else:
            _done(row, someone, act, role, actor=actor)
    except (Unacceptable, WrongState) as refusal:
        return _person_page(request, row, someone, refused=(act, role), refusal=refusal)
    messages.success(request, _done_message(someone, act, role))
    return redirect(*_next(actor, row, someone, then=form.cleaned_data["then"]))


def _done(row: Tenant, someone: Person, act: str, role: str, *, actor: Actor) -> None:
    if act == "give":
        operations.give_role(row.pk, someone.pk, role=role, actor=actor)
    elif act == "take":
        operations.take_role(row.pk, someone.pk, role=role, actor=actor)
    elif act == "reset":
        # If a key was added before the person's first role, its entry is in the provider's log, which needs
        # `own_account`.
        with own_account():
            operations.reset_second_factors(someone.pk, actor=actor, keep=factors.drops_all)
    elif act == "switch_off":
        operations.switch_off_person(someone.pk, actor=actor)
    else:
        operations.switch_on_person(someone.pk, actor=actor)


def _done_message(someone: Person, act: str, role: str) -> str:
    words = {
        "give": _("{name} has the role “{role}” now."),
        "take": _("{name} no longer has the role “{role}”."),
        "switch_off": _("The account of {name} is switched off."),
        "switch_on": _("The account of {name} is switched on."),
        "unlink": _("{name} is signed out. The next single sign-on links the account again."),
        "reset": _("The second factors of {name} are removed. At the next sign-in, {name} sets up new second factors."),
    }
    label = Membership.Role(role).label if role else ""
    return format_html(words[act], name=visible_single(someone.name), role=label)


def _next(actor: Actor, row: Tenant, someone: Person, *, then: str) -> tuple[Any, ...]:
    """Return the page to show next: the person's page or the set-up, unless the actor can't see it any more."""
    if not row.memberships.filter(person=actor.person).exists():
        return ("web:home",)
    still_administers = row.memberships.filter(person=actor.person, role=Membership.Role.ADMINISTRATOR).exists()
    if still_administers and then:
        return ("web:guide", row.pk)
    if still_administers and row.memberships.filter(person=someone).exists():
        return ("web:person", row.pk, someone.pk)
    return ("web:people", row.pk)


def _person_page(
    request: HttpRequest,
    row: Tenant,
    someone: Person,
    *,
    refused: tuple[str, str] = ("", ""),
    refusal: DomainError | None = None,
) -> HttpResponse:
    # Read the person again, because somebody else may have changed them meanwhile.
    someone = queries.person(row, someone.pk)
    held = {membership.role: membership for membership in someone.shown_memberships}  # type: ignore[attr-defined]  # prefetched by the query
    last = queries.last_in(row)
    context = {
        **about(actor_in(request), row),
        "now": instant(request),
        "someone": someone,
        "is_self": someone.pk == actor_in(request).person_id,
        "roles": [
            {
                "name": role.value,
                "label": role.label,
                "help": ROLE_HELP[str(role)],
                "held": held.get(role.value),
                "is_last": last.get(role.value) == someone.pk,
                "is_refused": refused[1] == role.value,
            }
            for role in Membership.Role
        ],
        "is_only_role": len(held) == 1,
        "identities": identities(row, someone),
        "guarded": [Membership.Role(role).label for role, holder in last.items() if holder == someone.pk],
        "has_second_factor": someone.has_second_factor,
        "refusal": refusal,
        "refused_act": refused[0],
    }
    return render(request, "tenant/person.html", context, status=refusal.status if refusal else 200)


urlpatterns = [
    path("tenant/<uuid:tenant>/people/", people, name="people"),
    path("tenant/<uuid:tenant>/people/<uuid:person>/", person, name="person"),
]
