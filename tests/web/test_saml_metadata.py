"""The metadata of SAML identity providers: read again at its address, for tenants and for the provider."""

from __future__ import annotations

import datetime as dt
import io
import json
from pathlib import Path
from typing import Any

import pytest
from django.core import mail as mails
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from audit_app.models import AuditEntry
from lockbox_site.doctor import of_sign_on
from lockbox_site.doctor.findings import Level
from requests_app import operations, tasks
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.certificates import fingerprint
from requests_app.domain.errors import NotAllowed, Unacceptable
from requests_app.domain.events import PROVIDER_LOG
from requests_app.models import Identity, OutboxMessage, Person, ProviderSignOn, SignOn
from requests_app.queries import monitoring, sign_on_metadata
from requests_app.work import outbox
from tests import saml_idp
from tests.caller import Caller, token_of
from tests.cast import Cast, events_in
from tests.saml_idp import asked, good, key_pair, signed_metadata
from tests.web.pages import nothing_happens, signed_in
from tests.web.saml_trips import (
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
)

pytestmark = pytest.mark.django_db

URL = "https://idp.contoso.example/metadata"


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    quick_keys(monkeypatch)


@pytest.fixture
def world(cast: Cast) -> Cast:
    return connected(cast)


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Address:
    return Address(monkeypatch)


def _round(travel: Any) -> None:
    travel.by(hours=1, seconds=1, tick=True)
    tasks.refresh_sign_ons()


def test_one_new_key_at_the_address_is_used_and_everybody_who_decides_hears_of_it(
    world: Cast, address: Address, travel: Any
) -> None:
    connect(world, metadata_url=URL)
    OutboxMessage.objects.all().delete()
    next_key = key_pair("next")
    address.body = saml_idp.metadata(key_pair()[1], next_key[1])
    tasks.refresh_sign_ons()
    assert len(SignOn.objects.get().identity_provider["certificates"]) == 1, "it is read each hour"
    _round(travel)
    assert len(SignOn.objects.get().identity_provider["certificates"]) == 2
    assert events_in(world.contoso)[-1] == "sign_on.idp_keys_changed"
    assert set(OutboxMessage.objects.values_list("topic", flat=True)) == {"notify.sign_on_changed"}
    browser = Client()
    question = begin(browser)
    assert send(browser, question, good(says(question), key=next_key)).status_code == 200
    # The former key has gone: it counts no more.
    address.body = saml_idp.metadata(next_key[1])
    _round(travel)
    browser = Client()
    question = begin(browser)
    assert send(browser, question, good(says(question))).status_code == 403


@pytest.mark.parametrize("what", ["all_keys", "entity_id", "sso_url"])
def test_metadata_that_has_changed_too_much_waits_for_the_administrator(
    world: Cast, address: Address, travel: Any, what: str
) -> None:
    connect(world, metadata_url=URL)
    stranger = key_pair("stranger")
    address.body = {
        "all_keys": saml_idp.metadata(stranger[1]),
        "entity_id": saml_idp.metadata(entity_id="https://other.example"),
        "sso_url": saml_idp.metadata(sso_url="https://other.example/sso"),
    }[what]
    before = SignOn.objects.get()
    OutboxMessage.objects.all().delete()
    _round(travel)
    row = SignOn.objects.get()
    assert (row.identity_provider, row.issuer) == (before.identity_provider, before.issuer)
    assert (row.metadata_problem, row.changed_at) == (what, before.changed_at)
    entries = events_in(world.contoso).count("sign_on.idp_keys_changed")
    assert (entries, OutboxMessage.objects.exists()) == (1, True)
    _round(travel)
    assert events_in(world.contoso).count("sign_on.idp_keys_changed") == 1, "it is said once"
    ines = signed_in(world, "ines")
    assert "has changed" in ines.get(reverse("web:sign_on_saml", args=[world.contoso.pk])).content.decode()
    connect(world, metadata_url=URL)
    row = SignOn.objects.get()
    assert row.identity_provider != before.identity_provider or row.issuer != before.issuer
    assert row.metadata_problem == ""


