"""Names a browser and its system for people, from the header in which the browser describes itself (User-Agent)."""

from __future__ import annotations

from collections.abc import Collection

from django.utils.translation import gettext as _

#: The first mark that is found counts, because most browsers also claim to be others.
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
)
_SYSTEMS = (
    ("Windows", "Windows"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Macintosh", "Mac"),
    ("Linux", "Linux"),
)


def passkey_name(user_agent: str, taken: Collection[str]) -> str:
    """Return a name for a passkey that this browser makes, such as "Chrome on Linux". It is not in `taken`.

    The name has only words from this module: what else the browser says about itself is not used.
    """
    name, number = _name(user_agent), 1
    while (found := name if number == 1 else f"{name} {number}") in taken:
        number += 1
    return found


def _name(user_agent: str) -> str:
    browser, system = _first(_BROWSERS, user_agent), _first(_SYSTEMS, user_agent)
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or _("Passkey")


def _first(marks: tuple[tuple[str, str], ...], user_agent: str) -> str:
    return next((name for mark, name in marks if mark in user_agent), "")
