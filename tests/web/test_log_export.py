"""The export of the log in every format. An export can continue where the last one ended."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.test import Client
from django.urls import reverse

from audit_app.models import AuditEntry, ChainHead
from audit_app.siem import FORMATS
from requests_app import operations
from requests_app.content import downloads
from requests_app.domain import clock
from requests_app.domain.errors import NotAllowed
from requests_app.doors.web import _progress
from requests_app.platform import long_calls
from tests.audit import cef_reader
from tests.audit.test_siem import ocsf_faults, office365_faults
from tests.cast import Cast, events_in
from tests.web.pages import nothing_happens, signed_in
from tests.web.test_log import body, exported, filled, text, url

pytestmark = pytest.mark.django_db


def numbers(kind: str, response: Any) -> list[int]:
    """Return the number of the entry in each line of an export."""
    content = body(response)
    if kind == "csv":
        return [int(row["seq"]) for row in csv.DictReader(io.StringIO(content))]
    if kind == "cef":
        return [int(cef_reader.read(line).labelled()["logSequence"]) for line in content.splitlines()]
    lines = [json.loads(line) for line in content.splitlines()]
    name = {"jsonl": lambda line: line["seq"], "ocsf": lambda line: line["unmapped"]["seq"]}
    return [name.get(kind, lambda line: line["LogSequence"])(line) for line in lines]


def lose(cast: Cast, how: str) -> None:
    """Take away Otto's right to read the log, in this way."""
    if how == "person":
        operations.switch_off_person(cast.people["otto"].pk, actor=cast.as_("stella"))
        return
    # Without any role, he would no longer belong to the tenant.
    operations.give_role(cast.contoso.pk, cast.people["otto"].pk, role="member", actor=cast.as_("ines"))
    operations.take_role(cast.contoso.pk, cast.people["otto"].pk, role="auditor", actor=cast.as_("ines"))


@pytest.mark.parametrize(
    ("kind", "content_type", "ending"),
    [
        ("csv", "text/csv; charset=utf-8", "csv"),
        ("jsonl", "application/jsonl; charset=utf-8", "jsonl"),
        ("ocsf", "application/jsonl; charset=utf-8", "ocsf.jsonl"),
        ("o365", "application/jsonl; charset=utf-8", "o365.jsonl"),
        ("cef", "text/plain; charset=utf-8", "cef"),
    ],
)
def test_every_format_is_offered_and_holds_the_whole_log(cast: Cast, kind: str, content_type: str, ending: str) -> None:
    cast.opened()
    client = signed_in(cast, "otto")
    assert url(cast.contoso, "log_export", kind) in client.get(url(cast.contoso)).content.decode()
    response = exported(client, cast, kind)
    assert (response.status_code, response["Content-Type"]) == (200, content_type)
    assert response["Content-Disposition"].endswith(f'Z.{ending}"')
    assert response["Cache-Control"] == "no-store"
    # The last line is the entry about the export.
    assert numbers(kind, response) == [0, 1, 2, 3, 4, 5]
    entry = AuditEntry.objects.filter(event="log.exported").get()
    assert json.loads(bytes(entry.canonical))["detail"] == {"format": kind, "filters": {}}


def test_each_export_has_the_form_of_its_format(cast: Cast) -> None:
    cast.opened()
    client = signed_in(cast, "otto")
    lines = [json.loads(line) for line in body(exported(client, cast, "ocsf")).splitlines()]
    assert [fault for line in lines for fault in ocsf_faults(line)] == []
    assert lines[0]["metadata"]["product"]["vendor_name"] == "Microsoft"
    lines = [json.loads(line) for line in body(exported(client, cast, "o365")).splitlines()]
    assert [fault for line in lines for fault in office365_faults(line)] == []


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_an_export_continues_where_the_last_one_ended(cast: Cast, kind: str) -> None:
    client, seen, after = signed_in(cast, "otto"), [], ""
    filled(cast, 3)
    for _ in range(4):
        response = exported(client, cast, kind, after=after)
        filled(cast, 2)  # the log grows during the download, but its end was fixed before
        found = numbers(kind, response)
        assert found[-1] == ChainHead.objects.get(pk=cast.contoso.pk).size - 3
        seen += found
        after = str(found[-1])
    assert seen == list(range(len(seen)))
    assert len(seen) == 3 + 4 + 3 * 2


def test_the_place_is_in_the_entry_of_the_export_the_first_number_too(cast: Cast) -> None:
    filled(cast, 3)
    assert numbers("jsonl", exported(signed_in(cast, "otto"), cast, "jsonl", after="0")) == [1, 2, 3]
    entry = AuditEntry.objects.filter(event="log.exported").get()
    assert json.loads(bytes(entry.canonical))["detail"]["filters"] == {"after": "0"}


def test_place_and_filters_hold_together(cast: Cast) -> None:
    filled(cast, 3)
    filled(cast, 2, event="ticket.closed")
    filled(cast, 1)
    client = signed_in(cast, "otto")
    assert numbers("ocsf", exported(client, cast, "ocsf", after="3", event="ticket.closed")) == [4]
    assert numbers("ocsf", exported(client, cast, "ocsf", after="99")) == []


@pytest.mark.parametrize("after", ["-1", "x", "1.5", "1e3", str(2**63), "0x1", "\x00"])
def test_a_malformed_place_in_the_log_is_refused(cast: Cast, after: str) -> None:
    cast.ticket()
    with nothing_happens():
        assert exported(signed_in(cast, "otto"), cast, "ocsf", after=after).status_code == 400


