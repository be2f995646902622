"""The authenticator app of everybody in the tests: one secret, and its codes."""

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
    """Return the secret, sealed once; everybody has the same secret."""
    return factors.seal(SECRET)


def rows_for(people: Iterable[Person]) -> list[Authenticator]:
    return [Authenticator(user=person, type="totp", data={"secret": _sealed()}) for person in people]


def give_app(*people: Person) -> None:
    """Give people an app, as if they had set it up some time ago."""
    Authenticator.objects.bulk_create(rows_for(people))
    for person in people:
        person.totp_set_up_at = clock.now()
        person.save(update_fields=["totp_set_up_at"])


def a_code(person: Person | None = None, *, secret: str = SECRET) -> str:
    """Return the app's code. With a person, it is valid even if a code of this half minute was used before."""
    if person is not None:
        Authenticator.objects.filter(user=person, type="totp").update(data={"secret": factors.seal(secret)})
    return totp.code(secret, totp.step_at(clock.now()))


def anybodys_code() -> str:
    """A code that is valid for the next sender, no matter which codes they used before."""
    Authenticator.objects.filter(type="totp").update(data={"secret": _sealed()})
    return a_code()


def stepped_up(client: Client, person: Person) -> None:
    """Make the browser's session as if the person had just confirmed who they are."""
    session = client.session
    session[STEPPED_UP] = {"at": clock.now().isoformat(), "way": "password+code", "person": str(person.pk)}
    session.save()


def set_up_app(client: Client, *, page: str = "/security/set-up/") -> Any:
    """Read the secret off the page, and enter the app's code for it."""
    html = client.get(page).content.decode()
    secret = re.search(r'data-copy="([A-Z2-7]{32})"', html)
    assert secret is not None, html[-2000:]
    onward = re.search(r'name="next" value="([^"]*)"[^>]*id="id_next"', html)
    form = {"code": a_code(secret=secret[1]), "next": onward[1] if onward else ""}
    return client.post("/security/set-up/", form)


def sign_in(person: Person, password: str, *, client: Client | None = None, to: str = "") -> Any:
    """Sign in through the pages, with the code where one is asked for. Returns the last answer."""
    client = client or Client()
    answer = client.post(
        reverse("account_login") + (f"?next={to}" if to else ""), {"login": person.email, "password": password}
    )
    if answer.status_code == 302 and answer["Location"] == reverse("mfa_authenticate"):
        answer = client.post(answer["Location"], {"code": a_code(person)})
    return answer