def test_what_an_administrator_saved_while_the_metadata_was_read_stays(
    world: Cast, address: Address, travel: Any
) -> None:
    connect(world, metadata_url=URL)
    address.body = saml_idp.metadata(key_pair()[1], key_pair("next")[1])
    address.meanwhile = lambda: SignOn.objects.update(changed_at=clock.now(), email_claim="of the administrator")
    _round(travel)
    row = SignOn.objects.get()
    assert (row.email_claim, len(row.identity_provider["certificates"])) == ("of the administrator", 1)


def test_an_address_that_does_not_answer_changes_nothing_until_the_metadata_ends(
    world: Cast, address: Address, travel: Any
) -> None:
    until = (clock.now() + dt.timedelta(hours=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    address.body = saml_idp.metadata(until=until)
    connect(world, metadata_url=URL)
    address.body = b""
    _round(travel)
    assert SignOn.objects.get().metadata_problem == "unreachable"
    assert comes().status_code == 200
    travel.by(hours=3, tick=True)
    page = Client().post(reverse("web:sso"), {"email": "somebody@contoso.example"})
    assert (page.status_code, "has expired" in page.content.decode()) == (403, True)


def drained() -> None:
    for _ in range(2):
        outbox.drain(limit=500)


def outbox_mails(address: str) -> list[Any]:
    return [each for each in mails.outbox if address in each.to]


def _mailed(trouble: str) -> list[str]:
    rows = OutboxMessage.objects.filter(topic="notify.sign_on_changed", payload__keys=trouble)
    return sorted(set(rows.values_list("recipient", flat=True)))


def test_metadata_that_ends_is_reported_once_before_and_once_after(world: Cast, travel: Any) -> None:
    until = (clock.now() + dt.timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    connect(world, metadata=saml_idp.metadata(until=until).decode())
    tasks.refresh_sign_ons()
    assert (_mailed("ends"), sign_on_metadata.in_trouble(at=clock.now())) == ([], 0)
    travel.by(days=1, seconds=5, tick=True)
    for _ in range(2):
        tasks.refresh_sign_ons()
    drained()
    assert {"ada@contoso.example", "ines@contoso.example"} <= set(_mailed("ends"))
    assert (len(_mailed("ends")), _mailed("ended")) == (len(set(_mailed("ends"))), [])
    [mail] = [each for each in outbox_mails("ines@contoso.example") if "needs an administrator" in each.subject]
    assert "expires in the next two days" in mail.body
    travel.by(days=2, tick=True)
    for _ in range(2):
        tasks.refresh_sign_ons()
    drained()
    assert "ines@contoso.example" in _mailed("ended")
    assert len([each for each in outbox_mails("ines@contoso.example") if "nobody can sign in" in each.subject]) == 1
    assert sign_on_metadata.in_trouble(at=clock.now()) == 1
    # Present metadata ends the trouble.
    connect(world, metadata=saml_idp.metadata().decode())
    assert sign_on_metadata.in_trouble(at=clock.now()) == 0


def test_an_address_that_fails_for_a_day_is_reported_once(world: Cast, address: Address, travel: Any) -> None:
    connect(world, metadata_url=URL)
    address.body = b""
    for _ in range(3):
        _round(travel)
    assert (sign_on_metadata.in_trouble(at=clock.now()), SignOn.objects.get().metadata_problem) == (0, "unreachable")
    travel.by(days=1, tick=True)
    for _ in range(3):
        _round(travel)
    drained()
    assert len([each for each in outbox_mails("ines@contoso.example") if "needs an administrator" in each.subject]) == 1
    assert sign_on_metadata.in_trouble(at=clock.now()) == 1
    address.body = saml_idp.metadata()
    _round(travel)
    row = SignOn.objects.get()
    assert (sign_on_metadata.in_trouble(at=clock.now()), row.metadata_failing_since, row.metadata_problem) == (
        0,
        None,
        "",
    )


def test_metadata_that_is_renewed_each_day_at_its_address_is_no_trouble(
    world: Cast, address: Address, travel: Any
) -> None:
    def renewed() -> bytes:
        return saml_idp.metadata(until=(clock.now() + dt.timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ"))

    address.body = renewed()
    row = connect(world, metadata_url=URL)
    for _ in range(3):
        travel.by(hours=20, tick=True)
        address.body = renewed()
        tasks.refresh_sign_ons()
    assert (sign_on_metadata.in_trouble(at=clock.now()), _mailed("ends")) == (0, [])
    # A page that an administrator has open stays valid.
    assert SignOn.objects.get().changed_at == row.changed_at


def test_only_the_system_reads_the_metadata_again(world: Cast) -> None:
    with pytest.raises(NotAllowed):
        operations.refresh_sign_on(SignOn.objects.get(), actor=world.as_("ines"))


# --- Read at need ---------------------------------------------------------------------------------------

SYSTEM = Actor.system("single sign-on")


def _signs(key: tuple[bytes, str], **more: Any) -> Any:
    """Sign somebody in with an answer that this key has signed. Return the last page."""
    browser = Client()
    question = begin(browser)
    page: Any = send(browser, question, good(says(question, **more), key=key))
    if page.status_code == 200:
        page = browser.get(onward(page))
    page.browser = browser
    return page


def test_a_new_key_works_at_once_if_a_former_one_is_still_published(world: Cast, address: Address, travel: Any) -> None:
    connect(world, metadata_url=URL)
    travel.by(minutes=2, tick=True)
    next_key = key_pair("next")
    address.body, address.asked = saml_idp.metadata(key_pair()[1], next_key[1]), []
    assert who(_signs(next_key).browser) == str(world.ada.pk)
    assert (address.asked, events_in(world.contoso)[-2]) == ([URL], "sign_on.idp_keys_changed")
    # Both keys are known now, so nothing is read.
    assert who(_signs(key_pair()).browser) == str(world.ada.pk)
    assert address.asked == [URL]


def test_only_new_keys_do_not_work_at_once(world: Cast, address: Address, travel: Any) -> None:
    connect(world, metadata_url=URL)
    travel.by(minutes=2, tick=True)
    address.body = saml_idp.metadata(key_pair("stranger")[1])
    page = _signs(key_pair("stranger"))
    assert (page.status_code, who(page.browser)) == (403, "")
    assert SignOn.objects.get().metadata_problem == "all_keys"
    assert who(_signs(key_pair()).browser) == str(world.ada.pk)


def test_bad_answers_make_this_server_ask_once_a_minute(world: Cast, address: Address, travel: Any) -> None:
    connect(world, metadata_url=URL)
    address.asked = []
    for _minute in range(2):
        travel.by(minutes=1, seconds=1, tick=True)
        for _time in range(3):
            assert _signs(key_pair("stranger")).status_code == 403
    assert address.asked == [URL, URL]
    # Other failures ask nothing, and a connection without an address asks nothing.
    travel.by(minutes=2, tick=True)
    assert _signs(key_pair(), issuer="https://other.example").status_code == 403
    connect(world, metadata=saml_idp.metadata().decode())
    travel.by(minutes=2, tick=True)
    assert _signs(key_pair("stranger")).status_code == 403
    assert address.asked == [URL, URL]


def test_metadata_that_has_ended_is_read_again_when_somebody_signs_in(
    world: Cast, address: Address, travel: Any
) -> None:
    address.body = saml_idp.metadata(until=(clock.now() + dt.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"))
    connect(world, metadata_url=URL)
    travel.by(hours=2, tick=True)
    assert Client().post(reverse("web:sso"), {"email": "a@contoso.example"}).status_code == 403
    travel.by(minutes=2, tick=True)
    address.body = saml_idp.metadata(until=(clock.now() + dt.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert who(comes().browser) == str(world.ada.pk)


def test_metadata_is_read_as_often_as_it_asks_for(world: Cast, address: Address, travel: Any) -> None:
    for keep_for, minutes in (("PT15M", 15), ("PT1S", 10), ("P30D", 60)):
        address.body = saml_idp.metadata(keep_for=keep_for)
        connect(world, metadata_url=URL)
        travel.by(minutes=minutes, seconds=-5, tick=True)
        address.asked = []
        tasks.refresh_sign_ons()
        assert address.asked == [], keep_for
        travel.by(seconds=10, tick=True)
        tasks.refresh_sign_ons()
        assert address.asked == [URL], keep_for


def test_an_address_that_fails_now_and_then_reports_a_waiting_change_once(
    world: Cast, address: Address, travel: Any
) -> None:
    connect(world, metadata_url=URL)
    other = saml_idp.metadata(key_pair("stranger")[1])
    for body in (other, b"", other):
        address.body = body
        _round(travel)
    assert events_in(world.contoso).count("sign_on.idp_keys_changed") == 1
    assert SignOn.objects.get().metadata_problem == "all_keys"


# --- Signed metadata ------------------------------------------------------------------------------------


def test_signed_metadata_can_change_all_keys_and_the_address(world: Cast, address: Address, travel: Any) -> None:
    signer, next_key = key_pair("signer"), key_pair("next")
    address.body = signed_metadata(saml_idp.metadata(), signer)
    connect(world, metadata_url=URL, metadata_signer=signer[1])
    assert who(comes().browser) == str(world.ada.pk)
    address.body = signed_metadata(saml_idp.metadata(next_key[1], sso_url="https://new.example/sso"), signer)
    _round(travel)
    row = SignOn.objects.get()
    assert (row.metadata_problem, row.pinned["sso_url"]) == ("", "https://new.example/sso")
    assert events_in(world.contoso)[-1] == "sign_on.idp_keys_changed"
    assert (_signs(key_pair()).status_code, _signs(next_key).status_code) == (403, 200)
    # Another identity provider that the same key has signed, as in a federation, is never taken for this one.
    address.body = signed_metadata(saml_idp.metadata(next_key[1], entity_id="https://other.example"), signer)
    _round(travel)
    assert (SignOn.objects.get().metadata_problem, SignOn.objects.get().issuer) == ("entity_id", saml_idp.ENTITY_ID)


@pytest.mark.parametrize("how", ["unsigned", "other key", "changed"])
def test_metadata_without_the_right_signature_changes_nothing(
    world: Cast, address: Address, travel: Any, how: str
) -> None:
    signer = key_pair("signer")
    address.body = signed_metadata(saml_idp.metadata(), signer)
    connect(world, metadata_url=URL, metadata_signer=signer[1])
    both = saml_idp.metadata(key_pair()[1], key_pair("stranger")[1])
    address.body = {
        "unsigned": both,
        "other key": signed_metadata(both, key_pair("stranger")),
        "changed": address.body.replace(b"https://idp.contoso.example/sso", b"https://evil.example/sso"),
    }[how]
    before = SignOn.objects.get().identity_provider
    _round(travel)
    row = SignOn.objects.get()
    assert (row.metadata_problem, row.identity_provider) == ("unsigned", before)
    page = signed_in(world, "ines").get(reverse("web:sign_on_saml", args=[world.contoso.pk])).content.decode()
    assert "has no signature by your certificate" in page
    with nothing_happens(), pytest.raises(Unacceptable) as refused:
        connect(world, metadata_url=URL, metadata_signer=signer[1])
    assert refused.value.field == "metadata_signer"


def test_the_signer_is_set_on_the_page_and_over_the_api(world: Cast, address: Address) -> None:
    ines, url = signed_in(world, "ines"), reverse("web:sign_on_saml", args=[world.contoso.pk])
    pem = f"-----BEGIN CERTIFICATE-----\n{key_pair('signer')[1]}\n-----END CERTIFICATE-----\n"
    shown = SignOn.objects.get().changed_at.isoformat()
    for bad in ("hello", key_pair("weak", "rsa1024")[1]):
        with nothing_happens():
            page = ines.post(url, {"metadata_url": URL, "metadata_signer": bad, "shown": shown})
        assert (page.status_code, "not a certificate" in page.content.decode()) == (422, True)
    # The stored metadata was entered by hand: nobody knows whether it was signed.
    assert ines.post(url, {"metadata_signer": pem, "shown": shown}).status_code == 422
    address.body = signed_metadata(saml_idp.metadata(), key_pair("signer"))
    assert ines.post(url, {"metadata_url": URL, "metadata_signer": pem, "shown": shown}).status_code == 302
    assert SignOn.objects.get().metadata_signer == key_pair("signer")[1]
    drained()
    mail = outbox_mails("ada@contoso.example")[-1]
    assert (URL.partition("//")[2] in mail.body, fingerprint(key_pair("signer")[1]) in mail.body) == (True, True)
    # Only the links to this site are links.
    assert URL not in mail.body
    caller = Caller(token_of(world, "ines"))
    path = f"tenants/{world.contoso.pk}/sign-on"
    answer = caller.get(path)
    assert answer.json()["metadata_signer"] == key_pair("signer")[1]
    body = {"protocol": "saml", "metadata_url": URL, "metadata_signer": key_pair("stranger")[1]}
    refused = caller.put(path, body, If_Match=answer["ETag"])
    assert (refused.status_code, SignOn.objects.get().metadata_signer) == (422, key_pair("signer")[1])
    staff = signed_in(world, "stella").get(reverse("admin:requests_app_signon_change", args=[SignOn.objects.get().pk]))
    assert fingerprint(key_pair("signer")[1]) in staff.content.decode()


@pytest.mark.parametrize("is_signed", [False, True])
def test_a_sign_in_address_without_tls_is_never_used(
    world: Cast, address: Address, travel: Any, settings: Any, is_signed: bool
) -> None:
    settings.SSO_PRIVATE_NETWORK = False
    signer = key_pair("signer")
    address.body = signed_metadata(saml_idp.metadata(), signer)
    connect(world, metadata_url=URL, metadata_signer=signer[1] if is_signed else "")
    address.body = signed_metadata(saml_idp.metadata(sso_url="http://idp.contoso.example/sso"), signer)
    _round(travel)
    row = SignOn.objects.get()
    assert (row.metadata_problem, row.pinned["sso_url"]) == ("metadata", saml_idp.SSO_URL)


# --- The provider's own people --------------------------------------------------------------------------


@pytest.fixture
def provider(world: Cast, settings: Any, tmp_path: Path, address: Address) -> Address:
    """Let the provider's people use SAML, with metadata at an address."""
    pem, certificate = key_pair("provider")
    lines = f"-----BEGIN CERTIFICATE-----\n{certificate}\n-----END CERTIFICATE-----\n"
    (tmp_path / "saml.pem").write_text(pem.decode() + lines, encoding="utf-8")
    settings.SSO_SAML_METADATA_URL, settings.SSO_SAML_KEYS = URL, [str(tmp_path / "saml.pem")]
    settings.SSO_SAML_EMAIL, settings.SSO_DOMAINS = "mail", frozenset({"provider.example"})
    return address


def _priya(world: Cast, key: tuple[bytes, str] | None = None) -> Any:
    browser = Client()
    page: Any = browser.post(reverse("web:sso"), {"email": "somebody@provider.example"})
    if page.status_code == 200:
        question = asked(onward(page))
        data = good(says(question, subject="p-priya", attributes={"mail": [world.priya.email]}), key=key or key_pair())
        page = send(browser, question, data)
    if page.status_code == 200:
        page = browser.get(onward(page))
    page.browser = browser
    return page


def _keys_log() -> list[dict[str, Any]]:
    entries = AuditEntry.objects.filter(tenant_id=PROVIDER_LOG, event="sign_on.idp_keys_changed")
    return [json.loads(bytes(each.canonical))["detail"] for each in entries.order_by("seq")]


def _messages() -> list[str]:
    rows = OutboxMessage.objects.filter(topic="notify.provider_sign_on", recipient="").order_by("created_at")
    return [each.payload["keys"] for each in rows]


def test_the_first_sign_in_reads_the_providers_metadata(world: Cast, provider: Address) -> None:
    assert who(_priya(world).browser) == str(world.priya.pk)
    assert who(_priya(world).browser) == str(world.priya.pk)
    assert provider.asked == [URL]
    [entry] = _keys_log()
    assert (entry["issuer"], entry["first"], _messages()) == (saml_idp.ENTITY_ID, True, ["first"])
    drained()
    [mail] = outbox_mails("stella@provider.example")
    assert "read at this address for the first time" in " ".join(mail.body.split())
    assert (fingerprint(key_pair()[1]) in mail.body, "https://idp" in mail.body) == (True, False)
    shown = signed_in(world, "stella").get(reverse("admin:single_sign_on")).content.decode()
    assert URL in shown
    assert saml_idp.ENTITY_ID in shown


def test_without_the_providers_metadata_nobody_of_them_signs_in(world: Cast, provider: Address, travel: Any) -> None:
    provider.body = b""
    with nothing_happens():
        for _time in range(3):
            page = _priya(world)
            assert (page.status_code, "could not be read at its address" in page.content.decode()) == (403, True)
    assert provider.asked == [URL], "it is not asked by each click"
    # The identity provider can already be given our metadata.
    assert b"AssertionConsumerService" in Client().get(reverse("web:saml_metadata", args=["provider"])).content
    assert signed_in(world, "stella").get(reverse("admin:single_sign_on")).status_code == 200
    assert [each[0] for each in of_sign_on.provider_metadata()] == [Level.WARNING]
    provider.body = saml_idp.metadata()
    travel.by(minutes=1, seconds=1, tick=True)
    assert who(_priya(world).browser) == str(world.priya.pk)
    assert [each[0] for each in of_sign_on.provider_metadata()] == [Level.OK]


def test_the_providers_keys_roll_over_while_people_sign_in(world: Cast, provider: Address, travel: Any) -> None:
    _priya(world)
    next_key = key_pair("next")
    provider.body = saml_idp.metadata(key_pair()[1], next_key[1])
    _round(travel)
    assert who(_priya(world, next_key).browser) == who(_priya(world).browser) == str(world.priya.pk)
    provider.body = saml_idp.metadata(next_key[1])
    _round(travel)
    assert _priya(world).status_code == 403
    assert who(_priya(world, next_key).browser) == str(world.priya.pk)
    assert [each["certificates"] for each in _keys_log()[1:]] == [
        [fingerprint(key_pair()[1]), fingerprint(next_key[1])],
        [fingerprint(next_key[1])],
    ]
    assert _messages() == ["first", "changed", "changed"]


@pytest.mark.parametrize("what", ["all_keys", "entity_id", "sso_url"])
def test_providers_metadata_that_has_changed_too_much_waits_for_the_operator(
    world: Cast, provider: Address, travel: Any, what: str
) -> None:
    _priya(world)
    stranger = key_pair("stranger")
    provider.body = {
        "all_keys": saml_idp.metadata(stranger[1]),
        "entity_id": saml_idp.metadata(stranger[1], entity_id="https://other.example"),
        "sso_url": saml_idp.metadata(key_pair()[1], stranger[1], sso_url="https://other.example/sso"),
    }[what]
    for _time in range(2):
        _round(travel)
    row = ProviderSignOn.objects.get()
    assert (row.metadata_problem, row.issuer) == (what, saml_idp.ENTITY_ID)
    assert (_messages(), _keys_log()[-1]["problem"]) == (["first", "refused"], what)
    assert [each[0] for each in of_sign_on.provider_metadata()] == [Level.PROBLEM]
    assert sign_on_metadata.problems(at=clock.now())["changed"] == 1
    shown = signed_in(world, "stella").get(reverse("admin:single_sign_on")).content.decode()
    assert "the operator accepts it" in shown
    assert (_priya(world, stranger).status_code, _priya(world).status_code) == (403, 200)

    out = io.StringIO()
    call_command("provider_metadata", stdout=out)
    digest = out.getvalue().partition("with the digest ")[2][:32]
    with nothing_happens(), pytest.raises(CommandError, match="not what you have read"):
        call_command("provider_metadata", accept="0" * 32)
    shown_to_operator, provider.body = provider.body, saml_idp.metadata(key_pair("evil")[1])
    with nothing_happens(), pytest.raises(CommandError, match="not what you have read"):
        call_command("provider_metadata", accept=digest)
    provider.body = shown_to_operator
    call_command("provider_metadata", accept=digest, stdout=out)
    assert (_keys_log()[-1]["accepted"], _messages()[-1]) == (True, "accepted")
    row = ProviderSignOn.objects.get()
    assert (row.metadata_problem, fingerprint(stranger[1]) in out.getvalue()) == ("", True)
    assert [each[0] for each in of_sign_on.provider_metadata()] == [Level.OK]


def test_the_command_says_what_is_wrong(world: Cast, provider: Address, settings: Any) -> None:
    provider.body = b"hello"
    with nothing_happens(), pytest.raises(CommandError, match="can’t be used: metadata"):
        call_command("provider_metadata", stdout=io.StringIO())
    settings.SSO_SAML_METADATA_URL = ""
    with pytest.raises(CommandError, match="SSO_SAML_METADATA_URL is not set"):
        call_command("provider_metadata", stdout=io.StringIO())


def test_providers_metadata_that_ends_is_refused_and_reported_to_staff(
    world: Cast, provider: Address, travel: Any
) -> None:
    until = (clock.now() + dt.timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%SZ")
    provider.body = saml_idp.metadata(until=until)
    assert _priya(world).status_code == 200
    provider.body = b""
    travel.by(days=1, seconds=5, tick=True)
    for _time in range(2):
        _round(travel)
    assert _messages() == ["first", "ends"]
    travel.by(days=2, tick=True)
    page = _priya(world)
    assert (page.status_code, "has expired" in page.content.decode()) == (403, True)
    for _time in range(2):
        _round(travel)
    assert sorted(_messages()) == ["ended", "ends", "first", "unread"]
    assert sign_on_metadata.problems(at=clock.now()) == {"unread": 1, "changed": 0, "ended": 1, "ends": 0}
    samples = {each.labels: each.value for each in monitoring.sign_ons(clock.now())}
    assert samples[("ended",)] == 1
    assert [each[0] for each in of_sign_on.provider_metadata()] == [Level.PROBLEM]
    drained()
    subjects = [each.subject for each in outbox_mails("stella@provider.example")]
    assert len([each for each in subjects if "can sign in" in each]) == 1
    assert {each.split("@")[1] for each in _recipients()} == {"provider.example"}


def _recipients() -> set[str]:
    rows = OutboxMessage.objects.filter(topic="notify.provider_sign_on").exclude(recipient="")
    return set(rows.values_list("recipient", flat=True))


def test_signed_metadata_of_the_provider(world: Cast, provider: Address, travel: Any, settings: Any) -> None:
    signer, next_key = key_pair("signer"), key_pair("next")
    settings.SSO_SAML_METADATA_SIGNER = signer[1]
    assert _priya(world).status_code == 403
    assert not _keys_log()
    provider.body = signed_metadata(saml_idp.metadata(), signer)
    travel.by(minutes=1, seconds=1, tick=True)
    assert _priya(world).status_code == 200
    provider.body = signed_metadata(saml_idp.metadata(next_key[1]), signer)
    travel.by(minutes=1, seconds=1, tick=True)
    assert who(_priya(world, next_key).browser) == str(world.priya.pk)
    assert [each[0] for each in of_sign_on.provider_sign_on()] == [Level.OK]
    settings.SSO_SAML_METADATA_SIGNER = "hello"
    assert [each[0] for each in of_sign_on.provider_sign_on()] == [Level.PROBLEM]


def test_the_providers_address_is_not_read_more_often_than_every_ten_minutes(
    world: Cast, provider: Address, travel: Any
) -> None:
    provider.body = saml_idp.metadata(keep_for="PT1S")
    _priya(world)
    travel.by(minutes=9, tick=True)
    tasks.refresh_sign_ons()
    assert provider.asked == [URL]
    travel.by(minutes=2, tick=True)
    tasks.refresh_sign_ons()
    assert provider.asked == [URL, URL]


def test_what_was_read_at_another_address_does_not_count(world: Cast, provider: Address, settings: Any) -> None:
    _priya(world)
    settings.SSO_SAML_METADATA_URL = "https://new.example/metadata"
    provider.body = b""
    assert _priya(world).status_code == 403
    assert provider.asked == [URL, "https://new.example/metadata"]


def test_a_person_who_is_signing_in_while_the_issuer_changes_is_refused(
    world: Cast, provider: Address, travel: Any
) -> None:
    _priya(world)
    browser = Client()
    question = asked(onward(browser.post(reverse("web:sso"), {"email": "somebody@provider.example"})))
    page = send(browser, question, good(says(question, subject="p-new", attributes={"mail": [world.priya.email]})))
    row = ProviderSignOn.objects.get()
    ProviderSignOn.objects.update(issuer="https://other.example")
    assert (browser.get(onward(page)).status_code, who(browser)) == (403, "")
    ProviderSignOn.objects.update(issuer=row.issuer)
    assert Identity.objects.filter(tenant=None).count() == 1
    assert Person.objects.filter(email=world.priya.email).count() == 1
