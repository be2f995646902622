"""The timeline as one HTML page without other files, scripts or network. It is written row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby, islice

from django.template.loader import render_to_string
from django.utils import dateformat
from django.utils.html import escape
from django.utils.translation import gettext as _

from requests_app.doors.web.timeline.story import Line, Story, counted
from requests_app.words import text

#: How many rows one table has. A browser lays out a table as a whole, and would hang at a day with a million entries.
_ROWS = 500
#: Half a surrogate pair can't be encoded. Only damaged entries contain such halves.
_ODD = "backslashreplace"


def pages(story: Story, *, report: Callable[[int], None]) -> Iterator[bytes]:
    yield render_to_string("evidence/timeline/head.html", {"story": story}).encode(errors=_ODD)
    for day, lines in groupby(story.lines(), key=lambda line: (line.shard, line.at.date())):
        is_first = True
        while rows := list(islice(lines, _ROWS)):
            yield _day(day[0], rows, is_first=is_first, has_shards=len(story.prepared.parts) > 1).encode(errors=_ODD)
            report(len(rows))
            is_first = False
    yield render_to_string("evidence/timeline/tail.html", {"story": story}).encode()


def _day(shard: int, rows: list[Line], *, is_first: bool, has_shards: bool) -> str:
    context = {
        "day": dateformat.format(rows[0].at, "l j F Y"),
        "shard": shard if has_shards else None,
        "is_first": is_first,
        "first": counted(rows[0].number),
    }
    return render_to_string("evidence/timeline/day.html", context).replace("<!--rows-->", "".join(map(_row, rows)))


def _row(line: Line) -> str:
    """Return one entry as HTML.

    Numbers, times, hexadecimal digits and safe markup are not escaped again. For a million rows, this saves half of the
    time.
    """
    kind, mark = line.mark
    at = line.at.isoformat()
    comment = f"<blockquote>{text.visible_block(line.comment, has_links=False)}</blockquote>" if line.comment else ""
    flaw = "" if line.is_intact else f'<strong class="flaw">{escape(_("Changed since it was written."))}</strong> '
    return (
        f'<tr id="e{line.shard}-{line.number}"><td class="number">{line.number}</td>'
        f'<td class="time"><time datetime="{at}">{at[11:19]}</time></td>'
        f'<td class="mark {kind}" aria-hidden="true">{mark}</td><td>{flaw}{line.html}{comment}</td>'
        f'<td class="leaf">{line.leaf}</td></tr>\n'
    )
