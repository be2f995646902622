"""Single sign-on with a real OpenID provider that runs on this machine."""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from allauth.mfa.models import Authenticator
from django.conf import settings as django_settings
from django.test import Client
from django.urls import reverse
from joserfc.jwk import KeySet, RSAKey

from audit_app.models import AuditEntry
from requests_app import operations, tasks
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.errors import NotAllowed, NotFound, StepUpRequired, Unacceptable, WrongState
from requests_app.domain.scopes import Scope
from requests_app.doors.web._oidc import DISCOVERED_SECONDS, DOWN_SECONDS
from requests_app.doors.web._trips import FLOW_SECONDS, cookie
from requests_app.identity import sessions
from requests_app.identity.sso import domains, sealing
from requests_app.models import Client as Client_
from requests_app.models import Domain, Identity, Invitation, OutboxMessage, Person, SignOn, Token
from requests_app.operations import Connection, Profile
from requests_app.platform import outbound
from requests_app.work import outbox
from tests.caller import Caller, caller_for, client_of, token_of
from tests.cast import PASSWORD, Cast, events_in
from tests.factors import give_app, set_up_app, sign_in
from tests.passkeys import ORIGIN, added
from tests.passkeys import Authenticator as Device
from tests.web.pages import nothing_happens, only_a_refusal, signed_in

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(sys.version_info < (3, 12), reason="the provider that the tests start needs Python 3.12"),
]


