"""A tenant's clients: which machines call the API for it, and what they may do there."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.utils.cache import patch_cache_control
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from requests_app import operations
from requests_app.domain import policy
from requests_app.domain.errors import DomainError, TooMany, Unacceptable
from requests_app.domain.scopes import Scope
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms import PageForm
from requests_app.doors.web.forms.callers import ClientChangeForm, ClientForm, LastingTokenForm
from requests_app.doors.web.forms.strict import require_nothing
from requests_app.doors.web.middleware import actor_in
from requests_app.doors.web.tenant import ADMINISTRATOR, about
from requests_app.models import Client, Tenant
from requests_app.operations import Made
from requests_app.platform.addresses import absolute
from requests_app.queries import callers
from requests_app.queries import tenant as tenants
from requests_app.words.scopes import labels

_PAGE_METHODS = ["GET", "HEAD", "POST"]


def _tenant(request: HttpRequest, tenant_id: UUID) -> Tenant:
    """The tenant, for its people; what an act needs is said by the operations, which note who is refused."""
    return tenants.tenant(tenant_id, actor=actor_in(request))


def _client(request: HttpRequest, row: Tenant, client_id: UUID) -> Client:
    """One of this tenant's; one of another tenant, or of the provider, is absent."""
    return callers.client_of(row, client_id, actor=actor_in(request))


def _require_administrator(request: HttpRequest, row: Tenant) -> None:
    policy.require_role(actor_in(request), ADMINISTRATOR, tenant_id=row.pk)


@login_required
@require_http_methods(_PAGE_METHODS)
def clients(request: HttpRequest, tenant: UUID) -> HttpResponse:
    """The list, for everybody of the tenant: a machine may decide for it. Its administrator adds another one."""
    row, actor = _tenant(request, tenant), actor_in(request)
    approvers = list(tenants.approvers(row))
    form, status = ClientForm(approvers=approvers), 200
    if request.method == "POST":
        form, status = ClientForm(request.POST, approvers=approvers), Unacceptable.status
        form.require_known()
        if form.is_valid():
            values = form.cleaned_data
            try:
                made = operations.create_client(
                    tenant_id=row.pk,
                    name=values["name"],
                    scopes=values["scopes"],
                    decides_for_id=values["decides_for"],
                    actor=actor,
                )
                return _secret_page(request, row, made)
            except (Unacceptable, TooMany) as refusal:
                status = _put_on(form, refusal)
        _require_administrator(request, row)
    context = {
        **about(actor, row),
        "now": instant(request),
        "form": form,
        "lines": [_line(client) for client in callers.clients(actor, tenant_id=row.pk)],
    }
    return render(request, "clients/clients.html", context, status=status)


@login_required
@require_http_methods(["GET", "HEAD"])
def client(request: HttpRequest, tenant: UUID, client: UUID) -> HttpResponse:
    row = _tenant(request, tenant)
    found = _client(request, row, client)
    _require_administrator(request, row)
    return render(request, "clients/client.html", _one(request, row, found))


@login_required
@require_http_methods(_PAGE_METHODS)
def client_change(request: HttpRequest, tenant: UUID, client: UUID) -> HttpResponse:
    row = _tenant(request, tenant)
    found, status = _client(request, row, client), 200
    approvers = list(tenants.approvers(row))
    form = ClientChangeForm(client=found, approvers=approvers)
    if request.method == "POST":
        form, status = ClientChangeForm(request.POST, client=found, approvers=approvers), Unacceptable.status
        form.require_known()
        if form.is_valid():
            values = form.cleaned_data
            try:
                operations.change_client(
                    found.pk, scopes=values["scopes"], decides_for_id=values["decides_for"], actor=actor_in(request)
                )
            except (Unacceptable, TooMany) as refusal:
                status = _put_on(form, refusal)
            else:
                messages.success(request, _("The client was changed. It counts from its next call on."))
                return redirect("web:client", row.pk, found.pk)
    _require_administrator(request, row)
    return render(request, "clients/change.html", {**_one(request, row, found), "form": form}, status=status)


