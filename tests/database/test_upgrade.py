"""An old database, from before the migrations were squashed, gets the structure of a new one and keeps its rows.

A new database takes one step of `requests_app`, in which all tables are made as they are in the end. An old database
takes the steps that the one step replaces.
"""

from __future__ import annotations

import contextlib
import io
import lzma
import re
import sqlite3
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from requests_app.domain import clock
from requests_app.management.commands import migrate
from requests_app.models import Plan, Tenant
from tests import ground

DATA = Path(__file__).parents[1] / "migrations_data"
#: Columns that only an upgraded database has, with their description there. Nothing reads them, and they may be null.
#: SQLite makes the table again when a later migration adds a foreign key, and so without this column.
LEFT_OVER: dict[str, dict[str, Any]] = {
    "postgresql": {"requests_app_webhook.resume_at": ("timestamp with time zone", "YES", None, "NO")},
    "sqlite": {},
}
#: Tables in which Django describes the models and the migrations.
OF_DJANGO = ("auth_permission", "django_content_type", "django_migrations")
Shape = dict[str, Any]


@pytest.mark.dialect
@pytest.mark.django_db(transaction=True)
def test_an_upgraded_database_is_the_same_as_a_new_one_and_keeps_its_rows(tmp_path: Path) -> None:
    new, rows_of_new = _shape(), _rows()
    with _upgraded(tmp_path) as before:
        shape, rows = _shape(), _rows(before)
        applied = set(MigrationRecorder(connection).applied_migrations())
        MigrationRecorder(connection).record_unapplied("requests_app", ALL_IN_ONE)
        assert _plan() == []
    wanted = LEFT_OVER[connection.vendor]
    left = {name for name in shape if name.partition(" ")[2] in wanted}
    assert {name.partition(" ")[2]: shape[name] for name in left} == wanted
    assert _differences(new, {name: value for name, value in shape.items() if name not in left}) == []
    # Django records that the new migrations are applied, and adds rows about the new models. Nothing else changes.
    assert {key for key in applied if key[0] == "requests_app"} > {("requests_app", "0001_initial")}
    assert {table: sorted(set(before[table]) - set(rows[table])) for table in OF_DJANGO} == dict.fromkeys(OF_DJANGO, [])
    old, others = [{name: found[name] for name in before if name not in OF_DJANGO} for found in (before, rows)]
    assert _differences(old, others) == []
    assert rows.keys() == rows_of_new.keys()


def test_a_new_database_takes_one_step_for_all_that_it_replaces() -> None:
    steps = {name for app, name in MigrationLoader(None).graph.nodes if app == "requests_app"}
    numbers = sorted(int(name[:4]) for name in steps)
    assert ALL_IN_ONE in steps
    assert numbers == [1, *range(70, 69 + len(steps))]


@pytest.mark.django_db
def test_a_database_of_any_version_in_between_takes_exactly_the_steps_that_it_lacks() -> None:
    first, *names = import_module(f"requests_app.migrations.{ALL_IN_ONE}").NAMES
    steps = {name for app, name in MigrationLoader(None).graph.nodes if app == "requests_app"}
    names += sorted(steps - {ALL_IN_ONE})
    records = MigrationRecorder(connection).migration_qs.filter(app="requests_app")
    assert first == migrate.FIRST
    assert not set(names) - set(records.values_list("name", flat=True))
    for i in reversed(range(len(names))):
        records.filter(name__in=(ALL_IN_ONE, names[i])).delete()
        assert _plan() == names[i:]


@pytest.mark.django_db
@pytest.mark.parametrize("missing", ["0036_idempotency_key_holder", "0001_initial"])
def test_a_database_that_is_too_old_is_refused_before_anything_changes(missing: str) -> None:
    recorder = MigrationRecorder(connection)
    recorder.migration_qs.filter(app="requests_app").exclude(name__in=_names_of_the_first() - {missing}).delete()
    applied = set(recorder.applied_migrations())
    with pytest.raises(CommandError, match=f"{missing} was not applied"):
        call_command("migrate", verbosity=0)
    assert set(recorder.applied_migrations()) == applied


