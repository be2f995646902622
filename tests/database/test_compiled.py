"""A compiled query stores its SQL text, but no values, rows or decisions."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import BooleanField, CharField, F, Prefetch, QuerySet, UUIDField, Value
from django.db.models.sql.compiler import SQLCompiler
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext

from lockbox_site.sessions import SessionStore
from requests_app.domain import clock
from requests_app.domain.actors import Actor, Role
from requests_app.domain.errors import NotFound
from requests_app.models import (
    AccessRequest,
    AccessRequestResource,
    Decision,
    Heartbeat,
    Membership,
    OutboxMessage,
    Person,
    Plan,
    Tenant,
    Token,
)
from requests_app.models.people import actor_of, find_token, reread
from requests_app.models.scoping import CompiledFind, CompiledVisible
from requests_app.platform.database import compiled
from requests_app.platform.database.compiled import CompiledIn, CompiledQuery, are_any, counts, together
from requests_app.queries import access
from tests.caller import token_of
from tests.cast import Cast
from tests.conftest import Traveller

pytestmark = pytest.mark.django_db
AT = dt.datetime(2026, 11, 25, 14, 5, 0, 123456, tzinfo=dt.UTC)


def _with_tenant(person: Any) -> QuerySet[Any]:
    rows = Membership.objects.select_related("tenant__plan").annotate(mail=F("person__email"))
    return rows.filter(person_id=person, role="approver").order_by("tenant__name")


def _facts(row: Any) -> tuple[object, ...]:
    return row, row._state.db, row.mail, row.given_at, row.tenant.name, row.tenant.plan.name


def test_it_returns_what_the_queryset_returns(cast: Cast, django_assert_num_queries: Any) -> None:
    compiled = CompiledQuery(_with_tenant, person=UUIDField())
    for person in (cast.ada, cast.frida, cast.ada, cast.mia):
        with django_assert_num_queries(1):
            found = [_facts(row) for row in compiled(person=person.pk)]
        assert found == [_facts(row) for row in _with_tenant(person.pk)]
    assert [_facts(row) for row in compiled(person=str(cast.ada.pk))]


def test_it_sends_the_text_and_the_values_that_django_sends(cast: Cast) -> None:
    compiled = CompiledQuery(_with_tenant, person=UUIDField())
    compiled(person=cast.frida.pk)
    with CaptureQueriesContext(connection) as captured:
        compiled(person=cast.ada.pk)
        list(_with_tenant(cast.ada.pk))
    ours, djangos = (query["sql"] for query in captured.captured_queries)
    assert ours == djangos


def test_it_is_compiled_once(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = CompiledQuery(_with_tenant, person=UUIDField())
    compiled(person=cast.frida.pk)
    monkeypatch.setattr(SQLCompiler, "as_sql", None)
    assert compiled(person=cast.ada.pk)


def test_it_reads_the_rows_at_each_call() -> None:
    by_name = CompiledQuery(
        lambda name: Plan.objects.filter(name=name).values_list("includes_lockbox"), name=CharField()
    )
    assert by_name(name="New") == []
    plan = Plan.objects.create(name="New", includes_lockbox=False)
    assert by_name(name="New") == [(False,)]
    Plan.objects.filter(pk=plan.pk).update(includes_lockbox=True)
    assert by_name(name="New") == [(True,)]


def test_it_reads_in_the_present_transaction() -> None:
    by_name = CompiledQuery(lambda name: Plan.objects.filter(name=name), name=CharField())
    with transaction.atomic():
        Plan.objects.create(name="New")
        assert by_name(name="New")
        transaction.set_rollback(True)
    assert not by_name(name="New")


def test_a_value_is_never_a_part_of_the_text() -> None:
    by_name = CompiledQuery(lambda name: Plan.objects.filter(name=name), name=CharField())
    for name in ("' OR ''='", "%s", "100 %", '"; --'):
        assert by_name(name=name) == []
        plan = Plan.objects.create(name=name)
        assert by_name(name=name) == [plan]


@pytest.mark.parametrize("values", [{}, {"name": None}, {"name": "a", "pk": 1}, {"pk": 1}])
def test_a_missing_value_is_refused(values: dict[str, Any]) -> None:
    by_name = CompiledQuery(lambda name: Plan.objects.filter(name=name), name=CharField())
    with pytest.raises(TypeError):
        by_name(**values)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_query_that_locks_rows_runs_only_in_a_transaction() -> None:
    locks = CompiledQuery(lambda name: Plan.objects.filter(name=name).select_for_update(), name=CharField())
    Plan.objects.create(name="New", includes_lockbox=False)
    for _ in range(2):
        with CaptureQueriesContext(connection) as captured, transaction.atomic():
            assert [plan.name for plan in locks(name="New")] == ["New"]
        assert [sql for sql in (query["sql"] for query in captured.captured_queries) if "FOR UPDATE" in sql]
        # It is refused even if the text is made already.
        with pytest.raises(TransactionManagementError):
            locks(name="New")


@pytest.mark.dialect
def test_a_row_is_inserted_and_updated_as_django_does_it(cast: Cast) -> None:
    fields: dict[str, Any] = {"tenant_id": cast.contoso.pk, "topic": "a", "about": cast.ada.pk, "created_at": AT}
    payload = {"audiences": ["é", "\u2028"], "n": 1}
    rows = [OutboxMessage(key=f"key {n}", payload=payload, next_attempt_at=AT, **fields) for n in range(4)]
    rows[0].save(force_insert=True)
    compiled.insert(rows[1:3])
    compiled.insert([rows[1], rows[3]], skips_known=True)
    found = [_values(row) for row in OutboxMessage.objects.filter(topic="a").order_by("key")]
    assert found == [_values(row) for row in rows]
    assert [{**each, "id": 0, "key": ""} for each in found] == [{**found[0], "id": 0, "key": ""}] * 4
    assert not rows[2]._state.adding
    with pytest.raises(IntegrityError), transaction.atomic():
        compiled.insert([rows[1]])
    rows[2].state, rows[2].payload, rows[2].topic = "parked", None, "not saved"
    with pytest.raises(IntegrityError), transaction.atomic():
        compiled.update(rows[2], "state", "payload")
    rows[2].payload = {}
    compiled.update(rows[2], "state", "payload")
    rows[2].topic = "a"
    assert _values(OutboxMessage.objects.get(pk=rows[2].pk)) == _values(rows[2])
    gone = OutboxMessage(key="gone", next_attempt_at=AT, **fields)
    # As Django does it: the interfaces then answer that nothing was changed (503).
    with pytest.raises(DatabaseError):
        compiled.update(gone, "state")


@pytest.mark.dialect
def test_a_row_is_stored_whether_the_table_has_its_key_or_not() -> None:
    old = Heartbeat(name="old", at=AT, pid=1, detail="é")
    old.save(force_insert=True)
    rows = [Heartbeat(name="old", at=AT + dt.timedelta(seconds=1), pid=2), Heartbeat(name="new", at=AT, pid=2)]
    with CaptureQueriesContext(connection) as captured:
        compiled.store(rows)
    assert len([query for query in captured.captured_queries if query["sql"].startswith("INSERT")]) == 1
    found = {row.name: _values(row) for row in Heartbeat.objects.filter(name__in=("old", "new"))}
    assert found == {row.name: _values(row) for row in rows}


def _values(row: Any) -> dict[str, Any]:
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


@pytest.mark.dialect
def test_a_query_with_a_time_is_refused() -> None:
    """On SQLite, Django passes a time as a text. There the time must be found too (see `clock.column`)."""

    def in_condition(is_active: Any) -> QuerySet[Any]:
        return Person.objects.active().filter(is_active=is_active, created_at__lt=clock.now())

    def in_column(is_active: Any) -> QuerySet[Any]:
        return Person.objects.active().filter(is_active=is_active).annotate(now=Value(clock.here()))

    for make in (in_condition, in_column):
        with pytest.raises(ValueError, match="time"):
            CompiledQuery(make, is_active=BooleanField())(is_active=True)


def test_no_two_texts_are_made_from_one_query(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads can make the text of a query at once, and Django changes a query while it makes the text.

    If they shared the query, one of them could drop a join from the other's text. This wrong text would be used
    from then on.
    """
    by_person = CompiledQuery(_with_tenant, person=UUIDField())
    plain, queries = SQLCompiler.as_sql, []

    def interrupted(compiler: SQLCompiler, *args: Any, **options: Any) -> Any:
        queries.append(compiler.query)
        if len(queries) == 1:
            by_person(person=cast.frida.pk)
        return plain(compiler, *args, **options)

    monkeypatch.setattr(SQLCompiler, "as_sql", interrupted)
    assert by_person(person=cast.ada.pk)
    assert len(queries) == len({id(query) for query in queries}) > 1


