"""Makes small folders of made-up files, so that a trial has content to look at. Never replaces content."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Collection
from pathlib import Path

from django.conf import settings

from requests_app.content.connectors.folder import Folder
from requests_app.content.connectors.maildir import Maildir
from requests_app.content.connectors.registry import PRACTICE_ROOT

#: For each connector: the made-up content that ships with the product, and the name of its copy.
_SAMPLES = {Folder.kind: ("library", "sample-folder"), Maildir.kind: ("mailbox", "sample-mailbox")}
#: The word of the shipped content that a sample must not have: a sample is a real resource, and no practice.
_PRACTICE = re.compile(rb"(p)ractice", re.IGNORECASE)
#: Directories of a mailbox. The shipped one lacks those that are empty.
_OF_A_MAILBOX = ("cur", "new", "tmp")


def is_without_content(root: str) -> bool:
    """Return whether the tenant's root is missing or empty. A link, or anything else, counts as content."""
    place = Path(settings.CONTENT_ROOT) / root
    if place.is_symlink():
        return False
    try:
        with os.scandir(place) as entries:
            return next(entries, None) is None
    except FileNotFoundError:
        return True
    except OSError:
        return False


def make(root: str, connectors: Collection[str]) -> list[str]:
    """Copy the sample of each connector into the tenant's root, and return the new places.

    All of them appear at the same instant, and nothing is replaced: a directory that has content can't be renamed over.
    """
    content = Path(settings.CONTENT_ROOT)
    content.mkdir(parents=True, exist_ok=True)
    names = [(kind, *_SAMPLES[kind]) for kind in sorted(connectors) if kind in _SAMPLES]
    with tempfile.TemporaryDirectory(prefix=".sample-", dir=content) as draft:
        made = Path(draft) / root
        made.mkdir()
        for kind, source, name in names:
            _copy(PRACTICE_ROOT / source, made / name, is_flat=kind == Folder.kind)
            for each in _OF_A_MAILBOX if kind == Maildir.kind else ():
                (made / name / each).mkdir(exist_ok=True)
        made.rename(content / root)
    return [place_of(root, kind) for kind, _source, _name in names]


def place_of(root: str, connector: str) -> str:
    """Return the locator of the sample that this connector reads."""
    return f"{root}/{_SAMPLES[connector][1]}"


def _copy(source: Path, target: Path, *, is_flat: bool) -> None:
    """Copy all files. In a flat copy, they are beside each other, so it is one place and not several."""
    for file in sorted(source.rglob("*")):
        if file.is_file():
            place = target / (file.name if is_flat else file.relative_to(source))
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(_PRACTICE.sub(_as_sample, file.read_bytes()))


def _as_sample(found: re.Match[bytes]) -> bytes:
    return b"Sample" if found[1] == b"P" else b"sample"
