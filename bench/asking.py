"""Asks for pages again and again, each on a new connection, while something else is measured."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Mapping

from django.conf import settings
from django.test import Client as Browser

from requests_app.models import Person
from tests.factors import force_login

#: Seconds between two questions for the same page.
PAUSE = 0.02


def ask(port: int, paths: Mapping[str, str], seconds: float) -> dict[str, list[float]]:
    """Ask for all paths at the same time, each with its cookie, for so many seconds. Return the times of each one.

    Raise SystemExit if an answer is not 200.
    """
    until = time.monotonic() + seconds
    found: dict[str, list[float]] = {path: [] for path in paths}
    failed: list[str] = []

    def go_on(path: str, cookie: str) -> None:
        while time.monotonic() < until:
            line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            began = time.perf_counter()
            line.request("GET", path, headers={"Cookie": cookie} if cookie else {})
            answer = line.getresponse()
            answer.read()
            found[path].append(time.perf_counter() - began)
            line.close()
            if answer.status != 200:
                failed.append(f"{answer.status} for {path}")
                return
            time.sleep(PAUSE)

    threads = [threading.Thread(target=go_on, args=pair) for pair in paths.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise SystemExit(f"no: {failed[0]}")
    return found


def session_of(person: Person) -> str:
    """Return the cookie of a new session of this person."""
    browser = Browser()
    force_login(browser, person, is_fresh=True)
    return f"{settings.SESSION_COOKIE_NAME}={browser.cookies[settings.SESSION_COOKIE_NAME].value}"
