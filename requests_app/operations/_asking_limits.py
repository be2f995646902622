"""Limits how often an engineer may ask a tenant for access: by numbers, and by the mutes that a tenant sets."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Any

from django.db.models import DateTimeField, UUIDField
from django.utils.translation import gettext as _

from requests_app.domain import limits
from requests_app.domain.errors import TooMany
from requests_app.models import AccessRequest, Mute
from requests_app.platform.database import compiled
from requests_app.platform.database.compiled import CompiledQuery, Reads


def require_room(row: AccessRequest, at: dt.datetime) -> None:
    """Raise TooMany if this human has too many access requests at this tenant.

    A customer who is asked too often approves without reading. Practice requests are counted by themselves, and have
    much smaller limits.
    """
    most_waiting = limits.pending_max(is_practice=row.is_practice)
    most_hourly = limits.hourly_max(is_practice=row.is_practice)
    whose = {"human": row.requester_human, "tenant": row.tenant_id}
    waiting, recent = _EARLIER[row.is_practice]
    asked = [(waiting, {**whose, "at": at}), (recent, {**whose, "after": at - dt.timedelta(hours=1)})]
    waits, submitted = compiled.counts(asked, most=max(most_waiting, most_hourly))
    if waits >= most_waiting:
        raise TooMany(
            _(
                "You already have %(max)d waiting access requests at this tenant. Wait for the answers, or withdraw "
                "an access request."
            )
            % {"max": most_waiting}
        )
    if submitted >= most_hourly:
        raise TooMany(
            _("You have submitted %(max)d access requests for this tenant within an hour. Try again later.")
            % {"max": most_hourly}
        )


def _earlier(human: Any, tenant: Any, *, is_practice: bool) -> Any:
    rows = AccessRequest.objects.filter(requested_by__human_id=human, tenant=tenant, is_practice=is_practice)
    return rows.order_by().values_list("pk")


def _of_human(is_practice: bool) -> tuple[CompiledQuery, CompiledQuery]:
    """Return the queries for a human's access requests at a tenant that wait, and that were submitted after a time."""
    whose = {"human": UUIDField(), "tenant": UUIDField()}
    earlier = partial(_earlier, is_practice=is_practice)
    return (
        CompiledQuery(lambda human, tenant, at: earlier(human, tenant).waiting(at), at=DateTimeField(), **whose),
        CompiledQuery(
            lambda human, tenant, after: earlier(human, tenant).filter(submitted_at__gt=after),
            after=DateTimeField(),
            **whose,
        ),
    )


_EARLIER = {is_practice: _of_human(is_practice) for is_practice in (False, True)}


def mute_query(row: AccessRequest) -> Reads:
    """Return the query for the mute that applies to the engineer, if any. It may have ended.

    Read it after the act has locked the log. The acts that set and lift a mute lock it too.
    """
    return _MUTE, {"tenant": row.tenant_id, "human": row.requester_human}


def longest_mute(row: AccessRequest) -> Mute | None:
    """Return what the query of `mute_query` finds."""
    query, values = mute_query(row)
    return next(iter(query(**values)), None)


_MUTE = CompiledQuery(
    lambda tenant, human: Mute.objects.ends_last(tenant, human), tenant=UUIDField(), human=UUIDField()
)
