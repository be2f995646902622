"""SCIM 2.0: a directory manages a tenant's people, as the standard says and as two common directories do it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.test import Client as Browser
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor, Role
from requests_app.domain.errors import NotAllowed, NotFound, StepUpRequired, Unacceptable
from requests_app.domain.scopes import Scope
from requests_app.doors.api.errors import NotTheSame
from requests_app.doors.api.scim import bodies, discovery, shapes
from requests_app.doors.api.scim.shapes import ERROR, GROUP, USER, group_id
from requests_app.models import DirectoryGroup, DirectoryRecord, Membership, OutboxMessage, Person, Token
from tests.api.conftest import connections_stay_open
from tests.caller import Caller, access_token, caller_for, client_of, token_of
from tests.cast import PASSWORD, Cast, events_in
from tests.web.pages import signed_in

pytestmark = pytest.mark.django_db

SCOPE = Scope.MEMBERS_PROVISION
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
USERS, GROUPS = "/scim/v2/Users", "/scim/v2/Groups"


#: Results that the tester expects and this product does not give. A person always has a role, a state and a display
#: name, and an email address always has the type "work".
OTHERWISE = {
    ("check_add_attribute", "'roles'"),
    ("check_remove_attribute", "'roles'"),
    ("check_remove_attribute", "'active'"),
    ("check_remove_attribute", "'displayName'"),
    ("check_replace_attribute", "'emails'"),
    # A group is a role. It has a name, no key of the directory, and can't be deleted.
    ("object_query_with_attributes", "'externalId' missing from Group"),
    ("object_list_with_attributes", "'externalId' missing from Group"),
    ("check_add_attribute", "'externalId'"),
    ("check_replace_attribute", "'externalId'"),
    ("object_deletion", "because each group gives a role"),
}


@pytest.mark.deep
@pytest.mark.parametrize("whose", ["contoso", None])
def test_an_independent_tester_finds_no_fault(cast: Cast, monkeypatch: pytest.MonkeyPatch, whose: str | None) -> None:
    """The tester manages the people of a tenant, and then those of the provider."""
    from scim2_client.engines.wsgi import WSGISCIMClient
    from scim2_tester import Status, check_server
    from scim2_tester.utils import ResourceManager

    makes = ResourceManager.create_and_register
    group_of = group_id(cast.contoso.pk, "auditor")
    if whose is None:
        cast.agreed(
            lambda: operations.map_group(cast.exchange.pk, group="auditor", role="engineer", actor=cast.as_("stella"))
        )
        group_of = DirectoryGroup.objects.get().pk

    def made(manager: Any, model: Any, fill_all: bool = False) -> Any:
        """Return an existing group in place of a new one: there are always five groups, and no group can be created."""
        if model.__name__ != "Group":
            return makes(manager, model, fill_all)
        return manager.context.client.query(model, str(group_of))

    monkeypatch.setattr(ResourceManager, "create_and_register", made)
    secret = caller_for(cast, whose, SCOPE).secret
    with connections_stay_open():
        client = WSGISCIMClient(
            WSGIHandler(), "http://localhost/scim/v2", headers={"Authorization": f"Bearer {secret}"}
        )
        results = check_server(client)
    passed = [each.resource_type for each in results if each.status is Status.SUCCESS]
    counts = {name: passed.count(name) for name in (None, "User", "Group")}
    assert (len(passed) >= 45, counts["Group"] >= 6) == (True, True), counts
    faults = [each for each in results if each.status in (Status.ERROR, Status.CRITICAL)]
    left = [
        (each.title, each.reason)
        for each in faults
        if not any(each.title == title and name in str(each.reason) for title, name in OTHERWISE)
    ]
    assert left == []


@pytest.fixture
def caller(cast: Cast) -> Caller:
    return caller_for(cast, "contoso", SCOPE)


def whole(name: str = "grace", **more: Any) -> dict[str, Any]:
    """Return a User as Entra ID sends it. The product does not store many of its attributes."""
    return {
        "schemas": [USER, "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"],
        "externalId": f"key-of-{name}",
        "userName": f"{name}@contoso.example",
        "active": True,
        "displayName": f"{name.title()} Adeyemi",
        "emails": [{"primary": True, "type": "work", "value": f"{name}@contoso.example"}],
        "meta": {"resourceType": "User"},
        "name": {"formatted": "x", "familyName": "Adeyemi", "givenName": name.title()},
        "password": PASSWORD,
        "title": "Lead",
        **more,
    }


def ops(*operations: dict[str, Any]) -> dict[str, Any]:
    return {"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": list(operations)}


def fault(response: Any) -> tuple[int, str | None]:
    """Return the status and the scimType of an error. Assert that the body has the status of the response."""
    body = response.json()
    assert (body["schemas"], body["status"]) == ([ERROR], str(response.status_code))
    assert response["Content-Type"] == "application/scim+json"
    return response.status_code, body.get("scimType")


def test_somebody_is_added_without_a_password_and_as_a_member(cast: Cast, caller: Caller) -> None:
    made = caller.post(USERS, whole())
    assert made.status_code == 201
    body = made.json()
    person = Person.objects.get(pk=body["id"])
    assert made["Location"] == body["meta"]["location"] == f"http://localhost:8000{USERS}/{person.pk}"
    assert (body["userName"], body["externalId"], body["active"]) == ("grace@contoso.example", "key-of-grace", True)
    assert (body["name"], body["displayName"]) == ({"givenName": "Grace", "familyName": "Adeyemi"}, "Grace Adeyemi")
    assert body["roles"] == [{"value": "member"}]
    assert (person.email, person.side, person.has_usable_password()) == ("grace@contoso.example", "customer", False)
    assert events_in(cast.contoso)[-2:] == ["person.created", "role.given"]
    entry = record_of("person.created")
    assert (entry["actor"]["kind"], entry["actor"]["name"]) == ("client", "Help desk")
    assert PASSWORD not in str(entry) + made.content.decode()
    assert not Browser().login(username=person.email, password=PASSWORD)


def test_a_name_or_address_that_is_taken_is_a_conflict_wherever_it_is(cast: Cast, caller: Caller) -> None:
    caller.post(USERS, whole())
    before, answers = AuditEntry.objects.filter(event="person.created").count(), set()
    for body in (
        whole(),
        whole("gRACE", externalId="other"),
        whole("other", externalId="key-of-grace"),
        whole("mia", externalId="new"),
        whole("new", externalId="new", emails=[{"value": "frida@fabrikam.example"}]),
        whole("new", externalId="new", emails=[{"value": "priya@provider.example"}]),
    ):
        refused = caller.post(USERS, body)
        assert fault(refused) == (409, "uniqueness")
        answers.add(refused.content)
    assert len(answers) == 1
    assert AuditEntry.objects.filter(event="person.created").count() == before


@pytest.mark.parametrize(
    "change",
    [
        {"op": "Replace", "path": "active", "value": "False"},
        {"op": "replace", "value": {"active": False}},
        {"op": "replace", "path": f"{USER}:active", "value": False},
    ],
    ids=["entra", "okta", "urn"],
)
def test_switching_off_ends_tokens_and_sessions_immediately(cast: Cast, caller: Caller, change: dict[str, Any]) -> None:
    ada, browser = Caller(token_of(cast, "ada")), Browser()
    browser.force_login(cast.ada)
    assert ada.get("me").status_code == 200
    changed = caller.patch(f"{USERS}/{cast.ada.pk}", ops(change))
    assert (changed.status_code, changed.json()["active"]) == (200, False)
    assert ada.get("me").status_code == 401
    assert browser.get("/").status_code == 302
    assert events_in(cast.contoso)[-1] == "person.switched_off"
    # The same change again has no effect, and writes no entry.
    assert caller.patch(f"{USERS}/{cast.ada.pk}", ops(change)).status_code == 200
    assert events_in(cast.contoso).count("person.switched_off") == 1
    back = caller.patch(f"{USERS}/{cast.ada.pk}", ops({"op": "Add", "path": "active", "value": "True"}))
    assert back.json()["active"] is True
    assert ada.get("me").status_code == 401
    assert events_in(cast.contoso)[-1] == "person.switched_on"


def test_the_directory_cannot_remove_the_last_decider(cast: Cast, caller: Caller) -> None:
    ines = f"{USERS}/{cast.ines.pk}"
    off = ops({"op": "replace", "value": {"active": False}})
    member = ops({"op": "replace", "path": "roles", "value": [{"value": "member"}]})
    for refused in (caller.patch(ines, off), caller.delete(ines), caller.patch(ines, member)):
        assert fault(refused) == (409, None)
        assert "last administrator" in refused.json()["detail"]
    assert (Person.objects.get(pk=cast.ines.pk).is_active, _roles(cast.ines)) == (True, ["administrator"])
    assert {"person.switched_off", "role.taken", "role.given"} & set(events_in(cast.contoso)) == set()


def test_a_deleted_person_is_missing_and_comes_back_as_the_same_person(cast: Cast, caller: Caller) -> None:
    address = f"{USERS}/{cast.ada.pk}"
    assert caller.delete(address).status_code == 204
    assert not Person.objects.get(pk=cast.ada.pk).is_active
    for call in (caller.get(address), caller.delete(address), caller.put(address, whole("ada"))):
        assert fault(call) == (404, None)
    assert caller.get(USERS, {"filter": 'userName eq "ada@contoso.example"'}).json()["totalResults"] == 0
    back = caller.post(USERS, whole("ada"))
    assert (back.status_code, back.json()["id"], back.json()["active"]) == (201, str(cast.ada.pk), True)
    # The person gets no earlier role back, although the directory sent the same name.
    assert _roles(cast.ada) == ["member"]
    # Nor the earlier credentials: somebody else can have the name now.
    back = ["person.second_factors_reset", "person.changed", "role.taken", "person.switched_on"]
    assert events_in(cast.contoso)[-5:] == ["person.switched_off", *back]


def test_roles_are_given_and_taken_with_entries_and_mails_to_approvers(cast: Cast, caller: Caller) -> None:
    mia = f"{USERS}/{cast.mia.pk}"
    given = caller.patch(mia, ops({"op": "add", "path": "roles", "value": [{"value": "approver"}]}))
    assert given.json()["roles"] == [{"value": "approver"}, {"value": "member"}]
    entra = ops({"op": "Replace", "path": 'roles[primary eq "True"].value', "value": "auditor"})
    assert caller.patch(mia, entra).json()["roles"] == [{"value": "auditor"}, {"value": "member"}]
    assert events_in(cast.contoso)[-3:] == ["role.given", "role.given", "role.taken"]
    topics = OutboxMessage.objects.filter(topic="notify.approvers_changed", about=cast.mia.pk)
    assert len({each.mark for each in topics}) == 2
    left = caller.patch(mia, ops({"op": "remove", "path": 'roles[value eq "auditor"]'}))
    assert left.json()["roles"] == [{"value": "member"}]
    assert fault(caller.patch(mia, ops({"op": "add", "path": "roles", "value": ["emperor"]}))) == (400, "invalidValue")


def test_a_whole_one_replaces_names_and_leaves_what_it_does_not_say(cast: Cast, caller: Caller) -> None:
    ada = f"{USERS}/{cast.ada.pk}"
    body = {"schemas": [USER], "userName": "Ada.L", "name": {"givenName": "Ada", "familyName": "Lovelace"}}
    found = caller.put(ada, body).json()
    assert (found["userName"], found["displayName"], found["active"]) == ("Ada.L", "Ada Lovelace", True)
    assert (found["emails"][0]["value"], found["roles"]) == (
        "ada@contoso.example",
        [{"value": "approver"}, {"value": "member"}],
    )
    assert events_in(cast.contoso)[-1] == "person.changed"
    count = AuditEntry.objects.count()
    assert caller.put(ada, body).json() == found
    assert AuditEntry.objects.count() == count
    assert caller.get(USERS, {"filter": 'USERNAME EQ "ada.l"'}).json()["Resources"] == [found]
    moved = ops({"op": "replace", "value": {"name.familyName": "Byron"}})
    assert caller.patch(ada, moved).json()["displayName"] == "Ada Byron"


def test_an_address_of_somebody_who_decides_is_not_moved_by_a_machine(cast: Cast, caller: Caller) -> None:
    change = ops({"op": "replace", "path": 'emails[type eq "work"].value', "value": "else@contoso.example"})
    assert fault(caller.patch(f"{USERS}/{cast.ada.pk}", change)) == (400, "invalidValue")
    assert Person.objects.get(pk=cast.ada.pk).email == "ada@contoso.example"
    # A deputy's address does not change either.
    operations.give_role(cast.contoso.pk, cast.otto.pk, role="deputy", actor=cast.as_("ines"))
    assert fault(caller.patch(f"{USERS}/{cast.otto.pk}", change)) == (400, "invalidValue")
    assert caller.patch(f"{USERS}/{cast.mia.pk}", change).status_code == 200
    assert Person.objects.get(pk=cast.mia.pk).email == "else@contoso.example"
    assert record_of("person.changed")["detail"]["email_before"] == "mia@contoso.example"


def found_by(caller: Caller, raw: str, path: str = USERS) -> set[str]:
    """Return the names that a filter finds. For Groups, they are names of roles."""
    answer = caller.get(path, {"filter": raw})
    assert answer.status_code == 200, (raw, answer.content.decode())
    body = answer.json()
    assert body["totalResults"] == len(body["Resources"]) == body["itemsPerPage"]
    return {each.get("userName", each["displayName"]).partition("@")[0] for each in body["Resources"]}


def test_people_are_found_by_what_a_filter_says(cast: Cast, caller: Caller) -> None:
    """Contoso's people are ada, alan, ines, mia and otto, and also grace, whom the directory added."""
    made = caller.post(USERS, whole(displayName="Grace Élodie Adeyemi")).json()
    caller.patch(f"{USERS}/{cast.mia.pk}", ops({"op": "replace", "path": "active", "value": False}))
    everybody = {"ada", "alan", "ines", "mia", "otto", "grace"}
    for raw, names in (
        ('userName eq "Grace@contoso.example"', {"grace"}),
        ('USERNAME EQ "GRACE@CONTOSO.EXAMPLE"', {"grace"}),
        (f'{USER}:userName eq "grace@contoso.example"', {"grace"}),
        ('externalId eq "key-of-grace"', {"grace"}),
        ('externalId eq "KEY-OF-GRACE"', set()),
        ('emails eq "grace@contoso.example"', {"grace"}),
        ('emails.value eq "grace@contoso.example"', {"grace"}),
        ('emails[type eq "work"].value eq "GRACE@contoso.example"', {"grace"}),
        ('emails[type eq "work" and value sw "gra"]', {"grace"}),
        ('emails[type eq "home"]', set()),
        (f'id eq "{made["id"]}"', {"grace"}),
        (f'id eq "{made["id"].upper()}"', set()),
        ('id eq "no id"', set()),
        ("active eq true", everybody - {"mia"}),
        ('active eq "False"', {"mia"}),
        ("active ne true", {"mia"}),
        ("not (active eq true)", {"mia"}),
        ("externalId pr", {"grace"}),
        ("not (externalId pr)", everybody - {"grace"}),
        ("externalId eq null", everybody - {"grace"}),
        ("name.givenName pr and active eq true", {"grace"}),
        ('userName sw "A"', {"ada", "alan"}),
        ('userName ew "@contoso.example"', everybody),
        ('userName co "LA"', {"alan"}),
        ('displayName co "élodie"', {"grace"}),
        ('userName co "%"', set()),
        ('userName sw "_"', set()),
        ('userName sw "a" and not (userName co "lan")', {"ada"}),
        ('userName eq "ada@contoso.example" or userName eq "alan@contoso.example"', {"ada", "alan"}),
        ('userName eq "ada@contoso.example" or active eq false', {"ada", "mia"}),
        ('userName eq "ada@contoso.example" and active eq false', set()),
        # "and" has precedence over "or".
        ('userName sw "i" or userName sw "a" and userName co "da"', {"ines", "ada"}),
        ('(userName sw "i" or userName sw "a") and userName co "da"', {"ada"}),
        ('roles eq "administrator"', {"ines"}),
        ('roles[value eq "approver"]', {"ada", "alan"}),
        ('groups.display eq "auditor"', {"otto"}),
        (f'groups.value eq "{group_id(cast.contoso.pk, "auditor")}"', {"otto"}),
        ('userName ge "ines" and userName lt "o"', {"ines", "mia"}),
        ('meta.created gt "2020-01-01T00:00:00Z"', everybody),
        ('meta.lastModified lt "2020-01-01T00:00:00Z"', set()),
        ('meta.resourceType eq "User"', everybody),
        ('externalId eq ""', set()),
        ('userName eq "\\u0000"', set()),
        ('userName eq "' + "x" * 700 + '"', set()),
        ('userName ne "ada@contoso.example"', everybody - {"ada"}),
    ):
        assert found_by(caller, raw) == names, raw


