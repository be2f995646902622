"""The rows of django-q2's schedules are exactly the declared tasks, even if somebody changes the rows."""

import datetime as dt
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django_q.models import OrmQ, Schedule
from pytest_django import DjangoAssertNumQueries

from requests_app.domain import clock
from requests_app.work import schedules
from tests.conftest import Traveller

pytestmark = pytest.mark.django_db(transaction=True)

DECLARED = [
    *(
        "check_logs",
        "check_resources",
        "checkpoint",
        "closing_soon",
        "cosign",
        "deliver_webhooks",
        "drain_outbox",
        "forget_calls",
        "index_logs",
    ),
    *("prune_logs", "refresh_sign_ons", "remind", "run_imports", "silent_guards", "sweep", "tidy_webhooks"),
]


def names() -> list[str | None]:
    return sorted(Schedule.objects.values_list("name", flat=True))


def enqueue_due() -> list[str]:
    return schedules.enqueue_due(clock.now())


def foreign(**columns: Any) -> Schedule:
    past = clock.now() - dt.timedelta(minutes=5)
    return Schedule.objects.create(**{"name": "foreign", "func": "os.system", "next_run": past, **columns})


def test_an_empty_table_is_filled_and_due_at_once() -> None:
    at = clock.now()
    lines = schedules.sync(at)
    assert names() == DECLARED
    rows = Schedule.objects.values_list("next_run", "schedule_type", "minutes", "repeats")
    assert set(rows) == {(at, "I", 1, -1), (at, "I", 10, -1), (at, "I", 60, -1)}
    assert "Schedule sweep is added." in lines
    enqueue_due()
    assert sorted(row.func() for row in OrmQ.objects.all()) == sorted(schedules.FUNCTIONS)


def test_a_table_in_order_costs_one_query_and_keeps_its_progress(
    django_assert_num_queries: DjangoAssertNumQueries,
) -> None:
    schedules.sync(clock.now())
    enqueue_due()
    before = list(Schedule.objects.values_list("name", "next_run", "task"))
    with django_assert_num_queries(1):
        assert schedules.sync(clock.now()) == []
    assert list(Schedule.objects.values_list("name", "next_run", "task")) == before


def test_a_row_that_cannot_be_parsed_stops_no_schedule_and_is_taken_out() -> None:
    schedules.sync(clock.now())
    foreign(args="((", func="requests_app.tasks.sweep")
    enqueue_due()
    assert OrmQ.objects.count() == len(DECLARED)
    assert schedules.sync(clock.now()) == ["Schedule foreign is removed: its args can't be read."]


def test_a_row_of_another_version_stays_and_only_that_version_queues_its_task() -> None:
    """While an upgrade runs, each version's beat would otherwise remove the rows of the other one, every second."""
    at = clock.now()
    schedules.sync(at)
    newer = schedules.Periodic(name="tidy_more", func="requests_app.tasks.tidy_more", minutes=5)
    past = at - dt.timedelta(minutes=5)
    Schedule.objects.create(**newer.row, next_run=past)
    assert schedules.sync(at) == schedules.faults(at) == []
    enqueue_due()
    assert newer.func not in {row.func() for row in OrmQ.objects.all()}
    assert Schedule.objects.get(name="tidy_more").next_run == past


def test_a_row_that_no_version_has_used_for_a_week_is_taken_out(travel: Traveller) -> None:
    schedules.sync(clock.now())
    newer = schedules.Periodic(name="tidy_more", func="requests_app.tasks.tidy_more")
    Schedule.objects.create(**newer.row, next_run=clock.now())
    travel.by(days=7, seconds=1)
    [line] = [line for line in schedules.sync(clock.now()) if "tidy_more" in line]
    assert line.startswith("Schedule tidy_more is removed")


