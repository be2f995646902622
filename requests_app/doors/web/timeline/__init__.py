"""The timeline of an evidence bundle, for people: as a page that needs nothing else, and as PDF."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from audit_app.evidence import Evidence, Extra
from requests_app.domain.actors import Actor
from requests_app.doors.web.timeline import html, pdf
from requests_app.doors.web.timeline.story import Story, Subject

__all__ = ["Subject", "timelines"]

_Told = Callable[[int], None]


def timelines(prepared: Evidence, subject: Subject, *, actor: Actor, begin: Callable[[], _Told]) -> list[Extra]:
    """The two files. Neither is begun before it is written, and what both of them say is read once.

    `begin` is called when the entries are gone through once more, and gives what is told how many are done.
    """
    story = Story(prepared, subject, actor=actor)

    def pages() -> Iterator[bytes]:
        yield from html.pages(story, told=begin())

    return [("timeline.html", pages()), ("timeline.pdf", pdf.pages(story))]
