"""Reads values from the environment. Values that could be misunderstood raise ImproperlyConfigured."""

import os
import secrets
import warnings
from collections.abc import Callable
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from environ import Env

env = Env()

ON = frozenset({"on", "true", "yes", "1"})
OFF = frozenset({"off", "false", "no", "0"})


def switch(name: str, *, default: bool) -> bool:
    """Return an on/off value. Raise ImproperlyConfigured for any other value.

    django-environ reads every unknown word as False. So `SECURE=ture` would switch a protection off, and nobody would
    notice.
    """
    raw = str(env.str(name, default="on" if default else "off")).strip().lower()
    if raw in ON:
        return True
    if raw in OFF:
        return False
    raise ImproperlyConfigured(f"{name} must be on or off, not {raw!r}.")


def whole_number(name: str, *, default: int, least: int = 0, most: int | None = None) -> int:
    """Return an integer from `least` to `most`."""
    raw = str(env.str(name, default=str(default))).strip()
    try:
        value = int(raw)
    except ValueError:
        raise ImproperlyConfigured(f"{name} must be a whole number, not {raw!r}.") from None
    if value < least or (most is not None and value > most):
        bounds = f"at least {least}" if most is None else f"between {least} and {most}"
        raise ImproperlyConfigured(f"{name} must be {bounds}, not {value}.")
    return value


def seconds(name: str, *, default: int, most: int | None = None) -> int:
    """Return a number of seconds from 1 to `most`."""
    return whole_number(name, default=default, least=1, most=most)


def seconds_list(name: str, *, default: list[int]) -> list[int]:
    """Return a list of increasing numbers of seconds, which is written as `1800,3600`."""
    raw = str(env.str(name, default=",".join(map(str, default))))
    try:
        values = [int(part) for part in raw.split(",") if part.strip()]
    except ValueError:
        raise ImproperlyConfigured(
            f"{name} must be numbers of seconds with commas between them, not {raw!r}."
        ) from None
    if any(value < 1 for value in values) or values != sorted(set(values)):
        raise ImproperlyConfigured(f"{name} must be numbers of seconds in increasing order, not {raw!r}.")
    return values


def words(name: str, *, default: list[str]) -> list[str]:
    """Return the parts of a comma-separated value."""
    raw = str(env.str(name, default=",".join(default)))
    return [part.strip() for part in raw.split(",") if part.strip()]


def networks(name: str) -> list[IPv4Network | IPv6Network]:
    """Return the networks of a comma-separated value. A single address is a network too. The default is no network."""
    found = []
    for word in words(name, default=[]):
        try:
            found.append(ip_network(word))
        except ValueError:
            raise ImproperlyConfigured(
                f"{name} must be networks like 10.2.0.0/16, with commas between them, not {word!r}."
            ) from None
    return found


def choice(name: str, *, default: str, allowed: tuple[str, ...]) -> str:
    """Return one of the allowed words."""
    raw = str(env.str(name, default=default)).strip()
    if raw not in allowed:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(allowed)}, not {raw!r}.")
    return raw


def text(name: str, *, default: str = "") -> str:
    """Return a value unchanged."""
    return str(env.str(name, default=default))


#: The names of the settings that `secret` has read. Each of them can also be given as a file.
SECRETS: set[str] = set()
IN_FILE = "_FILE"
MOST_SECRET_BYTES = 64 * 1024


def secret(name: str, *, default: str = "") -> str:
    """Return a secret: the value of the setting `name`, or the content of the file that the setting NAME_FILE names.

    A value in the environment can be read in the list of processes, in crash reports and with `docker inspect`. The
    content of a file is in none of them, because it never becomes a part of the environment.
    """
    SECRETS.add(name)
    path = text(f"{name}{IN_FILE}").strip()
    if not path:
        return text(name, default=default)
    if text(name):
        raise ImproperlyConfigured(f"Both {name} and {name}{IN_FILE} are set. Remove one of them.")
    return _content_of(name, Path(path))


def secret_words(name: str) -> list[str]:
    """Return the parts of a secret with commas between them."""
    return [part.strip() for part in secret(name).split(",") if part.strip()]


def _content_of(name: str, path: Path) -> str:
    """Return the file's text without the line break at its end. No error quotes the content."""
    try:
        with path.open("rb") as handle:
            raw = handle.read(MOST_SECRET_BYTES + 1)
        found = raw.decode().strip()
    except OSError as failure:
        raise ImproperlyConfigured(f"{name}{IN_FILE}: the file {path} can't be read ({failure.strerror}).") from None
    except UnicodeDecodeError:
        raise ImproperlyConfigured(f"{name}{IN_FILE}: the file {path} is not text.") from None
    if not found or len(raw) > MOST_SECRET_BYTES or "\0" in found:
        raise ImproperlyConfigured(f"{name}{IN_FILE}: the file {path} is empty, too long or not text.")
    return found


def http_address(name: str, *, default: str) -> str:
    """Return an http or https address. A slash at its end is removed."""
    raw = text(name, default=default).strip().rstrip("/")
    try:
        parts = urlsplit(raw)
        is_sound = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:  # a port that is not a number, or half of an IPv6 address
        is_sound = False
    if not is_sound or parts.username is not None or parts.query or parts.fragment:
        raise ImproperlyConfigured(f"{name} must be an address like https://lockbox.example.com, not {raw!r}.")
    return raw


def url_of(name: str, read: Callable[[str], dict[str, Any]], *, default: str) -> dict[str, Any]:
    """Return what `read` makes of the secret `name`, which is an address with a scheme.

    If `read` fails, the error does not quote the address, because it may contain a password.
    """
    address = secret(name, default=default)
    try:
        with warnings.catch_warnings():
            # django-environ prints a warning of two lines about an unknown scheme.
            warnings.simplefilter("error")
            return read(address)
    except (ImproperlyConfigured, ValueError, KeyError, UserWarning):
        example = default.partition(":")[0]
        raise ImproperlyConfigured(
            f"{name} can't be used. It must begin with a known scheme, for example {example}://."
        ) from None


def directory(path: Path) -> Path:
    """Return the directory, after making it if it is missing."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as failure:
        raise ImproperlyConfigured(
            f"The directory {path} can't be made ({failure.strerror}). Check DATA_DIR."
        ) from None
    return path


def secret_in_file(path: Path) -> str:
    """Return the secret in the file `path`. The first call makes the file, which only its owner can read.

    The secret is first written to another file, and a hard link gives the complete file its name. This fails if the
    name exists. So two processes that start at the same time get the same secret, and neither reads half a file.
    """
    try:
        return _secret_in(path)
    except OSError as failure:
        raise ImproperlyConfigured(f"The file {path} can't be used ({failure.strerror}). Check DATA_DIR.") from None


def _secret_in(path: Path) -> str:
    if not path.exists():
        draft = directory(path.parent) / f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as handle:
            handle.write(secrets.token_urlsafe(64))
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()
