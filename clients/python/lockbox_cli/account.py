"""Chooses which token is sent to which server.

Both come from the environment, or from a file that only its owner reads.
"""

from __future__ import annotations

import json
import os
import stat
import tempfile
from dataclasses import asdict, dataclass
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from lockbox_cli.errors import NotSignedIn, Usage


@dataclass
class Account:
    """How the program signs in: with a personal token, or with a client's id and secret.

    A client also has its last access token.
    """

    url: str
    token: str = ""
    client_id: str = ""
    client_secret: str = ""
    #: When `token` stops working, in seconds since the epoch; 0 if this is not known.
    token_until: float = 0


def address(given: str) -> str:
    """Return the origin of an installation. Raise an error for an address without TLS, except on this machine.

    Without TLS, others could read the token.
    """
    parts = urlsplit(given.strip().rstrip("/"))
    try:
        _port = parts.port
    except ValueError as error:
        raise Usage("The address has an invalid port.") from error
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise Usage("The address must begin with https:// and name a host.")
    if parts.username is not None or parts.query or parts.fragment or parts.path:
        raise Usage("The address must have only a scheme and a host, as in https://lockbox.example.")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise Usage("The address must begin with https://. Use http:// only for this machine.")
    return f"{parts.scheme}://{parts.netloc}"


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def path() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME", "")
    # The XDG Base Directory Specification says: ignore a path that is not absolute.
    return (Path(base) if os.path.isabs(base) else Path.home() / ".config") / "lockbox" / "account.json"


def current() -> Account:
    """Return the account to use. A stored token is only ever sent to the address for which it was stored."""
    url, token = os.environ.get("LOCKBOX_URL", "").strip(), os.environ.get("LOCKBOX_TOKEN", "").strip()
    stored = read()
    if token:
        if not url and stored is None:
            raise NotSignedIn("LOCKBOX_TOKEN is set, but LOCKBOX_URL is not. Set both.")
        return Account(url=address(url or (stored.url if stored else "")), token=token)
    if stored is None:
        raise NotSignedIn("You are not signed in. Sign in: lockbox login")
    if url and address(url) != stored.url:
        raise NotSignedIn("You are signed in, but not at LOCKBOX_URL. Sign in there: lockbox login")
    return stored


def read() -> Account | None:
    try:
        with path().open(encoding="utf-8") as file:
            if os.name == "posix" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
                raise NotSignedIn(f"Other users can read {path()}. Sign in again: lockbox login")
            found = Account(**json.load(file))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        raise NotSignedIn(f"{path()} can't be read. Sign in again: lockbox login") from error
    found.url = address(found.url)
    return found


def store(account: Account) -> None:
    """Store the account in its file. The file is never half-written, and no other user can read it at any moment."""
    place = path()
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=".account-")  # made with mode 0600
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(account), file)
        os.replace(name, place)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def forget() -> bool:
    try:
        path().unlink()
    except FileNotFoundError:
        return False
    return True
