"""Builds absolute URLs of this site, for mails and other texts that people read outside its pages."""

from __future__ import annotations

from django.conf import settings


def absolute(path: str) -> str:
    """Return the absolute URL of a path, built from BASE_URL.

    The Host header of the request is not used, because an attacker can choose its value.
    """
    return f"{settings.BASE_URL}{path}"
