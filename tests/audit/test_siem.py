"""The log in the formats of other systems, checked against the schemas and examples of their publishers."""

from __future__ import annotations

import csv
import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import jsonschema
import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from audit_app import canonical, decision_signatures, queries, recorder
from audit_app.decision_signatures import DecisionSignature
from audit_app.meanings import Severity
from audit_app.models import AuditEntry, ChainHead
from audit_app.shard_positions import ShardPosition, Shards
from audit_app.siem import FORMATS, Source, cef, events, ocsf
from lockbox_site import __version__
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.acts import EVENTS
from requests_app.models import Client, Resource
from tests.audit import care, cef_reader
from tests.audit.test_log import AT, _tamper, an_entry
from tests.caller import caller_for
from tests.cast import Cast
from tests.web.pages import look

SCHEMAS = Path(__file__).with_name("schemas")
TENANT = UUID("5f1f5c1e-6a37-4f0e-9e1a-3f4e0b0a1c2d")
#: Formats in which each line is a JSON object.
IN_JSON = ("jsonl", "ocsf", "o365")
OFFERED = ("ocsf", "o365", "cef")


# --- What the publishers say -------------------------------------------------------------------------------


def _validators() -> dict[str, Any]:
    published = json.loads((SCHEMAS / "ocsf-1.8.0.json").read_text())
    return {
        name: jsonschema.Draft202012Validator({**schema, "$defs": published["$defs"]})
        for name, schema in published["classes"].items()
    }


OCSF = _validators()
OFFICE_365 = jsonschema.Draft202012Validator(json.loads((SCHEMAS / "office365.json").read_text()))


def ocsf_faults(event: dict[str, Any]) -> list[str]:
    profiles = event["metadata"].get("profiles", [])
    validator = OCSF["+".join([str(event["class_uid"]), *profiles])]
    faults = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(event)]
    if event["type_uid"] != event["class_uid"] * 100 + event["activity_id"]:
        faults.append("type_uid is not class_uid * 100 + activity_id")
    return faults


def office365_faults(record: dict[str, Any]) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in OFFICE_365.iter_errors(record)]


def cef_faults(line: str) -> list[str]:
    try:
        cef_reader.read(line)
    except cef_reader.NotCef as error:
        return [str(error)]
    return []


def faults_of(kind: str, line: str) -> list[str]:
    """Return what the strict reader of this format finds wrong in a line."""
    if not line.endswith("\n") or len(line.splitlines()) != 1:
        return ["not one line"]
    if kind == "cef":
        return cef_faults(line.removesuffix("\n"))
    return {"ocsf": ocsf_faults, "o365": office365_faults}[kind](json.loads(line))


def source(tenant_id: UUID = TENANT, *first_seqs: int) -> Source:
    return Source(Shards(tenant_id, first_seqs or (0,)), vendor="Microsoft")


def exported(kind: str, tenant_id: UUID) -> list[Any]:
    """Export the whole log in one format, assert that its reader finds no fault, and return the parsed lines."""
    wanted = Source(Shards.of(tenant_id), vendor="Microsoft")
    lines = list(FORMATS[kind].lines(queries.in_order(tenant_id), wanted))
    assert all(line.endswith("\n") and len(line.splitlines()) == 1 and line.encode() for line in lines)
    if kind == "cef":
        return [cef_reader.read(line.removesuffix("\n")) for line in lines]
    found = [json.loads(line) for line in lines]
    faults = {"ocsf": ocsf_faults, "o365": office365_faults}.get(kind, lambda _: [])
    assert [fault for each in found for fault in faults(each)] == []
    return found


def an_unsaved(**fields: Any) -> AuditEntry:
    """Return an entry as the recorder would write it, without saving it."""
    entry = an_entry(TENANT, **fields)
    return recorder._appended(entry, ChainHead(tenant_id=TENANT, size=7), AT)


def one(kind: str, entry: AuditEntry, wanted: Source | None = None) -> str:
    [line] = FORMATS[kind].lines([entry], wanted or source())
    return line


