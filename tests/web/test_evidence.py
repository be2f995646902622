"""Evidence on pages: which evidence each person can get, the download, its timeline, and its progress."""

from __future__ import annotations

import datetime as dt
import html
import io
import json
import re
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from audit_app import checkpoint_history, checkpoints, recorder, zips
from audit_app.models import AuditEntry, LogAlarm, Tile
from requests_app import operations
from requests_app.content import downloads
from requests_app.domain import clock
from requests_app.domain.acts.content import CONTENT_LISTED, CONTENT_OPENED
from requests_app.domain.acts.declaration import Event
from requests_app.domain.errors import NotAllowed, NotFound
from requests_app.doors.web import _progress
from requests_app.doors.web.timeline import pdf, story
from requests_app.models import AccessRequest, Grant, Tenant
from tests.audit.bundles import files_of, manifest_of, records, verified
from tests.cast import Cast
from tests.web.pages import nothing_happens, only_a_refusal, signed_in
from tests.web.test_log_export import lose

pytestmark = pytest.mark.django_db

READERS = ["ada", "otto", "ines", "stella"]
HOSTILE = '<script>alert("1")</script> \u202egnitanigami\u202c <img src=x onerror=alert(2)> {{ settings }} &amp;'


def sign(tenant: Tenant) -> None:
    assert checkpoints.sign(tenant.pk, at=clock.now()) is not None


def url(what: Tenant | AccessRequest) -> str:
    name = "web:log_evidence" if isinstance(what, Tenant) else "web:access_request_evidence"
    return reverse(name, args=[what.pk])


def post(client: Any, what: Tenant | AccessRequest, **form: Any) -> Any:
    return client.post(url(what), {"download": str(uuid4()), **form})


def taken(client: Any, what: Tenant | AccessRequest, **form: Any) -> bytes:
    response = post(client, what, **form)
    assert response.status_code == 200
    assert response["Content-Type"] == "application/zip"
    return b"".join(response.streaming_content)


def progress_text(client: Any, tenant: Tenant, download: UUID, **query: Any) -> str:
    response = client.get(reverse("web:evidence_progress", args=[tenant.pk, download]), query)
    assert response.status_code == 200
    return response.content.decode()


def words(page: bytes) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", page.decode())).split())


def newest(tenant: Tenant) -> dict[str, Any]:
    entry = AuditEntry.objects.filter(tenant_id=tenant.pk).order_by("seq").last()
    found: dict[str, Any] = json.loads(bytes(entry.canonical))
    return found


def opened_items(cast: Cast, grant: Grant, count: int, *, name: str = "Invoice") -> None:
    """Write entries about opened items as the content page does, but without a mailbox."""
    record_accesses(cast, grant, CONTENT_OPENED, [{"reference": f"{name} {number}"} for number in range(count)])


def record_accesses(cast: Cast, grant: Grant, event: Event, details: list[dict[str, Any]]) -> None:
    entries = [
        recorder.Witnessed(
            tenant_id=grant.tenant_id,
            event=event,
            door="pages",
            actor={"kind": "person", "id": str(cast.priya.pk), "name": "Priya Test", "side": "provider", "email": ""},
            subject_type="grant",
            subject_id=str(grant.pk),
            correlation_id=grant.access_request_id,
            detail={"resource": "", "resource_name": "finance@contoso.example", **detail},
        )
        for detail in details
    ]
    with transaction.atomic():
        recorder.record(entries, at=clock.now())


@pytest.fixture
def closed(cast: Cast) -> AccessRequest:
    """Return an access request of Contoso that is finished. The whole log is signed."""
    row = cast.in_state("CLOSED")
    sign(cast.contoso)
    return row


