"""Pages that ask again and again wait for their answer, and learn at once of what concerns them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from django.contrib.sessions.models import Session
from django.core.signals import request_finished
from django.db import close_old_connections, connection
from django.http import HttpResponse, HttpResponseBase
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import resolve, reverse

from lockbox_site import middleware
from requests_app import operations
from requests_app.domain import clock
from requests_app.doors.web import _held
from requests_app.models import Grant
from requests_app.platform import waiting
from requests_app.platform.long_calls import PAGES
from requests_app.work import readers
from tests.cast import Cast
from tests.web.pages import look, page_of, signed_in

pytestmark = pytest.mark.django_db


class Rung(waiting.News):
    times = 0

    def ring(self) -> None:
        self.times += 1

    def taken(self) -> bool:
        before, self.times = self.times, 0
        return before > 0


def look_at_all() -> None:
    """Look once as the threads do that look for pages."""
    for each in (readers.HUB.look_at_windows, readers.HUB.look_at_people, readers.HUB.look):
        each()


class Page:
    """A page of one person that asks, as the web server passes its request to the view."""

    def __init__(self, cast: Cast, name: str, url: str, *, is_outside: bool = True) -> None:
        self.session = signed_in(cast, name).session
        outside: Any = {waiting.KEY: is_outside}
        request: Any = RequestFactory().get(url, headers={"HX-Request": "true"}, **outside)
        request.user, request.actor, request.htmx = cast.people[name], cast.as_(name), True
        request.session, request.began_at = self.session, clock.now()
        found = resolve(url.partition("?")[0])
        self.answer: Any = found.func(request, *found.args, **found.kwargs)

    @property
    def waits(self) -> bool:
        return isinstance(self.answer, waiting.Waiting)

    @property
    def is_rung(self) -> bool:
        """Let the thread look once. Return whether it has woken this page."""
        look_at_all()
        return bool(self.answer.news.taken())

    def look(self) -> HttpResponseBase | None:
        found: HttpResponseBase | None = self.answer.look()
        return found

    def leave(self) -> None:
        """End the call without closing database connections, because the test's transaction uses one of them."""
        request_finished.disconnect(close_old_connections)
        self.answer.close()
        request_finished.connect(close_old_connections)


