"""Changes of plans and services in a file that need a second person: they wait in the one proposal of the import."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations, tasks
from requests_app.domain import clock
from requests_app.domain.acts import PROPOSALS
from requests_app.domain.errors import NotAllowed, WrongState
from requests_app.domain.events import PROVIDER_LOG
from requests_app.domain.imports import HELD_WORDS
from requests_app.messages.mails._tenants import staff_change
from requests_app.models import HeldRow, Import, OutboxMessage, Plan, Proposal, Resource, Service, Tenant
from requests_app.queries import imports as queries
from tests.cast import Cast, events_in
from tests.imports.worlds import run, state
from tests.web.pages import signed_in

pytestmark = pytest.mark.django_db

HELD = """\
version: 1
plans:
- {name: E5, includes_lockbox: false}
services:
- {key: exchange-online, name: Mail, covered: false}
- {key: lab, name: Lab, connector: folder, covered: false}
"""
THREE = ["change_plan", "change_service", "add_service"]


@pytest.fixture
def two(cast: Cast) -> Cast:
    cast.colleague()
    return cast


@pytest.fixture
def write(tmp_path: Path) -> Path:
    return tmp_path / "world.yaml"


def proposed(cast: Cast, text: str, path: Path) -> Proposal:
    """Apply the file, and propose what waits."""
    status, out, err = run("apply", text, path)
    assert (status, err) == (0, ""), out
    operations.propose_import(Import.objects.latest("started_at").pk, actor=cast.as_("stella"))
    tasks.run_imports()
    row: Proposal = Proposal.objects.get(act="import_rows", ended_at=None)
    return row


def confirmed(cast: Cast, text: str, path: Path) -> Proposal:
    row = proposed(cast, text, path)
    operations.confirm_proposal(row.pk, actor=cast.as_("sten"))
    row.refresh_from_db()
    return row


def sweep(proposal: Proposal, travel: Any) -> Proposal:
    """Move the clock to the time at which the proposal takes effect, and sweep."""
    travel.to(proposal.effective_at)
    operations.apply_due(actor=Cast.system("sweep"), limit=10)
    proposal.refresh_from_db()
    return proposal


def held() -> list[tuple[str, str]]:
    return list(HeldRow.objects.order_by("line", "pk").values_list("act", "outcome"))


def changes_in(log: Any, event: str) -> list[str]:
    """Return which changes the entries of this event are about, in a tenant's log or in the provider's."""
    rows = AuditEntry.objects.filter(tenant_id=getattr(log, "pk", log), event=event).order_by("seq")
    return [json.loads(bytes(row.canonical))["detail"]["act"] for row in rows]


def test_changes_of_plans_and_services_wait_in_one_proposal(two: Cast, write: Path) -> None:
    status, out, _err = run("plan", HELD, write)
    assert status == 0
    assert "propose to change the plan E5: the plan no longer includes Lockbox" in out
    assert "propose to add the service Lab, which Lockbox does not cover" in out
    proposal = proposed(two, HELD, write)
    assert held() == [(act, "") for act in THREE]
    assert (Plan.objects.get(name="E5").includes_lockbox, Service.objects.filter(key="lab").exists()) == (True, False)
    exchange = Service.objects.get(key="exchange-online")
    assert (exchange.name, exchange.is_covered) == ("Exchange Online", True)
    # Each affected tenant has the entry about the import and one about each change, as if it were proposed alone.
    assert set(proposal.touched.all()) == {two.contoso, two.fabrikam}
    for log in (two.contoso, two.fabrikam, PROVIDER_LOG):
        assert changes_in(log, "proposal.made") == ["import_rows", *THREE]
    assert events_in(two.northwind) == [], "it never had Lockbox on"
    mails = OutboxMessage.objects.filter(topic="notify.staff_change").values_list("tenant__slug", flat=True)
    assert sorted(mails) == ["contoso", "fabrikam"]


def test_the_same_file_again_makes_no_second_proposal(two: Cast, write: Path) -> None:
    run("apply", HELD, write)
    before = state()
    assert run("apply", HELD, write)[0] == 0
    assert state() == before, "it waits for somebody who proposes it"
    operations.propose_import(Import.objects.get().pk, actor=two.as_("stella"))
    tasks.run_imports()
    before = state()
    assert run("apply", HELD, write)[0] == 0
    assert state() == before


def test_a_change_that_is_proposed_alone_is_not_held_again(two: Cast, write: Path) -> None:
    def uncover() -> None:
        operations.save_service(service_id=two.exchange.pk, is_covered=False, actor=two.as_("stella"))

    two.made_due(uncover)
    before = state()
    assert run("apply", "version: 1\nservices:\n- {key: exchange-online, covered: false}\n", write)[0] == 0
    assert state() == before


def test_the_changes_take_effect_after_a_second_human_and_the_waiting_time(two: Cast, write: Path, travel: Any) -> None:
    proposal = proposed(two, HELD, write)
    with pytest.raises(NotAllowed):
        operations.confirm_proposal(proposal.pk, actor=two.as_("stella"))
    operations.confirm_proposal(proposal.pk, actor=two.as_("sten"))
    proposal.refresh_from_db()
    travel.by(seconds=71 * 3600)
    operations.apply_due(actor=two.system("sweep"), limit=10)
    assert held() == [(act, "") for act in THREE]
    assert sweep(proposal, travel).outcome == "applied"
    assert held() == [(act, "applied") for act in THREE]
    assert not Plan.objects.get(name="E5").includes_lockbox
    exchange, lab = Service.objects.get(key="exchange-online"), Service.objects.get(key="lab")
    assert (exchange.name, exchange.is_covered, lab.is_covered) == ("Mail", False, False)
    provider = AuditEntry.objects.filter(tenant_id=PROVIDER_LOG, event__in=["plan.changed", "service.changed"])
    assert list(provider.order_by("seq").values_list("event", "subject_type", "subject_id")) == [
        ("plan.changed", "plan", str(two.contoso.plan_id)),
        ("service.changed", "service", str(exchange.pk)),
        ("service.changed", "service", str(lab.pk)),
    ]
    assert events_in(two.contoso)[-2:] == ["service.changed", "proposal.applied"]
    before = state()
    assert run("apply", HELD, write)[0] == 0
    assert state() == before


def test_a_tenant_hears_nothing_about_a_plan_that_it_does_not_have(two: Cast, write: Path) -> None:
    Tenant.objects.filter(pk=two.fabrikam.pk).update(plan=Plan.objects.create(name="E3", includes_lockbox=True))
    proposed(two, HELD, write)
    assert changes_in(two.contoso, "proposal.made") == ["import_rows", *THREE]
    assert changes_in(two.fabrikam, "proposal.made") == ["import_rows", *THREE[1:]]
    for name, slug, hears in (("ines", "contoso", True), ("finn", "fabrikam", False)):
        message = OutboxMessage.objects.get(topic="notify.staff_change", tenant__slug=slug)
        mail = str(staff_change(message, clock.now()))
        page = signed_in(two, name).get(reverse("web:tenant", args=[two.tenants[slug].pk])).content.decode()
        for text in (mail, page):
            assert ("the plan E5" in text, "the service Lab" in text) == (hears, True), text


def test_the_second_person_reads_and_filters_every_change(two: Cast, write: Path) -> None:
    Tenant.objects.filter(pk=two.fabrikam.pk).update(plan=Plan.objects.create(name="E3", includes_lockbox=True))
    proposed(two, HELD, write)
    sten, address = signed_in(two, "sten"), reverse("admin:requests_app_heldrow_changelist")
    page = sten.get(address).content.decode()
    assert ("the plan E5" in page, "the service Lab" in page, "all affected tenants" in page) == (True, True, True)
    of_fabrikam = sten.get(address, {"tenant": str(two.fabrikam.pk)}).content.decode()
    assert ("change the plan E5" in of_fabrikam, "the service Lab" in of_fabrikam) == (False, True)
    of_plans = sten.get(address, {"act": "change_plan"}).content.decode()
    assert ("change the plan E5" in of_plans, "the service Lab" in of_plans) == (True, False)
    one = reverse("admin:requests_app_heldrow_change", args=[HeldRow.objects.get(act="add_service").pk])
    assert "Contoso, Fabrikam" in sten.get(one).content.decode()


def test_a_new_name_waits_for_the_access_that_uses_the_service_and_the_rest_does_not(
    two: Cast, write: Path, travel: Any
) -> None:
    text = HELD.replace("name: Mail, covered: false", "name: Mail")
    proposal = confirmed(two, text, write)
    travel.to(proposal.effective_at)
    used = two.submitted()
    assert sweep(proposal, travel).ended_at is None
    assert held() == [("change_plan", "applied"), ("change_service", ""), ("add_service", "applied")]
    assert Service.objects.get(key="exchange-online").name == "Exchange Online"
    operations.withdraw(used.pk, actor=two.as_("priya"))
    assert sweep(proposal, travel).outcome == "applied"
    assert Service.objects.get(key="exchange-online").name == "Mail"


def test_a_change_that_no_longer_fits_lapses_alone(two: Cast, write: Path, travel: Any) -> None:
    proposal = confirmed(two, HELD, write)
    Service.objects.filter(key="exchange-online").update(name="Named by somebody else")
    operations.save_service(key="lab", name="Other lab", connector="folder", actor=two.as_("stella"))
    assert sweep(proposal, travel).outcome == "applied"
    assert held() == [("change_plan", "applied"), ("change_service", "lapsed"), ("add_service", "lapsed")]
    for log in (two.contoso, two.fabrikam, PROVIDER_LOG):
        assert changes_in(log, "proposal.lapsed") == ["change_service", "add_service"]
    assert Service.objects.get(key="exchange-online").is_covered
    assert Service.objects.get(key="lab").name == "Other lab"


def test_a_tenant_that_switches_lockbox_on_meanwhile_gets_its_notice_and_the_whole_time(
    two: Cast, write: Path, travel: Any
) -> None:
    proposal = confirmed(two, HELD, write)
    first = proposal.effective_at
    assert first is not None
    travel.by(seconds=48 * 3600)
    Tenant.objects.filter(pk=two.northwind.pk).update(lockbox_on=True, plan=two.contoso.plan)
    operations.apply_due(actor=two.system("sweep"), limit=10)
    proposal.refresh_from_db()
    assert proposal.effective_at is not None
    assert 47 * 3600 < (proposal.effective_at - first).total_seconds() < 49 * 3600
    heard = changes_in(two.northwind, "proposal.made") + changes_in(two.northwind, "proposal.confirmed")
    assert sorted(heard) == sorted([*THREE, "import_rows"])
    travel.to(first)
    operations.apply_due(actor=two.system("sweep"), limit=10)
    assert held() == [(act, "") for act in THREE]
    assert sweep(proposal, travel).outcome == "applied"


def test_a_tenant_that_one_change_affects_only_now_hears_about_this_change(two: Cast, write: Path, travel: Any) -> None:
    """It has heard of the import's other changes. Still the change of its plan needs its notice."""
    other = Plan.objects.create(name="E3", includes_lockbox=True)
    Tenant.objects.filter(pk=two.fabrikam.pk).update(plan=other)
    proposal = confirmed(two, HELD, write)
    before, first = OutboxMessage.objects.filter(tenant=two.fabrikam).count(), proposal.effective_at
    assert first is not None
    travel.by(seconds=3600)
    Tenant.objects.filter(pk=two.fabrikam.pk).update(plan=two.contoso.plan)
    operations.apply_due(actor=two.system("sweep"), limit=10)
    proposal.refresh_from_db()
    assert proposal.effective_at is not None
    assert proposal.effective_at > first
    assert changes_in(two.fabrikam, "proposal.made").count("change_plan") == 1
    assert OutboxMessage.objects.filter(tenant=two.fabrikam).count() == before + 1


