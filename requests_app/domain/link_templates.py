"""Checks the link template of an external service, and fills it: the link opens a resource in its application. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from django.utils.translation import gettext as _

from requests_app.domain import limits
from requests_app.domain.errors import Unacceptable

#: The id of the resource in the application; the tenant's external id, or its short name; the reference.
PLACEHOLDERS = ("external_id", "tenant", "access_request")

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
#: Browsers change other characters, or end an address before them. A backslash would be read as a slash.
_CHARACTERS = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%{}]*")
#: A percent sign before a placeholder would turn the first characters of an id into another character.
_BAD_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]*[a-z0-9])?", re.IGNORECASE)

#: The hosts that never leave the machine. An application on one of them needs no TLS.
LOOPBACK = frozenset({"localhost", "127.0.0.1", "[::1]"})
_USUAL_PORTS = {"https": 443, "http": 80}


def require(template: str, *, field: str) -> str:
    """Return the template. Raise Unacceptable if a filled link could lead to another host, or is no link at all."""
    if len(template) > limits.LINK_TEMPLATE_MAX:
        words = _("A link template can have at most %(max)d characters.") % {"max": limits.LINK_TEMPLATE_MAX}
        raise Unacceptable(words, field=field)
    names = set(_PLACEHOLDER.findall(template))
    if not names <= set(PLACEHOLDERS) or re.search(r"[{}]", _PLACEHOLDER.sub("", template)):
        listed = ", ".join(f"{{{name}}}" for name in PLACEHOLDERS)
        words = _("A link template can have only these placeholders: %(names)s.") % {"names": listed}
        raise Unacceptable(words, field=field)
    if not _CHARACTERS.fullmatch(template) or _BAD_PERCENT.search(template):
        words = _("A link template can have only letters, digits and signs that an address can have.")
        raise Unacceptable(words, field=field)
    if not _is_safe_place(template):
        words = _(
            "A link template must begin with https:// and a host. It can’t contain a user name or a password, and no "
            "placeholder can be in the host. It can begin with http:// only for an application on your own machine "
            "(localhost)."
        )
        raise Unacceptable(words, field=field)
    return template


def _is_safe_place(template: str) -> bool:
    """Return whether the template begins with https and a complete host, so that no id can change where it leads.

    A browser sends nothing over a network to a loopback name, so http is safe there.
    """
    try:
        found = urlsplit(template)
        port = found.port
    except ValueError:
        return False
    host = found.netloc if port is None else found.netloc.removesuffix(f":{port}")
    if found.scheme == "http" and host.lower() in LOOPBACK:
        return True
    return found.scheme == "https" and _HOST.fullmatch(host) is not None


def origin_of(template: str) -> str:
    """Return the origin of a link template as a browser writes it (RFC 6454, section 6.2), or "" for no template."""
    if not template:
        return ""
    found = urlsplit(template)
    host, port = (found.hostname or "").lower(), found.port
    if ":" in host:
        host = f"[{host}]"
    is_usual = port is None or port == _USUAL_PORTS[found.scheme]
    return f"{found.scheme}://{host}" if is_usual else f"{found.scheme}://{host}:{port}"


def path_of(link: str) -> str:
    """Return what follows the origin in a filled link. It always begins with exactly one slash."""
    found = urlsplit(link)
    return urlunsplit(("", "", "/" + found.path.lstrip("/"), found.query, found.fragment))


def fill(template: str, values: Mapping[str, str]) -> str:
    """Return the link. Return "" if the template is empty, or if a value could lead to another page of the application.

    Each value is percent-encoded, so it stays inside its part of the address. Only dots can't be encoded: browsers read
    a part of the path that is ".", ".." or "%2e" as the directory itself or the one above it.
    """
    filled = _PLACEHOLDER.sub(lambda match: quote(values[match[1]], safe=""), template)
    path, path_before = urlsplit(filled).path.split("/"), urlsplit(template).path.split("/")
    parts = zip(path, path_before, strict=True)
    if any(unquote(part) in (".", "..") for part, before in parts if part != before):
        return ""
    return filled
