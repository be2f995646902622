"""A real Chromium and a real server with the demo world, whose content is on disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import pytest
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from playwright.sync_api import Browser, Playwright, expect, sync_playwright
from pytest_django.live_server_helper import LiveServer

from lockbox_site.demo import history, people
from lockbox_site.demo import world as demo
from requests_app.models import Person
from tests.browser.keeping import Keeper
from tests.browser.visiting import (
    FLAGS,
    NO_BROWSER,
    Visitor,
    Watch,
    chromium_wanted,
    find_chromium,
    give_session,
)
from tests.words.crawl import add_callers, add_passkeys, add_webhooks, add_witnesses

#: The longest wait for a page. A busy machine stays far below it.
PATIENCE_MS = 60_000

Visit = Callable[..., Visitor]


@pytest.fixture(scope="session")
def _playwright() -> Iterator[Playwright]:
    # Playwright has an event loop in this thread. Django would refuse to use the database in a thread with an event
    # loop.
    before = os.environ.get("DJANGO_ALLOW_ASYNC_UNSAFE")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        yield playwright
    if before is None:
        del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(scope="session")
def _static_files_stay_fresh() -> Iterator[None]:
    """Let the browser store scripts and styles, as it does in production, where their names change with their content.

    Django's test server says nothing about it. So a browser would ask for most files again on each page, the more
    often the newer the files are.
    """
    serve = StaticFilesHandler.serve

    def stored(self: StaticFilesHandler, request: HttpRequest) -> HttpResponseBase:
        response = serve(self, request)
        response["Cache-Control"] = "max-age=3600"
        return response

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StaticFilesHandler, "serve", stored)
        yield


@pytest.fixture(scope="session")
def browser(_playwright: Playwright, _static_files_stay_fresh: None) -> Iterator[Browser]:
    path = find_chromium(chromium_wanted(), _playwright.chromium.executable_path)
    if path is None:
        pytest.fail(NO_BROWSER, pytrace=False)
    browser = _playwright.chromium.launch(executable_path=path, args=FLAGS)
    yield browser
    browser.close()


def _build() -> None:
    demo.build()
    history.play()
    add_witnesses()
    add_webhooks()
    add_callers()
    add_passkeys()


@pytest.fixture(scope="session")
def keeper() -> Iterator[Keeper]:
    keeper = Keeper(_build)
    yield keeper
    keeper.close()


@pytest.fixture
def world(live_server: LiveServer, keeper: Keeper) -> None:
    """Put the demo world back into its first state."""
    keeper.bring()


@pytest.fixture
def visit(browser: Browser, live_server: LiveServer, world: None) -> Iterator[Visit]:
    """Return a function that opens a browser of its own for one person: `visit("ada.keller")`.

    With `form`, the person signs in with the form on the page.
    """
    contexts, watches = [], []
    secrets, apps = people.passwords(), people.app_secrets()
    base = live_server.url

    def visit(login: str = "", *, form: bool = False, javascript: bool = True, width: int = 1280) -> Visitor:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            java_script_enabled=javascript,
            # Without animations, because a colour in transition has the contrast of neither theme.
            reduced_motion="reduce",
        )
        context.set_default_timeout(PATIENCE_MS)
        watch = Watch(urlsplit(base).netloc)
        watch.over(context)
        contexts.append(context)
        watches.append(watch)
        if not login:
            return Visitor(context.new_page(), base, "", "", watch)
        person = Person.objects.get(email__startswith=f"{login}@")
        if not form:
            give_session(context, base, person)
        visitor = Visitor(
            context.new_page(), base, person.email, secrets[person.email], watch, apps.get(person.email, "")
        )
        if form:
            visitor.sign_in()
        return visitor

    yield visit
    for context in contexts:
        context.close()
    complaints = [complaint for watch in watches for complaint in watch.complaints]
    assert complaints == []
