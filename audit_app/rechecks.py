"""Chooses which old signed entries are compared again at a signature, so that each day covers the whole log."""

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
    """The entries to compare at one signature: at most two ranges.

    The second range continues at the first entry of the log. Each range begins at the start of a tile.
    """

    ranges: tuple[Range, ...]

    @property
    def count(self) -> int:
        return sum(end - start for start, end in self.ranges)

    @property
    def end(self) -> int:
        """The index at which the comparison continues at the next signature."""
        return self.ranges[-1][1] if self.ranges else 0

    @property
    def tiles(self) -> Iterator[Range]:
        """The ranges, divided into one range for each tile."""
        for start, end in self.ranges:
            for first in range(start, end, WIDTH):
                yield first, min(first + WIDTH, end)


def due(signed: SignedHead, at: dt.datetime, *, least: int) -> Recheck:
    """Return the entries to compare now.

    Their number grows with the time since the last signature: for each day, the whole log is compared, up to
    MOST_ENTRIES. The number is rounded up to whole tiles, and is at least `least`. After the last entry of the
    log, the comparison continues with the first. So the number of signatures does not matter. In a log that is
    signed every hour, a twenty-fourth of the entries is compared each time. In a log that is signed every
    minute, it is almost nothing.
    """
    since = at - signed.dated_at if signed.dated_at else dt.timedelta()
    wanted = max(least, min(math.ceil(signed.size * (since / TURN)), MOST_ENTRIES))
    tiles = -(-wanted // WIDTH)
    start = signed.checked_to - signed.checked_to % WIDTH if signed.checked_to < signed.size else 0
    end = min(start + tiles * WIDTH, signed.size)
    rest = min((tiles - -(-(end - start) // WIDTH)) * WIDTH, start)
    return Recheck(tuple(each for each in ((start, end), (0, rest)) if each[0] < each[1]))