HOSTILE = (
    "",
    " ",
    "userName",
    "userName eq grace",
    "userName eq 7",
    "userName eq true",
    "userName gt null",
    'userName xx "x"',
    'userName eq "x" or',
    'userName eq "x" userName eq "y"',
    "not active eq true",
    "active gt true",
    'active eq "perhaps"',
    'active co "t"',
    'meta.created eq "yesterday"',
    'meta.created co "2026"',
    'meta.created eq "2026-01-01T00:00:00"',
    'password eq "x"',
    "password pr",
    "name pr or password pr",
    'emails[password eq "x"]',
    'emails.password eq "x"',
    'name eq "x"',
    'userName[value eq "x"]',
    'title eq "x"',
    'person__password eq "x"',
    'directory.user_key eq "x"',
    'urn:ietf:params:scim:schemas:core:2.0:Group:userName eq "x"',
    'userName eq "x"; DROP TABLE',
    "userName eq \"x' OR 1=1 --",
    'userName eq "\\ud800"',
    'userName eq "' + "x" * 1001 + '"',
    "(" * 300,
    "not (" * 60 + "active pr" + ")" * 60,
    " and ".join(["active pr"] * 100),
)


def test_a_filter_that_cannot_be_read_is_refused(cast: Cast, caller: Caller) -> None:
    for hostile in HOSTILE:
        assert fault(caller.get(USERS, {"filter": hostile})) == (400, "invalidFilter"), hostile
        # The whole filter is parsed before it is applied to anybody.
        assert fault(caller.get(USERS, {"filter": f"active eq false and ({hostile})"})) == (400, "invalidFilter")


