"""The log as a file over the API: exports and evidence. Each download writes an entry, and needs permission."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.signals import request_finished
from django.db import close_old_connections

from audit_app import search_index
from audit_app.models import AuditEntry, ChainHead
from audit_app.siem import FORMATS
from requests_app import operations
from requests_app.content import downloads
from requests_app.domain.scopes import Scope
from requests_app.platform import long_calls
from tests.api.test_log import path, signed
from tests.audit import bundles
from tests.caller import Caller
from tests.cast import Cast
from verify import lockbox_verify as lv

pytestmark = pytest.mark.django_db

Calling = Callable[..., Caller]


@pytest.fixture(autouse=True)
def _every_place_is_given_back() -> Iterator[None]:
    yield
    assert long_calls.under_way() == 0


def body(response: Any) -> bytes:
    assert response.status_code == 200, response.content
    return b"".join(response.streaming_content)


def last_entry(cast: Cast) -> tuple[str, str, Any]:
    row = AuditEntry.objects.filter(tenant_id=cast.contoso.pk).latest("seq")
    return row.event, row.door, json.loads(bytes(row.canonical))["detail"]


# --- Exports -------------------------------------------------------------------------------------------------


def test_an_export_has_the_entries_with_certain_words(
    cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_index, "SEGMENT", 8)
    cast.opened()
    cast.opened()
    search_index.work(lambda: False)
    rows = AuditEntry.objects.filter(tenant_id=cast.contoso.pk).order_by("seq")
    expected = [row.seq for row in rows if "AR-" in row.text]
    assert expected
    lines = body(calling("otto").get(path(cast, "export"), {"q": "ar-"})).decode().splitlines()
    assert [json.loads(line)["index"] for line in lines] == expected
    assert last_entry(cast)[2]["filters"] == {"q": "ar-"}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", ["otto", "contoso"])
def test_every_format_is_had_and_its_own_entry_is_the_last_line(
    cast: Cast, calling: Calling, kind: str, name: str
) -> None:
    cast.opened()
    caller = calling(name, Scope.LOG_READ)
    response = caller.get(path(cast, "export"), {"format": kind})
    assert response["Content-Type"] == FORMATS[kind].content_type
    assert response["Content-Disposition"].endswith(f'Z.{FORMATS[kind].ending}"')
    lines = body(response).decode().splitlines()
    assert len(lines) == ChainHead.objects.get(pk=cast.contoso.pk).size + FORMATS[kind].has_header
    assert last_entry(cast) == ("log.exported", "api", {"format": kind, "filters": {}})


def test_an_export_continues_after_a_number_and_records_its_filters(cast: Cast, calling: Calling) -> None:
    grant = cast.opened()
    caller = calling("otto")
    fields = {"after": "2", "access_request": str(grant.access_request_id)}
    found = [json.loads(line) for line in body(caller.get(path(cast, "export"), fields)).splitlines()]
    assert [line["seq"] for line in found] == [3, 4]
    assert [line["entry"]["access_request"] for line in found] == [fields["access_request"]] * 2
    assert last_entry(cast) == ("log.exported", "api", {"format": "jsonl", "filters": fields})


def test_a_cursor_beyond_the_end_is_refused_and_leaves_no_entry(cast: Cast, calling: Calling) -> None:
    cast.opened()
    caller = calling("otto")
    before = AuditEntry.objects.count()
    found = caller.get(path(cast, "export"), {"after": "99"})
    assert (found.status_code, found.json()["errors"][0]["field"]) == (422, "after")
    assert AuditEntry.objects.count() == before


@pytest.mark.parametrize(
    "query", [{"format": "xml"}, {"format": ""}, {"cursor": "x"}, {"since": "0001-01-01T00:00+14:00"}]
)
def test_an_invalid_download_is_refused_without_an_entry(cast: Cast, calling: Calling, query: dict[str, str]) -> None:
    cast.opened()
    caller = calling("otto")
    before = AuditEntry.objects.count()
    assert caller.get(path(cast, "export"), query).status_code in (400, 422)
    assert AuditEntry.objects.count() == before


@pytest.mark.parametrize("rest", ["export", "evidence"])
def test_head_of_a_file_is_refused(cast: Cast, calling: Calling, rest: str) -> None:
    cast.opened()
    caller = calling("otto")
    before = AuditEntry.objects.count()
    assert caller("head", path(cast, rest)).status_code == 405
    assert AuditEntry.objects.count() == before


def test_without_the_scope_nothing_leaves(cast: Cast, calling: Calling) -> None:
    row = cast.opened().access_request
    signed(cast.contoso.pk)
    caller = calling("otto", Scope.REQUESTS_READ)
    before = AuditEntry.objects.count()
    for address in (path(cast, "export"), path(cast, "evidence"), f"access-requests/{row.pk}/evidence"):
        found = caller.get(address)
        assert (found.status_code, found.json()["code"]) == (403, "insufficient_scope")
    assert AuditEntry.objects.count() == before


@pytest.mark.parametrize("name", ["priya", "mia"])
def test_evidence_of_an_access_request_needs_the_right_to_read_the_log(cast: Cast, calling: Calling, name: str) -> None:
    row = cast.opened().access_request
    signed(cast.contoso.pk)
    caller = calling(name)
    before = AuditEntry.objects.count()
    assert caller.get(f"access-requests/{row.pk}/evidence").status_code in (403, 404)
    assert AuditEntry.objects.count() == before


@pytest.mark.parametrize("what", ["token", "role"])
def test_an_export_stops_when_its_reader_may_not_read_any_more(
    cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(downloads, "REREAD_SECONDS", 0.0)
    monkeypatch.setattr(downloads.in_batches, "__kwdefaults__", {"size": 1})
    cast.opened()
    caller = calling("otto")
    chunks = iter(caller.get(path(cast, "export")).streaming_content)
    assert json.loads(next(chunks))["seq"] == 0
    if what == "token":
        operations.revoke_token(cast.otto.tokens.get().pk, actor=cast.as_("otto"))
    else:
        operations.give_role(cast.contoso.pk, cast.otto.pk, role="member", actor=cast.as_("ines"))
        operations.take_role(cast.contoso.pk, cast.otto.pk, role="auditor", actor=cast.as_("ines"))
    assert next(chunks).startswith(b'"This file is not complete')
    with pytest.raises(Exception, match="role"):
        next(chunks)


def test_a_caller_takes_two_files_at_a_time_and_no_third_has_an_entry(cast: Cast, calling: Calling) -> None:
    cast.opened()
    caller = calling("otto")
    running = [caller.get(path(cast, "export")) for _ in range(2)]
    before = AuditEntry.objects.count()
    refused = caller.get(path(cast, "export"))
    assert (refused.status_code, refused.json()["code"]) == (429, "too_many")
    assert AuditEntry.objects.count() == before
    request_finished.disconnect(close_old_connections)
    for each in running:
        each.close()
    request_finished.connect(close_old_connections)


# --- Evidence ------------------------------------------------------------------------------------------------


def test_evidence_that_was_taken_by_token_alone_verifies_offline(cast: Cast, calling: Calling, tmp_path: Path) -> None:
    row = cast.opened().access_request
    signed(cast.contoso.pk)
    caller = calling("contoso", Scope.LOG_READ, Scope.REQUESTS_READ)
    signed(cast.contoso.pk)
    [vkey] = caller.get(path(cast)).json()["keys"]
    for address, about in (
        (path(cast, "evidence"), {"kind": "log"}),
        (
            f"access-requests/{row.pk}/evidence",
            {"kind": "access_request", "access_request": str(row.pk), "reference": row.reference},
        ),
    ):
        response = caller.get(address)
        assert response["Content-Type"] == "application/zip"
        bundle = body(response)
        assert last_entry(cast) == ("log.evidence_taken", "api", about)
        assert bundles.manifest_of(bundles.files_of(bundle))["kind"] == about["kind"]
        (tmp_path / "evidence.zip").write_bytes(bundle)
        verdict = lv.verify(tmp_path / "evidence.zip", lv.Options(keys=[lv.key_of(vkey)]))
        assert (verdict["result"], verdict["problems"]) == ("good", []), verdict


def test_evidence_of_a_period_holds_the_period(cast: Cast, calling: Calling) -> None:
    cast.opened()
    signed(cast.contoso.pk)
    at = AuditEntry.objects.get(tenant_id=cast.contoso.pk, seq=2).at
    bundle = body(calling("otto").get(path(cast, "evidence"), {"since": at.isoformat()}))
    manifest = bundles.manifest_of(bundles.files_of(bundle))
    assert (manifest["kind"], manifest["until"]) == ("period", None)
    assert last_entry(cast)[2]["kind"] == "period"


def test_before_anything_is_signed_there_is_no_evidence_and_no_entry(cast: Cast, calling: Calling) -> None:
    cast.opened()
    caller = calling("otto")
    before = AuditEntry.objects.count()
    found = caller.get(path(cast, "evidence"))
    assert (found.status_code, found.json()["code"]) == (409, "not_yet_signed")
    assert AuditEntry.objects.count() == before


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"kept": "77"}, "kept"),
        ({"kept": "x"}, "kept"),
        ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "until"),
    ],
)
def test_evidence_that_can_not_be_is_refused(cast: Cast, calling: Calling, query: dict[str, str], field: str) -> None:
    cast.opened()
    signed(cast.contoso.pk)
    caller = calling("otto")
    before = AuditEntry.objects.count()
    found = caller.get(path(cast, "evidence"), query)
    assert (found.status_code, found.json()["errors"][0]["field"]) == (422, field)
    assert AuditEntry.objects.count() == before
