"""Imports through the operations: what changes at once, what waits, and what is written in the logs."""

from __future__ import annotations

import json
import uuid
from itertools import pairwise
from typing import Any

import pytest
from django.db import connection

from audit_app.models import AuditEntry
from requests_app import operations, tasks
from requests_app.domain.errors import ChangeProposed, NotAllowed, StepUpRequired, WrongState
from requests_app.domain.events import PROVIDER_LOG
from requests_app.domain.spelling import folded
from requests_app.models import (
    HeldRow,
    Import,
    ImportBatch,
    OutboxMessage,
    Person,
    Proposal,
    Resource,
    Service,
    Tenant,
)
from requests_app.operations import _held_rows, _import_pace, imports, proposals
from requests_app.operations._import_pace import Pace
from requests_app.operations._import_world import World
from requests_app.platform import bell
from requests_app.platform.database.sqlite.base import DatabaseWrapper
from requests_app.queries import imports as queries
from tests.cast import Cast
from tests.imports.files import MAIL, NORTH, imported, refused, source_of, statuses

pytestmark = pytest.mark.django_db

ADATUM = "adatum,Adatum,E5,Europe/Berlin,exchange-online,a-1,mailbox,ann@adatum.example,adatum/mail/ann,"


def entries(tenant: Tenant | None = None) -> list[str]:
    log = PROVIDER_LOG if tenant is None else tenant.pk
    return list(AuditEntry.objects.filter(tenant_id=log).order_by("seq").values_list("event", flat=True))


def everything() -> dict[str, Any]:
    """Return all rows that an import can change, and the number of entries and messages."""
    return {
        "tenants": sorted(Tenant.objects.values_list("slug", "name", "plan__name", "time_zone", "external_id")),
        "resources": sorted(
            Resource.objects.values_list("tenant__slug", "name", "locator", "is_active", "external_id")
        ),
        "imports": (Import.objects.count(), HeldRow.objects.count(), Proposal.objects.count()),
        "told": (AuditEntry.objects.count(), OutboxMessage.objects.count()),
    }


def test_tenants_and_resources_are_made_each_with_its_entry(cast: Cast) -> None:
    row = imported(cast, ADATUM, ADATUM.replace("ann", "ben").replace("a-1", "a-2"), MAIL)
    assert statuses(row) == [
        (2, "resource", "created"), (2, "tenant", "created"), (3, "resource", "created"), (4, "resource", "created"),
    ]  # fmt: skip
    adatum = Tenant.objects.get(slug="adatum")
    assert (adatum.name, adatum.plan.name, adatum.time_zone, adatum.lockbox_on) == (
        "Adatum",
        "E5",
        "Europe/Berlin",
        False,
    )
    assert sorted(adatum.resources.values_list("external_id", "locator")) == [
        ("a-1", "adatum/mail/ann"), ("a-2", "adatum/mail/ben"),
    ]  # fmt: skip
    assert entries(adatum) == ["tenant.created", "resource.added", "resource.added"]
    assert entries(cast.contoso) == ["resource.added"]
    assert entries() == ["import.started", "import.finished"]
    assert row is not None
    for entry in AuditEntry.objects.all():
        detail = json.loads(bytes(entry.canonical))["detail"]
        assert (entry.actor_name, detail["import"]) == ("Stella Test", str(row.pk))


def test_an_imported_row_has_the_entry_of_the_act_on_one_row(cast: Cast) -> None:
    """Besides what it says about the import, the entry says the same."""
    wanted: dict[str, Any] = {"kind": "mailbox", "name": "One", "locator": "contoso/mail/one", "external_id": "m-0"}
    actor = cast.as_("stella")
    of = {"tenant_id": cast.contoso.pk, "service_id": cast.exchange.pk}
    one = operations.save_resource(actor=actor, is_active=True, **of, **wanted)
    row = imported(cast, "contoso,,,,exchange-online,m-9,mailbox,One,contoso/mail/nine,")
    assert row is not None
    alone, many = (json.loads(bytes(entry.canonical)) for entry in AuditEntry.objects.filter(tenant_id=cast.contoso.pk))
    assert (many["detail"].pop("import"), many["detail"].pop("import_sha")) == (str(row.pk), row.sha256)
    assert many["subject"].pop("id") != alone["subject"].pop("id") == str(one.pk)
    for entry in (alone, many):
        for name in ("seq", "at"):
            entry.pop(name)
        entry["detail"]["set"] |= {"locator": "…", "external_id": "…"}
    assert many == alone