# --- The download ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", READERS)
def test_a_reader_of_the_log_can_download_evidence_of_an_access_request(
    cast: Cast, closed: AccessRequest, tmp_path: Path, who: str
) -> None:
    bundle = taken(signed_in(cast, who), closed)
    files = files_of(bundle)
    manifest = manifest_of(files)
    assert (manifest["kind"], manifest["access_request"]) == ("access_request", str(closed.pk))
    assert manifest["tenant"] == {"id": str(cast.contoso.pk), "name": "Contoso"}
    assert list(files)[-3:] == ["timeline.html", "timeline.pdf", "manifest.json"]
    status, verdict = verified(bundle, tmp_path)
    assert (status, verdict["problems"], verdict["gaps"]) == (0, [], [])


def test_the_whole_log_is_taken_where_no_day_is_named(cast: Cast, closed: AccessRequest, tmp_path: Path) -> None:
    bundle = taken(signed_in(cast, "otto"), cast.contoso)
    files = files_of(bundle)
    assert manifest_of(files)["kind"] == "log"
    seqs = [entry["seq"] for entry in records(files["entries-0.jsonl"])]
    # The next entry is about this download. No checkpoint covers it yet.
    assert seqs == list(range(newest(cast.contoso)["seq"]))
    assert verified(bundle, tmp_path)[0] == 0


def test_a_period_is_whole_days_in_the_readers_own_zone(cast: Cast, travel: Any, tmp_path: Path) -> None:
    for at in ("2026-03-09T22:59:59", "2026-03-09T23:00:00", "2026-03-10T22:59:59", "2026-03-10T23:00:00"):
        travel.to(dt.datetime.fromisoformat(f"{at}+00:00"))
        cast.ticket(title=at)
    sign(cast.contoso)
    type(cast.otto).objects.filter(pk=cast.otto.pk).update(time_zone="Europe/Berlin")
    bundle = taken(signed_in(cast, "otto"), cast.contoso, since="2026-03-10", until="2026-03-10")
    files = files_of(bundle)
    titles = [entry["detail"]["title"] for entry in records(files["entries-0.jsonl"])]
    assert titles == ["2026-03-09T23:00:00", "2026-03-10T22:59:59"]
    manifest = manifest_of(files)
    assert (manifest["since"], manifest["until"]) == ("2026-03-09T23:00:00.000000Z", "2026-03-10T23:00:00.000000Z")
    assert verified(bundle, tmp_path)[0] == 0
    detail = newest(cast.contoso)["detail"]
    assert detail == {"kind": "period", "since": manifest["since"], "until": manifest["until"]}


def test_the_download_is_an_entry_before_the_first_byte(cast: Cast, closed: AccessRequest) -> None:
    client = signed_in(cast, "otto")
    response = post(client, closed)
    entry = newest(cast.contoso)
    assert (entry["event"], entry["actor"]["id"], entry["door"]) == (
        "log.evidence_taken",
        str(cast.otto.pk),
        "pages",
    )
    assert entry["detail"] == {
        "kind": "access_request",
        "access_request": str(closed.pk),
        "reference": closed.reference,
    }
    # The entry belongs to the log, not to the access request. So the next bundle about the access request is the same.
    assert entry["access_request"] is None
    first, second = b"".join(response.streaming_content), taken(client, closed)
    assert files_of(first)["entries-0.jsonl"] == files_of(second)["entries-0.jsonl"]


def test_the_file_has_a_name_that_is_safe_everywhere(cast: Cast, closed: AccessRequest, travel: Any) -> None:
    # No form accepts such a name, but the owner of the database could write it.
    Tenant.objects.filter(pk=cast.contoso.pk).update(slug='a/../b\r\nX-Evil: 1;"ü')
    travel.to(dt.datetime(2026, 3, 1, 12, 0, 5, tzinfo=dt.UTC))
    response = post(signed_in(cast, "otto"), closed)
    name = f"a-b-X-Evil-1--evidence-{closed.reference}-20260301T120005Z.zip"
    assert response["Content-Disposition"] == f'attachment; filename="{name}"'
    assert "X-Evil" not in response
    assert "no-store" in response["Cache-Control"]


