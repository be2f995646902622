"""The columns of a model are made once, and every statement is what Django alone would send."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from typing import Any
from unittest.mock import Mock
from uuid import UUID, uuid4

import pytest
from django.apps import apps
from django.db import connection
from django.db.migrations.state import ModelState, ProjectState
from django.db.models import CharField, Exists, Expression, F, FilteredRelation, OuterRef, Q, QuerySet
from django.db.models.sql.compiler import SQLCompiler

from requests_app.models import AccessRequest, Decision, Grant, Membership, OutboxMessage, Person, Plan, Ticket
from requests_app.platform.database import compiler
from requests_app.platform.database.compiled import CompiledQuery

pytestmark = [pytest.mark.django_db, pytest.mark.dialect]

AT = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
QUERIES: list[Callable[[], QuerySet[Any]]] = [
    lambda: Ticket.objects.filter(assignee__email="a@x.example").select_related("assignee", "opened_by"),
    lambda: Ticket.objects.filter(opened_by__email="a@x.example").select_related("assignee", "opened_by"),
    lambda: Ticket.objects.select_related("assignee", "opened_by").filter(opened_by__email="a@x.example"),
    lambda: Ticket.objects.select_related("tenant__plan").order_by("tenant__name", "-opened_at"),
    lambda: Ticket.objects.select_related("tenant__plan").order_by(F("opened_at").desc(nulls_last=True), "pk"),
    lambda: Ticket.objects.select_related(),
    lambda: Ticket.objects.select_related("tenant"),
    lambda: AccessRequest.objects.select_related("grant", "ticket"),
    lambda: AccessRequest.objects.filter(grant__closed_by=None).select_related("grant__closed_by", "previous"),
    lambda: AccessRequest.objects.select_related("previous__grant__closed_by", "grant", "requested_by").order_by("pk"),
    lambda: Grant.objects.select_related("access_request__previous__grant", "access_request__ticket"),
    lambda: (
        AccessRequest.objects.annotate(one=FilteredRelation("grant", condition=Q(grant__level="read")))
        .filter(one__pk__gt=0)
        .select_related("one")
    ),
    lambda: Ticket.objects.select_related("tenant").only("title", "tenant__name"),
    lambda: Ticket.objects.defer("body"),
    lambda: Ticket.objects.order_by("?"),
    lambda: Ticket.objects.order_by("pk").reverse(),
    lambda: Ticket.objects.order_by().distinct(),
    lambda: Ticket.objects.filter(tenant__name="x").distinct().order_by("tenant__name"),
    lambda: Ticket.objects.annotate(of=F("tenant__name")).order_by("of", "title"),
    lambda: Ticket.objects.extra(select={"one": "1"}).order_by("one"),  # noqa: S610 - a fixed text
    lambda: Ticket.objects.extra(order_by=["-requests_app_ticket.title"]),  # noqa: S610 - a fixed text
    lambda: Ticket.objects.values("title", "tenant__name").order_by("title"),
    lambda: Ticket.objects.filter(title="x").union(Ticket.objects.all()).order_by("title"),
    lambda: Ticket.objects.none().union(Ticket.objects.filter(title="x")),
    lambda: Ticket.objects.filter(Exists(AccessRequest.objects.filter(ticket=OuterRef("pk")))),
    lambda: Ticket.objects.filter(access_requests__in=AccessRequest.objects.select_related("tenant").all()[:5]),
    lambda: Person.objects.filter(memberships__tenant__slug="x").order_by("memberships__role"),
    lambda: Membership.objects.select_related("person", "tenant").locked(),
    lambda: Decision.objects.select_related("access_request__requested_by", "access_request__ticket__assignee"),
]


def _djangos(query: Any) -> Any:
    """Return Django's compiler for a copy of the query."""
    made = super(type(connection.ops), connection.ops).compiler("SQLCompiler")
    return made(query.clone(), connection, "default")


def _is_as_djangos(queryset: QuerySet[Any], with_col_aliases: bool = False) -> bool:
    ours = queryset.query.get_compiler("default")
    assert isinstance(ours, compiler.ColumnsOnce)
    theirs = _djangos(queryset.query)
    assert not isinstance(theirs, compiler.ColumnsOnce)
    texts = ours.as_sql(with_col_aliases=with_col_aliases), theirs.as_sql(with_col_aliases=with_col_aliases)
    columns = [[(str(column), text, alias) for column, text, alias in each.select] for each in (ours, theirs)]
    return texts[0] == texts[1] and columns[0] == columns[1] and _tables(ours.klass_info) == _tables(theirs.klass_info)


def _tables(info: Any) -> Any:
    if info is None:
        return None
    below = [_tables(each) for each in info.get("related_klass_infos", ())]
    return info["model"], info["select_fields"], info.get("field"), below


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "_known", {})


