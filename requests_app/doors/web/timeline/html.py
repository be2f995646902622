"""The timeline as one HTML page without other files, scripts or network. It is written row by row."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from itertools import groupby, islice
from operator import itemgetter

from django.db import connections
from django.template.loader import render_to_string
from django.utils import dateformat
from django.utils.html import escape
from django.utils.translation import gettext as _

from audit_app.bundle_selection import BundledShard
from requests_app.doors.web.timeline.story import Line, Story, counted
from requests_app.platform import forks, shared_memory
from requests_app.words import text

#: How many rows one table has. A browser lays out a table as a whole, and would hang at a day with a million entries.
_ROWS = 500
#: Half a surrogate pair can't be encoded. Only damaged entries contain such halves.
_ODD = "backslashreplace"
#: From this number of entries on, a second process makes a half of the rows.
MANY = 20_000
#: How many rows are made before the fork.
_FIRST = 100
#: The shard and the day of an entry, its number, and its row as HTML.
_Row = tuple[int, str, int, str]


def helper(story: Story) -> forks.Helper | None:
    """Return a second process that makes every second batch of rows. Return None if this process makes all of them.

    It does so for few entries, with one core, if it can't be forked, or if the entries have gaps. Before the fork, this
    closes all connections to the database, which a fork must not share.
    """
    parts = story.prepared.parts
    is_of_use = story.prepared.count >= MANY and all(part.is_contiguous for part in parts)
    if not (is_of_use and forks.is_alone() and _cores() > 1):
        return None
    ranges = [(part, *each) for part in parts for each in part.ranges()]
    # What this loads is shared with the fork, which else loads it once more.
    part, first, end = ranges[0]
    _made(story, part, first, min(end, first + _FIRST))
    render_to_string("evidence/timeline/tail.html", {"story": story})
    connections.close_all()
    shared_memory.stay()
    return forks.Helper(lambda: (_made(story, *each) for each in ranges[1::2])) if forks.may_fork() else None


def _cores() -> int:
    return len(os.sched_getaffinity(0))


def pages(story: Story, *, report: Callable[[int], None], beside: forks.Helper | None = None) -> Iterator[bytes]:
    """Yield the file in pieces. `beside` makes every second batch of rows."""
    yield render_to_string("evidence/timeline/head.html", {"story": story}).encode(errors=_ODD)
    with closing(beside) if beside else nullcontext():
        for (shard, _day_of), rows in groupby(_rows(story, beside), key=itemgetter(0, 1)):
            is_first = True
            while some := list(islice(rows, _ROWS)):
                has_shards = len(story.prepared.parts) > 1
                yield _day(some, shard if has_shards else None, is_first=is_first).encode(errors=_ODD)
                report(len(some))
                is_first = False
    yield render_to_string("evidence/timeline/tail.html", {"story": story}).encode()


def _rows(story: Story, beside: forks.Helper | None) -> Iterator[_Row]:
    if beside is None:
        yield from map(_row, story.lines())
        return
    number = 0
    for part in story.prepared.parts:
        count = 0
        for first, end in part.ranges():
            rows = beside.take() if number % 2 else None
            # An item is missing if the second process was ended.
            rows = _made(story, part, first, end) if rows is None else rows
            number, count = number + 1, count + len(rows)
            yield from rows
        part.require_all(count)


def _made(story: Story, part: BundledShard, first: int, end: int) -> list[_Row]:
    return [*map(_row, story.lines_of(part.read(first, end)))]


def _day(rows: list[_Row], shard: int | None, *, is_first: bool) -> str:
    _shard, day, number, _html = rows[0]
    context = {
        "day": dateformat.format(dt.date.fromisoformat(day), "l j F Y"),
        "shard": shard,
        "is_first": is_first,
        "first": counted(number),
    }
    return render_to_string("evidence/timeline/day.html", context).replace(
        "<!--rows-->", "".join(row[3] for row in rows)
    )


def _row(line: Line) -> _Row:
    """Return one entry as HTML, with its place.

    Numbers, times, hexadecimal digits and safe markup are not escaped again. For a million rows, this saves half of the
    time.
    """
    kind, mark = line.mark
    at = line.at.isoformat()
    comment = f"<blockquote>{text.visible_block(line.comment, has_links=False)}</blockquote>" if line.comment else ""
    flaw = "" if line.is_intact else f'<strong class="flaw">{escape(_("Changed since it was written."))}</strong> '
    row = (
        f'<tr id="e{line.shard}-{line.number}"><td class="number">{line.number}</td>'
        f'<td class="time"><time datetime="{at}">{at[11:19]}</time></td>'
        f'<td class="mark {kind}" aria-hidden="true">{mark}</td><td>{flaw}{line.html}{comment}</td>'
        f'<td class="leaf">{line.leaf}</td></tr>\n'
    )
    return line.shard, at[:10], line.number, row