# --- Who can download ------------------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["mia", "priya", "pat"])
def test_only_a_reader_of_the_log_can_download_its_evidence(cast: Cast, closed: AccessRequest, who: str) -> None:
    client = signed_in(cast, who)
    with nothing_happens():
        assert client.get(url(closed)).status_code == 403
    with only_a_refusal():
        assert post(client, closed).status_code == 403
    refused = newest(cast.contoso)
    assert (refused["event"], refused["detail"]["action"]) == ("act.refused", "take_evidence")


def test_a_member_is_refused_the_whole_log_too(cast: Cast, closed: AccessRequest) -> None:
    client = signed_in(cast, "mia")
    with nothing_happens():
        assert client.get(url(cast.contoso)).status_code == 403
        assert client.get(reverse("web:evidence_progress", args=[cast.contoso.pk, uuid4()])).status_code == 403
    with only_a_refusal():
        assert post(client, cast.contoso).status_code == 403


@pytest.mark.parametrize("who", ["frida", "fatima", "finn", "nadia"])
def test_for_another_tenants_people_there_is_nothing(cast: Cast, closed: AccessRequest, who: str) -> None:
    client = signed_in(cast, who)
    with nothing_happens():
        for what in (closed, cast.contoso):
            assert client.get(url(what)).status_code == 404
            assert post(client, what).status_code == 404


def test_an_access_request_of_another_tenant_is_not_found_here(cast: Cast, closed: AccessRequest) -> None:
    with nothing_happens(), pytest.raises(NotFound):
        operations.take_evidence(cast.fabrikam.pk, actor=cast.as_("stella"), access_request_id=closed.pk)


@pytest.mark.parametrize("who", READERS)
def test_the_pages_offer_evidence_only_to_permitted_people(cast: Cast, closed: AccessRequest, who: str) -> None:
    client = signed_in(cast, who)
    request_page = client.get(reverse("web:access_request", args=[closed.pk])).content.decode()
    log_page = client.get(reverse("web:log", args=[cast.contoso.pk])).content.decode()
    assert f'href="{url(closed)}"' in request_page
    assert f'href="{url(cast.contoso)}"' in log_page


@pytest.mark.parametrize("who", ["mia", "priya", "pat"])
def test_the_page_does_not_offer_it_to_others(cast: Cast, closed: AccessRequest, who: str) -> None:
    page = signed_in(cast, who).get(reverse("web:access_request", args=[closed.pk])).content.decode()
    assert url(closed) not in page


@pytest.mark.parametrize(
    "form",
    [
        {"download": "no id"},
        {"download": ""},
        {"tenant": "x"},
        {"since": "2026-01-01"},
    ],
)
def test_an_unexpected_field_is_refused(cast: Cast, closed: AccessRequest, form: dict[str, str]) -> None:
    with nothing_happens():
        assert post(signed_in(cast, "otto"), closed, **form).status_code == 400


@pytest.mark.parametrize(
    "form",
    [
        {"since": "yesterday"},
        {"since": "2026-03-02", "until": "2026-03-01"},
        {"until": "0001-01-01"},
        {"since": "9999-12-31"},
    ],
)
def test_invalid_days_are_explained_beside_the_field(cast: Cast, closed: AccessRequest, form: dict[str, str]) -> None:
    with nothing_happens():
        response = post(signed_in(cast, "otto"), cast.contoso, **form)
    assert response.status_code == 400
    assert 'class="field-errors"' in response.content.decode()


