"""Single sign-on: from an email address to its identity provider, and back.

A separate cookie contains the encrypted state of this round trip, for ten minutes. The browser sends it
even if a person comes here from another site, as from the identity provider. So the session's cookie can
stay `SameSite=Strict`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any, cast
from uuid import uuid4

import structlog
from django.conf import settings
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.errors import NotAllowed, NotFound, Unacceptable
from requests_app.doors.web import _oidc, _saml
from requests_app.doors.web._sign_on_failures import back, failed
from requests_app.doors.web._step_up import local, note_failure, remember, remember_single_sign_on
from requests_app.doors.web._trips import FLOW_SECONDS, cookie, stored_trip, without_cookie
from requests_app.doors.web.context import instant
from requests_app.doors.web.forms.sign_on import AddressForm, NextForm
from requests_app.doors.web.forms.strict import require_nothing
from requests_app.doors.web.middleware import SINGLE_SIGN_ON_AGAIN, actor_in, stranger
from requests_app.identity import sessions
from requests_app.identity.sso import oidc, sealing
from requests_app.identity.sso.failures import SignOnFailed
from requests_app.identity.sso.oidc import Flow, Party
from requests_app.identity.sso.saml.service import Service
from requests_app.models import Person
from requests_app.operations import AssertedIdentity
from requests_app.queries import actor_of, readers
from requests_app.queries import single_sign_on as queries

security_log = structlog.get_logger("security")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sso(request: HttpRequest) -> HttpResponse:
    """Ask for the email address. The address's domain leads to the identity provider.

    The answer does not show whether there is an account with this address.
    """
    if request.method != "POST":
        return _address_page(request, AddressForm(initial={"next": request.GET.get("next", "")[:500]}))
    form = AddressForm(request.POST)
    form.require_known()
    if not form.is_valid():
        return _address_page(request, form, status=422)
    email = form.cleaned_data["email"]
    name = queries.name_for(email)
    if not name:
        form.add_error("email", _("Nobody has set up single sign-on for this domain. Sign in with a password."))
        return _address_page(request, form, status=422)
    return begin(request, name, email=email, target=form.cleaned_data["next"])


def begin(
    request: HttpRequest,
    name: str,
    *,
    email: str = "",
    target: str = "",
    is_test: bool = False,
    is_proof: bool = False,
    accepts: dict[str, str] | None = None,
) -> HttpResponse:
    """Show a page that leads to the identity provider. `accepts` is the invitation that the sign-in will accept.

    With `is_proof`, the person is signed in already, and proves that they are still there. A redirect is not possible:
    a form can redirect only to this site.
    """
    trip: dict[str, Any] = {"name": name, "next": target, "is_test": is_test, "is_proof": is_proof, "id": uuid4().hex}
    try:
        place = _saml.connection(name)
        if not (place.is_on or is_test):
            raise NotFound
        if isinstance(place.party, Service):
            again = is_proof or (is_test and place.party.is_proof)
            trip["question"], where = _saml.ask(name, place.party, again=again, is_test=is_test)
        else:
            flow = Flow.new()
            metadata = oidc.discover(place.party) if is_test else _oidc.discovered(place.party)
            where = oidc.address(place.party, metadata, flow, login_hint=email, again=is_test)
            trip |= asdict(flow)
    except sealing.Unreadable:
        return failed(request, SignOnFailed("unreadable"), is_test=is_test, name=name)
    except SignOnFailed as failure:
        return failed(request, failure, is_test=is_test, name=name)
    response = render(
        request, "sign_on/going.html", {"now": instant(request), "url": where, "organisation": place.organisation}
    )
    trip["until"] = clock.now().timestamp() + FLOW_SECONDS
    trip["accepts"] = accepts
    trip["by"] = str(request.user.pk) if is_test or is_proof else ""
    cookie_name, cookie_path = cookie()
    response.set_cookie(
        cookie_name,
        sealing.seal_flow(json.dumps(trip)),
        max_age=FLOW_SECONDS,
        path=cookie_path,
        secure=settings.SESSION_COOKIE_SECURE,
        httponly=True,
        samesite="Lax",
    )
    return response


@login_required
@require_POST
def test(request: HttpRequest) -> HttpResponse:
    """Begin a test of the provider's own connection, which signs nobody in. Only staff can do this."""
    readers.require_staff(actor_in(request))
    require_nothing(request.POST)
    return begin(request, queries.PROVIDER, is_test=True)