def the_life_of_an_access_request(cast: Cast) -> None:
    """Do the acts of an access request from submission to closing, a denial, and acts on people and settings."""
    grant = cast.opened()
    look(cast, grant, "<1@contoso.example>")
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"), note="Enough = enough | \\ done.")
    operations.deny_as_provider(cast.submitted(by="erik").pk, actor=cast.as_("pat"), note="Ask.\nFirst.")
    ines = cast.as_("ines")
    operations.switch_lockbox(cast.contoso.pk, on=False, actor=ines)
    operations.give_role(cast.contoso.pk, cast.mia.pk, role="auditor", actor=ines)
    with pytest.raises(Exception, match="last administrator"):
        operations.take_role(cast.contoso.pk, cast.ines.pk, role="administrator", actor=ines)


# --- The schemas find faults -------------------------------------------------------------------------------


def _spoilt(event: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    copy = json.loads(json.dumps(event))
    *parents, last = path.split(".")
    at = copy
    for name in parents:
        at = at[name]
    at[last] = value
    if value is None:
        del at[last]
    return copy


def test_an_event_that_the_schema_of_ocsf_forbids_is_found() -> None:
    event = json.loads(one("ocsf", an_unsaved(event="access_request.submitted")))
    event = _spoilt(event, "action_id", 1) | {"metadata": {**event["metadata"], "profiles": ["security_control"]}}
    assert ocsf_faults(event) == []
    forbidden: list[tuple[str, Any]] = [
        ("entity", None),
        ("metadata.version", None),
        ("metadata.product", None),
        ("metadata.product", {"vendor_name": "no name"}),
        ("severity_id", 7),
        ("severity_id", "1"),
        ("time", "2026-11-25"),
        ("category_uid", 6),
        ("activity_id", 98),
        ("type_uid", 300499),
        ("invented", 1),
        ("actor.user.email_addr", "no address"),
        ("metadata.profiles", []),
    ]
    assert [(path, value) for path, value in forbidden if not ocsf_faults(_spoilt(event, path, value))] == []


def test_a_record_that_microsofts_schema_forbids_is_found() -> None:
    record = json.loads(one("o365", an_unsaved(event="access_request.approved_by_customer")))
    assert office365_faults(record) == []
    forbidden: list[tuple[str, Any]] = [
        *((name, None) for name in ("Id", "RecordType", "CreationTime", "Operation", "OrganizationId", "UserType")),
        *((name, None) for name in ("UserKey", "UserId", "ClientIP", "ExternalAccess")),
        ("Id", "17"),
        ("CreationTime", "2026-11-25T14:05:00Z"),
        ("RecordType", 5),
        ("UserType", "Regular"),
        ("ResultStatus", "ok"),
        ("Parameters", [{"Name": "RequestId"}]),
    ]
    assert [(path, value) for path, value in forbidden if not office365_faults(_spoilt(record, path, value))] == []


def test_a_line_that_cef_forbids_is_found() -> None:
    forbidden = [
        "CEF:0|v|p|1|a.b|A b|1",
        "CEF:0|v|p|1|a.b|A b|11|rt=1",
        "CEF:0|v||1|a.b|A b|1|rt=1",
        "CEF:2|v|p|1|a.b|A b|1|rt=1",
        "Nov 25 CEF:0|v|p|1|a.b|A b|1|rt=1",
        "CEF:0|v|p|1|a.b|A b|1|rt=x",
        "CEF:0|v|p|1|a.b|A b|1|rt=1 rt=2",
        "CEF:0|v|p|1|a.b|A b|1|invented=1",
        "CEF:0|v|p|1|a.b|A b|1|suser=a=b",
        "CEF:0|v|p|1|a.b|A b|1|suser=a\\b",
        "CEF:0|v|p|1|a.b|A b|1|suser=a\nb",
        "CEF:0|v|p|1|a\\=b|A b|1|rt=1",
        "CEF:0|v|p|1|a.b|A b|1|cs1Label=x",
        f"CEF:0|v|p|1|a.b|A b|1|externalId={41 * 'x'}",
        "CEF:0|v|p|1|a.b|A b|1|no key",
    ]
    assert [line for line in forbidden if not cef_faults(line)] == []


def test_the_reader_takes_the_examples_of_the_format() -> None:
    """The examples under "Character Encoding": a pipe in the header, and an equal sign and line breaks in values."""
    found = cef_reader.read(r"CEF:0|security|threatmanager|1.0|100|detected a \| in message|10|act=blocked a | suid=x")
    assert (found.name, found.extension) == ("detected a | in message", {"act": "blocked a |", "suid": "x"})
    found = cef_reader.read(r"CEF:0|security|threatmanager|1.0|100|detected a = in message|10|act=blocked a \= suid=1")
    assert (found.name, found.extension) == ("detected a = in message", {"act": "blocked a =", "suid": "1"})
    found = cef_reader.read(r"CEF:0|security|threatmanager|1.0|100|a \\ in packet|10|act=blocked a \\ reason=one.\ntwo")
    assert (found.name, found.extension) == ("a \\ in packet", {"act": "blocked a \\", "reason": "one.\ntwo"})


# --- Every event -------------------------------------------------------------------------------------------


def test_every_event_has_a_meaning_and_nothing_else_has() -> None:
    assert set(events.declared()) == EVENTS.keys()


def _faults_of_entry(kind: str, entry: AuditEntry, wanted: Source) -> list[str]:
    try:
        return faults_of(kind, one(kind, entry, wanted))
    except Exception as error:  # one event that breaks its format must not hide the others
        return [repr(error)]


def _entries_with_odd_details(tenant: UUID, event: str) -> list[recorder.Witnessed]:
    details: list[dict[str, Any]] = [
        {},
        {"role": "auditor", "person": "7", "name": "Mia", "email": "mia@contoso.example", "reference": "AR-7K2M-Q4XD"},
        {"role": 1, "person": None, "items": "none", "item": ["x"], "code": {}, "reference": True, "comment": 7},
        {"items": [{"id": "1"}, {"id": "2"}], "resource": "r", "resource_name": "finance@contoso.example", "item": "i"},
    ]
    person = {"kind": "person", "id": str(uuid4()), "name": "Ada", "side": "customer", "email": "no address"}
    entries = [an_entry(tenant, event=event, detail=detail, correlation_id=uuid4()) for detail in details]
    return [*entries, an_entry(tenant, event=event, actor=person, subject_type="", subject_id="")]


@pytest.mark.django_db
def test_every_event_is_valid_in_every_format_with_any_detail() -> None:
    tenant = uuid4()
    names = [*EVENTS, "thing.of_a_later_version", "", "a|b.c=d"]
    with transaction.atomic():
        recorder.record([entry for name in names for entry in _entries_with_odd_details(tenant, name)], at=AT)
    entries, wanted = [*queries.in_order(tenant)], Source(Shards.of(tenant), vendor="Microsoft")
    assert len(entries) == 5 * len(names) > 500
    offenders = {
        (kind, entry.event, entry.seq % 5): faults
        for kind in OFFERED
        for entry in entries
        if (faults := _faults_of_entry(kind, entry, wanted))
    }
    assert offenders == {}


def test_an_event_of_a_later_version_is_a_base_event() -> None:
    event = json.loads(one("ocsf", an_unsaved(event="thing.of_a_later_version", detail={"new": [1]})))
    assert (event["class_uid"], event["type_uid"], event["message"]) == (0, 99, "Thing of a later version")
    assert event["unmapped"]["detail"] == {"new": [1]}
    assert json.loads(one("o365", an_unsaved(event="thing.of_a_later_version")))["Operation"] == "ThingOfALaterVersion"


def test_the_version_is_the_products() -> None:
    assert json.loads(one("ocsf", an_unsaved()))["metadata"]["product"]["version"] == __version__


# --- One access request in each format ---------------------------------------------------------------------


@pytest.mark.django_db
def test_a_life_as_ocsf(cast: Cast) -> None:
    the_life_of_an_access_request(cast)
    found = exported("ocsf", cast.contoso.pk)
    assert [(each["metadata"]["event_code"], each["type_uid"], each.get("action_id")) for each in found] == [
        ("ticket.opened", 300401, None),
        ("ticket.assigned", 300403, None),
        ("access_request.submitted", 300401, None),
        ("access_request.approved_by_provider", 300499, 1),
        ("access_request.approved_by_customer", 300499, 1),
        ("content.opened", 600501, None),
        ("grant.revoked", 300502, None),
        ("ticket.opened", 300401, None),
        ("ticket.assigned", 300403, None),
        ("access_request.submitted", 300401, None),
        ("access_request.denied_by_provider", 300499, 2),
        ("lockbox.switched_off", 300409, None),
        ("role.given", 300501, None),
        ("act.refused", 600399, 2),
    ]
    by_code = {each["metadata"]["event_code"]: each for each in found}
    decided, access, revoked = (
        by_code[code] for code in ("access_request.approved_by_customer", "content.opened", "grant.revoked")
    )
    assert decided["actor"]["user"]["name"] == "Ada Test"
    assert decided["entity"]["type"] == "Access Request"
    assert {each["metadata"]["correlation_uid"] for each in (decided, access, revoked)} == {decided["entity"]["uid"]}
    # The decision that opened the window contains the grant, and later entries name this grant.
    window = decided["entity_result"]
    assert (window["type"], window["user"]["name"]) == ("Grant", "Priya Test")
    assert window["data"] == {name: decided["unmapped"]["detail"][name] for name in ("opens_at", "closes_at")}
    assert window["data"]["opens_at"] == decided["metadata"]["original_time"].replace("+00:00", "Z")
    assert [each["uid"] for each in revoked["resources"]] == [window["uid"]]
    with_window = [each["metadata"]["event_code"] for each in found if "entity_result" in each]
    assert with_window == ["access_request.approved_by_customer"]
    assert access["databucket"]["name"] == "finance@contoso.example"
    assert access["databucket"]["file"]["name"] == "<1@contoso.example>"
    # The user is the engineer of the window. The actor is the person who closed it.
    assert (revoked["user"]["name"], revoked["actor"]["user"]["name"]) == ("Priya Test", "Ada Test")
    assert revoked["unmapped"]["detail"]["comment"] == "Enough = enough | \\ done."
    assert (by_code["role.given"]["user"]["name"], by_code["role.given"]["privileges"]) == ("Mia Test", ["auditor"])
    refused = by_code["act.refused"]
    assert (refused["api"]["operation"], refused["status_id"]) == ("take_role", 2)
    assert by_code["lockbox.switched_off"]["severity_id"] == 4


@pytest.mark.django_db
def test_if_the_customer_is_not_asked_the_providers_approval_opens_the_window(cast: Cast) -> None:
    grant = cast.opened("northwind")
    [decided] = [each for each in exported("ocsf", cast.northwind.pk) if "entity_result" in each]
    assert (decided["metadata"]["event_code"], decided["type_uid"], decided["action_id"]) == (
        "access_request.approved_by_provider",
        300499,
        1,
    )
    assert decided["entity_result"]["uid"] == str(grant.pk)


@pytest.mark.django_db
def test_a_life_as_office_365_records(cast: Cast) -> None:
    the_life_of_an_access_request(cast)
    found = exported("o365", cast.contoso.pk)
    decisions = [each for each in found if each["Operation"] == "Set-AccessToCustomerDataRequest"]
    assert [
        (each["UserId"], each["UserType"], each["RecordType"], each["ExternalAccess"], each["Parameters"][1]["Value"])
        for each in decisions
    ] == [
        (cast.pat.email, 3, 1, True, "Approve"),
        (cast.ada.email, 0, 1, False, "Approve"),
        (cast.pat.email, 3, 1, True, "Deny"),
    ]
    assert decisions[0]["Parameters"][0] == {"Name": "RequestId", "Value": decisions[1]["ObjectId"]}
    access = next(each for each in found if each["Operation"] == "ContentOpened")
    assert (access["ObjectId"], access["UserId"]) == ("<1@contoso.example>", cast.priya.email)
    assert found[-1]["ResultStatus"] == "Failed"
    assert len({each["Id"] for each in found}) == len(found)
    assert [each["Id"] for each in found] == [each["Id"] for each in exported("o365", cast.contoso.pk)]


@pytest.mark.django_db
def test_a_life_as_cef(cast: Cast) -> None:
    the_life_of_an_access_request(cast)
    found = exported("cef", cast.contoso.pk)
    assert {(each.version, each.vendor, each.product) for each in found} == {(0, "Microsoft", "Customer Lockbox")}
    revoked = next(each for each in found if each.signature == "grant.revoked")
    assert (revoked.name, revoked.severity) == ("Grant revoked", 3)
    assert revoked.extension["suser"] == cast.ada.email
    assert json.loads(revoked.extension[cef.DETAIL])["comment"] == "Enough = enough | \\ done."
    assert found[-1].extension["outcome"] == "failure"
    assert found[-1].extension["reason"] == "wrong_state"


# --- Acts of clients ---------------------------------------------------------------------------------------


def _decided_by_a_machine(cast: Cast) -> None:
    found = caller_for(cast, "contoso", decides_for_id=cast.alan.pk).decide(
        "approve", cast.confirmed(), "By the rules."
    )
    assert found.status_code == 200


@pytest.mark.django_db
def test_an_office_365_record_names_the_human_and_the_client_that_decided(cast: Cast) -> None:
    _decided_by_a_machine(cast)
    client = Client.objects.get()
    [decided] = [each for each in exported("o365", cast.contoso.pk) if each["Event"].endswith("approved_by_customer")]
    assert (decided["UserId"], decided["UserKey"], decided["UserType"], decided["ExternalAccess"]) == (
        "alan@contoso.example",
        str(cast.alan.pk),
        0,
        False,
    )
    assert decided["ExtendedProperties"] == [
        {"Name": "ActedThrough", "Value": "client"},
        {"Name": "ClientId", "Value": str(client.account_id)},
        {"Name": "ClientName", "Value": "Help desk"},
    ]
    by_humans = [
        each for each in exported("o365", cast.contoso.pk) if each is not decided and each["Event"] != decided["Event"]
    ]
    assert [each for each in by_humans if "ExtendedProperties" in each] == []


@pytest.mark.django_db
def test_an_ocsf_event_names_the_human_as_the_user_and_the_client_as_the_application(cast: Cast) -> None:
    _decided_by_a_machine(cast)
    client = Client.objects.get()
    found = {each["metadata"]["event_code"]: each for each in exported("ocsf", cast.contoso.pk)}
    decided = found["access_request.approved_by_customer"]
    user = decided["actor"]["user"]
    assert (user["name"], user["email_addr"], user["type"]) == ("Alan Test", "alan@contoso.example", "User")
    assert (decided["actor"]["app_name"], decided["actor"]["app_uid"]) == ("Help desk", str(client.account_id))
    acted = decided["unmapped"]["actor"]
    assert (acted["kind"], acted["name"], acted["for"]["name"]) == ("client", "Help desk", "Alan Test")
    assert "app_name" not in found["access_request.approved_by_provider"]["actor"]


@pytest.mark.django_db
def test_a_line_of_cef_names_both(cast: Cast) -> None:
    _decided_by_a_machine(cast)
    decided = next(each for each in exported("cef", cast.contoso.pk) if each.signature.endswith("approved_by_customer"))
    assert (decided.extension["suser"], decided.extension["suid"]) == ("alan@contoso.example", str(cast.alan.pk))
    assert decided.extension["sourceServiceName"] == "Help desk"
    assert decided.labelled()["actor"] == "customer client Help desk for Alan Test"


@pytest.mark.django_db
def test_a_table_names_both(cast: Cast) -> None:
    _decided_by_a_machine(cast)
    rows = csv.DictReader(FORMATS["csv"].lines(queries.in_order(cast.contoso.pk), source(cast.contoso.pk)))
    decided = next(row for row in rows if row["event"].endswith("approved_by_customer"))
    assert (decided["actor"], decided["actor_email"], decided["actor_for"]) == ("Help desk", "", "alan@contoso.example")


def test_a_client_in_nobodys_name_is_an_application_itself() -> None:
    actor = {"kind": "client", "id": str(uuid4()), "name": "SIEM", "side": "customer", "email": ""}
    row = an_unsaved(actor=actor, event="log.exported")
    record = json.loads(one("o365", row))
    assert (record["UserId"], record["UserType"], "ExtendedProperties" in record) == ("SIEM", 5, False)
    event = json.loads(one("ocsf", row))
    assert (event["actor"]["user"]["type"], "app_name" in event["actor"]) == ("Service", False)
    assert office365_faults(record) == ocsf_faults(event) == []


@pytest.mark.parametrize(
    ("event", "action", "activity", "name"),
    [
        ("content.opened", "", 1, "Read"),
        ("content.downloaded", "", 99, "Download"),
        ("content.access_allowed", "list", 8, "List"),
        ("content.access_allowed", "read", 1, "Read"),
        ("content.access_allowed", "download", 99, "Download"),
        ("content.access_allowed", "act_as", 2, "Update"),
        ("content.access_allowed", "of a later version", 1, "Read"),
    ],
)
def test_a_download_and_a_view_have_separate_activities(event: str, action: str, activity: int, name: str) -> None:
    meaning = events.meaning_of(event, action)
    assert (meaning.family.uid, meaning.activity, meaning.activity_name) == (6005, activity, name)


def test_each_severity_has_its_number_on_the_scale_of_cef() -> None:
    numbers = {severity.name: severity.of_ten for severity in Severity}
    assert numbers == {"INFORMATIONAL": 1, "LOW": 3, "MEDIUM": 5, "HIGH": 8}


def test_a_decision_without_a_readable_signature_is_described_without_its_key() -> None:
    """The product writes no such entry, but a forged one must not stop an export."""
    key = {"passkey": str(uuid4()), "public_key": "AAAA", "manifest": "text"}
    cases: list[tuple[dict[str, Any], bool]] = [
        ({"signed": True}, True),
        ({"signed": True, "signature": "no object"}, True),
        ({"signed": False, "signature": key}, False),
    ]
    for detail, is_signed in cases:
        assert decision_signatures.of(detail) == DecisionSignature(is_signed=is_signed)
    assert decision_signatures.of({"signature": key}) is None


def test_only_a_client_acts_for_somebody_else() -> None:
    """If an entry claims that a person acts for somebody else, the export names the person.

    The product writes no such entry.
    """
    ada = {"kind": "person", "id": str(uuid4()), "name": "Ada", "side": "customer", "email": "ada@contoso.example"}
    row = an_unsaved(actor={**ada, "for": {"id": str(uuid4()), "name": "Alan", "email": "alan@contoso.example"}})
    assert json.loads(one("o365", row))["UserId"] == "ada@contoso.example"


# --- Each line can be checked ------------------------------------------------------------------------------


def _carried(kind: str, line: Any) -> tuple[int, int, str, str]:
    """Return the number, index, leaf hash and origin that a line of this format contains."""
    if kind == "cef":
        fields = line.labelled()
        return int(fields["logSequence"]), int(fields["logIndex"]), fields["leafHash"], fields["logOrigin"]
    if kind == "o365":
        return line["LogSequence"], line["LogIndex"], line["LeafHash"], line["LogOrigin"]
    fields = line["unmapped"] if kind == "ocsf" else line
    return fields["seq"], fields["index"], fields["leaf_hash"], fields["origin"]


@pytest.mark.parametrize("kind", [*IN_JSON, "cef"])
@pytest.mark.django_db
def test_each_line_carries_index_leaf_hash_and_origin(cast: Cast, kind: str, settings: Any) -> None:
    settings.LOG_ORIGIN = "lockbox.example"
    the_life_of_an_access_request(cast)
    rows = AuditEntry.objects.filter(tenant_id=cast.contoso.pk).order_by("seq")
    expected = [(row.seq, row.seq, row.leaf_hash.hex(), f"lockbox.example/log/{row.tenant_id}") for row in rows]
    assert [_carried(kind, line) for line in exported(kind, cast.contoso.pk)] == expected


@pytest.mark.parametrize("kind", [*IN_JSON, "cef"])
@pytest.mark.django_db
def test_after_a_tombstone_the_index_is_that_of_the_new_tree(cast: Cast, kind: str, settings: Any) -> None:
    settings.LOG_ORIGIN = "lockbox.example"
    cast.opened()
    tenant = cast.contoso.pk
    care.tombstone(tenant, at=clock.now())
    carried = [_carried(kind, line) for line in exported(kind, tenant)]
    assert [(seq, index) for seq, index, _, _ in carried] == [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 0)]
    assert [origin for _, _, _, origin in carried[4:]] == [
        f"lockbox.example/log/{tenant}",
        f"lockbox.example/log/{tenant}/1",
    ]


