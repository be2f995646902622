"""Few threads hash passwords, and few more wait for their turn. An attempt that is turned away is not counted."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from django.contrib.auth import hashers
from django.contrib.auth.hashers import check_password, make_password
from django.db import connection
from django.test import Client
from pytest_django import Settings
from structlog.testing import capture_logs

from requests_app import operations
from requests_app.domain.errors import Busy
from requests_app.identity import guesses
from requests_app.models import Person, Tries
from requests_app.models.people import actor_of
from requests_app.platform import hashing
from requests_app.platform.hashing import Gate
from tests.caller import Caller, token_of
from tests.cast import Cast
from tests.site.conftest import PASSWORD
from tests.stopwatch import in_time

#: The product's hashers. Other tests use a fast one.
HASHERS = ["requests_app.platform.hashing.Argon2PasswordHasher", "requests_app.platform.hashing.PBKDF2PasswordHasher"]


@pytest.fixture
def hashers_in_turn(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the product's hashers, but with little work for each hash. The tests are about who hashes, and when."""
    settings.PASSWORD_HASHERS = HASHERS
    monkeypatch.setattr(hashing.Argon2PasswordHasher, "time_cost", 1)
    monkeypatch.setattr(hashing.Argon2PasswordHasher, "memory_cost", 64)
    monkeypatch.setattr(hashing.PBKDF2PasswordHasher, "iterations", 10)


