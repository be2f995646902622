"""People over the API: their roles, and who can change them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.errors import Unacceptable
from requests_app.domain.scopes import Scope
from requests_app.models import Invitation, Membership, Person, Proposal
from tests.caller import Caller, client_of, token_of
from tests.cast import PASSWORD, Cast, events_in, outbox_topics
from tests.factors import give_app
from tests.offenders import collected

pytestmark = pytest.mark.django_db

Calling = Callable[..., Caller]
NEW = {"email": "Grace@Contoso.example", "role": "approver"}


def of(cast: Cast, name: str = "", act: str = "") -> str:
    rest = f"/{cast.people[name].pk}" if name else ""
    return f"tenants/{cast.contoso.pk}/members{rest}{f'/{act}' if act else ''}"


def names(response: Any) -> list[str]:
    assert response.status_code == 200, response.content
    return [each["name"].removesuffix(" Test") for each in response.json()["items"]]


def roles(response: Any) -> list[str]:
    assert response.status_code in (200, 201), response.content
    return [each["role"] for each in response.json()["roles"]]


def last_entry(cast: Cast) -> tuple[str, str, dict[str, Any]]:
    """Return the event, interface and detail of the newest entry in Contoso's log."""
    found = json.loads(bytes(AuditEntry.objects.filter(tenant_id=cast.contoso.pk).latest("seq").canonical))
    return found["event"], found["door"], found["detail"]


def memberships(cast: Cast) -> set[tuple[str, str, bool]]:
    rows = Membership.objects.filter(tenant=cast.contoso)
    return set(rows.values_list("person__name", "role", "person__is_active"))


# --- Reading -------------------------------------------------------------------------------------------------


def test_roles_are_read_as_the_page_shows_them(cast: Cast, calling: Calling) -> None:
    mia = calling("mia", Scope.MEMBERS_READ)
    found = mia.get(of(cast, "ada")).json()
    assert [(each["role"], bool(each["since"])) for each in found.pop("roles")] == [
        ("approver", True),
        ("member", True),
    ]
    assert found == {
        "id": str(cast.ada.pk),
        "name": "Ada Test",
        "email": "ada@contoso.example",
        "is_active": True,
    }
    assert names(mia.get(of(cast))) == ["Ada", "Alan", "Ines", "Mia", "Otto"]


def test_people_are_seen_by_their_tenant_and_by_staff(cast: Cast, calling: Calling) -> None:
    cases = [
        *((name, 200) for name in ("mia", "ada", "otto", "ines", "contoso", "stella", None)),
        *((name, 404) for name in ("priya", "pat", "frida", "finn", "fabrikam")),
    ]
    with collected() as case:
        for name, status in cases:
            with case(name, status):
                caller = calling(name, Scope.MEMBERS_READ)
                assert caller.get(of(cast)).status_code == status
                assert caller.get(of(cast, "ada")).status_code == status


def test_people_are_found_by_role_by_account_and_by_words(cast: Cast, calling: Calling) -> None:
    operations.switch_off_person(cast.mia.pk, actor=cast.as_("ines"))
    otto = calling("otto", Scope.MEMBERS_READ)
    for query, wanted in (
        ({"role": "approver"}, ["Ada", "Alan"]),
        ({"role": "member"}, ["Ada", "Mia"]),
        ({"role": "member", "is_active": "true"}, ["Ada"]),
        ({"is_active": "false"}, ["Mia"]),
        ({"search": "AL"}, ["Alan"]),
        ({"search": "otto@"}, ["Otto"]),
        ({"search": "fred"}, []),
        ({"order": "-name"}, ["Otto", "Mia", "Ines", "Alan", "Ada"]),
    ):
        assert names(otto.get(of(cast), query)) == wanted, query
    for query in ({"role": "engineer"}, {"is_active": "yes"}, {"search": " "}, {"order": "email"}):
        assert otto.get(of(cast), query).status_code == 422, query
    [found] = otto.get(of(cast), {"role": "auditor", "fields": "name,roles"}).json()["items"]
    assert (sorted(found), [each["role"] for each in found["roles"]]) == (["name", "roles"], ["auditor"])


