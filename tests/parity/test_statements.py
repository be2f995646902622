"""The number of statements of a decision: it shows if a row or an actor is read twice."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from requests_app import operations
from tests.caller import Caller, token_of
from tests.cast import Cast
from tests.web.pages import page_of, signed_in

pytestmark = [pytest.mark.postgres, pytest.mark.real_clock, pytest.mark.django_db(transaction=True)]

#: An approval of the customer's, without BEGIN and COMMIT: inside the operation, and all that a request takes.
INSIDE, WEB, API = 12, 20, 16


def _statements(captured: CaptureQueriesContext) -> list[str]:
    sent = [query["sql"] for query in captured.captured_queries]
    return [sql for sql in sent if sql.split()[0] not in ("BEGIN", "COMMIT")]


def test_an_approval_by_the_customer_stays_in_its_budget(cast: Cast) -> None:
    row, ada = cast.confirmed(), cast.as_("ada")
    with CaptureQueriesContext(connection) as captured:
        operations.approve_as_customer(row.pk, actor=ada, note="Yes.")
    statements = _statements(captured)
    assert len(statements) <= INSIDE, "\n".join(statements)


def test_an_approval_on_the_page_stays_in_its_budget(cast: Cast) -> None:
    """As the browser sends it: with the form's token, by a person who has just proved who they are."""
    row, browser = cast.confirmed(), signed_in(cast, "ada")
    page = page_of(row, "decide", "approve")
    [token] = re.findall(r'name="once" value="([^"]+)"', browser.get(page).content.decode())[:1]
    form = {"digest": row.content_digest, "shown": row.state, "comment": "Yes.", "once": token}
    with CaptureQueriesContext(connection) as captured:
        response = browser.post(page, form)
    assert response.status_code == 302
    statements = _statements(captured)
    assert len(statements) <= WEB, "\n".join(statements)


def test_an_approval_over_the_api_stays_in_its_budget(cast: Cast) -> None:
    row, caller = cast.confirmed(), Caller(token_of(cast, "ada"))
    tag = caller.get(f"access-requests/{row.pk}")["ETag"]
    with CaptureQueriesContext(connection) as captured:
        response = caller.post(f"access-requests/{row.pk}/approve", {"comment": "Yes."}, If_Match=tag)
    assert response.status_code == 200
    statements = _statements(captured)
    assert len(statements) <= API, "\n".join(statements)