@never_cache
@require_safe
def callback(request: HttpRequest, place: str) -> HttpResponse:
    """Accept the answer of an OpenID provider."""

    def came(trip: dict[str, Any], found: queries.SignOnConnection) -> AssertedIdentity:
        if not isinstance(found.party, Party) or "state" not in trip:
            raise SignOnFailed("state")
        flow = Flow(state=trip["state"], nonce=trip["nonce"], verifier=trip["verifier"])
        return _oidc.came(found, found.party, oidc.complete(found.party, flow, request.GET.dict(), at=clock.now()))

    return finished(request, place, came)


@never_cache
@require_safe
def arrived(request: HttpRequest, place: str, handle: str) -> HttpResponse:
    """Accept the answer of a SAML identity provider, in the browser that asked for it."""

    def came(trip: dict[str, Any], found: queries.SignOnConnection) -> AssertedIdentity:
        if not isinstance(found.party, Service) or not trip.get("question"):
            raise SignOnFailed("state")
        answered = _saml.answer_under(place, handle, question=trip["question"])
        return _saml.came(found, found.party, answered)

    return finished(request, place, came)


@csrf_exempt
@never_cache
@require_POST
def answer(request: HttpRequest, place: str) -> HttpResponse:
    """Check the answer that a SAML identity provider's page makes the browser send.

    The browser sends no strict cookie with it. So no session is read or made here. If the answer is good, the page that
    is shown leads to `arrived`, which checks that this browser has asked.
    """
    is_test = _saml.is_test(place, request.POST.get("SAMLResponse", ""))
    try:
        found = queries.find_connection(place)
        if not isinstance(found.party, Service) or not (found.is_on or is_test):
            raise SignOnFailed("unasked")
        handle = _saml.judged(place, found.party, request.POST)
    except NotFound:
        return failed(request, SignOnFailed("unasked"), is_test=False, is_saml=True)
    except sealing.Unreadable:
        return failed(request, SignOnFailed("unreadable"), is_test=is_test, name=place)
    except SignOnFailed as failure:
        return failed(request, failure, is_test=is_test, name=place, is_saml=True)
    context = {"now": instant(request), "url": reverse("web:saml_arrived", args=[place, handle])}
    return render(request, "sign_on/answered.html", context)


#: The browser may send a form from another site to this address.
answer.takes_forms_from_elsewhere = True  # type: ignore[attr-defined]  # read by CrossingMiddleware


@require_safe
def metadata(request: HttpRequest, place: str) -> HttpResponse:
    """Show this service provider's metadata for one connection. It is public, as the keys in it are."""
    try:
        found = queries.own_metadata(place)
    except (sealing.Unreadable, SignOnFailed):
        raise NotFound from None
    return HttpResponse(found, content_type="application/samlmetadata+xml")


def finished(
    request: HttpRequest,
    place: str,
    read: Callable[[dict[str, Any], queries.SignOnConnection], AssertedIdentity],
) -> HttpResponse:
    """Accept an identity provider's answer, once for each round trip. After an error, nobody is signed in.

    `read` checks the answer, and returns who came.
    """
    trip = stored_trip(request)
    is_test = trip.get("is_test") is True and trip.get("name") == place
    try:
        if trip.get("name") != place or not cache.add(f"sso:{trip['id']}", 1, timeout=FLOW_SECONDS):
            raise SignOnFailed("state")
        found = queries.find_connection(place)
        came = read(trip, found)
        if is_test:
            return _tested(request, found, came, trip)
        if trip.get("is_proof"):
            return without_cookie(_proved(request, found, came, trip))
        if trip.get("accepts"):
            operations.accept_invitation(**trip["accepts"], came=came, via=found.name, actor=stranger(request))
        response = _signed_in(request, found, came, trip["next"], by_link=bool(trip.get("accepts")))
    except SignOnFailed as failure:
        response = failed(request, failure, is_test=is_test, name=place)
    except sealing.Unreadable:
        response = failed(request, SignOnFailed("unreadable"), is_test=is_test, name=place)
    except NotFound:
        # The invitation has ended on the way.
        response = render(request, "invitations/no_good.html", status=NotFound.status)
    except (NotAllowed, Unacceptable) as refusal:
        response = failed(request, SignOnFailed("nobody", str(refusal)), is_test=is_test, name=place)
    return without_cookie(response)