def test_a_list_is_read_page_by_page_without_missing_or_repeating(cast: Cast, calling: Calling) -> None:
    otto, found = calling("otto", Scope.MEMBERS_READ), []
    page = otto.get(of(cast), {"limit": 2}).json()
    while page:
        found += [each["name"] for each in page["items"]]
        page = otto.get(page["next"]).json() if page["next"] else None
    assert found == ["Ada Test", "Alan Test", "Ines Test", "Mia Test", "Otto Test"]


# --- Acts ----------------------------------------------------------------------------------------------------


def test_a_role_is_given_and_taken(cast: Cast, calling: Calling) -> None:
    ines = calling("ines")
    assert roles(ines.post(of(cast, "mia", "give-role"), {"role": "approver"})) == ["member", "approver"]
    event, door, detail = last_entry(cast)
    assert (event, door, detail["person"], detail["role"]) == ("role.given", "api", str(cast.mia.pk), "approver")
    again = ines.post(of(cast, "mia", "give-role"), {"role": "approver"})
    assert (again.status_code, again.json()["code"]) == (409, "wrong_state")
    assert roles(ines.post(of(cast, "mia", "take-role"), {"role": "approver"})) == ["member"]
    assert last_entry(cast)[:2] == ("role.taken", "api")
    assert ines.post(of(cast, "mia", "take-role"), {"role": "approver"}).status_code == 404
    assert outbox_topics() == ["notify.approvers_changed"] * 2


def test_an_account_that_is_switched_off_stops_working_immediately_with_its_tokens(
    cast: Cast, calling: Calling
) -> None:
    ines, mia = calling("ines"), calling("mia")
    assert mia.get("me").status_code == 200
    off = ines.post(of(cast, "mia", "switch-off"))
    assert (off.status_code, off.json()["is_active"], roles(off)) == (200, False, ["member"])
    assert last_entry(cast)[:2] == ("person.switched_off", "api")
    assert mia.get("me").status_code == 401
    assert ines.post(of(cast, "mia", "switch-off")).status_code == 409
    on = ines.post(of(cast, "mia", "switch-on"))
    assert (on.status_code, on.json()["is_active"]) == (200, True)
    assert last_entry(cast)[:2] == ("person.switched_on", "api")
    assert ines.post(of(cast, "mia", "switch-on")).status_code == 409


def test_a_tenant_keeps_its_last_administrator_and_a_person_the_last_role(cast: Cast, calling: Calling) -> None:
    ines, before = calling("ines"), memberships(cast)
    for response in (
        ines.post(of(cast, "ines", "take-role"), {"role": "administrator"}),
        ines.post(of(cast, "ines", "switch-off")),
        ines.post(of(cast, "otto", "take-role"), {"role": "auditor"}),
    ):
        assert (response.status_code, response.json()["code"]) == (409, "wrong_state")
    assert memberships(cast) == before


def test_a_person_who_gives_up_their_own_role_gets_the_answer_and_loses_the_right(cast: Cast, calling: Calling) -> None:
    operations.give_role(cast.contoso.pk, cast.ines.pk, role="auditor", actor=cast.as_("ines"))
    operations.give_role(cast.contoso.pk, cast.ada.pk, role="administrator", actor=cast.as_("ines"))
    ines = calling("ines")
    assert roles(ines.post(of(cast, "ines", "take-role"), {"role": "administrator"})) == ["auditor"]
    assert ines.post(of(cast, "mia", "give-role"), {"role": "approver"}).json()["code"] == "not_allowed"


# --- Refusals ------------------------------------------------------------------------------------------------


def _acts(cast: Cast, caller: Caller) -> list[Any]:
    return [
        caller.post(f"tenants/{cast.contoso.pk}/invitations", NEW),
        caller.post(of(cast, "mia", "give-role"), {"role": "approver"}),
        caller.post(of(cast, "ada", "take-role"), {"role": "approver"}),
        caller.post(of(cast, "mia", "switch-off")),
        caller.post(of(cast, "otto", "switch-on")),
    ]


