"""Many resources in one call: each row has its result, and one fault stops all of them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain.errors import StoreUnavailable
from requests_app.domain.scopes import Scope
from requests_app.models import HeldRow, Import, OutboxMessage, Person, Proposal, Resource
from tests.caller import Caller, access_token, caller_for, client_of, token_of
from tests.cast import Cast, events_in

pytestmark = pytest.mark.django_db
PATH = "resources/bulk"


@pytest.fixture
def importer(cast: Cast) -> Caller:
    """Return a client of the provider that can provision, and read what it set up."""
    client, secret = client_of(cast, None, Scope.PROVISION, Scope.TENANT_READ)
    return Caller(access_token(client, secret).json()["access_token"])


def row(number: int, tenant: str = "contoso", **values: Any) -> dict[str, Any]:
    """Return a new mailbox. Values without content are left out."""
    found = {
        "tenant": tenant, "service": "exchange-online", "external_id": f"M-{number}", "kind": "mailbox",
        "name": f"Mailbox {number}", "locator": f"{tenant}/mail/m-{number}", **values,
    }  # fmt: skip
    return {name: value for name, value in found.items() if value is not None}


def state() -> list[Any]:
    """Return everything that a call could change, and how much was written about it."""
    resources = Resource.objects.order_by("pk").values_list("pk", "name", "locator", "external_id", "is_active")
    written = AuditEntry.objects.exclude(event="act.refused").count()
    counts = (Import.objects.count(), HeldRow.objects.count(), Proposal.objects.count(), OutboxMessage.objects.count())
    return [list(resources), counts, written]


def statuses(answer: Any) -> list[tuple[int, str]]:
    assert answer.status_code == 200, answer.content
    return [(each["row"], each["status"]) for each in answer.json()["rows"]]


def test_each_row_has_its_result_and_the_same_call_changes_nothing(cast: Cast, importer: Caller) -> None:
    first = importer.post(PATH, {"rows": [row(1), row(2, "northwind")]})
    assert statuses(first) == [(0, "created"), (1, "created")]
    assert first.json()["finished_at"] is not None
    changed = [row(1, is_active=False), row(2, "northwind", name="Law"), row(3)]
    second = importer.post(PATH, {"rows": changed})
    assert statuses(second) == [(0, "changed"), (1, "changed"), (2, "created")]
    assert second.json()["counts"] == {
        "created": 1, "changed": 2, "unchanged": 0, "waiting_for_confirmation": 0, "refused": 0,
    }  # fmt: skip
    assert events_in(cast.contoso) == ["resource.added", "resource.changed", "resource.added"]
    before = state()
    again = importer.post(PATH, {"rows": changed})
    assert statuses(again) == [(0, "unchanged"), (1, "unchanged"), (2, "unchanged")]
    assert (again.json()["id"], state()) == (None, before)
    assert Resource.objects.get(external_id="M-2").name == "Law"


def test_one_fault_stops_all_rows_and_every_fault_is_named(cast: Cast, importer: Caller) -> None:
    before = state()
    rows = [
        row(1),
        row(2, locator="northwind/mail/x"),
        row(3, colour="red", external_id=None, is_active="yes"),
        row(4, name="", service="none", kind=7),
        row(5, tenant="nobody"),
        row(6, name="a\u202eb"),
        row(7, locator=None),
    ]
    answer = importer.post(PATH, {"rows": rows})
    assert (answer.status_code, answer.json()["code"]) == (422, "faulty_rows")
    errors = answer.json()["errors"]
    assert {(each["field"], each["code"]) for each in errors} == {
        ("rows.1.locator", "outside_root"),
        ("rows.2.colour", "unknown_column"),
        ("rows.2.external_id", "needed"),
        ("rows.2.is_active", "not_a_choice"),
        ("rows.3.name", "needed"),
        ("rows.3.service", "unknown_service"),
        ("rows.3.kind", "not_text_value"),
        ("rows.4.tenant", "unknown_tenant"),
        ("rows.5.name", "invisible_character"),
        ("rows.6.locator", "needed"),
    }
    assert len(errors) == 10
    assert all(each["detail"] for each in errors)
    assert state() == before


def test_rows_that_weaken_a_tenant_wait_in_one_proposal_and_are_proposed_once(cast: Cast, importer: Caller) -> None:
    importer.post(PATH, {"rows": [row(1), row(2)]})
    moved = [row(1, locator="contoso/mail/a"), row(2, locator="contoso/mail/b"), row(3)]
    answer = importer.post(PATH, {"rows": moved})
    assert statuses(answer) == [(0, "waiting_for_confirmation"), (1, "waiting_for_confirmation"), (2, "created")]
    [proposal] = Proposal.objects.all()
    assert (answer.json()["proposal"], proposal.said["import"]) == (str(proposal.pk), answer.json()["id"])
    assert proposal.proposed_through is not None
    assert HeldRow.objects.filter(of__proposal=proposal).count() == 2
    assert Resource.objects.get(external_id="M-1").locator == "contoso/mail/m-1", "it waits"
    before = state()
    assert statuses(importer.post(PATH, {"rows": moved}))[0] == (0, "waiting_for_confirmation")
    assert state() == before, "it is proposed once"


def test_a_client_whose_maker_left_the_staff_does_nothing(cast: Cast, importer: Caller) -> None:
    importer.post(PATH, {"rows": [row(1)]})
    Person.objects.filter(pk=cast.stella.pk).update(is_staff=False)
    for changed in (row(1, locator="contoso/mail/a"), row(2)):
        answer = importer.post(PATH, {"rows": [changed]})
        assert (answer.status_code, answer.json()["code"]) == (403, "not_allowed")
    assert (Import.objects.count(), Proposal.objects.count(), Resource.objects.filter(external_id="M-2").count()) == (
        1, 0, 0,
    )  # fmt: skip


def test_the_same_call_with_the_same_key_is_done_once(cast: Cast, importer: Caller) -> None:
    answers = [importer.post(PATH, {"rows": [row(1)]}, Idempotency_Key="k-1") for _ in range(2)]
    assert answers[0].json() == answers[1].json()
    assert answers[1]["Idempotency-Replayed"] == "true"
    assert Import.objects.count() == 1
    refused = importer.post(PATH, {"rows": [row(2)]}, Idempotency_Key="k-1")
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert not Resource.objects.filter(external_id="M-2").exists()


def test_if_the_database_fails_on_the_way_the_report_says_so_and_the_rest_is_written_later(
    cast: Cast, importer: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*args: Any, **more: Any) -> Any:
        raise StoreUnavailable

    with monkeypatch.context() as patched:
        patched.setattr("requests_app.doors.api.imports.operations.run_import", fails)
        answer = importer.post(PATH, {"rows": [row(1)]})
    assert (answer.status_code, answer.json()["finished_at"], answer.json()["rows"]) == (200, None, [])
    operations.run_import(answer.json()["id"], actor=cast.system("import"))
    shown = importer.get(f"imports/{answer.json()['id']}")
    assert statuses(shown) == [(0, "created")]
    assert shown.json()["finished_at"] is not None


@pytest.mark.parametrize("rows", [[], [row(1)] * 1001, "x", [7], [["a"]], {"0": row(1)}])
def test_a_body_that_is_no_list_of_rows_is_refused_as_a_whole(cast: Cast, importer: Caller, rows: Any) -> None:
    before = state()
    assert importer.post(PATH, {"rows": rows}).status_code == 422
    assert state() == before


def test_a_thousand_rows_are_written_in_one_call(cast: Cast, importer: Caller) -> None:
    answer = importer.post(PATH, {"rows": [row(number) for number in range(1000)]})
    assert answer.json()["counts"]["created"] == 1000
    assert "r=1100" in answer["RateLimit"], "ten rows count as one call"


@pytest.mark.parametrize("who", ["contoso", "ines", "ada", "priya", "pat"])
def test_nobody_but_staff_can_import_or_read_an_import(
    cast: Cast, importer: Caller, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    made = importer.post(PATH, {"rows": [row(1)]}).json()["id"]
    caller = caller_for(cast, who)
    before = state()
    with monkeypatch.context() as patched:
        patched.setattr("requests_app.operations.imports.judge", lambda *_: pytest.fail("their rows are judged"))
        answer = caller.post(PATH, {"rows": [row(1, is_active=False), row(2, tenant="nobody")]})
    assert (answer.status_code, "errors" in answer.json()) == (403, False), "it says nothing about the rows"
    others, nothing = caller.get(f"imports/{made}"), caller.get(f"imports/{uuid4()}")
    assert others.status_code == nothing.status_code
    assert others.status_code in (403, 404)
    assert state() == before


def test_a_person_of_the_staff_needs_the_scope_and_a_fresh_proof(cast: Cast) -> None:
    wrong, stale, fresh = (
        Caller(token_of(cast, "stella", Scope.TENANT_READ)),
        Caller(token_of(cast, "stella", Scope.PROVISION, fresh=False)),
        Caller(token_of(cast, "stella", Scope.PROVISION)),
    )
    before = state()
    for caller, code in ((wrong, "insufficient_scope"), (stale, "step_up_required")):
        answer = caller.post(PATH, {"rows": [row(1)]})
        assert (answer.status_code, answer.json()["code"]) == (403, code)
    assert state() == before
    assert statuses(fresh.post(PATH, {"rows": [row(1)]})) == [(0, "created")]
