"""PostgreSQL plans a fixed text once for each connection, and each call still has its own values, rows and limits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.models import CharField, UUIDField

from requests_app.models import Plan, Tenant
from requests_app.models.row_security import only_tenants
from requests_app.platform.database.compiled import CompiledQuery, insert, update
from requests_app.platform.database.postgresql import cursor as cursor_module
from requests_app.platform.database.prepared import Prepared
from tests.cast import Cast

pytestmark = [pytest.mark.django_db, pytest.mark.postgres]


@pytest.fixture
def session() -> Iterator[Any]:
    """A connection as the product opens it. That of the tests prepares every statement."""
    opened = connection.copy()
    del opened.settings_dict["OPTIONS"]["prepare_threshold"]
    try:
        opened.ensure_connection()
        # In tests, a connection with the number of theirs never forgets a statement.
        opened.connection.prepared_max -= 1
        yield opened
    finally:
        opened.close()


def prepared_on(session: Any) -> list[str]:
    with session.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements")
        return [text for (text,) in cursor.fetchall()]


def test_only_fixed_texts_are_prepared(session: Any) -> None:
    with session.cursor() as cursor:
        for _ in range(10):
            cursor.execute("SELECT 1 WHERE %s", [True])
            cursor.execute(Prepared("SELECT 2 WHERE %s"), [True])
            assert cursor.fetchall() == [(2,)]
    assert prepared_on(session) == ["SELECT 2 WHERE $1"]


def test_the_places_of_values_in_a_long_text_are_found_once(session: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both limits of psycopg, below which it remembers a text itself, are exceeded: its length, and its values."""
    parsed, parse = list[bytes](), cursor_module._query2pg_nocache

    def noted(text: bytes, encoding: str) -> Any:
        parsed.append(text)
        return parse(text, encoding)

    monkeypatch.setattr(cursor_module, "_query2pg_nocache", noted)
    text = Prepared(f"SELECT {', '.join(['%s::int'] * 60)} -- {'x' * 4096}, 100%%")
    with session.cursor() as cursor:
        for first in range(3):
            values = tuple(range(first, first + 60))
            cursor.execute(text, values)
            assert cursor.fetchone() == values
    assert len(parsed) == 1


def texts_of(query: CompiledQuery, **values: Any) -> str:
    return query.ready(values).statement(values, connection)[0]


def test_a_compiled_query_is_prepared_unless_it_finds_the_first_of_many_rows() -> None:
    by_key = CompiledQuery(lambda pk: Plan.objects.filter(pk=pk), pk=UUIDField())
    first = CompiledQuery(lambda name: Plan.objects.filter(name__gt=name).order_by("name")[:1], name=CharField())
    first_by_key = CompiledQuery.by_key(lambda pk: Plan.objects.filter(pk=pk)[:1], pk=UUIDField())
    key = Plan(name="x").pk
    assert isinstance(texts_of(by_key, pk=key), Prepared)
    assert not isinstance(texts_of(first, name="a"), Prepared)
    assert isinstance(texts_of(first_by_key, pk=key), Prepared)


def test_rows_are_written_with_prepared_statements() -> None:
    sent = []

    def note(execute: Any, sql: str, *rest: Any) -> Any:
        sent.append(type(sql))
        return execute(sql, *rest)

    plan = Plan(name="Prepared")
    with connection.execute_wrapper(note):
        insert([plan])
        update(plan, "name")
    assert sent == [Prepared, Prepared]


def test_a_prepared_statement_hides_what_row_level_security_hides_at_each_call(cast: Cast) -> None:
    every = CompiledQuery(lambda: Tenant.objects.values_list("pk", flat=True))
    for _ in range(8):
        for tenant in (cast.contoso, cast.fabrikam):
            with only_tenants([tenant.pk]):
                assert every() == [tenant.pk]
        assert {cast.contoso.pk, cast.fabrikam.pk} <= {*every()}


SELECT = Prepared("SELECT name FROM changing")


def changing(session: Any) -> Any:
    with session.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE changing (name varchar(10)); INSERT INTO changing VALUES ('a')")
        cursor.execute(SELECT)
        assert prepared_on(session) == [SELECT]
        # Hidden from the driver, as if another process did it.
        cursor.execute("DO $$ BEGIN ALTER TABLE changing ALTER COLUMN name TYPE text; END $$")


def names(session: Any) -> list[tuple[str]]:
    with session.cursor() as cursor:
        cursor.execute(SELECT)
        rows: list[tuple[str]] = cursor.fetchall()
        return rows


def test_after_a_migration_a_prepared_statement_is_planned_again(session: Any) -> None:
    changing(session)
    assert [names(session) for _ in range(3)] == [[("a",)]] * 3


def test_a_transaction_that_a_migration_interrupts_is_an_outage_and_the_next_one_succeeds(session: Any) -> None:
    changing(session)
    session.set_autocommit(False)
    with pytest.raises(OperationalError):
        names(session)
    session.rollback()
    assert names(session) == [("a",)]
    session.rollback()
