"""A password, looked at a few times and no more: for whoever proves that it is still the same person."""

from __future__ import annotations

from datetime import timedelta

import structlog
from django.core.cache import cache
from django.utils.translation import gettext as _

from requests_app.errors import TooMany
from requests_app.models import Person

security_log = structlog.get_logger("security")

#: Wrong passwords of one person within this time, on the pages and in the API together; the next is not looked at.
WRONG_MAX, WRONG_WITHIN = 5, timedelta(minutes=5)


def is_password(person: Person, password: str, *, wrong: int = 0) -> bool:
    """Whether it is this person's. Raises TooMany instead of looking at one wrong too many.

    Counted before it is looked at, so that 200 at once do not all pass. `wrong` is how many are known from elsewhere.
    """
    key = f"step-up:{person.pk}"
    cache.add(key, 0, timeout=WRONG_WITHIN.total_seconds())
    if cache.incr(key) > WRONG_MAX or wrong >= WRONG_MAX:
        security_log.warning("step_up.too_many", person=str(person.pk))
        raise TooMany(_("The password was wrong too often. Nothing was decided. Try again in five minutes."))
    if person.check_password(password):
        cache.decr(key)
        return True
    security_log.warning("step_up.failed", person=str(person.pk))
    return False
