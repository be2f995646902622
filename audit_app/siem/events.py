"""What an event of the log means to a SIEM, by its name.

A name that nobody declared comes from a newer version and gets OCSF's base event.
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
    """Return the meanings that `settings.LOG_MEANINGS` leads to, by the event's name."""
    return cast("Mapping[str, Meaning]", import_string(settings.LOG_MEANINGS))


def meaning_of(event: str, action: str = "") -> Meaning:
    """`action` is the one in the entry's detail."""
    meaning = declared().get(event, UNKNOWN)
    return dict(meaning.by_action).get(action, meaning)


def title_of(event: str) -> str:
    """A name for people that no translation changes, so that a rule about it holds in every language."""
    return event.replace(".", " ").replace("_", " ").capitalize()
