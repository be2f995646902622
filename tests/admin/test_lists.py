"""Lists of the administration (search, filters, dates, pages), and the page of a row."""

from __future__ import annotations

import datetime as dt
import pickle
from base64 import b64decode, b64encode
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.html import strip_tags
from django_q.models import Failure, OrmQ, Success

from audit_app.admin import CappedPaginator
from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.errors import ChangeProposed
from requests_app.doors.admin import columns
from requests_app.models import AccessRequest, Decision, Grant, Membership, OutboxMessage, Person, Tenant, Ticket
from tests.admin.conftest import add_mail, add_task, address
from tests.cast import Cast
from tests.passkeys import enrolled

pytestmark = pytest.mark.django_db


def found(client: Client, model: Any, **query: Any) -> list[Any]:
    answer = client.get(address(model), query)
    assert answer.status_code == 200, answer
    return [row["pk"] for row in answer.context["table"]["rows"]]


def test_a_list_makes_no_address_for_each_row(cast: Cast, staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """To make an address takes as long as the rest of a row, and each row links to five other rows."""
    made: list[str] = []

    def noted(name: str, **rest: Any) -> str:
        made.append(name)
        return reverse(name, **rest)

    monkeypatch.setattr(columns, "reverse", noted)
    cast.submitted()
    found(staff, AccessRequest)
    of_one_row, made[:] = len(made), []
    for _ in range(3):
        cast.submitted()
    assert len(found(staff, AccessRequest)) == 4
    assert len(made) == of_one_row


# --- Search ----------------------------------------------------------------------------------------------------


def test_an_access_request_is_found_by_each_of_its_facts(cast: Cast, staff: Client) -> None:
    row, other = cast.submitted(), cast.submitted("fabrikam", by="erik")
    bare = row.reference.replace("-", "").lower()
    for typed in (
        row.reference,
        row.reference.lower(),
        bare,
        str(row.pk),
        "contoso",
        "priya@provider.example",
        "Priya",
    ):
        assert found(staff, AccessRequest, q=typed) == [row.pk], typed
    assert found(staff, AccessRequest, q="Fabrikam") == [other.pk]
    assert found(staff, AccessRequest, q="AR-2222-2222") == []
    assert found(staff, AccessRequest, q="nobody knows") == []


def test_other_rows_are_found_too(cast: Cast, staff: Client) -> None:
    grant = cast.opened()
    mail = add_mail(cast)
    assert found(staff, Person, q="ADA@contoso.example") == [cast.ada.pk]
    assert found(staff, Person, q=str(cast.ada.human_id)) == [cast.ada.pk]
    assert found(staff, Tenant, q="fabri") == [cast.fabrikam.pk]
    assert found(staff, Grant, q=grant.access_request.reference) == [grant.pk]
    assert len(found(staff, Decision, q=grant.access_request.reference)) == 2
    assert found(staff, Ticket, q=grant.access_request.ticket.reference) == [grant.access_request.ticket_id]
    assert len(found(staff, Membership, q="ada")) == 2
    assert mail.pk in found(staff, OutboxMessage, q=str(mail.about))
    assert len(found(staff, AuditEntry, q=grant.access_request.reference)) == 3


@pytest.mark.parametrize("typed", ["priya", "contoso", "AR-2345-6789", "somebody@x.example", "x"])
def test_a_search_of_a_large_table_reads_no_text_of_it(cast: Cast, staff: Client, typed: str) -> None:
    """A search with LIKE over a million rows takes seconds. In the small tables of tenants and people it is fast."""
    with CaptureQueriesContext(connection) as queries:
        found(staff, AccessRequest, q=typed)
    large = [query["sql"] for query in queries if 'FROM "requests_app_accessrequest"' in query["sql"]]
    assert large
    assert not [sql for sql in large if " LIKE " in sql or "UPPER(" in sql]


# --- Filters, dates, pages -------------------------------------------------------------------------------------


def test_filters_narrow(cast: Cast, staff: Client) -> None:
    open_one, pending, theirs = cast.opened(), cast.submitted(), cast.confirmed("fabrikam")
    assert found(staff, AccessRequest, state="OPEN") == [open_one.access_request_id]
    assert found(staff, AccessRequest, state="PENDING_PROVIDER") == [pending.pk]
    assert found(staff, AccessRequest, tenant=str(cast.fabrikam.pk)) == [theirs.pk]
    assert found(staff, Grant, window="open") == [open_one.pk]
    assert found(staff, Grant, window="closed") == []
    assert found(staff, Person, is_staff="yes") == [cast.stella.pk]


def test_a_filter_that_a_link_has_set_is_shown_with_its_rows_name(cast: Cast, staff: Client) -> None:
    row = cast.submitted()
    answer = staff.get(address(AccessRequest), {"requested_by": str(row.requested_by_id)})
    assert "Priya Test" in answer.content.decode()
    chosen = [option for spec in answer.context["filters"] for option in spec.options if option[2] and option[0]]
    assert [(str(key), str(words)) for key, words, _ in chosen] == [(str(cast.priya.pk), "Priya Test")]


def test_dates_are_offered_from_year_to_day(cast: Cast, staff: Client, travel: Any) -> None:
    travel.to(dt.datetime(2025, 12, 30, 9, 0, tzinfo=dt.UTC))
    old = cast.submitted()
    travel.to(dt.datetime(2026, 2, 3, 9, 0, tzinfo=dt.UTC))
    new = cast.submitted()
    staff.force_login(cast.stella)
    dates = staff.get(address(AccessRequest)).context["dates"]
    assert [words for words, _url in dates["offered"]] == ["2026", "2025"]
    answer = staff.get(address(AccessRequest) + dates["offered"][1][1])
    assert [row["pk"] for row in answer.context["table"]["rows"]] == [old.pk]
    assert [words for words, _url in answer.context["dates"]["offered"]] == ["December 2025"]
    month = {"submitted_at__year": 2026, "submitted_at__month": 2}
    answer = staff.get(address(AccessRequest), month)
    assert [words for words, _ in answer.context["dates"]["offered"]] == [f"{day} February 2026" for day in (1, 2, 3)]
    assert found(staff, AccessRequest, **month, submitted_at__day=3) == [new.pk]
    assert found(staff, AccessRequest, **month, submitted_at__day=1) == []


def test_the_first_day_of_the_calendar_is_refused_where_it_begins_before_the_calendar(
    cast: Cast, staff: Client
) -> None:
    Person.objects.filter(pk=cast.stella.pk).update(time_zone="Pacific/Auckland")
    query = {"tenant_id": str(cast.contoso.pk), "at__year": "1", "at__month": "1", "at__day": "1"}
    assert staff.get(address(AuditEntry), query).status_code == 400


def test_dates_of_entries_are_offered_within_one_log(cast: Cast, staff: Client, travel: Any) -> None:
    travel.to(dt.datetime(2099, 12, 30, 9, 0, tzinfo=dt.UTC))
    cast.submitted("fabrikam")
    travel.to(dt.datetime(2100, 2, 3, 9, 0, tzinfo=dt.UTC))
    cast.submitted()
    staff.force_login(cast.stella)
    assert staff.get(address(AuditEntry)).context["dates"] is None
    log = {"tenant_id": str(cast.fabrikam.pk)}
    offered = [words for words, _url in staff.get(address(AuditEntry), log).context["dates"]["offered"]]
    assert "2099" in offered
    assert "2100" not in offered
    rows = staff.get(address(AuditEntry), {**log, "at__year": "2099", "at__month": "12"}).context["table"]["rows"]
    assert {row["pk"] for row in rows} == set(
        AuditEntry.objects.filter(tenant_id=cast.fabrikam.pk, at__year=2099).values_list("pk", flat=True)
    )
    assert rows
    assert found(staff, AuditEntry, **log, at__year=2099) == found(
        staff, AuditEntry, **log, at__year=2099, at__month=12
    )
    day = {"at__year": 2099, "at__month": 12, "at__day": 30}
    assert found(staff, AuditEntry, **log, **day) == [row["pk"] for row in rows]
    assert found(staff, AuditEntry, **log, **day | {"at__day": 29}) == []
    assert found(staff, AuditEntry, **log, **day | {"at__day": 31}) == []
    # An impossible date, and an id in another form, are errors of the caller.
    wrong: list[dict[str, Any]] = [{**log, **day, "at__month": 2}, {**day, "tenant_id": f" {log['tenant_id']} "}]
    assert [staff.get(address(AuditEntry), query).status_code for query in wrong] == [302, 302]
    # No index orders the entries of all logs by date. So a date without a log is refused.
    assert staff.get(address(AuditEntry), {"at__year": 2099}).status_code == 400


def test_pages_are_turned_and_counted_no_further_than_the_cap(
    cast: Cast, staff: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CappedPaginator, "MOST", 100)
    for number in range(60):
        add_mail(cast, recipient=f"{number}@x.example")
    first = staff.get(address(OutboxMessage)).context
    assert first["pages"]["words"] == "1 to 50 of 60"
    second = staff.get(address(OutboxMessage) + first["pages"]["older_url"]).context
    assert second["pages"]["words"] == "51 to 60 of 60"
    assert second["pages"]["older_url"] == ""
    everything = {row["pk"] for page in (first, second) for row in page["table"]["rows"]}
    assert len(everything) == 60
    monkeypatch.setattr(CappedPaginator, "MOST", 55)
    assert staff.get(address(OutboxMessage)).context["pages"]["words"] == "1 to 50 of more than 55"
    assert staff.get(address(OutboxMessage), {"p": 3}).status_code == 302
    assert {first["pages"]["hint"], second["pages"]["hint"]} == {""}
    monkeypatch.setattr(CappedPaginator, "PAGES", 1)
    only = staff.get(address(OutboxMessage)).context["pages"]
    assert only["older_url"] == ""
    assert only["hint"].startswith("To see other rows")
    assert staff.get(address(OutboxMessage), {"p": 2}).status_code == 302


def test_no_list_counts_a_whole_table(world: Cast, staff: Client) -> None:
    with CaptureQueriesContext(connection) as queries:
        for model in (AccessRequest, Grant, AuditEntry, OutboxMessage, Ticket):
            staff.get(address(model))
    counts = [query["sql"] for query in queries if "COUNT(" in query["sql"]]
    assert counts
    assert [sql for sql in counts if "LIMIT 10001" not in sql] == []


# --- The page of a row -----------------------------------------------------------------------------------------


def test_an_entry_shows_its_record_its_hash_and_its_access_request(cast: Cast, staff: Client) -> None:
    row = cast.submitted()
    entry = AuditEntry.objects.get(correlation_id=row.pk)
    page = staff.get(address(AuditEntry, "change", entry.pk))
    facts = dict(line for _title, lines in page.context["facts"] for line in lines)
    assert "&quot;event&quot;: &quot;access_request.submitted&quot;" in facts["Canonical record"]
    assert bytes(entry.leaf_hash).hex()[:4] in facts["Leaf hash (SHA-256)"]
    assert facts["Hash matches the record"] == "yes"
    assert address(AccessRequest, "change", row.pk) in facts["Access request"]


def test_an_entry_that_is_not_what_was_hashed_says_so(cast: Cast, staff: Client) -> None:
    """The database's triggers refuse to change an entry, so the test inserts one with a wrong hash."""
    cast.submitted()
    whole = AuditEntry.objects.first()
    wrong = AuditEntry(**{f.attname: getattr(whole, f.attname) for f in AuditEntry._meta.concrete_fields})
    wrong.pk, wrong.seq, wrong.canonical = None, 999, b"\xff not even JSON"
    wrong.save(force_insert=True)
    page = staff.get(address(AuditEntry, "change", wrong.pk))
    facts = dict(line for _title, lines in page.context["facts"] for line in lines)
    assert facts["Hash matches the record"] == "no"
    assert "not even JSON" in facts["Canonical record"]


def test_an_access_request_shows_its_decisions_accesses_and_entries(world: Cast, staff: Client) -> None:
    row = AccessRequest.objects.filter(state="OPEN").first()
    panels = {
        str(p["title"]): p["table"]["rows"]
        for p in staff.get(address(AccessRequest, "change", row.pk)).context["panels"]
    }
    assert len(panels["Decisions"]) == 2
    assert len(panels["Entries in the tenant's log"]) == 3
    assert len(panels["What was looked at"]) == 1
    assert len(panels["Resources"]) == 1


def test_a_tenant_shows_what_its_own_people_chose_and_have_set_up(cast: Cast, staff: Client) -> None:
    pk, ines = cast.contoso.pk, cast.as_("ines")
    idp = operations.Connection(issuer="https://idp.example", client_id="x", client_secret="x", role_map={})
    operations.set_sign_on(pk, connection=idp, was=None, actor=ines)
    operations.claim_domain(pk, name="contoso.example", actor=ines)
    origin = "https://approvals.contoso.example"
    operations.set_approval_page(pk, origin=origin, keys_only=False, actor=ines)
    enrolled(cast, "ada")
    operations.set_yes_rule(pk, rule="signed", actor=ines)
    operations.set_two_person_control(pk, on=True, actor=ines)
    with pytest.raises(ChangeProposed):
        operations.set_yes_rule(pk, rule="any", actor=ines)
    page = staff.get(address(Tenant, "change", pk))
    facts = [[strip_tags(str(words)) for _term, words in lines] for _title, lines in page.context["facts"]]
    assert facts[1:] == [["yes", "4 hours", "signed with a passkey", "yes"], [origin, origin[8:], "no"]]
    panels = {str(panel["title"]): len(panel["table"]["rows"]) for panel in page.context["panels"]}
    assert [panels[title] for title in ("Single sign-on of tenants", "Domains", "Proposals")] == [1, 1, 1]


def test_text_of_strangers_hides_nothing_and_runs_nothing(cast: Cast, staff: Client) -> None:
    ticket = cast.ticket(title="<script>alert(1)</script> \u202egpj.exe", body="<b>bold</b>\u200b")
    for url in (address(Ticket), address(Ticket, "change", ticket.pk)):
        page = staff.get(url).content.decode()
        assert "<script>alert" not in page
        assert "&lt;script&gt;" in page
        assert "\u202e" not in page
        assert "U+202E" in page


def test_no_page_shows_a_password(world: Cast, staff: Client) -> None:
    page = staff.get(address(Person, "change", world.ada.pk)).content.decode()
    assert world.ada.password not in page
    assert world.ada.password.split("$")[-1] not in page


def test_a_mail_is_shown_as_it_was_sent_and_its_markup_in_a_sandbox(cast: Cast, staff: Client) -> None:
    mail = add_mail(cast)
    page = staff.get(address(OutboxMessage, "change", mail.pk)).content.decode()
    assert "Contoso: read this" in page
    assert "color:red" not in page
    html = staff.get(address(OutboxMessage, "html", mail.pk))
    assert html.content == b"<p style='color:red'>Who asks</p>"
    policy = html.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox; default-src 'none'")
    assert "allow-scripts" not in policy
    OutboxMessage.objects.update(rendered=None)
    assert staff.get(address(OutboxMessage, "html", mail.pk)).status_code == 404


# --- Pickles ---------------------------------------------------------------------------------------------------


WENT_OFF: list[str] = []


def explode() -> None:
    WENT_OFF.append("boom")


class Bomb:
    """An object that runs a function if somebody unpickles it."""

    def __reduce__(self) -> Any:
        return (explode, ())


def test_a_pickle_that_somebody_put_into_the_database_is_not_run(cast: Cast, staff: Client) -> None:
    bomb = b64encode(pickle.dumps(Bomb())).decode()
    pickle.loads(b64decode(bomb))
    assert WENT_OFF, "the bomb must work, or this test proves nothing"
    WENT_OFF.clear()
    failure, success = add_task(1, success=False), add_task(2, success=True)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_q_task SET args = %s, kwargs = %s, result = %s", [bomb, bomb, bomb])
    queued = OrmQ.objects.create(key="lockbox", payload=bomb, lock=clock.now())
    for model, pk in ((Failure, failure.pk), (Success, success.pk), (OrmQ, queued.pk)):
        assert staff.get(address(model)).status_code == 200
        page = staff.get(address(model, "change", pk))
        assert page.status_code == 200
    assert staff.get("/admin/").status_code == 200
    assert "not signed by this installation" in page.content.decode()
    assert WENT_OFF == []


def test_the_text_of_a_failure_is_shown(cast: Cast, staff: Client) -> None:
    task = add_task(1, success=False)
    assert "the database was away" in staff.get(address(Failure, "change", task.pk)).content.decode()
