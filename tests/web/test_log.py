"""The log on pages: who can read it, filters, sentences, paging, checks and exports."""

from __future__ import annotations

import ast
import csv
import html
import io
import json
import re
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils.translation import trans_real

from audit_app import canonical, recorder, search_index
from audit_app import queries as audit
from audit_app import search as searching
from audit_app.models import AuditEntry, ChainHead
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Actor
from requests_app.domain.acts import EVENTS
from requests_app.doors.web import _log_words
from requests_app.doors.web.forms import selects
from requests_app.models import Person, Tenant
from requests_app.queries import log as queries
from tests.cast import Cast, events_in
from tests.imports.files import MAIL, imported
from tests.offenders import collected
from tests.sources import ROOT, nodes_of
from tests.web.pages import look, nothing_happens, only_a_refusal, queries_of, same_queries, signed_in

pytestmark = pytest.mark.django_db

READERS = ["ada", "alan", "otto", "ines", "stella"]
STRANGERS = ["frida", "finn", "nadia", "priya", "pat", "bea"]


def url(tenant: Tenant, name: str = "log", *more: str) -> str:
    return reverse(f"web:{name}", args=[tenant.pk, *more])


def text(response: Any) -> str:
    """Return the visible text of a page as one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", response.content.decode())).split())


def numbers(response: Any) -> list[int]:
    """Return the numbers of the entries on a page, in the page's order."""
    return [int(seq) for seq in re.findall(r'<tr id="entry-(\d+)"', response.content.decode())]


def sentences(response: Any) -> list[str]:
    found = re.findall(r'<span class="entry-sentence">(.*?)</span></summary>', response.content.decode(), re.DOTALL)
    return [" ".join(html.unescape(re.sub(r"<[^>]+>", "", one)).split()) for one in found]


def filled(cast: Cast, count: int, **fields: Any) -> None:
    """Write `count` entries. Their content has no meaning; the tests only need the number."""
    entered(cast, [fields] * count)


def entered(cast: Cast, entries: list[dict[str, Any]]) -> None:
    """Write these entries into Contoso's log with one call. An entry without more says that Mia commented a ticket."""
    values: dict[str, Any] = {
        "event": "ticket.commented",
        "door": "pages",
        "actor": {
            "kind": "person",
            "id": str(cast.mia.pk),
            "name": "Mia Test",
            "side": "customer",
            "email": "m@c.example",
        },
        "subject_type": "ticket",
        "subject_id": "1",
    }
    with transaction.atomic():
        made = [recorder.Witnessed(tenant_id=cast.contoso.pk, **{**values, **fields}) for fields in entries]
        recorder.record(made, at=clock.now())


# --- Who can read the log ------------------------------------------------------------------------------------


def test_those_who_read_logs_read_it(cast: Cast) -> None:
    cast.opened()
    with collected() as case:
        for name in READERS:
            with case(name):
                response = signed_in(cast, name).get(url(cast.contoso))
                assert response.status_code == 200
                assert numbers(response) == [4, 3, 2, 1, 0]


def test_for_strangers_and_the_providers_people_there_is_no_log(cast: Cast) -> None:
    places = [("log",), ("log_verify",), ("log_export", "csv"), ("log_export", "jsonl")]
    cast.opened()
    with collected() as case:
        for name in STRANGERS:
            client = signed_in(cast, name)
            for where in places:
                with case(name, where), nothing_happens():
                    method = client.get if where == ("log",) else client.post
                    assert method(url(cast.contoso, *where)).status_code == 404


def test_a_member_reads_no_log(cast: Cast) -> None:
    cast.opened()
    client = signed_in(cast, "mia")
    with nothing_happens():
        assert client.get(url(cast.contoso)).status_code == 403
        assert client.post(url(cast.contoso, "log_verify")).status_code == 403
    with only_a_refusal():
        assert client.post(url(cast.contoso, "log_export", "csv")).status_code == 403


def test_looking_changes_nothing(cast: Cast) -> None:
    cast.opened()
    client = signed_in(cast, "otto")
    with nothing_happens():
        assert client.get(url(cast.contoso)).status_code == 200
        assert client.head(url(cast.contoso)).status_code == 200
        assert client.get(url(cast.contoso) + "?entry=1").status_code == 200
        assert client.post(url(cast.contoso)).status_code == 405
        for where, status in ((("log_verify",), 302), (("log_export", "csv"), 405)):
            assert client.get(url(cast.contoso, *where)).status_code == status
            assert client.head(url(cast.contoso, *where)).status_code == status


