"""Which of the entries that were signed long ago are looked at anew with a signature: all of them within a day."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator
from dataclasses import dataclass

from audit_app.models import SignedHead
from audit_app.tiles import WIDTH
from audit_app.tree import Range

#: A full turn through a log takes no longer, whether it is signed every ten seconds or dated once an hour.
TURN = dt.timedelta(days=1)
#: So many entries are looked at with one signature at most, or a log of any length held up all others. What is longer
#: than a day of heartbeats can look at takes longer in proportion.
MOST_ENTRIES = 100_000


@dataclass(frozen=True)
class Part:
    """Ranges of entries in the order in which they are looked at. Each begins where a tile does; at most two."""

    ranges: tuple[Range, ...]

    @property
    def count(self) -> int:
        return sum(end - start for start, end in self.ranges)

    @property
    def end(self) -> int:
        """Where the next signature goes on."""
        return self.ranges[-1][1] if self.ranges else 0

    @property
    def tiles(self) -> Iterator[Range]:
        """The entries of one tile after the other."""
        for start, end in self.ranges:
            for first in range(start, end, WIDTH):
                yield first, min(first + WIDTH, end)


def part(signed: SignedHead, at: dt.datetime, *, least: int) -> Part:
    """The share of a turn that the time since the last signature asks for, in whole tiles, `least` or more.

    From the last entry it goes on with the first. A share by time, and not by the number of signatures, costs a log
    that grows all the time next to nothing each time, and one that is dated once an hour a twenty-fourth.
    """
    since = at - signed.dated_at if signed.dated_at else dt.timedelta()
    wanted = max(least, min(math.ceil(signed.size * (since / TURN)), MOST_ENTRIES))
    tiles = -(-wanted // WIDTH)
    start = signed.checked_to - signed.checked_to % WIDTH if signed.checked_to < signed.size else 0
    end = min(start + tiles * WIDTH, signed.size)
    rest = min((tiles - -(-(end - start) // WIDTH)) * WIDTH, start)
    return Part(tuple(each for each in ((start, end), (0, rest)) if each[0] < each[1]))