def test_places_of_many_shards(settings: Any) -> None:
    settings.LOG_ORIGIN = "lockbox.example"
    places = Shards(TENANT, (0, 3, 3, 10))
    # The second shard was closed before it had an entry.
    assert [(places.position(seq).shard, places.position(seq).index) for seq in (0, 2, 3, 9, 10, 11)] == [
        (0, 0),
        (0, 2),
        (2, 0),
        (2, 6),
        (3, 0),
        (3, 1),
    ]
    assert places.position(11) == ShardPosition(f"lockbox.example/log/{TENANT}/3", 3, 1)


@pytest.mark.django_db
def test_an_ocsf_event_holds_exactly_the_bytes_of_its_leaf(cast: Cast) -> None:
    the_life_of_an_access_request(cast)
    for event in exported("ocsf", cast.contoso.pk):
        raw = event["raw_data"].encode()
        assert canonical.leaf_hash(raw).hex() == event["unmapped"]["leaf_hash"] == event["raw_data_hash"]["value"]
        assert event["raw_data_size"] == len(raw)


def test_an_instant_is_in_milliseconds_and_never_rounded_up() -> None:
    at = dt.datetime(2026, 11, 25, 14, 5, 9, 999999, tzinfo=dt.UTC)
    row = recorder._appended(an_entry(TENANT), ChainHead(tenant_id=TENANT), at)
    assert json.loads(one("ocsf", row))["time"] == 1795615509999
    assert cef_reader.read(one("cef", row).rstrip("\n")).extension["rt"] == "1795615509999"
    record = json.loads(one("o365", row))
    assert (record["CreationTime"], record["At"]) == ("2026-11-25T14:05:09", "2026-11-25T14:05:09.999999Z")