def test_a_log_without_entries_says_how_they_come(cast: Cast) -> None:
    response = signed_in(cast, "otto").get(url(cast.contoso))
    assert "The log is empty" in text(response)
    assert "Verify now" not in text(response)


# --- In plain words ------------------------------------------------------------------------------------------


def test_each_act_is_a_sentence(cast: Cast) -> None:
    grant = cast.opened()
    request = grant.access_request
    look(cast, grant, "<1@contoso.example>")
    operations.revoke(request.pk, actor=cast.as_("ada"), note="Enough.")
    operations.close_ticket(request.ticket_id, actor=cast.as_("mia"))
    response = signed_in(cast, "otto").get(url(cast.contoso))
    assert request.ticket is not None
    ticket, ref = request.ticket.reference, request.reference
    until = grant.closes_at.strftime("%a %-d %b, %H:%M UTC")
    assert sentences(response) == [
        f"Mia Test, Contoso closed the ticket {ticket}",
        f"Ada Test, Contoso closed the window of {ref} early",
        "Priya Test, Microsoft opened <1@contoso.example> in finance@contoso.example",
        f"Ada Test, Contoso approved {ref} for Contoso; the window is open until {until}. Not signed with a passkey",
        f"Pat Test, Microsoft approved {ref} for Microsoft; Contoso is asked next. Not signed with a passkey",
        "Priya Test, Microsoft asked to read messages in 1 mailbox (finance@contoso.example) for 2 hours",
        f"Priya Test, Microsoft took the ticket {ticket}",
        f"Mia Test, Contoso opened the ticket {ticket}: Invoices are missing",
    ]
    assert '<blockquote class="quote"><span class="visible" dir="auto">Enough.</span></blockquote>' in (
        response.content.decode()
    )
    assert f'<a class="mono" href="{reverse("web:access_request", args=[request.pk])}">{ref}</a>' in (
        response.content.decode()
    )


def test_a_consequence_names_its_act(cast: Cast) -> None:
    row = cast.confirmed()
    operations.close_ticket(row.ticket_id, actor=cast.as_("mia"))
    assert f"{row.reference} was withdrawn, because Mia Test closed the ticket" in sentences(
        signed_in(cast, "otto").get(url(cast.contoso))
    )


def test_the_acts_of_an_administrator_are_sentences_too(cast: Cast) -> None:
    ines = cast.as_("ines")
    operations.set_window_cap(cast.contoso.pk, seconds=3600, actor=ines)
    operations.switch_lockbox(cast.contoso.pk, on=False, actor=ines)
    operations.give_role(cast.contoso.pk, cast.mia.pk, role="auditor", actor=ines)
    with pytest.raises(Exception, match="last administrator"):
        operations.take_role(cast.contoso.pk, cast.ines.pk, role="administrator", actor=ines)
    assert sentences(signed_in(cast, "otto").get(url(cast.contoso))) == [
        "Ines Test, Contoso tried to take a role away and was refused: “This is no longer possible: the state has "
        "changed.”",
        "Ines Test, Contoso gave Mia Test the role “Auditor”",
        "Ines Test, Contoso switched Lockbox off",
        "Ines Test, Contoso set the maximum length of windows to 1 hour; before, it was 4 hours",
    ]


def test_a_role_that_comes_with_an_invitation_names_who_chose_it(cast: Cast) -> None:
    row = cast.invited(role="approver")
    operations.accept_invitation(
        cast.link_of(row), name="Grace Test", password="a long new password 7", actor=Actor.stranger(door="pages")
    )
    given, accepted, *_sent = sentences(signed_in(cast, "otto").get(url(cast.contoso)))
    assert given == "Grace Test got the role “Approver” with the invitation by Ines Test"
    assert accepted.startswith("Grace Test, Contoso accepted the invitation that Ines Test had sent to")


def test_every_event_has_a_sentence_and_an_empty_detail_breaks_none(cast: Cast) -> None:
    otto = signed_in(cast, "otto")
    for at in range(0, len(EVENTS), queries.PAGE):
        events = list(EVENTS)[at : at + queries.PAGE]
        entered(cast, [{"event": event} for event in events])
        response = otto.get(url(cast.contoso))
        assert response.status_code == 200, events
        words = sentences(response)[: len(events)]
        assert len(words) == len(events)
        assert all(words), events


