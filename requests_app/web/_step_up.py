"""Proof that it is still the same person: the password, looked at a few times and no more."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import cast
from uuid import UUID

import structlog
from django.core.cache import cache
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from requests_app.errors import TooMany
from requests_app.models import Person
from requests_app.queries import review
from requests_app.web.middleware import actor_in

security_log = structlog.get_logger("security")

#: Wrong passwords of one person within this time; the next one is not even looked at.
WRONG_MAX, WRONG_WITHIN = 5, timedelta(minutes=5)


def is_proven(request: HttpRequest, password: str, *, tenant_id: UUID, at: datetime) -> bool:
    """Whether the password is this person's. Raises TooMany instead of looking at one wrong too many.

    Two counts, because each lacks something: the cache counts before it looks, so that 200 at once do not all pass,
    but may be one process's own; the log's entries are everybody's, but come after the look.
    """
    person = cast(Person, request.user)
    key = f"step-up:{person.pk}"
    cache.add(key, 0, timeout=WRONG_WITHIN.total_seconds())
    tries = cache.incr(key)
    wrong = review.wrong_passwords(actor_in(request), tenant_id=tenant_id, since=at - WRONG_WITHIN)
    if tries > WRONG_MAX or wrong >= WRONG_MAX:
        security_log.warning("step_up.too_many", person=str(person.pk))
        raise TooMany(_("The password was wrong too often. Nothing was decided. Try again in five minutes."))
    if person.check_password(password):
        cache.decr(key)
        return True
    security_log.warning("step_up.failed", person=str(person.pk))
    return False
