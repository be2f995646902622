"""No migration makes people wait: it locks one table, reads no large one, and does all else before and afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, migrations, models

from requests_app.management.commands import migrate
from requests_app.models import Plan
from tests import ground
from tests.database.test_upgrade import ALL_IN_ONE
from tests.upgrades.locks import FULL, Watched, watching

pytestmark = pytest.mark.postgres


@contextlib.contextmanager
def _empty() -> Iterator[None]:
    """Connect to a database without tables."""
    here = connection.settings_dict["NAME"]
    name = f"{here}_bare"
    with ground._creation()._nodb_cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')
        cursor.execute(f'CREATE DATABASE "{name}"')
        connection.close()
        ground._connect_to(name)
        try:
            yield
        finally:
            connection.close()
            ground._connect_to(here)
            cursor.execute(f'DROP DATABASE "{name}"')


@pytest.mark.django_db(transaction=True)
def test_each_migration_that_changes_an_existing_database_leaves_people_working(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All migrations are watched that a database of an earlier version still needs."""
    with _empty(), watching(monkeypatch) as watch:
        call_command("migrate", verbosity=0)
    first = next(place for place, each in enumerate(watch.all) if each.name == f"requests_app/{ALL_IN_ONE}")
    ours = [each for each in watch.all[first + 1 :] if each.name.partition("/")[0] in ("requests_app", "audit_app")]
    # It sees something: this migration adds columns to a table that is there.
    [saml] = [each for each in ours if each.name == "requests_app/0071_saml"]
    assert saml.locked == {"requests_app_signon": {FULL}}
    assert [why for each in ours for why in each.problems()] == []


def _write(apps: Any, editor: Any) -> None:
    apps.get_model("requests_app", "Plan").objects.create(name="E9")


_LONG = models.CharField(max_length=9, null=True)
_CHECK = models.CheckConstraint(condition=models.Q(name="x"), name="c")


def _applied(monkeypatch: pytest.MonkeyPatch, *operations: Any) -> Watched:
    """Apply a migration with these operations in the transaction of the test, and return what it did."""
    migration = migrations.Migration("0099_of_the_test", "requests_app")
    migration.operations = list(operations)
    executor = migrate._Executor(connection)
    executor.recorder.ensure_schema()
    state = executor.loader.project_state()
    with watching(monkeypatch) as watch:
        executor.apply_migration(state, migration)
    [watched] = watch.all
    return watched


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("operations", "why"),
    [
        (
            [migrations.AddField("mute", "tone", _LONG), migrations.AddField("plan", "tone", _LONG)],
            "locks several tables in one transaction: requests_app_mute, requests_app_plan",
        ),
        (
            [migrations.AddIndex("outboxmessage", models.Index(fields=["mark"], name="m"))],
            "reads or writes all rows of requests_app_outboxmessage",
        ),
        (
            [migrations.AddConstraint("tenant", _CHECK)],
            "reads or writes all rows of requests_app_tenant",
        ),
        (
            [migrations.RunSQL("ALTER TABLE requests_app_person ALTER COLUMN name TYPE char(9) USING left(name, 9)")],
            "reads or writes all rows of requests_app_person",
        ),
        (
            [migrations.AddField("mute", "tone", _LONG), migrations.RunPython(_write)],
            "keeps requests_app_mute locked during: INSERT INTO",
        ),
    ],
    ids=["two tables", "index", "constraint", "all rows written", "work afterwards"],
)  # fmt: skip
def test_a_migration_that_makes_people_wait_is_found(
    operations: list[Any], why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = list(_applied(monkeypatch, *operations).problems())
    assert len(found) == 1, found
    assert why in found[0]


@pytest.mark.django_db
def test_the_statements_of_a_migration_are_sent_in_order_and_before_it_uses_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[Any] = []

    def write(apps: Any, editor: Any) -> None:
        model = apps.get_model("requests_app", "Plan")
        seen.append(model.objects.create(name="E9", tone="loud'\\").pk)

    add = migrations.AddField("plan", "tone", models.CharField(max_length=9, default="100 %", db_default="100 %"))
    rename = migrations.RenameField("plan", "tone", "voice")
    Plan.objects.create(name="E8", includes_lockbox=True)
    _applied(monkeypatch, add, migrations.RunPython(write), rename)
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, voice FROM requests_app_plan WHERE name IN ('E8', 'E9') ORDER BY name")
        assert cursor.fetchall() == [("E8", "100 %"), ("E9", "loud'\\")]
    assert Plan.objects.get(name="E9").pk == seen[0]
