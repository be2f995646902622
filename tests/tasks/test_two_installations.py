"""`export` of one installation, and `apply` on an empty one with a database of its own, in processes."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.db import connection

from requests_app import operations
from tests import ground
from tests.cast import Cast
from tests.tasks.conftest import Start

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.real_clock, pytest.mark.timeout(600)]


@contextlib.contextmanager
def empty_database(place: Path) -> Iterator[str]:
    """Make a second database that is migrated and has no rows, on the same kind of server. Yield its address."""
    if connection.vendor == "sqlite":
        yield f"sqlite:///{shutil.copy(ground.sqlite(), place / 'second.sqlite3')}"
        return
    name = f"{connection.settings_dict['NAME']}_second"
    with ground._creation()._nodb_cursor() as cursor:
        cursor.execute(f'DROP DATABASE IF EXISTS "{name}"')
        cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{ground._template(cursor, has_cast=False)}"')
        try:
            yield ground.database_url(name=name)
        finally:
            cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def output_of(start: Start, *arguments: str, **env: str) -> str:
    running = start(*arguments, LOG_LEVEL="ERROR", **env)
    assert running.process.wait(300) == 0, running.log[-3000:]
    return running.log


def test_an_export_applied_to_an_empty_installation_is_exported_as_the_same_bytes(
    cast: Cast, start: Start, tmp_path: Path
) -> None:
    cast.peaceful()
    cast.quillo()
    # Somebody with two kinds of roles, who has not accepted yet.
    operations.invite_colleague(
        email="invited@provider.example", role="engineer", services=[cast.exchange.pk], actor=cast.as_("stella")
    )
    file, first = tmp_path / "world.yaml", output_of(start, "export")
    assert ("invited@provider.example" in first, "stella@provider.example" in first) == (True, True)
    file.write_text(first)
    with empty_database(tmp_path) as url:
        second = {"DATABASE_URL": url, "DATA_DIR": str(tmp_path / "second")}
        (tmp_path / "second" / "static").mkdir(parents=True)
        assert "people: []" in output_of(start, "export", **second)
        applied = output_of(start, "apply", str(file), **second)
        assert "refused" not in applied
        assert output_of(start, "export", **second) == first
        assert "nothing to change" in output_of(start, "apply", str(file), "--prune", **second)
        assert output_of(start, "export", **second) == first
