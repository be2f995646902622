"""Reads RFC 5322 headers in linear time, without errors, even if a sender made them to do harm.

The standard library's parser raises a dozen kinds of exception on hostile headers. In several cases it takes quadratic
time, so that a page of 500 messages could take minutes.
"""

import binascii
import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote_to_bytes

from requests_app.content.connectors._text import decode, one_line

Headers = dict[str, str]

_VALUE_LENGTH = 8192
_PARAMETER_LENGTH = 4096
# One search for each wanted name, not one step for each line: a block of headers can have 20,000 lines.
_FIELDS = {
    name: re.compile(rb"^%s[ \t]{0,8}:" % name.encode(), re.IGNORECASE | re.MULTILINE)
    for name in (
        "from",
        "to",
        "cc",
        "date",
        "subject",
        "message-id",
        "content-type",
        "content-disposition",
        "content-transfer-encoding",
    )
}
_NOT_BASE64 = bytes(set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"))
_VALUE = re.compile(rb"[^\n]*(?:\n[ \t][^\n]*)*")
_ENCODED_WORD = re.compile(r"=\?([A-Za-z0-9_.:-]{1,40})(?:\*[A-Za-z0-9-]{0,40})?\?([BbQq])\?([^?\r\n]*)\?=")
_BETWEEN_WORDS = re.compile(r"(?<=\?=)\s+(?==\?)")
# An unclosed quote takes all the text that follows. Otherwise each further quote would be searched to the end again.
_PARAMETER = re.compile(r""";\s*([^\s=;"]{1,80})\s*=\s*(?:"((?:[^"\\]|\\.)*+)(?:"|\\?\Z)|([^;\s]*))""", re.DOTALL)
_MEDIA_TYPE = re.compile(r"\s*([a-z0-9!#$&^_.+-]{1,64}/[a-z0-9!#$&^_.+-]{1,64})\s*(?:;|\Z)")
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,250}>\Z")


def parse(block: bytes) -> Headers:
    """Return the known headers, with lower-case names. If a header occurs several times, its first value counts.

    Each value is unfolded, cut at 8 KiB, and not yet decoded.
    """
    found: Headers = {}
    for name, pattern in _FIELDS.items():
        match = pattern.search(block)
        if match:
            value = _VALUE.match(block[match.end() : match.end() + _VALUE_LENGTH])
            found[name] = decode(re.sub(rb"\r?\n", b"", value[0]).strip()) if value else ""
    return found


def decoded(value: str) -> str:
    """Decode the encoded words of RFC 2047 in a value. Return the value as one line of clean text."""
    value = _BETWEEN_WORDS.sub("", value)
    pieces: list[str] = []
    pending, pending_charset, end = b"", "", 0
    for match in _ENCODED_WORD.finditer(value):
        raw, charset = _word_bytes(match[2], match[3]), match[1].lower()
        # Senders cut multi-byte characters between adjacent words, so words with the same charset are joined before
        # decoding.
        if match.start() != end or charset != pending_charset:
            pieces += [decode(pending, pending_charset), value[end : match.start()]]
            pending = b""
        pending, pending_charset, end = pending + raw, charset, match.end()
    pieces += [decode(pending, pending_charset), value[end:]]
    return one_line("".join(pieces))


def _word_bytes(encoding: str, text: str) -> bytes:
    data = text.encode("utf-8", "replace")
    if encoding in "Qq":
        return binascii.a2b_qp(data, header=True)
    return base64_bytes(data)


def alphabet_only(data: bytes) -> bytes:
    """Return the data without the bytes that are not in base64's alphabet.

    A translation table is fast even if it removes every other byte.
    """
    return data.translate(None, _NOT_BASE64)


def base64_bytes(data: bytes) -> bytes:
    """Decode base64, as far as possible: the data may be cut, or may not be base64 at all."""
    digits = alphabet_only(data)
    if len(digits) % 4 == 1:
        digits = digits[:-1]
    return binascii.a2b_base64(digits + b"=" * (-len(digits) % 4))


def media_type(headers: Headers, default: str = "text/plain") -> str:
    """Return the media type that the headers declare, without its parameters.

    Return `default` if none is declared, and application/octet-stream if the declared type is invalid.
    """
    value = headers.get("content-type")
    if value is None:
        return default
    match = _MEDIA_TYPE.match(value.lower())
    return match[1] if match else "application/octet-stream"


def parameters(value: str) -> dict[str, str]:
    """Return the decoded parameters of a Content-Type or Content-Disposition, including those of RFC 2231."""
    found: dict[str, str] = {}
    pieces: dict[str, dict[int, tuple[bool, str]]] = {}
    for match in _PARAMETER.finditer(value[:_PARAMETER_LENGTH]):
        name = match[1].lower()
        text = match[3] if match[2] is None else re.sub(r"\\(.)", r"\1", match[2], flags=re.DOTALL)
        base, star, rest = name.partition("*")
        if not star:
            found.setdefault(name, decoded(text))
            continue
        number = rest.removesuffix("*")
        index = int(number) if number.isdecimal() and len(number) < 4 else 0
        pieces.setdefault(base, {}).setdefault(index, (rest.endswith("*") or not rest, text))
    return {**found, **{name: _joined(numbered) for name, numbered in pieces.items()}}


def _joined(numbered: dict[int, tuple[bool, str]]) -> str:
    raw, charset = b"", ""
    for position, index in enumerate(sorted(numbered)):
        is_encoded, text = numbered[index]
        if is_encoded and position == 0 and text.count("'") >= 2:
            charset, _language, text = text.split("'", 2)
        raw += unquote_to_bytes(text) if is_encoded else text.encode("utf-8", "replace")
    return one_line(decode(raw, charset))


def message_id(headers: Headers) -> str:
    """Return the Message-ID if it is well formed, and otherwise an empty string. The log can contain the result."""
    value = headers.get("message-id", "").strip()
    return value if _MESSAGE_ID.match(value) else ""


def sent_at(headers: Headers) -> datetime | None:
    """Return the message's Date in UTC, or None if it is missing or can't be read."""
    try:
        stated = parsedate_to_datetime(headers.get("date", "")[:100])
        return (stated if stated.tzinfo else stated.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
