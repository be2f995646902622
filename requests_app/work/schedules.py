"""Declares the periodic work as data, and makes the rows of django-q2's schedules equal to it.

Only declared tasks are queued. A row is a function's name with arguments, so anybody who can write a row could
otherwise run code as the worker. Undeclared rows are removed, except those of another version of this product: while an
upgrade runs, the processes of both versions use this table.
"""

import ast
import datetime as dt
import re
from collections import defaultdict, namedtuple
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import DateTimeField
from django.utils.module_loading import import_string
from django.utils.translation import gettext as _
from django_q.models import Schedule
from django_q.tasks import async_task

from requests_app.platform import bell
from requests_app.platform.database.compiled import CompiledQuery, update


@dataclass(frozen=True, kw_only=True)
class Periodic:
    """One periodic task, without arguments. `minutes` is the interval, because django-q2 has no shorter unit.

    With `in_turn`, the task is queued only at its interval. Other tasks can also be queued earlier.
    """

    name: str
    func: str
    minutes: int = 1
    in_turn: bool = False

    @property
    def row(self) -> dict[str, Any]:
        """The columns of the schedule's row, except those that store its progress."""
        return {
            "name": self.name, "func": self.func, "hook": None, "args": None, "kwargs": None,
            "schedule_type": Schedule.MINUTES, "minutes": self.minutes, "repeats": -1, "cron": None,
            "cluster": None, "intended_date_kwarg": None,
        }  # fmt: skip


PERIODIC = (
    Periodic(name="sweep", func=bell.SWEEP),
    Periodic(name="drain_outbox", func=bell.DRAIN_OUTBOX),
    Periodic(name="closing_soon", func="requests_app.tasks.closing_soon"),
    Periodic(name="silent_guards", func="requests_app.tasks.silent_guards"),
    Periodic(name="remind", func="requests_app.tasks.remind"),
    Periodic(name="checkpoint", func=bell.CHECKPOINT),
    Periodic(name="cosign", func="requests_app.tasks.cosign"),
    Periodic(name="check_logs", func=bell.CHECK_LOGS),
    Periodic(name="check_resources", func=bell.CHECK_RESOURCES, in_turn=True),
    Periodic(name="deliver_webhooks", func=bell.DELIVER_WEBHOOKS),
    Periodic(name="run_imports", func=bell.IMPORT),
    Periodic(name="refresh_sign_ons", func="requests_app.tasks.refresh_sign_ons", minutes=10, in_turn=True),
    Periodic(name="tidy_webhooks", func="requests_app.tasks.tidy_webhooks", minutes=60, in_turn=True),
    Periodic(name="forget_calls", func=bell.FORGET_CALLS, minutes=60, in_turn=True),
    Periodic(name="index_logs", func=bell.INDEX_LOGS, minutes=10, in_turn=True),
    Periodic(name="prune_logs", func=bell.PRUNE_LOGS, minutes=60, in_turn=True),
)
#: A task without work is queued once in so many minutes.
EVERY_MINUTES = 10
#: All functions that a schedule is allowed to queue.
FUNCTIONS = frozenset(periodic.func for periodic in PERIODIC)


#: The columns that a row is judged by.
_COLUMNS = (
    "name", "func", "hook", "args", "kwargs", "schedule_type", "minutes", "repeats", "cron", "cluster",
    "intended_date_kwarg", "next_run",
)  # fmt: skip
_Row = namedtuple("_Row", ("pk", *_COLUMNS))  # type: ignore[misc]  # made from the names above
_MINUTES = {periodic.name: periodic.minutes for periodic in PERIODIC}
_DUE = CompiledQuery(
    lambda at: (
        Schedule.objects.select_for_update()
        .filter(name__in=_MINUTES, func__in=FUNCTIONS, next_run__lte=at)
        .order_by("pk")
    ),
    at=DateTimeField(),
)
_ROWS = CompiledQuery(lambda: Schedule.objects.order_by("pk").values_list("pk", *_COLUMNS))
#: A row of another version is removed when no beat has queued its task for this long.
FORGET_AFTER = dt.timedelta(days=7)
_OF_A_VERSION = re.compile(r"requests_app\.tasks\.[a-z_]+")


class Rows(list[Any]):
    """The rows of the schedules, as one query reads them, without their models."""

    def __init__(self) -> None:
        super().__init__(map(_Row._make, _ROWS()))

    def has_due(self, at: dt.datetime) -> bool:
        """Return whether a declared task is to be queued now."""
        return any(row.func in FUNCTIONS and row.next_run is not None and row.next_run <= at for row in self)


def sync(at: dt.datetime, rows: Rows | None = None) -> list[str]:
    """Add, repair and delete rows until they are equal to PERIODIC. Return one line for each change.

    `rows` are the present ones, if they were just read. If nothing differs, nothing is written, so the beat can call
    this at every tick.
    """
    if not _differences(Rows() if rows is None else rows, at):
        return []
    with transaction.atomic():
        differences = _differences(list(Schedule.objects.select_for_update().order_by("pk")), at)
        for difference in differences:
            difference.mend(at)
    return [difference.line for difference in differences]


