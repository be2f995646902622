"""A password or a code, looked at a few times and no more: for whoever proves that it is still the same person."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import structlog
from django.core.cache import cache
from django.utils.translation import gettext as _

from requests_app.errors import TooMany
from requests_app.models import Person

security_log = structlog.get_logger("security")

#: Wrong guesses about one person within this time, on the pages and in the API together; the next is not looked at.
WRONG_MAX, WRONG_WITHIN = 5, timedelta(minutes=5)


def is_right(person: Person, look: Callable[[], bool], *, wrong: int = 0) -> bool:
    """Whether `look` says yes. Raises TooMany instead of looking at one wrong guess too many.

    Counted before it is looked at, so that 200 at once do not all pass. `wrong` is how many are known from elsewhere.
    """
    key = f"step-up:{person.pk}"
    cache.add(key, 0, timeout=WRONG_WITHIN.total_seconds())
    if cache.incr(key) > WRONG_MAX or wrong >= WRONG_MAX:
        security_log.warning("step_up.too_many", person=str(person.pk))
        raise TooMany(_("What was entered was wrong too often. Nothing was done. Try again in five minutes."))
    if look():
        cache.decr(key)
        return True
    security_log.warning("step_up.failed", person=str(person.pk))
    return False


def is_password(person: Person, password: str, *, wrong: int = 0) -> bool:
    return is_right(person, lambda: person.check_password(password), wrong=wrong)
