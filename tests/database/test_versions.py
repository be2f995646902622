"""PostgreSQL 15 and newer work. An older server is refused with one line; a newer one brings a warning."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection

from lockbox_site import starting
from lockbox_site.installing import answers
from requests_app.management import _fitness
from requests_app.platform.database import versions
from requests_app.work import startup_checks

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def test_an_older_server_is_refused_at_each_connection_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    version = versions.of(connection)
    monkeypatch.setattr(versions, "OLDEST", 99)
    connection.close()
    line = f"The server is PostgreSQL {version}. Use PostgreSQL 99 or newer."
    for _ in range(2):
        with pytest.raises(OperationalError) as refusal:
            connection.ensure_connection()
        assert str(refusal.value) == line
        assert connection.connection is None
    assert starting.why_database_failed(refusal.value) == f"The database can't be used: {line}"


def test_init_refuses_an_older_server_with_the_same_line() -> None:
    with pytest.raises(answers.WrongAnswer, match="^The server is PostgreSQL 14. Use PostgreSQL 15 or newer.$"):
        answers._require_fit(14, "lockbox", "lockbox", is_unlimited=False, can_create=True, is_standby=False)
    answers._require_fit(15, "lockbox", "lockbox", is_unlimited=False, can_create=True, is_standby=False)


def test_a_newer_server_brings_a_warning_and_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _fitness.version_of_database() == []
    assert startup_checks.database_is_tested(databases=["default"]) == []
    monkeypatch.setattr(versions, "OLDEST", 1)
    monkeypatch.setattr(versions, "NEWEST", 14)
    [line] = _fitness.version_of_database()
    assert "newer than this version of Customer Lockbox" in line
    [warning] = startup_checks.database_is_tested(databases=["default"])
    assert (warning.id, warning.msg) == ("requests_app.W034", line)