def test_the_proof_from_a_stored_checkpoint_is_in_the_file(
    cast: Cast, closed: AccessRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This holds for every kind of evidence, and for any number of later checkpoints."""
    monkeypatch.setattr(checkpoint_history, "MOST", 2)
    cast.ticket()
    sign(cast.contoso)
    newest = checkpoints.newest(cast.contoso.pk, 0)
    assert newest is not None
    (tmp_path / "kept").write_text(newest.note)
    for _ in range(5):
        cast.ticket()
        sign(cast.contoso)
    without = taken(signed_in(cast, "otto"), closed)
    assert verified(without, tmp_path, "--previous", str(tmp_path / "kept"))[0] == 2
    for what in (closed, cast.contoso):
        bundle = taken(signed_in(cast, "otto"), what, kept=str(newest.size))
        sizes = [int(each["checkpoint"].split("\n")[1]) for each in records(files_of(bundle)["consistency-0.jsonl"])]
        assert (len(sizes), newest.size in sizes, sizes == sorted(sizes)) == (2, True, True)
        status, verdict = verified(bundle, tmp_path, "--previous", str(tmp_path / "kept"))
        assert (status, verdict["previous"]["holds"]) == (0, True)


@pytest.mark.parametrize("size", ["-1", "1000000", "1", "12.5", "many", str(2**70)])
def test_an_unknown_checkpoint_is_explained_beside_the_field(cast: Cast, closed: AccessRequest, size: str) -> None:
    for what in (closed, cast.contoso):
        with nothing_happens():
            response = post(signed_in(cast, "otto"), what, kept=size)
        assert response.status_code == 422
        page = response.content.decode()
        assert 'class="field-errors"' in page
        assert f'value="{size}"' in page


# --- What can be downloaded ------------------------------------------------------------------------------


def test_the_page_says_how_many_entries_and_how_many_wait(cast: Cast, closed: AccessRequest) -> None:
    client = signed_in(cast, "otto")
    page = words(client.get(url(closed)).content)
    assert "Entries 4 " in page
    assert "will be signed within a minute" not in page
    cast.ticket()
    assert "will be signed within a minute" not in words(client.get(url(closed)).content)
    assert "1 more entry will be signed within a minute" in words(client.get(url(cast.contoso)).content)


def test_evidence_is_offered_without_the_unsigned_end(cast: Cast, tmp_path: Path) -> None:
    grant = cast.opened()
    sign(cast.contoso)
    row = operations.release(grant.access_request_id, actor=cast.as_("priya"))
    client = signed_in(cast, "otto")
    assert "1 more entry will be signed within a minute" in words(client.get(url(row)).content)
    bundle = taken(client, row)
    files = files_of(bundle)
    assert [entry["event"] for entry in records(files["entries-0.jsonl"])][-1] == "access_request.approved_by_customer"
    assert "1 more entry was not signed yet, and is not in this evidence" in words(files["timeline.html"])
    assert "This evidence does not contain the end of the window." in words(files["timeline.html"])
    assert verified(bundle, tmp_path)[0] == 0


def test_before_the_first_signature_there_is_nothing_to_take(cast: Cast) -> None:
    row = cast.submitted()
    client = signed_in(cast, "otto")
    with nothing_happens():
        page = client.get(url(row))
        refused = post(client, row)
    assert (page.status_code, refused.status_code) == (200, 409)
    for response in (page, refused):
        assert "These entries are not signed yet" in words(response.content)
        assert "Download evidence" not in words(response.content)


def test_a_log_without_an_entry_has_no_evidence(cast: Cast) -> None:
    client = signed_in(cast, "otto")
    with nothing_happens():
        assert "The log has no entries for this download" in words(client.get(url(cast.contoso)).content)
        assert post(client, cast.contoso).status_code == 409


def test_if_the_tree_is_damaged_the_page_says_so_and_nothing_is_sent(cast: Cast, closed: AccessRequest) -> None:
    Tile.objects.filter(tenant_id=cast.contoso.pk).delete()
    client = signed_in(cast, "otto")
    with nothing_happens():
        assert "The proofs can’t be made" in words(client.get(url(closed)).content)
        assert post(client, closed).status_code == 409


def test_an_alarm_is_shown_and_earlier_signed_entries_are_offered(
    cast: Cast, closed: AccessRequest, tmp_path: Path
) -> None:
    LogAlarm.objects.create(tenant_id=cast.contoso.pk, since=clock.now(), last_at=clock.now(), code="shorter")
    client = signed_in(cast, "otto")
    assert "The log is not being signed at the moment" in words(client.get(url(closed)).content)
    assert verified(taken(client, closed), tmp_path)[0] == 0


# --- The progress of a download --------------------------------------------------------------------------


def test_the_page_hears_how_far_the_download_is(
    cast: Cast, closed: AccessRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zips, "PIECE", 1)
    monkeypatch.setattr(_progress, "_LEAST", 1)
    client, download = signed_in(cast, "otto"), uuid4()
    assert "The file is being prepared." in progress_text(client, cast.contoso, download)
    response = post(client, closed, download=download)
    seen = []
    for _chunk in response.streaming_content:
        seen.append(words(progress_text(client, cast.contoso, download).encode()))
    assert seen[0] == "0 of 4 entries"
    assert "4 of 4 entries" in seen
    assert "Timeline: 4 of 4 entries" in seen
    end = progress_text(client, cast.contoso, download)
    assert words(end.encode()) == "The file is complete: 4 entries."
    assert "hx-get" not in end


def test_an_interrupted_download_is_reported_as_incomplete(
    cast: Cast, closed: AccessRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zips, "PIECE", 1)
    client, download = signed_in(cast, "otto"), uuid4()
    response = post(client, closed, download=download)
    next(iter(response.streaming_content))
    # Do what response.close() does, except closing the test's connection.
    for close in response._resource_closers:
        close()
    end = progress_text(client, cast.contoso, download)
    assert "The download was interrupted." in end
    assert "hx-get" not in end


def test_nobody_hears_of_another_persons_download(cast: Cast, closed: AccessRequest) -> None:
    download = uuid4()
    b"".join(post(signed_in(cast, "otto"), closed, download=download).streaming_content)
    assert "complete" in progress_text(signed_in(cast, "otto"), cast.contoso, download)
    assert "complete" not in progress_text(signed_in(cast, "ada"), cast.contoso, download)


def test_the_page_stops_asking_for_a_download_that_never_begins(cast: Cast, closed: AccessRequest) -> None:
    client, download, tried = signed_in(cast, "otto"), uuid4(), 0
    while match := re.search(r"\?tried=(\d+)", progress_text(client, cast.contoso, download, tried=tried)):
        assert int(match[1]) == tried + 1
        tried = int(match[1])
    assert tried == 29
    assert "has not begun" in progress_text(client, cast.contoso, download, tried=tried)
    assert "?tried=1" in progress_text(client, cast.contoso, download, tried="x" * 5000)


# --- The timeline ----------------------------------------------------------------------------------------


def test_the_timeline_of_an_access_request_says_who_what_and_when(cast: Cast, travel: Any) -> None:
    travel.to(dt.datetime(2026, 3, 1, 9, 30, tzinfo=dt.UTC))
    row = cast.submitted()
    travel.by(hours=1)
    operations.approve_as_provider(row.pk, actor=cast.as_("pat"), note="No other way.")
    travel.by(hours=2)
    operations.approve_as_customer(row.pk, actor=cast.as_("ada"), note="Only invoices.")
    grant = Grant.objects.get(access_request=row)
    opened_items(cast, grant, 2)
    travel.by(minutes=20)
    operations.release(row.pk, actor=cast.as_("priya"), note="Done.")
    sign(cast.contoso)
    files = files_of(taken(signed_in(cast, "otto"), row))
    page = files["timeline.html"]
    shown = words(page)
    for sentence in (
        f"Evidence of access request {row.reference}",
        "Who asked Priya Test, Microsoft, priya@provider.example",
        "When 2026-03-01 09:30:00 UTC",
        "To do what Read messages in 1 mailbox (finance@contoso.example)",
        "For how long 2 hours",
        "Pat Test , Microsoft approved",
        "No other way. 2026-03-01 10:30:00 UTC",
        "Ada Test , Contoso approved",
        "Only invoices. 2026-03-01 12:30:00 UTC",
        "Opened 2026-03-01 12:30:00 UTC, and could stay open until 2026-03-01 14:30:00 UTC. "
        "Closed 2026-03-01 12:50:00 UTC",
        "finance@contoso.example Invoice 0 Invoice 1",
    ):
        assert sentence in shown
    for entry, leaf in zip(records(files["entries-0.jsonl"]), _leaves(files["leaf-hashes-0.bin"]), strict=True):
        assert f'<tr id="e0-{entry["seq"]}">' in page.decode()
        assert f'<td class="leaf">{leaf.hex()[:12]}</td></tr>' in page.decode()
    assert page.decode().count("<tr id=") == 6


@pytest.mark.parametrize(
    ("lists", "opened", "words_of_it"),
    [
        ([], 0, "Nothing was looked at."),
        ([["a", "b"], ["b", "c"], ["a", "b"]], 0, "3 items listed, nothing opened."),
        ([["a", "b"]], 1, "Invoice 0 2 items listed."),
    ],
)
def test_a_timeline_says_how_many_names_were_listed(
    cast: Cast, lists: list[list[str]], opened: int, words_of_it: str
) -> None:
    grant = cast.opened()
    items = [{"items": [{"id": name, "reference": name} for name in names]} for names in lists]
    record_accesses(cast, grant, CONTENT_LISTED, items)
    opened_items(cast, grant, opened)
    operations.release(grant.access_request_id, actor=cast.as_("priya"), note="Done.")
    sign(cast.contoso)
    page = words(files_of(taken(signed_in(cast, "otto"), grant.access_request))["timeline.html"])
    assert words_of_it in page
    assert ("othing was looked at" in page) == (not lists)


def _leaves(raw: bytes) -> list[bytes]:
    return [raw[at : at + 32] for at in range(0, len(raw), 32)]


def test_times_and_words_of_a_timeline_do_not_hang_on_who_takes_it(cast: Cast, closed: AccessRequest) -> None:
    type(cast.otto).objects.filter(pk=cast.otto.pk).update(time_zone="Asia/Tokyo")
    pages = []
    for who in ("otto", "ada"):
        page = files_of(taken(signed_in(cast, who), closed))["timeline.html"].decode()
        pages.append(re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", "", page))
    assert pages[0] == pages[1]
    assert "JST" not in pages[0]


class _Tags(HTMLParser):
    """Collects the names of all elements and attributes of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _value in attrs}
        self.links |= {str(value) for name, value in attrs if name == "href"}


