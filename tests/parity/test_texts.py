"""What people read as a name, an id or a path has the same rule through every door."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.actors import Actor
from requests_app.domain.imports import FaultyFile, Source
from requests_app.domain.scopes import Scope
from requests_app.models import OutboxMessage, Person, Plan, Proposal, Resource, Service, Tenant
from requests_app.platform import csv_files
from requests_app.queries import imports
from tests.admin.conftest import signed_in
from tests.api.test_scim import USERS, whole
from tests.api.test_scim_provider import ours
from tests.caller import Caller, caller_for
from tests.cast import Cast
from tests.imports.worlds import exported, run

pytestmark = pytest.mark.django_db

#: A change of the writing direction, a character without width, a soft hyphen, a formula.
WRONG = ["a\u202eb", "a\u200bb", "a\u00adb", "=HYPERLINK(1)", "@SUM(A1)", "+1", "-1"]


@dataclass
class Doors:
    """Everybody who can set up a name: a client that provisions, two directories, and staff in a browser."""

    cast: Cast
    client: Caller
    provider: Caller
    contoso: Caller
    staff: Browser

    def form(self, model: str, *act: object, **values: Any) -> Any:
        """Submit a form of the administration."""
        page = "act" if act else "add"
        return self.staff.post(reverse(f"admin:requests_app_{model}_{page}", args=act), values)

    def mailbox(self, **values: str) -> Any:
        body = {
            "service": str(self.cast.exchange.pk),
            "kind": "mailbox",
            "name": "Law",
            "locator": "northwind/mail/law",
        }
        return self.client.post(f"tenants/{self.cast.northwind.pk}/resources", {**body, **values})

    def changed(self, **values: str) -> Any:
        path = f"tenants/{self.cast.northwind.pk}/resources/{self.cast.resource('northwind').pk}"
        return self.client.patch(path, values)

    def bulk(self, **values: str) -> Any:
        row = {"tenant": "northwind", "service": self.cast.exchange.key, "kind": "mailbox", "external_id": "M-9"}
        return self.client.post("resources/bulk", {"rows": [{**row, "locator": "northwind/mail/law", **values}]})

    @property
    def plan(self) -> str:
        return str(self.cast.northwind.plan_id)


CALLS: dict[str, Callable[[Doors, str], Any]] = {
    "api, plan": lambda via, text: via.client.post("plans", {"name": text, "includes_lockbox": True}),
    "api, plan changed": lambda via, text: via.client.patch(f"plans/{via.plan}", {"name": text}),
    "api, service": lambda via, text: via.client.post("services", {"key": "x", "name": text, "connector": "folder"}),
    "api, tenant": lambda via, text: via.client.post("tenants", {"name": text, "short_name": "x", "plan": via.plan}),
    "api, tenant changed": lambda via, text: via.client.post(f"tenants/{via.cast.northwind.pk}/change", {"name": text}),
    "api, tenant’s id": lambda via, text: via.client.post(
        f"tenants/{via.cast.northwind.pk}/change", {"external_id": text}
    ),
    "api, resource": lambda via, text: via.mailbox(name=text),
    "api, resource’s id": lambda via, text: via.mailbox(external_id=text),
    "api, resource changed": lambda via, text: via.changed(name=text),
    "api, bulk": lambda via, text: via.bulk(name=text),
    "form, plan": lambda via, text: via.form("plan", name=text, includes_lockbox="on"),
    "form, plan changed": lambda via, text: via.form("plan", via.plan, "change", name=text, includes_lockbox="on"),
    "form, service": lambda via, text: via.form("service", key="x", name=text, connector="folder", is_covered="on"),
    "form, application": lambda via, text: via.form(
        "service", key="x", name="X", connector="external", application=text, is_covered="on"
    ),
    "form, tenant": lambda via, text: via.form("tenant", name=text, slug="x", time_zone="UTC", plan=via.plan),
    "form, resource": lambda via, text: via.form(
        "resource",
        name=text,
        kind="mailbox",
        locator="northwind/mail/law",
        tenant=via.cast.northwind.slug,
        service=via.cast.exchange.pk,
    ),
    "form, client": lambda via, text: via.form("client", name=text, scopes="grants:read"),
    "scim, provider": lambda via, text: via.provider.post(USERS, ours(displayName=text)),
    "scim, tenant": lambda via, text: via.contoso.post(USERS, whole(displayName=text)),
    "scim, family name": lambda via, text: via.contoso.post(USERS, {**whole(), "name": {"familyName": text}}),
}


def facts() -> dict[str, Any]:
    """Return everything that such a call could change."""
    kinds = (Plan, Service, Tenant, Resource, Proposal, OutboxMessage)
    found: dict[str, Any] = {kind.__name__: list(kind.objects.order_by("pk").values_list("pk")) for kind in kinds}
    found["names"] = [list(kind.objects.order_by("pk").values_list("name")) for kind in (Plan, Service, Tenant)]
    found["people"] = list(Person.objects.get_queryset().order_by("pk").values_list("name", "email"))
    found["entries"] = AuditEntry.objects.exclude(event="act.refused").count()
    return found


@pytest.fixture
def via(cast: Cast) -> Doors:
    client = caller_for(cast, None, Scope.PROVISION, Scope.TENANT_READ)
    provider, contoso = (caller_for(cast, tenant, Scope.MEMBERS_PROVISION) for tenant in (None, "contoso"))
    return Doors(cast, client, provider, contoso, signed_in(cast, "stella"))


@pytest.mark.parametrize("door", CALLS)
def test_a_text_that_is_not_what_people_see_is_refused_through_every_door(via: Doors, door: str) -> None:
    """Threats 28 and 58. What an approver reads is what is stored, and no spreadsheet runs it."""
    before = facts()
    for text in WRONG:
        answer = CALLS[door](via, text)
        named = [words for words in ("an invisible character", "as a formula") if words in answer.content.decode()]
        assert (answer.status_code in (400, 422), len(named)) == (True, 1), (door, ascii(text), answer.status_code)
        assert facts() == before, (door, ascii(text))
    good = CALLS[door](via, "O’Brien & Söhne" if "id" not in door.split(", ")[1].split("’s ") else "M-77")
    assert good.status_code in (200, 201, 202, 302), (door, good.status_code)
    assert facts() != before, door


def test_a_text_of_several_lines_can_be_a_list(via: Doors) -> None:
    guidance = "- Open Quillo.\n-\tSearch."
    fields = {"key": "x", "name": "X", "connector": "external", "application": "Quillo", "is_covered": True}
    assert via.client.post("services", {**fields, "guidance": f"{guidance}\u200b"}).status_code == 422
    assert via.client.post("services", {**fields, "guidance": guidance}).status_code == 201
    assert Service.objects.get(key="x").guidance == guidance


def test_a_name_from_before_the_rule_stays_and_stops_no_other_change(via: Doors) -> None:
    """A directory must always be able to switch a person off."""
    made = via.contoso.post(USERS, whole())
    Person.objects.filter(pk=made.json()["id"]).update(name="=Grace")
    Plan.objects.filter(pk=via.plan).update(name="=Basic")
    body = whole(displayName="=Grace", active=False)
    assert via.contoso.put(f"{USERS}/{made.json()['id']}", body).status_code == 200
    assert Person.objects.get(pk=made.json()["id"]).is_active is False
    assert via.client.patch(f"plans/{via.plan}", {"name": "=Basic", "includes_lockbox": True}).status_code == 200


OLD = "@home & Co"


@pytest.fixture
def old(via: Doors) -> Resource:
    """Store texts from before the rule: the names and the ids of a tenant and its resource, a plan, and a person."""
    cast, row, sten = via.cast, via.cast.resource("northwind"), via.cast.colleague()
    Tenant.objects.filter(pk=cast.northwind.pk).update(name=OLD, external_id="@home\u200d")
    Plan.objects.filter(pk=via.plan).update(name="=Basic")
    Service.objects.filter(pk=cast.exchange.pk).update(name="-Exchange\u200b")
    Resource.objects.filter(pk=row.pk).update(name="@law", external_id="@law\u00a01")
    Person.objects.filter(pk=sten.pk).update(name="=Sten", email="+sten@staff.example")
    return Resource.objects.get(pk=row.pk)


def line_of(old: Resource, **values: str) -> Source:
    known = {
        "tenant": "@home\u200d",
        "tenant_name": OLD,
        "tenant_external_id": "@home\u200d",
        "plan": "=Basic",
        "service": old.service.key,
        "external_id": old.external_id,
        "kind": old.kind,
        "name": old.name,
        "locator": old.locator,
    } | values
    return csv_files.source(f"{','.join(known)}\n{','.join(known.values())}\n".encode(), file_name="old.csv")


@pytest.mark.usefixtures("old")
def test_an_installation_can_apply_its_own_export_with_names_from_before_the_rule(via: Doors, tmp_path: Path) -> None:
    before, text, file = facts(), exported(), tmp_path / "world.yaml"
    code, summary, wrong = run("apply", text, file)
    assert (code, wrong) == (0, "")
    assert "nothing to change" in summary
    assert (facts(), exported()) == (before, text)
    # The same text is new in another place.
    for stored, new in ((OLD, "@work"), ("=Basic", "=Best"), ("'@law'", "'@court'"), ("=Sten", "=Stan")):
        code, _summary, wrong = run("apply", text.replace(stored, new), file)
        assert (code, "A spreadsheet would run it as a formula" in wrong) == (2, True), (stored, wrong)
        assert (facts(), exported()) == (before, text)


def test_a_csv_file_can_repeat_names_from_before_the_rule(via: Doors, old: Resource) -> None:
    stella = via.cast.as_("stella")
    assert operations.start_import(line_of(old), actor=stella) is None
    before = facts()
    for column, value in {"tenant_name": "@work", "name": "@court", "external_id": "@law\u00a02"}.items():
        with pytest.raises(FaultyFile) as refused:
            operations.start_import(line_of(old, **{column: value}), actor=stella)
        assert [fault.column for fault in refused.value.faults] == [column]
    assert facts() == before


def test_a_bulk_call_can_repeat_names_from_before_the_rule(via: Doors, old: Resource) -> None:
    row = {"tenant": "northwind", "service": old.service.key, "external_id": old.external_id}
    answer = via.client.post("resources/bulk", {"rows": [{**row, "name": "@law"}]})
    assert (answer.status_code, answer.json()["counts"]["unchanged"]) == (200, 1)
    before = facts()
    answer = via.client.post("resources/bulk", {"rows": [{**row, "name": "@court"}]})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "formula")
    assert facts() == before


def test_a_name_that_is_not_stored_any_more_is_refused_when_the_file_is_written(via: Doors, old: Resource) -> None:
    """Otherwise, the file would bring such a name back."""
    row = operations.start_import(line_of(old, time_zone="Europe/Berlin"), actor=via.cast.as_("stella"))
    assert row is not None
    Resource.objects.filter(pk=old.pk).update(name="Law")
    operations.run_import(row.pk, actor=Actor.system("import"))
    old.refresh_from_db()
    assert old.name == "Law"
    codes = {line.kind: [fault.code for fault in line.faults] for line in imports.lines_of(row)}
    assert codes == {"tenant": ["not_alone"], "resource": ["formula"]}


@pytest.mark.usefixtures("old")
def test_a_contradiction_is_found_although_one_of_its_texts_is_stored(via: Doors) -> None:
    first = csv_files.source(
        f"tenant,tenant_name,plan\nnorthwind,Home,=Basic\nnorthwind,{OLD},=Basic\n".encode(), file_name="two.csv"
    )
    with pytest.raises(FaultyFile) as refused:
        operations.start_import(first, actor=via.cast.as_("stella"))
    assert [(fault.line, fault.code) for fault in refused.value.faults] == [(3, "contradicts")]