def faults(at: dt.datetime) -> list[str]:
    """Return one line for each difference between the rows and PERIODIC, without changing anything."""
    return [difference.line for difference in _differences(Rows(), at)]


@dataclass(frozen=True)
class _Difference:
    line: str
    #: A Schedule, or what Rows has of it.
    row: Any = None
    wanted: Periodic | None = None

    def mend(self, at: dt.datetime) -> None:
        if self.wanted is None:
            assert self.row is not None
            self.row.delete()
        elif self.row is None:
            Schedule.objects.create(**self.wanted.row, next_run=at)
        else:
            Schedule.objects.filter(pk=self.row.pk).update(**self.wanted.row, next_run=at)


def _differences(rows: list[Any], at: dt.datetime) -> list[_Difference]:
    missing = {periodic.name: periodic for periodic in PERIODIC}
    found = []
    for row in rows:
        wanted = missing.pop(row.name or "", None)
        if wanted is None and _is_of_another_version(row, at):
            continue
        if wanted is None:
            why = {"name": str(row.name or row.pk), "why": _why_foreign(row)}
            found.append(_Difference(_("Schedule %(name)s is removed: %(why)s.") % why, row))
        elif wrong := _wrong_columns(row, wanted, at):
            line = _("Schedule %(name)s is corrected: %(columns)s.")
            found.append(_Difference(line % {"name": wanted.name, "columns": ", ".join(wrong)}, row, wanted))
    for name, wanted in missing.items():
        found.append(_Difference(_("Schedule %(name)s is added.") % {"name": name}, None, wanted))
    return found


def _is_of_another_version(row: Any, at: dt.datetime) -> bool:
    """Return whether the row could be a Periodic that only an older or newer version declares, and that is in use.

    If this version removed it, the other version's beat would add it again each second, and queue its task each time.
    """
    if row.func in FUNCTIONS or not _OF_A_VERSION.fullmatch(row.func or "") or row.next_run is None:
        return False
    declared = Periodic(name=row.name or "", func=row.func, minutes=row.minutes or 0)
    is_plain = all((getattr(row, column) or None) == (value or None) for column, value in declared.row.items())
    return is_plain and at - FORGET_AFTER < row.next_run < at + FORGET_AFTER


def _wrong_columns(row: Any, wanted: Periodic, at: dt.datetime) -> list[str]:
    wrong = [column for column, value in wanted.row.items() if (getattr(row, column) or None) != value]
    # A row without a next run never runs. If its next run is far in the future, the clock was wrong when it was
    # written.
    if row.next_run is None or row.next_run > at + 2 * dt.timedelta(minutes=wanted.minutes):
        wrong.append("next_run")
    return wrong


def _why_foreign(row: Any) -> str:
    """Return why a row that is not in PERIODIC is removed, as a text for the operator."""
    for column in ("args", "kwargs"):
        try:
            ast.literal_eval(getattr(row, column) or "()")
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return _("its %(column)s can't be read") % {"column": column}
    if row.schedule_type == Schedule.CRON:
        return _("cron schedules are not used")
    if row.func in FUNCTIONS:
        return _("%(function)s is scheduled under another name already") % {"function": row.func}
    # Only the name is checked. Importing the function would run code, which a stranger may have chosen.
    return _("%(function)s is not periodic work of this application") % {"function": row.func}


def enqueue_due(at: dt.datetime, idle: Collection[str] = ()) -> list[str]:
    """Queue the declared tasks that are due, and store when each is due again. Return the names of those queued.

    The tasks of `idle` have nothing to do. They are queued once in EVERY_MINUTES, one after the other, so that what
    was overlooked has to wait for ten minutes at most.

    The rows stay locked until the commit, so several beats queue each task once. django-q2's own scheduler reads all
    rows: one row that it can't parse would stop every schedule, and it would queue the tasks of other versions.
    """
    later, queued = defaultdict[dt.datetime, list[Any]](list), list[str]()
    with transaction.atomic():
        for row in _DUE(at=at):
            every = dt.timedelta(minutes=_MINUTES[row.name])
            row.next_run += every * ((at - row.next_run) // every + 1)
            if row.func in idle and not _has_its_turn(row, at):
                later[row.next_run].append(row.pk)
                continue
            row.task = async_task(row.func, group=row.name)
            queued.append(str(row.name))
            update(row, "next_run", "task")
        # Mostly, all of them are due again at the same minute.
        for next_run, rows in later.items():
            Schedule.objects.filter(pk__in=rows).update(next_run=next_run)
    return queued


def _has_its_turn(row: Any, at: dt.datetime) -> bool:
    return (int(at.timestamp()) // 60 + row.pk) % EVERY_MINUTES == 0


def unusable() -> list[str]:
    """Return the functions in PERIODIC that can't be imported, each with the reason."""
    found = []
    for func in sorted(FUNCTIONS):
        try:
            import_string(func)
        except Exception as failure:  # any error of the module is the reason
            found.append(f"{func}: {failure}")
    return found
