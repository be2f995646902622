"""The administration's pages for imports: upload, check, start, progress, report, and the changes that wait."""

from __future__ import annotations

import csv
import io
import re
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations, tasks
from requests_app.doors.admin.imports import packed
from requests_app.management._logs import actor as operator
from requests_app.models import HeldRow, Import, OutboxMessage, Proposal, Resource, Service
from tests.cast import Cast
from tests.imports.files import MAIL, NORTH, csv_of, imported
from tests.web.pages import signed_in

pytestmark = pytest.mark.django_db

ADD = reverse("admin:requests_app_import_add")
HELD = "contoso,,,,sharepoint-online,m-{0},library,Plans {0},contoso/plans/x-{0},"


def upload(data: bytes) -> dict[str, Any]:
    return {"file": SimpleUploadedFile("resources.csv", data, content_type="text/csv")}


def hidden(page: str) -> dict[str, str]:
    return dict(re.findall(r'type="hidden" name="(content|file_name)" value="([^"]*)"', page))


def rows_of(response: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(response.content.decode())))


def uncovered(cast: Cast) -> None:
    cast.sharepoint.is_covered = False
    cast.sharepoint.save()


def test_a_file_is_checked_then_started_and_its_report_downloaded(cast: Cast) -> None:
    stella = signed_in(cast, "stella")
    assert stella.get(ADD).status_code == 200
    checked = stella.post(ADD, upload(csv_of(MAIL, NORTH)))
    assert checked.status_code == 200
    # Until here, nothing is changed.
    assert (Import.objects.count(), AuditEntry.objects.count(), Resource.objects.filter(external_id="m-1").count()) == (
        0, 0, 0,
    )  # fmt: skip
    page = checked.content.decode()
    assert "legal@northwind.example" in page
    started = stella.post(ADD, hidden(page))
    row = Import.objects.get()
    assert started["Location"] == reverse("admin:requests_app_import_change", args=[row.pk])
    running = stella.get(started["Location"]).content.decode()
    # The page updates itself, and says nothing about what it does not know yet.
    for words in ("0 of 2", 'hx-trigger="every 2s"', "Not known until the import is finished."):
        assert words in running
    operations.run_import(row.pk, actor=cast.system("import"))
    finished = stella.get(started["Location"]).content.decode()
    assert ("2 of 2" in finished, "Empty lists:" in finished, "hx-trigger" in finished) == (True, True, False)
    report = stella.get(reverse("admin:requests_app_import_report", args=[row.pk]))
    assert [(line["line"], line["name"], line["status"]) for line in rows_of(report)] == [
        ("2", "legal@contoso.example", "created"), ("3", "legal@northwind.example", "created"),
    ]  # fmt: skip
    assert AuditEntry.objects.get(event="resource.added", tenant_id=cast.contoso.pk).door == "admin"


def test_a_check_shows_first_what_weakens_a_customer_and_says_that_nothing_has_happened(cast: Cast) -> None:
    cast.colleague()
    uncovered(cast)
    imported(cast, MAIL)
    before = AuditEntry.objects.count(), OutboxMessage.objects.count()
    new = [f"northwind,,,,exchange-online,n-{n},mailbox,n{n}@northwind.example,northwind/mail/n{n}," for n in range(60)]
    held = ["contoso,,,,exchange-online,m-1,,counsel@contoso.example,,", "contoso,,Basic,,,,,,,"]
    stella = signed_in(cast, "stella")
    page = stella.post(ADD, upload(csv_of(*new, *held))).content.decode()
    rows = re.findall(r'data-label="Result">([^<]*)(.*?)</td>', page, re.DOTALL)
    assert [result for result, _changes in rows] == ["will wait for a second person"] * 2 + ["will be created"] * 48
    assert "Move" in rows[0][1]
    assert "legal@contoso.example” to “counsel@contoso.example" in rows[1][1]
    assert "The start sends a mail to Contoso</strong>" in page
    assert page.index("Start the import") < page.index("What the import would do")
    report = stella.post(ADD, {**hidden(page), "report": "yes"})
    assert report["Content-Disposition"] == 'attachment; filename="check-of-resources.csv"'
    assert {line["status"] for line in rows_of(report)} == {"would_be_created", "would_wait_for_confirmation"}
    assert (AuditEntry.objects.count(), OutboxMessage.objects.count()) == before


