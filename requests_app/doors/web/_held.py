"""Lets a page that asks again and again wait for its answer, without a thread, until there is something to say."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from requests_app.domain import clock
from requests_app.domain.errors import DomainError, TooMany
from requests_app.doors.web.middleware import actor_in, as_in_request
from requests_app.models.people import reread_person
from requests_app.platform import waiting
from requests_app.platform.long_calls import PAGES, PAGES_PER_PERSON, LongCall
from requests_app.work import readers

#: A page waits about this many seconds. Then it asks again. The time differs, so that pages that came back together
#: after a restart do not ask together.
HELD_SECONDS, DIFFERS_BY = 25.0, 5.0
#: With more processes, one browser could wait in so many of them that it has no connection left for another page.
MOST_PROCESSES = 4
#: If the person may have lost a right, the page is shown nothing more. It is answered after this many seconds, and asks
#: again at once. Its next request is judged like any other.
LEAST_SECONDS = 1.0


def held(
    request: HttpRequest,
    first: HttpResponse,
    again: Callable[[], HttpResponse],
    *,
    every: float | None = None,
    **waits_for: UUID,
) -> HttpResponse:
    """Return the first answer, unless it says that nothing is new. Then wait until `again` has another answer.

    Before `again` reads everything again, the roles of the actor are read again, and whether the session still belongs
    to the person: a new password ends it, and so does a reset. `again` is called when the window
    `grant_id` has ended, when the log of `tenant_id` has grown, and when something of the person or the session has
    changed. If the answer depends on the time, it is also called after `every` seconds.
    """
    if first.status_code != 204 or not waiting.is_outside(request.META) or settings.WEB_WORKERS > MOST_PROCESSES:
        return first
    person_id = cast(UUID, request.user.pk)
    try:
        place = LongCall(person_id, most=PAGES_PER_PERSON, slots=PAGES, tenant_id=waits_for.get("tenant_id"))
    except TooMany:
        return first
    with place:
        news = waiting.News()
        key = str(request.session.session_key)
        seat = readers.HUB.sit(session=(key, person_id), news=news, **waits_for)
    page = _Page(request, again, seat, every)
    found = waiting.Waiting(request, page.look)
    found.news, found.look_every = news, page.seconds_left
    found.at_once = partial(HttpResponse, status=204)
    found.at_its_end(partial(readers.HUB.leave, seat))
    found.at_its_end(place.leave)
    return found


class _Page:
    def __init__(
        self, request: HttpRequest, again: Callable[[], HttpResponse], seat: readers.Seat, every: float | None
    ) -> None:
        self._request, self._again, self._seat, self._actor = request, again, seat, actor_in(request)
        self._every = HELD_SECONDS + DIFFERS_BY if every is None else every
        self._since = clock.monotonic()
        seconds = random.uniform(HELD_SECONDS - DIFFERS_BY, HELD_SECONDS + DIFFERS_BY)  # noqa: S311 - no secret
        # The end of a session by time changes no row.
        self._ends = self._since + min(seconds, getattr(request, "session_left", seconds))
        self._is_refused = False

    @property
    def _is_gone(self) -> bool:
        return self._seat.is_gone or self._is_refused

    def seconds_left(self) -> float:
        left = min(self._ends - clock.monotonic(), self._every)
        return min(left, LEAST_SECONDS) if self._is_gone else left

    def look(self) -> HttpResponse | None:
        now = clock.monotonic()
        if now >= self._ends:
            return HttpResponse(status=204)
        found = None if self._is_gone else self._found()
        if found is None:
            # The page asks again at once, and then gets the refusal with its page and its entry.
            return HttpResponse(status=204) if now - self._since >= LEAST_SECONDS else None
        return None if found.status_code == 204 else found

    def _found(self) -> HttpResponse | None:
        """Return the answer as it is now, or None if the person may have lost a right since the request."""
        request: Any = self._request
        try:
            with as_in_request(request):
                request.actor, person, _ = reread_person(self._actor)
                if person is not None and person.get_session_auth_hash() == request.user.get_session_auth_hash():
                    return self._again()
        except DomainError:
            pass
        self._is_refused = True
        return None
