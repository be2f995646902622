"""Checks that the static files that pages need were collected and still exist."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from typing import cast

from django.conf import settings
from django.contrib.staticfiles import finders
from django.contrib.staticfiles.storage import ManifestStaticFilesStorage, staticfiles_storage
from django.utils.translation import gettext as _

from requests_app.platform import program


def why_not_collected() -> str:
    """Return why pages can't be rendered, and the command that helps. Return "" if all static files exist.

    Call this when a process starts, because it reads the manifest from the disk.
    """
    storage = _storage()
    if storage is None:
        return ""
    # The library's types are incomplete: it returns the names, and a hash of them all.
    named, _hash = cast("tuple[dict[str, str], str]", storage.load_manifest())
    if not named:
        return _("The static files are not collected. Run: %(command)s") % _again()
    if not all(storage.clean_name(name) in named for name, _path in _in_the_code()):
        return _("The static files are older than the code. Run: %(command)s") % _again()
    return _missing(storage, named)


def why_not_served() -> str:
    """Return why a process that serves pages can't render them. Return "" if all static files exist.

    The files are those of the manifest that this process read when it started.
    """
    storage = _storage()
    return "" if storage is None else _missing(storage, storage.hashed_files)


#: A static file's name with the hash of its content.
_HASHED = re.compile(r"(?P<stem>[\w./-]+)\.[0-9a-f]{12}(?P<ending>\.\w+)")


def of_another_version(name: str) -> str | None:
    """Return which file to serve for a name with the hash of another version, or None if there is no such file.

    During an upgrade, a page of the one version can ask a process of the other version for its files. Return the same
    name if that file was collected after this process started. Otherwise return the file of this version.
    """
    match, storage = _HASHED.fullmatch(name), _storage()
    if match is None or storage is None:
        return None
    here = storage.hashed_files.get(match["stem"] + match["ending"])
    # Only a known file's name reaches the disk, so no name can lead out of the directory.
    return name if here is not None and os.path.exists(storage.path(name)) else here


def path_of(name: str) -> str:
    """Return the path of a collected file."""
    return staticfiles_storage.path(name)


def _storage() -> ManifestStaticFilesStorage | None:
    """Return the storage that has a manifest of the static files.

    Return None if the storage has no manifest, or if DEBUG is on, because Django then serves the files directly.
    """
    storage = staticfiles_storage
    return storage if isinstance(storage, ManifestStaticFilesStorage) and not settings.DEBUG else None


def sum_of_sources() -> str:
    """Return a checksum that changes if a static file of the code is added, removed or written."""
    found = sorted((name, os.stat(path)) for name, path in _in_the_code())
    lines = (f"{name} {facts.st_size} {facts.st_mtime_ns}\n" for name, facts in found)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _in_the_code() -> Iterator[tuple[str, str]]:
    """Yield each static file of the code: its name on pages, and its path."""
    for finder in finders.get_finders():
        for path, storage in finder.list(ignore_patterns=["CVS", ".*", "*~"]):
            prefix = getattr(storage, "prefix", None)
            yield f"{prefix}/{path}" if prefix else path, storage.path(path)


def _again() -> dict[str, str]:
    return {"command": program.command("collectstatic --noinput")}


def _missing(storage: ManifestStaticFilesStorage, named: dict[str, str]) -> str:
    for name in (storage.manifest_name, *named.values()):
        if not os.path.exists(storage.path(name)):
            # Anybody can read this in /healthz, so it names no directory of the machine.
            return _("The static file %(name)s is not there. Run the command collectstatic.") % {"name": name}
    return ""
