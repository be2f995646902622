"""A lost second factor: the customer's administrator resets it. For people of the provider, a superuser does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from allauth.mfa.models import Authenticator as Kept
from django.test import Client
from django.urls import reverse

from audit_app.models import AuditEntry
from lockbox_site.demo.authenticator import Authenticator
from requests_app import operations
from requests_app.domain import errors
from requests_app.domain.events import PROVIDER_LOG
from requests_app.identity import factors
from requests_app.models import OutboxMessage, Passkey, Person, Token
from tests.caller import caller_for, token_of
from tests.cast import PASSWORD, Cast, events_in, outbox_topics
from tests.factors import sign_in
from tests.passkeys import ORIGIN, added, enrolled, signs_in
from tests.web.pages import nothing_happens, only_a_refusal, signed_in

pytestmark = pytest.mark.django_db


def reset(cast: Cast, whose: str, by: str, **changed: Any) -> Person:
    actor = changed.pop("actor", None) or cast.as_(by)
    return operations.reset_second_factors(cast.people[whose].pk, actor=actor, keep=factors.drops_all)


def has_all(cast: Cast, name: str) -> tuple[bool, int, int]:
    """Return whether the person has an app, how many passkeys they have, and how many rows in the library's table."""
    person = Person.objects.get(pk=cast.people[name].pk)
    keys = Passkey.objects.filter(person=person).live().count()
    return person.totp_set_up_at is not None, keys, Kept.objects.filter(user=person).count()


def with_everything(cast: Cast, name: str) -> tuple[Authenticator, Any]:
    """Give a person an app, a passkey and recovery codes. Return the device, and a browser that signed in with it."""
    device, client = Authenticator(origin=ORIGIN), Client()
    assert added(signed_in(cast, name), device).status_code == 200
    assert signs_in(client, device).status_code == 302
    assert has_all(cast, name) == (True, 1, 3)
    return device, client


def test_an_administrator_resets_what_somebody_of_the_tenant_has_lost(cast: Cast) -> None:
    device, client = with_everything(cast, "ada")
    token_of(cast, "ada")
    before = len(outbox_topics())
    page = reverse("web:person", args=[cast.contoso.pk, cast.ada.pk])
    admin = signed_in(cast, "ines")
    assert "Reset the second factors" in admin.get(page).content.decode()
    assert admin.post(page, {"act": "reset"}).status_code == 302
    assert has_all(cast, "ada") == (False, 0, 0)
    assert client.get("/").status_code == 302
    assert not Token.objects.filter(account=cast.ada, revoked_at=None).exists()
    assert signs_in(Client(), device).status_code == 403
    assert events_in(cast.contoso)[-2:] == ["person.second_factors_reset", "passkey.removed"]
    record = json.loads(bytes(AuditEntry.objects.get(event="person.second_factors_reset").canonical))
    assert (record["actor"]["name"], record["subject"]) == ("Ines Test", {"type": "person", "id": str(cast.ada.pk)})
    assert (record["detail"]["name"], record["detail"]["app"], record["detail"]["passkeys"]) == (
        "Ada Test",
        True,
        ["Phone"],
    )
    assert outbox_topics()[before:] == ["notify.second_factor_changed"]
    message = OutboxMessage.objects.get(topic="notify.second_factor_changed")
    assert message.payload["audiences"] == ["account_holder", "customer"]
    # With the password, the person can sign in, and must set up a second factor again.
    again = Client()
    assert sign_in(cast.ada, PASSWORD, client=again).url == "/"
    assert again.get("/")["Location"] == "/security/passkeys/add/?next=/"
    assert added(again, Authenticator(origin=ORIGIN)).status_code == 200
    assert again.get("/").status_code == 200
    of_mia = reverse("web:person", args=[cast.contoso.pk, cast.mia.pk])
    assert "Reset the second factors" not in admin.get(of_mia).content.decode()


