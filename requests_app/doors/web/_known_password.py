"""Remembers for a minute that a person entered the right password in one form.

If the password was right but the code had been used before, the person then enters only the next code. The session
stores the time, the person and a digest of the form, but not the password. So the password counts as known only for
this form.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import datetime, timedelta

from django.http import HttpRequest

VALID_FOR = timedelta(minutes=1)
_KEY = "known_password"


def act_of(request: HttpRequest, fields: Iterable[tuple[str, str]]) -> str:
    """Return a digest of what the form asks for: its address, and its fields without the proof."""
    text = json.dumps([request.get_full_path(), sorted(fields)])
    return hashlib.sha256(text.encode()).hexdigest()


def remember(request: HttpRequest, act: str, *, at: datetime) -> None:
    request.session[_KEY] = {"at": at.isoformat(), "person": str(request.user.pk), "act": act}


def is_known(request: HttpRequest, act: str, *, at: datetime) -> bool:
    """Return whether this person entered the right password for exactly this form within the last minute."""
    stored = request.session.get(_KEY)
    if not stored or (stored["person"], stored["act"]) != (str(request.user.pk), act):
        return False
    since = datetime.fromisoformat(stored["at"])
    return since <= at < since + VALID_FOR


def forget(request: HttpRequest) -> None:
    request.session.pop(_KEY, None)