@pytest.fixture
def present(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The monotonic clock, which moves only when a test moves it."""
    found = [1000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: found[0])
    return found


@pytest.fixture
def page(cast: Cast, present: list[float], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Page]]:
    monkeypatch.setattr(waiting, "News", Rung)
    found: list[Page] = []

    def begin(name: str, url: str, **options: Any) -> Page:
        found.append(Page(cast, name, url, **options))
        return found[-1]

    yield begin
    for each in found:
        each.leave()
    assert PAGES.taken() == 0
    assert not readers.HUB._seats


Ask = Callable[..., Page]


def state_of(grant: Grant) -> str:
    return reverse("web:window_state", args=[grant.pk])


def live_of(grant: Grant) -> str:
    return page_of(grant.access_request, "live") + "?seen=nothing"


def test_the_page_of_a_window_waits_until_the_window_is_closed(cast: Cast, page: Ask) -> None:
    grant, other = cast.opened(), cast.opened()
    asked = page("priya", state_of(grant))
    assert asked.waits
    assert asked.is_rung, "each page begins with a look of its own"
    assert asked.look() is None
    operations.revoke(other.access_request_id, actor=cast.as_("ada"))
    assert not asked.is_rung, "another window of the same tenant"
    operations.revoke(grant.access_request_id, actor=cast.as_("ada"))
    assert asked.is_rung
    answer: Any = asked.look()
    assert answer.status_code == 286
    assert "Ada Test" in answer.content.decode()


def test_the_planned_end_wakes_the_page_though_no_sweep_has_run(cast: Cast, page: Ask, travel: Any) -> None:
    travel.freeze()
    grant = cast.opened(window_for=1800)
    asked = page("priya", state_of(grant))
    asked.is_rung  # noqa: B018 - its first look
    travel.to(grant.closes_at)
    assert asked.is_rung
    answer: Any = asked.look()
    assert answer.status_code == 286


def test_a_live_page_is_sent_what_the_engineer_has_opened(cast: Cast, page: Ask) -> None:
    grant, theirs = cast.opened(), cast.opened("fabrikam")
    asked = page("ada", live_of(grant))
    assert asked.waits
    assert asked.is_rung
    assert asked.look() is None
    operations.revoke(theirs.access_request_id, actor=cast.as_("frida"))
    assert not asked.is_rung, "another tenant"
    look(cast, grant, "<1@x.example>")
    assert asked.is_rung
    answer: Any = asked.look()
    assert (answer.status_code, b"live-item" in answer.content) == (200, True)


def _end_session(cast: Cast, page: Page) -> None:
    Session.objects.filter(session_key=page.session.session_key).delete()


def _switch_off(cast: Cast, _page: Page) -> None:
    operations.switch_off_person(cast.people["otto"].pk, actor=cast.as_("ines"))


def _take_role(cast: Cast, _page: Page) -> None:
    otto = cast.people["otto"].pk
    operations.give_role(cast.contoso.pk, otto, role="member", actor=cast.as_("ines"))
    operations.take_role(cast.contoso.pk, otto, role="auditor", actor=cast.as_("ines"))


def _change_password(cast: Cast, _page: Page) -> None:
    person = cast.people["otto"]
    type(person).objects.filter(pk=person.pk).update(password="another")


def _end_all_sessions(cast: Cast, _page: Page) -> None:
    """End them as a reset of the person's sign-in does. The rows of the sessions stay."""
    person = cast.people["otto"]
    type(person).objects.filter(pk=person.pk).update(session_epoch=person.session_epoch + 1)


LOSE = [_end_session, _switch_off, _take_role, _change_password, _end_all_sessions]


@pytest.mark.parametrize("lose", LOSE)
def test_who_has_lost_a_right_is_shown_nothing_more(
    cast: Cast, page: Ask, present: list[float], lose: Callable[[Cast, Page], None]
) -> None:
    grant = cast.opened()
    asked = page("otto", live_of(grant))
    asked.is_rung  # noqa: B018 - its first look
    present[0] += _held.LEAST_SECONDS
    lose(cast, asked)
    assert asked.is_rung
    # The page asks again at once, and its request is judged like any other.
    answer: Any = asked.look()
    assert answer.status_code == 204


@pytest.mark.parametrize("lose", LOSE)
@pytest.mark.parametrize("waited", [0.0, _held.LEAST_SECONDS])
def test_who_has_lost_a_right_is_not_shown_what_happened_since(
    cast: Cast, page: Ask, present: list[float], lose: Callable[[Cast, Page], None], waited: float
) -> None:
    grant = cast.opened()
    asked = page("otto", live_of(grant))
    asked.is_rung  # noqa: B018 - its first look
    present[0] += waited
    lose(cast, asked)
    look(cast, grant, "<1@x.example>")
    assert asked.is_rung
    answer: Any = asked.look()
    assert answer is None if waited < _held.LEAST_SECONDS else answer.status_code == 204
    # It learns of it soon, and not only at the end of its wait.
    assert asked.answer.look_every() <= _held.LEAST_SECONDS


def test_a_page_waits_no_longer_than_its_session_can_last(cast: Cast, page: Ask, present: list[float]) -> None:
    asked = page("priya", state_of(cast.opened()))
    left = asked.answer.look_every()
    assert _held.HELD_SECONDS - _held.DIFFERS_BY <= left <= _held.HELD_SECONDS + _held.DIFFERS_BY
    present[0] += left
    answer: Any = asked.look()
    assert answer.status_code == 204


def test_one_page_of_a_person_waits_and_the_others_are_answered_at_once(cast: Cast, page: Ask) -> None:
    """A browser opens only six connections to a site, for all of its pages."""
    grant, other = cast.opened(), cast.opened()
    first = page("priya", state_of(grant))
    second = page("priya", state_of(other))
    assert (first.waits, second.waits, second.answer.status_code) == (True, False, 204)
    assert page("ada", live_of(grant)).waits
    first.leave()
    assert page("priya", state_of(other)).waits


def test_without_a_server_that_waits_a_page_is_answered_at_once(cast: Cast, page: Ask, settings: Any) -> None:
    grant = cast.opened()
    assert not page("priya", state_of(grant), is_outside=False).waits
    settings.WEB_WORKERS = _held.MOST_PROCESSES + 1
    assert not page("priya", state_of(grant)).waits
    settings.WEB_WORKERS, settings.WEB_STREAMS = 2, 4
    assert page("priya", state_of(grant)).waits
    # A quarter of the places is for pages.
    assert not page("ada", live_of(grant)).waits


def test_the_number_of_statements_does_not_grow_with_the_pages(cast: Cast, page: Ask) -> None:
    grants = [cast.opened(), cast.opened("fabrikam")]
    asked = list[int]()
    for who in (("priya",), ("ada", "alan", "otto", "ines")):
        for name in who:
            assert page(name, state_of(grants[0]) if name == "priya" else live_of(grants[0])).waits
        with CaptureQueriesContext(connection) as found:
            look_at_all()
        asked.append(len(found))
    # The windows, the people and the sessions; and the lengths of the logs, for live pages only.
    assert asked == [3, 4]


def test_the_time_that_is_left_of_a_session_is_known_to_pages_that_wait(cast: Cast, settings: Any) -> None:
    seen, session = list[float](), signed_in(cast, "ada").session
    session[middleware.STARTED_AT] = session[middleware.SEEN_AT] = clock.now().isoformat()
    session.save()

    def view(request: Any) -> HttpResponse:
        seen.append(request.session_left)
        return HttpResponse()

    request: Any = RequestFactory().get("/", headers={"HX-Request": "true"})
    request.COOKIES[settings.SESSION_COOKIE_NAME] = session.session_key
    request.user, request.session = cast.people["ada"], session
    middleware.SessionLimitsMiddleware(view)(request)
    [left] = seen
    assert settings.DECIDER_IDLE_SECONDS - 60 < left <= settings.DECIDER_IDLE_SECONDS


def test_a_page_about_nothing_waits_for_nothing(cast: Cast) -> None:
    missing, client = reverse("web:window_state", args=[UUID(int=1)]), signed_in(cast, "priya")
    answer = client.get(missing, headers={"HX-Request": "true"}, **{waiting.KEY: True})
    assert (answer.status_code, PAGES.taken()) == (404, 0)