def test_a_detail_of_another_form_breaks_no_page(cast: Cast) -> None:
    cases: list[tuple[str, dict[str, Any]]] = [
        (
            "access_request.submitted",
            {"reason": "legal_demand", "authority": "A court", "level": "read", "resources": 7},
        ),
        ("access_request.approved_by_provider", {"state": "OPEN", "closes_at": "never"}),
        ("access_request.withdrawn", {"cause": "something-new", "by": 3}),
        ("grant.revoked", {"cause": "ticket-closed"}),
        ("content.opened", {"part": "2", "reference": "<1@x>"}),
        ("content.failed", {"item": ""}),
        ("content.listed", {"items": "none"}),
        ("ticket.opened", {"on_behalf_of": "Mia", "title": "T"}),
        ("tenant.changed", {"window_cap": True, "set": {"name": 1}}),
        ("tenant.changed", {"set": [1], "was": None}),
        ("role.given", {"role": "emperor", "name": ["x"]}),
        ("act.refused", {"action": "dance", "code": "no_music"}),
        ("log.evidence_taken", {"kind": 1}),
        ("log.key_rotated", {"old": "x", "new": ["y"]}),
        ("log.key_rotated", {"old": ["x", 1], "new": "a+b"}),
        ("log.tombstoned", {"signed_size": "many", "found_size": None}),
        ("log.pruned", {"to": [1], "days": "all"}),
        ("log.policy_changed", {"cosigned_within": "soon"}),
        ("log.policy_changed", {"log_retention_days": {}}),
        ("witness.added", {"name": 1, "url": ["x"]}),
        ("thing.of_a_later_version", {"window_cap": 1}),
    ]
    entered(cast, [{"event": event, "detail": detail} for event, detail in cases])
    response = signed_in(cast, "otto").get(url(cast.contoso))
    assert response.status_code == 200
    assert len(sentences(response)) == len(cases) <= queries.PAGE


def test_events_of_the_log_itself_have_sentences(cast: Cast) -> None:
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("log.evidence_taken", {"kind": "log"}, "Mia Test, Contoso downloaded the evidence for the log"),
        (
            "log.evidence_taken",
            {"kind": "period"},
            "Mia Test, Contoso downloaded the evidence for a period of the log",
        ),
        (
            "log.evidence_taken",
            {"kind": "access_request", "reference": "AR-2222-3333"},
            "Mia Test, Contoso downloaded the evidence for AR-2222-3333",
        ),
        (
            "log.key_rotated",
            {
                "old": ["lockbox.example/log/1+0a1b2c3d+AAAA", "lockbox.example/log/1+11111111+BB+B"],
                "new": "o+99999999+C",
            },
            "From this entry on, the log is signed with a new key: 99999999 replaces 0a1b2c3d, 11111111",
        ),
        (
            "log.tombstoned",
            {"signed_size": 12000, "found_size": 1, "cause": "shorter"},
            "Mia Test, Contoso closed the damaged log and started a new log."
            " The damaged log had 12,000 entries when it was last signed, and 1 entry when it was closed",
        ),
        (
            "log.pruned",
            {"from": 0, "to": 4100, "days": 365},
            "Mia Test, Contoso removed the entries before number 4,100, because they were older than 365 days",
        ),
        (
            "log.policy_changed",
            {"cosigned_within": 24},
            "Mia Test, Contoso set this rule: a window opens only if a witness cosigned the log "
            "within the last 24 hours",
        ),
        (
            "log.policy_changed",
            {"cosigned_within": None},
            "Mia Test, Contoso set this rule: a window opens even if no witness cosigned the log",
        ),
        (
            "log.policy_changed",
            {"log_retention_days": 1},
            "Mia Test, Contoso set this rule: entries of the log are stored for 1 day",
        ),
        (
            "log.policy_changed",
            {"log_retention_days": None},
            "Mia Test, Contoso set this rule: entries of the log are stored permanently",
        ),
        (
            "witness.added",
            {"name": "witness.contoso.example", "url": "https://w.example/"},
            "Mia Test, Contoso added the witness witness.contoso.example at https://w.example/",
        ),
        (
            "witness.removed",
            {"name": "witness.contoso.example", "url": "https://w.example/"},
            "Mia Test, Contoso removed the witness witness.contoso.example",
        ),
    ]
    entered(cast, [{"event": event, "detail": detail} for event, detail, _sentence in cases])
    # The newest entry comes first.
    shown = sentences(signed_in(cast, "otto").get(url(cast.contoso)))
    assert shown == [sentence for _event, _detail, sentence in reversed(cases)]