def _signed_in(
    request: HttpRequest, found: queries.SignOnConnection, came: AssertedIdentity, target: str, *, by_link: bool
) -> HttpResponse:
    actor = replace(
        Actor.system("single sign-on"),
        door="pages",
        request_id=getattr(request, "request_id", ""),
        ip=request.META.get("REMOTE_ADDR", ""),
    )
    person = operations.sign_in(found.tenant_id, came=came, actor=actor)
    login(request, person, backend=settings.AUTHENTICATION_BACKENDS[0])
    sessions.note(request)
    remember_single_sign_on(request, by_link=by_link)
    security_log.info("sign_in.single_sign_on", user_id=str(person.pk), place=found.name)
    # This is a page, not a redirect. The browser comes from another site, so it would not send a strict cookie with a
    # redirect.
    context = {"now": instant(request), "url": local(target) or settings.LOGIN_REDIRECT_URL}
    return render(request, "sign_on/arrived.html", context)


def _proved(
    request: HttpRequest, found: queries.SignOnConnection, came: AssertedIdentity, trip: dict[str, Any]
) -> HttpResponse:
    """Remember that the person who is signed in has just proved at their identity provider who they are."""
    person = request.user
    if not isinstance(person, Person) or str(person.pk) != trip["by"]:
        raise SignOnFailed("state")
    if not queries.is_proof_of(person, found.tenant_id, issuer=came.issuer, subject=came.subject):
        note_failure(request)
        raise SignOnFailed("nobody", _("You signed in with another account, or this proof does not count any more."))
    remember(request, at=clock.now(), way=SINGLE_SIGN_ON_AGAIN)
    security_log.info("step_up.single_sign_on", user_id=str(person.pk), place=found.name)
    context = {"now": instant(request), "url": local(trip["next"]) or settings.LOGIN_REDIRECT_URL, "is_proof": True}
    return render(request, "sign_on/arrived.html", context)


@login_required
@require_POST
def prove(request: HttpRequest) -> HttpResponse:
    """Let a person prove at their identity provider that they are still there, if their tenant allows this."""
    row = queries.proof_connection(cast(Person, request.user))
    if row is None:
        raise NotFound
    form = NextForm(request.POST)
    form.require_known()
    form.require_valid()
    return begin(request, str(row.tenant_id), target=local(form.cleaned_data["next"]), is_proof=True)


def _tested(
    request: HttpRequest, found: queries.SignOnConnection, came: AssertedIdentity, trip: dict[str, Any]
) -> HttpResponse:
    """Show what a sign-in would have done. Only the administrator or the staff who began the test can see this."""
    # Only the encrypted cookie says who began the test. The browser may not send the session's cookie from another
    # site.
    tester = Person.objects.active().filter(pk=trip["by"]).first()
    if tester is None:
        raise NotAllowed
    if found.tenant_id is None:
        readers.require_staff(actor_of(tester, door="pages"))
    else:
        readers.require_administrator(found.tenant_id, actor=actor_of(tester, door="pages"))
    seen = operations.preview(found.tenant_id, came=came)
    context = {"now": instant(request), "came": came, "seen": seen, "back_url": back(found.name)}
    return without_cookie(render(request, "sign_on/tested.html", context))


def _address_page(request: HttpRequest, form: AddressForm, *, status: int = 200) -> HttpResponse:
    if request.user.is_authenticated:
        return redirect(settings.LOGIN_REDIRECT_URL)
    return render(request, "sign_on/address.html", {"now": instant(request), "form": form}, status=status)


urlpatterns = [
    path("sign-in/", sso, name="sso"),
    path("sign-in/test/", test, name="sso_test"),
    path("sign-in/callback/<str:place>/", callback, name="sso_callback"),
    path("sign-in/prove/", prove, name="sso_prove"),
    path("sign-in/saml/<str:place>/metadata/", metadata, name="saml_metadata"),
    path("sign-in/saml/<str:place>/answer/", answer, name="saml_answer"),
    path("sign-in/saml/<str:place>/answer/<str:handle>/", arrived, name="saml_arrived"),
]