def test_a_timeline_needs_nothing_from_elsewhere_and_runs_nothing(cast: Cast) -> None:
    row = cast.submitted(ticket=cast.ticket(title=HOSTILE), justification=HOSTILE)
    operations.deny_as_provider(row.pk, actor=cast.as_("pat"), note=HOSTILE)
    sign(cast.contoso)
    for what in (row, cast.contoso):
        page = files_of(taken(signed_in(cast, "otto"), what))["timeline.html"].decode()
        assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt;" in page
        assert "&amp;amp;" in page
        assert "{{ settings }}" in page
        assert "U+202E" in page
        assert "\u202e" not in page
        tags = _Tags()
        tags.feed(page)
        assert tags.names.isdisjoint({"script", "img", "link", "iframe", "object", "svg", "use", "form"})
        assert tags.attributes.isdisjoint({"src", "style", "onerror"})
        assert "url(" not in page
        assert "@import" not in page
        assert {link for link in tags.links if not link.startswith("#e0-")} == set()
        assert "default-src 'none'; style-src 'unsafe-inline'" in page


def test_a_name_of_two_alphabets_is_marked_without_an_icon_from_elsewhere(cast: Cast) -> None:
    type(cast.priya).objects.filter(pk=cast.priya.pk).update(name="Рriya")
    row = cast.submitted()
    sign(cast.contoso)
    page = files_of(taken(signed_in(cast, "otto"), row))["timeline.html"].decode()
    assert "letters of different alphabets in this name" in page
    assert "<svg" not in page


