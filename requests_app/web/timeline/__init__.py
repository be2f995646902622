"""The timeline of an evidence bundle, for people: as a page that needs nothing else, and as PDF."""

from __future__ import annotations

from collections.abc import Iterator

from audit_app.evidence import Evidence, Extra
from requests_app.actors import Actor
from requests_app.web import _progress
from requests_app.web._progress import Progress
from requests_app.web.timeline import html, pdf
from requests_app.web.timeline.story import Story, Subject

__all__ = ["Subject", "timelines"]


def timelines(prepared: Evidence, subject: Subject, *, actor: Actor, progress: Progress | None = None) -> list[Extra]:
    """The two files. Neither is begun before it is written, and the story of both is read once."""
    story = Story(prepared, subject, actor=actor)

    def pages() -> Iterator[bytes]:
        if progress:
            progress.begin(_progress.TIMELINE)
        yield from html.pages(story, told=progress.add if progress else lambda count: None)

    return [("timeline.html", pages()), ("timeline.pdf", pdf.pages(story))]
