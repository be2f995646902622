"""Absolute addresses of this site, for texts that are read outside of its pages."""

from __future__ import annotations

from django.conf import settings


def absolute(path: str) -> str:
    """Return the address of a path under BASE_URL, never under the Host header, which the caller writes."""
    return f"{settings.BASE_URL}{path}"
