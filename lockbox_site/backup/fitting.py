"""Fits the settings of a backup to the machine where it is restored: paths, and files that are not here."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lockbox_site import places
from lockbox_site.backup import BackupRefused, contents
from lockbox_site.backup.contents import Contents
from lockbox_site.environment import IN_FILE

#: The settings that name a place to which a restore writes.
_WRITTEN = ("LOG_KEY_FILE", "LOG_HEADS_FILE", "LOG_HEADS", "DATABASE_URL")


@dataclass
class Fitted:
    """The settings of a backup as they are used here."""

    values: dict[str, str] = field(repr=False)
    #: The settings of the backup's `.env` that are not used here.
    dropped: set[str] = field(default_factory=set)
    #: The settings that differ from those in the backup's `.env`.
    changed: set[str] = field(default_factory=set)
    #: The files of the backup that are written here, with their content.
    files: dict[Path, bytes] = field(default_factory=dict, repr=False)
    #: The places that this machine names, in its environment or its `.env`. They stay in `.env`.
    named: dict[str, str] = field(default_factory=dict)
    #: What the operator reads about it. No line has a secret.
    notes: list[str] = field(default_factory=list)

    def change(self, name: str, value: str) -> None:
        self.values[name] = value
        self.changed.add(name)

    def drop(self, name: str) -> None:
        self.values.pop(name, None)
        self.dropped.add(name)


def fit(found: Contents, read: Mapping[str, str], here: Mapping[str, str], data: Path) -> Fitted:
    """Return the backup's settings `read`, fitted to this data directory.

    `here` has the settings of this machine, from its environment and its `.env`. They come first, so the backup's
    settings of the same names are dropped.
    """
    fitted = Fitted(dict(read), named={name: here[name] for name in contents.PLACES if here.get(name)})
    for name in read:
        if is_given(name, here):
            fitted.drop(name)
    _move(fitted, found.header.data_dir, data.resolve())
    _secrets(fitted, found.keys)
    _saml(fitted, found, data.resolve())
    return fitted


def is_given(name: str, here: Mapping[str, str]) -> bool:
    """Return whether this machine has the setting, as a value or as the path of a file."""
    names = (name, f"{name}{IN_FILE}", *([name.removesuffix(IN_FILE)] if name.endswith(IN_FILE) else []))
    return any(here.get(each) for each in names)


# --- Paths -----------------------------------------------------------------------------------------------


def _move(fitted: Fitted, before: str, data: Path) -> None:
    """Let paths inside the data directory of the backup lead to the same places inside this one."""
    if len(before) < 2 or not before.startswith("/") or before == str(data):
        return
    # A path can be a whole value, a part of a list, or a part of an address: sqlite:////path, dir:///path, ?file=/path.
    path = re.compile(rf"(^|[,=])(\s*(?:[a-z0-9+]+:(?://)?/?)?){re.escape(before)}(?=[/,?&]|$)")
    for name, value in list(fitted.values.items()):
        if (new := path.sub(lambda match: f"{match[1]}{match[2]}{data}", value)) != value:
            fitted.change(name, new)
    if fitted.changed:
        names = ", ".join(sorted(fitted.changed))
        fitted.notes.append(f"The data directory was {before}. These settings lead to {data} now: {names}.")


def require_inside(fitted: Fitted, data: Path) -> None:
    """Raise BackupRefused if a setting in the backup leads to a file or a bucket outside the data directory.

    A hostile backup could otherwise make a file anywhere. And an installation that is restored for practice would share
    the heads of the one that people use. The operator can name such a place in the environment. Call this before the
    settings are used, because reading them makes directories.
    """
    for name, place in _places(fitted.values, data):
        if isinstance(place, str) or not place.resolve().is_relative_to(data.resolve()):
            raise BackupRefused(
                f"The backup's {name} leads outside the data directory, to {place}. If that is right, set {name} in "
                "the environment, and run the command again."
            )


def _places(values: Mapping[str, str], data: Path) -> Iterator[tuple[str, Path | str]]:
    """Yield the settings to whose places a restore writes, each with its path, or with the address of a bucket."""
    for name in _WRITTEN:
        value = values.get(name, "")
        scheme, _mark, path = value.rpartition("://") if "://" in value else ("", "", value)
        if name == "DATABASE_URL":
            if scheme != "sqlite":
                continue
            # As django-environ reads it: the first slash ends the host, which is empty.
            path = unquote(urlsplit(value).path.removeprefix("/"))
        if scheme not in ("", "dir", "sqlite"):
            yield name, value
        elif path and path != ":memory:":
            yield name, places.path_from(path, data=data)


# --- Secrets in files ------------------------------------------------------------------------------------


def _secrets(fitted: Fitted, stored: Mapping[str, str]) -> None:
    """Use the file of a secret if it is here and has the same secret. Otherwise store the secret in `.env`."""
    for name, value in stored.items():
        in_file = f"{name}{IN_FILE}"
        path = fitted.values.get(in_file, "")
        if name == "LOG_KEY" or not path:
            continue
        if _content(path) == value.strip():
            fitted.drop(name)
        else:
            fitted.drop(in_file)
            fitted.change(name, value)
            fitted.notes.append(f"{name} was in the file {path}, which is not here. Now it is in .env.")


def _content(path: str) -> str | None:
    try:
        return Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None


def _saml(fitted: Fitted, found: Contents, data: Path) -> None:
    """Write the files for SAML into the data directory, unless they are at their place."""
    for setting, members in contents.SAML.items():
        if not fitted.values.get(setting):
            continue
        paths = [part.strip() for part in fitted.values[setting].split(",")]
        for at, (member, path) in enumerate(zip(members, paths, strict=False)):
            content = found.settings.get(member)
            if content is None or _content(path) == content.decode().strip():
                continue
            # Always this name: a path of a hostile backup could lead anywhere.
            place = data / f"{member.removeprefix('settings/')}.pem"
            if place.exists() and place.read_bytes() != content:
                raise BackupRefused(f"{place} is another file than the one in the backup. Move it away.")
            fitted.notes.append(f"{setting}: the file {path} is not here, or is another one. It is {place} now.")
            fitted.files[place] = content
            paths[at] = str(place)
        if (new := ",".join(paths)) != fitted.values[setting]:
            fitted.change(setting, new)