def test_each_statement_is_djangos_however_often_and_in_whichever_order() -> None:
    for queries in (QUERIES, QUERIES, QUERIES[::-1]):
        different = [str(make().query) for make in queries if not _is_as_djangos(make())]
        assert different == []
    assert _is_as_djangos(QUERIES[0](), with_col_aliases=True)


def test_each_model_with_each_relation_is_selected_as_django_selects_it() -> None:
    different = []
    for model in apps.get_models():
        rows: QuerySet[Any] = model._base_manager.all()
        relations = [field.name for field in model._meta.fields if field.is_relation]
        relations += [each.field.related_query_name() for each in model._meta.related_objects if each.one_to_one]
        for queryset in (rows, *(rows.select_related(name) for name in relations), rows.select_related(*relations)):
            for again in (queryset, queryset.order_by("pk"), queryset.filter(pk=None), queryset.all()[:3]):
                if not _is_as_djangos(again):
                    different.append(str(again.query))
    assert different == []


def test_the_columns_of_a_plain_query_are_made_and_compared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def columns(email: str) -> Any:
        rows = Ticket.objects.filter(assignee__email=email).select_related("tenant").order_by("title")
        made = rows.query.get_compiler("default")
        made.as_sql()
        return made.select

    first = columns("a@x.example")
    monkeypatch.setattr(SQLCompiler, "get_select", None)
    monkeypatch.setattr(Expression, "__hash__", None)
    second, third = columns("b@x.example"), columns("c@x.example")
    assert first == second == third
    assert second is not third, "Django may change the list"


def _converters(queryset: QuerySet[Any]) -> tuple[Any, Any]:
    """Return the functions that convert values, by the place of their column: ours and Django's."""
    found = []
    for made in (queryset.query.get_compiler("default"), _djangos(queryset.query)):
        made.as_sql()
        fields = [column for column, _text, _alias in made.select[: made.col_count]]
        converters = made.get_converters(fields)
        assert all(fields[place] is column for place, (_functions, column) in converters.items())
        found.append({place: list(map(_plain, functions)) for place, (functions, _column) in converters.items()})
    ours, theirs = found
    return ours, theirs


def _plain(function: Any) -> Any:
    """Return the function of a backend's method. Any connection to the same kind of database has the same ones."""
    is_of_backend = isinstance(getattr(function, "__self__", None), type(connection.ops))
    return function.__func__ if is_of_backend else function


def test_values_are_converted_by_the_functions_that_django_finds() -> None:
    different = []
    for _ in range(2):
        for model in apps.get_models():
            rows: QuerySet[Any] = model._base_manager.all()
            relations = [field.name for field in model._meta.fields if field.is_relation]
            for queryset in (rows, rows.select_related(*relations), rows.values("pk"), rows.only("pk")):
                ours, theirs = _converters(queryset)
                if ours != theirs:
                    different.append((str(queryset.query), ours, theirs))
    assert different == []


def test_the_functions_that_convert_values_are_searched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    row = OutboxMessage(topic="x", about=uuid4(), key="x", created_at=AT, next_attempt_at=AT, payload={"a": [1]})
    row.save()
    rows = OutboxMessage.objects.filter(pk=row.pk)
    by_key = CompiledQuery(lambda key: rows.annotate(of=F("tenant__name")).filter(key=key), key=CharField())
    assert [each.payload for each in (rows.get(), *by_key(key="x"))] == [{"a": [1]}] * 2
    monkeypatch.setattr(SQLCompiler, "get_converters", None)
    assert [each.payload for each in (rows.get(), *by_key(key="x"))] == [{"a": [1]}] * 2


def test_a_model_with_columns_in_its_parents_table_is_left_to_django() -> None:
    assert not compiler._can_be_joined_again({}, Mock(parents={Plan: Mock()}), [])
    assert compiler._can_be_joined_again({}, Mock(parents={}), [])


def test_a_model_of_a_migration_is_not_known() -> None:
    """It has the same name as the present model, and may have other columns."""
    state = ProjectState()
    state.add_model(ModelState.from_model(Plan))
    list(state.apps.get_model("requests_app", "Plan")._base_manager.all())
    assert compiler._known == {}
    list(Plan.objects.all())
    assert [(model, joined) for model, joined, _later in compiler._known] == [(Plan, ())]


def test_an_id_or_an_instant_that_occurs_again_is_converted_once() -> None:
    """What its reader could change is made for each row."""
    calls: list[str] = []

    def noted(make: Callable[[str], Any]) -> Any:
        def convert(value: str, *_: object) -> Any:
            calls.append(value)
            return make(value)

        return [convert], None

    made = compiler.ColumnsOnce(AccessRequest.objects.all().query, connection, "default")
    key, at = str(uuid4()), AT.isoformat()
    converters = {0: noted(UUID), 1: noted(dt.datetime.fromisoformat), 2: noted(json.loads)}
    first, second = made.apply_converters([(key, at, "[]"), (key, at, "[]")], converters)
    assert first == second == [UUID(key), AT, []]
    assert calls == [key, at, "[]", "[]"]
    assert first[2] is not second[2]
