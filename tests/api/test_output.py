"""Rows are written as the framework would write them, but no serializer is made for each row."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model
from django.db.models.sql.compiler import SQLCompiler
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework import serializers
from rest_framework.fields import Field

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.states import State
from requests_app.doors.api import output
from requests_app.doors.api.access_requests import AccessRequestLine, AccessRequestOut
from requests_app.doors.api.grants import GrantLine
from requests_app.doors.api.ticket_shapes import TicketLine
from requests_app.models import AccessRequest, AccessRequestResource, Grant, Membership, Ticket
from requests_app.queries import access
from tests.api.test_access_requests import Calling
from tests.cast import Cast

pytestmark = pytest.mark.django_db


class Inner(serializers.Serializer):
    name = serializers.CharField()


class Outer(serializers.Serializer):
    word = serializers.CharField()
    called = serializers.CharField(source="call")
    deep = serializers.CharField(source="inner.name")
    inner = Inner()
    nothing = Inner()
    missing = serializers.CharField(default="a default")
    marked = serializers.SerializerMethodField()

    def get_marked(self, row: Any) -> str:
        return f"{row.word} {self.context['mark']}"


class Thing:
    word, nothing = 3, None
    inner = type("Inner", (), {"name": "x"})

    def call(self) -> str:
        return "was called"


def test_it_writes_what_the_framework_writes() -> None:
    for row in (Thing(), Thing()):
        assert output.shown(Outer, row, mark="!") == Outer(row, context={"mark": "!"}).data
    plain = {"name": "in a dict"}
    assert output.all_shown(Inner, [plain, plain]) == Inner([plain, plain], many=True).data
    with pytest.raises(AttributeError, match="object has no attribute 'name'"):
        output.shown(Inner, Thing())


def test_every_access_request_is_written_as_the_framework_writes_it(cast: Cast) -> None:
    states = ("PENDING_PROVIDER", "PENDING_CUSTOMER", "OPEN", "CLOSED", "DENIED")
    rows = [access.in_answer(cast.in_state(state).pk, actor=cast.as_("ada")) for state in states]
    for zone in ("UTC", "Europe/Vienna"):
        with timezone.override(zone):
            context: dict[str, Any] = {"actor": cast.as_("ada"), "at": clock.now()}
            for shape in (AccessRequestOut, AccessRequestLine):
                assert output.all_shown(shape, rows, **context) == shape(rows, many=True, context=context).data
            for shape, model in ((GrantLine, Grant), (TicketLine, Ticket)):
                found: list[Model] = list(model.objects.all())
                assert found
                assert output.all_shown(shape, found, **context) == shape(found, many=True, context=context).data


def test_fields_are_made_once(cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch) -> None:
    cast.opened()
    row = cast.confirmed()
    ada = calling("ada")
    addresses = (f"access-requests/{row.pk}", "access-requests")
    for address in addresses:
        ada.get(address)
    made: list[type] = []
    monkeypatch.setattr(Field, "__deepcopy__", lambda self, _memo: made.append(type(self)))
    for address in addresses:
        assert ada.get(address).status_code == 200
    assert made == []


def test_an_answer_is_written_as_json_once(cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its ETag is a hash of the same text."""
    row, ada = cast.confirmed(), calling("ada")
    written, dumps = list[str](), json.dumps

    def dumped(*args: Any, **more: Any) -> str:
        written.append(dumps(*args, **more))
        return written[-1]

    monkeypatch.setattr(json, "dumps", dumped)
    for address in (f"access-requests/{row.pk}", "access-requests"):
        written.clear()
        assert [ada.get(address).content.decode()] == written


def test_a_caller_can_ask_for_json_with_line_breaks(cast: Cast, calling: Calling) -> None:
    row, ada = cast.confirmed(), calling("ada")
    for address in (f"access-requests/{row.pk}", "access-requests"):
        plain, spaced = ada.get(address), ada.get(address, Accept="application/json; indent=2")
        assert spaced.content.startswith(b'{\n  "')
        assert (spaced.json(), spaced.get("ETag")) == (plain.json(), plain.get("ETag"))
        assert (spaced["Content-Type"], plain["Content-Type"]) == ("application/json", "application/json")


def test_no_context_is_left_for_the_next_row() -> None:
    output.shown(Outer, Thing(), mark="secret")
    with pytest.raises(KeyError, match="mark"):
        output.shown(Outer, Thing())


def test_a_row_to_which_several_rows_refer_is_written_once_for_each_answer() -> None:
    read: list[str] = []

    class Counted:
        def __init__(self, name: str) -> None:
            self._name = name

        @property
        def name(self) -> str:
            read.append(self._name)
            return self._name

    class Line(serializers.Serializer):
        inner = Inner()
        several = Inner(many=True)

    class Row:
        def __init__(self, *several: Counted) -> None:
            self.inner, self.several = several[0], several

    one, other = Counted("one"), Counted("other")
    rows = [Row(one, other), Row(one), Row(other, one)]
    for answers in (1, 2):
        assert output.all_shown(Line, rows) == [
            {"inner": {"name": "one"}, "several": [{"name": "one"}, {"name": "other"}]},
            {"inner": {"name": "one"}, "several": [{"name": "one"}]},
            {"inner": {"name": "other"}, "several": [{"name": "other"}, {"name": "one"}]},
        ]
        # A list and a single row have writers of their own.
        assert sorted(read) == sorted(["one", "other"] * 2 * answers)
    assert output.all_shown(Line, rows) == Line(rows, many=True).data


def test_only_the_wanted_members_are_made() -> None:
    shown = output.all_shown(Outer, [Thing()], only={"word"})
    assert shown == [{"word": "3"}]


