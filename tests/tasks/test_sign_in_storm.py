"""Many strangers sign in at the same time. The web server's memory stays small, and other people get their pages."""

from __future__ import annotations

import contextlib
import http.client
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from urllib.parse import urlencode

import pytest

from lockbox_site.demo.browser import Browser
from requests_app.work.processes import tree
from tests.cast import PASSWORD, gather
from tests.ports import free_port
from tests.tasks.conftest import Start, web_alone

pytestmark = [pytest.mark.slow, pytest.mark.real_clock]

#: The first moment is the worst, because all strangers come at once. Each of them comes at least twice.
STRANGERS, SECONDS = 180, 2
#: Loads pages as a signed-in person. It has its own address, because calls wait by address, and its own process,
#: because the strangers' threads would delay it.
VISITOR = """
import http.client, sys, time
port, cookie, seconds = int(sys.argv[1]), sys.argv[2], float(sys.argv[3])
until = time.monotonic() + seconds
while time.monotonic() < until:
    began = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300, source_address=("127.0.0.2", 0))
    connection.request("GET", "/", headers={"Cookie": cookie})
    answer = connection.getresponse()
    answer.read()
    print(answer.status, time.monotonic() - began, flush=True)
    connection.close()
    time.sleep(0.02)
"""


def _megabytes(pids: list[int]) -> int:
    """Return the memory of these processes in megabytes, including what running hashes use."""
    total = 0
    for each in pids:
        # A helper of the supervisor may have ended since.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{each}/status").read_text())
            total += int(found[1]) if found else 0
    return total // 1024


def _page(port: int) -> tuple[str, str]:
    """Return the token of the sign-in form, and the cookie. One page is enough for any number of guesses."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    with contextlib.closing(connection):
        connection.request("GET", "/accounts/login/")
        page = connection.getresponse()
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.read().decode())
        assert token
        return token[1], str(page.headers["Set-Cookie"]).partition(";")[0]


def _signs_in(port: int, page: tuple[str, str], number: int, barrier: threading.Barrier, answers: Counter[int]) -> None:
    """Submit the form at the same time as all others, and again shortly after each response."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    token, cookie = page
    fields = {"csrfmiddlewaretoken": token, "login": f"n{number}@contoso.example", "password": "a guess"}
    headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
    barrier.wait()
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        headers["X-Forwarded-For"] = f"10.{number}.{answers.total() // 250}.{answers.total() % 250}"
        try:
            connection.request("POST", "/accounts/login/", urlencode(fields), headers)
            answers[connection.getresponse().status] += 1
        except OSError:
            answers[0] += 1
        connection.close()
        time.sleep(0.4 + number % 20 / 20)


def test_180_strangers_take_little_memory(start: Start, capsys: pytest.CaptureFixture[str]) -> None:
    mia = gather().people["mia"]
    port = free_port()
    running = web_alone(
        start,
        port,
        TRUSTED_PROXY_COUNT="1",
        DJANGO_SETTINGS_MODULE="tests.tasks.hashing_settings",
        # A process that believes it is one of many runs one hash at a time, on a machine with any number of cores.
        WEB_WORKERS="64",
    )
    browser = Browser(f"http://127.0.0.1:{port}", mia.email, PASSWORD)
    browser.sign_in()
    cookie = "; ".join(f"{each.name}={each.value}" for each in browser.jar)
    answers = Counter[int]()
    page, barrier = _page(port), threading.Barrier(STRANGERS)
    pids = tree(running.pid)
    before = most = _megabytes(pids)
    strangers = [
        threading.Thread(target=_signs_in, args=(port, page, number, barrier, answers)) for number in range(STRANGERS)
    ]
    for thread in strangers:
        thread.start()
    command = [sys.executable, "-c", VISITOR, str(port), cookie, str(SECONDS - 0.5)]
    visitor = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while any(thread.is_alive() for thread in strangers):
        most = max(most, _megabytes(pids))
        time.sleep(0.02)
    after = _megabytes(pids)
    seen = [line.split() for line in visitor.communicate()[0].splitlines()]
    took = sorted(float(seconds) for _status, seconds in seen)
    running.stop()
    with capsys.disabled():
        print(f"\n{STRANGERS} strangers: {before} MB before, {most} MB at most, {after} MB after; answers {answers}")
        print(f"{len(took)} pages: median {took[len(took) // 2]:.3f} s, p99 {took[int(len(took) * 0.99)]:.3f} s")
    assert {status for status, _seconds in seen} == {"200"}, "who is signed in sees the page"
    assert answers[503], "most are turned away"
    assert answers[200], "and some are judged"
    # The process runs one hash at a time, which needs 100 MiB. Each process of a server has a gate of its own.
    assert most - before < 100 + 100
    assert after - before < 75