@login_required
@require_http_methods(_PAGE_METHODS)
def client_rotate(request: HttpRequest, tenant: UUID, client: UUID) -> HttpResponse:
    """GET says what it means; POST makes a new secret and shows it, once."""
    row = _tenant(request, tenant)
    found = _client(request, row, client)
    if request.method == "POST":
        require_nothing(request.POST)
        return _secret_page(request, row, operations.rotate_client_secret(found.pk, actor=actor_in(request)))
    _require_administrator(request, row)
    return render(request, "clients/rotate.html", _one(request, row, found))


@login_required
@require_http_methods(_PAGE_METHODS)
def client_remove(request: HttpRequest, tenant: UUID, client: UUID) -> HttpResponse:
    """GET says what it means; POST removes."""
    row = _tenant(request, tenant)
    found = _client(request, row, client)
    if request.method == "POST":
        require_nothing(request.POST)
        operations.remove_client(found.pk, actor=actor_in(request))
        messages.success(request, _("The client was removed. What it had is dead."))
        return redirect("web:clients", row.pk)
    _require_administrator(request, row)
    return render(request, "clients/remove.html", _one(request, row, found))


@login_required
@require_http_methods(_PAGE_METHODS)
def client_token(request: HttpRequest, tenant: UUID, client: UUID) -> HttpResponse:
    """GET says what it means; POST makes a lasting token for a directory and shows it, once."""
    row = _tenant(request, tenant)
    found, status = _client(request, row, client), 200
    form = LastingTokenForm()
    if request.method == "POST":
        form, status = LastingTokenForm(request.POST), Unacceptable.status
        form.require_known()
        if form.is_valid():
            try:
                made = operations.make_lasting_token(found.pk, days=form.cleaned_data["days"], actor=actor_in(request))
            except Unacceptable as refusal:
                status = _put_on(form, refusal)
            else:
                return _token_page(request, row, found, made)
    _require_administrator(request, row)
    return render(request, "clients/token.html", {**_one(request, row, found), "form": form}, status=status)


def _put_on(form: PageForm, refusal: DomainError) -> int:
    """Show a refusal on the form, and answer with its status."""
    form.refuse(refusal)
    return refusal.status


# --- What the pages show -----------------------------------------------------------------------------------


def _secret_page(request: HttpRequest, row: Tenant, made: Made) -> HttpResponse:
    """The answer to the act itself: the secret is kept as its hash alone, and can't be shown again."""
    found = callers.client_of(row, made.row.pk, actor=actor_in(request))
    token_url = absolute(reverse("api:token"))
    context = {**_one(request, row, found), "secret": made.secret, "token_url": token_url}
    response = render(request, "clients/secret.html", context)
    patch_cache_control(response, no_store=True, private=True)
    return response


def _token_page(request: HttpRequest, row: Tenant, found: Client, made: Made) -> HttpResponse:
    address = absolute(reverse("api:scim_users")).removesuffix("/Users")
    context = {**_one(request, row, found), "secret": made.secret, "scim_url": address, "token": made.row}
    response = render(request, "clients/token_made.html", context)
    patch_cache_control(response, no_store=True, private=True)
    return response


def _one(request: HttpRequest, row: Tenant, found: Client) -> dict[str, Any]:
    at = instant(request)
    return {
        **about(actor_in(request), row),
        "now": at,
        "client": found,
        "line": _line(found),
        "keeps_people": found.scopes == [Scope.MEMBERS_PROVISION],
        "lasting": callers.lasting_tokens(found, at=at),
    }


def _line(client: Client) -> dict[str, Any]:
    return {"client": client, "labels": labels(client.scopes)}


_ONE = "tenant/<uuid:tenant>/clients/<uuid:client>/"

urlpatterns = [
    path("tenant/<uuid:tenant>/clients/", clients, name="clients"),
    path(_ONE, client, name="client"),
    path(f"{_ONE}change/", client_change, name="client_change"),
    path(f"{_ONE}token/", client_token, name="client_token"),
    path(f"{_ONE}secret/", client_rotate, name="client_rotate"),
    path(f"{_ONE}remove/", client_remove, name="client_remove"),
]
