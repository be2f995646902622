"""What people read as a name, an id or a path has the same rule through every door."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app.domain.scopes import Scope
from requests_app.models import OutboxMessage, Person, Plan, Proposal, Resource, Service, Tenant
from tests.admin.conftest import signed_in
from tests.api.test_scim import USERS, whole
from tests.api.test_scim_provider import ours
from tests.caller import Caller, caller_for
from tests.cast import Cast

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
