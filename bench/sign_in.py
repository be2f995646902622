"""Measure whether the time of a failed sign-in reveals who has an account."""

from __future__ import annotations

import logging
import re
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from django.contrib.auth.hashers import make_password
from django.test import Client

from bench.measure import Result
from requests_app.domain import clock
from requests_app.identity import guesses
from requests_app.models import OutboxMessage, Person, Tries

#: The largest difference in milliseconds between the medians of known and unknown addresses.
AIM = 2.0
#: Parts that differ between any two responses: tokens, nonces, request ids, and the typed address.
_FIXED = (
    re.compile(rb'(name="(csrfmiddlewaretoken|once)" value=")[^"]+'),
    re.compile(rb"(lockbox_csrf=)[^;]+"),
    re.compile(rb"(nonce[-=]\"?)[A-Za-z0-9+/=_-]+"),
    re.compile(rb"(X-Request-ID: |request-id[^A-Za-z0-9]+)[A-Za-z0-9-]+"),
    re.compile(rb"(expires=|Expires: )[^;\n]+"),
    re.compile(rb'(name="lockbox-now" content=")[^"]+'),
    re.compile(rb"()[\w.]+@contoso\.example"),
)
_PASSWORD = "not the password of anybody"


def run(count: int, bar: Any) -> tuple[list[Result], list[str]]:
    """Try to sign in `count` times, and ask `count` times for a password reset, half each for existing people.

    Return the times, and a verdict on each act.
    """
    # Each failed sign-in is logged, and the lines would appear between the numbers.
    logging.disable(logging.WARNING)
    people = _people(count // 2)
    results: list[Result] = []
    notes: list[str] = []
    for name, act in (("sign-in, wrong password", _sign_in), ("password reset asked for", _reset)):
        ticking = bar.add_task(name, total=count)
        times: dict[bool, list[float]] = {True: [], False: []}
        answers: dict[bool, set[bytes]] = {True: set(), False: set()}
        for number in range(-5, count // 2):
            # The first attempts read templates and open connections, so they do not count.
            for is_known in (True, False) if number % 2 else (False, True):
                email = f"{'k' if is_known else 'n'}{abs(number) % people:06d}@contoso.example"
                seconds, answer = _timed(partial(act, email, number))
                if number >= 0:
                    times[is_known].append(seconds)
                    answers[is_known].add(answer)
                    bar.advance(ticking)
        Tries.objects.all().delete()
        OutboxMessage.objects.all().delete()
        for is_known, who in ((True, "known"), (False, "unknown")):
            results.append(Result(f"{name}, {who}", times[is_known], sum(times[is_known]), aim=f"± {AIM:g} ms"))
        notes.append(_verdict(name, times, answers))
    return results, notes


def _verdict(name: str, times: dict[bool, list[float]], answers: dict[bool, set[bytes]]) -> str:
    apart = abs(statistics.median(times[True]) - statistics.median(times[False])) * 1000
    same = "the same, byte by byte" if answers[True] == answers[False] else "DIFFERENT"
    verdict = "within the aim" if apart <= AIM else "NOT within the aim"
    return f"{name}: medians {apart:.2f} ms apart, {verdict}; answers {same} ({len(answers[True])} kind)."


def _people(count: int) -> int:
    """Create people whose password hash is as slow as in a real installation. Return how many.

    Each person is tried only a few times, to stay below the limits.
    """
    at, hashed = clock.now(), make_password("a quite long password of theirs")
    wanted = max(1, -(-count // (guesses.OF_ACCOUNT.most - 1)))
    Person.objects.bulk_create(
        Person(
            email=f"k{number:06d}@contoso.example",
            name=f"Known {number}",
            side="customer",
            password=hashed,
            created_at=at,
            email_verified_at=at,
        )
        for number in range(wanted)
    )
    return wanted


def _sign_in(email: str, number: int) -> Any:
    return _browser(number).post("/accounts/login/", {"login": email, "password": _PASSWORD})


def _reset(email: str, number: int) -> Any:
    return _browser(number).post("/accounts/password/reset/", {"email": email})


def _browser(number: int) -> Client:
    """Return a browser with a network address of its own, because the calls from one address are limited."""
    place = number % 65_000 + 1
    return Client(REMOTE_ADDR=f"10.{place // 256}.{place % 256}.7")


def _timed(act: Callable[[], Any]) -> tuple[float, bytes]:
    started = time.perf_counter()
    response = act()
    seconds = time.perf_counter() - started
    return seconds, plain(response)


def plain(response: Any) -> bytes:
    """Return everything of a response that a stranger could compare: status, headers, cookies, body.

    The parts that differ in every response are left out.
    """
    head = [f"{response.status_code}", *(f"{name}: {value}" for name, value in sorted(response.items()))]
    cookies = [morsel.OutputString() for _name, morsel in sorted(response.cookies.items())]
    found = "\n".join([*head, *cookies]).encode() + b"\n\n" + bytes(response.content)
    for pattern in _FIXED:
        found = pattern.sub(rb"\1", found)
    return found