def test_the_name_of_a_file_can_not_change_the_answer_to_a_download(cast: Cast) -> None:
    name = 'x"\r\nSet-Cookie: a=b'
    form = {"content": packed(csv_of(MAIL)), "file_name": name, "report": "yes"}
    report = signed_in(cast, "stella").post(ADD, form)
    assert report["Content-Disposition"] == 'attachment; filename="check-of-x___Set-Cookie__a_b.csv"'


def test_the_faults_of_a_file_are_listed_and_it_can_not_be_started(cast: Cast) -> None:
    stella = signed_in(cast, "stella")
    data = csv_of(MAIL, NORTH.replace("legal@northwind.example", "=HYPERLINK(1)"))
    checked = stella.post(ADD, upload(data))
    page = checked.content.decode()
    assert checked.status_code == 422
    assert "would run it as a formula" in page
    assert "Start the import" not in page
    # No spreadsheet runs the report either.
    [_first, wrong] = rows_of(stella.post(ADD, {**hidden(page), "report": "yes"}))
    assert (wrong["line"], wrong["column"], wrong["code"]) == ("3", "name", "formula")
    assert not any(cell.startswith("=") for cell in wrong.values())
    # A person who still sends it gets the refusal of the operation.
    refused = stella.post(ADD, {"content": packed(data), "file_name": "resources.csv"})
    assert (refused.status_code, Import.objects.count(), AuditEntry.objects.count()) == (422, 0, 0)


def test_a_fault_repeats_the_value_and_says_what_is_possible_or_why(cast: Cast) -> None:
    Service.objects.create(key="quillo", name="Quillo", connector="external", application="Quillo")
    theirs = Resource.objects.filter(tenant=cast.fabrikam, service=cast.exchange).first()
    assert theirs is not None
    Resource.objects.filter(pk=theirs.pk).update(external_id="f-1")
    stella = signed_in(cast, "stella")
    lines = (
        "contoso,,,,exchange-online,f-1,mailbox,e,contoso/mail/e,yes",
        "contoso,,,,teams,x-1,mailbox,a,contoso/mail/a,yes",
        "contoso,,,,quillo,,workspace,b,,yes",
        "later,Later,E9,UTC,,,,,,",
        "nobody,,,,exchange-online,x-4,mailbox,d,nobody/mail/d,yes",
    )
    page = stella.post(ADD, upload(csv_of(*lines))).content.decode()
    for words in (
        "There is no service with the key “teams”. Existing keys: exchange-online, quillo, sharepoint-online.",
        "This must not be empty, because Quillo is an external service.",
        "There is no plan “E9”. Existing plans: ",
        "There is no tenant “nobody”.",
        "A resource of the tenant fabrikam has the external id “f-1”.",
    ):
        assert words in page
    assert not Import.objects.exists()


def test_the_example_file_has_no_fault(cast: Cast) -> None:
    stella = signed_in(cast, "stella")
    example = reverse("admin:requests_app_import_example")
    assert f'href="{example}"' in stella.get(ADD).content.decode()
    data = stella.get(example).content
    checked = stella.post(ADD, upload(data))
    assert (checked.status_code, checked.context["counts"][0][1]) == (200, 3)
    assert not Import.objects.exists()
    assert signed_in(cast, "ada").get(example).status_code == signed_in(cast, "ada").get(ADD).status_code != 200


def test_a_file_that_is_too_large_for_the_page_names_the_command(cast: Cast) -> None:
    stella = signed_in(cast, "stella")
    answer = stella.post(ADD, upload(b"x" * 1_100_000))
    assert answer.status_code == 413
    assert "import the whole file on the server with the command" in answer.content.decode()
    other = stella.post("/preferences/", {"time_zone": "x" * 1_100_000})
    assert "import the whole file" not in other.content.decode()


def test_no_spreadsheet_runs_a_name_in_the_report(cast: Cast) -> None:
    """A form accepts a name that a file can't have."""
    imported(cast, NORTH)
    Resource.objects.filter(external_id="n-1").update(name="=1+1")
    row = imported(cast, "northwind,,,,exchange-online,n-1,,,,no")
    assert row is not None
    report = signed_in(cast, "stella").get(reverse("admin:requests_app_import_report", args=[row.pk]))
    assert [line["name"] for line in rows_of(report)] == ["'=1+1"]


@pytest.mark.parametrize("content", ["", "no base64!", "bm8gemxpYg=="])
def test_a_hidden_field_that_somebody_changed_is_refused(cast: Cast, content: str) -> None:
    response = signed_in(cast, "stella").post(ADD, {"content": content, "file_name": "x"})
    assert (response.status_code, Import.objects.count()) == (422, 0)


