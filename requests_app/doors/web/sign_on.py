"""The page where a tenant's administrator sets up single sign-on: the connection, its test, and the domains."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from requests_app import operations
from requests_app.domain.acts.single_sign_on import (
    CLAIM_DOMAIN,
    REMOVE_DOMAIN,
    RENEW_SIGN_ON_KEY,
    SET_SIGN_ON,
    VERIFY_DOMAIN,
)
from requests_app.domain.errors import DomainError, Malformed, Taken, TooMany, Unacceptable, WrongState
from requests_app.doors.web import single_sign_on
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms import PageForm
from requests_app.doors.web.forms.sign_on import DomainActForm, DomainForm, KeyForm, SamlForm, SignOnForm
from requests_app.doors.web.forms.strict import require_nothing
from requests_app.doors.web.middleware import actor_in
from requests_app.doors.web.tenant import about
from requests_app.identity.sso import domains
from requests_app.models import SignOn, Tenant
from requests_app.queries import single_sign_on as queries
from requests_app.queries import tenant as tenants


@sensitive_post_parameters("client_secret")
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def sign_on(request: HttpRequest, tenant: UUID) -> HttpResponse:
    row = tenants.administered(tenant, actor=actor_in(request))
    found = queries.of_tenant(row)
    if request.method != "POST" and found is not None and found.is_saml and "other" not in request.GET:
        return redirect("web:sign_on_saml", row.pk)
    return _set(request, row, SignOnForm)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def saml(request: HttpRequest, tenant: UUID) -> HttpResponse:
    row = tenants.administered(tenant, actor=actor_in(request))
    return _set(request, row, SamlForm)


@login_required
@require_POST
def renew_key(request: HttpRequest, tenant: UUID) -> HttpResponse:
    row = tenants.administered(tenant, actor=actor_in(request))
    form = KeyForm(request.POST)
    form.require_known()
    form.require_valid()
    operations.renew_sign_on_key(row.pk, had=form.cleaned_data["had"], actor=actor_in(request))
    messages.success(request, str(RENEW_SIGN_ON_KEY.done))
    return redirect("web:sign_on_saml", row.pk)


def _set(request: HttpRequest, row: Tenant, kind: type[SignOnForm]) -> HttpResponse:
    found, people = queries.of_tenant(row), queries.administrators(row)
    if request.method != "POST":
        return _page(request, row, kind(row=found, people=people))
    form = kind(request.POST, request.FILES, row=found, people=people)
    form.require_known()
    if "shown" in form.errors:
        raise Malformed
    status = Unacceptable.status
    if form.is_valid():
        values = dict(form.cleaned_data)
        was = values.pop("shown")
        _hold_file(request, values)
        try:
            connection = operations.Connection(protocol=kind.protocol, **values)
            operations.set_sign_on(row.pk, connection=connection, was=was, actor=actor_in(request))
        except (Unacceptable, TooMany, WrongState) as refusal:
            status = _put_on(form, refusal)
        else:
            messages.success(request, str(SET_SIGN_ON.done))
            return redirect("web:sign_on", row.pk)
    return _page(request, row, form, status=status)


def _hold_file(request: HttpRequest, values: dict[str, Any]) -> None:
    """Put the text of an uploaded file among the sent fields.

    If the person has to prove who they are first, that page sends these fields again. It can't send a file again.
    """
    if request.FILES:
        sent = request.POST.copy()
        sent["metadata"] = values["metadata"]
        request.POST = sent  # type: ignore[assignment]  # a copy that nobody changes


@login_required
@require_POST
def test(request: HttpRequest, tenant: UUID) -> HttpResponse:
    """Begin a test that signs nobody in. The test ends on a page that shows the result."""
    row = tenants.administered(tenant, actor=actor_in(request))
    require_nothing(request.POST)
    return single_sign_on.begin(request, str(row.pk), is_test=True)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def domains_page(request: HttpRequest, tenant: UUID) -> HttpResponse:
    row = tenants.administered(tenant, actor=actor_in(request))
    if request.method != "POST":
        return _domains_page(request, row, DomainForm())
    if "check_domain" in request.POST or "remove_domain" in request.POST:
        return _domain_act(request, row)
    form, status = DomainForm(request.POST), Unacceptable.status
    form.require_known()
    if form.is_valid():
        try:
            operations.claim_domain(row.pk, name=form.cleaned_data["name"], actor=actor_in(request))
        except (Unacceptable, TooMany) as refusal:
            status = _put_on(form, refusal)
        else:
            messages.success(request, str(CLAIM_DOMAIN.done))
            return redirect("web:sign_on_domains", row.pk)
    return _domains_page(request, row, form, status=status)


def _domain_act(request: HttpRequest, row: Tenant) -> HttpResponse:
    form = DomainActForm(request.POST)
    form.require_known()
    form.require_valid()
    actor = actor_in(request)
    if (pk := form.cleaned_data["check_domain"]) is None:
        operations.remove_domain(form.cleaned_data["remove_domain"], actor=actor)
        messages.success(request, str(REMOVE_DOMAIN.done))
        return redirect("web:sign_on_domains", row.pk)
    try:
        operations.verify_domain(pk, actor=actor)
    except (WrongState, Taken) as refusal:
        return _domains_page(request, row, DomainForm(), problem=str(refusal), status=refusal.status)
    messages.success(request, str(VERIFY_DOMAIN.done))
    return redirect("web:sign_on_domains", row.pk)


def _put_on(form: PageForm, refusal: DomainError) -> int:
    form.refuse(refusal)
    return refusal.status


def _page(request: HttpRequest, row: Tenant, form: SignOnForm, *, status: int = 200) -> HttpResponse:
    found = queries.of_tenant(row)
    context = {**about(actor_in(request), row), "now": instant(request), "form": form, "sign_on": found}
    if form.protocol == SignOn.Protocol.SAML:
        name = str(row.pk)
        context |= {"entity_id": queries.entity_id(name), "acs": queries.acs(name), **queries.saml_facts(found)}
        return render(request, "sign_on/saml.html", context, status=status)
    context["redirect_uri"] = queries.redirect_uri(str(row.pk))
    return render(request, "sign_on/sign_on.html", context, status=status)


def _domains_page(
    request: HttpRequest, row: Tenant, form: DomainForm, *, problem: str = "", status: int = 200
) -> HttpResponse:
    lines = [{"domain": each, "url": domains.url(each.name)} for each in queries.domains_of(row)]
    context: dict[str, Any] = {
        **about(actor_in(request), row),
        "now": instant(request),
        "form": form,
        "lines": lines,
        "problem": problem,
    }
    return render(request, "sign_on/domains.html", context, status=status)


_AREA = "tenant/<uuid:tenant>/sign-on/"
urlpatterns = [
    path(_AREA, sign_on, name="sign_on"),
    path(f"{_AREA}saml/", saml, name="sign_on_saml"),
    path(f"{_AREA}saml/key/", renew_key, name="sign_on_key"),
    path(f"{_AREA}test/", test, name="sign_on_test"),
    path(f"{_AREA}domains/", domains_page, name="sign_on_domains"),
]
