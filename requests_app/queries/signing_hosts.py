"""Lists the hosts that have the log's key: the one that signs, and those that could take over from it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from requests_app.models import Heartbeat

#: A host that has not reported for this long is away. A host that is up reports at least once in some minutes.
AWAY_AFTER = dt.timedelta(minutes=15)


@dataclass(frozen=True)
class SigningHost:
    """A host that has the log's key. `refused` says why it can't sign, or is empty."""

    name: str
    seen_at: dt.datetime
    refused: str
    is_away: bool

    @property
    def state(self) -> str:
        return "away" if self.is_away else "refused" if self.refused else "ready"


def signing_hosts(at: dt.datetime) -> list[SigningHost]:
    """Return the hosts that have reported in the last days, in the order of their names."""
    return [host_of(row, at) for row in Heartbeat.objects.signers().order_by("name")]


def host_of(row: Heartbeat, at: dt.datetime) -> SigningHost:
    """Return what a heartbeat of a signer says."""
    return SigningHost(
        name=row.name.removeprefix(Heartbeat.SIGNER),
        seen_at=row.at,
        refused=row.detail.removeprefix(Heartbeat.FAILED),
        is_away=row.at <= at - AWAY_AFTER,
    )