def test_a_call_that_begins_during_another_one_changes_nothing_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads share a compiled query, so one thread can call it between two steps of another thread's call."""
    by_name = CompiledQuery(
        lambda name: Plan.objects.filter(name=name).values_list("name", flat=True), name=CharField()
    )
    for name in ("mine", "theirs"):
        Plan.objects.create(name=name)
    found: list[Any] = []

    def interrupted(shared: Any) -> Any:
        monkeypatch.undo()
        found.extend(by_name(name="theirs"))
        return copy(shared)

    monkeypatch.setattr(compiled, "copy", interrupted)
    assert (by_name(name="mine"), found) == (["mine"], ["theirs"])


@pytest.mark.parametrize(
    "kind",
    [
        lambda rows: rows.select_related("plan"),
        lambda rows: rows.select_related("plan").annotate(twice=F("window_cap") * 2).only("name", "plan__name"),
        lambda rows: rows.values_list("pk", "plan__name"),
        lambda rows: rows.values_list("name", flat=True),
    ],
)
def test_the_results_are_those_of_django(cast: Cast, kind: Callable[[Any], Any]) -> None:
    """Rows, annotations, joined rows, rows that are read later, tuples, and single values."""

    def make(name: Any) -> QuerySet[Any, Any]:
        found: QuerySet[Any, Any] = kind(Tenant.objects.filter(name=name).order_by("pk"))
        return found

    for found, expected in zip(CompiledQuery(make, name=CharField())(name="Contoso"), make("Contoso"), strict=True):
        assert found == expected
        if isinstance(found, Tenant):
            assert found.get_deferred_fields() == expected.get_deferred_fields()
            assert found.__dict__.keys() == expected.__dict__.keys()
            assert found._state.fields_cache["plan"].__dict__.keys() == expected.plan.__dict__.keys()


