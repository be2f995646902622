"""What a guard reports, and what its texts can be. Pure.

An item is a method and the pattern of a path, such as "GET /w/{id}/pages". The value of a parameter could be content,
so it must not get into the log. Nobody can see from a text alone whether a part of it is a pattern. So a query is
refused, and a part that looks like a value (a number, a UUID, a long hexadecimal number, or anything with "@" or "%")
is replaced. A word, such as a name, can't be recognised.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from uuid import UUID

from django.utils.translation import gettext_lazy as _

from requests_app.domain import limits
from requests_app.domain.errors import Unacceptable

#: A method, a space, and a path in printable ASCII without a query and without a fragment.
_ITEM = re.compile(r'([A-Z]{1,20}) (/[!-"$->@-~]*)')
_VALUE = re.compile(r"\d+|[0-9a-fA-F]{8}-[0-9a-fA-F-]{27}|[0-9a-fA-F]{16,}|.*[@%].*")
_TEXT = re.compile(r"[!-~]*")
_CODE = re.compile(r"[a-z0-9_]*")
#: What replaces a part of a path that looks like a value.
HIDDEN = "{value}"
#: The methods of HTTP and of WebDAV, and what a guard calls a WebSocket. Another one becomes OTHER.
METHODS = frozenset((
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY", "SEARCH", "REPORT",
    "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK", "WEBSOCKET",
))  # fmt: skip
OTHER_METHOD = "OTHER"
#: Why a guard refuses a request or cuts an answer. Another text becomes "other", because it could be any words.
CODES = frozenset((
    "no_token", "invalid_token", "token_ended", "keys_unavailable", "feed_silent", "window_closed", "window_ended",
    "other_engineer", "out_of_scope", "level_too_low", "queue_unavailable", "queue_full", "method_override",
    "elapsed", "closed", "silent",
    # In the place of an access that Lockbox has refused to take in.
    "not_taken_in",
))  # fmt: skip
OTHER_CODE = "other"


class Kind(StrEnum):
    """What happened to a request in the application: it was answered, refused, or interrupted at the window's end."""

    ACCESS = "access"
    REFUSED = "refused"
    CUT = "cut"


@dataclass(frozen=True, slots=True)
class ReportedAccess:
    """One request in the application, as its guard tells it."""

    grant: UUID
    resource: UUID
    engineer: UUID
    jti: str
    action: str
    item: str
    at: datetime
    kind: Kind
    code: str


@dataclass(frozen=True)
class Report:
    """Some accesses of one guard, in their order. `first` is the number of the first, and `backlog` how many follow.

    A guard makes a new `life` each time it begins to report. `former` are the earlier lives of the same queue, or None
    if the guard does not say.
    """

    guard: UUID
    life: UUID
    version: str
    first: int
    backlog: int
    accesses: Sequence[ReportedAccess]
    former: frozenset[UUID] | None = None


@dataclass(frozen=True)
class Acknowledged:
    """The number of the last access that is in the log or was rejected, and how many of this report were rejected."""

    number: int
    rejected: int


@lru_cache(maxsize=4096)
def item(text: str) -> str:
    """Return the method and the pattern of a path, with parts that look like a value replaced. Raise Unacceptable."""
    found = _ITEM.fullmatch(text) if len(text) <= limits.REPORTED_ITEM_MAX else None
    if found is None:
        raise Unacceptable(
            _("An item is a method and the pattern of a path in ASCII, without a query: GET /documents/{id}"),
            field="item",
        )
    parts = (HIDDEN if _VALUE.fullmatch(part) else part for part in found[2].split("/"))
    return f"{found[1] if found[1] in METHODS else OTHER_METHOD} {'/'.join(parts)}"


@lru_cache(maxsize=4096)
def code(text: str) -> str:
    """Return the code, or another word for one that is not known. Raise Unacceptable."""
    return found if (found := _checked(text, _CODE, "code")) in CODES or not found else OTHER_CODE


def jti(text: str) -> str:
    return _checked(text, _TEXT, "jti")


def _checked(text: str, pattern: re.Pattern[str], field: str) -> str:
    if len(text) > limits.REPORTED_TEXT_MAX or not pattern.fullmatch(text):
        raise Unacceptable(_("The text is too long, or it has characters that are not allowed."), field=field)
    return text
