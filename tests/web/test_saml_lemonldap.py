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
from tests import lemonldap
from tests.cast import Cast
from tests.ports import free_port
from tests.saml_idp import ENTITY_ID, metadata
from tests.web.saml_trips import connect, onward, send_form, who

pytestmark = [pytest.mark.django_db, pytest.mark.deep]


@pytest.mark.parametrize("encryption", ["none", "assertion"])
def test_a_person_signs_in_with_lemonldap(cast: Cast, tmp_path: Path, encryption: str) -> None:
    Person.objects.filter(pk=cast.ada.pk).update(email=lemonldap.MAIL)
    domain: dict[str, Any] = {"name": "badwolf.org", "challenge": "x"}
    Domain.objects.create(tenant=cast.contoso, claimed_at=clock.now(), verified_at=clock.now(), **domain)
    # Each side needs the other's metadata first, so the connection begins with that of another identity provider.
    connect(cast, metadata=metadata().decode())
    assert SignOn.objects.get().issuer == ENTITY_ID
    ours = Client().get(reverse("web:saml_metadata", args=[cast.contoso.pk])).content
    with lemonldap.running(tmp_path / "llng", ours, encryption=encryption, port=free_port()) as portal:
        connect(cast, metadata_url=portal.metadata_url)
        for _time in range(2):
            browser = Client()
            page = browser.post(reverse("web:sso"), {"email": lemonldap.MAIL})
            form = portal.answer_to(onward(page))
            assert (b"EncryptedAssertion" in lemonldap.decoded(form)) == (encryption == "assertion")
            path = reverse("web:saml_answer", args=[cast.contoso.pk])
            answered = send_form(urlsplit(path).path, form)
            assert answered.status_code == 200, answered.content.decode()
            browser.get(onward(answered))
            assert who(browser) == str(cast.ada.pk)
    assert Identity.objects.get().issuer == f"saml:{portal.url}saml/metadata"