@pytest.mark.parametrize(
    "columns",
    [
        {"args": "'x',"},
        {"kwargs": "{'x': 1}"},
        {"hook": "os.remove"},
        {"schedule_type": "O"},
        {"func": "requests_app.tasks.outbox.drain"},
        {"func": "requests_app.work.outbox.drain"},
        {"next_run": dt.datetime(2099, 1, 1, tzinfo=dt.UTC)},
    ],
)
def test_a_row_that_no_version_would_write_is_taken_out(columns: dict[str, Any]) -> None:
    schedules.sync(clock.now())
    newer = schedules.Periodic(name="tidy_more", func="requests_app.tasks.tidy_more")
    Schedule.objects.create(**{**newer.row, "next_run": clock.now(), **columns})
    schedules.sync(clock.now())
    assert names() == DECLARED


def test_after_a_long_outage_each_task_is_queued_once_and_its_minute_stays(travel: Traveller) -> None:
    at = clock.now()
    schedules.sync(at)
    travel.by(hours=5, seconds=7)
    assert sorted(enqueue_due()) == DECLARED
    assert enqueue_due() == []
    assert Schedule.objects.get(name="sweep").next_run == at + dt.timedelta(hours=5, minutes=1)


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"args": "'touch /tmp/x',"}, "os.system is not periodic work of this application"),
        ({"kwargs": "{'a': open('x')}"}, "its kwargs can't be read"),
        ({"args": "(" * 500}, "its args can't be read"),
        ({"func": "requests_app.tasks.sweep"}, "requests_app.tasks.sweep is scheduled under another name already"),
        ({"name": None}, "os.system is not periodic work of this application"),
    ],
)
def test_a_foreign_row_is_taken_out_with_its_reason(columns: dict[str, Any], why: str) -> None:
    schedules.sync(clock.now())
    row = foreign(**columns)
    assert schedules.sync(clock.now()) == [f"Schedule {row.name or row.pk} is removed: {why}."]
    assert names() == DECLARED


def test_a_cron_row_is_taken_out() -> None:
    schedules.sync(clock.now())
    row = foreign()
    Schedule.objects.filter(pk=row.pk).update(schedule_type=Schedule.CRON, cron="* * * * *")
    assert schedules.sync(clock.now()) == ["Schedule foreign is removed: cron schedules are not used."]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("func", "os.system"),
        ("args", "'x',"),
        ("kwargs", "{'x': 1}"),
        ("hook", "os.remove"),
        ("repeats", 0),
        ("minutes", 60),
        ("schedule_type", "O"),
        ("cluster", "elsewhere"),
        ("intended_date_kwarg", "when"),
        ("next_run", None),
        ("next_run", dt.datetime(2099, 1, 1, tzinfo=dt.UTC)),
    ],
)
def test_a_changed_column_is_corrected(column: str, value: object) -> None:
    schedules.sync(clock.now())
    Schedule.objects.filter(name="sweep").update(**{column: value})
    at = clock.now()
    assert schedules.sync(at) == [f"Schedule sweep is corrected: {column}."]
    assert schedules.faults(at) == []
    assert Schedule.objects.get(name="sweep").next_run == at


def test_a_double_is_taken_out() -> None:
    schedules.sync(clock.now())
    first = Schedule.objects.get(name="sweep").pk
    Schedule.objects.create(**schedules.PERIODIC[0].row, next_run=clock.now())
    schedules.sync(clock.now())
    assert names() == DECLARED
    assert Schedule.objects.get(name="sweep").pk == first


def test_a_strangers_function_is_never_imported(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trap_of_a_stranger.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    foreign(func="trap_of_a_stranger.run")
    schedules.sync(clock.now())
    assert names() == DECLARED


def test_the_command_says_what_it_did_and_checks_without_touching() -> None:
    foreign()
    out = StringIO()
    with pytest.raises(SystemExit, match="1"):
        call_command("sync_schedules", "--check", stdout=out)
    assert "Schedule foreign is removed" in out.getvalue()
    assert names() == ["foreign"]
    call_command("sync_schedules", stdout=StringIO())
    assert names() == DECLARED
    out = StringIO()
    call_command("sync_schedules", "--check", stdout=out)
    assert out.getvalue() == ""


def test_a_declared_function_that_is_gone_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert schedules.unusable() == []
    monkeypatch.setattr(schedules, "FUNCTIONS", frozenset({"requests_app.tasks.sweep", "requests_app.tasks.gone"}))
    (line,) = schedules.unusable()
    assert line.startswith("requests_app.tasks.gone: ")
