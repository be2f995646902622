"""A password or a code, looked at a few times and no more: for whoever proves that it is still the same person."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from requests_app import clock
from requests_app.errors import TooMany
from requests_app.models import Person, Tries

security_log = structlog.get_logger("security")

#: Wrong guesses about one person within this time, through all doors together; the next is not looked at.
WRONG_MAX, WRONG_WITHIN = 5, timedelta(minutes=5)


def is_right(person: Person, look: Callable[[], bool]) -> bool:
    """Whether `look` says yes. Raises TooMany instead of looking at one wrong guess too many.

    Counted before it is looked at, under a lock and in the database, so that of 200 at once, in however many
    processes, five are looked at. A right one is given back.
    """
    subject = f"person:{person.pk}"
    if not _take(subject):
        security_log.warning("step_up.too_many", person=str(person.pk))
        raise TooMany(_("What was entered was wrong too often. Nothing was done. Try again in five minutes."))
    if look():
        Tries.objects.filter(subject=subject, count__gt=0).update(count=F("count") - 1)
        return True
    security_log.warning("step_up.failed", person=str(person.pk))
    return False


def _take(subject: str) -> bool:
    at = clock.now()
    with transaction.atomic():
        Tries.objects.get_or_create(subject=subject, defaults={"since": at})
        row = Tries.objects.select_for_update().get(subject=subject)
        # Whoever waited for the lock has an older instant than who began; that ends nothing.
        if at >= row.since + WRONG_WITHIN:
            row.since, row.count = at, 0
        if row.count >= WRONG_MAX:
            return False
        row.count += 1
        row.save(update_fields=["since", "count"])
    return True