def test_nobody_gets_a_plan_that_a_waiting_file_takes_lockbox_out_of(two: Cast, write: Path) -> None:
    Tenant.objects.filter(pk=two.fabrikam.pk).update(plan=Plan.objects.create(name="E3", includes_lockbox=True))
    plan = "version: 1\nplans:\n- {name: E5, includes_lockbox: false}\n"
    before, moved = state(), "tenants:\n- {short_name: fabrikam, plan: E5}\n"
    status, _out, err = run("apply", plan + moved, write)
    assert (status, "An announced change takes Lockbox out of this plan" in err, state()) == (2, True, before)
    run("apply", plan, write)
    assert run("apply", "version: 1\n" + moved, write)[0] == 2
    with pytest.raises(WrongState):
        operations.change_tenant(two.fabrikam.pk, plan_id=two.contoso.plan_id, actor=two.as_("stella"))
    two.fabrikam.refresh_from_db()
    assert two.fabrikam.plan.name == "E3"


def test_resources_of_a_service_that_waits_wait_for_it(two: Cast, write: Path, travel: Any) -> None:
    box = "{service: lab, external_id: L-1, kind: library, name: Tests, locator: adatum/lab}"
    text = HELD + f"tenants:\n- short_name: adatum\n  name: Adatum\n  plan: Basic\n  resources:\n  - {box}\n"
    assert "the resource “Tests” waits for the service “Lab”" in run("plan", text, write)[1]
    proposal = confirmed(two, text, write)
    results = [(line.kind, line.status) for line in queries.lines_of(Import.objects.get())]
    assert ("resource", "waiting_for_confirmation") in results
    assert Tenant.objects.filter(slug="adatum").exists()
    before = state()
    assert run("apply", text, write)[0] == 0
    assert state() == before, "it waits, and nothing is proposed for it"
    sweep(proposal, travel)
    assert not Resource.objects.filter(external_id="L-1").exists()
    assert run("apply", text, write)[0] == 0
    assert Resource.objects.get(external_id="L-1").service.key == "lab"


