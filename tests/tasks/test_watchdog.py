"""A child without heartbeats counts as stuck only while the database can be read."""

import datetime as dt

import pytest
from django.db import OperationalError

from requests_app.domain import clock
from requests_app.models import Heartbeat
from requests_app.platform.database.compiled import CompiledQuery
from requests_app.work.watchdog import Watchdog

# After a failure, the watchdog closes its connection. This would end a test's transaction.
pytestmark = pytest.mark.django_db(transaction=True)

EPOCH = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


class Scene:
    """A cluster `c`, and a watchdog with a limit of 60 s. The test moves their clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        self.started = 0.0
        self._patch = monkeypatch
        monkeypatch.setattr(clock, "monotonic", lambda: self.now)
        self.watchdog = Watchdog(stale_after=60.0)

    def after(self, seconds: float, *, beat: dt.datetime | None = None) -> bool:
        """Let `seconds` pass, with a check each second. Return whether the cluster then counts as stuck."""
        if beat is not None:
            Heartbeat.objects.update_or_create(name="worker:c", defaults={"at": beat, "pid": 1})
        for _ in range(int(seconds)):
            self.now += 1
            self.watchdog.look()
        return self.watchdog.is_stuck("worker:c", started=self.started)

    def outage(self, seconds: float) -> bool:
        def broken(self: object, **_values: object) -> None:
            raise OperationalError("gone")

        with self._patch.context() as patch:
            patch.setattr(CompiledQuery, "__call__", broken)
            return self.after(seconds)


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_nothing_is_reported_before_the_first_check(scene: Scene) -> None:
    scene.now += 3600
    assert not scene.watchdog.is_stuck("worker:c", started=0.0)


def test_a_cluster_that_never_beats_has_its_patience_from_its_start(scene: Scene) -> None:
    assert not scene.after(60)
    assert scene.after(2)
    scene.started = scene.watchdog.seconds
    assert not scene.after(59)


def test_a_cluster_that_beats_is_left_alone_and_one_that_stops_is_not(scene: Scene) -> None:
    for minute in range(5):
        assert not scene.after(30, beat=EPOCH + dt.timedelta(minutes=minute))
    assert not scene.after(30)
    assert scene.after(2)


def test_another_clusters_beat_does_not_help(scene: Scene) -> None:
    for second in range(62):
        Heartbeat.objects.update_or_create(
            name="worker:other", defaults={"at": EPOCH + dt.timedelta(seconds=second), "pid": 1}
        )
        stuck = scene.after(1)
    assert stuck


def test_a_clock_that_was_set_back_means_nothing(scene: Scene) -> None:
    scene.after(50, beat=EPOCH)
    assert not scene.after(50, beat=EPOCH - dt.timedelta(days=1))


def test_an_outage_of_the_database_is_no_silence_and_does_not_reset_the_count(scene: Scene) -> None:
    scene.after(50, beat=EPOCH)
    assert not scene.outage(300)
    assert not scene.after(9), "what was silent before still has its time"
    assert scene.after(4), "and no more than that"


def test_a_stuck_cluster_is_found_although_the_database_blinks(scene: Scene) -> None:
    scene.after(1, beat=EPOCH)
    blinks = 0
    while not scene.after(10):
        blinks += 1
        scene.outage(5)
    assert blinks in (6, 7), "of each ten seconds nine or ten count, whatever lies between"


def test_a_cluster_that_beats_between_blinks_is_left_alone(scene: Scene) -> None:
    for minute in range(30):
        assert not scene.after(3, beat=EPOCH + dt.timedelta(minutes=minute))
        assert not scene.outage(15)


def test_a_driver_that_hangs_is_no_silence(scene: Scene) -> None:
    scene.after(50, beat=EPOCH)
    scene.now += 300  # no check has returned since
    assert not scene.watchdog.is_stuck("worker:c", started=scene.started)
    assert not scene.after(9), "nor is the time counted that the look took"
    assert scene.after(4)
