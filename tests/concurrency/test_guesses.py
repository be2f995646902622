"""A hundred guesses in fifty simultaneous threads, each on its own connection: only the allowed number is checked."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from lockbox_site.adapter import DefaultAccountAdapter
from requests_app.domain.errors import CodeAlreadyUsed, TooManyGuesses
from requests_app.identity import guesses, verification
from requests_app.identity.guesses import Attempt
from requests_app.models import Tries
from tests.cast import PASSWORD, Cast
from tests.conftest import Traveller
from tests.factors import a_code

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

#: The first round of the threads is more than any limit allows. The second round finds every limit reached.
TRIES, THREADS = 100, 50
AtOnce = Callable[[Callable[[int], Any]], list[Any]]


@pytest.fixture
def world(transactional_db: None, cast: Cast) -> Cast:
    return cast


@pytest.fixture
def at_once() -> Iterator[AtOnce]:
    """Return a function that calls `call` once with each number below TRIES. All threads begin at the same time.

    Each thread keeps its database connection for the whole test.
    """
    barrier = threading.Barrier(THREADS)
    with ThreadPoolExecutor(THREADS) as pool:

        def in_each_thread(part: Callable[[int], None]) -> None:
            def meet(first: int) -> None:
                # No thread takes a second part, because all of them wait here.
                barrier.wait(timeout=120)
                part(first)

            list(pool.map(meet, range(THREADS), timeout=120))

        def at_once(call: Callable[[int], Any]) -> list[Any]:
            results = [None] * TRIES

            def part(first: int) -> None:
                for number in range(first, TRIES, THREADS):
                    results[number] = call(number)

            in_each_thread(part)
            return results

        yield at_once
        in_each_thread(lambda first: connections.close_all())


def test_each_interface_counts_exactly_the_allowed_tries(world: Cast, at_once: AtOnce) -> None:
    ada = world.ada
    doors: dict[str, tuple[Callable[[int], Attempt], int]] = {
        "one account, from everywhere": (lambda n: guesses.at_sign_in("ada@contoso.example", f"10.0.{n}.1"), 5),
        "every account, from one address": (lambda n: guesses.at_sign_in(f"p{n}@contoso.example", "10.1.0.1"), 10),
        "nobody's account": (lambda n: guesses.at_sign_in("nobody@contoso.example", f"10.2.{n}.1"), 5),
        "a passkey": (lambda n: guesses.at_passkey("10.3.0.1"), 10),
        "one network's addresses": (lambda n: guesses.at_passkey(f"2001:db8::{n:x}"), 10),
        "a recovery key": (lambda n: guesses.at_recovery(f"2001:db8:0:1::{n:x}"), 5),
        "mails to one address": (lambda n: guesses.at_reset("ada@contoso.example", f"10.4.{n}.1"), 5),
        "mails from one address": (lambda n: guesses.at_reset(f"p{n}@contoso.example", "10.5.0.1"), 20),
        "a code, or a step-up": (lambda n: guesses.of_person(ada, f"10.6.{n}.1"), 5),
    }
    for words, (attempt, most) in doors.items():
        assert sum(at_once(lambda n, attempt=attempt: attempt(n).count())) == most, words
    # If one of an attempt's two limits is reached, the attempt uses nothing of the other limit.
    full = guesses.at_sign_in("ada@contoso.example", "10.7.0.1")
    assert not full.count()
    assert not Tries.objects.filter(subject__endswith="10.7.0.1", count__gt=0).exists()


def test_of_100_simultaneous_passwords_five_are_checked(
    world: Cast, at_once: AtOnce, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []

    def look(self: Any, request: Any, **credentials: Any) -> None:
        checked.append(credentials["email"])

    monkeypatch.setattr(DefaultAccountAdapter, "authenticate", look)

    def attempt(number: int) -> int:
        form = {"login": "Ada@contoso.example", "password": "wrong"}
        return Client(REMOTE_ADDR=f"10.0.{number}.1").post("/accounts/login/", form).status_code

    assert set(at_once(attempt)) == {200}
    assert len(checked) == 5


def test_two_tabs_with_one_code_have_one_winner_and_the_other_hears_that_it_was_used(
    world: Cast, travel: Traveller
) -> None:
    """All other tabs learn that the code was used. This does not count as a wrong guess, even with many tabs."""
    travel.freeze()
    code, barrier, outcomes = a_code(world.ada), threading.Barrier(8), list[str]()

    def send() -> None:
        barrier.wait(timeout=120)
        try:
            outcomes.append(str(verification.is_this_person(world.ada, PASSWORD, code)))
        except (CodeAlreadyUsed, TooManyGuesses) as refusal:
            outcomes.append(refusal.code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    # At most five attempts are checked at the same time. None of these is counted afterwards.
    found = Counter(outcomes)
    assert (found["True"], found["False"], sum(found.values())) == (1, 0, 8)
    assert found["code_already_used"] >= 4
    assert not Tries.objects.filter(count__gt=0).exists()