# --- A damaged entry does not stop an export ---------------------------------------------------------------


DAMAGES = [
    b"no json \xff",
    b"[]",
    b'{"v":1}',
    b'{"a":NaN}',
    b"{}",
    b'{"actor":{},"at":"never","subject":{"type":"","id":""}}',
    b"[" * 100_000,
    b"[" * 900 + b"]" * 900,
    b'{"actor":{},"at":"2026-11-25T00:00:00Z","subject":{"type":"","id":""},"event":"","door":"","access_request":"",'
    b'"detail":{"x":' + b"[" * 60 + b"]" * 60 + b"}}",
    # Half of a surrogate pair, which UTF-8 can't encode.
    b'{"actor":{"name":"\\ud800"},"at":"2026-11-25T00:00:00Z","subject":{"type":"\\udfff","id":""},"event":"a\\ud800",'
    b'"door":"","access_request":"","detail":{"code":"\\ud800"}}',
]
#: How each format marks an entry whose bytes have been changed.
INTACT: dict[str, Callable[[Any], bool]] = {
    "ocsf": lambda line: line["unmapped"]["is_intact"],
    "o365": lambda line: line["IsIntact"],
    "cef": lambda line: "CustomerLockboxIntact" not in line.extension,
}


def _marks(kind: str, tenant: UUID) -> list[tuple[int, bool]]:
    """Return, for each exported entry, its number and whether the line marks it as intact."""
    return [(_carried(kind, line)[0], INTACT.get(kind, lambda _: True)(line)) for line in exported(kind, tenant)]