def test_the_same_file_again_changes_nothing_and_leaves_no_entry(cast: Cast) -> None:
    assert imported(cast, ADATUM, MAIL, NORTH) is not None
    before = everything()
    assert imported(cast, ADATUM, MAIL, NORTH) is None
    assert everything() == before
    assert operations.check_import(source_of(ADATUM, MAIL), actor=cast.as_("stella")).counts["unchanged"] == 3


def test_not_one_row_of_a_file_with_a_fault_is_written(cast: Cast) -> None:
    before = everything()
    assert refused(cast, ADATUM, MAIL, NORTH.replace("northwind/mail", "contoso/mail")) == [
        (4, "locator", "outside_root")
    ]
    assert everything() == before


def test_a_check_changes_nothing_at_all(cast: Cast) -> None:
    before = everything()
    report = operations.check_import(source_of(ADATUM, MAIL), actor=cast.as_("stella", fresh=False))
    assert [(line.line, line.kind, line.status) for line in report.lines] == [
        (2, "tenant", "created"), (2, "resource", "created"), (3, "resource", "created"),
    ]  # fmt: skip
    assert everything() == before


def test_values_that_a_file_does_not_name_stay_as_they_are(cast: Cast) -> None:
    imported(cast, NORTH)
    row = imported(cast, "northwind,,,,exchange-online,n-1,,Law,,no", "northwind,,,Europe/Oslo,,,,,,")
    assert statuses(row) == [(2, "resource", "changed"), (3, "tenant", "changed")]
    resource = Resource.objects.get(external_id="n-1")
    assert (resource.name, resource.locator, resource.is_active) == ("Law", "northwind/mail/legal", False)
    cast.northwind.refresh_from_db()
    assert (cast.northwind.time_zone, cast.northwind.plan.name) == ("Europe/Oslo", cast.northwind.plan.name)


def test_a_city_is_a_time_zone_and_two_spellings_of_one_zone_agree(cast: Cast) -> None:
    row = imported(cast, "northwind,,,new york,,,,,,", "northwind,,,America/New_York,,,,,,")
    assert statuses(row) == [(2, "tenant", "changed"), (3, "tenant", "unchanged")]
    cast.northwind.refresh_from_db()
    assert cast.northwind.time_zone == "America/New_York"


def test_a_resource_gets_its_external_id_by_its_locator(cast: Cast) -> None:
    """So a provider who typed in the first resources can name them in files later."""
    known = Resource.objects.filter(tenant=cast.northwind).first()
    assert known is not None
    line = f"northwind,,,,{known.service.key},n-7,,,{known.locator},"
    assert statuses(imported(cast, line)) == [(2, "resource", "changed")]
    assert Resource.objects.get(external_id="n-7").pk == known.pk
    assert refused(cast, line.replace("n-7", "n-8")) == [(2, "external_id", "another_external_id")]


def test_a_tenant_is_named_by_its_external_id_too(cast: Cast) -> None:
    Tenant.objects.filter(pk=cast.northwind.pk).update(external_id="C-1042")
    row = imported(cast, NORTH.replace("northwind,,", "C-1042,,", 1))
    assert statuses(row) == [(2, "resource", "created")]
    assert Resource.objects.get(external_id="n-1").tenant_id == cast.northwind.pk
    Tenant.objects.filter(pk=cast.northwind.pk).update(external_id="contoso")
    assert refused(cast, MAIL) == [(2, "tenant", "ambiguous_tenant")]


def test_only_staff_with_a_fresh_proof_start_an_import(cast: Cast) -> None:
    for name in ("ines", "pat", "erik"):
        with pytest.raises(NotAllowed):
            operations.start_import(source_of(MAIL), actor=cast.as_(name))
        with pytest.raises(NotAllowed):
            operations.check_import(source_of(MAIL), actor=cast.as_(name))
    with pytest.raises(StepUpRequired):
        operations.start_import(source_of(MAIL), actor=cast.as_("stella", fresh=False))
    assert not Import.objects.exists()
    assert set(AuditEntry.objects.values_list("event", flat=True)) == {"act.refused"}