def test_the_provider_never_resets_a_customers_factors_and_nobody_resets_themselves(cast: Cast) -> None:
    with_everything(cast, "ada")
    for by, wrong in (
        *((name, errors.NotAllowed) for name in ("stella", "ada", "alan", "otto", "mia")),
        *((name, errors.NotFound) for name in ("finn", "frida", "pat", "priya")),
    ):
        seen = only_a_refusal if wrong is errors.NotAllowed else nothing_happens
        with pytest.raises(wrong), seen():
            reset(cast, "ada", by)
    with pytest.raises(errors.NotAllowed), only_a_refusal():
        reset(cast, "ines", "ines")
    with pytest.raises(errors.StepUpRequired), nothing_happens():
        reset(cast, "ada", "ines", actor=cast.as_("ines", fresh=False))
    with pytest.raises(errors.WrongState), only_a_refusal():
        reset(cast, "otto", "ines")
    with only_a_refusal():
        act = reverse("admin:requests_app_person_act", args=[cast.ada.pk, "reset"])
        assert signed_in(cast, "stella").post(act).status_code == 403
    path = f"tenants/{cast.contoso.pk}/members/{cast.ada.pk}/reset-second-factors"
    for name in ("stella", "alan"):
        caller = caller_for(cast, name)
        with only_a_refusal():
            assert caller.post(path).json()["code"] == "not_allowed"
    machine = caller_for(cast, "contoso")
    with nothing_happens():
        assert machine.post(path).json()["code"] == "insufficient_scope"
    assert has_all(cast, "ada") == (True, 1, 3)


def test_only_a_superuser_resets_the_providers_people(cast: Cast) -> None:
    _device, client = with_everything(cast, "pat")
    Person.objects.filter(pk=cast.erik.pk).update(is_staff=True)
    with pytest.raises(errors.NotAllowed), only_a_refusal():
        reset(cast, "pat", "erik")
    with pytest.raises(errors.NotAllowed), only_a_refusal():
        reset(cast, "stella", "stella")
    act = reverse("admin:requests_app_person_act", args=[cast.pat.pk, "reset"])
    assert signed_in(cast, "stella").post(act).status_code == 302
    assert has_all(cast, "pat") == (False, 0, 0)
    assert client.get("/").status_code == 302
    rows = AuditEntry.objects.filter(tenant_id=PROVIDER_LOG).order_by("-seq").values_list("event", "door")
    assert list(rows[:2]) == [("passkey.removed", "admin"), ("person.second_factors_reset", "admin")]
    message = OutboxMessage.objects.get(topic="notify.second_factor_changed")
    assert (message.tenant_id, message.payload["audiences"]) == (None, ["account_holder"])


def test_under_two_person_control_it_takes_another(cast: Cast) -> None:
    with_everything(cast, "ada")
    operations.set_two_person_control(cast.contoso.pk, on=True, actor=cast.as_("ines"))
    with pytest.raises(errors.ChangeProposed) as outcome:
        reset(cast, "ada", "ines")
    assert has_all(cast, "ada") == (True, 1, 3)
    proposal = outcome.value.current["proposal"]
    with pytest.raises(errors.SecondPersonNeeded), only_a_refusal():
        operations.confirm_proposal(proposal, actor=cast.as_("ines"), keep=factors.drops_all)
    with pytest.raises(errors.NotAllowed), only_a_refusal():
        operations.confirm_proposal(proposal, actor=cast.as_("ada"), keep=factors.drops_all)
    page = reverse("web:proposals", args=[cast.contoso.pk])
    assert "reset the second factors of Ada Test" in signed_in(cast, "alan").get(page).content.decode()
    done = signed_in(cast, "alan").post(page, {"act": "confirm", "proposal": proposal})
    assert done.status_code == 302
    assert has_all(cast, "ada") == (False, 0, 0)
    assert events_in(cast.contoso)[-3:] == ["proposal.confirmed", "person.second_factors_reset", "passkey.removed"]


def test_a_key_in_two_logs_ends_in_both(cast: Cast) -> None:
    newcomer = cast.stranger("first@contoso.example")
    cast.people["newcomer"] = newcomer
    enrolled(cast, "newcomer")
    cast.contoso.memberships.create(person=newcomer, role="member", given_at=cast.contoso.created_at)
    operations.give_role(cast.contoso.pk, newcomer.pk, role="auditor", actor=cast.as_("ines"))
    assert Passkey.objects.get().tenant_id == cast.contoso.pk
    reset(cast, "newcomer", "ines")
    assert events_in(cast.contoso) == ["role.given", "person.second_factors_reset"]
    of_provider = AuditEntry.objects.filter(tenant_id=PROVIDER_LOG).order_by("seq").values_list("event", flat=True)
    assert list(of_provider) == ["passkey.enrolled", "passkey.removed"]
