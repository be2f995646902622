"""Single sign-on over SAML, with an identity provider of our own that can also attack."""

from __future__ import annotations

import base64
import datetime as dt
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from django.conf import settings
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from lxml import etree

from lockbox_site.demo.authenticator import Authenticator
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.certificates import fingerprint
from requests_app.domain.errors import ChangeProposed, Unacceptable, WrongState
from requests_app.doors.web._saml import ANSWER_SECONDS, QUESTION_SECONDS
from requests_app.doors.web._trips import cookie
from requests_app.identity.sso import sealing
from requests_app.identity.sso.saml import documents, metadata, service
from requests_app.identity.sso.saml.documents import MOST_METADATA
from requests_app.models import Domain, Identity, Membership, Passkey, Person, Proposal, SignOn, Tenant
from requests_app.operations import Profile
from requests_app.queries import single_sign_on as queries
from requests_app.words import proposals
from tests import saml_idp
from tests.api.test_approval_page import enrolling
from tests.caller import Caller
from tests.cast import Cast, events_in
from tests.operations.test_approval_pages import ORIGIN, put
from tests.saml_attacks import ATTACKS, encrypted_attacks
from tests.saml_idp import as_bytes, asked, assertion_of, encrypt, good, key_pair, response, sign
from tests.web.pages import nothing_happens, signed_in
from tests.web.saml_trips import (
    ELSEWHERE,
    Address,
    begin,
    comes,
    connect,
    connected,
    onward,
    quick_keys,
    says,
    send,
    who,
    who_after,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_keys(monkeypatch)


@pytest.fixture
def world(cast: Cast) -> Cast:
    return connected(cast)


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Address:
    return Address(monkeypatch)


def counted() -> tuple[int, int]:
    return Identity.objects.count(), Person.objects.count()


# --- Signing in -----------------------------------------------------------------------------------------


def test_a_person_signs_in_and_is_known_by_the_name_from_then_on(world: Cast) -> None:
    page = comes()
    assert (page.status_code, who(page.browser)) == (200, str(world.ada.pk))
    identity = Identity.objects.get()
    assert (identity.issuer, identity.subject) == (f"saml:{saml_idp.ENTITY_ID}", "p-ada")
    assert events_in(world.contoso)[-1] == "identity.linked"
    # From now on, the address does not matter.
    again = comes(attributes={"mail": ["other@elsewhere.example"]})
    assert who(again.browser) == str(world.ada.pk)
    thief = comes(subject="p-thief")
    assert (thief.status_code, who(thief.browser)) == (403, "")
    assert Identity.objects.count() == 1


def test_the_question_is_signed_and_names_only_this_site(world: Cast) -> None:
    question = begin(Client())
    fields = parse_qs(question.query)
    signed = question.query.rpartition("&Signature=")[0]
    found = etree.fromstring(Client().get(reverse("web:saml_metadata", args=[world.contoso.pk])).content)
    certificate = found.findtext(".//{http://www.w3.org/2000/09/xmldsig#}X509Certificate")
    key: Any = x509.load_der_x509_certificate(base64.b64decode(certificate)).public_key()
    key.verify(base64.b64decode(fields["Signature"][0]), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    assert question.xml.get("Destination") == saml_idp.SSO_URL
    assert question.xml.get("AssertionConsumerServiceURL").endswith(reverse("web:saml_answer", args=[world.contoso.pk]))
    assert question.xml.get("ForceAuthn") is None
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", question.relay_state)
    other = begin(Client())
    assert (other.id, other.relay_state) != (question.id, question.relay_state)


def test_no_attack_signs_anybody_in_or_makes_anything(world: Cast) -> None:
    our_certificate = service.unpacked(sealing.opened(SignOn.objects.get().sealed_keys))[0].certificate
    browser, people, through = Client(), Person.objects.count(), []
    for name, (attack, code) in {**ATTACKS, **encrypted_attacks(our_certificate)}.items():
        question = begin(browser)
        with nothing_happens():
            page = send(browser, question, attack(says(question)))
        text = page.content.decode()
        # No page leads on, and, except for two that need no attack, all pages say the same.
        says_no_more = code in ("unasked", "refused") or "answer is not valid. Begin again" in text
        if page.status_code != 403 or "/answer/" in text or not says_no_more or who(browser):
            through.append(name)
    assert through == []
    assert counted() == (0, people)
    # The same browser gets in with a good answer.
    assert who(comes(browser).browser) == str(world.ada.pk)


def test_an_encrypted_assertion_signs_in(world: Cast) -> None:
    our_certificate = service.unpacked(sealing.opened(SignOn.objects.get().sealed_keys))[0].certificate
    browser = Client()
    question = begin(browser)
    root = response(says(question))
    sign(assertion_of(root))
    page = send(browser, question, as_bytes(encrypt(root, our_certificate)))
    assert who_after(browser, page) == str(world.ada.pk)


def test_an_answer_counts_once_and_only_in_the_browser_that_asked(world: Cast) -> None:
    browser, victim = Client(), Client()
    question = begin(browser)
    data = good(says(question))
    page = send(browser, question, data)
    # The attacker sends the way to their own answer to somebody else, who may have asked, too.
    for other in (victim, Client()):
        if other is victim:
            begin(victim)
        refused = other.get(onward(page))
        assert (refused.status_code, who(other)) == (403, "")
    assert who_after(browser, page) == str(world.ada.pk)
    # Neither the answer, nor the way to it, nor the cookie counts again.
    assert send(browser, question, data).status_code == 403
    replay = Client()
    assert (replay.get(onward(page)).status_code, who(replay)) == (403, "")


def test_a_question_is_used_up_by_a_bad_answer(world: Cast) -> None:
    browser = Client()
    question = begin(browser)
    assert send(browser, question, ATTACKS["changed after signing"][0](says(question))).status_code == 403
    assert send(browser, question, good(says(question))).status_code == 403
    assert who(browser) == ""


def test_of_two_answers_at_the_same_time_one_counts(world: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one has read the question before the first one has removed it."""
    browser = Client()
    question = begin(browser)
    monkeypatch.setattr(cache, "delete", lambda *_args, **_options: True)
    assert send(browser, question, ATTACKS["changed after signing"][0](says(question))).status_code == 403
    assert send(browser, question, good(says(question))).status_code == 403


def test_a_tenant_can_not_use_up_the_question_of_another(world: Cast) -> None:
    """Its identity provider can sign anything, also the id of a question that was asked elsewhere."""
    row = SignOn.objects.get()
    row.pk, row.tenant = uuid4(), world.fabrikam
    row.save(force_insert=True)
    browser = Client()
    question = begin(browser)
    url = reverse("web:saml_answer", args=[world.fabrikam.pk])
    places = {"acs": f"{settings.BASE_URL}{url}", "audience": queries.entity_id(str(world.fabrikam.pk))}
    data = base64.b64encode(good(says(question, **places))).decode()
    fields = {"SAMLResponse": data, "RelayState": question.relay_state}
    assert browser.post(url, fields, headers=ELSEWHERE).status_code == 403
    assert who_after(browser, send(browser, question, good(says(question)))) == str(world.ada.pk)


def test_a_question_stays_used_if_the_cache_loses_its_marks(world: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = Client()
    question = begin(browser)
    data = good(says(question))
    monkeypatch.setattr(cache, "add", lambda *_args, **_options: True)
    page = send(browser, question, data)
    assert who_after(browser, page) == str(world.ada.pk)
    assert send(browser, question, data).status_code == 403


def test_ten_megabytes_are_refused_before_they_are_parsed(world: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    question = begin(Client())
    monkeypatch.setattr(documents, "parsed", lambda *_args, **_options: pytest.fail("was parsed"))
    with nothing_happens():
        page = send(Client(), question, b"<a>" + b"a" * 10_000_000 + b"</a>")
    assert page.status_code in (400, 403, 413)


def test_an_assertion_does_not_answer_a_second_question(world: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if an identity provider gave two questions the same assertion id."""
    monkeypatch.setattr(saml_idp, "uuid4", lambda: type("Id", (), {"hex": "0" * 32}))
    assert comes().status_code == 200
    assert comes().status_code == 403


def test_a_question_ends_even_if_the_cache_keeps_it(world: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    store = cache.set
    monkeypatch.setattr(cache, "set", lambda key, value, _timeout: store(key, value, None))
    browser = Client()
    question = begin(browser)
    travel.by(seconds=QUESTION_SECONDS, tick=True)
    assert send(browser, question, good(says(question))).status_code == 403


def test_an_answer_that_waited_is_removed_when_it_is_used(world: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it counts once even if the mark of the round trip is lost."""
    monkeypatch.setattr(cache, "add", lambda *_args, **_options: True)
    browser, again = Client(), Client()
    question = begin(browser)
    page = send(browser, question, good(says(question)))
    again.cookies.update(browser.cookies)
    assert who_after(browser, page) == str(world.ada.pk)
    assert (again.get(onward(page)).status_code, who(again)) == (403, "")


def test_an_answer_to_a_connection_that_was_switched_off_is_refused_at_once(world: Cast) -> None:
    browser = Client()
    question = begin(browser)
    SignOn.objects.update(is_on=False)
    assert send(browser, question, good(says(question))).status_code == 403


def test_an_answer_counts_only_while_its_issuer_is_the_tenants(world: Cast) -> None:
    """The administrator replaces the identity provider while an answer of the former one is on its way."""
    browser = Client()
    question = begin(browser)
    page = send(browser, question, good(says(question)))
    SignOn.objects.update(issuer="https://new.example")
    assert (browser.get(onward(page)).status_code, who(browser)) == (403, "")
    assert not Identity.objects.exists()


def test_metadata_that_ends_between_question_and_answer_is_not_used(world: Cast, travel: Any) -> None:
    until = (clock.now() + dt.timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    connect(world, metadata=saml_idp.metadata(until=until).decode())
    browser = Client()
    question = begin(browser)
    travel.by(minutes=6, tick=True)
    page = send(browser, question, good(says(question)))
    assert (page.status_code, "has expired" in page.content.decode()) == (403, True)


def test_questions_and_answers_end(world: Cast, travel: Any) -> None:
    browser = Client()
    question = begin(browser)
    travel.by(seconds=QUESTION_SECONDS, tick=True)
    assert send(browser, question, good(says(question))).status_code == 403
    browser = Client()
    question = begin(browser)
    page = send(browser, question, good(says(question)))
    travel.by(seconds=ANSWER_SECONDS + 1, tick=True)
    assert (browser.get(onward(page)).status_code, who(browser)) == (403, "")


@pytest.mark.parametrize("state", ["", "https://evil.example/", "x" * 43])
def test_another_relay_state_is_refused(world: Cast, state: str) -> None:
    browser = Client()
    question = begin(browser)
    page = send(browser, question, good(says(question)), RelayState=state)
    assert (page.status_code, "evil" in page.content.decode()) == (403, False)


def test_the_sign_in_leads_only_to_this_site(world: Cast) -> None:
    for wanted, led in (("/tickets/", "/tickets/"), ("https://evil.example/", "/"), ("//evil.example", "/")):
        browser = Client()
        question = begin(browser, next=wanted)
        page = send(browser, question, good(says(question)))
        assert onward(browser.get(onward(page))) == led


def test_an_answer_nobody_asked_for_is_refused(world: Cast) -> None:
    question = begin(Client())
    for request_id in ("", "_made_up"):
        data = good(says(question, response_to=request_id, confirmed_to=request_id))
        assert send(Client(), question, data).status_code == 403
    assert not Identity.objects.exists()


def test_the_answer_of_one_tenant_is_none_of_another(world: Cast) -> None:
    browser = Client()
    question = begin(browser)
    other = reverse("web:saml_answer", args=[world.fabrikam.pk])
    fields = {"SAMLResponse": base64.b64encode(good(says(question))).decode(), "RelayState": question.relay_state}
    assert browser.post(other, fields, headers=ELSEWHERE).status_code == 403
    assert browser.post(reverse("web:saml_answer", args=["nobody"]), fields).status_code == 403
    # The question is still there.
    assert send(browser, question, good(says(question))).status_code == 200


def test_only_the_answer_address_takes_a_form_from_another_site(world: Cast) -> None:
    assert Client().post(reverse("web:sso"), {"email": "a@b.example"}, headers=ELSEWHERE).status_code == 403
    framed = ELSEWHERE | {"Sec-Fetch-Dest": "iframe"}
    question = begin(Client())
    url = reverse("web:saml_answer", args=[world.contoso.pk])
    fields = {"SAMLResponse": base64.b64encode(good(says(question))).decode(), "RelayState": question.relay_state}
    assert Client().post(url, fields, headers=framed).status_code == 403
    answered = Client().post(url, fields, headers=ELSEWHERE)
    assert answered.status_code == 200
    # The page that is shown has no session, and the cookie of the round trip is not changed.
    assert not answered.cookies


def test_an_address_links_only_in_a_verified_domain_and_only_if_its_attribute_is_named(world: Cast) -> None:
    for mail in ("frida@fabrikam.example", "priya@provider.example", "nobody@contoso.example", ""):
        page = comes(attributes={"mail": [mail]})
        assert (page.status_code, who(page.browser)) == (403, ""), mail
    two = comes(attributes={"mail": ["ada@contoso.example", "mia@contoso.example"]})
    assert two.status_code == 403
    Domain.objects.update(verified_at=None)
    browser = Client()
    Domain.objects.update(verified_at=clock.now())
    question = begin(browser)
    Domain.objects.update(verified_at=None)
    page = send(browser, question, good(says(question)))
    assert browser.get(onward(page)).status_code == 403
    Domain.objects.update(verified_at=clock.now())
    connect(world, email_claim="")
    assert comes().status_code == 403
    assert not Identity.objects.exists()


def test_the_directorys_key_links_with_any_address(world: Cast) -> None:
    connect(world, key_claim="oid", email_claim="")
    profile = Profile(external_id="key-7")
    operations.change_provisioned(world.contoso.pk, world.otto.pk, profile=profile, actor=world.as_("ines"))
    page = comes(subject="p-otto", attributes={"oid": ["key-7"]})
    assert who(page.browser) == str(world.otto.pk)


def test_groups_give_and_take_roles(world: Cast) -> None:
    connect(world, groups_claim="groups", role_map={"Readers": "auditor"})
    comes(attributes={"mail": ["mia@contoso.example"], "groups": ["Readers", "Others"]}, subject="p-mia")
    assert "auditor" in set(world.mia.memberships.values_list("role", flat=True))
    comes(attributes={"groups": ["Others"]}, subject="p-mia")
    assert "auditor" not in set(world.mia.memberships.values_list("role", flat=True))


def test_a_person_who_was_switched_off_is_refused(world: Cast) -> None:
    assert comes().status_code == 200
    Person.objects.filter(pk=world.ada.pk).update(is_active=False)
    page = comes()
    assert (page.status_code, who(page.browser)) == (403, "")


def test_the_same_name_in_two_tenants_makes_no_two_accounts_one_human(world: Cast) -> None:
    """Anybody can write the entity id of another organisation into their own metadata."""
    comes()
    frida = Person.objects.get(email="frida@fabrikam.example")
    Identity.objects.create(
        tenant=world.fabrikam,
        issuer=f"saml:{saml_idp.ENTITY_ID}",
        subject="p-mia",
        person=frida,
        linked_at=clock.now(),
    )
    comes(subject="p-mia", attributes={"mail": ["mia@contoso.example"]})
    assert Identity.objects.filter(subject="p-mia").count() == 2
    assert frida.human_id != world.mia.human_id
    assert "accounts.linked" not in events_in(world.contoso)


# --- The settings ---------------------------------------------------------------------------------------


def test_bad_metadata_changes_nothing(world: Cast) -> None:
    before = SignOn.objects.values().get()
    with nothing_happens(), pytest.raises(Unacceptable):
        connect(world, metadata="<!DOCTYPE x><x/>")
    with nothing_happens(), pytest.raises(Unacceptable):
        connect(world, metadata_url="http://169.254.169.254/metadata")
    assert SignOn.objects.values().get() == before


def test_the_two_protocols_replace_each_other_and_leave_nothing_behind(world: Cast) -> None:
    oidc = {"protocol": "oidc", "issuer": "https://idp.example", "client_id": "x", "client_secret": "s"}
    row = connect(world, **oidc, key_claim="sub", email_claim="")
    assert (row.identity_provider, row.sealed_keys, row.email_claim, row.is_saml) == (None, "", "", False)
    assert Client().get(reverse("web:saml_metadata", args=[world.contoso.pk])).status_code == 404
    row = connect(world)
    assert (row.sealed, row.scopes, row.issuer) == ("", "", saml_idp.ENTITY_ID)
    with pytest.raises(Unacceptable):
        connect(world, **oidc, key_claim="sub", email_claim="", is_proof=True)


def test_our_own_key_is_renewed_with_both_published_meanwhile(world: Cast) -> None:
    def published() -> list[str]:
        page = Client().get(reverse("web:saml_metadata", args=[world.contoso.pk]))
        root = etree.fromstring(page.content)
        return [each.text for each in root.iter("{http://www.w3.org/2000/09/xmldsig#}X509Certificate")]

    ines = world.as_("ines")
    [first, _also_for_encryption] = published()
    operations.renew_sign_on_key(world.contoso.pk, had=1, actor=ines)
    assert published()[0] == first
    second = published()[1]
    with pytest.raises(WrongState):
        operations.renew_sign_on_key(world.contoso.pk, had=1, actor=ines)
    browser = Client()
    question = begin(browser)
    root = response(says(question))
    sign(assertion_of(root))
    assert who_after(browser, send(browser, question, as_bytes(encrypt(root, second)))) == str(world.ada.pk)
    operations.renew_sign_on_key(world.contoso.pk, had=2, actor=ines)
    assert published() == [second, second]
    assert events_in(world.contoso)[-1] == "sign_on.key_renewed"


def test_the_test_shows_what_is_wrong_and_signs_nobody_in(world: Cast) -> None:
    ines = signed_in(world, "ines")
    url = reverse("web:sign_on_test", args=[world.contoso.pk])
    question = asked(onward(ines.post(url)))
    with nothing_happens():
        page = send(ines, question, ATTACKS["transient name"][0](says(question)))
    assert "NameID must be persistent" in page.content.decode()
    question = asked(onward(ines.post(url)))
    with nothing_happens():
        page = ines.get(onward(send(ines, question, good(says(question)))))
    assert "The test worked" in page.content.decode()
    assert (who(ines), counted()[0]) == (str(world.ines.pk), 0)


def test_the_administrator_sets_it_up_on_the_page(cast: Cast) -> None:
    ines = signed_in(cast, "ines")
    url = reverse("web:sign_on_saml", args=[cast.contoso.pk])
    page = ines.get(url)
    assert reverse("web:saml_answer", args=[cast.contoso.pk]) in page.content.decode()
    assert ines.post(url, {"metadata": "hello", "shown": ""}).status_code == 422
    answer = ines.post(url, {"metadata": saml_idp.metadata().decode(), "shown": "", "is_on": "on"})
    assert answer.status_code == 302, answer.content.decode()
    shown = ines.get(reverse("web:sign_on", args=[cast.contoso.pk]), follow=True).content.decode()
    assert saml_idp.ENTITY_ID in shown
    assert "PRIVATE" not in shown
    row = SignOn.objects.get()
    assert "PRIVATE" not in row.sealed_keys
    assert ines.post(reverse("web:sign_on_key", args=[cast.contoso.pk]), {"had": "1"}).status_code == 302
    for name in ("mia", "stella", "frida"):
        assert signed_in(cast, name).get(url).status_code in (403, 404)


def _upload(data: bytes, name: str = "metadata.xml") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, data, content_type="text/xml")


def test_the_metadata_file_is_uploaded(cast: Cast) -> None:
    ines, url = signed_in(cast, "ines"), reverse("web:sign_on_saml", args=[cast.contoso.pk])
    assert 'enctype="multipart/form-data"' in ines.get(url).content.decode()
    answer = ines.post(url, {"metadata_file": _upload(saml_idp.metadata()), "shown": ""})
    assert answer.status_code == 302, answer.content.decode()
    assert SignOn.objects.get().issuer == saml_idp.ENTITY_ID


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"metadata_file": _upload(b"x" * (MOST_METADATA + 1))}, "too long"),
        ({"metadata_file": _upload("é".encode("utf-16"))}, "not an XML file in UTF-8"),
        ({"metadata_file": _upload(b"")}, "empty"),
        ({"metadata_file": _upload(b"hello")}, "not the metadata of one SAML 2.0"),
        ({"metadata_file": _upload(b"<a/>"), "metadata": "<a/>"}, "not both"),
        ({"metadata_file": _upload(saml_idp.metadata()), "metadata_url": "https://idp.example/m"}, "not both"),
    ],
)
def test_a_bad_metadata_file_changes_nothing(cast: Cast, address: Address, fields: dict[str, Any], words: str) -> None:
    for each in fields.values():
        if isinstance(each, SimpleUploadedFile):
            each.seek(0)
    ines, url = signed_in(cast, "ines"), reverse("web:sign_on_saml", args=[cast.contoso.pk])
    with nothing_happens():
        page = ines.post(url, {**fields, "shown": ""})
    assert (page.status_code, words in page.content.decode()) == (422, True)
    assert not SignOn.objects.exists()


def test_the_file_is_sent_again_with_a_proof_that_was_missing(cast: Cast) -> None:
    ines, url = signed_in(cast, "ines"), reverse("web:sign_on_saml", args=[cast.contoso.pk])
    session = ines.session
    session.pop("stepped_up", None)
    session.save()
    page = ines.post(url, {"metadata_file": _upload(saml_idp.metadata()), "shown": ""})
    assert (page.status_code, SignOn.objects.exists()) == (403, False)
    held = dict(page.context["held"])
    assert saml_idp.SSO_URL in held["metadata"]
    ines = signed_in(cast, "ines")
    assert ines.post(url, held).status_code == 302
    assert SignOn.objects.get().issuer == saml_idp.ENTITY_ID


# --- A proof for acts -----------------------------------------------------------------------------------


def _prove(browser: Client, **more: Any) -> Any:
    question = asked(onward(browser.post(reverse("web:sso_prove"), {"next": "/tickets/"})))
    assert question.xml.get("ForceAuthn") == "true"
    page = send(browser, question, good(says(question, **more)))
    return browser.get(onward(page)) if page.status_code == 200 else page


def _is_fresh(browser: Client) -> bool:
    return "stepped_up" in browser.session


def test_a_sign_in_confirms_acts_only_if_the_tenant_says_so(world: Cast) -> None:
    browser = comes().browser
    assert browser.post(reverse("web:sso_prove"), {"next": "/"}).status_code == 404
    connect(world, is_proof=True)
    # A person who never signed in there can't prove anything there.
    assert signed_in(world, "otto").post(reverse("web:sso_prove"), {"next": "/"}).status_code == 404
    session = browser.session
    session.pop("stepped_up", None)
    session.save()
    page = _prove(browser)
    assert (page.status_code, onward(page)) == (200, "/tickets/")
    assert browser.session["stepped_up"]["way"] == "single sign-on again"


def test_a_proof_needs_a_new_authentication_of_the_same_person(world: Cast) -> None:
    connect(world, is_proof=True)
    browser = comes().browser
    comes(subject="p-mia", attributes={"mail": ["mia@contoso.example"]})
    session = browser.session
    session.pop("stepped_up", None)
    session.save()
    assert _prove(browser, authenticated=dt.timedelta(minutes=-3)).status_code == 403
    assert _prove(browser, subject="p-mia").status_code == 403
    assert not _is_fresh(browser)
    # Another person's tenant must not confirm acts here.
    Membership.objects.create(tenant=world.fabrikam, person=world.ada, role="member", given_at=clock.now())
    assert browser.post(reverse("web:sso_prove"), {"next": "/"}).status_code == 404
    assert cookie()[0] in browser.cookies


def test_a_proof_is_only_for_the_person_who_asked_for_it(world: Cast) -> None:
    connect(world, is_proof=True)
    comes(subject="p-mia", attributes={"mail": ["mia@contoso.example"]})
    browser = comes().browser
    question = asked(onward(browser.post(reverse("web:sso_prove"), {"next": "/tickets/"})))
    # Somebody else signs in in this browser meanwhile.
    trip = browser.cookies[cookie()[0]].value
    browser.logout()
    browser.force_login(world.mia, backend="django.contrib.auth.backends.ModelBackend")
    browser.cookies[cookie()[0]] = trip
    page = browser.get(onward(send(browser, question, good(says(question, subject="p-mia")))))
    assert (page.status_code, _is_fresh(browser)) == (403, False)


def test_a_person_without_a_password_adds_a_passkey_on_their_tenants_own_page(world: Cast) -> None:
    """They confirm their token on the pages here, because a token alone can be confirmed only with a password."""
    connect(world, is_only=True, break_glass_id=world.ines.pk)
    put(world)
    token = operations.create_token(
        name="approvals", scopes=["requests:read", "decisions:write"], days=7, actor=world.as_("ada")
    )
    caller = Caller(token.secret)
    page = enrolling(world, caller, Authenticator(origin=ORIGIN))
    assert (page.status_code, page.json()["code"]) == (403, "step_up_required")
    with nothing_happens():
        mia = signed_in(world, "mia")
        assert mia.post(reverse("web:token_confirm", args=[token.row.pk])).status_code == 404
    ada = signed_in(world, "ada", fresh=False)
    assert ada.post(reverse("web:token_confirm", args=[token.row.pk])).status_code == 403
    ada = signed_in(world, "ada")
    assert ada.post(reverse("web:token_confirm", args=[token.row.pk])).status_code == 302
    assert events_in(world.contoso)[-1] == "token.confirmed"
    assert enrolling(world, caller, Authenticator(origin=ORIGIN)).status_code == 201
    assert Passkey.objects.get(person=world.ada).origin == ORIGIN


# --- The provider's own people, and two-person control --------------------------------------------------


def test_the_providers_people_sign_in_by_the_operators_files(world: Cast, settings: Any, tmp_path: Path) -> None:
    pem, certificate = key_pair("provider")
    (tmp_path / "idp.xml").write_bytes(saml_idp.metadata())
    lines = f"-----BEGIN CERTIFICATE-----\n{certificate}\n-----END CERTIFICATE-----\n"
    (tmp_path / "saml.pem").write_text(pem.decode() + lines, encoding="utf-8")
    settings.SSO_SAML_METADATA, settings.SSO_SAML_KEYS = str(tmp_path / "idp.xml"), [str(tmp_path / "saml.pem")]
    settings.SSO_SAML_EMAIL, settings.SSO_DOMAINS = "mail", frozenset({"provider.example"})
    browser = Client()
    page = browser.post(reverse("web:sso"), {"email": "somebody@provider.example"})
    question = asked(onward(page))
    answered = send(browser, question, good(says(question, attributes={"mail": [world.priya.email]})))
    browser.get(onward(answered))
    assert who(browser) == str(world.priya.pk)
    shown = signed_in(world, "stella").get(reverse("admin:single_sign_on")).content.decode()
    assert saml_idp.ENTITY_ID in shown
    (tmp_path / "idp.xml").write_bytes(b"<!DOCTYPE x>")
    assert browser.get("/").status_code == 200
    assert Client().post(reverse("web:sso"), {"email": "somebody@provider.example"}).status_code == 403
    assert signed_in(world, "stella").get(reverse("admin:single_sign_on")).status_code == 200


def test_under_two_person_control_the_second_person_confirms_exactly_these_keys(cast: Cast, address: Address) -> None:
    Tenant.objects.filter(pk=cast.contoso.pk).update(needs_two=True)
    url = "https://idp.contoso.example/metadata"
    with pytest.raises(ChangeProposed):
        connect(cast, metadata="", metadata_url=url, is_proof=True, newcomer_role="member")
    assert not SignOn.objects.exists()
    proposal = Proposal.objects.get()
    assert proposal.said["certificates"] == [fingerprint(key_pair()[1])]
    assert "proof of identity" in proposals.words(proposal.act, proposal.said)
    assert "without an account get one as: Member" in proposals.words(proposal.act, proposal.said)
    assert f"with new keys from {url}" in proposals.words(proposal.act, proposal.said)
    # Meanwhile, somebody else controls the address. The second person confirms what they have read.
    address.body = saml_idp.metadata(key_pair("stranger")[1], sso_url="https://evil.example/sso")
    operations.confirm_proposal(proposal.pk, actor=cast.as_("ada"))
    row = SignOn.objects.get()
    assert metadata.IdentityProvider.of_stored(row.issuer, row.pinned).certificates == (key_pair()[1],)
    assert (row.pinned["sso_url"], row.is_proof, row.newcomer_role) == (saml_idp.SSO_URL, True, "member")
    assert (row.metadata_url, len(service.unpacked(sealing.opened(row.sealed_keys)))) == (url, 1)
    assert events_in(cast.contoso)[-2:] == ["proposal.confirmed", "sign_on.changed"]