def test_only_the_system_writes_the_rows(cast: Cast) -> None:
    row = operations.start_import(source_of(MAIL), actor=cast.as_("stella"))
    assert row is not None
    with pytest.raises(NotAllowed):
        operations.run_import(row.pk, actor=cast.as_("stella"))
    assert not Resource.objects.filter(external_id="m-1").exists()


def test_an_import_stops_when_the_person_who_started_it_is_no_longer_staff(cast: Cast) -> None:
    row = operations.start_import(source_of(MAIL, NORTH), actor=cast.as_("stella"))
    assert row is not None
    Person.objects.filter(pk=cast.stella.pk).update(is_staff=False)
    row = operations.run_import(row.pk, actor=cast.system("import"))
    assert [fault.code for line in queries.lines_of(row) for fault in line.faults] == ["stopped", "stopped"]
    assert not Resource.objects.filter(external_id__in=["m-1", "n-1"]).exists()
    assert (row.finished_at is not None, row.counts["refused"]) == (True, 2)


def test_no_row_of_a_tenant_is_written_if_one_no_longer_fits(cast: Cast) -> None:
    """Between the check and the writing, another act took the place of one resource."""
    row = operations.start_import(
        source_of(MAIL, MAIL.replace("legal", "tax").replace("m-1", "m-2"), NORTH), actor=cast.as_("stella")
    )
    assert row is not None
    of = {"tenant_id": cast.contoso.pk, "service_id": cast.exchange.pk, "kind": "mailbox", "name": "Other"}
    operations.save_resource(actor=cast.as_("stella"), locator="contoso/mail/tax", external_id="other", **of)
    row = operations.run_import(row.pk, actor=cast.system("import"))
    assert statuses(row) == [(2, "resource", "refused"), (3, "resource", "refused"), (4, "resource", "created")]
    assert [fault.code for line in queries.lines_of(row) for fault in line.faults] == [
        "not_alone", "another_external_id",
    ]  # fmt: skip
    assert entries(cast.contoso) == ["resource.added"]


