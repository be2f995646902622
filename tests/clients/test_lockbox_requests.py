"""Tests `lockbox requests`, `windows`, `release` and `revoke` with a real server, as users install the program."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import pytest

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.scopes import Scope
from requests_app.models import AccessRequest, ContentAccess, Resource
from tests.caller import client_of
from tests.cast import JUSTIFICATION, PASSWORD, TRIED, Cast, events_of
from tests.clients.terminal import Shell
from tests.factors import anybodys_code

pytestmark = pytest.mark.django_db(transaction=True)

Shells = Callable[..., Shell]


def state(row: AccessRequest) -> str:
    return str(AccessRequest.objects.get(pk=row.pk).state)


def test_a_list_goes_through_a_pipe_as_lines_with_tabs(cast: Cast, shell: Shells) -> None:
    row = cast.confirmed()
    ended = shell("ada").alone("requests", "list")
    decide_by = f"{row.decide_by:%Y-%m-%d %H:%M} UTC"
    resource = row.scope.get().resource.name
    assert ended.out.splitlines() == [
        "REFERENCE\tSTATE\tTENANT\tENGINEER\tASKS TO\tFOR\tDECIDE BY",
        f"{row.reference}\t◐ waiting for the customer\tContoso\tPriya Test\tread {resource}\t2 h\t{decide_by}",
    ]
    assert (ended.status, ended.err) == (0, "")


def test_a_list_as_json_is_what_the_api_gave(cast: Cast, shell: Shells) -> None:
    row, other = cast.confirmed(), cast.submitted("fabrikam")
    ended = shell("ada")("requests", "list", "--json")
    assert [each["id"] for each in ended.json] == [str(row.pk)]
    assert str(other.pk) not in ended.out
    assert shell("ada")("requests", "list", "--state", "open", "--json").out == "[]\n"


def test_a_list_takes_as_many_pages_as_it_needs(cast: Cast, shell: Shells, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [cast.submitted() for _ in range(3)]
    monkeypatch.setattr("requests_app.doors.api.pages.Pages.max_page_size", 200)
    monkeypatch.setattr("requests_app.doors.api.pages.Pages.get_page_size", lambda *_: 1)
    ended = shell("ada")("--json", "requests", "list", "--limit", "2")
    assert [each["id"] for each in ended.json] == [str(row.pk) for row in reversed(rows[1:])]


@pytest.mark.parametrize("named", ["pk", "reference"])
def test_one_is_shown_by_its_id_or_its_reference(cast: Cast, shell: Shells, named: str) -> None:
    row = cast.confirmed()
    shown = dict(
        line.split("\t", 1) for line in shell("ada")("requests", "show", str(getattr(row, named))).out.splitlines()
    )
    assert shown["Access request"] == row.reference
    assert (shown["Why"], shown["Tried"]) == (JUSTIFICATION, TRIED)
    assert (shown["You can"], shown["Digest"]) == ("approve, deny", row.content_digest)
    assert shown["By the provider"].endswith(", not signed with a passkey: “No other way.”")


def test_missing_and_foreign_rows_are_refused_alike(cast: Cast, shell: Shells) -> None:
    other = cast.submitted("fabrikam")
    for named in (str(other.pk), other.reference, "AR-2222-2222", "0193c2a4-7f1e-7c3b-9d55-2f6f0d1c8e11"):
        ended = shell("ada")("requests", "show", named, "--json")
        assert (ended.status, ended.out) == (1, "")
        assert json.loads(ended.err)["code"] == "not_found"


def test_an_engineer_asks_and_takes_it_back(cast: Cast, shell: Shells) -> None:
    ticket, priya = cast.ticket(), shell("priya")
    resource = Resource.objects.filter(tenant=cast.contoso, service=cast.exchange).order_by("name")[0]
    words = ["--ticket", str(ticket.pk), "--resource", str(resource.pk), "--level", "read", "--minutes", "60"]
    ended = priya("requests", "submit", *words, "--tried", TRIED, "--justification", JUSTIFICATION, "--json")
    assert ended.status == 0, ended.err
    row = AccessRequest.objects.get(pk=ended.json["id"])
    assert (row.window_for, row.level, row.state) == (3600, "read", "PENDING_PROVIDER")
    assert priya("requests", "withdraw", row.reference).out == f"{row.reference} ○ withdrawn\n"
    assert events_of(row) == ["access_request.submitted", "access_request.withdrawn"]


def test_a_field_that_is_wrong_is_named(cast: Cast, shell: Shells) -> None:
    ticket, resource = cast.ticket(), cast.resource()
    words = ["--ticket", str(ticket.pk), "--resource", str(resource.pk), "--minutes", "90"]
    ended = shell("priya")("requests", "submit", *words, "--tried", "x", "--justification", "y")
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("lockbox: Choose one of the offered lengths")
    assert not AccessRequest.objects.exists()


# --- Deciding ------------------------------------------------------------------------------------------------


def test_an_approver_reads_approves_and_proves_who_they_are(cast: Cast, shell: Shells) -> None:
    row = cast.confirmed()
    answers = [("[y/N]", "y"), ("Your password", PASSWORD), ("The code", anybodys_code())]
    ended = shell("ada", fresh=False).at_a_terminal(
        "requests", "approve", row.reference, "--comment", "Seen.", answers=answers
    )
    assert ended.status == 0, ended.out
    # The text of the decision comes before the question.
    before = ended.out[: ended.out.index("[y/N]")]
    assert "Priya Test asks to read" in before
    assert row.content_digest[:20] in before
    assert PASSWORD not in ended.out
    assert state(row) == "OPEN"
    assert row.decisions.get(stage="customer").comment == "Seen."


def test_an_approver_reads_that_things_can_be_changed_before_the_question(cast: Cast, shell: Shells) -> None:
    service = cast.with_act_as()
    ticket = cast.ticket(service_id=service.pk)
    words = ["--ticket", str(ticket.pk), "--resource", str(cast.ask(ticket).resource_ids[0]), "--level", "act_as"]
    reasons = ["--minutes", "60", "--tried", TRIED, "--justification", JUSTIFICATION]
    ended = shell("priya")("requests", "submit", *words, *reasons, "--json")
    assert ended.status == 0, ended.err
    operations.approve_as_provider(ended.json["id"], actor=cast.as_("pat"), note="No other way.")
    asked = shell("ada").at_a_terminal("requests", "approve", ended.json["reference"], answers=[("[y/N]", "n")])
    assert "Approve this? Priya Test asks to change things as users of notes of contoso" in asked.out
    assert state(AccessRequest.objects.get(pk=ended.json["id"])) == "PENDING_CUSTOMER"


@pytest.mark.parametrize("answer", ["", "n", "yess"])
def test_anything_except_yes_means_no(cast: Cast, shell: Shells, answer: str) -> None:
    row = cast.confirmed()
    ended = shell("ada").at_a_terminal("requests", "approve", row.reference, answers=[("[y/N]", answer)])
    assert ended.status == 1
    assert "Nothing was done." in ended.out
    assert state(row) == "PENDING_CUSTOMER"


def test_a_wrong_password_decides_nothing(cast: Cast, shell: Shells) -> None:
    row = cast.confirmed()
    answers = [("[y/N]", "y"), ("Your password", "not this one"), ("The code", "000000")]
    ended = shell("ada", fresh=False).at_a_terminal("requests", "approve", row.reference, answers=answers)
    assert ended.status == 1
    assert state(row) == "PENDING_CUSTOMER"


def test_without_a_terminal_nothing_is_asked_and_nothing_done(cast: Cast, shell: Shells) -> None:
    row = cast.confirmed()
    ended = shell("ada", fresh=False)("requests", "approve", row.reference, typed="y\n")
    assert (ended.status, ended.out) == (2, "")
    assert "--yes" in ended.err
    # A script must not confirm for a person: the command reads no password from a pipe.
    ended = shell("ada", fresh=False)("requests", "approve", row.reference, "--yes", "--json", typed=f"{PASSWORD}\n")
    assert (ended.status, json.loads(ended.err)["code"]) == (1, "step_up_required")
    assert state(row) == "PENDING_CUSTOMER"


def test_a_client_that_may_decides_without_a_question(cast: Cast, shell: Shells) -> None:
    row = cast.confirmed()
    scopes = (Scope.REQUESTS_READ, Scope.DECISIONS_WRITE)
    client, secret = client_of(cast, "contoso", *scopes, decides_for_id=cast.ada.pk)
    machine = shell("ada").but(LOCKBOX_TOKEN=None)
    assert machine("login", "--client", str(client.pk), typed=f"{secret}\n").status == 0
    ended = machine("requests", "deny", row.reference, "--yes", "--json")
    assert ended.status == 0, ended.err
    assert (ended.json["state"], ended.json["decisions"][-1]["through"]) == ("DENIED", "Help desk")
    assert "denied by the API client Help desk for Ada Test" in shell("ada")("requests", "show", row.reference).out


def test_a_deputys_decision_is_shown_as_one(cast: Cast, shell: Shells) -> None:
    at = clock.now()
    operations.give_role(cast.contoso.pk, cast.otto.pk, role="deputy", actor=cast.as_("ines"))
    operations.set_out_of_office(
        cast.contoso.pk, deputy_id=cast.otto.pk, from_at=at, until_at=at + timedelta(hours=9), actor=cast.as_("ada")
    )
    row = cast.confirmed()
    operations.deny_as_customer(row.pk, actor=cast.as_("otto"), note="No.")
    assert "denied by Otto Test, deputy for Ada Test" in shell("ada")("requests", "show", row.reference).out


def test_an_access_request_that_changed_meanwhile_is_not_decided(cast: Cast, shell: Shells) -> None:
    row = cast.confirmed()
    ended = shell("ada")("requests", "approve", row.reference, "--yes", "--etag", '"of-yesterday"', "--json")
    assert (ended.status, json.loads(ended.err)["code"]) == (1, "precondition_failed")
    assert state(row) == "PENDING_CUSTOMER"


def test_a_person_who_may_not_decide_is_refused(cast: Cast, shell: Shells) -> None:
    row = cast.confirmed()
    ended = shell("mia").at_a_terminal("requests", "approve", row.reference, answers=[("[y/N]", "y")])
    assert (ended.status, "Your role does not allow this." in ended.out) == (1, True)
    assert state(row) == "PENDING_CUSTOMER"


# --- Windows -------------------------------------------------------------------------------------------------


def test_open_windows_are_listed_and_closed(cast: Cast, shell: Shells) -> None:
    grant = cast.opened()
    row, ada = grant.access_request, shell("ada")
    names, line = ada("windows").out.splitlines()
    assert names.split("\t") == ["REFERENCE", "STATE", "TENANT", "ENGINEER", "MAY", "OPENED", "CLOSES"]
    assert line.split("\t")[:4] == [row.reference, "● open", "Contoso", "Priya Test"]
    assert line.split("\t")[-1] == f"{grant.closes_at:%Y-%m-%d %H:%M} UTC"
    assert ada("revoke", row.reference, "--comment", "Enough.").out == f"{row.reference} ○ closed\n"
    assert ada("windows", "--json").out == "[]\n"
    [closed] = ada("windows", "--all", "--json").json
    assert (closed["id"], closed["close_reason"]) == (str(grant.pk), "revoked")
    again = ada("revoke", row.reference, "--json")
    assert (again.status, again.json["state"]) == (0, "CLOSED")
    assert events_of(row).count("grant.revoked") == 1


def test_accesses_are_shown(cast: Cast, shell: Shells) -> None:
    grant, ada = cast.opened(), shell("ada")
    reference = grant.access_request.reference
    facts = {"tenant_id": grant.tenant_id, "grant": grant, "resource": cast.resource(), "at": grant.opens_at}
    ContentAccess.objects.create(**facts, kind="opened", item_ref="1763 \x9b2J", item_id="1")
    ended = ada("windows", reference)
    assert ended.out.splitlines()[-1].split("\t")[1:] == ["opened", "finance@contoso.example", "1763 \\x9b2J"]
    assert "Downloaded items\t0" in ended.out
    ContentAccess.objects.create(**facts, kind="downloaded", item_ref="1764", item_id="2")
    ContentAccess.objects.create(**facts, kind="downloaded", item_ref="1764", item_id="2", part="3")
    ended = ada("windows", reference)
    assert "Downloaded items\t1\nDownloaded attachments\t1\n" in ended.out
    whole = ada("windows", reference, "--json").json
    kinds = sorted(each["kind"] for each in whole["accesses"])
    assert (whole["seen"]["opened"], kinds) == (1, ["downloaded", "downloaded", "opened"])
    waits = cast.confirmed()
    assert ada("windows", waits.reference).status == 1


def test_a_window_of_another_application_shows_only_its_reports(cast: Cast, shell: Shells) -> None:
    grant, ada = cast.in_quillo(), shell("ada")
    reference = grant.access_request.reference
    assert "Enforced by\tQuillo\n" in ada("requests", "show", reference).out
    ended = ada("windows", reference)
    assert "Enforced by\tQuillo\nReported accesses\t0\n" in ended.out
    assert "Opened items" not in ended.out


def test_an_engineer_gives_a_window_back(cast: Cast, shell: Shells) -> None:
    grant = cast.opened()
    ended = shell("priya")("release", grant.access_request.reference, "--json")
    assert (ended.status, ended.json["grant"]["close_reason"]) == (0, "released")
