"""A strict reader of the Common Event Format, written from "Implementing ArcSight CEF" (version 0 of the format).

It reads one character after the other, and accepts only what the format defines: seven header fields, escapes where
they are allowed, keys of letters and digits, and known keys with the type and length of the extension dictionary.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

#: Fields of the extension dictionary that the product uses. The value is the maximum length of a text, or `int` for a
#: whole number.
DICTIONARY: dict[str, int | type[int]] = {
    "act": 63,
    "cat": 1023,
    "deviceFacility": 1023,
    "duid": 1023,
    "duser": 1023,
    "externalId": 40,
    "fname": 1023,
    "outcome": 63,
    "reason": 1023,
    "rt": int,
    "sourceServiceName": 1023,
    "suid": 1023,
    "suser": 1023,
    **{f"cn{number}": int for number in (1, 2, 3)},
    **{f"cn{number}Label": 1023 for number in (1, 2, 3)},
    **{f"cs{number}": 4000 for number in range(1, 7)},
    **{f"cs{number}Label": 1023 for number in range(1, 7)},
}
#: The form of a vendor's field: "VendornameProductnameExplanatoryKeyName", alphanumeric, of any length.
CUSTOM = re.compile(r"CustomerLockbox[A-Z][A-Za-z0-9]*")


class NotCef(ValueError):
    pass


@dataclass
class Event:
    version: int
    vendor: str
    product: str
    product_version: str
    signature: str
    name: str
    severity: int
    extension: dict[str, str] = field(default_factory=dict)

    def labelled(self) -> dict[str, str]:
        """Return the values of the custom fields by their labels."""
        found = self.extension
        return {found[f"{key}Label"]: value for key, value in found.items() if f"{key}Label" in found}


def read(line: str) -> Event:
    if any(mark in line for mark in "\n\r"):
        raise NotCef("one event, one line")
    parts, rest = _header(line)
    prefix, *fields, severity = parts
    if not re.fullmatch(r"CEF:[01]", prefix):
        raise NotCef(f"no prefix: {prefix!r}")
    if not all(fields) or not re.fullmatch(r"[0-9]|10", severity):
        raise NotCef("an empty header field, or a severity that is none")
    vendor, product, product_version, signature, name = fields
    found = Event(int(prefix[4:]), vendor, product, product_version, signature, name, int(severity), _extension(rest))
    for key, value in found.extension.items():
        _check(key, value)
    for key in found.extension:
        if key.endswith("Label") and key.removesuffix("Label") not in found.extension:
            raise NotCef(f"{key} names nothing")
    return found


def _header(line: str) -> tuple[list[str], str]:
    """Read seven fields, which each end with a pipe. Only a backslash and a pipe can be escaped."""
    parts, part, letters = [], "", iter(enumerate(line))
    for place, letter in letters:
        if letter == "\\":
            _, escaped = next(letters, (0, ""))
            if escaped not in ("\\", "|") or not escaped:
                raise NotCef(f"\\{escaped} in the header")
            part += escaped
        elif letter == "|":
            parts.append(part)
            part = ""
            if len(parts) == 7:
                return parts, line[place + 1 :]
        else:
            part += letter
    raise NotCef("fewer than seven header fields")


_ESCAPES = {"\\": "\\", "=": "=", "n": "\n", "r": "\r"}


def _extension(text: str) -> dict[str, str]:
    """Read pairs of key and value. A key ends at an unescaped equal sign, and begins after the space before it."""
    found: dict[str, str] = {}
    key, value, letters = "", "", iter(text)
    for letter in letters:
        if letter == "\\":
            escaped = next(letters, "")
            if escaped not in _ESCAPES:
                raise NotCef(f"\\{escaped} in a value")
            value += _ESCAPES[escaped]
        elif letter == "=":
            value, _, following = value.rpartition(" ") if key else ("", "", value)
            if key:
                found[key] = value
            key, value = following, ""
            if not re.fullmatch(r"[A-Za-z0-9]+", key) or key in found:
                raise NotCef(f"no key, or a key twice: {key!r}")
        else:
            value += letter
    if key:
        found[key] = value
    elif text:
        raise NotCef("an extension without a key")
    return found


def _check(key: str, value: str) -> None:
    kind = DICTIONARY.get(key)
    if kind is None:
        if not CUSTOM.fullmatch(key):
            raise NotCef(f"{key} is neither in the dictionary nor a custom key")
    elif kind is int:
        if not re.fullmatch(r"-?[0-9]{1,19}", value):
            raise NotCef(f"{key} is a number: {value!r}")
    elif isinstance(kind, int) and len(value) > kind:
        raise NotCef(f"{key} is longer than {kind}")