@pytest.mark.django_db
@pytest.mark.parametrize("question", ["plan", "check_unapplied"])
def test_to_ask_what_is_to_be_migrated_records_nothing(question: str) -> None:
    recorder = MigrationRecorder(connection)
    recorder.migration_qs.filter(app="requests_app", name=migrate.FIRST).delete()
    applied = set(recorder.applied_migrations())
    out = io.StringIO()
    call_command("migrate", verbosity=0, stdout=out, **{question: True})
    assert set(recorder.applied_migrations()) == applied
    # But the answer knows that the first migration is done.
    assert migrate.FIRST not in out.getvalue()
    call_command("migrate", verbosity=0)
    assert set(recorder.applied_migrations()) == applied | {("requests_app", migrate.FIRST)}


@pytest.mark.django_db
def test_an_upgrade_names_the_rows_that_differ_only_in_letter_case(monkeypatch: pytest.MonkeyPatch) -> None:
    migration = import_module("requests_app.migrations.0051_switches_and_letter_case")
    # The fields that are unique now can't have such rows, so the check is pointed at another one.
    monkeypatch.setattr(migration, "UNIQUE", (("Tenant", ("plan",), "name"),))
    editor = SimpleNamespace(connection=connection)
    migration.require_unique(apps, editor)
    plan = Plan.objects.create(name="E5", includes_lockbox=True)
    one, other, _ = (
        Tenant.objects.create(name=name, slug=slug, plan=plan, created_at=clock.now())
        for name, slug in (("Adatum", "a"), ("ADATUM", "b"), ("Litware", "c"))
    )
    with pytest.raises(CommandError) as refusal:
        migration.require_unique(apps, editor)
    found = str(refusal.value).splitlines()[1:]
    assert sorted(found) == sorted([f"tenant {one.pk}: name 'Adatum'", f"tenant {other.pk}: name 'ADATUM'"])


ALL_IN_ONE = "0001_squashed_0069_callbacks"


def _names_of_the_first() -> set[str]:
    return {name for _, name in import_module(f"requests_app.migrations.{migrate.FIRST}").REPLACED}


def _plan() -> list[str]:
    """Return what is still to be migrated."""
    executor = migrate._Executor(connection)
    executor.loader.check_consistent_history(connection)
    plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
    return [migration.name for migration, _ in plan]


def _differences(before: Shape, after: Shape) -> list[str]:
    names = sorted(before.keys() | after.keys())
    return [f"{n}: {before.get(n)!r:.600} / {after.get(n)!r:.600}" for n in names if before.get(n) != after.get(n)]


@contextlib.contextmanager
def _upgraded(place: Path) -> Iterator[Shape]:
    """Connect to a copy of the old database, and migrate it. Yield the rows from before the migration."""
    here = connection.settings_dict["NAME"]
    with _LOADED[connection.vendor](place) as name:
        connection.close()
        ground._connect_to(name)
        try:
            before = _rows()
            # First to versions in between: they have some of the migrations that a new database takes in one step.
            call_command("migrate", "requests_app", "0045", verbosity=0)
            call_command("migrate", "requests_app", "0052", verbosity=0)
            # A database that was new at 0052 has this record, too.
            MigrationRecorder(connection).record_applied("requests_app", "0001_squashed_0052_announced_held_rows")
            call_command("migrate", verbosity=0)
            yield before
        finally:
            connection.close()
            ground._connect_to(here)


def _dump(vendor: str) -> str:
    return lzma.decompress((DATA / f"demo.{vendor}.sql.xz").read_bytes()).decode()


@contextlib.contextmanager
def _sqlite(place: Path) -> Iterator[str]:
    path = place / "old.sqlite3"
    with contextlib.closing(sqlite3.connect(path)) as plain:
        plain.executescript(_dump("sqlite"))
    yield str(path)


@contextlib.contextmanager
def _postgresql(place: Path) -> Iterator[str]:
    name = f"{connection.settings_dict['NAME']}_old"
    with ground._creation()._nodb_cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')
        cursor.execute(f'CREATE DATABASE "{name}"')
        try:
            url = ground.database_url(name=name).replace("postgres://", "postgresql://")
            with psycopg.connect(url, autocommit=True) as plain:
                plain.execute(_dump("postgresql").encode())
            yield name
        finally:
            connection.close()
            cursor.execute(f'DROP DATABASE "{name}"')


_LOADED: dict[str, Callable[[Path], contextlib.AbstractContextManager[str]]] = {
    "sqlite": _sqlite,
    "postgresql": _postgresql,
}


