"""The previous release works on this version's schema, so that an upgrade can replace one part after the other."""

from __future__ import annotations

import inspect
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.contrib.postgres.operations import AddConstraintNotValid, AddIndexConcurrently, ValidateConstraint
from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader

from bench import previous_release
from requests_app import tasks
from requests_app.platform import bell
from requests_app.work import schedules
from tests import ground
from tests.site.test_settings import bare
from tests.upgrades import migration_rules
from tests.upgrades.history import here as _here

#: Runs with the code of the previous release, on a database with this version's schema.
LOOK = """
import json
import django
django.setup()
from django.apps import apps
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from requests_app.work import schedules
COLUMNS = {
    "sqlite": "SELECT name, \\"notnull\\" AND dflt_value IS NULL AND NOT pk FROM pragma_table_info(%s)",
    "postgresql": "SELECT column_name, is_nullable = 'NO' AND column_default IS NULL AND is_identity = 'NO' "
    "FROM information_schema.columns WHERE table_schema = 'public' AND table_name = %s",
}
executor = MigrationExecutor(connection)
missing = [str(each) for each in executor.migration_plan(executor.loader.graph.leaf_nodes())]
found = []
with connection.cursor() as cursor:
    tables = connection.introspection.table_names(cursor)
    for model in apps.get_models(include_auto_created=True):
        table = model._meta.db_table
        if model._meta.proxy:
            continue
        if table not in tables:
            found.append(f"{table} is missing")
            continue
        cursor.execute(COLUMNS[connection.vendor], [table])
        here = {name: is_required for name, is_required in cursor.fetchall()}
        known = {field.column for field in model._meta.local_concrete_fields}
        found += [f"{table}.{name} is missing" for name in sorted(known - here.keys())]
        found += [
            f"{table}.{name} must be filled, and the previous release does not know it"
            for name, is_required in sorted(here.items())
            if name not in known and is_required
        ]
        list(model._base_manager.all()[:1])
rows = {each.name: [each.func, each.minutes] for each in schedules.PERIODIC}
print(json.dumps({"missing": missing, "found": found, "schedules": rows}))
"""


@pytest.fixture
def seen(tmp_path: Path) -> dict[str, Any]:
    """Return what the previous release sees in a database of this version."""
    previous, database = _here(previous_release.tree), tmp_path / "lockbox.sqlite3"
    shutil.copy(ground.sqlite(), database)
    url = ground.database_url() if connection.vendor == "postgresql" else f"sqlite:///{database}"
    env = bare(tmp_path, DATABASE_URL=url, PYTHONPATH=str(previous), DJANGO_SETTINGS_MODULE="lockbox_site.settings")
    words = [sys.executable, "-c", LOOK]
    done = subprocess.run(words, cwd=previous, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.dialect
@pytest.mark.django_db(transaction=True)
def test_the_previous_release_reads_and_writes_each_table_of_this_schema(seen: dict[str, Any]) -> None:
    assert (seen["missing"], seen["found"]) == ([], [])
    # A schedule whose row differs between the two versions would be changed by each beat, again and again.
    here = {each.name: [each.func, each.minutes] for each in schedules.PERIODIC}
    both = here.keys() & seen["schedules"].keys()
    assert {name: here[name] for name in both} == {name: seen["schedules"][name] for name in both}
    renamed = {func for name, (func, _minutes) in here.items() if name not in both}
    assert renamed & {func for func, _minutes in seen["schedules"].values()} == set()


def _newer() -> Iterator[tuple[str, Any, Any]]:
    """Yield each migration that the previous release does not have, and the project's state before it."""
    old, loader = _here(previous_release.migrations), MigrationLoader(None, replace_migrations=False)
    for app, name in loader.graph.nodes:
        if f"{app}/{name}" not in old and apps.get_app_config(app).module is not None and app in OURS:
            migration = loader.get_migration(app, name)
            if not migration.replaces:
                yield f"{app}/{name}", migration, loader.project_state((app, name), at_end=False)


OURS = ("requests_app", "audit_app", "lockbox_site")


def test_each_newer_migration_leaves_the_previous_release_working() -> None:
    made: set[str] = set()
    wrong = [
        f"{name}: {why}"
        for name, migration, state in _newer()
        for why in (
            *migration_rules.problems(migration.operations, state=state, made=made),
            *(() if migration.atomic else migration_rules.without_a_transaction(migration.operations)),
        )
    ]
    assert wrong == []


_TEXT = models.CharField(max_length=9, default="")


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        (migrations.RemoveField("mute", "note"), "mute removes a column: note"),
        (migrations.RenameField("mute", "note", "text"), "mute renames a column"),
        (migrations.DeleteModel("Mute"), "removes a table: Mute"),
        (migrations.RenameModel("Mute", "Quiet"), "mute renames a table"),
        (migrations.AddField("mute", "tone", _TEXT), "mute gets the column tone, which the previous"),
        (migrations.AddIndex("outboxmessage", models.Index(fields=["mark"], name="m")), "the index m under a lock"),
        (
            migrations.AddConstraint("grant", models.CheckConstraint(condition=models.Q(pk=1), name="c")),
            "grant gets the constraint c, which its rows must fit",
        ),
        (
            migrations.AddConstraint("mute", models.UniqueConstraint(fields=["note"], name="u")),
            "mute gets the constraint u, which its rows must fit",
        ),
        (migrations.RunSQL("ALTER TABLE x ALTER COLUMN y SET NOT NULL"), "makes a column NOT NULL"),
        (migrations.RunSQL("CREATE INDEX i ON x (y)"), "builds an index under a lock"),
        (migrations.RunSQL("ALTER TABLE x ADD CONSTRAINT c CHECK (y > 0)"), "checks all rows under a lock"),
        (migrations.SeparateDatabaseAndState([migrations.DeleteModel("Mute")]), "removes a table"),
    ],
)  # fmt: skip
def test_an_operation_that_breaks_the_previous_release_is_found(operation: Any, why: str) -> None:
    [found] = migration_rules.problems([operation])
    assert why in found


