"""Finds web addresses in text that people wrote, and the host that each address really leads to."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import idna

#: An address ends before a backslash: a browser reads a backslash as a slash, and so finds another host than Python.
_ADDRESS = re.compile(r"(?<![\w/.@+-])https?://[^\s<>\"\\]+", re.IGNORECASE)
_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?\.?|\[[0-9a-f:.]+\]")
#: Punctuation that can follow an address in a sentence and is not a part of the address.
_TRAILING = frozenset(".,;:!?'*_~|…’‘”“»«›‹、。，；：！？）】」』》〉")
_BRACKETS = {")": "(", "]": "[", "}": "{"}


@dataclass(frozen=True)
class Link:
    """An address in a text.

    `before`, `written_host` and `after` are the three parts of the address as somebody wrote it.

    `address` is where the link leads: to `host`, in ASCII, without user name or password.
    """

    address: str
    host: str
    before: str
    written_host: str
    after: str

    @property
    def is_plain(self) -> bool:
        """Whether a reader can see the real host in the address as it is written."""
        return "@" not in self.before and self.written_host.lower() == self.host


def parts(text: str, *, ends: re.Pattern[str]) -> Iterator[str | Link]:
    """Yield the parts of the text in order: plain text, and a Link for each address.

    An address ends before the first match of `ends`.
    """
    at = 0
    for match in _ADDRESS.finditer(text):
        written = ends.split(match[0], maxsplit=1)[0]
        link = _link(written[: _end_of(written)])
        if link is None:
            continue
        yield text[at : match.start()]
        yield link
        at = match.start() + len(link.before + link.written_host + link.after)
    yield text[at:]


def _end_of(written: str) -> int:
    """Return where an address ends: before the punctuation at its end.

    A closing bracket is not a part of the address if it was opened before the address.
    """
    spare = {closes: written.count(closes) - written.count(opens) for closes, opens in _BRACKETS.items()}
    end = len(written)
    while end:
        last = written[end - 1]
        if spare.get(last, 0) > 0:
            spare[last] -= 1
        elif last not in _TRAILING:
            break
        end -= 1
    return end


def _link(written: str) -> Link | None:
    """Return the link for an address, or None if the address is invalid or a browser might go to another host."""
    try:
        found = urlsplit(written)
        port = found.port
    except ValueError:
        return None
    user, at_sign, place = found.netloc.rpartition("@")
    written_host = place if port is None else place[: place.rindex(":")]
    written_host = written_host.removesuffix(":")
    host = _ascii(written_host)
    if host is None:
        return None
    before = written[: written.index("//") + 2] + user + at_sign
    after = written[len(before) + len(written_host) :]
    rest = after[len(place) - len(written_host) :]
    address = f"{found.scheme}://{host}{f':{port}' if port is not None else ''}{rest}"
    return Link(address, host, before, written_host, after)


def _ascii(host: str) -> str | None:
    """Return the host as a browser requests it: with letters of other alphabets as `xn--…`.

    Return None if the host is invalid.
    """
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode()
        except (idna.IDNAError, UnicodeError):
            return None
    host = host.lower()
    return host if _HOST.fullmatch(host) else None
