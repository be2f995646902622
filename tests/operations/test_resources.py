"""Where a resource leads: its locator and its external id, and who can change them alone."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.conf import settings

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.errors import ChangeProposed, Unacceptable
from requests_app.models import OutboxMessage, Proposal, Resource, Service, Tenant
from tests.cast import Cast, events_in

pytestmark = pytest.mark.django_db

WAIT = dt.timedelta(seconds=settings.STAFF_CHANGE_WAIT_SECONDS)


def saved(cast: Cast, row: Resource | None = None, **wanted: Any) -> Resource:
    return operations.save_resource(resource_id=row.pk if row else None, actor=cast.as_("stella"), **wanted)


def new(cast: Cast, tenant: str = "northwind", **wanted: Any) -> Resource:
    made = {"kind": "mailbox", "name": "Legal", "locator": f"{tenant}/mail/legal", "external_id": "M-1", **wanted}
    return saved(cast, tenant_id=cast.tenants[tenant].pk, service_id=cast.exchange.pk, **made)


def test_a_new_locator_is_immediate_while_the_tenant_has_never_had_lockbox_on(cast: Cast) -> None:
    row = new(cast)
    assert saved(cast, row, locator="northwind/mail/law").locator == "northwind/mail/law"
    row.refresh_from_db()
    assert row.locator == "northwind/mail/law"
    assert events_in(cast.northwind)[-1] == "resource.changed"
    assert not Proposal.objects.exists()


def test_a_new_locator_waits_while_an_access_request_names_the_resource(cast: Cast, travel: Any) -> None:
    cast.colleague()
    row = cast.resource()
    with pytest.raises(ChangeProposed) as outcome:
        saved(cast, row, locator="contoso/mail/chief")
    proposal = Proposal.objects.get(pk=outcome.value.current["proposal"])
    operations.confirm_proposal(proposal.pk, actor=cast.as_("sten"))
    travel.by(hours=WAIT.total_seconds() / 3600 - 1)
    grant = cast.opened(resource=row)
    travel.by(hours=1, minutes=1)
    assert operations.apply_due(actor=cast.system(), limit=9) == 0
    row.refresh_from_db()
    assert row.locator != "contoso/mail/chief"
    operations.release(grant.access_request_id, actor=cast.as_("priya"))
    assert operations.apply_due(actor=cast.system(), limit=9) == 1
    row.refresh_from_db()
    assert row.locator == "contoso/mail/chief"


@pytest.mark.parametrize(
    "locator", ["fabrikam/mail/chief", "contoso/../fabrikam/mail", "", "contoso", "contoso/mail/finance/inbox"]
)
def test_a_locator_outside_the_tenants_root_or_inside_another_resource_is_refused(cast: Cast, locator: str) -> None:
    inner = cast.resource().locator
    other = Resource.objects.filter(tenant=cast.contoso).exclude(pk=cast.resource().pk).first()
    assert other is not None
    wanted = f"{inner}/inbox" if locator.endswith("/inbox") else locator
    before = AuditEntry.objects.exclude(event="act.refused").count()
    with pytest.raises(Unacceptable) as refusal:
        saved(cast, other, locator=wanted)
    assert refusal.value.field == "locator"
    assert (Proposal.objects.count(), OutboxMessage.objects.count()) == (0, 0)
    assert AuditEntry.objects.exclude(event="act.refused").count() == before


def test_a_locator_that_was_taken_meanwhile_is_not_used(cast: Cast, travel: Any) -> None:
    row = cast.resource()
    with pytest.raises(ChangeProposed):
        saved(cast, row, locator="contoso/mail/chief")
    new(cast, "contoso", locator="contoso/mail/chief")
    travel.by(hours=WAIT.total_seconds() / 3600 + 1)
    operations.apply_due(actor=cast.system(), limit=9)
    assert Proposal.objects.get().outcome == "lapsed"
    assert Resource.objects.get(pk=row.pk).locator == row.locator


def test_a_name_and_a_locator_that_change_together_are_one_proposal(cast: Cast) -> None:
    row = cast.resource()
    with pytest.raises(ChangeProposed) as outcome:
        saved(cast, row, name="Chief", locator="contoso/mail/chief")
    terms = Proposal.objects.get(pk=outcome.value.current["proposal"]).said
    assert terms["set"] == {"name": "Chief", "locator": "contoso/mail/chief"}
    assert Resource.objects.get(pk=row.pk).name == row.name


@pytest.mark.parametrize("wanted", [{"name": "Public newsletter"}, {"external_id": "M-1"}])
def test_nobody_renames_a_resource_alone_before_an_engineer_asks_for_it(cast: Cast, wanted: dict[str, str]) -> None:
    """The approver would read a harmless name, and the window would open the finance mailbox."""
    row = cast.resource()
    before = (row.name, row.external_id)
    with pytest.raises(ChangeProposed):
        saved(cast, row, **wanted)
    row.refresh_from_db()
    assert (row.name, row.external_id) == before
    assert events_in(cast.contoso) == ["proposal.made"]
    assert [message.topic for message in OutboxMessage.objects.all()] == ["notify.staff_change"]
    with pytest.raises(Unacceptable) as refusal:
        saved(cast, row, is_active=False, **wanted)
    assert refusal.value.field == "is_active"
    assert not saved(cast, row, is_active=False).is_active


def test_switching_off_is_not_announced_and_not_mixed_with_what_is(cast: Cast) -> None:
    row = cast.resource()
    with pytest.raises(Unacceptable) as refusal:
        saved(cast, row, is_active=False, locator="contoso/mail/chief")
    assert refusal.value.field == "is_active"
    assert not saved(cast, row, is_active=False).is_active
    assert saved(cast, row, is_active=True).is_active


def test_an_upsert_changes_the_resource_with_this_external_id_and_adds_another_otherwise(cast: Cast) -> None:
    first = new(cast, is_upsert=True)
    assert new(cast, is_upsert=True, name="Law").pk == first.pk
    assert Resource.objects.get(pk=first.pk).name == "Law"
    entries = len(events_in(cast.northwind))
    new(cast, is_upsert=True, name="Law")
    assert len(events_in(cast.northwind)) == entries, "nothing changed, so nothing is recorded"
    other = new(cast, is_upsert=True, external_id="M-2", locator="northwind/mail/two")
    assert other.pk != first.pk
    # The same id in another tenant changes neither of them.
    with pytest.raises(Unacceptable) as refusal:
        new(cast, "fabrikam", is_upsert=True)
    assert refusal.value.field == "external_id"
    with pytest.raises(Unacceptable) as refusal:
        new(cast, is_upsert=True, kind="library")
    assert refusal.value.field == "kind"


def test_an_external_id_is_used_once_in_a_tenants_service(cast: Cast) -> None:
    new(cast)
    for wanted in ("M-1", " M-1 ", "a\nb", "x" * 201):
        with pytest.raises(Unacceptable) as refusal:
            new(cast, locator="northwind/mail/two", external_id=wanted)
        assert refusal.value.field == "external_id"
    assert Resource.objects.filter(tenant=cast.northwind, name="Legal").count() == 1


@pytest.mark.dialect
@pytest.mark.parametrize(
    ("known", "wanted"),
    [
        ("Finance@x", "finance@X"),
        ("na\u00efve", "NA\u00cfVE"),
        ("na\u00efve", "nai\u0308ve"),
        ("stra\u00dfe", "STRASSE"),
        ("STRASSE", "stra\u00dfe"),
        ("\u017feven", "seven"),
    ],
)
def test_an_external_id_in_other_letters_is_refused(cast: Cast, known: str, wanted: str) -> None:
    new(cast, external_id=known)
    before = AuditEntry.objects.exclude(event="act.refused").count()
    for tenant in ("northwind", "fabrikam"):
        with pytest.raises(Unacceptable) as refusal:
            new(cast, tenant, locator=f"{tenant}/mail/two", external_id=wanted)
        assert refusal.value.field == "external_id"
    assert Resource.objects.filter(name="Legal").count() == 1
    assert AuditEntry.objects.exclude(event="act.refused").count() == before


@pytest.mark.dialect
@pytest.mark.parametrize(
    "locator",
    ["LEGAL", "Legal/inbox", "stra\u00dfe", "na\u00cfve/b", "nai\u0308ve/other", "x/", "./x", "x//y", "x\\y", "T/U"],
)
def test_a_locator_in_other_letters_or_of_no_plain_path_is_refused(cast: Cast, locator: str) -> None:
    for number, known in enumerate(("legal", "STRASSE", "na\u00efve", "t/u/v")):
        new(cast, external_id=f"M-{number}", locator=f"northwind/mail/{known}")
    row = new(cast, external_id="M-9", locator="northwind/mail/nine")
    before = AuditEntry.objects.exclude(event="act.refused").count()
    with pytest.raises(Unacceptable) as refusal:
        saved(cast, row, locator=f"northwind/mail/{locator}")
    assert refusal.value.field == "locator"
    assert AuditEntry.objects.exclude(event="act.refused").count() == before
    assert saved(cast, row, locator="northwind/mail/Nine").locator == "northwind/mail/Nine"


def adatum(cast: Cast, slug: str = "adatum", **fields: Any) -> Tenant:
    plan = cast.contoso.plan_id
    return operations.create_tenant(name="Adatum", slug=slug, plan_id=plan, actor=cast.as_("stella"), **fields)


def test_a_tenants_external_id_is_used_once(cast: Cast) -> None:
    stella = cast.as_("stella")
    operations.change_tenant(cast.contoso.pk, external_id="C-1", actor=stella)
    with pytest.raises(Unacceptable) as refusal:
        operations.change_tenant(cast.fabrikam.pk, external_id="C-1", actor=stella)
    assert refusal.value.field == "external_id"
    with pytest.raises(Unacceptable):
        adatum(cast, external_id="C-1")


def test_a_tenant_keeps_its_external_id(cast: Cast) -> None:
    """Otherwise the next file that repeats the old one could change another tenant."""
    stella = cast.as_("stella")
    operations.change_tenant(cast.contoso.pk, external_id="C-1", actor=stella)
    log = events_in(cast.contoso)
    for wanted in ("C-2", ""):
        with pytest.raises(Unacceptable) as refusal:
            operations.change_tenant(cast.contoso.pk, external_id=wanted, actor=stella)
        assert refusal.value.field == "external_id"
    cast.contoso.refresh_from_db()
    assert cast.contoso.external_id == "C-1"
    assert [event for event in events_in(cast.contoso) if event != "act.refused"] == log
    # A form that sends it unchanged changes the other values.
    assert operations.change_tenant(cast.contoso.pk, external_id="C-1", name="Contoso AG", actor=stella).name


@pytest.mark.parametrize("external_id", ["contoso", "CONTOSO", "c-1", "C-1"])
def test_no_tenant_has_the_short_name_or_external_id_of_another_as_its_external_id(
    cast: Cast, external_id: str
) -> None:
    operations.change_tenant(cast.contoso.pk, external_id="C-1", actor=cast.as_("stella"))
    for act in (
        lambda: operations.change_tenant(cast.fabrikam.pk, external_id=external_id, actor=cast.as_("stella")),
        lambda: adatum(cast, external_id=external_id),
    ):
        with pytest.raises(Unacceptable) as refusal:
            act()
        assert refusal.value.field == "external_id"
    assert not Tenant.objects.filter(name="Adatum").exists()
    # Its own short name misleads nobody.
    assert operations.change_tenant(cast.fabrikam.pk, external_id="fabrikam", actor=cast.as_("stella")).external_id


@pytest.mark.parametrize("slug", ["Contoso", "contoso", "c-1", "Adatum", "-adatum", "a" * 61])
def test_a_new_short_name_is_small_and_is_no_id_of_another_tenant(cast: Cast, slug: str) -> None:
    operations.change_tenant(cast.contoso.pk, external_id="C-1", actor=cast.as_("stella"))
    before = Tenant.objects.count()
    with pytest.raises(Unacceptable) as refusal:
        adatum(cast, slug)
    assert refusal.value.field == "slug"
    assert Tenant.objects.count() == before


def test_two_services_do_not_have_the_same_name_in_other_letters(cast: Cast) -> None:
    stella, name = cast.as_("stella"), cast.exchange.name
    for act in (
        lambda: operations.save_service(key="other", name=name.upper(), connector="folder", actor=stella),
        lambda: operations.save_service(
            key="other", name=name.upper(), connector="folder", is_covered=False, actor=stella
        ),
        lambda: operations.save_service(service_id=cast.sharepoint.pk, name=name.lower(), actor=stella),
    ):
        with pytest.raises(Unacceptable) as refusal:
            act()
        assert refusal.value.field == "name"
    assert (Service.objects.count(), Proposal.objects.count()) == (2, 0)
    # A service may write its own name in another way.
    with pytest.raises(ChangeProposed):
        operations.save_service(service_id=cast.exchange.pk, name=name.upper(), actor=stella)