def _rows(before: Shape | None = None) -> Shape:
    """Return the rows of each table, as dictionaries by column name. Their order does not matter.

    With the rows from before the migration, leave out the columns that did not exist then.
    """
    found = {}
    with connection.cursor() as cursor:
        for table in sorted(connection.introspection.table_names(cursor)):
            cursor.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in cursor.description]
            known = _columns(before[table]) if before and before.get(table) else set(names)
            found[table] = sorted(
                repr(sorted((name, _plain(value)) for name, value in zip(names, row, strict=True) if name in known))
                for row in cursor.fetchall()
            )
    return found


def _columns(rows: list[str]) -> set[str]:
    return set(re.findall(r"[\[ ]\('(\w+)', ", rows[0]))


def _plain(value: Any) -> Any:
    return bytes(value).hex() if isinstance(value, bytes | memoryview) else value


def _shape() -> Shape:
    """Return the whole structure of the database, by kind and name."""
    with connection.cursor() as cursor:
        return _SHAPES[connection.vendor](cursor)


# --- SQLite ----------------------------------------------------------------------------------------------------


def _sqlite_shape(cursor: Any) -> Shape:
    found: Shape = {}
    cursor.execute("SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")
    for kind, name, table, text in cursor.fetchall():
        text = " ".join((text or "").split())
        if kind != "table":
            found[f"{kind} {name}"] = (table, text)
            continue
        found[f"table {name}"] = text.partition("(")[0] + text.rpartition(")")[2]
        for clause in _clauses(text):
            column = re.match(r'"(\w+)"', clause)
            found[f"{'column' if column else 'clause'} {name}.{column[1] if column else clause}"] = clause
    return found


def _clauses(text: str) -> list[str]:
    """Return the columns and constraints in a CREATE TABLE. Their order does not matter."""
    parts, depth, part = [], 0, ""
    for letter in text[text.index("(") + 1 : text.rindex(")")]:
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "," and depth == 0:
            parts.append(part.strip())
            part = ""
        else:
            part += letter
    return [*parts, part.strip()]


# --- PostgreSQL ------------------------------------------------------------------------------------------------

_QUERIES = {
    "column": """
        SELECT table_name || '.' || column_name,
            CASE WHEN character_maximum_length IS NULL THEN data_type ELSE data_type || character_maximum_length END,
            is_nullable, column_default, is_identity
        FROM information_schema.columns WHERE table_schema = 'public'""",
    "constraint": """
        SELECT conrelid::regclass || '.' || conname, pg_get_constraintdef(oid), contype::text, convalidated
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n'""",
    "index": "SELECT tablename || '.' || indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
    "trigger": """
        SELECT tgrelid::regclass || '.' || tgname, pg_get_triggerdef(oid), tgenabled::text
        FROM pg_trigger WHERE NOT tgisinternal""",
    "function": """
        SELECT proname || '(' || pg_get_function_identity_arguments(oid) || ')', pg_get_functiondef(oid)
        FROM pg_proc WHERE pronamespace = 'public'::regnamespace""",
    "policy": """
        SELECT tablename || '.' || policyname, permissive, roles::text, cmd, qual, with_check
        FROM pg_policies WHERE schemaname = 'public'""",
    "table": """
        SELECT relname, relkind::text, relrowsecurity, relforcerowsecurity, relpersistence::text
        FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm')""",
    "sequence": "SELECT sequencename, data_type::text, increment_by FROM pg_sequences WHERE schemaname = 'public'",
}


def _postgresql_shape(cursor: Any) -> Shape:
    found: Shape = {}
    for kind, query in _QUERIES.items():
        cursor.execute(query)
        found |= {
            f"{kind} {name}": tuple(_one_form(kind, each) for each in facts) for name, *facts in cursor.fetchall()
        }
    return found


#: Casts and brackets that PostgreSQL adds or removes when it writes the same expression again, as in a dump.
_FORM = re.compile(r"::(?:text|character varying)(?:\[\])?|[()\s]")


def _one_form(kind: str, fact: Any) -> Any:
    """Return an expression without the casts and brackets that mean nothing. Everything else is returned unchanged."""
    has_expressions = kind in ("constraint", "index", "trigger", "policy") and isinstance(fact, str)
    return _FORM.sub("", fact) if has_expressions else fact


_SHAPES: dict[str, Callable[[Any], Shape]] = {"sqlite": _sqlite_shape, "postgresql": _postgresql_shape}
