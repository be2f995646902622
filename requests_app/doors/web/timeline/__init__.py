"""The timeline of an evidence bundle for people: as an HTML page that needs no other file, and as a PDF."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from audit_app.evidence import Evidence, Extra
from requests_app.domain.actors import Actor
from requests_app.doors.web.timeline import html, pdf
from requests_app.doors.web.timeline.story import Story, Subject

__all__ = ["Subject", "timelines"]

_Report = Callable[[int], None]


def timelines(prepared: Evidence, subject: Subject, *, actor: Actor, begin: Callable[[], _Report]) -> list[Extra]:
    """Return the HTML file and the PDF. Each file is made when the bundle writes it.

    Their common data is read once. `begin` is called before the HTML file reads the entries. It returns a
    function. Each call of this function gets the number of entries that were written since the last call.
    """
    story = Story(prepared, subject, actor=actor)

    def pages() -> Iterator[bytes]:
        yield from html.pages(story, report=begin())

    return [("timeline.html", pages()), ("timeline.pdf", pdf.pages(story))]