def test_a_large_tenant_is_written_in_short_transactions(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits longer than one batch takes. Interrupted after any batch, the next call continues."""
    monkeypatch.setattr(imports, "MOST", 4)
    lines = [NORTH.replace("legal", f"box-{n}").replace("n-1", f"b-{n}") for n in range(10)]
    row = operations.start_import(source_of(*lines), actor=cast.as_("stella"))
    assert row is not None
    sizes = []
    while row.finished_at is None:
        before = AuditEntry.objects.filter(event="resource.added").count()
        row = operations.run_import(row.pk, actor=cast.system("import"), after=lambda _row: False)
        sizes.append(AuditEntry.objects.filter(event="resource.added").count() - before)
    assert sizes == [4, 4, 2, 0]
    assert Resource.objects.filter(external_id__startswith="b-").count() == 10
    assert operations.run_import(row.pk, actor=cast.system("import")).finished_at == row.finished_at
    assert entries().count("import.finished") == 1


def test_a_transaction_writes_as_many_rows_as_fit_its_time(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a slow machine it writes fewer, but no tenant of 50 rows or fewer is divided."""
    lines = [NORTH.replace("legal", f"box-{n}").replace("n-1", f"b-{n}") for n in range(260)]
    row = operations.start_import(source_of(*lines), actor=cast.as_("stella"))
    assert row is not None
    sizes = []

    def after(now: Import) -> bool:
        sizes.append(now.rows_done)
        return True

    monkeypatch.setattr(_import_pace, "TARGET_SECONDS", 0.0)
    row = operations.run_import(row.pk, actor=cast.system("import"), after=after)
    assert [after - before for before, after in pairwise([0, *sizes])] == [50, 50, 50, 50, 50, 10]
    assert [line for line, _kind, _status in statuses(row)] == list(range(2, 262))
    assert entries(cast.northwind).count("resource.added") == 260
    assert Resource.objects.filter(external_id__startswith="b-").count() == 260


def test_a_fast_machine_writes_more_rows_in_a_transaction_up_to_a_limit() -> None:
    """docs/importing.md has the time that one batch takes. With more rows, others would wait too long."""
    pace = Pace()
    pace.cut(ImportBatch(rows=[[]] * _import_pace.LEAST))
    pace.rest()
    assert _import_pace.LEAST < pace.rows <= 250


@pytest.mark.sqlite
def test_an_import_rests_after_each_transaction(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    rested = []
    monkeypatch.setattr(DatabaseWrapper, "let_others_write", lambda _self, *, within: rested.append(within))
    row = operations.start_import(source_of(NORTH, MAIL), actor=cast.as_("stella"))
    assert row is not None
    operations.run_import(row.pk, actor=cast.system("import"))
    assert rested == [1.0, 1.0]


def test_a_batch_reads_only_the_locators_that_may_be_in_its_way(cast: Cast) -> None:
    """It does so while nobody else can write. A large tenant has far more."""
    others = [(n, f"contoso/mail/other-{n}") for n in range(30)]
    near = ["contoso/Mail/X", "contoso/mail", "contoso/mail/x/below", "contoso/mail/ẞ"]
    called = cast.resource()
    Resource.objects.filter(tenant=cast.contoso).update(name="Far", external_id="")
    Resource.objects.filter(pk=called.pk).update(name="M-1")
    Resource.objects.bulk_create(
        Resource(tenant=cast.contoso, service=cast.exchange, kind="mailbox", name=locator, locator=locator)
        for locator in [*(locator for _n, locator in others), *near]
    )
    source = source_of("contoso,,,,exchange-online,m-1,mailbox,X,contoso/mail/x,")
    place = World(source.rows).place("contoso")
    assert place is not None
    assert set(place.taken) == {folded(locator) for locator in (*near, called.locator)}
    assert place.is_mistakable("exchange-online", None, "external_id", "m-1")
    assert [place.in_the_way(locator) for locator in ("contoso/mail/X", "contoso/mail/ss")] == [near[0], near[3]]


# --- What waits for a second person --------------------------------------------------------------------------------


@pytest.fixture
def two(cast: Cast) -> Cast:
    cast.colleague()
    return cast


def held() -> list[tuple[int, str, str]]:
    return list(HeldRow.objects.order_by("line", "pk").values_list("line", "act", "outcome"))


def asked_for(cast: Cast) -> Resource:
    """Return a resource of Contoso that an access request has named, and that no access request uses now."""
    operations.withdraw(cast.submitted().pk, actor=cast.as_("priya"))
    resource = cast.resource()
    Resource.objects.filter(pk=resource.pk).update(external_id="m-f")
    return resource


def test_what_a_tenant_must_hear_about_waits_and_the_rest_does_not(two: Cast) -> None:
    resource = asked_for(two)
    Service.objects.filter(key="sharepoint-online").update(is_covered=False)
    row = imported(
        two,
        MAIL,
        "contoso,,Basic,Europe/Oslo,exchange-online,m-f,,Canteen,,",
        "contoso,,,,sharepoint-online,m-3,library,Plans,contoso/plans/x,",
        "northwind,,,,sharepoint-online,n-3,library,Plans,northwind/plans/x,",
    )
    assert statuses(row) == [
        (2, "resource", "created"), (3, "resource", "waiting_for_confirmation"),
        (3, "tenant", "waiting_for_confirmation"), (4, "resource", "waiting_for_confirmation"),
        (5, "resource", "created"),
    ]  # fmt: skip
    assert held() == [(3, "move_tenant", ""), (3, "rename_resource", ""), (4, "add_resource", "")]
    two.contoso.refresh_from_db()
    resource.refresh_from_db()
    # What weakens nobody is changed at once, also in the same row.
    assert (two.contoso.time_zone, two.contoso.plan.name) == ("Europe/Oslo", "E5")
    assert resource.name != "Canteen"
    proposal = Proposal.objects.get()
    assert (proposal.act, proposal.proposed_by, list(proposal.touched.all())) == (
        "import_rows", two.stella, [two.contoso],
    )  # fmt: skip
    # One entry about the import, and one about each change, as if it were proposed alone.
    assert entries(two.contoso)[-4:] == ["proposal.made"] * 4
    assert OutboxMessage.objects.filter(topic="notify.staff_change").count() == 1
    assert set(proposal.shown) == {"import", "sha"}


def due(proposal: Proposal, travel: Any) -> Proposal:
    """Move the clock to the time at which the proposal takes effect, and sweep."""
    proposal.refresh_from_db()
    assert proposal.effective_at is not None
    travel.to(proposal.effective_at)
    operations.apply_due(actor=Cast.system("sweep"), limit=10)
    proposal.refresh_from_db()
    return proposal


RENAMED = "contoso,,,,exchange-online,m-f,,Canteen,,"


def test_a_new_name_waits_before_anybody_has_asked_for_the_resource(two: Cast) -> None:
    """The first external id, too. To switch off a resource in the same row is done at once."""
    resource = two.resource()
    line = f"contoso,,,,exchange-online,{{}},,{{}},{resource.locator},no"
    assert statuses(imported(two, line.format("", "Public newsletter"))) == [
        (2, "resource", "waiting_for_confirmation")
    ]
    imported(two, line.format("m-1", ""))
    assert held() == [(2, "rename_resource", ""), (2, "change_resource", "")]
    before = (resource.name, resource.external_id)
    resource.refresh_from_db()
    assert (resource.name, resource.external_id, resource.is_active) == (*before, False)
    assert OutboxMessage.objects.filter(topic="notify.staff_change").count() == 2


def test_one_confirmation_covers_all_held_rows(two: Cast, travel: Any) -> None:
    resource = asked_for(two)
    two.sharepoint.is_covered = False
    two.sharepoint.save()
    imported(two, RENAMED, "contoso,,,,sharepoint-online,m-3,library,Plans,contoso/plans/x,")
    proposal = Proposal.objects.get()
    with pytest.raises(NotAllowed):
        operations.confirm_proposal(proposal.pk, actor=two.as_("stella"))
    operations.confirm_proposal(proposal.pk, actor=two.as_("sten"))
    assert due(proposal, travel).outcome == "applied"
    resource.refresh_from_db()
    assert resource.name == "Canteen"
    assert Resource.objects.get(external_id="m-3").locator == "contoso/plans/x"
    assert held() == [(2, "rename_resource", "applied"), (3, "add_resource", "applied")]
    assert entries(two.contoso)[-3:] == ["resource.changed", "resource.added", "proposal.applied"]


def test_before_the_confirmation_and_the_waiting_time_nothing_takes_effect(two: Cast, travel: Any) -> None:
    resource = asked_for(two)
    imported(two, RENAMED)
    proposal = Proposal.objects.get()
    travel.by(seconds=73 * 3600)
    operations.apply_due(actor=two.system("sweep"), limit=10)
    operations.confirm_proposal(proposal.pk, actor=two.as_("sten"))
    travel.by(seconds=71 * 3600)
    operations.apply_due(actor=two.system("sweep"), limit=10)
    resource.refresh_from_db()
    assert (resource.name == "Canteen", held()) == (False, [(2, "rename_resource", "")])


def test_the_same_row_waits_once_from_whatever_file(two: Cast) -> None:
    asked_for(two)
    imported(two, RENAMED)
    before = everything()
    assert imported(two, RENAMED) is None
    # In another file, too: its other rows are imported.
    assert everything() == before
    row = imported(two, MAIL, RENAMED)
    assert statuses(row) == [(2, "resource", "created"), (3, "resource", "waiting_for_confirmation")]
    assert (HeldRow.objects.count(), Proposal.objects.count()) == (1, 1)


def test_a_change_that_was_proposed_alone_is_not_proposed_again(two: Cast) -> None:
    resource = asked_for(two)
    with pytest.raises(ChangeProposed):
        operations.save_resource(resource_id=resource.pk, name="Canteen", actor=two.as_("stella"))
    assert imported(two, RENAMED) is None
    assert (HeldRow.objects.count(), Proposal.objects.count()) == (0, 1)


def test_a_change_that_a_file_proposed_is_not_proposed_again_alone(two: Cast) -> None:
    resource = asked_for(two)
    imported(two, RENAMED)
    written = AuditEntry.objects.count()
    before = everything()
    with pytest.raises(WrongState):
        operations.save_resource(resource_id=resource.pk, name="Canteen", actor=two.as_("stella"))
    # Only the refusal itself is recorded.
    refusal = AuditEntry.objects.latest("at", "seq")
    assert (refusal.event, AuditEntry.objects.count()) == ("act.refused", written + 1)
    after = everything()
    assert {**after, "told": before["told"]} == before
    assert after["told"][1] == before["told"][1]


def test_after_a_withdrawal_the_row_can_be_proposed_again(two: Cast) -> None:
    asked_for(two)
    imported(two, RENAMED)
    operations.withdraw_proposal(Proposal.objects.get().pk, actor=two.as_("sten"))
    assert statuses(imported(two, RENAMED)) == [(2, "resource", "waiting_for_confirmation")]
    assert Proposal.objects.filter(ended_at=None).count() == 1


def test_a_held_row_that_no_longer_fits_lapses_alone(two: Cast, travel: Any) -> None:
    asked_for(two)
    two.sharepoint.is_covered = False
    two.sharepoint.save()
    imported(two, RENAMED, "contoso,,,,sharepoint-online,m-3,library,Plans,contoso/plans/x,")
    proposal = Proposal.objects.get()
    operations.confirm_proposal(proposal.pk, actor=two.as_("sten"))
    Resource.objects.filter(external_id="m-f").update(name="Named by somebody else")
    assert due(proposal, travel).outcome == "applied"
    assert held() == [(2, "rename_resource", "lapsed"), (3, "add_resource", "applied")]
    assert Resource.objects.filter(external_id="m-3").exists()
    assert entries(two.contoso)[-3:] == ["proposal.lapsed", "resource.added", "proposal.applied"]


def test_a_resource_in_use_waits_and_the_other_rows_do_not(two: Cast, travel: Any) -> None:
    resource = asked_for(two)
    two.sharepoint.is_covered = False
    two.sharepoint.save()
    imported(two, RENAMED, "contoso,,,,sharepoint-online,m-3,library,Plans,contoso/plans/x,")
    proposal = Proposal.objects.get()
    operations.confirm_proposal(proposal.pk, actor=two.as_("sten"))
    proposal.refresh_from_db()
    assert proposal.effective_at is not None
    travel.to(proposal.effective_at)
    used = two.submitted(resource=resource)
    assert due(proposal, travel).ended_at is None
    assert held() == [(2, "rename_resource", ""), (3, "add_resource", "applied")]
    resource.refresh_from_db()
    assert resource.name != "Canteen"
    operations.withdraw(used.pk, actor=two.as_("priya"))
    assert due(proposal, travel).outcome == "applied"
    resource.refresh_from_db()
    assert resource.name == "Canteen"


def test_many_held_rows_are_made_in_short_steps(two: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """While rows take effect, others may have to wait. So one step makes only a few rows."""
    monkeypatch.setattr(_held_rows, "AT_ONCE", 2)
    two.sharepoint.is_covered = False
    two.sharepoint.save()
    line = "contoso,,,,sharepoint-online,m-{0},library,Plans {0},contoso/plans/x-{0},"
    imported(two, *(line.format(number) for number in range(5)))
    proposal = Proposal.objects.get()
    operations.confirm_proposal(proposal.pk, actor=two.as_("sten"))
    proposal.refresh_from_db()
    travel.to(proposal.effective_at)
    made = []
    while proposal.ended_at is None:
        proposal = operations.apply_proposal(proposal.pk, actor=two.system("sweep"))
        made.append(Resource.objects.filter(locator__startswith="contoso/plans/x-").count())
    # The last call finds no row, and ends the proposal.
    assert (made, proposal.outcome) == ([2, 4, 5, 5], "applied")


def test_a_slow_machine_makes_fewer_held_rows_in_a_step(
    two: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step ends when its time is over, and the sweep lets others write before the next one."""
    rested = []
    monkeypatch.setattr(_held_rows, "TARGET_SECONDS", 0.0)
    monkeypatch.setattr(_held_rows, "LEAST_AT_ONCE", 2)
    monkeypatch.setattr(
        proposals, "let_others_write", lambda: rested.append(HeldRow.objects.exclude(outcome="").count())
    )
    two.sharepoint.is_covered = False
    two.sharepoint.save()
    line = "contoso,,,,sharepoint-online,m-{0},library,Plans {0},contoso/plans/x-{0},"
    imported(two, *(line.format(number) for number in range(5)))
    proposal = Proposal.objects.get()
    operations.confirm_proposal(proposal.pk, actor=two.as_("sten"))
    assert due(proposal, travel).outcome == "applied"
    assert rested == [2, 4, 5]
    assert Resource.objects.filter(locator__startswith="contoso/plans/x-").count() == 5


def test_one_sweep_makes_all_held_rows(two: Cast, travel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_held_rows, "AT_ONCE", 2)
    two.sharepoint.is_covered = False
    two.sharepoint.save()
    line = "contoso,,,,sharepoint-online,m-{0},library,Plans {0},contoso/plans/x-{0},"
    imported(two, *(line.format(number) for number in range(5)))
    proposal = Proposal.objects.get()
    operations.confirm_proposal(proposal.pk, actor=two.as_("sten"))
    assert due(proposal, travel).outcome == "applied"
    assert Resource.objects.filter(locator__startswith="contoso/plans/x-").count() == 5


def test_a_tenant_that_switched_lockbox_on_meanwhile_gets_notice_first(two: Cast) -> None:
    """Whether a row waits is judged when it is written, and not when the file is checked."""
    two.sharepoint.is_covered = False
    two.sharepoint.save()
    line = "northwind,,,,sharepoint-online,n-3,library,Plans,northwind/plans/x,"
    assert operations.check_import(source_of(line), actor=two.as_("stella")).counts["created"] == 1
    row = operations.start_import(source_of(line), actor=two.as_("stella"))
    assert row is not None
    Tenant.objects.filter(pk=two.northwind.pk).update(lockbox_on=True, plan=two.contoso.plan)
    row = operations.run_import(row.pk, actor=two.system("import"))
    assert statuses(row) == [(2, "resource", "waiting_for_confirmation")]
    assert not Resource.objects.filter(external_id="n-3").exists()
    assert [proposal.act for proposal in Proposal.objects.all()] == ["import_rows"]


# --- Killed processes ----------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Raised in place of a SIGKILL. No code of the product catches it."""


def test_killed_at_any_statement_the_import_is_finished_and_nothing_is_done_twice(two: Cast) -> None:
    """A process dies at its first statement, the next one at its second, and so on, until one comes to the end.

    tests/tasks/test_killed_imports.py does the same with real processes.
    """
    asked_for(two)
    row = operations.start_import(source_of(ADATUM, MAIL, RENAMED, NORTH), actor=two.as_("stella"))
    assert row is not None
    deaths = 0
    while row.finished_at is None:
        left = deaths + 1

        def die(execute: Any, *call: Any) -> Any:
            nonlocal left
            left -= 1
            if not left:
                raise Killed
            return execute(*call)

        with connection.execute_wrapper(die):
            try:
                row = operations.run_import(row.pk, actor=two.system("import"))
            except Killed:
                deaths += 1
    assert deaths > 20
    assert statuses(row) == [
        (2, "resource", "created"), (2, "tenant", "created"), (3, "resource", "created"),
        (4, "resource", "waiting_for_confirmation"), (5, "resource", "created"),
    ]  # fmt: skip
    assert Resource.objects.filter(external_id__in=["a-1", "m-1", "n-1"]).count() == 3
    assert AuditEntry.objects.filter(event="resource.added").count() == 3
    assert (entries().count("import.finished"), Proposal.objects.count(), HeldRow.objects.count()) == (1, 1, 1)


def test_a_worker_finishes_what_was_left(cast: Cast) -> None:
    row = operations.start_import(source_of(MAIL, NORTH), actor=cast.as_("stella"))
    assert row is not None
    assert tasks.run_imports() == 2
    row.refresh_from_db()
    assert (row.finished_at is not None, tasks.run_imports()) == (True, 0)


def test_a_worker_begins_with_an_import_immediately(
    cast: Cast, django_capture_on_commit_callbacks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not wait for the schedule, which comes only once in a minute."""
    rung: list[str] = []
    monkeypatch.setattr(bell, "_enqueue", rung.append)
    with django_capture_on_commit_callbacks(execute=True):
        operations.start_import(source_of(MAIL), actor=cast.as_("stella"))
    assert bell.IMPORT in rung


def test_nobody_becomes_the_proposer_because_their_accounts_are_linked_meanwhile(two: Cast) -> None:
    """Otherwise two people who agree on a change could be one human who started it, and one who links accounts."""
    asked_for(two)
    row = operations.start_import(source_of(RENAMED), actor=two.as_("stella"))
    assert row is not None
    Person.objects.filter(pk=two.stella.pk).update(human_id=uuid.uuid4())
    row = operations.run_import(row.pk, actor=two.system("import"))
    assert (row.finished_at is not None, Proposal.objects.count(), held()) == (True, 0, [(2, "rename_resource", "")])
    assert OutboxMessage.objects.filter(topic="notify.staff_change").count() == 0
    # It waits for somebody who proposes it.
    operations.propose_import(row.pk, actor=two.as_("sten"))
    assert Proposal.objects.get().proposed_by.name == "Sten Test"


def test_an_import_that_fails_does_not_hold_up_the_others(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    first = operations.start_import(source_of(MAIL), actor=cast.as_("stella"))
    second = operations.start_import(source_of(NORTH), actor=cast.as_("stella"))
    assert first is not None
    assert second is not None
    plain = imports.run_import

    def failing(import_id: object, **options: Any) -> Import:
        if import_id == first.pk:
            raise RuntimeError("a bug")
        return plain(import_id, **options)

    monkeypatch.setattr(imports, "run_import", failing)
    with pytest.raises(RuntimeError, match="a bug"):
        tasks.run_imports()
    second.refresh_from_db()
    assert second.finished_at is not None
    monkeypatch.undo()
    assert tasks.run_imports() == 1


def test_the_changes_of_a_client_are_proposed_by_its_humans(two: Cast) -> None:
    """A client has no human of its own. So the person who made it is never the second person."""
    asked_for(two)
    client = two.own_client("Sync", ["grants:read"]).row
    row = operations.start_import(source_of(MAIL, RENAMED), actor=two.as_("stella"))
    assert row is not None
    Import.objects.update(started_by=client.account, started_human=None, started_name="Sync")
    operations.run_import(row.pk, actor=two.system("import"))
    added = AuditEntry.objects.get(event="resource.added")
    assert (added.actor_kind, added.actor_id) == ("client", client.account_id)
    proposal = Proposal.objects.get()
    assert proposal.proposed_through == client.account
    with pytest.raises(NotAllowed):
        operations.confirm_proposal(proposal.pk, actor=two.as_("stella"))
    operations.confirm_proposal(proposal.pk, actor=two.as_("sten"))


def test_a_client_that_was_removed_writes_no_more_rows(two: Cast) -> None:
    client = two.own_client("Sync", ["grants:read"]).row
    row = operations.start_import(source_of(MAIL), actor=two.as_("stella"))
    assert row is not None
    Import.objects.update(started_by=client.account, started_human=None, started_name="Sync")
    operations.remove_client(client.pk, actor=two.as_("stella"))
    row = operations.run_import(row.pk, actor=two.system("import"))
    assert statuses(row) == [(2, "resource", "refused")]
    assert not Resource.objects.filter(external_id="m-1").exists()


def test_a_client_of_somebody_who_left_writes_no_more_rows(two: Cast) -> None:
    client = two.own_client("Sync", ["grants:read"]).row
    row = operations.start_import(source_of(MAIL), actor=two.as_("stella"))
    assert row is not None
    Import.objects.update(started_by=client.account, started_human=None, started_name="Sync")
    operations.switch_off_person(two.stella.pk, actor=two.as_("sten"))
    row = operations.run_import(row.pk, actor=two.system("import"))
    assert statuses(row) == [(2, "resource", "refused")]
    assert not Resource.objects.filter(external_id="m-1").exists()
