"""Tests `lockbox tickets` with a real server. The program runs as users install it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from requests_app import operations
from requests_app.models import Ticket
from tests.cast import Cast
from tests.clients.terminal import Shell

pytestmark = pytest.mark.django_db(transaction=True)

Shells = Callable[..., Shell]
WORDS = ["--service", "exchange-online", "--title", "Invoices are missing"]


def test_a_customer_opens_a_ticket_in_the_only_tenant_there_is(cast: Cast, shell: Shells) -> None:
    named = ["--external-reference", "INC-4711", "--external-url", "https://helpdesk.example.com/cases/4711"]
    ended = shell("mia")("tickets", "open", *WORDS, "--body", "-", *named, typed="Since Monday.\nNone of November.\n")
    row = Ticket.objects.get()
    assert (ended.status, ended.out) == (0, f"{row.reference} ◐ new\n")
    assert (row.tenant_id, row.body) == (cast.contoso.pk, "Since Monday.\nNone of November.")
    assert row.external_reference == "INC-4711"


def test_a_person_without_a_tenant_must_name_one(cast: Cast, shell: Shells) -> None:
    ended = shell("priya")("tickets", "open", *WORDS, "--body", "It is the index.")
    assert (ended.status, "--tenant" in ended.err, Ticket.objects.exists()) == (2, True, False)


def test_a_list_leaves_out_what_is_over(cast: Cast, shell: Shells) -> None:
    row, over, other = cast.ticket(), cast.ticket(title="Solved"), cast.ticket("fabrikam", "fred")
    operations.close_ticket(over.pk, actor=cast.as_("mia"))
    mia = shell("mia")
    names, line = mia("tickets", "list").out.splitlines()
    assert names.split("\t") == ["REFERENCE", "STATE", "TENANT", "ASSIGNEE", "ELSEWHERE", "TITLE", "CHANGED"]
    changed = f"{row.changed_at:%Y-%m-%d %H:%M} UTC"
    assert line.split("\t") == [row.reference, "◐ new", "Contoso", "–", "–", "Invoices are missing", changed]
    found = mia("tickets", "list", "--all", "--json")
    assert {each["reference"] for each in found.json} == {row.reference, over.reference}
    assert other.reference not in found.out


def test_a_ticket_is_shown_with_its_comments(cast: Cast, shell: Shells) -> None:
    row, mia = cast.ticket(), shell("mia")
    assert mia("tickets", "comment", row.reference, "Only those of \u202eNovember.").out == "Saved.\n"
    ended = mia("tickets", "show", row.reference)
    assert ended.out.splitlines()[-1].split("\t")[1] == "Only those of \\u202eNovember."
    whole = mia("tickets", "show", str(row.pk), "--json").json
    assert (whole["body"], [each["author"]["name"] for each in whole["comments"]]) == (row.body, ["Mia Test"])


def test_a_ticket_is_linked_asked_about_answered_and_closed(cast: Cast, shell: Shells) -> None:
    row, mia, priya = cast.ticket(), shell("mia"), shell("priya")
    operations.assign_ticket(row.pk, actor=cast.as_("priya"))
    assert priya("tickets", "link", row.reference, "--external-reference", "INC-1").status == 0
    [listed] = priya("tickets", "list", "--elsewhere", "INC-1", "--json").json
    assert listed["reference"] == row.reference
    question = priya("tickets", "ask", row.reference, "--comment", "Since when?")
    assert question.out == f"{row.reference} ◐ waiting for the customer\n"
    assert mia("tickets", "answer", row.reference, "--comment", "Monday.").out == f"{row.reference} ● assigned\n"
    assert mia("tickets", "close", row.reference, "--json").json["state"] == "CLOSED"


def test_somebody_elses_ticket_is_not_there(cast: Cast, shell: Shells) -> None:
    other = cast.ticket("fabrikam", "fred")
    for words in (["show", other.reference], ["comment", str(other.pk), "Hello"], ["close", other.reference]):
        ended = shell("mia")("tickets", *words, "--json")
        assert (ended.status, ended.out, json.loads(ended.err)["code"]) == (1, "", "not_found")
    assert Ticket.objects.get(pk=other.pk).state == "NEW"
    assert not other.comments.exists()
