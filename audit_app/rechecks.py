"""Chooses the old signed entries that are compared again with each signature, so that a day covers the whole log."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import dataclass

from audit_app.models import SignedHead
from audit_app.tiles import WIDTH
from audit_app.tree import Range

#: A turn through a whole log takes no longer than this, whether it is signed every ten seconds or dated once an hour.
TURN = dt.timedelta(days=1)
#: The most entries that are compared with one signature, so that a long log does not delay the others. If a day of
#: heartbeats can't cover a log at this rate, its turn takes longer.
MOST_ENTRIES = 100_000


@dataclass(frozen=True)
class Recheck:
    """At most two ranges of entries, in the order in which they are compared. Each begins where a tile does."""

    ranges: tuple[Range, ...]

    @property
    def count(self) -> int:
        return sum(end - start for start, end in self.ranges)

    @property
    def end(self) -> int:
        """Where the next signature continues."""
        return self.ranges[-1][1] if self.ranges else 0

    @property
    def tiles(self) -> Iterator[Range]:
        """The ranges tile by tile."""
        for start, end in self.ranges:
            for first in range(start, end, WIDTH):
                yield first, min(first + WIDTH, end)


def due(signed: SignedHead, at: dt.datetime, *, least: int) -> Recheck:
    """Return the part of a turn that the time since the last signature asks for, in whole tiles, at least `least`.

    After the last entry it continues with the first. The part depends on time and not on the number of signatures. So a
    log that grows all the time compares almost nothing per signature. A log that is dated hourly compares a
    twenty-fourth of itself.
    """
    since = at - signed.dated_at if signed.dated_at else dt.timedelta()
    wanted = max(least, min(math.ceil(signed.size * (since / TURN)), MOST_ENTRIES))
    tiles = -(-wanted // WIDTH)
    start = signed.checked_to - signed.checked_to % WIDTH if signed.checked_to < signed.size else 0
    end = min(start + tiles * WIDTH, signed.size)
    rest = min((tiles - -(-(end - start) // WIDTH)) * WIDTH, start)
    return Recheck(tuple(each for each in ((start, end), (0, rest)) if each[0] < each[1]))
