"""A connection that has just answered is used without asking the server first whether it still works."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.db.backends.postgresql import base as djangos

from requests_app.platform.database.postgresql import base
from requests_app.platform.database.pulse import PULSE
from tests.database.test_bounds import ask
from tests.database.test_commit import end_session

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("as_web")]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Count the questions to the server whether a connection works."""
    found: list[bool] = []
    ask_server: Any = djangos.DatabaseWrapper.is_usable

    def is_usable(self: Any) -> bool:
        found.append(ask_server(self))
        return found[-1]

    monkeypatch.setattr(djangos.DatabaseWrapper, "is_usable", is_usable)
    ask()
    yield found
    connection.close()


def next_request() -> None:
    """Begin as a request does: Django then checks the connection before the first statement."""
    connection.close_if_unusable_or_obsolete()


def test_a_connection_that_has_just_answered_is_not_checked(asked: list[bool]) -> None:
    session = connection.connection
    next_request()
    assert ask() == 1
    assert asked == []
    assert connection.connection is session


def test_a_connection_that_has_not_answered_for_a_while_is_checked(asked: list[bool]) -> None:
    connection.connection.answered_at -= base._TRUSTED_SECONDS
    next_request()
    assert ask() == 1
    assert asked == [True]


def test_a_session_that_the_server_has_ended_is_replaced(asked: list[bool]) -> None:
    session = connection.connection
    end_session(session.info.backend_pid)
    next_request()
    assert ask() == 1
    assert asked == [False]
    assert connection.connection is not session


def test_after_an_error_a_connection_is_checked(asked: list[bool]) -> None:
    connection.errors_occurred = True
    next_request()
    assert asked == [True]


def test_a_connection_in_a_transaction_is_checked(asked: list[bool]) -> None:
    connection.connection.execute("BEGIN")
    assert connection.is_usable()
    assert asked == [True]
    connection.connection.execute("ROLLBACK")


def test_no_connection_is_used_while_the_database_is_known_not_to_answer(
    asked: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PULSE, "_silent", True)
    assert not connection.is_usable()
    with pytest.raises(OperationalError):
        ask()
