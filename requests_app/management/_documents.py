"""Finds the documents that commands for developers write. Only the source tree has them."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.core.management.base import CommandError
from django.utils.translation import gettext as _


def document(name: str) -> Path:
    """Return the path of a document. Raise CommandError in an installation, which has none."""
    place: Path = settings.BASE_DIR / "docs"
    if not place.is_dir():
        raise CommandError(_("This command is for developers: it needs the source tree, which is not installed here."))
    return place / name