def _export_fault(kind: str, tenant: UUID) -> str:
    """Export a log of five entries, the second of them damaged. Return what is wrong with the export, or ""."""
    try:
        if kind == "csv":
            rows = FORMATS[kind].lines(queries.in_order(tenant), source(tenant))
            found, wanted = [(len("".join(rows).encode().decode().splitlines()), True)], [(6, True)]
        else:
            found, wanted = _marks(kind, tenant), [(seq, seq != 1 or kind not in INTACT) for seq in range(5)]
    except Exception as error:  # one kind of damage that stops an export must not hide the others
        return repr(error)
    return "" if found == wanted else f"{found}"


@pytest.mark.django_db(transaction=True)
def test_a_damaged_entry_is_marked_and_the_export_continues(cast: Cast) -> None:
    cast.opened()
    offenders = {}
    for damage in DAMAGES:
        _tamper("UPDATE audit_app_auditentry SET canonical = %s WHERE seq = 1", damage)
        for kind in FORMATS:
            if fault := _export_fault(kind, cast.contoso.pk):
                offenders[kind, damage[:40]] = fault
    assert offenders == {}


@pytest.mark.django_db(transaction=True)
def test_bytes_that_are_not_those_of_the_hash_are_marked(cast: Cast) -> None:
    cast.opened()
    entry = AuditEntry.objects.get(tenant_id=cast.contoso.pk, seq=1)
    _tamper("UPDATE audit_app_auditentry SET canonical = %s WHERE seq = 1", entry.canonical.replace(b"Priya", b"Penny"))
    event = exported("ocsf", cast.contoso.pk)[1]
    assert (event["actor"]["user"]["name"], event["unmapped"]["is_intact"], event["severity_id"]) == (
        "Penny Test",
        False,
        4,
    )


