"""Finds what an event of the log means for a SIEM, by the event's name.

A name that is not declared comes from a newer version of the product, and gets OCSF's base event.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import cast

from django.conf import settings
from django.utils.module_loading import import_string

from audit_app.meanings import Family, Meaning

UNKNOWN = Meaning(Family.BASE)


@cache
def declared() -> Mapping[str, Meaning]:
    """Return the meanings that the product declares in `settings.LOG_MEANINGS`, by the name of the event."""
    return cast("Mapping[str, Meaning]", import_string(settings.LOG_MEANINGS))


def meaning_of(event: str, action: str = "") -> Meaning:
    """Return the meaning of an event. `action` is the value of "action" in the entry's detail."""
    meaning = declared().get(event, UNKNOWN)
    return dict(meaning.by_action).get(action, meaning)


def title_of(event: str) -> str:
    """Return a title of the event for people. It is always in English, so that a SIEM rule works in every language."""
    return event.replace(".", " ").replace("_", " ").capitalize()
