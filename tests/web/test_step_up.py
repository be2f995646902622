"""If an act needs proof of identity, a page asks for it.

This page has the fields of the act's form as hidden fields. After the proof, the act is done.
"""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.events import PROVIDER_LOG
from requests_app.identity.sso import sealing
from requests_app.models import Mute, Person, QueueAssignment, SignOn, Tenant, Tries
from tests.cast import PASSWORD, Cast, events_in
from tests.conftest import Traveller
from tests.factors import a_code
from tests.web.pages import nothing_happens, only_a_refusal, signed_in, snapshot

pytestmark = pytest.mark.django_db


def held_by(answer: Any) -> dict[str, list[str]]:
    """Return the fields of the waiting form on the page, as a browser sends them again."""
    found: dict[str, list[str]] = {}
    main = answer.content.decode().partition("<main")[2]
    for name, value in re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', main):
        if name not in ("csrfmiddlewaretoken", "once"):
            found.setdefault(unescape(name), []).append(unescape(value))
    return found


def proof(person: Person, **changed: str) -> dict[str, str]:
    return {"step-up-password": PASSWORD, "step-up-code": a_code(person), **changed}


def test_a_mute_is_shortened_after_the_proof_with_the_comment_that_was_typed(cast: Cast) -> None:
    cast.confirmed()
    operations.deny_all_and_mute(cast.contoso.pk, engineer_id=None, hours=4, actor=cast.as_("ada"))
    client, page = signed_in(cast, "ada", fresh=False), reverse("web:mutes", args=[cast.contoso.pk])
    typed = {"engineer": "everybody", "hours": "1", "note": '<b>Enough</b> & "done"'}
    with nothing_happens():
        asked = client.post(page, typed)
    assert (asked.status_code, "no-store" in asked["Cache-Control"]) == (403, True)
    assert held_by(asked) == {name: [value] for name, value in typed.items()}
    assert f'action="{page}"' in asked.content.decode()
    with only_a_refusal():
        for wrong in ({"step-up-password": "wrong"}, {"step-up-code": "000000"}):
            again = client.post(page, {**held_by(asked), **proof(cast.ada, **wrong)})
            assert again.status_code == 403
            assert "The password or the code is not right." in again.content.decode()
            assert held_by(again) == held_by(asked)
    done = client.post(page, {**held_by(asked), **proof(cast.ada)})
    assert done.status_code == 302
    assert events_in(cast.contoso)[-1] == "mute.set"
    assert Mute.objects.order_by("-set_at")[0].note == '<b>Enough</b> & "done"'


def test_for_five_minutes_it_is_not_asked_again(cast: Cast, travel: Traveller) -> None:
    travel.freeze()
    client, page = signed_in(cast, "ines", fresh=False), reverse("web:tenant", args=[cast.contoso.pk])
    assert client.post(page, {"window_cap": "3600"}).status_code == 403
    assert client.post(page, {"window_cap": "3600", **proof(cast.ines)}).status_code == 302
    travel.by(minutes=4, seconds=59)
    assert client.post(page, {"window_cap": "7200"}).status_code == 302
    travel.by(seconds=1)
    assert client.post(page, {"window_cap": "1800"}).status_code == 403


def test_values_of_one_name_all_wait(cast: Cast) -> None:
    client = signed_in(cast, "otto", fresh=False)
    form = {"name": "laptop", "scopes": ["requests:read", "log:read"], "days": "7"}
    asked = client.post("/tokens/", form)
    assert held_by(asked) == {"name": ["laptop"], "scopes": ["requests:read", "log:read"], "days": ["7"]}
    made = client.post("/tokens/", {**held_by(asked), "step-up-password": PASSWORD})
    assert made.status_code == 200
    assert "This token is shown now and never again." in made.content.decode()


def test_after_too_many_wrong_proofs_none_is_checked(cast: Cast, travel: Traveller) -> None:
    """Then the log gets an entry about the attempts once a minute, however many attempts there are."""
    travel.freeze()
    client, page = signed_in(cast, "ines", fresh=False), reverse("web:tenant", args=[cast.contoso.pk])
    before = snapshot()
    for status in (403,) * 5 + (429,):
        answer = client.post(page, {"window_cap": "3600", **proof(cast.ines, **{"step-up-password": "wrong"})})
        assert answer.status_code == status
    assert client.post(page, {"window_cap": "3600", **proof(cast.ines)}).status_code == 429
    assert refusals_in(cast) == [("step_up", "step_up_required"), ("step_up", "too_many")]
    assert {**snapshot(), "entries": before["entries"]} == before
    travel.by(minutes=1)
    assert client.post("/step-up/", {"password": "wrong", "code": "000000"}).status_code == 429
    assert refusals_in(cast)[2:] == [("step_up", "too_many")]
    assert set(Tries.objects.values_list("count", flat=True)) == {5}