def test_a_filter_finds_nobody_of_another_tenant(cast: Cast, caller: Caller) -> None:
    for person in (cast.frida, cast.finn, cast.priya):
        for raw in (
            f'id eq "{person.pk}"',
            f'userName eq "{person.email}"',
            f'emails.value eq "{person.email}"',
            f'userName eq "{person.email}" or id eq "{person.pk}"',
            f'displayName eq "{person.name}"',
        ):
            assert found_by(caller, raw) == set(), raw
        assert found_by(caller, f'members eq "{person.pk}"', GROUPS) == set()
    ours = {"ada", "alan", "ines", "mia", "otto"}
    assert found_by(caller, f'not (id eq "{cast.frida.pk}")') == ours
    assert found_by(caller, "id pr") == ours


def test_a_filter_with_an_index_costs_the_same_for_any_number_of_people(
    cast: Cast, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[str] = []
    plain = shapes.user

    def user(person: Person) -> dict[str, Any]:
        searched.append(person.email)
        return plain(person)

    monkeypatch.setattr(shapes, "user", user)
    for raw in (
        'userName eq "ada@contoso.example" and active eq true',
        f'displayName co "x" and id eq "{cast.ada.pk}"',
        'emails[type eq "work" and value eq "ada@contoso.example"]',
        'userName eq "ada@contoso.example" or externalId eq "none"',
    ):
        searched.clear()
        found_by(caller, raw)
        assert set(searched) == {"ada@contoso.example"}, raw

    def grow() -> None:
        for number in range(20):
            assert caller.post(USERS, whole(f"n{number}")).status_code == 201

    def ask() -> int:
        with CaptureQueriesContext(connection) as queries:
            caller.get(USERS, {"filter": "active eq true"})
        return len(queries)

    ask()
    before = ask()
    grow()
    assert ask() == before
    some = caller.get(USERS, {"filter": 'userName sw "n"', "startIndex": 3, "count": 5}).json()
    assert (some["totalResults"], some["itemsPerPage"], some["startIndex"]) == (20, 5, 3)


def test_the_service_describes_itself_correctly(cast: Cast, caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    config = caller.get("/scim/v2/ServiceProviderConfig").json()
    named = {name: config[name]["supported"] for name in ("patch", "bulk", "filter", "sort", "etag", "changePassword")}
    assert named == {
        "patch": True, "bulk": False, "filter": True, "sort": False, "etag": True, "changePassword": False
    }  # fmt: skip
    assert fault(caller.post("/scim/v2/Bulk"))[0] == 501
    monkeypatch.setattr(discovery, "MOST", 3)
    assert caller.get("/scim/v2/ServiceProviderConfig").json()["filter"]["maxResults"] == 3
    for query in ({}, {"filter": "active pr"}):
        listed = caller.get(USERS, {**query, "count": 9999}).json()
        assert (listed["itemsPerPage"], listed["totalResults"]) == (3, 5)


def test_lists_come_in_pages_and_in_parts(cast: Cast, caller: Caller) -> None:
    pages = [caller.get(USERS, {"startIndex": start, "count": 2}).json() for start in (1, 3, 5, 7)]
    assert [(each["startIndex"], each["itemsPerPage"], each["totalResults"]) for each in pages] == [
        (1, 2, 5),
        (3, 2, 5),
        (5, 1, 5),
        (7, 0, 5),
    ]
    assert len({row["id"] for page in pages for row in page["Resources"]}) == 5
    assert caller.get(USERS, {"count": 0}).json()["totalResults"] == 5
    assert caller.get(USERS, {"startIndex": -4, "count": -1}).json()["Resources"] == []
    assert fault(caller.get(USERS, {"count": "many"})) == (400, "invalidValue")
    part = caller.get(f"{USERS}/{cast.ada.pk}", {"attributes": "userName,emails.value"}).json()
    assert part.keys() == {"schemas", "id", "userName", "emails"}
    assert part["emails"] == [{"value": "ada@contoso.example"}]
    rest = caller.get(f"{USERS}/{cast.ada.pk}", {"excludedAttributes": "emails,meta"}).json()
    assert rest.keys() == {"schemas", "id", "userName", "displayName", "active", "roles", "groups"}


def test_a_malformed_change_is_refused_and_changes_nothing(cast: Cast, caller: Caller) -> None:
    ada, rows = f"{USERS}/{cast.ada.pk}", list(Person.objects.order_by("pk").values())
    for body, why in (
        ({}, "invalidSyntax"),
        (ops(), "invalidSyntax"),
        (ops({"op": "move", "path": "active"}), "invalidSyntax"),
        (ops({"op": "remove"}), "noTarget"),
        (ops({"op": "remove", "path": "userName"}), "mutability"),
        (ops({"op": "replace", "path": "id", "value": "x"}), "mutability"),
        (ops({"op": "replace", "path": "isStaff", "value": True}), "invalidPath"),
        (ops({"op": "replace", "path": "name[", "value": "x"}), "invalidPath"),
        (ops({"op": "replace", "path": "active", "value": "perhaps"}), "invalidValue"),
        (ops({"op": "replace", "path": "displayName", "value": 7}), "invalidValue"),
        (ops(*[{"op": "add", "path": "title", "value": "x"}] * 101), "invalidValue"),
    ):
        assert fault(caller.patch(ada, body)) == (400, why), body
    for body in ({"userName": "x"}, {"schemas": [USER]}, whole(userName=7), whole(emails=[{"value": "nowhere"}])):
        assert fault(caller.post(USERS, body))[0] == 400, body
    passed = ops({"op": "add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department"})
    assert caller.patch(ada, passed).status_code == 200
    assert (list(Person.objects.order_by("pk").values()), DirectoryRecord.objects.count()) == (rows, 0)
    assert set(events_in(cast.contoso)) == {"client.created"}
    assert fault(caller.get("/scim/v2/Devices")) == (404, None)
    assert fault(caller.get("/scim/v2/Me")) == (501, None)
    assert fault(caller.post("/scim/v2/Bulk"))[0] == 501


def test_only_a_permitted_caller_of_the_tenant_manages_its_people(cast: Cast, caller: Caller) -> None:
    ada, count = f"{USERS}/{cast.ada.pk}", AuditEntry.objects.filter(event="person.switched_off").count()
    assert fault(Caller("rubbish").get(USERS)) == (401, None)
    narrow = caller_for(cast, "contoso", Scope.MEMBERS_READ)
    for refused in (narrow.get(USERS), narrow.delete(ada), Caller(token_of(cast, "ada", SCOPE)).get(USERS)):
        assert fault(refused) == (403, None)
    for name in ("fabrikam", "finn", "stella", "priya"):
        other = caller_for(cast, name, SCOPE)
        for refused in (other.get(ada), other.delete(ada), other.patch(ada, ops())):
            assert fault(refused) == (404, None)
    assert fault(Caller(token_of(cast, "stella", SCOPE)).get(USERS)) == (403, None)
    assert Caller(token_of(cast, "ines", SCOPE)).get(USERS).json()["totalResults"] == 5
    assert AuditEntry.objects.filter(event="person.switched_off").count() == count


# --- Groups --------------------------------------------------------------------------------------------------


def group(cast: Cast, role: str) -> str:
    return f"{GROUPS}/{group_id(cast.contoso.pk, role)}"


def members(response: Any) -> set[str]:
    assert response.status_code == 200, response.content.decode()
    return {each["value"] for each in response.json()["members"]}


def add(*people: Person) -> dict[str, Any]:
    return {"op": "Add", "path": "members", "value": [{"value": str(each.pk)} for each in people]}


def remove(person: Person) -> dict[str, Any]:
    return {"op": "remove", "path": f'members[value eq "{person.pk}"]'}


def test_the_groups_are_the_roles_and_who_holds_them(cast: Cast, caller: Caller) -> None:
    listed = caller.get(GROUPS).json()
    assert (listed["totalResults"], [each["displayName"] for each in listed["Resources"]]) == (
        5,
        ["member", "approver", "auditor", "administrator", "deputy"],
    )
    [found] = caller.get(GROUPS, {"filter": 'displayName eq "Approver"'}).json()["Resources"]
    assert found == caller.get(group(cast, "approver")).json()
    assert found["meta"]["location"] == f"http://localhost:8000{group(cast, 'approver')}"
    assert found["members"] == [
        {
            "value": str(person.pk),
            "$ref": f"http://localhost:8000{USERS}/{person.pk}",
            "type": "User",
        }
        for person in sorted((cast.ada, cast.alan), key=lambda person: (person.created_at, str(person.pk)))
    ]
    of_ada = {each["display"] for each in caller.get(f"{USERS}/{cast.ada.pk}").json()["groups"]}
    by_member = caller.get(GROUPS, {"filter": f'members.value eq "{cast.ada.pk}"'}).json()["Resources"]
    assert of_ada == {each["displayName"] for each in by_member} == {"approver", "member"}
    short = caller.get(GROUPS, {"excludedAttributes": "members", "startIndex": 2, "count": 2}).json()
    assert [each.keys() for each in short["Resources"]] == [{"schemas", "id", "displayName", "meta"}] * 2
    assert (short["startIndex"], short["itemsPerPage"], short["totalResults"]) == (2, 2, 5)
    for raw, names in (
        ('displayName co "TOR"', {"auditor", "administrator"}),
        ('displayName eq "approver" or id eq "x"', {"approver"}),
        (f'members eq "{cast.ada.pk}"', of_ada),
        (f'members[value eq "{cast.ada.pk}"] and not (displayName eq "member")', {"approver"}),
        (f'members[value eq "{cast.ada.pk}" and type eq "User"]', of_ada),
        ("not (members pr)", {"deputy"}),
        (f'id eq "{group_id(cast.contoso.pk, "deputy")}"', {"deputy"}),
        (f'id eq "{group_id(cast.fabrikam.pk, "deputy")}"', set()),
    ):
        assert found_by(caller, raw, GROUPS) == names, raw
    for hostile in (
        "",
        "displayName",
        "userName pr",
        'password eq "x"',
        'members.display eq "x"',
        "members.value eq 7",
    ):
        assert fault(caller.get(GROUPS, {"filter": hostile})) == (400, "invalidFilter"), hostile


def test_a_change_whose_filter_matches_nothing_gives_nothing(cast: Cast, caller: Caller) -> None:
    mia, approver = f"{USERS}/{cast.mia.pk}", group(cast, "approver")
    memberships, entries = list(Membership.objects.order_by("pk").values()), AuditEntry.objects.count()
    rows = list(Person.objects.order_by("pk").values())
    of_mia = [{"value": str(cast.mia.pk)}]
    for kind in ("add", "Replace", "remove"):
        for path, operation in (
            (mia, {"path": 'roles[value eq "nonsense"].value', "value": "approver"}),
            (mia, {"path": 'roles[value eq "auditor"]', "value": {"value": "approver"}}),
            (mia, {"path": 'roles[primary eq "False"].value', "value": "approver"}),
            (mia, {"path": 'emails[type eq "home"].value', "value": "else@contoso.example"}),
            (approver, {"path": f'members[value eq "{cast.mia.pk}"]', "value": of_mia}),
            (approver, {"path": f'members[value eq "{cast.frida.pk}"]', "value": of_mia}),
            (approver, {"path": 'members[value eq "nobody"].value', "value": str(cast.mia.pk)}),
            (approver, {"path": 'members[not (type eq "User")]', "value": of_mia}),
        ):
            answer = caller.patch(path, ops({"op": kind, **operation}))
            assert fault(answer) == (400, "noTarget"), (kind, operation)
    # An earlier operation of the same call has no effect either.
    both = ops({"op": "add", "path": "roles", "value": ["auditor"]}, {"op": "remove", "path": 'roles[value eq "x"]'})
    assert fault(caller.patch(mia, both)) == (400, "noTarget")
    for path, raw in (
        (mia, 'roles[password eq "x"]'),
        (mia, 'roles[value eq "x"'),
        (mia, 'userName[value eq "x"]'),
        (mia, "active eq true"),
        (approver, 'members[display eq "x"]'),
        (approver, 'members[value eq "x"].display'),
        (approver, "members.display"),
        (approver, 'roles[value eq "x"]'),
    ):
        status, word = fault(caller.patch(path, ops({"op": "remove", "path": raw})))
        assert (status, word in ("invalidPath", "invalidFilter")) == (400, True), raw
    assert list(Membership.objects.order_by("pk").values()) == memberships
    assert list(Person.objects.order_by("pk").values()) == rows
    assert AuditEntry.objects.exclude(event="act.refused").count() == entries


def test_the_shapes_that_entra_and_okta_send_work(cast: Cast, caller: Caller) -> None:
    mia, auditor = f"{USERS}/{cast.mia.pk}", group(cast, "auditor")
    work = 'emails[type eq "work"].value'
    for sent in (
        # Entra ID, with a path for each attribute, and without paths, with paths as keys.
        ops(
            {"op": "Replace", "path": "active", "value": "False"},
            {"op": "Replace", "path": "displayName", "value": "Mia One"},
            {"op": "Add", "path": work, "value": "mia.one@contoso.example"},
            {"op": "Replace", "path": 'phoneNumbers[type eq "mobile"].value', "value": "+1"},
            {"op": "Add", "path": 'addresses[type eq "work"].country', "value": "NO"},
            {"op": "Replace", "path": f"{ENTERPRISE}:department", "value": "x"},
        ),
        ops({"op": "Replace", "value": {"active": "True", "name.givenName": "Mia", work: "mia.two@contoso.example"}}),
        # Okta sends attributes without paths.
        {"schemas": ops()["schemas"], "Operations": [{"op": "replace", "value": {"active": False, "title": "x"}}]},
        ops({"op": "replace", "value": {"active": True, "displayName": "Mia Two"}}),
    ):
        answer = caller.patch(mia, sent)
        assert answer.status_code == 200, answer.content.decode()
    person = Person.objects.get(pk=cast.mia.pk)
    assert (person.is_active, person.name, person.email) == (True, "Mia Two", "mia.two@contoso.example")
    # Members are changed with a list, with a filter, and in the way in which Entra ID removes one.
    assert str(cast.mia.pk) in members(caller.patch(auditor, ops(add(cast.mia))))
    assert str(cast.mia.pk) not in members(caller.patch(auditor, ops(remove(cast.mia) | {"op": "Remove"})))
    caller.patch(auditor, ops(add(cast.mia)))
    entra = ops({"op": "Remove", "path": "members", "value": [{"$ref": None, "value": str(cast.mia.pk)}]})
    assert str(cast.mia.pk) not in members(caller.patch(auditor, entra))
    # Entra ID selects an app role by `primary`, which the product does not return.
    role = ops({"op": "Add", "path": 'roles[primary eq "True"].value', "value": "auditor"})
    assert caller.patch(mia, role).status_code == 200
    assert _roles(cast.mia) == ["auditor"]


def test_members_of_a_group_get_its_role_with_entries_and_mails_to_approvers(cast: Cast, caller: Caller) -> None:
    approver = group(cast, "approver")
    assert str(cast.mia.pk) in members(caller.patch(approver, ops(add(cast.mia, cast.ada))))
    assert events_in(cast.contoso)[-1:] == ["role.given"]
    # One call gives the role to one person first, and then takes it from the other.
    handed = ops({"op": "replace", "path": "members", "value": [{"value": str(cast.otto.pk)}]})
    assert members(caller.patch(approver, handed)) == {str(cast.otto.pk)}
    assert sorted(events_in(cast.contoso)[-5:]) == ["role.given"] * 2 + ["role.taken"] * 3
    assert _roles(cast.alan) == ["member"], "nobody is left without a role"
    assert OutboxMessage.objects.filter(topic="notify.approvers_changed", about=cast.mia.pk).count() == 2
    # The same state again changes nothing, in any spelling. Okta also sends the group's id and name.
    count = AuditEntry.objects.count()
    pk = str(group_id(cast.contoso.pk, "approver"))
    for same in (
        ops(add(cast.otto)),
        ops({"op": "remove", "path": "members", "value": [{"value": str(cast.mia.pk)}]}),
        ops({"op": "replace", "value": {"id": pk, "displayName": "approver"}}),
        ops({"op": "add", "value": {"members": [{"value": str(cast.otto.pk), "type": "User"}], "externalId": "x"}}),
        ops(add(cast.ada), remove(cast.ada)),
    ):
        assert members(caller.patch(approver, same)) == {str(cast.otto.pk)}, same
    whole_one = {"schemas": [GROUP], "displayName": "approver"}
    assert members(caller.put(approver, whole_one)) == {str(cast.otto.pk)}
    assert AuditEntry.objects.count() == count
    back = {**whole_one, "members": [{"value": str(cast.ada.pk)}, {"value": str(cast.otto.pk)}]}
    assert members(caller.put(approver, back)) == {str(cast.ada.pk), str(cast.otto.pk)}


def test_a_refused_change_of_a_directory_gets_a_scim_error_and_changes_nothing(cast: Cast, caller: Caller) -> None:
    memberships = list(Membership.objects.order_by("pk").values())
    approver, administrator = group(cast, "approver"), group(cast, "administrator")
    for refused, wanted, words in (
        (caller.patch(approver, ops({"op": "remove", "path": "members"})), (409, None), "last approver"),
        (caller.patch(administrator, ops(remove(cast.ines))), (409, None), "last administrator"),
        (
            caller.patch(group(cast, "auditor"), ops(add(cast.frida))),
            (400, "invalidValue"),
            "does not belong to the tenant",
        ),
        (
            caller.patch(group(cast, "auditor"), ops(add(cast.priya))),
            (400, "invalidValue"),
            "does not belong to the tenant",
        ),
        (
            caller.patch(approver, ops({"op": "add", "path": "members", "value": [{"value": "ada"}]})),
            (400, "invalidValue"),
            "id of a User",
        ),
        (
            caller.patch(
                approver,
                ops({"op": "add", "path": "members", "value": [{"value": str(cast.mia.pk), "type": "Group"}]}),
            ),
            (400, "invalidValue"),
            "be a member of another group",
        ),
        (
            caller.patch(approver, ops({"op": "replace", "path": "displayName", "value": "Kings"})),
            (400, "mutability"),
            "the name of a group never changes",
        ),
        (caller.patch(approver, ops({"op": "add", "path": "owners", "value": "x"})), (400, "invalidPath"), "path"),
        (caller.patch(approver, ops({"op": "move", "path": "members"})), (400, "invalidSyntax"), "operation"),
        (caller.patch(approver, {}), (400, "invalidSyntax"), "PatchOp"),
        (caller.put(approver, {"displayName": "approver"}), (400, "invalidSyntax"), "schema"),
        (caller.post(GROUPS, {"schemas": [GROUP], "displayName": "Kings"}), (501, None), "each group gives a role"),
        (caller.delete(approver), (501, None), "each group gives a role"),
        (caller.get(f"{GROUPS}/{cast.ada.pk}"), (404, None), ""),
    ):
        assert (fault(refused), words in refused.json()["detail"]) == (wanted, True), refused.content
    assert list(Membership.objects.order_by("pk").values()) == memberships
    operations.set_two_person_control(cast.contoso.pk, on=True, actor=cast.as_("ines"))
    for refused in (
        caller.patch(approver, ops(add(cast.mia))),
        caller.patch(approver, ops(remove(cast.ada))),
        caller.patch(f"{USERS}/{cast.mia.pk}", ops({"op": "add", "path": "roles", "value": ["approver"]})),
        caller.patch(f"{USERS}/{cast.ada.pk}", ops({"op": "replace", "value": {"active": False}})),
        caller.delete(f"{USERS}/{cast.ada.pk}"),
    ):
        assert (fault(refused), "two of its own people" in refused.json()["detail"]) == ((403, None), True)
    assert str(cast.mia.pk) in members(caller.patch(group(cast, "auditor"), ops(add(cast.mia))))
    assert events_in(cast.contoso)[-1] == "role.given"
    assert Membership.objects.count() == len(memberships) + 1


def test_the_second_of_two_simultaneous_changes_must_read_again(cast: Cast, caller: Caller) -> None:
    assert caller.get("/scim/v2/ServiceProviderConfig").json()["etag"] == {"supported": True}
    for address, change in (
        (f"{USERS}/{cast.mia.pk}", ops({"op": "replace", "value": {"displayName": "Mia Other"}})),
        (group(cast, "auditor"), ops(add(cast.mia))),
    ):
        read = caller.get(address)
        version = read.json()["meta"]["version"]
        assert (read["ETag"], version[:3]) == (version, 'W/"')
        assert caller.get(address, If_None_Match=version).status_code == 304
        changed = caller.patch(address, change, If_Match=version)
        assert (changed.status_code, changed["ETag"] != version) == (200, True)
        count = AuditEntry.objects.count()
        for late in (
            caller.patch(address, change, If_Match=version),
            caller.put(address, whole("mia"), If_Match=version),
            caller.delete(address, If_Match=version) if "Users" in address else None,
        ):
            assert late is None or fault(late) == (412, None)
        assert AuditEntry.objects.count() == count
        assert caller.get(address, If_None_Match=version).status_code == 200
        assert caller.patch(address, change, If_Match="*").status_code == 200

    # A change between the first read and the lock is detected too.
    def late_too() -> None:
        raise NotTheSame

    with pytest.raises(NotTheSame):
        operations.change_provisioned(
            cast.contoso.pk,
            cast.mia.pk,
            profile=operations.Profile(name="X"),
            actor=cast.as_("ines"),
            still=late_too,
        )
    assert Person.objects.get(pk=cast.mia.pk).name == "Mia Other"


# --- Switched off by the directory -----------------------------------------------------------------------------


def test_a_person_whom_the_directory_switches_off_loses_everything_immediately(cast: Cast, caller: Caller) -> None:
    """Sessions, tokens, single sign-on, invitations and the role of deputy end.

    A client that decides for the person no longer decides.
    """
    row, at = cast.confirmed(), clock.now()
    browser, other = Browser(), Browser()
    for each in (browser, other):
        each.force_login(cast.ada)
    token = Caller(token_of(cast, "ada"))
    machine = Caller(access_token(*client_of(cast, "contoso", decides_for_id=cast.ada.pk)).json()["access_token"])
    operations.give_role(cast.contoso.pk, cast.ada.pk, role="administrator", actor=cast.as_("ines"))
    invitation = cast.invited(by="ada")
    link = cast.link_of(invitation)
    operations.give_role(cast.contoso.pk, cast.otto.pk, role="deputy", actor=cast.as_("ines"))
    operations.set_out_of_office(
        cast.contoso.pk, deputy_id=cast.otto.pk, from_at=at, until_at=at + timedelta(days=1), actor=cast.as_("ada")
    )
    assert Role.APPROVER in cast.as_("otto").tenant_roles[cast.contoso.pk]
    gone = caller.delete(f"{USERS}/{cast.ada.pk}")
    assert gone.status_code == 204
    assert [each.get("/").status_code for each in (browser, other)] == [302, 302]
    assert token.get("me").status_code == 401
    assert not Token.objects.filter(account=cast.ada).live(clock.now()).exists()
    tag = machine.get(f"access-requests/{row.pk}")["ETag"]
    assert machine.post(f"access-requests/{row.pk}/approve", {"comment": ""}, If_Match=tag).status_code == 403
    assert Role.APPROVER not in cast.as_("otto").tenant_roles[cast.contoso.pk]
    with pytest.raises(NotFound):
        operations.accept_invitation(
            link, name="G", password="another battery of 7 horses", actor=Actor.stranger(door="pages")
        )
    assert not Browser().login(username=cast.ada.email, password=PASSWORD)
    with pytest.raises((NotAllowed, NotFound)):
        operations.approve_as_customer(row.pk, actor=cast.as_("ada"))
    row.refresh_from_db()
    assert row.state == "PENDING_CUSTOMER"
    # When the person is switched on again, none of these comes back.
    caller.post(USERS, whole("ada"))
    assert [each.get("/").status_code for each in (browser, other)] == [302, 302]
    assert token.get("me").status_code == 401


# --- The long-lived token --------------------------------------------------------------------------------------


def directory(cast: Cast) -> Any:
    return client_of(cast, "contoso", SCOPE)[0]


def test_a_directorys_token_lasts_a_year_at_most_is_shown_once_and_dies_with_its_client(
    cast: Cast, travel: Any
) -> None:
    at, ines = travel.freeze(), cast.as_("ines")
    client = directory(cast)
    made = operations.make_lasting_token(client.pk, days=365, actor=ines)
    caller = Caller(made.secret)
    assert (made.row.expires_at - at, made.row.scopes) == (timedelta(days=365), ["members:provision"])
    assert caller.get(USERS).json()["totalResults"] == 5
    assert caller.get("tickets").status_code == 403
    [entry] = AuditEntry.objects.filter(event="client.token_made")
    assert made.secret not in bytes(entry.canonical).decode()
    travel.to(at + timedelta(days=365) - timedelta(microseconds=1))
    assert caller.get(USERS).status_code == 200
    travel.to(at + timedelta(days=365))
    assert caller.get(USERS).status_code == 401
    travel.to(at)
    operations.remove_client(client.pk, actor=cast.as_("ines"))
    assert caller.get(USERS).status_code == 401
    other = directory(cast)
    again = Caller(operations.make_lasting_token(other.pk, days=30, actor=cast.as_("ines")).secret)
    operations.rotate_client_secret(other.pk, actor=cast.as_("ines"))
    assert again.get(USERS).status_code == 401


def test_a_new_one_overlaps_the_one_before_by_a_week_and_ends_those_before_that(cast: Cast, travel: Any) -> None:
    at = travel.freeze()
    client = directory(cast)
    first, second = (operations.make_lasting_token(client.pk, days=90, actor=cast.as_("ines")) for _ in range(2))
    callers = [Caller(first.secret), Caller(second.secret)]
    travel.to(at + timedelta(days=7) - timedelta(microseconds=1))
    assert [each.get(USERS).status_code for each in callers] == [200, 200]
    travel.to(at + timedelta(days=7))
    assert [each.get(USERS).status_code for each in callers] == [401, 200]
    travel.to(at + timedelta(days=85))
    third = operations.make_lasting_token(client.pk, days=30, actor=cast.as_("ines"))
    # An older token never gets a longer life.
    assert Token.objects.get(pk=second.row.pk).expires_at == at + timedelta(days=90)
    fourth = operations.make_lasting_token(client.pk, days=30, actor=cast.as_("ines"))
    callers += [Caller(third.secret), Caller(fourth.secret)]
    assert [each.get(USERS).status_code for each in callers] == [401, 401, 200, 200]
    ines = signed_in(cast, "ines")
    page = ines.get(reverse("web:client", args=[cast.contoso.pk, client.pk])).content.decode()
    assert (third.row.hint in page, fourth.row.hint in page, fourth.secret in page) == (True, True, False)
    assert ines.post(reverse("web:token_revoke", args=[third.row.pk])).status_code == 302
    assert [each.get(USERS).status_code for each in callers[2:]] == [401, 200]
    assert events_in(cast.contoso)[-1] == "token.revoked"


def test_only_the_administrator_with_fresh_proof_makes_one_and_only_for_a_directory(cast: Cast) -> None:
    client, wide = directory(cast), client_of(cast, "contoso", SCOPE, Scope.LOG_READ)[0]
    count = AuditEntry.objects.exclude(event="act.refused").count()
    for name in ("ada", "mia", "stella"):
        with pytest.raises(NotAllowed):
            operations.make_lasting_token(client.pk, days=30, actor=cast.as_(name))
    with pytest.raises(NotFound):
        operations.make_lasting_token(client.pk, days=30, actor=cast.as_("finn"))
    with pytest.raises(StepUpRequired):
        operations.make_lasting_token(client.pk, days=30, actor=cast.as_("ines", fresh=False))
    for pk, days in ((wide.pk, 30), (client.pk, 366), (client.pk, 0), (client.pk, -1)):
        with pytest.raises(Unacceptable):
            operations.make_lasting_token(pk, days=days, actor=cast.as_("ines"))
    narrow = Caller(token_of(cast, "ines", Scope.TOKENS_MANAGE))
    assert narrow.post(f"clients/{client.pk}/tokens", {"days": 30}).status_code == 403
    mine = caller_for(cast, "contoso", SCOPE)
    assert mine.post(f"clients/{client.pk}/tokens", {"days": 30}).status_code == 403
    assert not Token.objects.lasting().exists()
    assert AuditEntry.objects.exclude(event="act.refused").exclude(event__startswith="client.").count() <= count
    ines = Caller(token_of(cast, "ines"))
    made = ines.post(f"clients/{client.pk}/tokens", {"days": 180})
    assert (made.status_code, made.json()["kind"]) == (201, "lasting")
    assert made.json()["id"] in {each["id"] for each in ines.get("tokens").json()["items"]}
    assert Caller(token_of(cast, "finn")).get(f"tokens/{made.json()['id']}").status_code == 404
    assert ines.delete(f"tokens/{made.json()['id']}").status_code == 204
    assert Caller(made.json()["secret"]).get(USERS).status_code == 401


def test_making_a_client_for_a_directory_needs_fresh_proof(cast: Cast) -> None:
    stale = cast.as_("ines", fresh=False)
    with pytest.raises(StepUpRequired):
        operations.create_client(tenant_id=cast.contoso.pk, name="Directory", scopes=[SCOPE], actor=stale)
    made = operations.create_client(tenant_id=cast.contoso.pk, name="SIEM", scopes=["log:read"], actor=cast.as_("ines"))
    with pytest.raises(StepUpRequired):
        operations.change_client(made.row.pk, scopes=[SCOPE], actor=stale)


def test_unchanged_attributes_keep_changes_by_others(cast: Cast, caller: Caller) -> None:
    """The directory sends only some attributes.

    Somebody else may have changed the others since the directory read them.
    """
    was = operations.Profile(user_name="a", name="A", roles=frozenset({"member"}))
    wanted = operations.Profile(user_name="a", name="B", roles=frozenset({"member"}))
    assert bodies.difference(was, wanted) == operations.Profile(name="B")


def record_of(event: str) -> dict[str, Any]:
    """Return the record of the only log entry with this event."""
    found: dict[str, Any] = json.loads(bytes(AuditEntry.objects.get(event=event).canonical))
    return found


def _roles(person: Person) -> list[str]:
    return sorted(person.memberships.values_list("role", flat=True))
