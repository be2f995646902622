"""`plan`, `apply` and `export`: a file says what is set up."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from audit_app.models import AuditEntry
from requests_app import operations, tasks
from requests_app.domain.imports import FAULTS_MAX, number_of
from requests_app.domain.states import State
from requests_app.models import HeldRow, Import, Plan, Proposal, Resource, Service, Tenant
from requests_app.platform import world_files
from requests_app.words import proposals
from tests.cast import Cast, events_in
from tests.imports.worlds import exported, run, state

pytestmark = pytest.mark.django_db

WORLD = """\
version: 1
plans:
- name: E5
  includes_lockbox: true
- name: '#Basic'
  includes_lockbox: false
services:
- key: exchange-online
  name: 'Exchange: "Online"'
  connector: maildir
  covered: true
  active: true
- key: quillo
  name: Quillo
  connector: external
  covered: false
  active: false
  application: Quillo
  link_template: https://quillo.example/{external_id}
  guidance: |-
    Open it.
    Then search for ‘x’.
  levels: |-
    names
    view | see pages | open pages
tenants:
- short_name: adatum
  name: Adatum
  external_id: C-1
  plan: E5
  time_zone: Europe/Berlin
  active: true
  resources:
  - service: exchange-online
    external_id: M-1
    kind: mailbox
    name: 'no'
    locator: adatum/mail/no
    active: true
  - service: quillo
    external_id: '0017'
    kind: workspace
    name: Plans
    active: false
- short_name: old
  name: Old & Söhne
  plan: '#Basic'
  time_zone: UTC
  active: false
  resources: []
