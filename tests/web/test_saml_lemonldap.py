"""Single sign-on over SAML with Debian's lemonldap-ng, which signs and encrypts with Lasso."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.test import Client
from django.urls import reverse

from requests_app.domain import clock
from requests_app.models import Domain, Identity, Person, SignOn
from requests_app.operations.sign_on_metadata import AT_NEED_EVERY
from tests import lemonldap
from tests.cast import Cast, events_in
from tests.ports import free_port
from tests.saml_idp import ENTITY_ID, metadata
from tests.web.saml_trips import connect, onward, send_form, who

pytestmark = [pytest.mark.django_db, pytest.mark.deep]


def _set_up(cast: Cast) -> bytes:
    """Let Contoso use SAML with the domain of the portal's person. Return our metadata."""
    Person.objects.filter(pk=cast.ada.pk).update(email=lemonldap.MAIL)
    domain: dict[str, Any] = {"name": "badwolf.org", "challenge": "x"}
    Domain.objects.create(tenant=cast.contoso, claimed_at=clock.now(), verified_at=clock.now(), **domain)
    # Each side needs the other's metadata first, so the connection begins with that of another identity provider.
    connect(cast, metadata=metadata().decode())
    assert SignOn.objects.get().issuer == ENTITY_ID
    return Client().get(reverse("web:saml_metadata", args=[cast.contoso.pk])).content


def _comes(cast: Cast, portal: lemonldap.Portal) -> tuple[dict[str, str], str]:
    """Sign in through the portal. Return the form that it sent, and who is signed in."""
    browser = Client()
    form = portal.answer_to(onward(browser.post(reverse("web:sso"), {"email": lemonldap.MAIL})))
    answered = send_form(urlsplit(reverse("web:saml_answer", args=[cast.contoso.pk])).path, form)
    if answered.status_code == 200:
        browser.get(onward(answered))
    return form, who(browser)


@pytest.mark.parametrize("encryption", ["none", "assertion"])
def test_a_person_signs_in_with_lemonldap(cast: Cast, tmp_path: Path, encryption: str) -> None:
    ours = _set_up(cast)
    with lemonldap.running(tmp_path / "llng", ours, encryption=encryption, port=free_port()) as portal:
        connect(cast, metadata_url=portal.metadata_url)
        for _time in range(2):
            form, person = _comes(cast, portal)
            assert (b"EncryptedAssertion" in lemonldap.decoded(form)) == (encryption == "assertion")
            assert person == str(cast.ada.pk)
    assert Identity.objects.get().issuer == f"saml:{portal.url}saml/metadata"


def test_lemonldap_gets_another_key_while_people_sign_in(cast: Cast, tmp_path: Path) -> None:
    """It publishes one certificate only, so the new one is noticed at the first sign-in and waits for a person."""
    ours, port = _set_up(cast), free_port()
    with lemonldap.running(tmp_path / "llng", ours, port=port) as portal:
        connect(cast, metadata_url=portal.metadata_url)
        assert _comes(cast, portal)[1] == str(cast.ada.pk)
    # The portal has its own clock, so this one can't be moved.
    SignOn.objects.update(metadata_checked_at=clock.now() - AT_NEED_EVERY)
    with lemonldap.running(tmp_path / "llng", ours, port=port, key="lemonldap, next") as portal:
        assert _comes(cast, portal)[1] == ""
        assert (SignOn.objects.get().metadata_problem, events_in(cast.contoso)[-1]) == (
            "all_keys",
            "sign_on.idp_keys_changed",
        )
        connect(cast, metadata_url=portal.metadata_url)
        assert _comes(cast, portal)[1] == str(cast.ada.pk)
    assert Identity.objects.count() == 1