@pytest.mark.parametrize("n", [11, 1_000])
def test_a_small_text_that_becomes_a_larger_file_than_an_upload_is_refused(cast: Cast, n: int) -> None:
    content = packed(csv_of(MAIL, *[" " * 100_000] * n))
    assert len(content) < 200_000
    response = signed_in(cast, "stella").post(ADD, {"content": content, "file_name": "x"})
    assert (response.status_code, Import.objects.count()) == (422, 0)
    smaller = packed(csv_of(MAIL, *[" " * 100_000] * 9))
    signed_in(cast, "stella").post(ADD, {"content": smaller, "file_name": "x"})
    assert Import.objects.count() == 1, "the file itself is sound"


def test_without_a_fresh_proof_the_person_is_asked_and_the_file_is_not_lost(cast: Cast) -> None:
    stella = signed_in(cast, "stella", fresh=False)
    form = hidden(stella.post(ADD, upload(csv_of(MAIL))).content.decode())
    asked = stella.post(ADD, form)
    assert (asked.status_code, Import.objects.count()) == (403, 0)
    assert form["content"] in asked.content.decode()


def test_a_file_that_changes_nothing_is_not_started(cast: Cast) -> None:
    imported(cast, MAIL)
    before = AuditEntry.objects.count()
    stella = signed_in(cast, "stella")
    page = stella.post(ADD, upload(csv_of(MAIL))).content.decode()
    assert "Start the import" not in page
    answer = stella.post(ADD, hidden(page))
    assert (answer.status_code, "nothing to change" in answer.content.decode()) == (200, True)
    assert (Import.objects.count(), AuditEntry.objects.count()) == (1, before)


@pytest.mark.parametrize("name", ["ines", "erik", "pat"])
def test_nobody_but_staff_sees_imports(cast: Cast, name: str) -> None:
    uncovered(cast)
    row = imported(cast, HELD.format(1))
    assert row is not None
    person = signed_in(cast, name)
    addresses = [
        ADD,
        reverse("admin:requests_app_import_changelist"),
        reverse("admin:requests_app_import_change", args=[row.pk]),
        reverse("admin:requests_app_import_report", args=[row.pk]),
        reverse("admin:requests_app_heldrow_changelist"),
        reverse("admin:requests_app_heldrow_change", args=[HeldRow.objects.get().pk]),
        reverse("admin:requests_app_import_act", args=[row.pk, "propose"]),
    ]
    assert {person.get(address).status_code for address in addresses} == {404}
    assert person.post(ADD, upload(csv_of(MAIL))).status_code == 404


def test_the_second_person_sees_every_row_that_waits_and_can_filter_them(cast: Cast) -> None:
    cast.colleague()
    uncovered(cast)
    fabrikam = "fabrikam,,,,sharepoint-online,f-1,library,Wells,fabrikam/wells,"
    row = imported(cast, *(HELD.format(number) for number in range(60)), fabrikam)
    assert row is not None
    sten = signed_in(cast, "sten")
    proposal = Proposal.objects.get()
    page = sten.get(reverse("admin:requests_app_proposal_change", args=[proposal.pk])).content.decode()
    assert row.sha256 in page
    assert "&quot;waiting_for_confirmation&quot;: 61" in page
    all_rows = reverse("admin:requests_app_heldrow_changelist", query={"of": row.pk})
    assert all_rows.replace("&", "&amp;") in page
    first, second = sten.get(all_rows).content.decode(), sten.get(f"{all_rows}&p=2").content.decode()
    assert "Plans 0" in first
    assert "Wells" in second
    one = HeldRow.objects.get(tenant=cast.fabrikam)
    whole = sten.get(reverse("admin:requests_app_heldrow_change", args=[one.pk])).content.decode()
    assert "fabrikam/wells" in whole
    of_fabrikam = sten.get(f"{all_rows}&tenant={cast.fabrikam.pk}").content.decode()
    assert ("Wells" in of_fabrikam, "Plans 1" in of_fabrikam) == (True, False)