# --- Any text in any field ---------------------------------------------------------------------------------

#: Every text that can be stored. Canonical JSON can't encode half of a surrogate pair.
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
HOSTILE = TEXT | st.lists(
    st.sampled_from(
        ["\\", "=", "|", "\n", "\r", " ", "\u2028", "\u2029", "\x85", "\x0b", "\x00", "a=", " suser=x", "CEF:0|"]
    )
).map("".join)


def _one_break(text: str) -> str:
    """Return a text as CEF contains it: CEF has only two kinds of line break, which replace all others."""
    for mark in "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029":
        text = text.replace(mark, "\n")
    return text.replace("\x00", "\ufffd")


@given(name=HOSTILE, email=HOSTILE, item=HOSTILE, comment=HOSTILE, subject=HOSTILE, door=HOSTILE)
def test_any_text_in_any_field_is_one_line_that_reads_back(
    name: str, email: str, item: str, comment: str, subject: str, door: str
) -> None:
    actor = {"kind": "person", "id": str(TENANT), "name": name, "side": "customer", "email": email}
    detail = {"item": item, "comment": comment, "person": subject, comment: [item]}
    entry = an_unsaved(event="content.opened", actor=actor, detail=detail, subject_id=subject, door=door)
    for kind in (*IN_JSON, "cef"):
        line = one(kind, entry)
        assert line.endswith("\n")
        assert len(line.splitlines()) == 1
        assert line.encode().decode() == line
    assert canonical.encode(json.loads(one("jsonl", entry))["entry"]) == entry.canonical
    event = json.loads(one("ocsf", entry))
    assert ocsf_faults(event) == []
    assert event["raw_data"].encode() == entry.canonical
    assert (event["unmapped"]["detail"], event["unmapped"]["actor"], event["unmapped"]["door"]) == (detail, actor, door)
    record = json.loads(one("o365", entry))
    assert (record["Detail"], record["ActorName"], record["SubjectId"], record["Door"]) == (detail, name, subject, door)
    read = cef_reader.read(one("cef", entry).removesuffix("\n")).extension
    assert json.loads(read[cef.DETAIL]) == detail
    expected = {"suser": email or name, "fname": item, "duid": subject, "deviceFacility": door}
    for key, value in expected.items():
        assert read.get(key, "") == _one_break(value)