def test_before_the_first_lockbox_nothing_waits(cast: Cast, write: Path) -> None:
    cast.peaceful()
    assert run("apply", HELD, write)[0] == 0
    assert (held(), Proposal.objects.count()) == ([], 0)
    assert not Plan.objects.get(name="E5").includes_lockbox
    assert not Service.objects.get(key="lab").is_covered
    assert Service.objects.get(key="exchange-online").name == "Mail"


def test_switching_a_service_off_is_done_at_once_and_its_other_change_waits(two: Cast, write: Path) -> None:
    text = "version: 1\nservices:\n- {key: exchange-online, active: false, name: Mail}\n"
    assert run("apply", text, write)[0] == 0
    exchange = Service.objects.get(key="exchange-online")
    assert (exchange.is_active, exchange.name, held()) == (False, "Exchange Online", [("change_service", "")])


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ("{key: lab, name: EXCHANGE ONLINE, connector: folder}", "name: Another service has this"),
        ("{key: sharepoint-online, name: exchange online}", "name: Another service has this"),
        ("{key: Exchange-Online, name: Mail, connector: folder}", "key: Another service has this"),
        ('{key: lab, name: "Cafe\\u0301", connector: folder}', "name: Write the text in the Unicode form NFC"),
        ("{key: a, name: Lab, connector: folder}\n- {key: b, name: LAB, connector: folder}", "line 4, column 18, name"),
    ],
)
def test_names_of_services_are_compared_without_letter_case_and_accents(
    cast: Cast, write: Path, row: str, fault: str
) -> None:
    before = state()
    status, _out, err = run("apply", f"version: 1\nservices:\n- {row}\n", write)
    assert (status, fault in err) == (2, True), err
    assert state() == before


#: The changes by staff that no row of a file can be.
NOT_IN_FILES = {
    *("import_rows", "map_group", "give_group_role", "let_client_ask", "let_client_guard", "let_client_provision"),
    *("link_accounts", "unlink_accounts", "add_proxy"),
}


def test_each_change_that_a_row_can_be_has_words_and_its_place_in_the_list() -> None:
    """A change without them would be first in the list, and without a name in its filter."""
    of_staff = {change.name for change in PROPOSALS.values() if change.by_staff}
    assert set(HELD_WORDS) == of_staff - NOT_IN_FILES