def test_strangers_text_hides_nothing(cast: Cast) -> None:
    cast.ticket(title="<script>alert(1)</script> \u202egnp.exe")
    Person.objects.filter(pk=cast.pat.pk).update(name="P\u0430t Test")
    row = cast.submitted()
    operations.deny_as_provider(row.pk, actor=cast.as_("pat"), note="No.\n\u2066<b>Yes.</b>")
    page = signed_in(cast, "otto").get(url(cast.contoso)).content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<b>Yes." not in page
    assert not re.search("[\u202e\u2066]", page)
    assert "U+202E" in page
    assert "U+2066" in page
    assert "letters of different alphabets in this name" in page


def test_an_entry_shows_its_record_and_the_hash_of_it(cast: Cast) -> None:
    cast.ticket()
    page = signed_in(cast, "otto").get(url(cast.contoso) + "?entry=0").content.decode()
    shown = html.unescape(re.sub("<br>", "\n", re.findall(r"<pre[^>]*>(.*?)</pre>", page, re.DOTALL)[0]))
    record = json.loads(re.sub(r"<[^>]+>", "", shown))
    leaf = canonical.leaf_hash(canonical.encode(record)).hex()
    assert f'data-copy="{leaf}"' in page
    assert record["event"] == "ticket.opened"


# --- Filters -------------------------------------------------------------------------------------------------


def test_filters_narrow_the_list_and_are_shown(cast: Cast) -> None:
    grant = cast.opened()
    other = cast.submitted(by="erik")
    client, here = signed_in(cast, "otto"), url(cast.contoso)
    by_event = client.get(here, {"event": "access_request.submitted"})
    assert numbers(by_event) == [7, 2]
    assert "Event: Access request submitted" in text(by_event)
    assert numbers(client.get(here, {"request": other.reference})) == [7]
    assert numbers(client.get(here, {"request": grant.access_request.reference.lower().removeprefix("ar-")})) == [
        4,
        3,
        2,
    ]
    assert numbers(client.get(here, {"person": "priya"})) == [2, 1]
    assert numbers(client.get(here, {"person": "Priya@provider.example"})) == [2, 1]
    assert numbers(client.get(here, {"q": "invoices"})) == [6, 5, 1, 0]
    assert numbers(client.get(here, {"person": "erik", "event": "access_request.submitted"})) == [7]
    assert numbers(client.get(here, {"person": "erik", "event": "ticket.opened"})) == []


def test_days_are_those_of_the_readers_own_zone(cast: Cast, travel: Any) -> None:
    Person.objects.filter(pk=cast.otto.pk).update(time_zone="Pacific/Kiritimati")
    travel.to(clock.now().replace(year=2027, month=3, day=1, hour=11, minute=0))
    cast.ticket()
    client, here = signed_in(cast, "otto"), url(cast.contoso)
    # On Kiritimati, 14 hours ahead of UTC, 11:00 UTC on the first is already the second.
    assert numbers(client.get(here, {"since": "2027-03-02"})) == [0]
    assert numbers(client.get(here, {"until": "2027-03-02"})) == [0]
    assert numbers(client.get(here, {"since": "2027-03-02", "until": "2027-03-02"})) == [0]
    assert numbers(client.get(here, {"until": "2027-03-01"})) == []
    assert numbers(client.get(here, {"since": "2027-03-03"})) == []


def test_an_empty_result_is_explained(cast: Cast) -> None:
    foreign = cast.submitted("fabrikam")
    cast.ticket()
    client, here = signed_in(cast, "otto"), url(cast.contoso)
    for search in ({"request": foreign.reference}, {"request": "AR-2222-2222"}, {"q": "nowhere"}, {"person": "nobody"}):
        response = client.get(here, search)
        assert response.status_code == 200
        assert numbers(response) == []
        assert "Nothing found" in text(response)


@pytest.mark.parametrize(
    "asked",
    [
        "unknown=1",
        "event__in=ticket.opened",
        "_connector=OR&q=x",
        "q=x&q=y",
        "actor_id=1",
        "ordering=-seq;",
    ],
)
def test_a_filter_that_is_not_known_is_refused(cast: Cast, asked: str) -> None:
    cast.ticket()
    response = signed_in(cast, "otto").get(f"{url(cast.contoso)}?{asked}")
    assert response.status_code == 400
    assert numbers(response) == []
    assert "The browser sent a field" in text(response)


