"""Missing migrations are noticed by their names. Django's graph is only made if one is missing."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from requests_app.platform.database import migrated

pytestmark = pytest.mark.django_db


def test_without_a_missing_migration_none_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MigrationLoader, "build_graph", lambda _self: pytest.fail("all migrations are imported"))
    assert migrated.missing() == 0


@pytest.mark.parametrize("app", ["audit_app", "requests_app", "lockbox_site", "auth", "django_q"])
def test_a_missing_migration_of_any_app_is_noticed(app: str) -> None:
    [newest] = MigrationLoader(connection).graph.leaf_nodes(app)
    MigrationRecorder(connection).record_unapplied(*newest)
    assert migrated.missing() == 1


def test_the_names_are_those_of_djangos_loader() -> None:
    assert set(migrated._names()) == set(MigrationExecutor(connection).loader.disk_migrations)
