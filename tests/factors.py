"""How people sign in in the tests, and the authenticator app of all of them: its one secret, and its codes."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from functools import cache
from typing import Any

from allauth.mfa.models import Authenticator
from django.conf import settings
from django.contrib.auth import login
from django.http import HttpRequest
from django.test import Client
from django.urls import reverse

from lockbox_site.middleware import SEEN_AT, STARTED_AT
from lockbox_site.sessions import SessionStore
from requests_app.domain import clock
from requests_app.doors.web.middleware import STEPPED_UP
from requests_app.identity import factors
from requests_app.models import Person
from requests_app.platform import totp

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


@cache
def _sealed() -> str:
    """Return the encrypted secret that everybody's app has."""
    return factors.seal(SECRET)


def rows_for(people: Iterable[Person]) -> list[Authenticator]:
    return [Authenticator(user=person, type="totp", data={"secret": _sealed()}) for person in people]


def give_app(*people: Person) -> None:
    """Give these people an app, as if they had set it up some time ago."""
    Authenticator.objects.bulk_create(rows_for(people))
    for person in people:
        person.totp_set_up_at = clock.now()
        person.save(update_fields=["totp_set_up_at"])


def a_code(person: Person | None = None, *, secret: str = SECRET) -> str:
    """Return the present code of the app. With a person, the code is accepted even if they have just used it."""
    if person is not None:
        Authenticator.objects.filter(user=person, type="totp").update(data={"secret": factors.seal(secret)})
    return totp.code(secret, totp.step_at(clock.now()))


def anybodys_code() -> str:
    """Return the present code of the app, and make it acceptable for everybody, even if they have just used it."""
    Authenticator.objects.filter(type="totp").update(data={"secret": _sealed()})
    return a_code()


def proof_of(person: Person) -> dict[str, str]:
    """Return what a session contains after the person has just confirmed who they are."""
    return {"at": clock.now().isoformat(), "way": "password+code", "person": str(person.pk)}


def stepped_up(client: Client, person: Person) -> None:
    """Store in the browser's session that the person has just confirmed who they are."""
    session = client.session
    session[STEPPED_UP] = proof_of(person)
    session.save()


def _new_session() -> Any:
    """Return a session that is stored when it is complete. Django would store it as soon as it has a key."""
    session: Any = SessionStore()
    session.cycle_key = lambda: setattr(session, "_session_key", uuid.uuid4().hex)
    return session


def force_login(client: Any, user: Any, backend: str | None = None, *, is_fresh: bool = False) -> None:
    """Sign in as Django's test client does, but with one statement for the whole session.

    A new session also contains what the first page would store. With `is_fresh`, the person has just confirmed who they
    are.
    """
    request = HttpRequest()
    is_new = settings.SESSION_COOKIE_NAME not in client.cookies
    request.session = _new_session() if is_new else client.session
    login(request, user, backend)
    if is_new:
        request.session[STARTED_AT] = request.session[SEEN_AT] = clock.now().isoformat()
    if is_fresh:
        request.session[STEPPED_UP] = proof_of(user)
    request.session.save(must_create=is_new)
    client._set_login_cookies(request)


def set_up_app(client: Client, *, page: str = "/security/set-up/") -> Any:
    """Read the secret on the set-up page, and submit a code for it."""
    html = client.get(page).content.decode()
    secret = re.search(r'data-copy="([A-Z2-7]{32})"', html)
    assert secret is not None, html[-2000:]
    onward = re.search(r'name="next" value="([^"]*)"[^>]*id="id_next"', html)
    form = {"code": a_code(secret=secret[1]), "next": onward[1] if onward else ""}
    return client.post("/security/set-up/", form)


def sign_in(person: Person, password: str, *, client: Client | None = None, to: str = "") -> Any:
    """Sign in on the pages. If a page asks for a code, enter it. Return the last response."""
    client = client or Client()
    answer = client.post(
        reverse("account_login") + (f"?next={to}" if to else ""), {"login": person.email, "password": password}
    )
    if answer.status_code == 302 and answer["Location"] == reverse("mfa_authenticate"):
        answer = client.post(answer["Location"], {"code": a_code(person)})
    return answer
