"""Personal tokens: one's own, and those of a tenant's people for its administrator."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.utils.cache import patch_cache_control
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods

from requests_app import operations
from requests_app.domain.actors import Role
from requests_app.domain.errors import TooMany, Unacceptable
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.callers import TokenForm
from requests_app.doors.web.forms.strict import require_nothing
from requests_app.doors.web.middleware import actor_in
from requests_app.doors.web.tenant import about
from requests_app.models import Token
from requests_app.operations import Made
from requests_app.platform.addresses import absolute
from requests_app.queries import callers
from requests_app.queries import tenant as tenants
from requests_app.words.scopes import labels
from requests_app.words.text import visible_single

_PAGE_METHODS = ["GET", "HEAD", "POST"]


@login_required
@require_http_methods(_PAGE_METHODS)
def tokens(request: HttpRequest) -> HttpResponse:
    """One's own, and the form for another one; whoever makes one is shown it, once."""
    actor = actor_in(request)
    offered = actor.usable_scopes
    form, status = TokenForm(offered=offered), 200
    if request.method == "POST":
        form, status = TokenForm(request.POST, offered=offered), Unacceptable.status
        form.require_known()
        if form.is_valid():
            try:
                return _secret_page(request, operations.create_token(actor=actor, **form.cleaned_data))
            except (Unacceptable, TooMany) as refusal:
                form.refuse(refusal)
                status = refusal.status
    at = instant(request)
    found = callers.own_tokens(actor, at=at)
    context = {
        "now": at,
        "form": form,
        "live": [_line(token) for token in found.live],
        "ended": [_line(token) for token in found.ended],
    }
    return render(request, "tokens/tokens.html", context, status=status)


@login_required
@require_http_methods(_PAGE_METHODS)
def token_revoke(request: HttpRequest, token: UUID) -> HttpResponse:
    """GET says what it means; POST revokes. For its owner, the owner's administrator, and staff."""
    actor = actor_in(request)
    found = callers.token(token, actor=actor)
    back = _back(request, found)
    if request.method == "POST":
        require_nothing(request.POST)
        operations.revoke_token(found.pk, actor=actor)
        messages.success(request, format_html(_("The token “{name}” is revoked."), name=visible_single(found.name)))
        return redirect(back)
    context = {
        "now": instant(request),
        "line": _line(found),
        "is_own": found.account_id == actor.person_id,
        "is_live": found.is_live(instant(request)),
        "back_url": back,
    }
    return render(request, "tokens/revoke.html", context)


@login_required
@require_http_methods(["GET", "HEAD"])
def tenant_tokens(request: HttpRequest, tenant: UUID) -> HttpResponse:
    """The live tokens of the tenant's people, for its administrator to revoke."""
    actor = actor_in(request)
    row = tenants.administered(tenant, actor=actor)
    at = instant(request)
    found = callers.tokens_in(row, at=at)
    context = {
        **about(actor, row),
        "now": at,
        "lines": [_line(token) for token in found.rows],
        "has_more": found.has_more,
        "most": callers.SHOWN,
    }
    return render(request, "tokens/tenant.html", context)


def _line(token: Token) -> dict[str, Any]:
    return {"token": token, "labels": labels(token.scopes)}


def _back(request: HttpRequest, token: Token) -> str:
    """Where this person sees the token in a list."""
    actor = actor_in(request)
    if token.account_id == actor.person_id:
        return reverse("web:tokens")
    if token.kind == Token.Kind.LASTING and token.account.client.tenant_id in actor.tenant_roles:
        return reverse("web:client", args=[token.account.client.tenant_id, token.account.client.pk])
    theirs = token.account.memberships.values_list("tenant_id", flat=True)
    administered = [pk for pk in theirs if Role.ADMINISTRATOR in actor.tenant_roles.get(pk, frozenset())]
    if administered:
        return reverse("web:tenant_tokens", args=[administered[0]])
    return reverse("admin:requests_app_token_changelist") if actor.is_staff else reverse("web:tokens")


def _secret_page(request: HttpRequest, made: Made) -> HttpResponse:
    """The answer to the act itself: it is kept as its hash alone, and can't be shown again."""
    address = absolute(reverse("api:me"))
    command = f'curl -H "Authorization: Bearer $LOCKBOX_TOKEN" {address}'
    context = {"now": instant(request), "line": _line(made.row), "secret": made.secret, "command": command}
    response = render(request, "tokens/secret.html", context)
    patch_cache_control(response, no_store=True, private=True)
    return response


urlpatterns = [
    path("tokens/", tokens, name="tokens"),
    path("tokens/<uuid:token>/revoke/", token_revoke, name="token_revoke"),
    path("tenant/<uuid:tenant>/tokens/", tenant_tokens, name="tenant_tokens"),
]
