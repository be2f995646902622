"""The API answers random calls, and random sequences of linked calls, as the OpenAPI document says.

Only `bin/test deep` collects this file, because collecting it takes seconds: its cases are made at that time.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from hypothesis import HealthCheck, Phase, settings
from schemathesis import checks

from requests_app.doors.api import quota
from tests.api.conftest import connections_stay_open
from tests.api.routes import kind_of
from tests.caller import token_of
from tests.cast import Cast

pytestmark = [pytest.mark.deep, pytest.mark.usefixtures("nobody_waits", "_connections_stay_open")]

# Not lockbox_site.rsgi: importing it starts the thread that watches streams, which would end the streams of other
# tests.
schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", WSGIHandler())
#: Rules that the document can't express: an operation can refuse a well-formed call, and 428 is about a header.
_OUT = [checks.positive_data_acceptance, checks.missing_required_header]


@pytest.fixture
def _connections_stay_open() -> Iterator[None]:
    with connections_stay_open():
        yield


@pytest.mark.timeout(300)
@schema.parametrize()
@settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    # Only PostgreSQL has bounds for numbers. So only there the bounds of all parameters are tried, about 70 calls for
    # each operation.
    phases=[*([Phase.explicit] if connection.vendor == "postgresql" else []), Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@pytest.mark.django_db
def test_no_call_is_answered_otherwise_than_the_document_says(
    case: Any, cast: Cast, ids_in_paths: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    callers = request.node.__dict__.setdefault("_callers", {})
    turn = callers["turn"] = callers.get("turn", 0) + 1
    name = ("ada", "priya", "ines", "stella")[turn % 4]
    if name not in callers:
        callers[name] = token_of(cast, name)
    out = list(_OUT)
    if turn % 3:
        out.append(checks.negative_data_rejection)  # the test may have replaced the invalid id
        # A random id finds no row. So two of three calls use the id of a row that exists.
        for parameter in case.path_parameters or {}:
            known = ids_in_paths.get(kind_of(case.path) if parameter == "id" else parameter)
            if known is not None:
                case.path_parameters[parameter] = str(known)
    quota.CALLS.clear()
    case.call_and_validate(headers={"Authorization": f"Bearer {callers[name]}"}, excluded_checks=out)


@pytest.mark.timeout(300)
@pytest.mark.django_db
@pytest.mark.parametrize("name", ["ines", "priya", "stella"])
def test_lives_that_follow_the_links_are_answered_as_the_document_says(cast: Cast, name: str) -> None:
    """Follow the links of the document in random order: create rows, read, change and end them."""
    secret = token_of(cast, name)

    class Life(schema.as_state_machine()):
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            quota.CALLS.clear()
            return {"headers": {"Authorization": f"Bearer {secret}"}}

        def validate_response(self, response: Any, case: Any, **options: Any) -> None:
            # Every call has the token, even if the library wants to send another one or none.
            case.validate_response(response, excluded_checks=[*_OUT, checks.ignored_auth])

    Life.run(
        settings=settings(
            max_examples=15,
            stateful_step_count=8,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
    )
