"""The product does not start with settings that would later fail without an error."""

from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.checks import run_checks
from django.test import override_settings

from requests_app.domain import acts, lifecycle
from requests_app.work import schedules, startup_checks
from tests.offenders import collected


def found() -> list[str]:
    return [str(message.id) for message in run_checks(tags=["lockbox"])]


def test_the_settings_as_they_are_pass() -> None:
    assert found() == []


@pytest.mark.postgres
@pytest.mark.django_db
def test_the_role_of_the_tests_is_limited_by_row_level_security() -> None:
    """The tests' databases are migrated without checks. Only `migrate` and `check --database` run this one."""
    assert startup_checks.role_is_held_back(databases=["default"]) == []


def test_a_queue_that_would_lose_or_double_tasks_is_refused() -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"retry": 60}, "E001"),
        ({"retry": 30}, "E001"),
        ({"timeout": None}, "E001"),
        ({"scheduler": True}, "E002"),
        ({"orm": "other"}, "E003"),
        ({"orm": None}, "E003"),
        ({"ack_failures": True}, "E004"),
        ({"bulk": 21}, "E005"),
        ({"queue_limit": 41}, "E005"),
        ({"recycle": 500}, "E006"),
        ({"broker_class": None}, "E007"),
    ]
    with collected() as case:
        for change, code in cases:
            with case(change, code), override_settings(Q_CLUSTER={**settings.Q_CLUSTER, **change}):
                assert found() == [f"requests_app.{code}"]


def test_a_default_that_is_relied_on_must_be_written_down() -> None:
    """Without these settings, django-q2 uses unsafe defaults.

    They are: retry 60 s, scheduler on, recycle 500 tasks, queue_limit almost none.
    """
    left_out = {"retry", "scheduler", "recycle", "queue_limit"}
    with override_settings(Q_CLUSTER={k: v for k, v in settings.Q_CLUSTER.items() if k not in left_out}):
        assert found() == [f"requests_app.{code}" for code in ("E001", "E002", "E005", "E006")]


def test_a_schedule_without_its_function_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedules, "FUNCTIONS", frozenset({"requests_app.tasks.gone"}))
    assert found() == ["requests_app.E010"]


def test_an_unsound_table_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "problems", lambda: iter(["no move leads to OPEN"]))
    assert found() == ["requests_app.E020"]


def test_an_unsound_declaration_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acts, "problems", lambda: iter(["the act submit is declared 2 times"]))
    assert found() == ["requests_app.E021"]


def test_connectors_that_do_not_import_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(startup_checks, "CONNECTORS", "requests_app.content.connectors.gone")
    assert found() == ["requests_app.E030"]


@pytest.mark.parametrize("place", ["lockbox.sqlite3", "deeper/lockbox.sqlite3"])
def test_a_database_among_the_content_is_refused(place: str, tmp_path: Path) -> None:
    """If a connector read the file as content, SQLite would lose its locks, and engineers would see the database."""
    (tmp_path / "link").symlink_to(tmp_path / "content", target_is_directory=True)
    sqlite = {**settings.DATABASES["default"], "ENGINE": "requests_app.platform.database.sqlite"}
    for root in ("content", "link"):
        here = {"CONTENT_ROOT": tmp_path / root, "LOG_HEADS_FILE": tmp_path / "log_heads.sqlite3"}
        inside = {"default": {**sqlite, "NAME": str(tmp_path / "content" / place)}}
        with override_settings(**here, DATABASES=inside):
            assert found() == ["requests_app.E031"]
        beside = {"default": {**sqlite, "NAME": tmp_path / "content.sqlite3"}}
        with override_settings(**here, DATABASES=beside):
            assert found() == []
        with override_settings(**here | {"LOG_HEADS_FILE": tmp_path / "content" / place}, DATABASES=beside):
            assert found() == ["requests_app.E031"]