def test_a_filter_of_another_form_is_refused_beside_it_and_reaches_no_query(cast: Cast) -> None:
    cases = [
        ({"event": "ticket.eaten"}, "event"),
        ({"event": "plan.changed"}, "event"),
        ({"event": "'; DROP TABLE audit_app_auditentry; --"}, "event"),
        ({"since": "2025-13-01"}, "since"),
        ({"since": "yesterday"}, "since"),
        ({"since": "0001-01-01"}, "since"),
        ({"until": "9999-12-31"}, "until"),
        ({"since": "2027-03-02", "until": "2027-03-01"}, "until"),
        ({"request": "AR-1"}, "request"),
        ({"request": "AR-0000-0000"}, "request"),
        ({"q": "nul\x00"}, "q"),
        ({"q": "x" * 121}, "q"),
        ({"person": "p\x00"}, "person"),
        ({"before": "-1"}, "before"),
        ({"before": "1e9"}, "before"),
        ({"before": str(2**63)}, "before"),
        ({"after": "x"}, "after"),
        ({"entry": "1 OR 1=1"}, "entry"),
        ({"before": "3", "after": "1"}, "__all__"),
    ]
    cast.ticket()
    client = signed_in(cast, "otto")
    with collected() as case:
        for search, field in cases:
            with case(search, field):
                with CaptureQueriesContext(connection) as captured:
                    response = client.get(url(cast.contoso), search)
                assert response.status_code == 400
                assert list(response.context["form"].errors) == [field]
                assert numbers(response) == []
                assert not [query for query in captured if "audit_app_auditentry" in query["sql"]]


def test_hostile_words_find_nothing_and_do_nothing(cast: Cast) -> None:
    cases = ["%", "_", "' OR 1=1 --", "\\", '"><script>alert(1)</script>', "\u202egnp", "{{ 7 }}", "%(who)s"]
    cast.ticket()
    client = signed_in(cast, "otto")
    with collected() as case:
        for hostile in cases:
            with case(hostile):
                for name in ("q", "person"):
                    response = client.get(url(cast.contoso), {name: hostile})
                    assert response.status_code == 200
                    assert numbers(response) == []
                    assert "<script>alert" not in response.content.decode()


# --- Pages ---------------------------------------------------------------------------------------------------


def test_pages_lead_through_the_whole_log_and_back(cast: Cast) -> None:
    filled(cast, 2 * queries.PAGE + 7)
    client, here = signed_in(cast, "otto"), url(cast.contoso)
    seen, response = [], client.get(here)
    while True:
        seen += numbers(response)
        filled(cast, 1)  # the log grows, and no entry moves to another page
        if not response.context["older_url"]:
            break
        response = client.get(here + response.context["older_url"])
    assert seen == list(range(2 * queries.PAGE + 6, -1, -1))
    while response.context["newer_url"]:
        response = client.get(here + response.context["newer_url"])
    assert numbers(response) == numbers(client.get(here))


def test_pages_keep_the_filters(cast: Cast) -> None:
    filled(cast, queries.PAGE + 1)
    filled(cast, 3, event="ticket.closed")
    client, here = signed_in(cast, "otto"), url(cast.contoso)
    first = client.get(here, {"event": "ticket.commented"})
    assert numbers(first) == list(range(queries.PAGE, 0, -1))
    assert numbers(client.get(here + first.context["older_url"])) == [0]


def test_an_entry_has_an_address_and_opens_there(cast: Cast) -> None:
    filled(cast, 5)
    response = signed_in(cast, "otto").get(url(cast.contoso) + "?entry=3")
    assert numbers(response) == [3, 2, 1, 0]
    opened = re.findall(
        r'<tr id="entry-(\d+)">(?:(?!</tr>).)*<details class="fold entry" open>', response.content.decode(), re.DOTALL
    )
    assert opened == ["3"]
    assert numbers(signed_in(cast, "otto").get(url(cast.contoso) + "?entry=99")) == [4, 3, 2, 1, 0]


def test_a_search_without_an_index_stops_and_says_how_far_it_got(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searching, "MOST_READ", 10)
    monkeypatch.setattr(searching, "AT_ONCE", 5)
    filled(cast, 1, text="needle")
    filled(cast, 24)
    client, here = signed_in(cast, "otto"), url(cast.contoso)
    response = client.get(here, {"q": "needle"})
    assert numbers(response) == []
    assert "The search has reached entry number 15" in text(response)
    for expected in ([], [0]):
        response = client.get(here + response.context["older_url"])
        assert numbers(response) == expected
    assert not response.context["older_url"]
    assert "The search has reached" not in text(response)