@given(vendor=HOSTILE.filter(lambda text: text.strip("\r\n\x00\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029 ")), event=HOSTILE)
def test_any_text_in_the_header_is_one_line_that_reads_back(vendor: str, event: str) -> None:
    event = f"x.{event}"[:64]
    line = one("cef", an_unsaved(event=event), Source(Shards(TENANT), vendor=vendor))
    assert len(line.splitlines()) == 1
    read = cef_reader.read(line.removesuffix("\n"))
    # The header has no escape for a line break, so a space replaces it.
    assert read.vendor == _one_break(vendor).replace("\r", " ").replace("\n", " ")
    assert read.signature == _one_break(event).replace("\r", " ").replace("\n", " ")


# --- Number of queries -------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_windows_cost_one_look_each_at_most_and_no_other_line_costs_any(cast: Cast) -> None:
    tenant = cast.contoso.pk
    grants = [cast.opened(by="priya"), cast.opened(by="erik")]
    for grant in grants:
        look(cast, grant, *"abcdefgh", by=grant.access_request.requested_by.email.partition("@")[0])
        operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    entries = list(queries.in_order(tenant))
    with CaptureQueriesContext(connection) as captured:
        found = [json.loads(line) for line in ocsf.lines(entries, source(tenant))]
    assert len(captured) == 2
    assert [each["user"]["name"] for each in found if each["class_uid"] == 3005] == ["Priya Test", "Erik Test"]
    with CaptureQueriesContext(connection) as captured:
        for kind in ("jsonl", "o365", "cef", "csv"):
            assert len(list(FORMATS[kind].lines(entries, source(tenant)))) >= len(entries)
    assert len(captured) == 0


@pytest.mark.django_db
def test_a_window_whose_beginning_is_not_in_the_log_any_more_has_an_unknown_user() -> None:
    event = json.loads(one("ocsf", an_unsaved(event="grant.closed", correlation_id=uuid4(), detail={"grant": "g"})))
    assert ocsf_faults(event) == []
    assert event["user"] == {"name": "unknown", "type_id": 0, "type": "Unknown"}
    assert Resource.objects.count() == 0