@pytest.mark.parametrize(
    "operation",
    [
        migrations.AddField("mute", "tone", models.CharField(max_length=9, default="", db_default="")),
        migrations.AddField("mute", "tone", models.CharField(max_length=9, null=True)),
        AddIndexConcurrently("outboxmessage", models.Index(fields=["mark"], name="m")),
        AddConstraintNotValid("grant", models.CheckConstraint(condition=models.Q(pk=1), name="c")),
        migrations.RunSQL("CREATE INDEX CONCURRENTLY i ON x (y)"),
        migrations.RunSQL("ALTER TABLE x ADD CONSTRAINT c CHECK (y > 0) NOT VALID"),
    ],
)
def test_an_operation_that_the_previous_release_survives_is_allowed(operation: Any) -> None:
    assert list(migration_rules.problems([operation])) == []


def test_the_tables_that_stay_small_exist() -> None:
    """All others count as large, a new one too."""
    assert {
        model._meta.model_name for app in OURS for model in apps.get_app_config(app).get_models()
    } >= migration_rules.SMALL


def test_a_migration_without_a_transaction_does_only_what_nobody_waits_for() -> None:
    beside = [
        migrations.RunSQL("DROP INDEX CONCURRENTLY IF EXISTS m"),
        AddIndexConcurrently("outboxmessage", models.Index(fields=["mark"], name="m")),
        ValidateConstraint("grant", "c"),
    ]
    assert list(migration_rules.without_a_transaction(beside)) == []
    for operation in (migrations.AddField("mute", "tone", _TEXT), migrations.RunSQL("DROP INDEX m")):
        assert len(list(migration_rules.without_a_transaction([operation]))) == 1


def _altered(**named: Any) -> Any:
    operation: Any = migrations.AlterField(**named)
    operation.app_label = "requests_app"
    return operation


def test_a_column_may_get_wider_but_not_narrower_or_required() -> None:
    loader = MigrationLoader(None)
    state = loader.project_state()
    shorter, longer = (
        _altered(model_name="outboxmessage", name="mark", field=models.CharField(max_length=size)) for size in (9, 99)
    )
    required = _altered(model_name="outboxmessage", name="claimed_until", field=models.DateTimeField())
    assert list(migration_rules.problems([longer], state=state)) == []
    assert list(migration_rules.problems([shorter], state=state)) == ["outboxmessage makes the column mark shorter"]
    assert list(migration_rules.problems([required], state=state)) == [
        "outboxmessage makes the column claimed_until NOT NULL"
    ]


def test_a_task_can_be_run_by_both_versions_because_it_has_no_arguments() -> None:
    functions = {name: function for name, function in vars(tasks).items() if getattr(function, "is_guarded", False)}
    assert "sweep" in functions
    assert {name for name, function in functions.items() if inspect.signature(function).parameters} == set()


def test_a_task_that_the_other_version_does_not_know_can_be_lost_because_the_schedule_queues_it_again() -> None:
    rung = {value for name, value in vars(bell).items() if name.isupper() and str(value).startswith("requests_app.")}
    assert bell.SWEEP in rung
    assert rung <= schedules.FUNCTIONS
