"""How many statements a decision takes: a row or an actor that is read twice shows here."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from requests_app import operations
from tests.cast import Cast

pytestmark = [pytest.mark.postgres, pytest.mark.real_clock, pytest.mark.django_db(transaction=True)]

#: An approval of the customer's, inside the operation, without BEGIN and COMMIT.
INSIDE = 12


def _statements(captured: CaptureQueriesContext) -> list[str]:
    sent = [query["sql"] for query in captured.captured_queries]
    return [sql for sql in sent if sql.split()[0] not in ("BEGIN", "COMMIT")]


def test_an_approval_by_the_customer_stays_in_its_budget(cast: Cast) -> None:
    row, ada = cast.confirmed(), cast.as_("ada")
    with CaptureQueriesContext(connection) as captured:
        operations.approve_as_customer(row.pk, actor=ada, note="Yes.")
    statements = _statements(captured)
    assert len(statements) <= INSIDE, "\n".join(statements)
