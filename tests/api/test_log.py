"""The log over the API: entries, checkpoints and proofs. A reader can verify all of this without the product."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import connection

from audit_app import canonical, checkpoints, keys, search, search_index, tree
from audit_app.models import AuditEntry, ChainHead, Checkpoint
from audit_app.notes import Head, Note
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.events import PROVIDER_LOG
from requests_app.domain.scopes import Scope
from requests_app.queries import log_search
from tests.audit.test_log import _tamper
from tests.caller import Caller
from tests.cast import Cast
from tests.offenders import collected
from tests.witness import SmallWitness
from verify import lockbox_verify as lv

pytestmark = pytest.mark.django_db

Calling = Callable[..., Caller]


def signed(log_id: Any) -> Checkpoint:
    made = checkpoints.sign(log_id, at=clock.now())
    assert made is not None
    return made


def path(cast: Cast, rest: str = "") -> str:
    return f"tenants/{cast.contoso.pk}/log{rest and f'/{rest}'}"


def seqs(response: Any) -> list[int]:
    assert response.status_code == 200, response.content
    return [each["seq"] for each in response.json()["items"]]


# --- Entries -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ada", "otto", "ines", "stella", "contoso", None])
def test_a_reader_of_the_log_gets_every_entry_in_order(cast: Cast, calling: Calling, name: str | None) -> None:
    cast.opened()
    caller = calling(name, Scope.LOG_READ)
    rows = list(AuditEntry.objects.filter(tenant_id=cast.contoso.pk).order_by("seq"))
    found = caller.get(path(cast, "entries"))
    assert seqs(found) == [row.seq for row in rows] == list(range(len(rows)))
    for shown, row in zip(found.json()["items"], rows, strict=True):
        assert shown["record"].encode() == bytes(row.canonical)
        assert shown["leaf_hash"] == canonical.leaf_hash(shown["record"].encode()).hex()
        assert (shown["event"], shown["index"], shown["is_intact"]) == (row.event, row.seq, True)
        assert shown["origin"] == checkpoints.origin_of(cast.contoso.pk, 0)


def test_reading_an_entry_writes_no_entry(cast: Cast, calling: Calling) -> None:
    cast.opened()
    caller = calling("otto")
    before = AuditEntry.objects.count()
    caller.get(path(cast, "entries"))
    caller.get(path(cast, "entries/1"))
    assert AuditEntry.objects.count() == before


@pytest.mark.parametrize("name", ["mia", "erik", "pat"])
def test_nobody_else_does(cast: Cast, calling: Calling, name: str) -> None:
    cast.opened()
    found = calling(name).get(path(cast, "entries"))
    assert found.status_code in (403, 404)
    assert b"AR-" not in found.content


def test_without_the_scope_nothing_of_it_is_read(cast: Cast, calling: Calling) -> None:
    caller = calling("otto", Scope.REQUESTS_READ)
    for rest in ("", "entries", "entries/0", "entries/0/proof", "checkpoints", "checkpoint", "consistency/0/1"):
        found = caller.get(path(cast, rest))
        assert (found.status_code, found.json()["code"]) == (403, "insufficient_scope"), rest
        assert 'scope="log:read"' in found["WWW-Authenticate"]


def test_each_filter_lets_through_what_it_says(cast: Cast, calling: Calling) -> None:
    grant = cast.opened()
    row = grant.access_request
    other = cast.submitted(by="erik")
    caller = calling("otto")
    rows = list(AuditEntry.objects.filter(tenant_id=cast.contoso.pk).order_by("seq"))

    def asked(**query: Any) -> list[int]:
        return seqs(caller.get(path(cast, "entries"), query))

    def those(wanted: Callable[[AuditEntry], bool]) -> list[int]:
        found = [each.seq for each in rows if wanted(each)]
        assert 0 < len(found) < len(rows)
        return found

    event = "access_request.submitted"
    assert asked(event=event) == those(lambda each: each.event == event)
    assert asked(actor=str(cast.pat.pk)) == those(lambda each: each.actor_id == cast.pat.pk)
    assert asked(access_request=str(row.pk)) == those(lambda each: each.correlation_id == row.pk)
    on_it = those(lambda each: each.correlation_id == row.pk or each.subject_id == str(row.ticket_id))
    assert asked(ticket=str(row.ticket_id)) == on_it
    last = rows[-2]
    assert asked(since=last.at.isoformat()) == those(lambda each: each.at >= last.at)
    assert asked(until=last.at.isoformat()) == those(lambda each: each.at < last.at)
    assert asked(after=1) == those(lambda each: each.seq > 1)
    assert asked(before=2) == those(lambda each: each.seq < 2)
    assert asked(after=0, before=2, order="-seq") == [1]
    both = those(lambda each: each.event == event and each.correlation_id == other.pk)
    assert asked(event=event, access_request=str(other.pk)) == both


def test_a_search_for_words_combines_with_each_filter_and_order(
    cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_index, "SEGMENT", 8)
    grant = cast.opened()
    cast.submitted(by="erik")
    rows = list(AuditEntry.objects.filter(tenant_id=cast.contoso.pk).order_by("seq"))
    search_index.work(lambda: False)
    reference = grant.access_request.reference
    caller = calling("otto")

    def asked(**query: Any) -> list[int]:
        return seqs(caller.get(path(cast, "entries"), query))

    about = [row.seq for row in rows if reference in row.text]
    assert 1 < len(about) < len(rows)
    assert asked(q=reference.lower()) == about
    assert asked(q=reference.lower(), order="-seq") == about[::-1]
    assert asked(q=reference, after=about[0]) == about[1:]
    assert asked(q=reference, before=about[-1]) == about[:-1]
    event = rows[about[0]].event
    assert asked(q=reference, event=event) == [seq for seq in about if rows[seq].event == event]
    who = rows[about[-1]].actor_id
    assert asked(q=reference, actor=str(who)) == [seq for seq in about if rows[seq].actor_id == who]
    at = rows[about[1]].at
    assert asked(q=reference, since=at.isoformat()) == [seq for seq in about if rows[seq].at >= at]
    assert asked(q=reference, until=at.isoformat()) == [seq for seq in about if rows[seq].at < at]
    pk = str(grant.access_request_id)
    assert asked(q="AR-", access_request=pk) == [
        row.seq for row in rows if str(row.correlation_id) == pk and "AR-" in row.text
    ]
    assert asked(q="nowhere") == asked(q=f"{reference} nowhere") == []
    assert seqs(calling("frida").get(f"tenants/{cast.fabrikam.pk}/log/entries", {"q": reference})) == []


def test_pages_of_a_search_have_every_entry_once_in_both_directions(
    cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_index, "SEGMENT", 8)
    for _ in range(5):
        cast.opened()
    search_index.work(lambda: False)
    rows = AuditEntry.objects.filter(tenant_id=cast.contoso.pk).order_by("seq")
    expected = [row.seq for row in rows if "ar-" in row.text.lower()]
    assert len(expected) > 5
    caller = calling("otto")
    for order, wanted in (("seq", expected), ("-seq", expected[::-1])):
        pages = [caller.get(path(cast, "entries"), {"limit": "2", "q": "AR-", "order": order})]
        while (link := pages[-1].json()["next"]) is not None:
            pages.append(caller.get(link))
        assert [seq for page in pages for seq in seqs(page)] == wanted
        back = [pages[-1]]
        while (link := back[-1].json()["previous"]) is not None:
            back.append(caller.get(link))
        assert [seqs(page) for page in back[::-1]] == [seqs(page) for page in pages]


def test_a_search_that_must_read_too_much_is_refused(
    cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_search, "MOST_READ", 3)
    monkeypatch.setattr(search, "AT_ONCE", 2)
    cast.opened()
    found = calling("otto").get(path(cast, "entries"), {"q": "nowhere"})
    assert (found.status_code, found.json()["errors"][0]["field"]) == (422, "q")


def test_a_ticket_of_another_tenant_finds_nothing(cast: Cast, calling: Calling) -> None:
    theirs = cast.submitted("fabrikam").ticket_id
    cast.opened()
    for ticket in (theirs, uuid4()):
        assert seqs(calling("otto").get(path(cast, "entries"), {"ticket": str(ticket)})) == []


def test_a_malformed_filter_is_refused(cast: Cast, calling: Calling) -> None:
    cases = [
        {"event": "no.such"},
        {"after": "-1"},
        {"after": "1.0"},
        {"after": "٣"},
        {"after": str(2**53 + 1)},
        {"actor": "ada"},
        {"since": "yesterday"},
        {"since": "0001-01-01T00:00:00+14:00"},
        {"until": "9999-12-31T23:59:59-12:00"},
        {"event": ""},
        {"q": " "},
        {"q": "x" * 121},
        {"q": "nul\x00"},
    ]
    otto = calling("otto")
    with collected() as case:
        for query in cases:
            with case(query):
                found = otto.get(path(cast, "entries"), query)
                assert (found.status_code, found.json()["errors"][0]["field"]) == (422, next(iter(query)))


def test_pages_lead_through_all_of_it_while_it_grows(cast: Cast, calling: Calling) -> None:
    cast.opened()
    caller, found = calling("otto"), []
    page = caller.get(path(cast, "entries"), {"limit": "2", "fields": "seq,event"})
    while True:
        found += seqs(page)
        assert {frozenset(each) for each in page.json()["items"]} == {frozenset({"seq", "event"})}
        if len(found) == 2:
            cast.submitted(by="erik")
        if page.json()["next"] is None:
            break
        page = caller.get(page.json()["next"])
    assert found == list(range(ChainHead.objects.get(pk=cast.contoso.pk).size))


def test_one_entry_says_who_acted_and_for_whom(cast: Cast, calling: Calling) -> None:
    row = cast.confirmed()
    calling("contoso", decides_for_id=cast.alan.pk).decide("approve", row)
    seq = AuditEntry.objects.get(event="access_request.approved_by_customer").seq
    found = calling("otto").get(path(cast, f"entries/{seq}"))
    assert found.status_code == 200
    actor = found.json()["actor"]
    assert (actor["kind"], actor["name"], actor["side"]) == ("client", "Help desk", "customer")
    assert actor["in_name_of"] == {"id": str(cast.alan.pk), "name": "Alan Test", "email": "alan@contoso.example"}
    again = calling("otto").get(path(cast, f"entries/{seq}"), If_None_Match=found["ETag"])
    assert again.status_code == 304


@pytest.mark.parametrize("seq", [99, 2**70])
def test_an_entry_that_is_not_there_is_absent(cast: Cast, calling: Calling, seq: int) -> None:
    cast.opened()
    for rest in ("", "/proof"):
        assert calling("otto").get(path(cast, f"entries/{seq}{rest}")).status_code == 404


def test_a_damaged_entry_is_shown_as_what_it_is(cast: Cast, calling: Calling) -> None:
    cast.opened()
    statement = "UPDATE audit_app_auditentry SET canonical = %s WHERE tenant_id = %s AND seq = 1"
    tenant = cast.contoso.pk if connection.vendor == "postgresql" else cast.contoso.pk.hex
    _tamper(statement, b"no json \xff", tenant)
    found = calling("otto").get(path(cast, "entries")).json()["items"]
    assert [(each["seq"], each["is_intact"]) for each in found[:3]] == [(0, True), (1, False), (2, True)]
    assert (found[1]["record"], found[1]["detail"]) == (None, {})


# --- The log's state -----------------------------------------------------------------------------------------


def test_the_state_of_a_log_is_read(cast: Cast, calling: Calling) -> None:
    cast.opened()
    caller = calling("otto")
    size = ChainHead.objects.get(pk=cast.contoso.pk).size
    before = caller.get(path(cast)).json()
    assert (before["size"], before["signed_size"], before["signed_at"], before["alarm"]) == (size, 0, None, None)
    signed(cast.contoso.pk)
    after = caller.get(path(cast)).json()
    key = keys.log_key(checkpoints.origin_of(cast.contoso.pk, 0), keys.load().publics[0])
    assert (after["signed_size"], after["keys"], after["shard"]) == (size, [str(key)], 0)


# --- Checkpoints and proofs ----------------------------------------------------------------------------------


def test_checkpoints_are_listed_the_newest_first(cast: Cast, calling: Calling) -> None:
    cast.opened()
    signed(cast.contoso.pk)
    cast.submitted(by="erik")
    signed(cast.contoso.pk)
    caller = calling("otto")
    found = caller.get(path(cast, "checkpoints")).json()["items"]
    rows = list(Checkpoint.objects.filter(tenant_id=cast.contoso.pk).order_by("-size"))
    assert [each["size"] for each in found] == [row.size for row in rows]
    assert len(rows) == 2
    assert found[0]["note"] == rows[0].note
    assert base64.b64decode(found[0]["root"]) == bytes(rows[0].root)
    assert caller.get(path(cast, "checkpoints"), {"shard": 1}).json()["items"] == []


def test_a_checkpoint_carries_what_its_witness_signed(cast: Cast, calling: Calling) -> None:
    cast.opened()
    signed(cast.contoso.pk)
    row = Checkpoint.objects.get(tenant_id=cast.contoso.pk)
    witness = SmallWitness()
    at = clock.now()
    line = witness.line(Head.parse(Note.parse(row.note).text))
    row.cosignatures.create(tenant_id=cast.contoso.pk, vkey=witness.vkey, line=line, at=at)
    caller = calling("otto")
    [listed] = caller.get(path(cast, "checkpoints")).json()["items"]
    text = caller.get(path(cast, "checkpoint"), Accept="text/plain")
    assert [each["witness"] for each in listed["cosigned"]] == [witness.vkey]
    assert listed["note"] == text.content.decode() == caller.get(path(cast, "checkpoint")).json()["note"]
    assert text["Content-Type"] == "text/plain; charset=utf-8"
    assert listed["note"].count("\n— ") == row.note.count("\n— ") + 1


def test_the_apis_answers_verify_offline(cast: Cast, calling: Calling, tmp_path: Path) -> None:
    """The verifier gets only what the API returned: the key, the entries, the proofs and the consistency proof."""
    cast.opened()
    signed(cast.contoso.pk)
    caller = calling("contoso", Scope.LOG_READ)
    text = caller.get(path(cast, "checkpoint"), Accept="text/plain").content.decode()
    cast.submitted(by="erik")
    signed(cast.contoso.pk)
    newest = caller.get(path(cast, "checkpoint"), Accept="text/plain").content.decode()
    [vkey] = caller.get(path(cast)).json()["keys"]
    old, new = (int(each.split("\n")[1]) for each in (text, newest))
    growth = caller.get(path(cast, f"consistency/{old}/{new}"), Accept="text/plain").content.decode()
    options = lv.Options(
        keys=[lv.key_of(vkey)], previous=lv.checkpoint_of(text.encode()), consistency=lv.growth_of(growth.encode())
    )
    for entry in caller.get(path(cast, "entries"), {"before": new}).json()["items"]:
        proof = caller.get(path(cast, f"entries/{entry['seq']}/proof"), Accept="text/plain")
        (tmp_path / "entry.tlog-proof").write_bytes(proof.content)
        verdict = lv.verify(tmp_path / "entry.tlog-proof", options)
        assert (verdict["result"], verdict["problems"]) == ("good", []), verdict
        answer = caller.get(path(cast, f"entries/{entry['seq']}/proof")).json()
        assert answer["record"] == entry["record"]
        root = base64.b64decode(answer["checkpoint"].split("\n")[2])
        hashes = [base64.b64decode(each) for each in answer["path"]]
        assert lv.is_included(answer["index"], new, bytes.fromhex(entry["leaf_hash"]), hashes, root)


def test_a_consistency_proof_in_json_leads_from_one_root_to_the_other(cast: Cast, calling: Calling) -> None:
    cast.opened()
    signed(cast.contoso.pk)
    cast.submitted(by="erik")
    signed(cast.contoso.pk)
    caller = calling("otto")
    new, old = caller.get(path(cast, "checkpoints")).json()["items"]
    answer = caller.get(path(cast, f"consistency/{old['size']}/{new['size']}")).json()
    older, newer = (base64.b64decode(each["root"]) for each in (old, new))
    hashes = [base64.b64decode(each) for each in answer["path"]]
    assert answer["old"] == old["size"]
    assert lv.is_consistent(old["size"], new["size"], older, newer, hashes)


def test_an_entry_that_waits_for_its_checkpoint_says_so(cast: Cast, calling: Calling) -> None:
    cast.opened()
    for accept in ("application/json", "text/plain"):
        found = calling("otto").get(path(cast, "entries/0/proof"), Accept=accept)
        assert (found.status_code, json.loads(found.content)["code"]) == (409, "not_yet_signed")
        assert found["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("rest", ["checkpoint", "consistency/0/9", "consistency/9/1"])
def test_an_unsigned_proof_is_missing(cast: Cast, calling: Calling, rest: str) -> None:
    cast.opened()
    assert calling("otto").get(path(cast, rest)).status_code == 404


def test_an_unknown_export_format_is_refused(cast: Cast, calling: Calling) -> None:
    cast.opened()
    signed(cast.contoso.pk)
    found = calling("otto").get(path(cast, "checkpoint"), Accept="application/xml")
    assert (found.status_code, found.json()["code"]) == (406, "not_acceptable")


# --- The provider's log --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["stella", None])
def test_staff_and_the_providers_clients_read_the_providers_log(cast: Cast, calling: Calling, name: str | None) -> None:
    operations.create_client(tenant_id=None, name="Gate", scopes=["evaluate"], actor=cast.as_("stella"))
    signed(PROVIDER_LOG)
    caller = calling(name, Scope.LOG_READ)
    found = caller.get("log/entries").json()["items"]
    assert "client.created" in [each["event"] for each in found]
    assert caller.get("log").json()["signed_size"] > 0
    proof = caller.get("log/entries/0/proof").json()
    assert proof["checkpoint"] == caller.get("log/checkpoint").json()["note"]
    assert [each["note"] for each in caller.get("log/checkpoints").json()["items"]] == [proof["checkpoint"]]
    assert caller.get("log/entries/0").json()["seq"] == 0


@pytest.mark.parametrize("name", ["stella", None])
def test_they_have_proof_that_it_grew_and_export_it_too(cast: Cast, calling: Calling, name: str | None) -> None:
    operations.create_client(tenant_id=None, name="Gate", scopes=["evaluate"], actor=cast.as_("stella"))
    caller = calling(name, Scope.LOG_READ)
    old = signed(PROVIDER_LOG)
    operations.create_client(tenant_id=None, name="Desk", scopes=["log:read"], actor=cast.as_("stella"))
    new = signed(PROVIDER_LOG)
    grown = caller.get(f"log/consistency/{old.size}/{new.size}").json()
    path = [base64.b64decode(each) for each in grown["path"]]
    tree.check_consistency(old.size, new.size, bytes(old.root), bytes(new.root), path)
    response = caller.get("log/export", {"after": str(old.size - 1)})
    lines = [json.loads(line) for line in b"".join(response.streaming_content).splitlines()]
    assert 'attachment; filename="provider-log-' in response["Content-Disposition"]
    assert [each["entry"]["event"] for each in lines] == ["client.created", "log.exported"]
    row = AuditEntry.objects.filter(tenant_id=PROVIDER_LOG).latest("seq")
    assert (row.event, row.door, row.subject_type) == ("log.exported", "api", "log")
    detail = json.loads(bytes(row.canonical))["detail"]
    assert detail == {"format": "jsonl", "filters": {"after": str(old.size - 1)}}


@pytest.mark.parametrize("name", ["priya", "pat", "ada", "ines", "contoso"])
def test_nobody_else_reads_it(cast: Cast, calling: Calling, name: str) -> None:
    caller = calling(name)
    read = ("", "/entries", "/entries/0", "/entries/0/proof", "/checkpoint", "/checkpoints")
    for rest in (*read, "/consistency/1/2", "/export"):
        found = caller.get(f"log{rest}")
        assert (found.status_code, found.json()["code"]) == (403, "not_allowed"), rest
    assert not AuditEntry.objects.filter(event="log.exported").exists()