@pytest.mark.parametrize("name", ["mia", "ada", "otto"])
def test_nobody_but_the_administrator_changes_who_decides(cast: Cast, calling: Calling, name: str) -> None:
    caller, before = calling(name), memberships(cast)
    done = events_in(cast.contoso)
    for response in _acts(cast, caller):
        assert (response.status_code, response.json()["code"]) == (403, "not_allowed")
    assert memberships(cast) == before
    assert events_in(cast.contoso)[len(done) :] == ["act.refused"] * 5
    assert outbox_topics() == []


def test_without_the_scope_nothing_is_read_or_changed(cast: Cast, calling: Calling) -> None:
    caller, before = calling("ines", *(set(Scope) - {Scope.MEMBERS_READ, Scope.MEMBERS_MANAGE})), memberships(cast)
    done = events_in(cast.contoso)
    for response in (caller.get(of(cast)), caller.get(of(cast, "mia")), *_acts(cast, caller)):
        assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")
    reader = calling("ines", Scope.MEMBERS_READ)
    assert [response.json()["code"] for response in _acts(cast, reader)] == ["insufficient_scope"] * 5
    assert memberships(cast) == before
    assert [event for event in events_in(cast.contoso)[len(done) :] if event != "token.created"] == []


@pytest.mark.parametrize("tenant", ["contoso", None])
def test_people_are_managed_by_people(cast: Cast, calling: Calling, tenant: str | None) -> None:
    of_tenant, by = (cast.contoso.pk, "ines") if tenant else (None, "stella")
    with pytest.raises(Unacceptable):
        operations.create_client(tenant_id=of_tenant, name="Manager", scopes=[Scope.MEMBERS_MANAGE], actor=cast.as_(by))
    before = memberships(cast)
    for response in _acts(cast, calling(tenant)):
        assert (response.status_code, response.json()["code"]) == (403, "insufficient_scope")
    assert memberships(cast) == before


def test_staff_give_a_tenant_that_decides_nobody_who_decides(cast: Cast, calling: Calling) -> None:
    stranger = cast.stranger()
    stella, before = calling("stella"), memberships(cast)
    path = f"{of(cast)}/{stranger.pk}"
    for role in ("approver", "administrator", "member", "auditor"):
        found = stella.post(f"{path}/give-role", {"role": role})
        assert (found.status_code, found.json()["code"]) == (403, "not_allowed"), role
    assert stella.post(f"tenants/{cast.contoso.pk}/invitations", NEW).status_code == 403
    assert stella.post(of(cast, "ada", "take-role"), {"role": "approver"}).status_code == 403
    assert memberships(cast) == before


def test_staff_switch_off_and_never_bring_back_who_decides(cast: Cast, calling: Calling) -> None:
    stella = calling("stella")
    assert stella.post(of(cast, "ada", "switch-off")).json()["is_active"] is False
    back = stella.post(of(cast, "ada", "switch-on"))
    assert (back.status_code, back.json()["code"]) == (403, "not_allowed")
    assert not Person.objects.get(pk=cast.ada.pk).is_active


@pytest.mark.parametrize("name", ["ines", "stella"])
def test_a_person_is_found_only_in_their_own_tenant(cast: Cast, calling: Calling, name: str) -> None:
    caller, before = calling(name), set(Person.objects.filter(is_active=True))
    for stranger in (cast.fred.pk, cast.priya.pk, uuid4()):
        path = f"{of(cast)}/{stranger}"
        assert caller.get(path).status_code == 404
        for act in ("switch-off", "switch-on"):
            assert caller.post(f"{path}/{act}").status_code == 404
    path = f"{of(cast)}/{cast.fred.pk}/give-role"
    assert calling("ines").post(path, {"role": "member"}).status_code == 404
    assert set(Person.objects.filter(is_active=True)) == before


