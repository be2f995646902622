"""Builds absolute addresses of this site, for mails and other texts that people read outside of its pages."""

from __future__ import annotations

from django.conf import settings


def absolute(path: str) -> str:
    """Return the address of a path under BASE_URL.

    It ignores the Host header, because the caller writes that header.
    """
    return f"{settings.BASE_URL}{path}"
