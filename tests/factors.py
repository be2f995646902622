"""The authenticator app of all people in the tests: its one secret, and its codes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Any

from allauth.mfa.models import Authenticator
from django.test import Client
from django.urls import reverse

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


def stepped_up(client: Client, person: Person) -> None:
    """Store in the browser's session that the person has just confirmed who they are."""
    session = client.session
    session[STEPPED_UP] = {"at": clock.now().isoformat(), "way": "password+code", "person": str(person.pk)}
    session.save()


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
