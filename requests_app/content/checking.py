"""Tests whether a resource can be reached, and lists what a connector finds. Neither reads content.

A connector may hang or fail in any way. Every call here ends within CHECK_SECONDS, and raises only the errors below.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import structlog

from requests_app.content.connectors.base import Connector, ConnectorError
from requests_app.content.connectors.registry import connector_for
from requests_app.models import Resource
from requests_app.models.services import is_own_place
from requests_app.platform import patience

T = TypeVar("T")

logger = structlog.get_logger(__name__)

#: The longest time that a test waits for a connector.
CHECK_SECONDS = 4.0
#: How many tests of one connector a process runs at the same time. A test that hangs counts until it returns.
PLACES = 4

#: The codes of problems. A code never changes its meaning, because the log and other programs store it.
NO_ANSWER, KIND_DIFFERS, OUTSIDE = "no_answer", "kind_differs", "outside_resource"
UNAVAILABLE = "connector_unavailable"
PROBLEMS = ("resource_not_found", OUTSIDE, "link_refused", UNAVAILABLE, NO_ANSWER, KIND_DIFFERS)


def problem_of(resource: Resource) -> str:
    """Return the code of what is wrong with a resource, or "" if it can be reached.

    Raise NoPlace if too many tests of this connector have not returned yet. Then nothing is known about the resource.
    """
    if not is_own_place(resource.tenant, resource.locator):
        return OUTSIDE
    try:
        connector = connector_for(resource.service.connector)
        if resource.kind not in connector.kinds:
            return KIND_DIFFERS
        bounded(connector, lambda: connector.check(resource.locator))
    except ConnectorError as error:
        return error.code if error.code in PROBLEMS else UNAVAILABLE
    except patience.TookTooLong:
        return NO_ANSWER
    return ""


def steps_of(resource: Resource, problem: str) -> tuple[str, ...]:
    """Return the codes of what a test with this result did. Return () if it did not ask the connector."""
    try:
        asked = problem not in (KIND_DIFFERS, OUTSIDE)
        return connector_for(resource.service.connector).check_steps if asked else ()
    except ConnectorError:
        return ()


def bounded(connector: Connector, work: Callable[[], T]) -> T:
    """Call a connector for at most CHECK_SECONDS.

    Raise only ConnectorError, TookTooLong or NoPlace. Any other error of the connector becomes a ConnectorError. Its
    message is not logged, because it may contain content.
    """
    try:
        return patience.call(work, key=connector.kind, places=PLACES, seconds=CHECK_SECONDS)
    except (ConnectorError, patience.TookTooLong, patience.NoPlace):
        raise
    except Exception as failure:
        logger.error("connector_failed", connector=connector.kind, error=type(failure).__name__)
        raise ConnectorError from failure