def test_the_pdf_is_one_with_its_letters_in_it(cast: Cast) -> None:
    row = cast.submitted(justification=f"{HOSTILE} Привет, Ελληνικά " + "x" * 900)
    operations.deny_as_provider(row.pk, actor=cast.as_("pat"), note=HOSTILE * 10)
    sign(cast.contoso)
    for what in (row, cast.contoso):
        made = files_of(taken(signed_in(cast, "otto"), what))["timeline.pdf"]
        assert made.startswith(b"%PDF-1.")
        assert made.rstrip().endswith(b"%%EOF")
        assert b"DejaVuSans" in made
        # All fonts are embedded. Another machine could replace other fonts and show other characters.
        assert b"/BaseFont /Helvetica" not in made
        assert made.count(b"/FontFile2") >= 3


def _printed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return a list that collects the text, with its markup, of all pages of the PDFs that are made."""
    from reportlab.platypus import Paragraph

    found: list[str] = []

    class Noted(Paragraph):
        def __init__(self, text: str, *args: Any, **kwargs: Any) -> None:
            found.append(text)
            super().__init__(text, *args, **kwargs)

    monkeypatch.setattr("reportlab.platypus.Paragraph", Noted)
    return found


def test_the_pdf_says_what_the_page_says(cast: Cast, closed: AccessRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = _printed(monkeypatch)
    files = files_of(taken(signed_in(cast, "otto"), closed))
    shown = " ".join(printed)
    assert f"Evidence of access request {closed.reference}" in shown
    assert "Priya Test, Microsoft, priya@provider.example" in shown
    assert "Pat Test, Microsoft approved" in shown
    for leaf in _leaves(files["leaf-hashes-0.bin"]):
        assert leaf.hex()[:12] in printed


def test_hostile_text_is_no_markup_in_the_pdf(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = _printed(monkeypatch)
    row = cast.submitted(justification=HOSTILE)
    operations.deny_as_provider(row.pk, actor=cast.as_("pat"), note="<b>" + HOSTILE)
    sign(cast.contoso)
    taken(signed_in(cast, "otto"), row)
    shown = " ".join(printed)
    assert "&lt;script&gt;" in shown
    assert "<script" not in shown
    assert "[U+202E]gnitanigami[U+202C]" in shown
    assert "\u202e" not in shown


def test_letters_without_a_shape_are_owned_up_to(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    printed = _printed(monkeypatch)
    for text, is_noted in (("Ordinary words of a reason, twice.", False), ("A reason in Chinese: 需要查看邮箱", True)):
        printed.clear()
        row = cast.submitted(justification=text)
        sign(cast.contoso)
        taken(signed_in(cast, "otto"), row)
        assert any("A box replaces a letter" in line for line in printed) is is_noted


def test_with_too_many_entries_the_pdf_has_the_head_and_the_page_has_them_all(
    cast: Cast, closed: AccessRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdf, "MOST_ENTRIES", 3)
    monkeypatch.setattr(story, "LISTED", 2)
    printed = _printed(monkeypatch)
    files = files_of(taken(signed_in(cast, "otto"), cast.contoso))
    count = len(records(files["entries-0.jsonl"]))
    shown = " ".join(printed)
    assert f"There are {count} entries, which are too many to print." in shown
    assert files["leaf-hashes-0.bin"][:6].hex() not in shown
    assert "This list is not complete. For the complete list, see the entries." in shown
    assert "Approved by the customer" in shown
    page = files["timeline.html"].decode()
    assert page.count("<tr id=") == count
    assert page.count("<li>") == 2


def test_the_timeline_says_if_there_are_more_items_than_it_lists(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(story, "ITEMS", 3)
    grant = cast.opened()
    opened_items(cast, grant, 5)
    sign(cast.contoso)
    page = files_of(taken(signed_in(cast, "otto"), grant.access_request))["timeline.html"]
    assert (
        "Invoice 0 Invoice 1 Invoice 2 This list is not complete. For the complete list, see the entries below."
        in words(page)
    )


def test_a_damaged_entry_is_marked_and_the_others_are_shown(cast: Cast, closed: AccessRequest, tmp_path: Path) -> None:
    from tests.audit.test_checkpoints import meddle, uuid_sql

    for body in (
        b"no json at all",
        b'{"actor": 7, "detail": [1]}',
        b"[]",
        b'{"actor":{"kind":"person","name":"\\ud800"},"detail":{"comment":"\\udfff\\u0000"}}',
    ):
        meddle(
            "UPDATE audit_app_auditentry SET canonical = %s WHERE tenant_id = %s AND seq = 2",
            body,
            uuid_sql(cast.contoso.pk),
        )
        bundle = taken(signed_in(cast, "otto"), closed)
        page = words(files_of(bundle)["timeline.html"])
        assert page.count("Changed since it was written.") == 1
        assert "Ada Test , Contoso approved" in page
        assert verified(bundle, tmp_path)[0] == 1


# --- Streaming -------------------------------------------------------------------------------------------


def test_the_queries_of_a_download_do_not_grow_with_every_entry(cast: Cast) -> None:
    grant, counts = cast.opened(), []
    # Both downloads have an older checkpoint, because the first older checkpoint costs more queries.
    sign(cast.contoso)
    for more in (20, 180):
        opened_items(cast, grant, more)
        sign(cast.contoso)
        client = signed_in(cast, "otto")
        with CaptureQueriesContext(connection) as seen:
            taken(client, cast.contoso)
        counts.append(len(seen))
    # One more checkpoint costs a few queries. The 180 entries cost none, because they fit into pages that are read
    # anyway.
    assert counts[1] - counts[0] <= 6


def test_nothing_of_the_reader_stays_behind_between_two_pieces(
    cast: Cast, closed: AccessRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.utils import timezone

    monkeypatch.setattr(zips, "PIECE", 1)
    before = timezone.get_current_timezone_name()
    response = post(signed_in(cast, "otto"), closed)
    for _chunk in response.streaming_content:
        assert timezone.get_current_timezone_name() == before
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT current_setting('lockbox.tenants', true)")
                assert cursor.fetchone()[0] in ("", None)


@pytest.mark.postgres
def test_row_level_security_applies_while_a_piece_is_made(
    cast: Cast, closed: AccessRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The middleware's setting ends when the view has returned. So the stream sets row-level security itself."""
    seen = []
    plain = story.Story._lines_of

    def lines_here(self: Any, entries: Any) -> Any:
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_setting('lockbox.tenants', true)")
            seen.append(cursor.fetchone()[0])
        return plain(self, entries)

    monkeypatch.setattr(story.Story, "_lines_of", lines_here)
    taken(signed_in(cast, "otto"), closed)
    assert set(seen) == {str(cast.contoso.pk)}


