"""Sentences about the last sign of an application's guard, or of a proxy at a gate."""

from __future__ import annotations

from datetime import datetime

from django.utils.translation import gettext as _

from requests_app.words import times


def last_sign(*, is_guard: bool, at: datetime, version: str, now: datetime) -> str:
    """Return when a guard or a proxy was last heard of, and the guard's version."""
    shown = {"when": times.relative_words(at, now), "version": version}
    if not is_guard:
        return _("a proxy last asked %(when)s") % shown
    words = (
        _("its guard (%(version)s) was last heard of %(when)s")
        if version
        else _("its guard was last heard of %(when)s")
    )
    return words % shown