@dataclass
class Provider:
    """An identity provider. It also plays the part of the sign-in that a person does there."""

    issuer: str

    def knows(self, subject: str, **claims: Any) -> None:
        body = json.dumps(claims).encode()
        self._answer("PUT", f"/users/{subject}", body, {"Content-Type": "application/json"})

    def comes(self, url: str, subject: str = "s-ada", **form: str) -> dict[str, str]:
        """Sign in at the identity provider as this subject. Return the parameters with which the browser comes back."""
        body = urlencode({"sub": subject, **form}).encode()
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self._answer("POST", url.removeprefix(self.issuer), body, kind)
        parts = urlsplit(answer.headers["Location"])
        self.way_back = parts.path
        return {name: values[0] for name, values in parse_qs(parts.query).items()}

    def _answer(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> HTTPResponse:
        """Call the provider. A redirect is not followed."""
        # urllib would read all certificates of the machine for each call.
        connection = HTTPConnection(urlsplit(self.issuer).netloc, timeout=10)
        with contextlib.closing(connection):
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
        assert answer.status < 400, answer.status
        return answer


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    from oidc_provider_mock import run_server_in_thread

    with run_server_in_thread(port=0) as server:
        yield Provider(f"http://localhost:{server.server_port}")


@pytest.fixture
def world(cast: Cast, provider: Provider) -> Cast:
    """Return the cast. Contoso uses this provider and has verified its domain. The provider knows Ada and Mia."""
    connect(cast, provider)
    Domain.objects.create(
        tenant=cast.contoso, name="contoso.example", challenge="x", claimed_at=clock.now(), verified_at=clock.now()
    )
    for name in ("ada", "mia"):
        provider.knows(f"s-{name}", email=f"{name.title()}@contoso.example", email_verified=True)
    return cast


def connect(cast: Cast, provider: Provider, **more: Any) -> SignOn:
    fields = {
        "issuer": provider.issuer,
        "client_id": "lockbox",
        "client_secret": "s3cret",
        "role_map": {},
        "is_on": True,
    }
    connection, row = Connection(**{**fields, **more}), SignOn.objects.filter(tenant=cast.contoso).first()
    was = row.changed_at if row else None
    return operations.set_sign_on(cast.contoso.pk, connection=connection, was=was, actor=cast.as_("ines"))


def begin(browser: Client, email: str = "somebody@contoso.example", **form: str) -> str:
    """Enter an email address on the sign-in page. Return the URL to which the page leads."""
    page = browser.post(reverse("web:sso"), {"email": email, **form})
    assert page.status_code == 200, page.content.decode()
    return onward(page)


def onward(page: Any) -> str:
    found = re.search(r'<a class="button button-primary" href="([^"]+)"', page.content.decode())
    assert found is not None
    return found[1].replace("&amp;", "&")


def way_back(cast: Cast) -> str:
    return reverse("web:sso_callback", args=[cast.contoso.pk])


def comes(cast: Cast, provider: Provider, subject: str = "s-ada", *, browser: Client | None = None) -> Any:
    """Do a whole sign-in, and return the last page."""
    browser = browser or Client()
    back = provider.comes(begin(browser), subject)
    page: Any = browser.get(provider.way_back, back)
    page.browser = browser
    return page


def who(browser: Client) -> str:
    return str(browser.session.get("_auth_user_id", ""))


def test_somebody_signs_in_and_is_known_by_issuer_and_subject_from_then_on(world: Cast, provider: Provider) -> None:
    page = comes(world, provider)
    assert (page.status_code, who(page.browser)) == (200, str(world.ada.pk))
    identity = Identity.objects.get()
    assert (identity.issuer, identity.subject, identity.person) == (provider.issuer, "s-ada", world.ada)
    assert events_in(world.contoso)[-1] == "identity.linked"
    # From now on, the address does not matter: neither a new address, nor another subject with the old address.
    provider.knows("s-ada", email="other@elsewhere.example", email_verified=False)
    assert who(comes(world, provider).browser) == str(world.ada.pk)
    provider.knows("s-thief", email="ada@contoso.example", email_verified=True)
    refused = comes(world, provider, "s-thief")
    assert (refused.status_code, who(refused.browser)) == (403, "")
    assert Identity.objects.count() == 1


def test_the_authorization_request_carries_pkce_state_and_nonce_but_no_secret(world: Cast, provider: Provider) -> None:
    url = begin(Client())
    sent = {name: value[0] for name, value in parse_qs(urlsplit(url).query).items()}
    assert url.startswith(provider.issuer)
    assert (sent["response_type"], sent["code_challenge_method"]) == ("code", "S256")
    assert sent["redirect_uri"] == django_settings.BASE_URL + way_back(world)
    assert min(len(sent[name]) for name in ("state", "nonce", "code_challenge")) >= 43
    assert "s3cret" not in url
    assert "s3cret" not in SignOn.objects.get().sealed
    other = parse_qs(urlsplit(begin(Client())).query)
    assert all(other[name][0] != sent[name] for name in ("state", "nonce", "code_challenge"))


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"email": "ada@contoso.example"}, "not called verified"),
        *(
            ({"email": "ada@contoso.example", "email_verified": odd}, f"verified is {odd!r}")
            for odd in ("True", "TRUE", " true", "1", "yes", 1, ["true"], {"true": True})
        ),
        ({"email": "frida@fabrikam.example", "email_verified": True}, "of another tenant"),
        ({"email": "nobody@contoso.example", "email_verified": True}, "nobody here"),
        ({"email": "priya@provider.example", "email_verified": True}, "of the provider"),
        ({}, "no address"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_uncertain_identity_is_not_signed_in(
    world: Cast, provider: Provider, claims: dict[str, Any], why: str
) -> None:
    provider.knows("s-x", **claims)
    people = Person.objects.count()
    page = comes(world, provider, "s-x")
    assert (page.status_code, who(page.browser)) == (403, ""), why
    assert "Ask your administrator to add you" in page.content.decode()
    assert (Identity.objects.count(), Person.objects.count()) == (0, people)


def test_an_address_whose_verification_is_written_as_a_text_counts(world: Cast, provider: Provider) -> None:
    provider.knows("s-text", email="ada@contoso.example", email_verified="true")
    assert who(comes(world, provider, "s-text").browser) == str(world.ada.pk)


@pytest.fixture
def userinfo_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the provider send claims only at its UserInfo endpoint, as certified providers do by default."""
    from oidc_provider_mock import _app

    monkeypatch.setattr(_app.OpenIDCode, "generate_user_info", lambda _self, user, _scope: {"sub": user.sub})


@pytest.mark.usefixtures("userinfo_only")
def test_claims_from_userinfo_link_and_give_roles(world: Cast, provider: Provider) -> None:
    connect(world, provider, groups_claim="groups", role_map={"Auditors": "auditor"})
    provider.knows("s-info", email="mia@contoso.example", email_verified=True, groups=["Auditors"])
    assert who(comes(world, provider, "s-info").browser) == str(world.mia.pk)
    assert Identity.objects.get(person=world.mia).subject == "s-info"
    assert set(world.mia.memberships.values_list("role", flat=True)) >= {"auditor"}


@pytest.mark.usefixtures("userinfo_only")
def test_userinfo_about_somebody_else_signs_nobody_in(
    world: Cast, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = outbound.get

    def get(url: str, **options: Any) -> outbound.Answer:
        answer = question(url, **options)
        if not url.endswith("/userinfo"):
            return answer
        return answer._replace(body=answer.body.replace(b'"s-ada"', b'"s-mia"'))

    monkeypatch.setattr(outbound, "get", get)
    page = comes(world, provider, "s-ada")
    assert (page.status_code, who(page.browser)) == (403, "")
    assert "about another person" in page.content.decode()
    assert not Identity.objects.exists()


def test_a_domain_that_is_not_verified_links_nobody_and_leads_nowhere(world: Cast, provider: Provider) -> None:
    browser = Client()
    back = provider.comes(begin(browser))
    Domain.objects.update(verified_at=None)
    assert browser.get(way_back(world), back).status_code == 403
    page = browser.post(reverse("web:sso"), {"email": "ada@contoso.example"})
    assert (page.status_code, cookie()[0] in page.cookies) == (422, False)


def test_the_directorys_key_links_with_any_address(world: Cast, provider: Provider) -> None:
    connect(world, provider, key_claim="oid")
    operations.change_provisioned(
        world.contoso.pk, world.otto.pk, profile=Profile(external_id="key-7"), actor=world.as_("ines")
    )
    provider.knows("s-otto", oid="key-7", email="otto@elsewhere.example", email_verified=False)
    assert who(comes(world, provider, "s-otto").browser) == str(world.otto.pk)


def test_the_sign_in_does_not_say_who_exists(world: Cast) -> None:
    def plain(email: str) -> str:
        html = Client().post(reverse("web:sso"), {"email": email}).content.decode()
        html = re.sub(r'(state|nonce|code_challenge|login_hint)=("[^"]+"|[^&"]+)', "", html)
        return re.sub(r"[0-9a-f]{32}|content=\"\d{4}-[^\"]+\"", "", html)

    assert plain("ada@contoso.example") == plain("nobody-at-all@contoso.example")
    assert "Nobody has set up single sign-on" in plain("ada@fabrikam.example")


def test_nothing_counts_twice_or_in_another_browser_or_too_late(world: Cast, provider: Provider, travel: Any) -> None:
    browser = Client()
    back = provider.comes(begin(browser))
    # Try another browser without the cookie, and one with another cookie.
    for other in (Client(), Client()):
        if other is not browser:
            begin(other)
        assert other.get(way_back(world), back).status_code == 403
        assert who(other) == ""
    stored = browser.cookies[cookie()[0]].value
    assert browser.get(way_back(world), back).status_code == 200
    replay = Client()
    replay.cookies[cookie()[0]] = stored
    assert (replay.get(way_back(world), back).status_code, who(replay)) == (403, "")
    late = Client()
    back = provider.comes(begin(late))
    travel.by(seconds=FLOW_SECONDS, tick=True)
    assert (late.get(way_back(world), back).status_code, who(late)) == (403, "")


def test_an_answer_that_was_changed_on_the_way_signs_nobody_in(world: Cast, provider: Provider) -> None:
    for change in (
        {"state": "x" * 43},
        {"code": "made-up"},
        {"iss": "https://other.example"},
        {"error": "access_denied"},
        {"code": ""},
    ):
        browser = Client()
        back = provider.comes(begin(browser))
        page = browser.get(way_back(world), {**back, **change})
        assert (page.status_code in (403, 502), who(browser)) == (True, ""), change
    # The return address of one connection does not accept the answer for another.
    browser = Client()
    back = provider.comes(begin(browser))
    other = reverse("web:sso_callback", args=[world.fabrikam.pk])
    assert (browser.get(other, back).status_code, who(browser)) == (403, "")
    assert Identity.objects.count() == 0


def test_a_code_is_exchanged_with_the_verifier_of_this_flow(
    world: Cast, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[bytes] = []
    plain = outbound.post

    def post(url: str, body: bytes, **options: Any) -> Any:
        sent.append(body)
        return plain(url, body, **options)

    monkeypatch.setattr(outbound, "post", post)
    browser = Client()
    url = begin(browser)
    browser.get(way_back(world), provider.comes(url))
    [form] = [parse_qs(each.decode()) for each in sent]
    digest = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"][0].encode()).digest()).rstrip(b"=")
    assert digest.decode() == parse_qs(urlsplit(url).query)["code_challenge"][0]


def test_the_sign_in_redirects_only_to_this_site(world: Cast, provider: Provider) -> None:
    for wanted, led in (("/tickets/", "/tickets/"), ("https://evil.example/", "/"), ("//evil.example", "/")):
        browser = Client()
        back = provider.comes(begin(browser, next=wanted))
        assert onward(browser.get(way_back(world), back)) == led
    assert browser.get("/tickets/").status_code == 200


def test_groups_give_and_take_roles_through_the_log_and_never_the_last(world: Cast, provider: Provider) -> None:
    roles = {"Deciders": "approver", "Readers": "auditor", "Chiefs": "administrator"}
    connect(world, provider, groups_claim="groups", role_map=roles)

    def held(person: Person) -> list[str]:
        return sorted(person.memberships.values_list("role", flat=True))

    ada = {"email": "ada@contoso.example", "email_verified": True}
    provider.knows("s-ada", **ada, groups=["Readers", "Unknown"])
    comes(world, provider)
    assert held(world.ada) == ["auditor", "member"]
    assert events_in(world.contoso)[-3:] == ["identity.linked", "role.given", "role.taken"]
    assert OutboxMessage.objects.filter(topic="notify.approvers_changed", about=world.ada.pk).count() == 1
    provider.knows("s-ada", **ada)
    comes(world, provider)
    assert held(world.ada) == ["auditor", "member"], "a token that says nothing of groups takes nothing"
    provider.knows("s-ines", email="ines@contoso.example", email_verified=True, groups=[])
    comes(world, provider, "s-ines")
    assert held(world.ines) == ["administrator", "member"], "the last administrator stays"
    provider.knows("s-otto", email="otto@contoso.example", email_verified=True, groups=[])
    comes(world, provider, "s-otto")
    assert held(world.otto) == ["member"], "nobody is left without a role"


def test_a_person_who_was_switched_off_does_not_get_in(world: Cast, provider: Provider) -> None:
    comes(world, provider, "s-mia")
    operations.switch_off_person(world.mia.pk, actor=world.as_("ines"))
    page = comes(world, provider, "s-mia")
    assert (page.status_code, who(page.browser)) == (403, "")


def test_a_connection_that_is_off_signs_nobody_in_even_on_the_way(world: Cast, provider: Provider) -> None:
    browser = Client()
    back = provider.comes(begin(browser))
    connect(world, provider, is_on=False)
    assert (browser.get(way_back(world), back).status_code, who(browser)) == (403, "")
    assert Client().post(reverse("web:sso"), {"email": "a@contoso.example"}).status_code == 422


def test_signed_in_this_way_one_still_proves_to_decide(world: Cast, provider: Provider) -> None:
    row = world.confirmed()
    page = comes(world, provider)
    decide = page.browser.post(
        reverse("web:decide", args=[row.pk, "approve"]),
        {"digest": row.content_digest, "shown": row.state, "comment": "", "password": "", "code": ""},
    )
    row.refresh_from_db()
    assert (decide.status_code == 200 or decide.status_code >= 400, row.state) == (True, "PENDING_CUSTOMER")


def test_a_second_factor_of_the_identity_provider_is_no_proof_here(world: Cast, provider: Provider) -> None:
    """The identity provider, or an attacker who controls it, can sign anybody in.

    That must not be enough to approve.
    """
    claims = {"email": world.ada.email, "email_verified": True, "amr": ["pwd", "otp", "mfa"], "acr": "phr"}
    provider.knows("s-ada", **claims, auth_time=int(clock.now().timestamp()))
    row, browser = world.confirmed(), comes(world, provider).browser
    assert who(browser) == str(world.ada.pk)
    form = {"digest": row.content_digest, "shown": row.state, "comment": ""}
    assert browser.post(reverse("web:decide", args=[row.pk, "approve"]), form).status_code == 422
    row.refresh_from_db()
    assert row.state == "PENDING_CUSTOMER"
    assert "stepped_up" not in browser.session


def test_without_a_second_factor_here_the_sign_in_is_all_the_proof_there_is(world: Cast, provider: Provider) -> None:
    """It is no longer enough once the person has a second factor here. Approvers must always have one here."""
    browser = comes(world, provider, "s-mia").browser
    form = {"name": "laptop", "scopes": ["tickets:read"], "days": "7"}
    assert browser.post("/tokens/", form).status_code == 200
    give_app(world.mia)
    assert browser.post("/tokens/", {**form, "name": "tablet"}).status_code == 403


def test_a_key_that_the_issuer_has_changed_counts_at_once_and_the_one_before_no_more(
    world: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    from oidc_provider_mock import _app, run_server_in_thread

    storage = _app.Storage()
    monkeypatch.setattr(_app, "Storage", lambda: storage)
    with run_server_in_thread(port=0) as server:
        provider = Provider(f"http://localhost:{server.server_port}")
        connect(world, provider)
        provider.knows("s-ada", email="ada@contoso.example", email_verified=True)
        assert who(comes(world, provider).browser) == str(world.ada.pk)
        former, storage.jwk = storage.jwk, RSAKey.generate_key(2048, {"kid": "next", "use": "sig", "alg": "RS256"})
        assert who(comes(world, provider).browser) == str(world.ada.pk)
        # A token signed with the old key, when the issuer's list has only the new key.
        listed = json.dumps(KeySet([storage.jwk]).as_dict(private=False)).encode()
        storage.jwk, question = former, outbound.get
        monkeypatch.setattr(
            outbound,
            "get",
            lambda url, **options: (
                outbound.Answer(200, "", listed) if url.endswith("/jwks") else question(url, **options)
            ),
        )
        browser = Client()
        back = provider.comes(begin(browser))
        page = browser.get(way_back(world), back)
        assert (page.status_code, who(browser)) == (403, "")
        assert "not signed by the identity provider" in page.content.decode()


def test_a_silent_issuer_is_reported_and_not_asked_again_immediately(
    world: Cast, provider: Provider, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    at, calls = travel.freeze(), []
    plain = outbound.get

    def down(url: str, **options: Any) -> Any:
        calls.append(url)
        raise outbound.Unreachable("timeout")

    monkeypatch.setattr(outbound, "get", down)
    for _ in range(3):
        page = Client().post(reverse("web:sso"), {"email": "ada@contoso.example"})
        assert (page.status_code, "does not answer" in page.content.decode()) == (502, True)
        assert cookie()[0] not in page.cookies
    assert len(calls) == 1
    # The break-glass person can still sign in. The administrator's test always calls the provider.
    connect(world, provider, is_only=True, break_glass_id=world.ines.pk)
    glass = Client()
    sign_in(world.ines, PASSWORD, client=glass)
    assert who(glass) == str(world.ines.pk)
    signed_in(world, "ines").post(reverse("web:sign_on_test", args=[world.contoso.pk]))
    assert len(calls) == 2
    monkeypatch.setattr(outbound, "get", plain)
    travel.to(at + dt.timedelta(seconds=DOWN_SECONDS))
    browser = Client()
    back = provider.comes(begin(browser))
    monkeypatch.setattr(outbound, "get", down)
    # The provider fails again before the browser returns: nobody is signed in. For a minute, a new sign-in is still
    # redirected.
    page = browser.get(way_back(world), back)
    assert (page.status_code, who(browser)) == (502, "")
    assert begin(Client()).startswith(provider.issuer)
    travel.to(at + dt.timedelta(seconds=DOWN_SECONDS + DISCOVERED_SECONDS))
    assert Client().post(reverse("web:sso"), {"email": "ada@contoso.example"}).status_code == 502


def test_over_tls_the_cookie_of_the_round_trip_is_this_very_hosts(
    world: Cast, provider: Provider, settings: Any
) -> None:
    settings.SESSION_COOKIE_SECURE = True
    browser = Client()
    back = provider.comes(begin(browser))
    stored = browser.cookies["__Host-lockbox_sso"]
    assert (stored["path"], stored["domain"], stored["secure"], stored["httponly"], stored["samesite"]) == (
        "/",
        "",
        True,
        True,
        "Lax",
    )
    page = browser.get(way_back(world), back)
    assert (page.status_code, page.cookies["__Host-lockbox_sso"]["max-age"]) == (200, 0)
    assert who(browser) == str(world.ada.pk)


def test_a_secret_sealed_with_a_former_key_is_sealed_again_within_the_hour(
    world: Cast, provider: Provider, settings: Any
) -> None:
    settings.WEBHOOK_KEYS = ["first"]
    connect(world, provider, client_secret="s3cret")
    settings.WEBHOOK_KEYS = ["second", "first"]
    tasks.tidy_webhooks()
    settings.WEBHOOK_KEYS = ["second"]
    assert sealing.opened(SignOn.objects.get().sealed) == "s3cret"
    assert who(comes(world, provider).browser) == str(world.ada.pk)
    settings.WEBHOOK_KEYS = ["third"]
    tasks.tidy_webhooks()
    assert "The client’s secret can’t be read" in (
        signed_in(world, "ines").post(reverse("web:sign_on_test", args=[world.contoso.pk])).content.decode()
    )


# --- The only way in -----------------------------------------------------------------------------------------


def test_with_only_single_sign_on_just_the_break_glass_password_works(
    world: Cast, provider: Provider, mailoutbox: list[Any]
) -> None:
    connect(world, provider, is_only=True, break_glass_id=world.ines.pk)
    browser = Client()
    wrong = browser.post(reverse("account_login"), {"login": "nobody@contoso.example", "password": "x"})
    right = browser.post(reverse("account_login"), {"login": world.ada.email, "password": PASSWORD})
    assert who(browser) == ""
    assert right.context["form"].errors == wrong.context["form"].errors
    browser.post(reverse("account_reset_password"), {"email": world.ada.email})
    outbox.drain(limit=50)
    assert not any("password" in mail.subject for mail in mailoutbox)
    with pytest.raises(NotAllowed):
        operations.set_password(actor=world.as_("ada"), password="another battery of 7 horses", how="reset")
    assert not Person.objects.get(pk=world.ada.pk).check_password(PASSWORD)
    assert Person.objects.get(pk=world.frida.pk).check_password(PASSWORD)
    glass = Client()
    sign_in(world.ines, PASSWORD, client=glass)
    assert who(glass) == str(world.ines.pk)
    assert events_in(world.contoso)[-1] == "sign_on.bypassed"
    assert OutboxMessage.objects.filter(topic="notify.sign_on_bypassed").count() == 1
    assert who(comes(world, provider).browser) == str(world.ada.pk)
    mia = comes(world, provider, "s-mia").browser
    assert "can’t use a password here" in mia.get(reverse("web:security_set_up")).content.decode()


def test_with_only_single_sign_on_a_token_learns_that_no_password_works(world: Cast, provider: Provider) -> None:
    connect(world, provider, is_only=True, break_glass_id=world.ines.pk)
    ada, ines = (Caller(token_of(world, name, fresh=False)) for name in ("ada", "ines"))
    with only_a_refusal():
        refused = ada.step_up()
    assert (refused.status_code, refused.json()["code"]) == (403, "step_up_required")
    assert "no password is accepted here" in str(refused.json())
    assert ines.step_up().status_code == 200
    assert "password or the code is not right" in str(ines.post("me/step-up", {"password": "wrong"}).json())
    assert set(Token.objects.filter(stepped_up_at=None).values_list("account__name", flat=True)) == {"Ada Test"}


def test_single_sign_on_as_the_only_way_needs_a_break_glass_person(world: Cast, provider: Provider) -> None:
    for more in (
        {"is_only": True},
        {"is_only": True, "break_glass_id": world.ada.pk},
        {"is_only": True, "is_on": False},
    ):
        with pytest.raises(Unacceptable):
            connect(world, provider, **more)
    world.ines.set_unusable_password()
    world.ines.save()
    with pytest.raises(Unacceptable, match="neither a password nor a passkey"):
        connect(world, provider, is_only=True, break_glass_id=world.ines.pk)
    assert SignOn.objects.get().is_only is False


def test_the_break_glass_person_stays_an_administrator_through_every_interface(world: Cast, provider: Provider) -> None:
    operations.give_role(world.contoso.pk, world.mia.pk, role="administrator", actor=world.as_("ines"))
    operations.give_role(world.contoso.pk, world.mia.pk, role="auditor", actor=world.as_("ines"))
    connect(
        world,
        provider,
        is_only=True,
        break_glass_id=world.mia.pk,
        groups_claim="groups",
        role_map={"Chiefs": "administrator"},
    )
    before, pk = events_in(world.contoso), world.mia.pk
    off, profile = reverse("web:person", args=[world.contoso.pk, pk]), Profile(is_active=False)
    for refused in (
        lambda: operations.take_role(world.contoso.pk, pk, role="administrator", actor=world.as_("ines")),
        lambda: operations.switch_off_person(pk, actor=world.as_("ines")),
        lambda: operations.switch_off_person(pk, actor=world.as_("stella")),
        lambda: operations.change_provisioned(world.contoso.pk, pk, profile=profile, actor=world.as_("ines")),
        lambda: operations.remove_provisioned(world.contoso.pk, pk, actor=world.as_("ines")),
    ):
        with pytest.raises(WrongState, match="can sign in without single sign-on"):
            refused()
    page = signed_in(world, "ines").post(off, {"act": "switch_off"})
    assert (page.status_code, "can sign in without single sign-on" in page.content.decode()) == (409, True)
    provider.knows("s-mia", email="mia@contoso.example", email_verified=True, groups=[])
    assert who(comes(world, provider, "s-mia").browser) == str(pk)
    assert "administrator" in world.mia.memberships.values_list("role", flat=True)
    assert set(events_in(world.contoso)) - set(before) == {"act.refused", "identity.linked"}
    connect(world, provider, is_only=True, break_glass_id=world.ines.pk)
    operations.take_role(world.contoso.pk, pk, role="administrator", actor=world.as_("ines"))


def test_the_recovery_key_leads_past_single_sign_on(world: Cast, provider: Provider, travel: Any) -> None:
    at = travel.freeze()
    key = operations.make_recovery_key(world.contoso.pk, actor=world.as_("ines")).key
    connect(world, provider, is_only=True, break_glass_id=world.ines.pk)
    stranger = Actor.stranger(door="pages", ip="192.0.2.1")
    operations.use_recovery_key(key, email="grace@contoso.example", actor=stranger)
    travel.to(at + dt.timedelta(days=3))
    row = Invitation.objects.get(invited_by=None)
    person = operations.accept_invitation(
        world.link_of(row), name="Grace", password="another battery of 7 horses", actor=stranger
    )
    assert SignOn.objects.get().break_glass == person
    assert not person.signs_in_elsewhere()
    assert events_in(world.contoso)[-3:] == ["invitation.accepted", "role.given", "sign_on.changed"]


# --- One human -----------------------------------------------------------------------------------------------


GOOD = "a long and unheard-of phrase 7"


def accepts(cast: Cast, provider: Provider, row: Invitation, subject: str, browser: Client | None = None) -> Any:
    """Accept an invitation with single sign-on: enter a name, sign in as this subject, and come back."""
    browser = browser or Client()
    page: Any = browser.post(reverse("web:invitation", args=[cast.link_of(row)]), {"name": "Grace Test"})
    assert page.status_code == 200, page.content.decode()
    back = provider.comes(onward(page), subject)
    page = browser.get(provider.way_back, back)
    page.browser = browser
    return page


def test_an_invited_person_with_single_sign_on_needs_no_password(world: Cast, provider: Provider) -> None:
    provider.knows("s-grace", email="Grace@contoso.example", email_verified=True)
    row = world.invited("grace@contoso.example", role="approver")
    here = reverse("web:invitation", args=[world.link_of(row)])
    page = Client().get(here).content.decode()
    assert 'name="password"' not in page
    assert "Continue to single sign-on" in page
    with nothing_happens():
        assert Client().post(here, {"name": "Grace", "password": GOOD}).status_code == 400
        with pytest.raises(NotAllowed):
            operations.accept_invitation(
                world.link_of(row), name="Grace", password=GOOD, actor=Actor.stranger(door="pages")
            )
    arrived = accepts(world, provider, row, "s-grace")
    assert arrived.status_code == 200, arrived.content.decode()
    grace = Person.objects.get(email="grace@contoso.example")
    assert (grace.name, grace.has_usable_password(), who(arrived.browser)) == ("Grace Test", False, str(grace.pk))
    assert list(grace.memberships.values_list("role", flat=True)) == ["approver"]
    assert Identity.objects.get(person=grace).subject == "s-grace"
    assert "invitation.accepted" in events_in(world.contoso)
    assert arrived.browser.get("/")["Location"].startswith(reverse("web:security_add_passkey"))
    # From now on the person signs in without the link.
    assert who(comes(world, provider, "s-grace").browser) == str(grace.pk)
    # The person sees both sessions, and can end them.
    assert len(sessions.of(grace, this=None)) == 2


@pytest.mark.parametrize(("factor", "status"), [("passkey", 302), ("app", 403)])
def test_after_an_invitation_through_single_sign_on_only_a_first_passkey_is_a_proof(
    world: Cast, provider: Provider, factor: str, status: int
) -> None:
    """A person without a password could not confirm with the app alone, so setting it up proves nothing either."""
    provider.knows("s-grace", email="Grace@contoso.example", email_verified=True)
    browser = accepts(world, provider, world.invited("grace@contoso.example", role="administrator"), "s-grace").browser
    _adds(browser, factor)
    assert browser.post(reverse("web:tenant", args=[world.contoso.pk]), {"window_cap": "3600"}).status_code == status


@pytest.mark.parametrize("factor", ["passkey", "app"])
def test_a_first_second_factor_after_any_other_single_sign_on_is_no_proof(
    world: Cast, provider: Provider, factor: str
) -> None:
    Authenticator.objects.filter(user=world.ada).delete()
    Person.objects.filter(pk=world.ada.pk).update(totp_set_up_at=None)
    operations.give_role(world.contoso.pk, world.ada.pk, role="administrator", actor=world.as_("ines"))
    browser = comes(world, provider).browser
    _adds(browser, factor)
    with nothing_happens():
        answer = browser.post(reverse("web:tenant", args=[world.contoso.pk]), {"window_cap": "3600"})
    assert answer.status_code == 403


def _adds(browser: Client, factor: str) -> None:
    answer = set_up_app(browser) if factor == "app" else added(browser, Device(origin=ORIGIN))
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("subject", "claims"),
    [
        ("s-other", {"email": "other@contoso.example", "email_verified": True}),
        ("s-unproven", {"email": "grace@contoso.example", "email_verified": False}),
        ("s-none", {}),
    ],
)
def test_only_the_invited_address_accepts_with_single_sign_on(
    world: Cast, provider: Provider, subject: str, claims: dict[str, Any]
) -> None:
    provider.knows(subject, **claims)
    row = world.invited("grace@contoso.example")
    page = accepts(world, provider, row, subject)
    assert (page.status_code, who(page.browser)) == (403, "")
    assert not Person.objects.filter(email="grace@contoso.example").exists()
    row.refresh_from_db()
    assert row.accepted_at is None


def test_an_identity_that_has_an_account_accepts_no_second_one(world: Cast, provider: Provider) -> None:
    """Ada's address at the identity provider changed to the invited one. Her identity keeps its account here."""
    comes(world, provider)
    row = world.invited("grace@contoso.example")
    provider.knows("s-ada", email="grace@contoso.example", email_verified=True)
    page = accepts(world, provider, row, "s-ada")
    provider.knows("s-ada", email="Ada@contoso.example", email_verified=True)
    assert (page.status_code, who(page.browser)) == (403, "")
    assert not Person.objects.filter(email="grace@contoso.example").exists()


def test_an_invitation_that_ends_on_the_way_signs_nobody_in(world: Cast, provider: Provider) -> None:
    provider.knows("s-grace", email="grace@contoso.example", email_verified=True)
    row, browser = world.invited("grace@contoso.example"), Client()
    page = browser.post(reverse("web:invitation", args=[world.link_of(row)]), {"name": "Grace Test"})
    back = provider.comes(onward(page), "s-grace")
    operations.withdraw_invitation(row.pk, actor=world.as_("ines"))
    page = browser.get(provider.way_back, back)
    assert (page.status_code, who(browser)) == (404, "")
    assert not Person.objects.filter(email="grace@contoso.example").exists()


def test_another_organisations_sign_on_accepts_no_invitation(world: Cast, provider: Provider) -> None:
    """Fabrikam uses the same issuer. Its connection does not accept an invitation to Contoso."""
    row = world.invited("grace@contoso.example")
    identity = operations.AssertedIdentity(
        issuer=provider.issuer, subject="s-grace", email="grace@contoso.example", email_is_verified=True
    )
    for via in (str(world.fabrikam.pk), "provider", ""):
        with nothing_happens(), pytest.raises(NotAllowed):
            operations.accept_invitation(
                world.link_of(row), name="Grace", came=identity, via=via, actor=Actor.stranger(door="pages")
            )
    with nothing_happens(), pytest.raises(NotAllowed):
        operations.accept_invitation(
            world.link_of(row),
            name="Grace",
            password=GOOD,
            came=identity,
            via=str(world.contoso.pk),
            actor=Actor.stranger(door="pages"),
        )


def test_a_colleague_accepts_with_the_providers_single_sign_on(cast: Cast, provider: Provider, settings: Any) -> None:
    settings.SSO_ISSUER, settings.SSO_CLIENT_ID, settings.SSO_CLIENT_SECRET = provider.issuer, "lockbox", "x"
    settings.SSO_DOMAINS = frozenset({"provider.example"})
    cast.peaceful()
    provider.knows("s-sam", email="sam@provider.example", email_verified=True)
    row, outside = cast.invited_colleague("sam@provider.example", "staff"), cast.invited_colleague("sam@else.example")
    assert 'name="password"' in Client().get(reverse("web:invitation", args=[cast.link_of(outside)])).content.decode()
    arrived = accepts(cast, provider, row, "s-sam")
    sam = Person.objects.get(email="sam@provider.example")
    assert (who(arrived.browser), sam.is_staff, sam.has_usable_password()) == (str(sam.pk), True, False)
    assert Identity.objects.get(person=sam).tenant is None


def test_where_single_sign_on_is_the_only_way_no_invitation_sets_a_password(world: Cast, provider: Provider) -> None:
    early = world.invited("early@elsewhere.example")
    connect(world, provider, is_only=True, break_glass_id=world.ines.pk)
    with pytest.raises(Unacceptable) as refusal:
        world.invited("late@elsewhere.example")
    assert refusal.value.field == "email"
    with nothing_happens():
        page = Client().post(
            reverse("web:invitation", args=[world.link_of(early)]), {"name": "Early", "password": GOOD}
        )
        assert page.status_code == 422
    assert not Person.objects.filter(email__endswith="elsewhere.example").exists()


def test_the_same_subject_on_two_accounts_is_one_human(world: Cast, provider: Provider, settings: Any) -> None:
    settings.SSO_ISSUER, settings.SSO_CLIENT_ID, settings.SSO_CLIENT_SECRET = provider.issuer, "lockbox", "x"
    settings.SSO_DOMAINS = frozenset({"provider.example"})
    provider.knows("s-two", email="priya@provider.example", email_verified=True)
    browser = Client()
    back = provider.comes(begin(browser, "anybody@provider.example"), "s-two")
    assert browser.get(provider.way_back, back).status_code == 200
    assert who(browser) == str(world.priya.pk)
    provider.knows("s-two", email="ada@contoso.example", email_verified=True)
    comes(world, provider, "s-two")
    ada, priya = (Person.objects.get(pk=each.pk) for each in (world.ada, world.priya))
    assert ada.human_id == priya.human_id


# --- The administrator's pages -------------------------------------------------------------------------------


def test_an_administrator_sets_it_up_tests_it_and_reads_the_result(cast: Cast, provider: Provider) -> None:
    ines = signed_in(cast, "ines")
    page = reverse("web:sign_on", args=[cast.contoso.pk])
    form = {
        "issuer": provider.issuer,
        "client_id": "lockbox",
        "client_secret": "s3cret",
        "scopes": "openid profile email",
        "key_claim": "sub",
        "groups_claim": "groups",
        "role_map": "Deciders = approver\n a = b = auditor ",
        "is_on": "on",
        "break_glass_id": "",
    }
    refused = signed_in(cast, "ines", fresh=False).post(page, form)
    assert (refused.status_code, SignOn.objects.count()) == (403, 0)
    assert ines.post(page, form).status_code == 302
    row = SignOn.objects.get()
    assert row.role_map == {"Deciders": "approver", "a = b": "auditor"}
    assert events_in(cast.contoso)[-1] == "sign_on.changed"
    assert "s3cret" not in bytes(AuditEntry.objects.latest("pk").canonical).decode()
    assert OutboxMessage.objects.filter(topic="notify.sign_on_changed").count() == 1
    shown = ines.get(page).content.decode()
    assert "s3cret" not in shown
    assert django_settings.BASE_URL + way_back(cast) in shown
    provider.knows("s-ada", email="ada@contoso.example", email_verified=True, groups=["Deciders"])
    with nothing_happens():
        begun = ines.post(reverse("web:sign_on_test", args=[cast.contoso.pk]))
        back = provider.comes(onward(begun))
        text = ines.get(way_back(cast), back).content.decode()
    for words in (
        "The connection works",
        "s-ada",
        "ada@contoso.example",
        "approver",
        "No account here matches this person, so a real sign-in is refused.",
    ):
        assert words in text
    assert (who(ines), Identity.objects.count()) == (str(cast.ines.pk), 0)
    connect(cast, provider, issuer=f"{provider.issuer}/nowhere", client_secret="")
    failed = ines.post(reverse("web:sign_on_test", args=[cast.contoso.pk])).content.decode()
    assert "The test failed" in failed
    assert "could not be read" in failed


def test_the_second_of_two_simultaneous_changes_of_sign_on_is_refused(cast: Cast, provider: Provider) -> None:
    """The form sets the whole connection, so the second change would undo the first.

    For example, nobody would notice that another person can now bypass single sign-on.
    """
    ines, page = signed_in(cast, "ines"), reverse("web:sign_on", args=[cast.contoso.pk])

    def form(read: Any, **typed: str) -> dict[str, str]:
        fixed = {"issuer": provider.issuer, "client_id": "lockbox", "scopes": "openid", "key_claim": "sub"}
        return {**fixed, "client_secret": "", "shown": read.context["form"]["shown"].value() or "", **typed}

    empty = ines.get(page)
    connect(cast, provider)
    full = ines.get(page)
    connect(cast, provider, is_only=True, break_glass_id=cast.ines.pk)
    was = SignOn.objects.values().get()
    for stale in (empty, full):
        with only_a_refusal():
            refused = ines.post(page, form(stale, client_secret="evil"))
        words = "Somebody else has just changed single sign-on." in refused.content.decode()
        assert (refused.status_code, words) == (409, True)
    assert ines.post(page, form(full, shown="yesterday")).status_code == 400
    assert SignOn.objects.values().get() == was
    assert ines.post(page, form(ines.get(page))).status_code == 302
    assert not SignOn.objects.get().is_only
    # Over the API, the caller has read the settings before anybody set up a connection.
    changed_at = SignOn.objects.get().changed_at
    connection = Connection(issuer=provider.issuer, client_id="x", role_map={})
    for seen in (None, changed_at - dt.timedelta(microseconds=1)):
        with only_a_refusal(), pytest.raises(WrongState):
            operations.set_sign_on(cast.contoso.pk, connection=connection, was=seen, actor=cast.as_("ines"))


def test_staff_test_the_providers_own_and_nobody_else_does(cast: Cast, provider: Provider, settings: Any) -> None:
    staff, page = signed_in(cast, "stella"), reverse("admin:single_sign_on")
    settings.SSO_ISSUER, settings.SSO_CLIENT_ID, settings.SSO_CLIENT_SECRET = provider.issuer, "lockbox", "s3cret"
    settings.SSO_DOMAINS = frozenset({"provider.example"})
    shown = staff.get(page).content.decode()
    assert (provider.issuer in shown, "provider.example" in shown, "s3cret" in shown) == (True, True, False)
    provider.knows("s-priya", email="priya@provider.example", email_verified=True)
    with nothing_happens():
        back = provider.comes(onward(staff.post(reverse("web:sso_test"))), "s-priya")
        text = staff.get(provider.way_back, back).content.decode()
    assert "The test worked" in text
    assert "priya@provider.example" in text
    assert (who(staff), Identity.objects.count()) == (str(cast.stella.pk), 0)
    for name in ("ines", "priya", "pat"):
        assert signed_in(cast, name).post(reverse("web:sso_test")).status_code == 403, name
    # A member of staff begins the test, and is no longer staff on return. The cookie says who began it.
    back = provider.comes(onward(staff.post(reverse("web:sso_test"))), "s-priya")
    Person.objects.filter(pk=cast.stella.pk).update(is_staff=False)
    assert staff.get(provider.way_back, back).status_code == 403
    Person.objects.filter(pk=cast.stella.pk).update(is_staff=True)
    settings.SSO_ISSUER = ""
    assert staff.post(reverse("web:sso_test")).status_code == 404
    assert "Single sign-on is not set up" in staff.get(page).content.decode()


def test_an_unlinked_person_is_signed_out_immediately_and_found_again(world: Cast, provider: Provider) -> None:
    browser, pk = comes(world, provider).browser, world.ada.pk
    row, page = Identity.objects.get(), reverse("web:person", args=[world.contoso.pk, pk])
    human = Person.objects.get(pk=pk).human_id
    for name in ("ada", "mia", "otto", "stella"):
        with pytest.raises(NotAllowed):
            operations.unlink_identity(row.pk, actor=world.as_(name))
    with pytest.raises(NotFound):
        operations.unlink_identity(row.pk, actor=world.as_("finn"))
    with pytest.raises(StepUpRequired):
        operations.unlink_identity(row.pk, actor=world.as_("ines", fresh=False))
    ines = signed_in(world, "ines")
    other = reverse("web:person", args=[world.contoso.pk, world.mia.pk])
    assert ines.post(other, {"act": "unlink", "identity": row.pk}).status_code == 404
    assert ines.post(page, {"act": "unlink"}).status_code == 400
    assert Identity.objects.count() == 1
    assert "s-ada" in ines.get(page).content.decode()
    assert ines.post(page, {"act": "unlink", "identity": row.pk}).status_code == 302
    assert (Identity.objects.count(), events_in(world.contoso)[-1]) == (0, "identity.unlinked")
    assert browser.get("/").status_code == 302
    assert Person.objects.get(pk=pk).human_id == human
    # The person gets a new subject at the issuer.
    provider.knows("s-ada-2", email="ada@contoso.example", email_verified=True)
    assert who(comes(world, provider, "s-ada-2").browser) == str(pk)
    assert Identity.objects.get().subject == "s-ada-2"


def test_a_machine_says_nothing_of_where_people_sign_in(world: Cast, provider: Provider) -> None:
    """A client can't change single sign-on or domains.

    Otherwise a thief of its secret could sign in as anybody.
    """
    with pytest.raises(Unacceptable):
        client_of(world, "contoso", Scope.SIGN_ON_MANAGE)
    caller = caller_for(world, "contoso", Scope.TENANT_MANAGE, Scope.TENANT_READ)
    address = f"tenants/{world.contoso.pk}/sign-on"
    assert caller.put(address, {"issuer": "https://evil.example", "client_id": "x"}).status_code == 403
    # A scope that was written into the database does not help either.
    both = ["tenant:manage", "sign-on:manage"]
    Client_.objects.update(scopes=both)
    Token.objects.update(scopes=both)
    row, domain = SignOn.objects.get(), Domain.objects.get()
    for refused in (
        caller.put(address, {"issuer": "https://evil.example", "client_id": "x", "client_secret": "x"}),
        caller.post(f"tenants/{world.contoso.pk}/domains", {"name": "evil.example"}),
        caller.delete(f"domains/{domain.pk}"),
    ):
        assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
    row.refresh_from_db()
    assert (row.issuer, Domain.objects.count()) == (provider.issuer, 1)


def test_the_provider_cannot_change_a_tenants_sign_on_through_any_interface(world: Cast, provider: Provider) -> None:
    """The owner of the issuer could sign in as an approver of the tenant (threat 16)."""
    comes(world, provider)
    known, domain, pk = Identity.objects.get(), Domain.objects.get(), world.contoso.pk
    was = list(SignOn.objects.values()), list(Domain.objects.values()), list(Identity.objects.values())
    evil: dict[str, Any] = {"issuer": "https://evil.example", "client_id": "x", "client_secret": "x"}
    acts: list[Callable[[Any], Any]] = [
        lambda actor: operations.set_sign_on(pk, connection=Connection(**evil, role_map={}), was=None, actor=actor),
        lambda actor: operations.claim_domain(pk, name="evil.example", actor=actor),
        lambda actor: operations.verify_domain(domain.pk, actor=actor),
        lambda actor: operations.remove_domain(domain.pk, actor=actor),
        lambda actor: operations.unlink_identity(known.pk, actor=actor),
        lambda actor: operations.provision_role(pk, role="approver", to=frozenset({world.mia.pk}), actor=actor),
    ]
    for name in ("stella", "priya", "pat"):
        for act in acts:
            with pytest.raises((NotAllowed, NotFound)):
                act(world.as_(name))
        caller = Caller(token_of(world, name))
        caller.step_up()
        for call in (
            caller.put(f"tenants/{pk}/sign-on", evil),
            caller.post(f"tenants/{pk}/domains", {"name": "evil.example"}),
            caller.post(f"domains/{domain.pk}/check"),
            caller.delete(f"domains/{domain.pk}"),
            caller.delete(f"identities/{known.pk}"),
            caller.get(f"tenants/{pk}/identities"),
            caller.get("/scim/v2/Groups"),
        ):
            assert call.status_code in (403, 404), (name, call.content)
        browser = signed_in(world, name)
        for page in ("sign_on", "sign_on_domains", "sign_on_test"):
            assert browser.post(reverse(f"web:{page}", args=[pk]), {}).status_code in (403, 404), (name, page)
    staff = signed_in(world, "stella")
    one = SignOn.objects.get()
    assert staff.get(reverse("admin:requests_app_signon_change", args=[one.pk])).status_code == 200
    assert staff.post(reverse("admin:requests_app_signon_change", args=[one.pk]), evil).status_code == 403
    assert staff.post(reverse("admin:requests_app_signon_add"), evil).status_code == 403
    unlinked = staff.post(reverse("admin:requests_app_identity_act", args=[known.pk, "unlink"]))
    assert unlinked.status_code == 403
    assert (list(SignOn.objects.values()), list(Domain.objects.values()), list(Identity.objects.values())) == was
    assert set(events_in(world.contoso)) == {"sign_on.changed", "identity.linked", "act.refused"}


def test_over_the_api_it_is_read_set_and_never_shows_its_secret(cast: Cast, provider: Provider) -> None:
    ines = Caller(token_of(cast, "ines", Scope.SIGN_ON_MANAGE, Scope.TENANT_READ, Scope.MEMBERS_READ))
    address = f"tenants/{cast.contoso.pk}/sign-on"
    assert ines.get(address).status_code == 404
    fields = {
        "issuer": provider.issuer,
        "client_id": "lockbox",
        "client_secret": "s3cret",
        "role_map": {"G": "auditor"},
    }
    stale = Caller(token_of(cast, "ines", fresh=False))
    assert (stale.put(address, fields).status_code, SignOn.objects.count()) == (403, 0)
    made = ines.put(address, fields)
    assert made.status_code == 200
    assert made.json() == ines.get(address).json()
    assert "s3cret" not in made.content.decode()
    assert made.json()["redirect_uri"] == django_settings.BASE_URL + way_back(cast)
    for wrong in ({"is_on": "yes"}, {"tenant": "x"}, {"role_map": {"G": "emperor"}}):
        assert ines.put(address, {**fields, **wrong}, If_Match=made["ETag"]).status_code == 422
    for headers, status, code in (
        ({"If_Match": '"x"'}, 412, "precondition_failed"),
        ({}, 428, "precondition_required"),
    ):
        refused = ines.put(address, {**fields, "is_on": True}, **headers)
        assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert (SignOn.objects.get().is_on, events_in(cast.contoso)[-1]) == (False, "sign_on.changed")
    response = ines.put(address, {**fields, "client_secret": "", "is_on": True}, If_Match=made["ETag"])
    assert (response.status_code, response.json()["is_on"]) == (200, True)
    assert sealing.opened(SignOn.objects.get().sealed) == "s3cret"
    for name in ("ada", "otto", "mia"):
        other = Caller(token_of(cast, name))
        assert (other.get(address).status_code, other.put(address, fields).status_code) == (403, 403), name
    narrow = Caller(token_of(cast, "ines", Scope.TENANT_READ, Scope.TENANT_MANAGE))
    assert (narrow.get(address).status_code, narrow.put(address, fields).status_code) == (200, 403)
    domain = ines.post(f"tenants/{cast.contoso.pk}/domains", {"name": "contoso.example"})
    assert (domain.status_code, domain.json()["verified_at"]) == (201, None)
    one = domain["Location"]
    assert ines.get(one).json() == domain.json()
    assert Caller(token_of(cast, "mia")).get(one).status_code == 403
    assert ines.get(f"tenants/{cast.contoso.pk}/domains").json()["items"] == [domain.json()]
    Domain.objects.update(verified_at=clock.now())
    provider.knows("s-ada", email="ada@contoso.example", email_verified=True)
    comes(cast, provider)
    [known] = ines.get(f"tenants/{cast.contoso.pk}/identities").json()["items"]
    assert (known["person"]["id"], known["subject"]) == (str(cast.ada.pk), "s-ada")
    assert ines.delete(f"identities/{known['id']}").status_code == 204
    assert ines.delete(f"identities/{known['id']}").status_code == 404
    assert ines.delete(one).status_code == 204
    assert (Identity.objects.count(), Domain.objects.count()) == (0, 0)


def test_nobody_else_has_the_server_look_at_a_domain(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    row = operations.claim_domain(cast.contoso.pk, name="contoso.example", actor=cast.as_("ines"))
    monkeypatch.setattr(domains, "problem", lambda *_: pytest.fail("it was asked"))
    for name in ("ada", "mia", "otto", "stella"):
        with pytest.raises(NotAllowed):
            operations.verify_domain(row.pk, actor=cast.as_(name))


def test_an_inner_address_is_no_issuer(cast: Cast, provider: Provider, settings: Any) -> None:
    settings.SSO_PRIVATE_NETWORK = False
    for issuer in ("http://idp.example", "https://127.0.0.1", "https://[::ffff:10.0.0.1]", "https://169.254.169.254"):
        with pytest.raises(Unacceptable):
            connect(cast, provider, issuer=issuer)
    assert SignOn.objects.count() == 0


def test_a_domain_is_verified_by_its_web_server(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    ines, page = signed_in(cast, "ines"), reverse("web:sign_on_domains", args=[cast.contoso.pk])
    assert ines.post(page, {"name": "Contoso.example"}).status_code == 302
    row = Domain.objects.get()
    assert row.challenge in ines.get(page).content.decode()
    shown: dict[str, Any] = {"status": 404, "body": b""}
    monkeypatch.setattr(
        domains.outbound, "get", lambda url, **_: domains.outbound.Answer(shown["status"], "", shown["body"])
    )
    assert "does not send the file" in ines.post(page, {"check_domain": row.pk}).content.decode()
    shown["status"], shown["body"] = 200, b"something else"
    assert ines.post(page, {"check_domain": row.pk}).status_code == 409
    assert Domain.objects.get().verified_at is None
    shown["body"] = f"\n{row.challenge}\n".encode()
    assert ines.post(page, {"check_domain": row.pk}).status_code == 302
    assert events_in(cast.contoso)[-1] == "domain.verified"
    # Another tenant can claim the same domain, and has not verified it.
    finn, other = signed_in(cast, "finn"), reverse("web:sign_on_domains", args=[cast.fabrikam.pk])
    finn.post(other, {"name": "contoso.example"})
    theirs = Domain.objects.get(tenant=cast.fabrikam)
    shown["body"] = theirs.challenge.encode()
    assert "Another organisation has already verified" in finn.post(other, {"check_domain": theirs.pk}).content.decode()
    assert finn.post(other, {"remove_domain": row.pk}).status_code == 404
    assert ines.post(page, {"remove_domain": row.pk}).status_code == 302
    assert Domain.objects.filter(tenant=cast.contoso).count() == 0
    assert ines.post(page, {"name": "localhost"}).status_code == 422


@pytest.mark.parametrize("name", ["mia", "ada", "otto", "stella"])
def test_only_the_administrator_sees_or_changes_it(cast: Cast, name: str) -> None:
    browser = signed_in(cast, name)
    for page in ("sign_on", "sign_on_domains"):
        assert browser.get(reverse(f"web:{page}", args=[cast.contoso.pk])).status_code == 403
        assert browser.post(reverse(f"web:{page}", args=[cast.contoso.pk]), {}).status_code == 403
    assert browser.post(reverse("web:sign_on_test", args=[cast.contoso.pk])).status_code == 403