def refusals_in(cast: Cast) -> list[tuple[str, str]]:
    """Return (action, code) of each refused attempt in the tenant's log."""
    rows = AuditEntry.objects.filter(tenant_id=cast.contoso.pk, event="act.refused").order_by("seq")
    details = [json.loads(bytes(row.canonical))["detail"] for row in rows]
    assert {row.subject_id for row in rows} <= {str(cast.ines.pk)}
    return [(detail["action"], detail["code"]) for detail in details]


def test_a_wrong_proof_on_its_own_page_is_in_the_log_of_each_of_the_persons_tenants(cast: Cast) -> None:
    for name, log in (("otto", cast.contoso.pk), ("stella", PROVIDER_LOG)):
        client = signed_in(cast, name, fresh=False)
        form = {"password": "wrong"} if name == "otto" else {"password": "wrong", "code": "000000"}
        assert client.post("/step-up/", form).status_code == 403
        assert AuditEntry.objects.get(tenant_id=log).event == "act.refused"


def test_the_proof_is_checked_like_every_other_post(cast: Cast) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(cast.ines)
    with nothing_happens():
        page = reverse("web:tenant", args=[cast.contoso.pk])
        assert client.post(page, {"window_cap": "3600", **proof(cast.ines)}).status_code == 403
    assert not Tries.objects.exists()


def test_staff_are_asked_too(cast: Cast) -> None:
    # Before the first tenant has Lockbox on, no second member of the staff must confirm.
    Tenant.objects.update(lockbox_on=False)
    client = signed_in(cast, "stella", fresh=False)
    page = reverse("admin:requests_app_person_act", args=[cast.erik.pk, "queue"])
    form = {"service": str(cast.exchange.pk), "role": "provider_approver"}
    with nothing_happens():
        asked = client.post(page, form)
    assert (asked.status_code, asked.templates[0].name) == (403, "security/step_up.html"), asked.content.decode()[-900:]
    assert client.post(page, {**form, **proof(cast.stella)}).status_code == 302
    assert QueueAssignment.objects.filter(person=cast.erik, role="provider_approver").exists()


def test_a_new_password_takes_the_proof_before_the_form_is_shown(cast: Cast) -> None:
    client, page = signed_in(cast, "ada", fresh=False), reverse("account_change_password")
    assert client.get(page)["Location"] == f"/step-up/?next={page}"
    confirmed = client.post("/step-up/", {"password": PASSWORD, "code": a_code(cast.ada), "next": page})
    assert confirmed["Location"] == page
    assert client.get(page).status_code == 200


def test_no_secret_waits_on_the_page_that_asks(cast: Cast) -> None:
    """If a form has a field for a secret, the page asks for the confirmation before the form is filled in.

    If the confirmation is too old when the form is sent, the person has to enter only the secret again.
    """
    secret = "nobody-else-knows"
    connection = {
        "issuer": "https://idp.example",
        "client_id": "lockbox",
        "scopes": "openid profile email",
        "key_claim": "oid",
    }
    ines, page = signed_in(cast, "ines", fresh=False), reverse("web:sign_on", args=[cast.contoso.pk])
    assert ines.get(page)["Location"] == f"/step-up/?next={page}"
    with nothing_happens():
        asked = ines.post(page, {**connection, "client_secret": secret})
    assert asked.status_code == 403
    assert secret not in asked.content.decode()
    assert held_by(asked) == {each: [value] for each, value in connection.items()}
    assert "What you entered is saved, except passwords and other secrets" in asked.content.decode()
    before = snapshot()
    again = ines.post(page, {**held_by(asked), **proof(cast.people["ines"])})
    assert list(again.context["form"].errors) == ["client_secret"]
    assert snapshot() == before
    assert ines.post(page, {**connection, "client_secret": secret}).status_code == 302
    row = SignOn.objects.get()
    assert sealing.opened(row.sealed) == secret
    # If the secret field was empty, the stored secret stays. If it had a new secret, the page does not claim that the
    # secret is saved.
    late = signed_in(cast, "ines", fresh=False)
    asked = late.post(page, {**connection, "client_secret": "", "shown": row.changed_at.isoformat()})
    assert "Nothing that you entered is lost" in asked.content.decode()
    assert late.post(page, {**held_by(asked), **proof(cast.ines)}).status_code == 302
    row.refresh_from_db()
    late = signed_in(cast, "ines", fresh=False)
    asked = late.post(page, {**connection, "client_secret": "another", "shown": row.changed_at.isoformat()})
    answer = late.post(page, {**held_by(asked), **proof(cast.ines)})
    assert (answer.status_code, "What you entered here was not saved." in answer.content.decode()) == (422, True)
    assert sealing.opened(SignOn.objects.get().sealed) == secret