def test_the_page_with_the_button_shows_all_that_the_second_person_confirms(cast: Cast) -> None:
    """The counts, the customers, the time and each change are there, and the most dangerous change is first."""
    cast.colleague()
    uncovered(cast)
    moved = "contoso,,Basic,,,,,,,"
    row = imported(cast, *(HELD.format(number) for number in range(60)), moved)
    assert row is not None
    proposal = Proposal.objects.get()
    sten = signed_in(cast, "sten")
    address = reverse("admin:requests_app_proposal_act", args=[proposal.pk, "confirm"])
    first, second = sten.get(address).content.decode(), sten.get(f"{address}?p=2").content.decode()
    for words in (
        "Import resources.csv: 61 changes", "a plan without Lockbox: 1", "a new resource: 60",
        "waiting for confirmation: 61", "Contoso", "3 days after you confirm the change", row.sha256, "1 to 50 of 61",
    ):  # fmt: skip
        assert words in first, words
    changes = re.findall(r'data-label="Change">(.*?)</td>', first + second, re.DOTALL)
    assert len(changes) == 61
    assert "which does not include Lockbox" in changes[0]
    assert all(any(f"Plans {number}”" in words for words in changes) for number in range(60))
    assert sten.get(f"{address}?p=nothing").status_code == 200
    # The page only shows. The operation refuses the person who proposed the change.
    assert signed_in(cast, "stella").post(address).status_code == 403
    assert sten.post(address).status_code == 302


def test_the_page_of_a_proposal_shows_its_rows_before_what_programs_read(cast: Cast) -> None:
    cast.colleague()
    uncovered(cast)
    imported(cast, HELD.format(1))
    address = reverse("admin:requests_app_proposal_change", args=[Proposal.objects.get().pk])
    page = signed_in(cast, "sten").get(address).content.decode()
    assert page.index("Plans 1") < page.index("<summary>For programs</summary>") < page.index("import_rows")


def test_two_members_of_the_staff_agree_on_what_the_operator_imported(cast: Cast, travel: Any) -> None:
    """Nobody knows which human ran the command, so one of the staff proposes the changes and another one confirms."""
    cast.colleague()
    uncovered(cast)
    row = imported(cast, HELD.format(1), actor=operator("import"))
    assert row is not None
    stella, sten = signed_in(cast, "stella"), signed_in(cast, "sten")
    address = reverse("admin:requests_app_import_act", args=[row.pk, "propose"])
    assert stella.post(address).status_code == 302
    proposal = Proposal.objects.get()
    assert proposal.proposed_by == cast.stella
    # The same human can't be the second person, and nobody proposes it twice.
    confirm = reverse("admin:requests_app_proposal_act", args=[proposal.pk, "confirm"])
    assert stella.post(confirm).status_code == 403
    assert sten.post(address).status_code == 409
    # Not before the customers have heard of it.
    assert sten.post(confirm).status_code == 409
    tasks.run_imports()
    assert sten.post(confirm).status_code == 302
    proposal.refresh_from_db()
    travel.to(proposal.effective_at)
    operations.apply_due(actor=cast.system("sweep"), limit=10)
    assert Resource.objects.filter(locator="contoso/plans/x-1").exists()


def test_the_customer_reads_which_of_its_resources_are_concerned_and_nothing_of_others(cast: Cast) -> None:
    cast.colleague()
    uncovered(cast)
    fabrikam = "fabrikam,,,,sharepoint-online,f-1,library,Wells,fabrikam/wells,"
    imported(cast, HELD.format(7), fabrikam)
    page = signed_in(cast, "ines").get(reverse("web:tenant", args=[cast.contoso.pk])).content.decode()
    assert ("Plans 7" in page, "Wells" in page, "resources.csv" in page) == (True, False, False)
    message = OutboxMessage.objects.get(topic="notify.staff_change", tenant=cast.contoso)
    mail = str(facts_of(message))
    assert ("Plans 7" in mail, "Wells" in mail) == (True, False)


def facts_of(message: OutboxMessage) -> Any:
    from requests_app.domain import clock
    from requests_app.messages.mails._tenants import staff_change

    return staff_change(message, clock.now())


def test_the_lists_need_the_same_number_of_queries_for_2_rows_and_for_20(
    cast: Cast, django_assert_max_num_queries: Any
) -> None:
    uncovered(cast)
    stella, counts = signed_in(cast, "stella"), []
    for numbers in (range(2), range(2, 20)):
        imported(cast, *(HELD.format(number) for number in numbers))
        for name in ("import", "heldrow"):
            with django_assert_max_num_queries(40) as seen:
                assert stella.get(reverse(f"admin:requests_app_{name}_changelist")).status_code == 200
            counts.append(len(seen))
    assert counts[:2] == counts[2:]
