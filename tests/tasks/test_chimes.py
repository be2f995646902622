"""A commit on this host wakes those who wait for it, in any process, without the database."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, transaction

from requests_app import operations
from requests_app.models import Grant
from requests_app.operations import sweeps
from requests_app.platform import chime
from requests_app.platform.chime import Listener
from tests.cast import Cast
from tests.conftest import Traveller

Captured = Callable[..., AbstractContextManager[list[Any]]]


@pytest.fixture
def place(settings: Any, tmp_path: Path) -> Path:
    settings.DATA_DIR = tmp_path
    return tmp_path / "chimes"


@pytest.fixture
def listener(place: Path) -> Iterator[Listener]:
    found = Listener()
    assert found.hears
    yield found
    found.close()


def test_a_strike_wakes_each_listener_once(listener: Listener) -> None:
    other = Listener()
    assert not listener.wait(0)
    for _ in range(3):
        chime.strike()
    assert (listener.wait(30), other.wait(30)) == (True, True)
    assert (listener.wait(0), other.wait(0)) == (False, False)
    other.close()
    chime.strike()
    assert listener.wait(30)


def test_a_listener_that_does_not_listen_stops_nobody(listener: Listener) -> None:
    for _ in range(70_000):
        chime.strike()
        if _ % 10_000 == 0:
            assert listener.wait(30)
    assert listener.wait(30)


def test_a_pipe_that_nobody_reads_is_removed_and_other_files_are_left_alone(place: Path, listener: Listener) -> None:
    dead, file, link = (place / f"{name}{chime.SUFFIX}" for name in ("dead", "file", "link"))
    os.mkfifo(dead)
    file.write_text("untouched")
    link.symlink_to(file)
    chime.strike()
    assert not dead.exists()
    assert (file.read_text(), link.is_symlink()) == ("untouched", True)
    assert listener.wait(30)


def test_a_listener_whose_pipe_somebody_has_removed_knows_that_it_hears_nothing(
    place: Path, listener: Listener
) -> None:
    [pipe] = place.iterdir()
    pipe.unlink()
    assert not listener.hears


def test_without_a_place_a_listener_waits_its_whole_time(settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path / "missing"
    listener = Listener()
    assert not listener.hears
    chime.strike()
    began = time.monotonic()
    assert not listener.wait(0.01)
    assert time.monotonic() - began >= 0.01
    listener.close()


#: All ways in which a window ends, and its streams are cut.
ENDS: dict[str, Callable[[Cast, Grant], object]] = {
    "revoked": lambda cast, grant: operations.revoke(grant.access_request_id, actor=cast.as_("ada")),
    "released": lambda cast, grant: operations.release(grant.access_request_id, actor=cast.as_("priya")),
    "with its ticket": lambda cast, grant: operations.close_ticket(
        grant.access_request.ticket_id, actor=cast.as_("priya")
    ),
    "with the role": lambda cast, _grant: operations.take_queue_role(
        cast.exchange.pk, cast.priya.pk, role="engineer", actor=cast.as_("stella")
    ),
    "with the account": lambda cast, _grant: operations.switch_off_person(cast.priya.pk, actor=cast.as_("stella")),
    "over": lambda cast, grant: operations.close(grant.access_request_id, actor=cast.system()),
    "over, in a sweep": lambda cast, _grant: sweeps.close_elapsed(actor=cast.system(), limit=10),
}


@pytest.mark.django_db
@pytest.mark.parametrize("how", ENDS)
def test_the_end_of_a_window_strikes_once_when_it_has_committed(
    cast: Cast, travel: Traveller, listener: Listener, django_capture_on_commit_callbacks: Captured, how: str
) -> None:
    travel.freeze()
    grant = cast.opened()
    if "over" in how:
        travel.to(grant.closes_at)
    # What the test's own transaction would do at its end, which never comes.
    connection.run_on_commit.clear()
    with django_capture_on_commit_callbacks() as acts:
        ENDS[how](cast, grant)
        chime.strike_after_commit()
    assert Grant.objects.get(pk=grant.pk).closed_at is not None
    assert not listener.wait(0), "nothing is committed yet"
    assert acts.count(chime.strike) == 1


@pytest.mark.django_db
def test_what_was_rolled_back_wakes_nobody(django_capture_on_commit_callbacks: Captured) -> None:
    with django_capture_on_commit_callbacks() as acts:
        with transaction.atomic():
            chime.strike_after_commit()
            transaction.set_rollback(True)
        assert acts == []
        chime.strike_after_commit()
    assert acts == [chime.strike]