# --- Statements ----------------------------------------------------------------------------------------------


def test_one_access_request_takes_three_statements_that_are_made_already(
    cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token with its roles, the access request with its resources, and its decisions."""
    row, ada = cast.confirmed(), calling("ada")
    ada.get(f"access-requests/{row.pk}")
    monkeypatch.setattr(SQLCompiler, "as_sql", None)
    with CaptureQueriesContext(connection) as captured:
        assert ada.get(f"access-requests/{row.pk}").status_code == 200
    sent = [query["sql"] for query in captured.captured_queries if "set_config" not in query["sql"]]
    assert len(sent) == 3, "\n".join(sent)


@pytest.mark.parametrize("who", ["ada", "pat", "priya", "stella"])
def test_one_access_request_is_read_with_only_the_columns_that_are_shown(
    cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    """None of the others is read later, and nobody outside of the caller's tenants and queues is shown one."""
    rows = [cast.in_state(state) for state in State]
    caller = calling(who)
    monkeypatch.setattr(Model, "refresh_from_db", None)
    for row in rows:
        with CaptureQueriesContext(connection) as captured:
            shown = caller.get(f"access-requests/{row.pk}")
        assert (shown.status_code, shown.json()["id"]) == (200, str(row.pk))
        assert [each["id"] for each in shown.json()["resources"]] == [str(each.pk) for each in row.resources.all()]
        assert '"password"' not in captured.captured_queries[-2]["sql"] + captured.captured_queries[-1]["sql"]
    stranger = calling("frida")
    assert stranger.get(f"access-requests/{rows[0].pk}").status_code == 404


def test_a_list_takes_three_statements_however_long_it_is(cast: Cast, calling: Calling) -> None:
    ada = calling("ada")
    ada.get("me")
    for more in (2, 6):
        for _ in range(more):
            cast.opened()
        with CaptureQueriesContext(connection) as captured:
            assert ada.get("access-requests").status_code == 200
        sent = [query["sql"] for query in captured.captured_queries if "set_config" not in query["sql"]]
        assert len(sent) == 3, "\n".join(sent)


def test_each_line_has_the_resources_of_its_access_request(cast: Cast, calling: Calling) -> None:
    rows = [cast.confirmed(), cast.opened().access_request]
    found = {item["id"]: item["resources"] for item in calling("ada").get("access-requests").json()["items"]}
    assert {str(row.pk): [each.name for each in row.resources.all()] for row in rows} == {
        pk: [each["name"] for each in resources] for pk, resources in found.items()
    }


@pytest.mark.parametrize("who", ["ada", "frida", "pat", "priya", "stella"])
@pytest.mark.parametrize("query", ["", "limit=2", "order=submitted_at"])
def test_the_first_page_of_a_list_is_read_with_texts_that_are_made_once(
    cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch, who: str, query: str
) -> None:
    """It has the rows that the caller can see, as with a filter that leaves all of them."""
    for tenant in ("contoso", "fabrikam", "contoso"):
        cast.confirmed(tenant)
    caller, address = calling(who), f"access-requests?{query}"
    all_of_it = caller.get(f"{address}&submitted_since=2000-01-01T00:00:00Z").json()["items"]
    assert all_of_it
    first = caller.get(address).json()
    monkeypatch.setattr(SQLCompiler, "as_sql", None)
    assert caller.get(address).json() == first
    assert first["items"] == all_of_it


@pytest.mark.dialect
@pytest.mark.parametrize("zone", ["UTC", "Europe/Vienna"])
def test_the_first_page_is_written_from_its_columns_as_every_other_page(
    cast: Cast, calling: Calling, monkeypatch: pytest.MonkeyPatch, settings: Any, zone: str
) -> None:
    """In every state, with a ticket and without one, with one resource and with several. No object is made of a row."""
    settings.TIME_ZONE = zone
    for state in State:
        cast.in_state(state)
    cast.submitted(resource_ids=[cast.resource(name=name).pk for name in ("sales", "finance")])
    demand = operations.Demand(authority="Court", instrument="Warrant", reference="1", date=dt.date(2026, 11, 20))
    ask = replace(cast.ask(cast.ticket()), ticket_id=None, demand=demand)
    ask = replace(ask, tenant_id=cast.contoso.pk, service_id=cast.exchange.pk)
    operations.submit(ask, actor=cast.as_("priya"))
    caller = calling("pat")
    other = caller.get("access-requests?submitted_since=2000-01-01T00:00:00Z").content
    few = caller.get("access-requests?submitted_since=2000-01-01T00:00:00Z&fields=id,grant,resources").content
    for model in (AccessRequest, AccessRequestResource, Grant, Ticket):
        monkeypatch.setattr(model, "from_db", None)
    assert caller.get("access-requests").content == other
    assert caller.get("access-requests?fields=id,grant,resources").content == few
    assert {item["state"] for item in json.loads(other)["items"]} == set(State)


def test_a_role_that_is_taken_away_is_missing_in_the_next_list(cast: Cast, calling: Calling) -> None:
    row, ada = cast.confirmed(), calling("ada")
    assert [item["id"] for item in ada.get("access-requests").json()["items"]] == [str(row.pk)]
    Membership.objects.filter(person=cast.ada).delete()
    assert ada.get("access-requests").json()["items"] == []


def test_a_list_reads_none_of_the_long_texts(cast: Cast, calling: Calling) -> None:
    cast.confirmed()
    with CaptureQueriesContext(connection) as captured:
        calling("ada").get("access-requests")
    long = [field for field in ("justification", "tried") if f'"{field}"' in str(captured.captured_queries)]
    assert AccessRequest._meta.get_field("justification")
    assert long == []