@pytest.fixture
def gate(hashers_in_turn: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    """Return the gate of a web process with 16 threads on a small machine."""
    monkeypatch.setattr(hashing, "_gate", Gate(at_once=1, most=4))
    assert hashing._gate is not None
    yield hashing._gate
    hashing._gate._pool.shutdown()


@contextmanager
def full(gate: Gate) -> Iterator[None]:
    """Occupy all places of the gate with four other threads, and do not release them."""
    over, ready = threading.Event(), threading.Barrier(5)

    def hold() -> None:
        with gate.place():
            ready.wait()
            over.wait()

    threads = [threading.Thread(target=hold) for _ in range(4)]
    for thread in threads:
        thread.start()
    ready.wait()
    yield
    over.set()
    for thread in threads:
        thread.join()


@contextmanager
def stuck(gate: Gate) -> Iterator[None]:
    """Block the thread that hashes, but leave places of the gate free."""
    over = threading.Event()
    gate._pool.submit(over.wait)
    yield
    over.set()


@pytest.mark.timed
def test_of_180_simultaneous_passwords_one_is_hashed_and_four_wait(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    encoded = make_password(PASSWORD)
    plain, now, most = hashers.Argon2PasswordHasher.verify, Counter[str](), Counter[str]()

    def verify(self: Any, *given: Any) -> bool:
        now["hashing"] += 1
        most["hashing"] = max(most["hashing"], now["hashing"])
        time.sleep(0.4)
        now["hashing"] -= 1
        return plain(self, *given)

    monkeypatch.setattr(hashers.Argon2PasswordHasher, "verify", verify)
    found: list[tuple[str, float]] = []
    barrier = threading.Barrier(180)

    def ask() -> None:
        barrier.wait()
        began = time.monotonic()
        try:
            counts = str(check_password(PASSWORD, encoded))
        except Busy:
            counts = "busy"
        found.append((counts, time.monotonic() - began))

    threads = [threading.Thread(target=ask) for _ in range(180)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert most["hashing"] == 1
    counts = Counter(counts for counts, _ in found)
    assert set(counts) == {"True", "busy"}
    in_time(counts["True"] <= 3, "the fourth would begin only after more than a second")
    in_time(sum(took > 0.9 for counts, took in found if counts == "busy") <= 3, "all others are told at once")


def test_strangers_leave_a_place_to_those_who_prove_who_they_are(gate: Gate) -> None:
    encoded = make_password(PASSWORD)
    over, found, ready = threading.Event(), Counter[str](), threading.Barrier(6)

    def sign_in() -> None:
        try:
            with hashing.place_of_a_stranger():
                found["placed"] += 1
                ready.wait()
                over.wait()
        except Busy:
            found["busy"] += 1
            ready.wait()

    threads = [threading.Thread(target=sign_in) for _ in range(5)]
    for thread in threads:
        thread.start()
    ready.wait()
    assert found == {"placed": 3, "busy": 2}
    assert check_password(PASSWORD, encoded)
    over.set()
    for thread in threads:
        thread.join()
    assert (gate._taken, gate._strangers) == (0, 0)


def test_a_hasher_that_calls_itself_waits_for_nobody(gate: Gate) -> None:
    encoded = make_password(PASSWORD, hasher="pbkdf2_sha256")
    assert check_password(PASSWORD, encoded)
    assert not check_password("another", encoded)


def test_without_a_limit_everybody_waits(hashers_in_turn: None) -> None:
    assert hashing._gate is None
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(hashing.place_of_a_stranger())
        assert check_password(PASSWORD, make_password(PASSWORD))


@pytest.mark.django_db
@pytest.mark.parametrize("busy", [full, stuck])
def test_a_person_turned_away_at_the_sign_in_has_not_used_a_try(
    gate: Gate, approver: Person, member: Person, busy: Any
) -> None:
    """An unknown address gets the same answer. The next try counts as the first one."""
    member.set_password(PASSWORD)
    member.save()
    client = Client()

    def attempt(email: str, password: str = PASSWORD) -> Any:
        return client.post("/accounts/login/", {"login": email, "password": password})

    with busy(gate), capture_logs() as lines:
        answers = [attempt(email) for email in (member.email, "nobody@contoso.example") for _ in range(4)]
    assert {(answer.status_code, answer["Retry-After"]) for answer in answers} == {(503, "5")}
    words = "Too many people are signing in at this moment. This attempt changed nothing."
    ends = {(line["code"], line["log_level"]) for line in lines if line["event"] == "request_finished"}
    assert ends == {(503, "warning")}, "it is no outage"
    assert all(words in answer.content.decode() for answer in answers)
    assert not Tries.objects.filter(count__gt=0).exists()
    assert "_auth_user_id" not in client.session
    assert attempt(member.email).status_code == 302
    assert client.session["_auth_user_id"] == str(member.pk)


@pytest.mark.django_db
def test_the_way_back_to_the_sign_in_leads_on_to_where_the_mail_led(gate: Gate, approver: Person) -> None:
    wanted, form = "/access-requests/?state=waiting", {"login": approver.email, "password": PASSWORD}
    with full(gate):
        answer = Client().post("/accounts/login/", {**form, "next": wanted})
    assert 'href="/accounts/login/?next=%2Faccess-requests%2F%3Fstate%3Dwaiting"' in answer.content.decode()


@pytest.mark.django_db
def test_a_caller_who_is_turned_away_reads_and_is_logged_the_same(gate: Gate, cast: Cast) -> None:
    token = token_of(cast, "ada")
    cast.ada.set_password(PASSWORD)
    cast.ada.save()
    with full(gate), capture_logs() as lines:
        answer = Caller(token).step_up()
    assert (answer.status_code, answer["Retry-After"], answer.json()["code"]) == (503, "5", "busy")
    assert "This attempt changed nothing." in answer.json()["title"]
    [end] = [line for line in lines if line["event"] == "request_finished"]
    assert (end["code"], end["log_level"]) == (503, "warning")


@pytest.mark.django_db
def test_an_unchecked_proof_does_not_count_as_a_guess(gate: Gate, member: Person) -> None:
    for _ in range(6):
        with full(gate), pytest.raises(Busy):
            guesses.is_right(member, lambda: member.check_password(PASSWORD), ip="10.0.0.1")
    assert not Tries.objects.filter(count__gt=0).exists()


@pytest.mark.django_db
def test_a_new_password_is_hashed_before_locks_are_taken(
    gate: Gate, member: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    depths, depth = list[int](), len(connection.atomic_blocks)

    def run(work: Any) -> Any:
        depths.append(len(connection.atomic_blocks) - depth)
        return work()

    monkeypatch.setattr(hashing, "_run", run)
    new = "seven quiet lanterns drift northward"
    operations.set_password(actor=actor_of(member, door="pages"), password=new, how="reset")
    assert depths == [0], "once, and outside"
    member.refresh_from_db()
    assert check_password(new, member.password)


@pytest.mark.django_db
def test_the_settings_hash_in_turn_alone() -> None:
    from lockbox_site.settings import PASSWORD_HASHERS

    assert PASSWORD_HASHERS == HASHERS
