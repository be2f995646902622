"""Chooses the old signed entries that are compared again with each signature. In one day, they cover the whole log."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import dataclass

from audit_app.models import SignedHead
from audit_app.tiles import WIDTH
from audit_app.tree import Range

#: The longest time in which all entries of a log are compared once, whether it is signed every ten seconds or dated
#: once an hour.
TURN = dt.timedelta(days=1)
#: The most entries that are compared with one signature, so that a long log does not delay the others. If this is too
#: few for a log within a day, its comparison takes longer.
MOST_ENTRIES = 100_000


@dataclass(frozen=True)
class Recheck:
    """At most two ranges of entries, in the order of their comparison. Each range begins where a tile begins."""

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
        """The ranges, divided into tiles."""
        for start, end in self.ranges:
            for first in range(start, end, WIDTH):
                yield first, min(first + WIDTH, end)


def due(signed: SignedHead, at: dt.datetime, *, least: int) -> Recheck:
    """Return the entries to compare now: the part of a day since the last signature, in whole tiles, at least `least`.

    After the last entry, it continues with the first. The part depends on the time and not on the number of signatures.
    So for a log that grows all the time, almost nothing is compared with each signature. For a log that is dated once
    an hour, a twenty-fourth of its entries is compared.
    """
    since = at - signed.dated_at if signed.dated_at else dt.timedelta()
    wanted = max(least, min(math.ceil(signed.size * (since / TURN)), MOST_ENTRIES))
    tiles = -(-wanted // WIDTH)
    start = signed.checked_to - signed.checked_to % WIDTH if signed.checked_to < signed.size else 0
    end = min(start + tiles * WIDTH, signed.size)
    rest = min((tiles - -(-(end - start) // WIDTH)) * WIDTH, start)
    return Recheck(tuple(each for each in ((start, end), (0, rest)) if each[0] < each[1]))
