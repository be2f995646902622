"""A tenant that switches Lockbox on for the first time finds in its log what the provider had set up until then."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from audit_app import canonical
from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.actors import Actor
from requests_app.doors.web._log_lists import lists_of
from requests_app.models import Plan, Resource, Tenant
from requests_app.operations import _described
from tests.caller import caller_for
from tests.cast import Cast, events_in
from tests.factors import force_login

pytestmark = pytest.mark.django_db


@pytest.fixture
def northwind(cast: Cast) -> Tenant:
    """Return a tenant that never had Lockbox on, and whose plan includes it."""
    plan = Plan.objects.get(name="E5").pk
    return operations.change_tenant(cast.northwind.pk, plan_id=plan, actor=cast.as_("stella"))


def described(tenant: Tenant) -> dict[str, Any]:
    row = AuditEntry.objects.get(tenant_id=tenant.pk, event="provider.described")
    found: dict[str, Any] = json.loads(bytes(row.canonical))
    return found


def test_the_log_names_the_providers_people_services_and_the_tenants_resources(cast: Cast, northwind: Tenant) -> None:
    operations.create_client(name="Importer", scopes=["provision"], actor=cast.as_("stella"))
    operations.switch_off_person(cast.paula.pk, actor=cast.as_("stella"))
    operations.save_service(service_id=cast.sharepoint.pk, is_active=False, actor=cast.as_("stella"))
    operations.switch_lockbox(northwind.pk, on=True, actor=cast.as_("noah"))
    assert events_in(northwind)[-2:] == ["provider.described", "lockbox.switched_on"]
    entry = described(northwind)
    assert entry["actor"]["kind"] == "system"
    detail = entry["detail"]
    assert detail["plan"] == "E5"
    assert [each["name"] for each in detail["staff"]["listed"]] == ["Stella Test"]
    assert detail["staff"]["listed"][0]["since"]
    roles = {(each["name"], each["role"], each["service"]) for each in detail["people"]["listed"]}
    assert ("Erik Test", "engineer", "exchange-online") in roles
    assert "Paula Test" not in {name for name, _role, _service in roles}
    assert [(each["name"], each["scopes"]) for each in detail["clients"]["listed"]] == [("Importer", ["provision"])]
    services = {each["key"]: (each["is_covered"], each["is_active"]) for each in detail["services"]["listed"]}
    assert services == {"exchange-online": (True, True), "sharepoint-online": (True, False)}
    wanted = Resource.objects.filter(tenant=northwind).count()
    assert detail["resources"]["count"] == len(detail["resources"]["listed"]) == wanted
    assert all(each["locator"].startswith("northwind/") for each in detail["resources"]["listed"])


def test_it_names_the_groups_that_give_roles_and_everybody_who_could_use_a_client(
    cast: Cast, northwind: Tenant
) -> None:
    """Without this, nobody ever reads that one human alone made the mapping and the client of the directory."""
    cast.peaceful()
    cast.colleague()
    stella = cast.as_("stella")
    operations.map_group(cast.exchange.pk, group="Secret Men", role="provider_approver", actor=stella)
    directory = operations.create_client(name="Directory", scopes=["members:provision"], actor=stella).row
    operations.make_lasting_token(directory.pk, days=30, actor=stella)
    cast.colleague("nora")
    operations.rotate_client_secret(directory.pk, actor=cast.as_("sten"))
    operations.make_lasting_token(directory.pk, days=30, actor=cast.as_("nora"))
    operations.create_client(name="Reader", scopes=["grants:read"], actor=stella)
    operations.switch_lockbox(northwind.pk, on=True, actor=cast.as_("noah"))
    detail = described(northwind)["detail"]
    [group] = detail["groups"]["listed"]
    named = (group["group"], group["role"], group["service"])
    assert named == ("Secret Men", "provider_approver", "exchange-online")
    assert group["since"]
    found, reader = detail["clients"]["listed"]
    assert (found["made_by"], found["holder"], found["token_readers"]) == ("Stella Test", "Sten Test", ["Nora Test"])
    assert "made_by" not in reader
    lists = {each.title: [line.text for line in each.lines] for each in lists_of("provider.described", detail)}
    [line] = lists["Roles through groups of the provider’s directory"]
    assert "Secret Men" in line
    assert "Stella Test, Sten Test, Nora Test" in lists["API clients"][0]


def test_it_names_the_service_whose_application_a_client_guards(cast: Cast, northwind: Tenant) -> None:
    cast.peaceful()
    cast.guard()
    operations.switch_lockbox(northwind.pk, on=True, actor=cast.as_("noah"))
    detail = described(northwind)["detail"]
    [client] = detail["clients"]["listed"]
    assert (client["scopes"], client["guards"]) == (["guard"], "quillo")
    lists = {each.title: [line.text for line in each.lines] for each in lists_of("provider.described", detail)}
    [line] = lists["API clients"]
    assert line.endswith("It guards the application of quillo")


def test_it_names_who_copied_the_link_of_one_of_the_providers_people(cast: Cast, northwind: Tenant) -> None:
    cast.peaceful()
    for name, role in (("nadia", "staff"), ("nils", "engineer")):
        row = cast.invited_colleague(f"{name}@provider.example", role)
        operations.copy_invitation_link(row.pk, actor=cast.as_("stella"))
        operations.accept_invitation(
            cast.link_of(row),
            name=name.title(),
            password="a long and unheard-of phrase 7",
            actor=Actor.stranger(door="pages"),
        )
    operations.switch_lockbox(northwind.pk, on=True, actor=cast.as_("noah"))
    detail = described(northwind)["detail"]
    listed = [*detail["staff"]["listed"], *detail["people"]["listed"]]
    copied = {each["name"]: each["link_copied_by"] for each in listed if "link_copied_by" in each}
    assert copied == {"Nadia": "Stella Test", "Nils": "Stella Test"}


def test_a_long_list_is_shortened_and_its_digest_covers_all_of_it(
    cast: Cast, northwind: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = _described.of_provider(northwind)["people"]
    monkeypatch.setattr(_described, "MOST_LISTED", 2)
    operations.switch_lockbox(northwind.pk, on=True, actor=cast.as_("noah"))
    people = described(northwind)["detail"]["people"]
    assert (people["count"], len(people["listed"])) == (whole["count"], 2)
    assert people["digest"] == canonical.digest({"rows": whole["listed"]}).hex()


def test_it_is_written_once_and_not_for_a_tenant_that_had_lockbox_on(cast: Cast, northwind: Tenant) -> None:
    for on in (True, False, True):
        operations.switch_lockbox(northwind.pk, on=on, actor=cast.as_("noah"))
        operations.switch_lockbox(cast.contoso.pk, on=not on, actor=cast.as_("ines"))
    assert events_in(northwind).count("provider.described") == 1
    assert "provider.described" not in events_in(cast.contoso)


def test_people_read_it_in_words_and_in_the_export(cast: Cast, northwind: Tenant) -> None:
    operations.switch_lockbox(northwind.pk, on=True, actor=cast.as_("noah"))
    browser = Browser()
    force_login(browser, cast.nadia)
    page = browser.get(reverse("web:log", args=[northwind.pk])).content.decode()
    assert "Lockbox begins with" in page
    assert "1 member of the staff, " in page
    seq = AuditEntry.objects.get(tenant_id=northwind.pk, event="provider.described").seq
    record = browser.get(reverse("web:log", args=[northwind.pk]), {"entry": seq}).content.decode()
    assert "Erik Test: Engineer for exchange-online" in record
    assert "exchange-online, through maildir: covered by Lockbox" in record
    exported = caller_for(cast, "nadia").get(f"tenants/{northwind.pk}/log/export")
    assert b"provider.described" in b"".join(exported.streaming_content)