@pytest.mark.parametrize("how", ["role", "person"])
def test_a_person_who_lost_the_right_gets_no_zip(
    cast: Cast, closed: AccessRequest, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zips, "PIECE", 1)
    monkeypatch.setattr(downloads, "REREAD_SECONDS", 0.0)
    response = post(signed_in(cast, "otto"), closed)
    sent = []
    with pytest.raises(NotAllowed):  # noqa: PT012  the stream is what breaks
        for chunk in response.streaming_content:
            sent.append(chunk)
            if len(sent) == 1:
                lose(cast, how)
    assert len(sent) == 2, "one piece, and the word that there is no more"
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(b"".join(sent)))


def test_a_role_that_comes_between_the_look_and_the_act_takes_nothing(
    cast: Cast, closed: AccessRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("requests_app.doors.web.evidence.takes_evidence", lambda actor, tenant_id: False)
    client = signed_in(cast, "otto")
    with only_a_refusal():
        response = post(client, closed)
    assert response.status_code == 409
    assert "Your role has just changed" in response.content.decode()


def test_a_broken_stream_is_no_zip(cast: Cast, closed: AccessRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zips, "PIECE", 1)
    response = post(signed_in(cast, "otto"), closed)
    sent = []
    with pytest.raises(LookupError):  # noqa: PT012  the stream is what breaks
        for chunk in response.streaming_content:
            sent.append(chunk)
            Tile.objects.filter(tenant_id=cast.contoso.pk).delete()
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(b"".join(sent)))
