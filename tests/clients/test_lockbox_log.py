"""Tests `lockbox log` and `lockbox watch` with a real server. The program runs as users install it."""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from audit_app.exported_entries import ExportedEntry
from audit_app.models import AuditEntry
from requests_app import operations
from tests.cast import Cast
from tests.clients.terminal import Shell

pytestmark = pytest.mark.django_db(transaction=True)

Shells = Callable[..., Shell]


def newest(cast: Cast, tenant: str = "contoso") -> AuditEntry:
    return AuditEntry.objects.filter(tenant_id=cast.tenants[tenant].pk).order_by("-seq")[0]


def test_the_newest_entries_are_shown_the_last_one_below(cast: Cast, shell: Shells) -> None:
    otto, row = shell("otto"), cast.confirmed()
    names, *lines = otto("log", "tail", "-n", "2").out.splitlines()
    assert names.split("\t") == ["SEQ", "AT", "EVENT", "BY", "ABOUT", "LEAF HASH"]
    last = newest(cast)
    seq, _at, event, who, about, leaf = lines[-1].split("\t")
    assert (seq, event, who) == (str(last.seq), "access_request.approved_by_provider", "Pat Test")
    assert (about, leaf) == (row.reference, bytes(last.leaf_hash).hex())
    assert lines[0].startswith(f"{last.seq - 1}\t")


def test_an_export_is_the_hashed_text_line_by_line(cast: Cast, shell: Shells) -> None:
    otto = shell("otto")
    cast.confirmed()
    cast.confirmed("fabrikam")
    ended = otto("log", "export")
    assert ended.status == 0, ended.err
    assert [line["seq"] for line in ended.lines] == list(range(newest(cast).seq + 1))
    for line in ended.lines:
        assert hashlib.sha256(b"\0" + line["record"].encode()).hexdigest() == line["leaf_hash"]
    assert "fabrikam" not in ended.out
    later = otto("log", "export", "--after", "0").lines
    assert later == ended.lines[1:]


def test_an_export_into_a_file_is_for_its_owner_and_overwrites_nothing(
    cast: Cast, shell: Shells, tmp_path: Path
) -> None:
    cast.confirmed()
    file, otto = tmp_path / "log.jsonl", shell("otto")
    assert (otto("log", "export", "-o", str(file)).status, stat.S_IMODE(file.stat().st_mode)) == (0, 0o600)
    was = file.read_text()
    assert otto("log", "export", "-o", str(file)).status == 2
    assert file.read_text() == was
    refused = shell("mia")("log", "export", "-o", str(tmp_path / "none.jsonl"), "--json")
    assert (refused.status, json.loads(refused.err)["code"]) == (1, "not_allowed")
    assert not (tmp_path / "none.jsonl").exists()


def test_an_entry_that_was_changed_is_noticed_here(cast: Cast, shell: Shells, monkeypatch: pytest.MonkeyPatch) -> None:
    cast.confirmed()

    def changed(_self: object, entry: ExportedEntry) -> str:
        return entry.raw.replace("Pat", "Bea")

    monkeypatch.setattr("requests_app.doors.api.log.LogEntryOut.get_record", changed)
    otto = shell("otto")
    ended = otto("log", "export", "--json")
    assert (ended.status, json.loads(ended.err)["code"]) == (1, "damaged")
    assert all(line["is_intact"] for line in ended.lines)
    assert "DAMAGED" in otto("log", "tail").out


def test_the_log_is_followed(cast: Cast, shell: Shells) -> None:
    otto, row = shell("otto"), cast.confirmed()
    with otto.running("log", "tail", "-n", "1", "--follow", "--json") as following:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["event"] == "access_request.approved_by_provider"
        operations.deny_as_customer(row.pk, actor=cast.as_("ada"), note="No.")
        assert json.loads(following.stdout.readline())["event"] == "access_request.denied_by_customer"


def test_events_are_watched_as_they_happen(cast: Cast, shell: Shells) -> None:
    row = cast.confirmed()
    with shell("ada").running(
        "watch", "--count", "1", "--type", "access_request.denied_by_customer", "--json"
    ) as watching:
        assert watching.stdout is not None
        assert watching.stderr is not None
        assert "--after" in watching.stderr.readline()
        cast.ticket()
        operations.deny_as_customer(row.pk, actor=cast.as_("ada"), note="No.")
        event = json.loads(watching.stdout.readline())
        assert (event["type"], event["data"]["reference"]) == ("access_request.denied_by_customer", row.reference)
        assert watching.wait() == 0


def test_missed_events_are_printed_from_a_cursor_on(cast: Cast, shell: Shells) -> None:
    ada, row = shell("ada"), cast.confirmed()
    shown = ada("watch", "--after", "0", "--count", "5", "--json").lines
    assert [line["type"] for line in shown][-2:] == ["access_request.submitted", "access_request.approved_by_provider"]
    [line] = ada(
        "watch", "--after", shown[-2]["cursor"], "--count", "1", "--type", "access_request.approved_by_provider"
    ).out.splitlines()
    assert line.split("\t")[1:] == ["access_request.approved_by_provider", row.reference, "PENDING_CUSTOMER"]


def test_a_person_who_may_not_read_the_log_learns_it_immediately(cast: Cast, shell: Shells) -> None:
    for words in (["log", "tail"], ["watch", "--after", "0"]):
        ended = shell("mia")(*words, "--json")
        assert (ended.status, ended.out, json.loads(ended.err)["code"]) == (1, "", "not_allowed")
    ended = shell("ada")("log", "tail", "--tenant", str(cast.fabrikam.pk), "--json")
    assert (ended.status, json.loads(ended.err)["code"]) == (1, "not_found")
    assert shell("ada")("log", "tail", "--provider").status == 1
    assert shell("stella")("log", "tail", "--provider").status == 0
