"""Before a statement, the server gets the tenants of its caller, and never has those of an earlier caller."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import DataError, connection, transaction

from requests_app.models import Tenant
from requests_app.models.row_security import only_tenants
from requests_app.platform.database.postgresql import session
from tests.cast import Cast

pytestmark = [pytest.mark.postgres, pytest.mark.django_db]
A, B = "00000000-0000-0000-0000-00000000000a", "00000000-0000-0000-0000-00000000000b"


@pytest.fixture
def other() -> Iterator[Any]:
    """A connection beside that of the test, so that its transactions are real ones."""
    opened = connection.copy()
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture
def changes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    plain = session._sees

    def noted(tenants: str) -> bytes:
        found.append(tenants)
        return plain(tenants)

    monkeypatch.setattr(session, "_sees", noted)
    return found


def shown_by(opened: Any) -> str:
    with opened.cursor() as cursor:
        cursor.execute("SELECT coalesce(current_setting('lockbox.tenants', true), '')")
        value: str = cursor.fetchone()[0]
        return value


def test_each_statement_has_the_tenants_of_its_caller(other: Any) -> None:
    for wanted in (A, A, "", B, f"{A},{B}", A, ""):
        other.tenants = wanted
        assert shown_by(other) == wanted


def test_the_server_gets_them_only_when_they_change(cast: Cast, changes: list[str]) -> None:
    for tenant in (cast.contoso, cast.contoso, cast.fabrikam):
        with only_tenants([tenant.pk]):
            assert [row.pk for row in Tenant.objects.all()] == [tenant.pk]
    assert Tenant.objects.count() > 1
    assert changes == [str(cast.contoso.pk), str(cast.fabrikam.pk), ""]


def test_a_rollback_takes_nothing_back(other: Any) -> None:
    other.tenants = A
    other.set_autocommit(False)
    assert shown_by(other) == A
    other.rollback()
    assert shown_by(other) == A
    other.commit()
    other.tenants = B
    assert shown_by(other) == B
    other.rollback()
    other.tenants = A
    assert shown_by(other) == A
    other.rollback()


def test_a_commit_after_a_failed_statement_takes_nothing_back(other: Any) -> None:
    """PostgreSQL rolls back instead, and answers without an error."""
    other.set_autocommit(False)
    other.tenants = A
    assert shown_by(other) == A
    with pytest.raises(DataError), other.cursor() as cursor:
        cursor.execute("SELECT 1 / 0")
    other.connection.commit()
    assert shown_by(other) == A
    other.rollback()


@pytest.mark.parametrize("end", ["ROLLBACK", "COMMIT"])
def test_a_transaction_that_ends_with_a_statement_takes_nothing_back(other: Any, end: str) -> None:
    for is_automatic in (True, False):
        other.set_autocommit(is_automatic)
        for wanted in (A, B):
            with other.cursor() as cursor:
                if is_automatic:
                    cursor.execute("BEGIN")
                other.tenants = wanted
                assert shown_by(other) == wanted
                cursor.execute(end)
            assert shown_by(other) == wanted
            if not is_automatic:
                other.rollback()


def test_a_pipeline_that_fails_takes_nothing_back(other: Any) -> None:
    """Outside of a transaction, all of its statements are one."""
    assert shown_by(other) == ""
    other.tenants = A
    with pytest.raises(DataError), other.cursor() as cursor:
        cursor.executemany("SELECT 1 / %s", [[1], [0]])
    assert shown_by(other) == A


def test_each_statement_of_a_pipeline_has_the_tenants_of_its_caller(other: Any) -> None:
    other.ensure_connection()
    with other.connection.pipeline():
        found = []
        for wanted in (A, B, ""):
            other.tenants = wanted
            found.append(other.connection.execute("SELECT current_setting('lockbox.tenants')"))
    assert [each.fetchone()[0] for each in found] == [A, B, ""]


def test_a_new_connection_does_not_have_the_tenants_of_others(other: Any) -> None:
    """A connection pooler may pass on a session of the server with what an earlier client has set."""
    other.settings_dict["OPTIONS"]["options"] = f"-c lockbox.tenants={A}"
    for wanted in ("", B):
        other.close()
        other.tenants = wanted
        assert shown_by(other) == wanted


def test_the_end_of_a_savepoint_takes_nothing_back(cast: Cast) -> None:
    point = transaction.savepoint()
    with only_tenants([cast.contoso.pk]):
        assert Tenant.objects.get() == cast.contoso
        transaction.savepoint_rollback(point)
        assert Tenant.objects.get() == cast.contoso


def test_a_connection_that_is_opened_again_has_the_tenants_of_its_caller(other: Any) -> None:
    other.tenants = A
    assert shown_by(other) == A
    other.close()
    assert shown_by(other) == A


def test_a_statement_is_not_run_if_its_tenants_cannot_be_sent(other: Any) -> None:
    other.tenants = "'"
    with pytest.raises(ValueError, match="ids"):
        shown_by(other)