"""


@pytest.fixture
def write(tmp_path: Path) -> Path:
    return tmp_path / "world.yaml"


def test_export_into_an_empty_installation_gives_the_same_bytes(write: Path) -> None:
    assert not Tenant.objects.exists()
    status, out, err = run("apply", WORLD, write)
    assert (status, err) == (0, ""), out
    first = exported()
    assert run("apply", first, write)[0] == 0
    assert exported() == first
    for model in (Resource, Tenant, Service, Plan):
        model.objects.all().delete()
    assert run("apply", first, write)[0] == 0
    assert exported() == first
    assert list(Service.objects.get(key="quillo").offers) == ["names", "view"]
    assert Service.objects.get(key="quillo").guidance == "Open it.\nThen search for ‘x’."
    assert [(row.external_id, row.name) for row in Resource.objects.order_by("external_id")] == [
        ("0017", "Plans"), ("M-1", "no"),
    ]  # fmt: skip


def test_the_same_file_again_changes_nothing(write: Path) -> None:
    run("apply", WORLD, write)
    before = state()
    status, out, _err = run("apply", WORLD, write)
    assert (status, "nothing to change" in out, state()) == (0, True, before)


def test_plan_shows_the_difference_in_words_and_changes_nothing(cast: Cast, write: Path) -> None:
    before = state()
    text = (
        exported()
        .replace("name: Northwind", "name: Northwind Traders")
        .replace("plans:\n", "plans:\n- name: E9\n  includes_lockbox: true\n")
    )
    status, out, _err = run("plan", text, write)
    assert (status, state()) == (0, before)
    assert "create the plan “E9”" in out
    assert "change the tenant “Northwind”: name is “Northwind” and becomes “Northwind Traders”" in out


def test_a_plan_and_a_service_have_the_entries_of_the_single_acts(cast: Cast, write: Path) -> None:
    lab = "{key: lab, name: Lab, connector: folder}"
    text = f"version: 1\nplans:\n- {{name: E9, includes_lockbox: true}}\nservices:\n- {lab}\n"
    assert run("apply", text, write)[0] == 0
    assert Service.objects.get(key="lab").is_covered, "covered if nothing else is said"
    events = list(AuditEntry.objects.filter(subject_type__in=["plan", "service"]).values_list("event", "subject_id"))
    assert sorted(events) == sorted([
        ("plan.changed", str(Plan.objects.get(name="E9").pk)),
        ("service.changed", str(Service.objects.get(key="lab").pk)),
    ])  # fmt: skip


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("services:\n- {key: lab, name: Lab, connector: nothing}", "connector: There is no such connector."),
        ("services:\n- {key: lab, name: Lab, connector: folder, guidance: x}", "guidance: Only an external"),
        ("services:\n- {key: lab, name: Lab, connector: folder, levels: all}", "levels: There is no level “all”."),
        (
            "services:\n- {key: lab, name: Lab, connector: folder, levels: act_as}",
            "levels: Only an external service can have the level “act_as”.",
        ),
        ("services:\n- key: lab", "line 3, column 3, name: This must not be empty, because lab is new."),
        ("colours: []", "line 2, column 1, colours: There is no such key."),
        ("plans:\n- name: E5\n  name: E6", "line 4, column 3, name: This key is there twice."),
        ("plans:\n- name: &a E5", "line 3, column 9: Anchors"),
        ("plans:\n- name: !!str E5", "line 3, column 9: Tags"),
        ("plans: {}", "line 2, column 8, plans: Here must be a list"),
        ("plans:\n- E5", "line 3, column 3: Here must be keys"),
        ("plans:\n- name: [E5]", "name: This must be a text."),
        ("plans:\n- name: ~", "name: This must not be empty."),
        ("plans:\n- name: 'E5", "The file is not valid YAML"),
        ("---\nplans: []", "more than one document"),
        ("plans:\n- [[[[[[[[[[1]]]]]]]]]]", "too many levels"),
        ("tenants:\n- short_name: x\n  name: X\n  plan: none", "line 5, column 9, plan: There is no plan “none”."),
    ],
)
def test_a_fault_is_named_with_its_line_and_column_and_nothing_is_changed(
    cast: Cast, write: Path, text: str, fault: str
) -> None:
    before = state()
    for command in ("plan", "apply"):
        status, _out, err = run(command, f"version: 1\n{text}\n", write)
        assert (status, fault in err) == (2, True), err
    assert state() == before


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"version: 2", b"plans: []", b"a: \x00", b"[" * 100_000, b"7"])
def test_a_file_that_is_no_world_is_refused(cast: Cast, write: Path, data: bytes) -> None:
    before = state()
    assert run("apply", data, write)[0] == 2
    assert state() == before


def test_a_file_that_makes_a_level_wider_waits_and_never_allows_it_for_a_tenant(cast: Cast, write: Path) -> None:
    """The customers are informed, as if staff had changed the service on a page."""
    service = cast.quillo()
    text = "version: 1\nservices:\n- key: quillo\n  levels: |-\n    read\n    act_as | only view the pages\n"
    assert run("apply", text, write)[0] == 0
    assert list(Service.objects.get(pk=service.pk).offers) == ["names", "read"]
    [held] = HeldRow.objects.all()
    assert "act as (can change things) (“only view the pages”)" in proposals.words(held.act, held.terms)
    assert not Tenant.objects.filter(is_act_as_allowed=True).exists()
    rule = "version: 1\ntenants:\n- short_name: contoso\n  is_act_as_allowed: true\n"
    status, _out, err = run("apply", rule, write)
    assert (status, "is_act_as_allowed: There is no such key." in err) == (2, True)
    assert not Tenant.objects.filter(is_act_as_allowed=True).exists()


def test_what_the_file_lacks_is_shown_and_stays(cast: Cast, write: Path) -> None:
    text = exported()
    without = text[: text.index("- short_name: northwind")]
    before = state()
    status, out, _err = run("plan", without, write)
    assert (status, "not in the file: tenant “Northwind”" in out) == (0, True)
    status, out, _err = run("apply", without, write)
    assert (status, "--prune" in out, state()) == (0, True, before)


def test_prune_switches_off_what_the_file_lacks_and_proposes_where_it_must(cast: Cast, write: Path) -> None:
    text = "version: 1\ntenants:\n- {short_name: fabrikam, resources: []}\nservices:\n- key: exchange-online\n"
    assert run("apply", text, write, "--prune")[0] == 0
    cast.northwind.refresh_from_db()
    cast.contoso.refresh_from_db()
    assert (cast.northwind.is_active, cast.contoso.is_active) == (False, True), "Contoso had Lockbox on: it waits"
    assert not Service.objects.get(key="sharepoint-online").is_active
    assert Service.objects.get(key="exchange-online").is_active
    assert not Resource.objects.filter(tenant__slug="fabrikam", is_active=True).exists()
    assert Resource.objects.filter(tenant=cast.contoso, is_active=True).exists()
    held = list(HeldRow.objects.values_list("act", "tenant__slug"))
    assert held == [("switch_off_tenant", "contoso")]
    assert "tenant.switched_off" in events_in(cast.northwind)
    row = Import.objects.get()
    operations.propose_import(row.pk, actor=cast.as_("stella"))
    tasks.run_imports()
    assert Proposal.objects.get().act == "import_rows"
    before = state()
    assert run("apply", text, write, "--prune")[0] == 0
    assert state() == before, "it is proposed once"


def test_a_held_switch_of_a_tenant_takes_effect_and_ends_its_access(cast: Cast, write: Path, travel: Any) -> None:
    text = "version: 1\ntenants:\n- {short_name: contoso, active: false}\n"
    _status, out, _err = run("plan", text, write)
    assert "propose to switch off the tenant Contoso" in out
    assert run("apply", text, write)[0] == 0
    cast.colleague()
    operations.propose_import(Import.objects.get().pk, actor=cast.as_("stella"))
    tasks.run_imports()
    proposal = Proposal.objects.get(act="import_rows")
    operations.confirm_proposal(proposal.pk, actor=cast.as_("sten"))
    cast.contoso.refresh_from_db()
    assert cast.contoso.is_active, "the waiting time is not over"
    proposal.refresh_from_db()
    travel.to(proposal.effective_at)
    grant = cast.opened()
    operations.apply_proposal(proposal.pk, actor=cast.system("sweep"))
    cast.contoso.refresh_from_db()
    grant.refresh_from_db()
    assert not cast.contoso.is_active
    assert grant.closed_at is not None
    assert "tenant.switched_off" in events_in(cast.contoso)


def test_a_list_that_is_not_in_the_file_prunes_nothing(cast: Cast, write: Path) -> None:
    before = state()
    text = "version: 1\ntenants:\n- short_name: contoso\n- short_name: northwind\n- short_name: fabrikam\n"
    assert run("apply", text, write, "--prune")[0] == 0
    assert state() == before


def test_switching_a_service_off_ends_what_waits_for_it(cast: Cast, write: Path) -> None:
    pending = cast.submitted()
    assert run("apply", "version: 1\nservices:\n- {key: exchange-online, active: false}\n", write)[0] == 0
    pending.refresh_from_db()
    assert pending.state == State.WITHDRAWN


def details(event: str, subject: object) -> list[tuple[object, ...]]:
    """Return the log and the detail of each entry of this event about a row, without those of an import."""
    found: list[tuple[object, ...]] = []
    for row in AuditEntry.objects.filter(event=event).order_by("seq"):
        entry = json.loads(bytes(row.canonical))
        if entry["subject"]["id"] == str(subject):
            for name in ("import", "import_sha"):
                entry["detail"].pop(name, None)
            found.append((row.tenant_id, entry["subject"]["type"], sorted(entry["detail"])))
    return found


def test_prune_writes_the_entries_of_the_real_acts(cast: Cast, write: Path) -> None:
    """One of each kind is switched off by its act, and another one because the file lacks it."""
    stella = cast.as_("stella")
    two = [operations.save_service(key=f"lab-{n}", name=f"Lab {n}", connector="folder", actor=stella) for n in (1, 2)]
    plan = Plan.objects.get(name="Basic")
    tenants = [operations.create_tenant(name=f"T{n}", slug=f"t-{n}", plan_id=plan.pk, actor=stella) for n in (1, 2)]
    boxes = [
        operations.save_resource(
            actor=stella, tenant_id=cast.northwind.pk, service_id=cast.exchange.pk, kind="mailbox", name=f"Box {n}",
            locator=f"northwind/mail/box-{n}", external_id=f"box-{n}",
        )
        for n in (1, 2)
    ]  # fmt: skip
    text = exported()
    people = [cast.erik, cast.samir]
    operations.save_service(service_id=two[0].pk, is_active=False, actor=stella)
    operations.switch_off_tenant(tenants[0].pk, actor=stella)
    operations.save_resource(resource_id=boxes[0].pk, is_active=False, actor=stella)
    operations.switch_off_person(people[0].pk, actor=stella)
    file = yaml.safe_load(text)
    file["services"] = [each for each in file["services"] if not each["key"].startswith("lab-")]
    file["tenants"] = [each for each in file["tenants"] if not each["short_name"].startswith("t-")]
    for each in file["tenants"]:
        each["resources"] = [row for row in each["resources"] if not str(row.get("external_id")).startswith("box-")]
    names = [person.email for person in people]
    file["people"] = [each for each in file["people"] if each["email"] not in names]
    status, out, err = run("apply", yaml.safe_dump(file), write, "--prune")
    assert (status, err) == (0, ""), out
    pairs: dict[str, list[Any]] = {
        "service.changed": two, "tenant.switched_off": tenants, "resource.changed": boxes,
        "person.switched_off": people,
    }  # fmt: skip
    for event, (alone, pruned) in pairs.items():
        by_act, by_file = details(event, alone.pk), details(event, pruned.pk)
        logs = {alone.pk: "own", pruned.pk: "own"}
        # Entries in different logs have no order.
        ours, theirs = (
            sorted([(logs.get(log, log), *rest) for log, *rest in found], key=str) for found in (by_act, by_file)
        )
        assert ours == theirs, event
        assert by_act, event


@pytest.mark.parametrize("line", [b"- x\n", b"- name: ''\n", b"- {}\n- []\n"])
def test_a_file_full_of_faults_names_the_first_and_counts_the_others(line: bytes) -> None:
    """A file of a few megabytes can have millions of them, and each would take memory."""
    found = world_files.loaded(b'version: "1"\nplans:\n' + line * (FAULTS_MAX + 10), file_name="faulty.yaml")
    assert len(found.source.faults) <= FAULTS_MAX + 1
    assert number_of(found.source.faults) + sum(len(row.faults) for row in found.source.rows) > FAULTS_MAX + 9


def test_repeated_keys_are_counted_too() -> None:
    found = world_files.loaded(b'version: "1"\n' + b"k: 1\n" * (FAULTS_MAX + 10), file_name="faulty.yaml")
    assert (len(found.source.faults), found.source.faults[-1].code) == (FAULTS_MAX + 1, "more_faults")


def test_a_file_of_more_values_than_rows_can_have_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world_files, "_NODES_MAX", 20)
    found = world_files.loaded(b'version: "1"\nplans:\n' + b"-\n" * 100, file_name="long.yaml")
    [fault] = found.source.faults
    assert (fault.code, fault.line) == ("too_many_lines", 18)