@pytest.mark.parametrize(("name", "status"), [("mia", 403), ("frida", 404), ("priya", 404), ("pat", 404)])
def test_only_readers_of_the_log_can_export_it(cast: Cast, name: str, status: int) -> None:
    cast.ticket()
    for kind in FORMATS:
        assert exported(signed_in(cast, name), cast, kind).status_code == status
    assert "log.exported" not in events_in(cast.contoso)


def test_the_page_asks_for_the_place_in_words(cast: Cast) -> None:
    cast.ticket()
    page = signed_in(cast, "otto").get(url(cast.contoso))
    assert "Only entries after number" in text(page)
    assert "The new file begins with the next entry." in text(page)


# --- The progress of a download --------------------------------------------------------------------------


def progress_text(client: Client, cast: Cast, download: UUID) -> str:
    response = client.get(reverse("web:evidence_progress", args=[cast.contoso.pk, download]))
    assert response.status_code == 200
    return text(response)


def test_the_page_names_a_download_and_asks_how_far_it_is(cast: Cast) -> None:
    cast.opened()
    client = signed_in(cast, "otto")
    page = client.get(url(cast.contoso)).content.decode()
    [download] = re.findall(r'name="download" value="([0-9a-f-]{36})"', page)
    assert 'data-download="download-progress"' in page
    assert f'hx-get="{reverse("web:evidence_progress", args=[cast.contoso.pk, download])}"' in page
    body(exported(client, cast, "csv", download=download))
    assert progress_text(client, cast, UUID(download)) == "The file is complete: 6 entries."
    # The id of the download is not a filter, so the entry and the next page do not contain it.
    entry = AuditEntry.objects.filter(event="log.exported").get()
    assert json.loads(bytes(entry.canonical))["detail"] == {"format": "csv", "filters": {}}
    assert download not in client.get(url(cast.contoso)).content.decode()


@pytest.mark.parametrize("kind", sorted(FORMATS))
def test_the_page_hears_how_far_an_export_is(cast: Cast, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_progress, "_LEAST", 1)
    filled(cast, 1200)
    client, download = signed_in(cast, "otto"), uuid4()
    assert progress_text(client, cast, download) == "The file is being prepared."
    response = exported(client, cast, kind, download=str(download))
    seen = []
    for _chunk in response.streaming_content:
        seen.append(progress_text(client, cast, download))
    # The progress has at most two hundred steps.
    assert re.fullmatch(r"4[89]\d of 1,201 entries|500 of 1,201 entries", seen[0])
    assert progress_text(client, cast, download) == "The file is complete: 1,201 entries."


def test_a_filter_counts_what_it_found_and_a_place_only_what_comes_after(cast: Cast) -> None:
    cast.opened()
    client = signed_in(cast, "otto")
    for asked, found in (
        ({"event": "ticket.opened"}, "1 entry"),
        ({"after": "4"}, "2 entries"),
        ({"q": "xyz"}, "0 entries"),
    ):
        download = uuid4()
        body(exported(client, cast, "jsonl", download=str(download), **asked))
        assert progress_text(client, cast, download) == f"The file is complete: {found}."


def test_an_interrupted_export_is_reported_as_incomplete(cast: Cast) -> None:
    filled(cast, 1200)
    client, download = signed_in(cast, "otto"), uuid4()
    response = exported(client, cast, "jsonl", download=str(download))
    next(iter(response.streaming_content))
    # Do what response.close() does, except closing the test's connection.
    for close in response._resource_closers:
        close()
    assert "The download was interrupted." in progress_text(client, cast, download)


def test_one_person_has_a_few_exports_under_way_and_no_more(cast: Cast) -> None:
    """An export holds a thousand entries in memory until its reader continues to read."""
    filled(cast, 1200)
    client = signed_in(cast, "otto")
    running = [exported(client, cast, "jsonl") for _ in range(long_calls.MOST_PER_PERSON)]
    for response in running:
        next(iter(response.streaming_content))
    before = events_in(cast.contoso)
    assert exported(client, cast, "jsonl").status_code == 429
    assert events_in(cast.contoso) == before, "nothing left the house"
    assert exported(signed_in(cast, "ada"), cast, "jsonl").status_code == 200
    for close in running[0]._resource_closers:
        close()
    assert exported(client, cast, "jsonl").status_code == 200


def test_nobody_hears_of_another_persons_export(cast: Cast) -> None:
    cast.ticket()
    download = uuid4()
    body(exported(signed_in(cast, "otto"), cast, "csv", download=str(download)))
    assert "complete" not in progress_text(signed_in(cast, "ada"), cast, download)


def test_a_download_that_is_no_name_is_refused(cast: Cast) -> None:
    cast.ticket()
    with nothing_happens():
        assert exported(signed_in(cast, "otto"), cast, "csv", download="../x").status_code == 400


@pytest.mark.parametrize("how", ["role", "person"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "cef"])
def test_an_export_stops_within_a_second_of_the_role(
    cast: Cast, kind: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(cast, 1600)
    otto, present = signed_in(cast, "otto"), clock.monotonic()
    monkeypatch.setattr(clock, "monotonic", lambda: present)
    response = exported(otto, cast, kind)
    chunks = iter(response.streaming_content)
    sent = [next(chunks)]
    lose(cast, how)
    present += downloads.REREAD_SECONDS - 0.1
    sent.append(next(chunks))
    present += 0.2
    sent.append(next(chunks))
    with pytest.raises(NotAllowed):
        next(chunks)
    *lines, last = b"".join(sent).decode().split("\n")
    assert len(lines) == 1000
    assert last.startswith('"This file is not complete')
    with pytest.raises((csv.Error, ValueError)):
        {"csv": lambda: list(csv.reader([last], strict=True)), "jsonl": lambda: json.loads(last)}.get(
            kind, lambda: cef_reader.read(last)
        )()
