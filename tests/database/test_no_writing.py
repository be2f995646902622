"""PostgreSQL is read-only, for example after a failover. This is an outage: every interface answers 503, never 500."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.db import OperationalError, ProgrammingError, connection
from django.test import Client

from tests.caller import Caller, client_of, token_of
from tests.cast import PASSWORD, Cast
from tests.web.pages import signed_in

pytestmark = [
    pytest.mark.django_db(transaction=True),
    # SQLite itself raises an OperationalError for it.
    pytest.mark.postgres,
]


@contextmanager
def read_only() -> Iterator[None]:
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SET default_transaction_read_only = off")


def test_every_interface_answers_503(cast: Cast) -> None:
    client, secret = client_of(cast)
    basic = base64.b64encode(f"{client.pk}:{secret}".encode()).decode()
    ada, caller, stranger = signed_in(cast, "ada"), Caller(token_of(cast, "ada")), Client(raise_request_exception=False)
    ada.raise_request_exception = False
    with read_only():
        answers = [
            stranger.post("/accounts/login/", {"login": cast.mia.email, "password": PASSWORD}),
            stranger.post("/accounts/password/reset/", {"email": cast.mia.email}),
            stranger.post(
                "/oauth/token", {"grant_type": "client_credentials"}, headers={"Authorization": f"Basic {basic}"}
            ),
            ada.post("/accounts/logout/"),
            caller.post("me/step-up", {"password": PASSWORD}),
        ]
    assert [answer.status_code for answer in answers] == [503] * len(answers)


def test_a_missing_privilege_is_an_outage_and_what_a_policy_refuses_a_bug(cast: Cast) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMPORARY TABLE shut (id int); REVOKE INSERT ON shut FROM CURRENT_USER")
        with pytest.raises(OperationalError):
            cursor.execute("INSERT INTO shut VALUES (1)")
        cursor.execute("GRANT INSERT ON shut TO CURRENT_USER")
        cursor.execute("ALTER TABLE shut ENABLE ROW LEVEL SECURITY; ALTER TABLE shut FORCE ROW LEVEL SECURITY")
        with pytest.raises(ProgrammingError):
            cursor.execute("INSERT INTO shut VALUES (1)")