def test_the_page_of_a_search_says_up_to_which_entry_it_has_searched(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(cast, 24)
    filled(cast, 1, text="needle")
    client, here = signed_in(cast, "otto"), url(cast.contoso)
    summary = "The search includes every entry up to number 24, from"
    assert summary in text(client.get(here, {"q": "needle"}))
    assert summary in text(client.get(here, {"q": "nowhere"}))
    assert "The search" not in text(client.get(here, {"event": "ticket.commented"}))
    monkeypatch.setattr(search_index, "SEGMENT", 8)
    response = client.get(here, {"q": "needle"})
    assert numbers(response) == [24]
    assert "The search of this log is being prepared: 0 of 3 parts are done" in text(response)
    search_index.work(lambda: False)
    response = client.get(here, {"q": "needle"})
    assert numbers(response) == [24]
    assert "being prepared" not in text(response)


def test_the_export_of_a_search_has_the_entries_of_the_page(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_index, "SEGMENT", 8)
    filled(cast, 9, text="Needle in hay")
    filled(cast, 3, text="hay needles")
    search_index.work(lambda: False)
    client, here = signed_in(cast, "otto"), url(cast.contoso)
    for typed, expected in (("hay needle", [*range(12)]), ('"needle in"', [*range(9)]), ("needle straw", [])):
        assert numbers(client.get(here, {"q": typed})) == expected[::-1]
        lines = b"".join(exported(client, cast, "jsonl", q=typed).streaming_content).splitlines()
        assert [json.loads(line)["index"] for line in lines][: len(expected)] == expected


@pytest.mark.slow
def test_the_words_of_a_page_are_translated_and_its_templates_are_rendered_once_for_all_rows(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Fifty rows had 1,700 translations, which took longer than everything else together."""
    client, calls = signed_in(cast, "otto"), list[str]()
    translated = trans_real.gettext

    def gettext(message: str) -> str:
        calls.append(message)
        return translated(message)

    monkeypatch.setattr(trans_real, "gettext", gettext)

    def cost() -> tuple[int, int]:
        client.get(url(cast.contoso))
        calls.clear()
        page = client.get(url(cast.contoso))
        return len(calls), len(page.templates)

    filled(cast, 5)
    few_words, few_templates = cost()
    filled(cast, 40)
    many_words, many_templates = cost()
    assert len(numbers(client.get(url(cast.contoso)))) == 45
    assert many_templates == few_templates
    # What is left are the words of the sentence itself, and of its time.
    assert many_words - few_words <= 6 * 40
    assert few_words < 250


def test_the_options_of_a_filter_are_made_once_for_each_language_and_choice(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third of the page's time went into 166 options, which are the same on each page."""
    client, made = signed_in(cast, "otto"), list[str]()
    join = selects.format_html_join

    def counting(*arguments: Any) -> Any:
        made.append("options")
        return join(*arguments)

    address = url(cast.contoso) + "?event=ticket.opened"
    selects._rendered.cache_clear()
    monkeypatch.setattr(selects, "format_html_join", counting)
    first = client.get(address).content.decode()
    assert made
    assert '<option value="ticket.opened" selected>' in first
    made.clear()
    again = client.get(address).content.decode()
    assert '<option value="ticket.opened" selected>' in again
    assert '<option value="ticket.opened" selected>' not in client.get(url(cast.contoso)).content.decode()
    assert len(made) <= 2, "only the groups in which another event is chosen"
    # What somebody typed is no choice, and takes no room.
    size = selects._rendered.cache_info().currsize
    client.get(url(cast.contoso) + "?event=typed")
    assert selects._rendered.cache_info().currsize == size


def test_a_full_page_is_short_on_the_line(cast: Cast) -> None:
    filled(cast, 50, detail={"comment": "A comment of the usual length. " * 10, "reference": "T-2222-3333"})
    client = signed_in(cast, "otto")
    page = client.get(url(cast.contoso), headers={"Accept-Encoding": "gzip"})
    assert page["Content-Encoding"] == "gzip"
    assert len(page.content) < 60_000
    assert len(numbers(client.get(url(cast.contoso)))) == 50


def test_a_page_costs_as_many_queries_with_many_entries_as_with_few(cast: Cast) -> None:
    client = signed_in(cast, "otto")

    def grow(count: int) -> None:
        for _ in range(count):
            cast.opened()

    grow(1)
    for asked in ("", "?q=invoices", "?person=priya"):
        same_queries(lambda asked=asked: queries_of(client, url(cast.contoso) + asked), lambda: grow(2))
        assert queries_of(client, url(cast.contoso) + asked) <= 30


def test_a_page_reads_the_state_of_the_log_once(cast: Cast) -> None:
    """So all parts of the page are about the same moment."""
    cast.opened()
    client = signed_in(cast, "otto")
    client.get(url(cast.contoso))
    with CaptureQueriesContext(connection) as asked:
        assert numbers(client.get(url(cast.contoso)))
    for table in ("audit_app_chainhead", "audit_app_closedshard", "audit_app_witness"):
        assert [f'FROM "{table}"' in one["sql"] for one in asked.captured_queries].count(True) == 1, table


# --- Checking ------------------------------------------------------------------------------------------------


def _texts(node: ast.AST) -> list[str]:
    """Return the strings in a statement of Python, without the values that are filled in."""
    joined = [each for each in ast.walk(node) if isinstance(each, ast.JoinedStr)]
    inside = {id(part) for each in joined for part in ast.walk(each)}
    plain = [each.value for each in ast.walk(node) if isinstance(each, ast.Constant) and id(each) not in inside]
    starts = [each.values[0].value for each in joined if isinstance(each.values[0], ast.Constant)]
    return [text for text in (*plain, *starts) if isinstance(text, str) and " " in text and "%" not in text]


def _flaws_of_verification() -> set[str]:
    """Return the texts of all flaws that entries.py and verify.py can report."""
    found: set[str] = set()
    for name in ("entries", "verify"):
        for node in nodes_of(ROOT / "audit_app" / f"{name}.py"):
            is_end = isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "_end"
            if is_end or isinstance(node, ast.Yield | ast.Return):
                found.update(_texts(node))
    return found


def test_everything_that_verification_finds_has_words() -> None:
    words = _flaws_of_verification()
    assert len(words) >= 13
    for why in words:
        assert _log_words.flaw_words(why) != why


def test_checking_takes_nothing_but_the_button(cast: Cast) -> None:
    cast.ticket()
    with nothing_happens():
        assert signed_in(cast, "otto").post(url(cast.contoso, "log_verify"), {"until": "3"}).status_code == 400


# --- Exports -------------------------------------------------------------------------------------------------


def exported(client: Client, cast: Cast, kind: str, **filters: str) -> Any:
    return client.post(url(cast.contoso, "log_export", kind), filters)


def body(response: Any) -> str:
    return b"".join(response.streaming_content).decode()


def test_json_lines_hold_the_records_with_their_hashes(cast: Cast) -> None:
    cast.opened()
    response = exported(signed_in(cast, "otto"), cast, "jsonl")
    lines = [json.loads(line) for line in body(response).splitlines()]
    assert response.status_code == 200
    assert [line["index"] for line in lines] == [0, 1, 2, 3, 4, 5]
    for line in lines:
        assert canonical.leaf_hash(canonical.encode(line["entry"])).hex() == line["leaf_hash"]
    assert lines[-1]["entry"]["event"] == "log.exported"
    assert lines[-1]["entry"]["detail"] == {"format": "jsonl", "filters": {}}


def test_an_export_is_a_file_that_nobody_keeps(cast: Cast, travel: Any) -> None:
    travel.to(clock.now().replace(year=2027, month=3, day=1, hour=11, minute=5, second=9))
    response = exported(signed_in(cast, "otto"), cast, "csv")
    assert response["Content-Disposition"] == 'attachment; filename="contoso-log-20270301T110509Z.csv"'
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Cache-Control"] == "no-store"
    assert exported(signed_in(cast, "otto"), cast, "jsonl")["Content-Type"] == "application/jsonl; charset=utf-8"


def test_an_export_takes_the_filters_and_the_log_says_which(cast: Cast) -> None:
    cast.opened()
    cast.submitted(by="erik")
    response = exported(signed_in(cast, "ada"), cast, "csv", person="priya", event="", since="2020-01-01")
    rows = list(csv.DictReader(io.StringIO(body(response))))
    assert [row["actor"] for row in rows] == ["Priya Test", "Priya Test"]
    entry = AuditEntry.objects.filter(event="log.exported").get()
    record = json.loads(bytes(entry.canonical))
    assert record["detail"] == {"format": "csv", "filters": {"person": "priya", "since": "2020-01-01"}}
    assert record["actor"]["name"] == "Ada Test"


def test_an_export_for_another_tenants_access_request_is_empty(cast: Cast) -> None:
    foreign = cast.submitted("fabrikam")
    response = exported(signed_in(cast, "otto"), cast, "csv", request=foreign.reference)
    assert len(body(response).splitlines()) == 1


@pytest.mark.parametrize("filters", [{"unknown": "1"}, {"since": "never"}, {"before": "3"}, {"q": "x\x00"}])
def test_an_export_with_a_filter_that_is_not_known_is_refused(cast: Cast, filters: dict[str, str]) -> None:
    cast.ticket()
    with nothing_happens():
        assert exported(signed_in(cast, "otto"), cast, "csv", **filters).status_code == 400


def test_another_kind_of_export_is_not_there(cast: Cast) -> None:
    here = url(cast.contoso, "log_export", "csv").replace("csv", "xlsx")
    assert signed_in(cast, "otto").post(here).status_code == 404


@pytest.mark.parametrize("formula", ['=HYPERLINK("https://x.example","y")', "+1", "-1", "@SUM(A1)", "\tx", "\rx"])
def test_no_cell_is_a_formula(cast: Cast, formula: str) -> None:
    actor = {"kind": "person", "id": str(cast.mia.pk), "name": formula, "side": "customer", "email": formula}
    filled(cast, 1, actor=actor, detail={"comment": f"a\n{formula}"})
    rows = list(csv.DictReader(io.StringIO(body(exported(signed_in(cast, "otto"), cast, "csv")))))
    assert len(rows) == 2
    for row in rows:
        assert not [cell for cell in row.values() if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert rows[0]["actor"].startswith("'")


@pytest.mark.slow
def test_five_thousand_entries_leave_in_constant_memory(cast: Cast) -> None:
    filled(cast, 5000)
    otto, reads = signed_in(cast, "otto"), 'FROM "audit_app_auditentry"'
    with CaptureQueriesContext(connection) as captured:
        chunks = iter(exported(otto, cast, "jsonl").streaming_content)
        lines = next(chunks).splitlines()
        assert len([query for query in captured if reads in query["sql"]]) == 1
        filled(cast, 10)
        lines += [line for chunk in chunks for line in chunk.splitlines()]
        assert len([query for query in captured if reads in query["sql"]]) == 5001 // audit.BATCH + 1
    # The export ends with its own entry, without the entries that were written during the download.
    assert [json.loads(line)["index"] for line in lines] == list(range(5001))
    assert ChainHead.objects.get(pk=cast.contoso.pk).size == 5011
    assert events_in(cast.contoso).count("log.exported") == 1


def test_an_announced_change_is_found_by_every_name_and_value_on_the_page(cast: Cast) -> None:
    """An auditor who finds nothing would conclude that nothing was announced."""
    cast.colleague()
    imported(cast, MAIL)
    row = imported(cast, "contoso,,,,exchange-online,m-1,,counsel@contoso.example,,", "contoso,,Basic,,,,,,,")
    assert row is not None
    otto = signed_in(cast, "otto")
    for words in ("counsel@contoso", "legal@contoso", "Basic", row.sha256, row.sha256[:8], "contoso/mail/legal"):
        found = otto.get(url(cast.contoso), {"q": words})
        assert numbers(found), words
    assert "Words are searched in names" in otto.get(url(cast.contoso)).content.decode()
    # The search of another tenant's log finds none of these entries.
    assert numbers(signed_in(cast, "frida").get(url(cast.fabrikam), {"q": "counsel@contoso"})) == []


def test_an_entry_about_a_row_of_a_file_names_the_import_by_its_hash(cast: Cast) -> None:
    """A file's name could name another tenant, so customers read only the hash."""
    row = imported(cast, MAIL)
    assert row is not None
    shown = text(signed_in(cast, "otto").get(url(cast.contoso)))
    assert f"with an import (SHA-256 of the file: {row.sha256})" in shown
    assert row.file_name not in shown


def test_the_log_says_that_nobody_else_could_confirm_a_change_by_staff(cast: Cast) -> None:
    cast.web_tool()
    page = signed_in(cast, "otto").get(url(cast.contoso), {"event": "proposal.applied"})
    text = " ".join(re.sub(r"<[^>]*>", "", page.content.decode()).split())
    assert "A change took effect: Stella Test had proposed to" in text
    assert "(nobody else could confirm it)" in text
    assert "(confirmed by )" not in text
