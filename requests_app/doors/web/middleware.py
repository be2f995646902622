"""Builds the actor of a request, sets the person's time zone, and renders the domain's refusals."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import datetime
from functools import partial
from typing import Any, cast
from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed
from django.shortcuts import render
from django.utils import timezone
from django.utils.functional import SimpleLazyObject

from requests_app.domain.actors import Actor
from requests_app.domain.errors import DomainError
from requests_app.doors.web.errors import refusal
from requests_app.models import Person
from requests_app.models.row_security import only_tenants
from requests_app.queries import actor_of

#: The session's key for the last proof: when it was given, how, and by whom.
STEPPED_UP = "stepped_up"
#: The kinds of proof, as the session stores them: on a page that asks for the proof, and at the sign-in.
PASSWORD, PASSWORD_AND_CODE, PASSKEY = "password", "password+code", "passkey"
SIGN_IN, PASSWORD_SIGN_IN, SINGLE_SIGN_ON = "sign-in+factor", "sign-in", "single sign-on"
#: A new sign-in at the identity provider, for a person whose tenant lets it count as a proof.
SINGLE_SIGN_ON_AGAIN = "single sign-on again"
#: A link that has just made the account, with a new password or through single sign-on; and the first second factor
#: that was then added.
LINK, LINK_TO_SINGLE_SIGN_ON, NEW_SECOND_FACTOR = "link", "link+single sign-on", "first factor"
#: These kinds of proof count for nothing but adding the first second factor.
ONLY_TO_ADD_SECOND_FACTOR = frozenset({PASSWORD_SIGN_IN, LINK})
#: These kinds of proof prove only one factor. They count only as long as the person has no second factor.
_ONE_FACTOR = ONLY_TO_ADD_SECOND_FACTOR | {PASSWORD, SINGLE_SIGN_ON, LINK_TO_SINGLE_SIGN_ON}


class ActorMiddleware:
    """Sets `request.actor`. The actor is read from the database at its first use, once per request."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request.actor = SimpleLazyObject(partial(_set_actor, request))  # type: ignore[attr-defined]  # read by actor_in()
        with as_in_request(request):
            response = self.get_response(request)
            if isinstance(response, HttpResponseNotAllowed) and request.user.is_authenticated:
                response = _not_allowed(request, response)
        if request.user.is_authenticated and not response.has_header("Cache-Control"):
            # After a person has signed out, the browser must not show their pages from its cache.
            response["Cache-Control"] = "private, no-store"
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        return refusal(request, exception) if isinstance(exception, DomainError) else None


def _not_allowed(request: HttpRequest, response: HttpResponseNotAllowed) -> HttpResponse:
    """Answer 405 with a page, because Django's answer would be empty.

    For example, a POST needs a sign-in, and the browser then requests its address with GET.
    """
    page = render(request, "405.html", status=response.status_code)
    page["Allow"] = response["Allow"]
    return page


def actor_in(request: HttpRequest) -> Actor:
    """Return the actor of a signed-in request. All views get the actor from here."""
    found: Any = request
    if isinstance(found.actor, SimpleLazyObject):
        # Its first use puts the actor in its place.
        bool(found.actor)
    return cast(Actor, found.actor)


def stranger(request: HttpRequest) -> Actor:
    """Return the actor for a person who is not signed in and uses a secret link or key."""
    request_id = getattr(request, "request_id", "")
    return Actor.stranger(door="pages", request_id=request_id, ip=request.META.get("REMOTE_ADDR", ""))


def _set_actor(request: HttpRequest) -> Actor:
    """Put the actor in the place of the lazy object, which makes each use of the actor slower."""
    request.actor = actor = _actor(request)  # type: ignore[attr-defined]  # read by actor_in()
    return actor


def _actor(request: HttpRequest) -> Actor:
    person = cast(Person, request.user)
    return actor_of(
        person,
        door="admin" if request.path_info.startswith("/admin/") else "pages",
        stepped_up_at=_stepped_up_at(request),
        request_id=getattr(request, "request_id", ""),
        ip=request.META.get("REMOTE_ADDR", ""),
        given_roles=_held_roles(request),
    )


def _held_roles(request: HttpRequest) -> list[tuple[UUID, str]] | None:
    """Return the roles that were read with the person of the session, or None if this request signs a person in."""
    read = getattr(request, "_cached_user", None)
    return read.held_roles if isinstance(read, Person) and read == request.user else None


def _stepped_up_at(request: HttpRequest) -> datetime | None:
    """Return when this person last gave a proof that counts. A sign-in with only a password does not count."""
    way, at = last_proof(request)
    return None if way in ONLY_TO_ADD_SECOND_FACTOR else at


def last_proof(request: HttpRequest) -> tuple[str, datetime | None]:
    """Return how and when this person last proved who they are, or "" and None.

    If the person has a second factor, a proof of only one factor does not count.
    """
    step_up = request.session.get(STEPPED_UP)
    if not step_up or step_up["person"] != str(request.user.pk):
        return "", None
    if step_up["way"] in _ONE_FACTOR and cast(Person, request.user).has_second_factor:
        return "", None
    return step_up["way"], datetime.fromisoformat(step_up["at"])


@contextmanager
def as_in_request(request: HttpRequest) -> Iterator[None]:
    """Inside the block, the time zone is that of the person, and the database hides rows of other tenants."""
    with timezone.override(_zone_of(request)), _own_rows(request):
        yield


def _own_rows(request: HttpRequest) -> AbstractContextManager[None]:
    """Return a context in which the database shows a customer only the rows of their own tenants.

    So the database returns no rows of other tenants, even if a query forgets `visible_to`.
    """
    if request.user.is_authenticated and request.user.side == Person.Side.CUSTOMER:
        return only_tenants(actor_in(request).tenant_ids)
    return nullcontext()


def _zone_of(request: HttpRequest) -> zoneinfo.ZoneInfo | None:
    if not request.user.is_authenticated:
        return None
    try:
        return zoneinfo.ZoneInfo(request.user.time_zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return None
