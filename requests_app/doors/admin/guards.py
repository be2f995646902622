"""The guards of applications, read-only: when each was last heard of, and whether its reports arrive."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from requests_app.domain import clock, limits
from requests_app.doors.admin.base import StaffAdmin
from requests_app.doors.admin.columns import link_to
from requests_app.doors.admin.filters import by_choice, by_service
from requests_app.doors.admin.searching import Search
from requests_app.models import Guard


@admin.display(description=_("speaks for"))
def speaks_for(row: Guard) -> str:
    return link_to(row.client.service) if row.client.service else ""


@admin.display(description=_("state"))
def state(row: Guard) -> str:
    """Return in words whether the guard reports as it should."""
    at = row.read_at  # type: ignore[attr-defined]  # annotated by StaffAdmin
    if row.reported_at is None:
        return gettext("has never reported")
    if at - row.reported_at > limits.GUARD_SILENT_AFTER:
        return gettext("silent")
    if row.backlog_since is not None and at - row.backlog_since > limits.GUARD_BEHIND_AFTER:
        return gettext("its backlog does not become smaller")
    return gettext("reports")


def _narrow(rows: QuerySet[Any], value: str) -> QuerySet[Any]:
    silent = Guard.objects.silent(clock.now()).values("pk")
    return rows.filter(pk__in=silent) if value == "yes" else rows.exclude(pk__in=silent)


class GuardAdmin(StaffAdmin):
    list_display = ("number", state, "reported_at", "backlog", speaks_for, "version", "client")
    # The number is long, and what is wrong must be in sight beside it.
    is_wrapped = True
    reads: ClassVar = ("client__account", "client__service")
    ordering = ("-reported_at",)
    search: ClassVar = Search(ids=("pk", "number", "client"), words=("client__account__name", "version"))
    list_filter = (
        by_choice("silent", _("alarm"), [("yes", _("yes")), ("no", _("no"))], narrow=_narrow),
        by_service("client__service"),
    )
    lead = _(
        "A guard enforces windows in an application, follows their ends, and reports each access. If a guard is silent "
        "for a minute while a window of its service is open, staff and the customer’s approvers and administrators get "
        "a mail."
    )
    facts: ClassVar = [
        ("", ("client", speaks_for, state, "version")),
        (_("Reports"), ("reported_at", "acknowledged", "backlog", "backlog_since")),
        (_("Feed"), ("feed_at",)),
    ]
    folded: ClassVar = [("", ("number", "first_at", "id"))]