def test_a_client_of_the_tenant_is_nobody_of_its_people(cast: Cast, calling: Calling) -> None:
    client, _secret = client_of(cast, "contoso", Scope.LOG_READ)
    ines = calling("ines")
    assert "Help desk" not in names(ines.get(of(cast)))
    path = f"{of(cast)}/{client.account_id}"
    assert ines.get(path).status_code == 404
    for act, body in (("give-role", {"role": "approver"}), ("switch-off", None), ("switch-on", None)):
        assert ines.post(f"{path}/{act}", body).status_code == 404
    assert not Membership.objects.filter(person=client.account_id).exists()


def test_a_role_that_was_taken_counts_no_more_for_tokens_that_are_out(cast: Cast, calling: Calling) -> None:
    operations.give_role(cast.contoso.pk, cast.mia.pk, role="administrator", actor=cast.as_("ines"))
    give_app(cast.mia)
    mia = Caller(token_of(cast, "mia"))
    assert mia.post(of(cast, "otto", "give-role"), {"role": "member"}).status_code == 200
    assert calling("ines").post(of(cast, "mia", "take-role"), {"role": "administrator"}).status_code == 200
    refused = mia.post(of(cast, "otto", "take-role"), {"role": "member"})
    assert (refused.status_code, refused.json()["code"]) == (403, "not_allowed")
    assert PASSWORD not in refused.content.decode()


# --- The provider's people -----------------------------------------------------------------------------------


def test_staff_invite_list_resend_and_withdraw_colleagues(cast: Cast, calling: Calling) -> None:
    cast.colleague()
    stella = calling("stella")
    wanted = {"email": "Sam@provider.example", "role": "engineer", "services": [str(cast.exchange.pk)]}
    made = stella.post("invitations", {**wanted, "time_zone": "Europe/Berlin"})
    assert made.status_code == 201, made.json()
    found, proposal = made.json(), Proposal.objects.get()
    assert (found["tenant"], found["services"], found["proposal"]) == (None, ["exchange-online"], str(proposal.pk))
    assert [row["id"] for row in stella.get("invitations").json()["items"]] == [found["id"]]
    again = stella.post(f"invitations/{found['id']}/send-again")
    assert (again.status_code, again.json()["times_sent"]) == (200, 2)
    assert stella.post(f"invitations/{found['id']}/withdraw").status_code == 200
    assert stella.get("invitations").json()["items"] == []
    proposal.refresh_from_db()
    assert proposal.outcome == "withdrawn"


@pytest.mark.parametrize(
    "wrong",
    [
        {"role": "approver"},
        {"role": "engineer", "services": []},
        {"role": "engineer", "services": ["no id"]},
        {"role": "staff", "password": "a password that nobody asked for"},
    ],
)
def test_a_wrong_invitation_of_a_colleague_is_refused(cast: Cast, calling: Calling, wrong: dict[str, Any]) -> None:
    answer = calling("stella").post("invitations", {"email": "sam@provider.example", **wrong})
    assert answer.status_code in (400, 422)
    assert not Invitation.objects.exists()


@pytest.mark.parametrize("name", ["ines", "ada", "priya", "pat"])
def test_nobody_but_staff_sees_or_makes_the_providers_invitations(cast: Cast, calling: Calling, name: str) -> None:
    row, caller = cast.invited_colleague(), calling(name)
    for answer in (caller.get("invitations"), caller.post("invitations", {"email": "x@x.example", "role": "staff"})):
        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
    for act in ("send-again", "withdraw"):
        assert caller.post(f"invitations/{row.pk}/{act}").status_code == 404
    row.refresh_from_db()
    assert (Invitation.objects.count(), row.sends, row.withdrawn_at) == (1, 1, None)


def test_a_tenants_invitations_and_the_providers_are_never_in_one_list(cast: Cast, calling: Calling) -> None:
    tenants, other = cast.invited(), cast.invited_colleague()
    path = f"tenants/{cast.contoso.pk}/invitations"
    assert [row["id"] for row in calling("ines").get(path).json()["items"]] == [str(tenants.pk)]
    assert [row["id"] for row in calling("stella").get(path).json()["items"]] == [str(tenants.pk)]
    assert [row["id"] for row in calling("stella").get("invitations").json()["items"]] == [str(other.pk)]
