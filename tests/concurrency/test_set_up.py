"""If several browsers use the set-up link at the same time, one of them gets it, and one staff member is made."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

import pytest
from django.db import connections

from requests_app import operations
from requests_app.domain.actors import Actor
from requests_app.domain.errors import DomainError
from requests_app.management import _logs
from requests_app.models import Person, StaffTerm

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]

BROWSERS = 8


def outcomes_of(act: Callable[[int], str]) -> Counter[str]:
    """Do the act in each of the threads at the same time. Count what each of them got."""
    barrier, outcomes = threading.Barrier(BROWSERS), list[str]()

    def one(number: int) -> None:
        barrier.wait(timeout=120)
        try:
            outcomes.append(act(number))
        except DomainError as refusal:
            outcomes.append(refusal.code)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=one, args=(number,)) for number in range(BROWSERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    return Counter(outcomes)


def stranger(number: int) -> Actor:
    return Actor.stranger(door="pages", ip=f"10.8.{number}.1")


def test_of_browsers_that_open_the_link_at_once_one_gets_it(transactional_db: None) -> None:
    secret = operations.make_setup_link(actor=_logs.actor("setup-link"))
    owners: list[str] = []

    def opens(number: int) -> str:
        owners.append(operations.open_setup_link(secret, browser="", is_private=True, actor=stranger(number)))
        return "opened"

    assert outcomes_of(opens) == {"opened": 1, "not_found": BROWSERS - 1}
    assert len(owners) == 1


def test_of_forms_that_are_sent_at_once_one_makes_the_staff_member(transactional_db: None) -> None:
    secret = operations.make_setup_link(actor=_logs.actor("setup-link"))
    browser = operations.open_setup_link(secret, browser="", is_private=True, actor=stranger(0))

    def makes(number: int) -> str:
        operations.make_first_staff(
            secret,
            browser=browser,
            name=f"Person {number}",
            email=f"p{number}@provider.example",
            password="another battery of 7 horses",
            time_zone="UTC",
            is_private=True,
            actor=stranger(number),
        )
        return "made"

    assert outcomes_of(makes) == {"made": 1, "not_found": BROWSERS - 1}
    assert Person.objects.filter(is_staff=True).count() == StaffTerm.objects.count() == 1
