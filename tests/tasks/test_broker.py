"""Besides the queued tasks, each cluster gets heartbeat tasks of its own. They are never in the shared queue."""

import pytest
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection
from django_q.brokers import get_broker
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.signals import post_execute
from django_q.signing import SignedPackage
from django_q.tasks import async_task

from requests_app.domain import clock
from requests_app.models import Heartbeat
from requests_app.platform import chime
from requests_app.work import broker as module
from requests_app.work import heartbeats
from requests_app.work.broker import HeartbeatBroker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the monotonic clock by a list with its value, which the test changes: `seconds[0] += 1`."""
    now = [1000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    monkeypatch.setattr(module._throttle, "next_at", 0.0)
    monkeypatch.setattr(module, "REST_SECONDS", 0.0)
    return now


def functions(tasks: list[tuple[int | None, str]]) -> list[str]:
    return [SignedPackage.loads(package)["func"] for _, package in tasks]


def test_the_broker_is_the_one_in_the_settings() -> None:
    assert isinstance(get_broker(), HeartbeatBroker)


def test_a_heartbeat_comes_at_once_and_then_once_in_a_while(seconds: list[float]) -> None:
    broker = get_broker()
    assert functions(broker.dequeue()) == [module.HEARTBEAT]
    assert broker.dequeue() == []
    seconds[0] += settings.HEARTBEAT_SECONDS - 0.1
    assert broker.dequeue() == []
    seconds[0] += 0.2
    assert functions(broker.dequeue()) == [module.HEARTBEAT]
    assert OrmQ.objects.count() == 0


def test_a_cluster_that_hears_all_commits_rests_longer_but_not_beyond_its_next_heartbeat(
    seconds: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REST_SECONDS", 5.0)
    rests: list[float] = []
    monkeypatch.setattr(chime.Listener, "wait", lambda _self, rest: rests.append(rest))
    broker = get_broker()
    broker.dequeue()
    broker.dequeue()
    seconds[0] += settings.HEARTBEAT_SECONDS - 2
    broker.dequeue()
    # On PostgreSQL, other hosts may queue tasks.
    expected = [0.0, 5.0, 2.0] if connection.vendor == "sqlite" else [Conf.POLL] * 3
    assert rests == expected
    monkeypatch.setattr(chime.Listener, "hears", False)
    broker.dequeue()
    assert rests[-1] == Conf.POLL


def test_a_database_that_was_replaced_is_noticed_by_a_pusher_that_has_no_task(
    seconds: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    broker = get_broker()
    broker.dequeue()
    before = connection.connection
    broker.dequeue()
    assert connection.connection is before
    if connection.vendor == "sqlite":
        monkeypatch.setattr(connection, "_file", (0, 0))
    else:
        seconds[0] += module.RENEW_SECONDS + 1
    broker.dequeue()
    assert connection.connection is not before


def test_a_heartbeat_has_no_row_and_queued_tasks_come_first(seconds: list[float]) -> None:
    async_task("os.getpid")
    (queued, _), (nothing, _) = tasks = get_broker().dequeue()
    assert functions(tasks) == ["os.getpid", module.HEARTBEAT]
    assert (queued, nothing) == (OrmQ.objects.get().pk, None)


def test_the_end_of_any_task_is_a_sign_of_life_but_not_each_is_written(seconds: list[float]) -> None:
    name = heartbeats.of_cluster(heartbeats.cluster_name())
    post_execute.send(sender="django_q", task={"success": False})
    first = Heartbeat.objects.get(name=name).at
    for _ in range(10):
        post_execute.send(sender="django_q", task={"success": True})
    assert Heartbeat.objects.get(name=name).at == first
    seconds[0] += settings.HEARTBEAT_SECONDS
    post_execute.send(sender="django_q", task={"success": True})
    assert Heartbeat.objects.get(name=name).at > first


def test_two_clusters_have_two_names(seconds: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("here-1", "here-2"):
        monkeypatch.setenv("CLUSTER_NAME", name)
        post_execute.send(sender="django_q", task={})
        seconds[0] += settings.HEARTBEAT_SECONDS
    assert list(Heartbeat.objects.workers().values_list("name", flat=True)) == ["worker:here-1", "worker:here-2"]


def test_a_database_that_fails_does_not_take_the_monitor_down(
    seconds: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(heartbeats, "touch", broken)
    post_execute.send(sender="django_q", task={})
    assert not Heartbeat.objects.exists()


@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_database_that_is_away_ends_neither_pusher_nor_monitor(
    seconds: list[float], monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise error("gone")

    monkeypatch.setattr(module, "AWAY_SECONDS", 0.0)
    broker = get_broker()
    with monkeypatch.context() as patch:
        patch.setattr(ORM, "get_connection", staticmethod(broken))
        patch.setattr(module, "_WAITING", broken)
        assert broker.dequeue() == []
        broker.acknowledge(1)
    assert functions(broker.dequeue()) == [module.HEARTBEAT], "and it goes on at once"