def test_rows_that_refer_to_the_same_row_get_the_same_object(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its columns are read once, and so are those of the row to which it refers."""
    made: list[type] = []
    from_db = Tenant.from_db.__func__  # type: ignore[attr-defined]

    def noted(model: type[Any], *args: Any, **more: Any) -> Any:
        made.append(model)
        return from_db(model, *args, **more)

    query = CompiledQuery(
        lambda name: Membership.objects.filter(tenant__name=name).select_related("tenant__plan", "person__directory"),
        name=CharField(),
    )
    for model in (Tenant, Plan, Person):
        monkeypatch.setattr(model, "from_db", classmethod(noted))
    found = query(name="Contoso")
    people = {each.person_id for each in found}
    assert (made.count(Tenant), made.count(Plan), made.count(Person)) == (1, 1, len(people))
    assert len(found) > 2
    for row in found:
        assert row.tenant is found[0].tenant
        assert (row.tenant_id, row.person_id) == (row.tenant.pk, row.person.pk)
        assert row.person._state.fields_cache["directory"] is None


@pytest.mark.django_db(transaction=True)
def test_each_thread_uses_its_own_connection() -> None:
    by_name = CompiledQuery(lambda name: Plan.objects.filter(name=name), name=CharField())

    def seen() -> int:
        try:
            return len(by_name(name="Mine"))
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as other, transaction.atomic():
        Plan.objects.create(name="Mine")
        # It is not committed, so only the connection of this thread sees it.
        assert (len(by_name(name="Mine")), other.submit(seen).result(), len(by_name(name="Mine"))) == (1, 0, 1)


# --- The queries of the product that are compiled ------------------------------------------------------------


def test_an_actor_has_the_roles_that_the_person_has_now(cast: Cast) -> None:
    actor = cast.as_("ada")
    assert reread(actor) == actor
    Membership.objects.filter(person=cast.ada).delete()
    assert not reread(actor).roles
    assert not actor_of(cast.ada, door="pages").roles
    Membership.objects.create(person=cast.ada, tenant=cast.fabrikam, role="auditor", given_at=clock.now())
    for now in (reread(actor), actor_of(cast.ada, door="pages")):
        assert now.tenant_roles == {cast.fabrikam.pk: {Role.AUDITOR}}
    Person.objects.filter(pk=cast.ada.pk).update(is_active=False)
    assert not reread(actor).roles


def test_a_person_is_found_by_id_as_they_are_now(cast: Cast, django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        assert Person.objects.get(pk=cast.ada.pk).name == "Ada Test"
    Person.objects.filter(pk=cast.ada.pk).update(name="Ada Keller")
    assert Person.objects.get(pk=str(cast.ada.pk)).name == "Ada Keller"
    for nobody in (uuid.uuid4(), None):
        with pytest.raises(Person.DoesNotExist):
            Person.objects.get(pk=nobody)
    with pytest.raises(ValidationError):
        Person.objects.get(pk="Ada")


def test_the_manager_of_a_relation_finds_only_related_people(cast: Cast) -> None:
    group = Group.objects.create(name="Readers")
    cast.ada.groups.add(group)
    assert group.user_set.get(pk=cast.ada.pk) == cast.ada
    with pytest.raises(Person.DoesNotExist):
        group.user_set.get(pk=cast.mia.pk)


def test_a_token_is_read_with_the_present_time_and_its_present_state(cast: Cast, travel: Traveller) -> None:
    secret = token_of(cast, "ada")
    token = Token.objects.get(account=cast.ada)
    for _ in range(2):
        at = travel.by(hours=1)
        found = find_token(pk=token.pk)
        assert found is not None
        assert found[1] == at
        assert found[0].revoked_at is None
    Token.objects.filter(pk=token.pk).update(revoked_at=at)
    by_hash = find_token(secret_hash=token.secret_hash)
    assert by_hash is not None
    assert by_hash[0].revoked_at == at
    assert secret
    assert find_token(secret_hash="0" * 64) is None


def test_a_session_ends_at_its_time_and_when_it_is_deleted(travel: Traveller) -> None:
    store = SessionStore()
    store["seen"] = 1
    store.save()
    key = store.session_key
    assert SessionStore(key)["seen"] == 1
    travel.to(Session.objects.get(pk=key).expire_date)
    late = SessionStore(key)
    assert late.load() == {}
    assert late.session_key is None
    travel.back()
    assert SessionStore(key).load() == {"seen": 1}
    Session.objects.filter(pk=key).delete()
    assert SessionStore(key).load() == {}


def test_the_parts_of_an_access_request_are_those_that_prefetch_related_reads(
    cast: Cast, django_assert_num_queries: Any
) -> None:
    """The product stores them in attributes of QuerySet that Django does not document."""
    first = cast.opened().access_request
    following = cast.submitted(previous_id=first.pk)
    row = access.access_request(first.pk, actor=cast.as_("ada"))
    django = AccessRequest.objects.prefetch_related(
        Prefetch("scope", AccessRequestResource.objects.select_related("resource")),
        Prefetch("decisions", Decision.objects.select_related("decider", "client__account")),
        "following",
    ).get(pk=first.pk)
    assert list(row.following.all()) == [following]
    with django_assert_num_queries(0):
        for name in ("scope", "decisions", "following"):
            ours, theirs = getattr(row, name).all(), getattr(django, name).all()
            assert [vars(each).keys() for each in ours] == [vars(each).keys() for each in theirs]
            assert list(ours) == list(theirs) != []
            assert [each._state.fields_cache for each in ours] == [each._state.fields_cache for each in theirs]
            assert all(each._state.fields_cache[getattr(row, name).field.name] is row for each in ours)


# --- A row among those that an actor can see ------------------------------------------------------------------------


def _found(find: Callable[[], Any]) -> Any:
    try:
        return find()
    except NotFound:
        return None


def test_a_compiled_find_finds_what_visible_to_finds(cast: Cast) -> None:
    find = CompiledFind(lambda: AccessRequest.objects.select_related("tenant"))
    rows = [cast.confirmed(), cast.confirmed("fabrikam")]
    actors = [cast.as_(name) for name in ("ada", "frida", "pat", "priya", "samir", "otto")]
    actors += [Actor.system("outbox"), replace(actors[0], tenant_roles={}), replace(actors[2], queue_roles={})]
    many = {uuid.uuid4(): frozenset({Role.MEMBER}) for _ in range(12)}
    actors += [
        replace(actors[0], tenant_roles={**many, **actors[0].tenant_roles}),
        replace(actors[0], tenant_roles=many),
    ]
    seen = []
    for actor in actors:
        for pk in (*(row.pk for row in rows), str(rows[0].pk), uuid.uuid4(), "no id", None):
            expected = _found(lambda: AccessRequest.objects.visible_to(actor).find(pk))  # noqa: B023 - called here
            assert _found(lambda: find(pk, actor=actor)) == expected, (actor, pk)  # noqa: B023
            seen.append(expected)
    assert {row.pk for row in rows} == {row.pk for row in seen if row}
    assert None in seen


def test_a_compiled_find_is_compiled_once(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    find = CompiledFind(lambda: AccessRequest.objects.select_related("tenant"))
    row = cast.confirmed()
    assert find(row.pk, actor=cast.as_("ada")) == row
    monkeypatch.setattr(SQLCompiler, "as_sql", None)
    assert find(row.pk, actor=cast.as_("otto")) == row


# --- Several ids, several queries -----------------------------------------------------------------------------------


def test_a_compiled_in_finds_the_rows_of_any_number_of_ids(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    by_ids = CompiledIn(lambda ids: Person.objects.get_queryset().filter(pk__in=ids).order_by("name"), UUIDField())
    ids = [person.pk for person in cast.people.values()]
    for number in (0, 1, 2, 3, 5, len(ids)):
        expected = list(Person.objects.get_queryset().filter(pk__in=ids[:number]).order_by("name"))
        assert by_ids(ids[:number]) == expected
    monkeypatch.setattr(SQLCompiler, "as_sql", None)
    assert len(by_ids(ids[:4])) == 4
    assert len(by_ids(ids[3:6])) == 3
    monkeypatch.undo()
    assert len(by_ids([*ids, *(uuid.uuid4() for _ in range(70))])) == len(ids)


def test_several_queries_are_one_statement(cast: Cast, django_assert_num_queries: Any) -> None:
    def make(tenant: Any) -> QuerySet[Any, Any]:
        rows = Membership.objects.filter(tenant_id=tenant).order_by("-given_at", "pk")
        return rows.values_list("person__is_active", "given_at", "person_id")[:2]

    query = CompiledQuery(make, tenant=UUIDField())
    tenants = [cast.contoso.pk, uuid.uuid4(), cast.tenants["fabrikam"].pk]
    asked = [(query, {"tenant": tenant}) for tenant in tenants]
    assert together([]) == []
    with django_assert_num_queries(1):
        found = together(asked)
    assert [sorted(rows) for rows in found] == [sorted(make(tenant)) for tenant in tenants]
    with django_assert_num_queries(4):
        found = together(asked * 50)
        sizes = counts(asked * 50, most=1)
    assert len(found) == 150
    assert [len(rows) for rows in found[-3:]] == [2, 0, 2]
    assert sizes == [1, 0, 1] * 50
    assert counts([], most=1) == []


def test_a_compiled_visible_query_returns_what_visible_to_returns(cast: Cast) -> None:
    rows = [cast.confirmed(), cast.confirmed("fabrikam")]
    query = CompiledVisible(
        AccessRequest.objects.all, lambda seen, state: seen.filter(state=state).order_by("pk")[:5], state=CharField()
    )
    for name in ("ada", "frida", "pat", "priya", "samir", "otto"):
        actor = cast.as_(name)
        expected = list(AccessRequest.objects.visible_to(actor).order_by("pk"))
        assert query(actor, state="PENDING_CUSTOMER") == expected
    assert query(Actor.system("outbox"), state="PENDING_CUSTOMER") == sorted(rows, key=lambda row: row.pk)
    assert query(Actor.system("outbox"), state="OPEN") == []
    assert query(replace(cast.as_("ada"), tenant_roles={}), state="PENDING_CUSTOMER") == []


def test_a_query_and_others_of_one_row_are_one_statement(cast: Cast, django_assert_num_queries: Any) -> None:
    """Several rows of the first one, and one row or none of each other, with joined rows and annotations."""
    people = CompiledQuery(lambda side: Person.objects.get_queryset().filter(side=side), side=CharField())
    tenants = CompiledQuery(
        lambda pk: Tenant.objects.filter(pk=pk).select_related("plan").annotate(twice=F("name")), pk=UUIDField()
    )
    plans = CompiledQuery(lambda pk: Plan.objects.filter(pk=pk), pk=UUIDField())
    plan = cast.contoso.plan
    for side, pk in (("customer", cast.contoso.pk), ("customer", uuid.uuid4()), ("nobody", cast.contoso.pk)):
        expected = people(side=side), None if side == "nobody" else next(iter(tenants(pk=pk)), None)
        with django_assert_num_queries(1):
            found, (tenant, other) = people.with_others({"side": side}, (tenants, {"pk": pk}), (plans, {"pk": plan.pk}))
        assert ({*found}, len(found), tenant) == ({*expected[0]}, len(expected[0]), expected[1])
        assert other == (None if side == "nobody" else plan)
        if tenant is not None:
            assert (tenant.plan.name, tenant.twice) == (plan.name, cast.contoso.name)
    assert people.with_others({"side": "customer"}) == (people(side="customer"), [])


@pytest.mark.dialect
@pytest.mark.parametrize(("names", "found"), [(("a", "b"), True), (("b", "a"), True), (("b", "c"), False)])
def test_one_statement_says_whether_any_query_finds_a_row(names: tuple[str, str], found: bool) -> None:
    Group.objects.create(name="a")
    query = CompiledQuery(lambda name: Group.objects.filter(name=name), name=CharField())
    with CaptureQueriesContext(connection) as sent:
        assert are_any([(query, {"name": name}) for name in names]) is found
    assert len(sent) == 1


def test_a_compiled_query_is_seen_by_those_who_watch_statements() -> None:
    """A function around each statement, the log of statements, and a transaction that is broken."""
    Group.objects.create(name="a")
    query = CompiledQuery(lambda name: Group.objects.filter(name=name), name=CharField())
    seen = list[tuple[str, Any, bool, Any]]()

    def watch(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append((sql, tuple(params), many, context["connection"]))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(watch), CaptureQueriesContext(connection) as logged:
        assert len(query(name="a")) == 1
    with connection.execute_wrapper(watch):
        assert len(query(name="a")) == 1
    (first, again), [entry] = seen, logged.captured_queries
    assert first == again
    assert first[1:] == (("a",), False, connection)
    assert "auth_group" in entry["sql"]
    with transaction.atomic():
        connection.needs_rollback = True
        with pytest.raises(TransactionManagementError):
            query(name="a")


def test_an_error_of_a_compiled_query_is_one_of_djangos() -> None:
    query = CompiledQuery(lambda name: Group.objects.filter(name=name), name=CharField())
    query(name="a")
    query.ready({"name": "a"})._sql = "SELECT nothing FROM nowhere WHERE name = %s"
    with pytest.raises(DatabaseError), transaction.atomic():
        query(name="a")
