"""The background work, read-only: django-q2's tables and this product's heartbeats.

django-q2 stores arguments and results as pickles, and a pickle runs code when it is read. So a person who can write to
the database could run code in the pages of staff. For this reason, no page here reads these columns. The only exception
is the text of a failure: `plain_text` reads it and accepts nothing but strings.
"""

from __future__ import annotations

import io
import pickle
from base64 import b64decode
from binascii import Error as NotBase64
from typing import Any, ClassVar

from django.contrib import admin
from django.core.signing import BadSignature
from django.db.models import QuerySet, TextField
from django.db.models.functions import Cast
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django_q.models import OrmQ

from requests_app.doors.admin.base import StaffAdmin
from requests_app.doors.admin.columns import NOTHING, instant, preformatted
from requests_app.doors.admin.filters import by_choice
from requests_app.doors.admin.searching import Search
from requests_app.models import TaskAttempt

_PICKLES = ("args", "kwargs", "result")


class _StringsOnly(pickle.Unpickler):
    """Reads pickles of plain values. It refuses every name of a class or function, so that no code can run."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is no plain value")


def plain_text(stored: str | None) -> str:
    """Return the string in a pickled column. If the column contains anything else, return a text that says so."""
    if not stored:
        return NOTHING
    try:
        value = _StringsOnly(io.BytesIO(b64decode(stored))).load()
    except (pickle.UnpicklingError, NotBase64, ValueError, EOFError, IndexError, KeyError, AttributeError, TypeError):
        return str(_("The stored error is not a text, so it can’t be shown."))
    return value if isinstance(value, str) else str(_("The stored error is not a text, so it can’t be shown."))


@admin.display(description=_("error"))
def error_text(row: Any) -> str:
    return preformatted(plain_text(row.stored_result))


@admin.display(description=_("task"))
def queued_name(row: OrmQ) -> str:
    """Return the name of a queued task's function.

    The task is signed, and is never unpacked if the signature is wrong.
    """
    try:
        return str(row.task()["func"])
    except (BadSignature, KeyError, TypeError):
        return str(_("not signed by this installation"))


class TaskAdmin(StaffAdmin):
    """django-q2's row of a finished task, without the pickles."""

    list_display = ("started", "func", "stopped", "cluster", "attempt_count", "name")
    ordering = ("-started",)
    date_hierarchy = "started"
    search: ClassVar = Search(exact=("name", "func"), ids=())
    facts: ClassVar = [("", ("func", "started", "stopped", "cluster", "group", "attempt_count", "name", "id"))]

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).defer(*_PICKLES)


class SuccessAdmin(TaskAdmin):
    lead = _("Tasks that succeeded.")


class FailureAdmin(TaskAdmin):
    lead = _("Attempts that failed. A failed task is tried again. If the task continues to fail, it is parked.")
    facts: ClassVar = [*TaskAdmin.facts, (_("What went wrong"), (error_text,))]

    def get_queryset(self, request: HttpRequest) -> QuerySet:
        return super().get_queryset(request).annotate(stored_result=Cast("result", TextField()))


class QueuedAdmin(StaffAdmin):
    list_display = ("id", queued_name, "key", "lock")
    ordering = ("id",)
    lead = _(
        "If the lock of a task ends in the future, a worker has the task. After that time, another worker can take it. "
        "The other tasks wait for a worker."
    )
    facts: ClassVar = [("", ("id", queued_name, "key", "lock"))]


class ScheduleAdmin(StaffAdmin):
    list_display = ("name", "func", "schedule_type", "minutes", "next_run", "cluster")
    ordering = ("name",)
    lead = _(
        "The schedules are set in the code. The scheduler (beat) removes schedules that are not in the code, and "
        "corrects schedules that were changed."
    )
    facts: ClassVar = [("", ("name", "func", "schedule_type", "minutes", "repeats", "next_run", "cluster", "cron"))]


class HeartbeatAdmin(StaffAdmin):
    list_display = ("name", "at", "pid", "detail")
    ordering = ("name",)
    search: ClassVar = Search(ids=(), words=("name",))
    facts: ClassVar = [("", list_display)]


@admin.display(description=_("parked"), ordering="parked_at")
def parked(row: TaskAttempt) -> str:
    return instant(row.parked_at)


class TaskAttemptAdmin(StaffAdmin):
    list_display = ("name", "attempts", "first_at", "last_at", parked)
    ordering = ("-last_at",)
    lead = _("Tasks that were started and have not succeeded. A parked task is not tried again, and raises an alarm.")
    search: ClassVar = Search(ids=(), words=("name",))
    list_filter = (
        by_choice(
            "parked",
            _("parked"),
            [("yes", _("yes")), ("no", _("no"))],
            narrow=lambda rows, value: rows.filter(parked_at__isnull=value == "no"),
        ),
    )
    facts: ClassVar = [("", ("name", "attempts", "first_at", "last_at", "parked_at", "last_error", "key"))]
