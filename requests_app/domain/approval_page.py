"""Checks the address of a customer's own approval page, and the site to which the passkeys of that page belong.

Pure.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from django.utils.translation import gettext as _

from requests_app.domain.errors import Unacceptable

MOST = 253 + len("https://") + len(":65535")
_HOST = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\Z")


def origin_of(text: str, *, providers_host: str, needs_tls: bool) -> str:
    """Return the text as an origin, in the form that browsers use (RFC 6454).

    Raise Unacceptable for any other text. `providers_host` is the host of this product's own pages. The
    customer's page can't have this host.
    """
    text = text.strip().rstrip("/")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise _unfit() from None
    host = parts.hostname or ""
    if len(text) > MOST or parts.scheme not in ("https", "http") or not _HOST.match(host):
        raise _unfit()
    usual = {"https": 443, "http": 80}[parts.scheme]
    origin = f"{parts.scheme}://{host}" + (f":{port}" if port not in (None, usual) else "")
    if text.lower() not in (origin, f"{parts.scheme}://{host}:{usual}"):
        raise _unfit()
    if parts.scheme == "http" and (needs_tls or not _is_this_machine(host)):
        raise Unacceptable(_("The page must be served by https."), field="origin")
    if host == providers_host:
        raise Unacceptable(_("The provider’s own pages have this address. Enter another one."), field="origin")
    return origin


def rp_id_of(text: str, *, origin: str, providers_host: str) -> str:
    """Return the RP ID for the passkeys of the page at this origin (WebAuthn, section 5.1.3).

    The RP ID is the host of the page, or a parent domain of that host. Raise Unacceptable for any other text.
    """
    host = urlsplit(origin).hostname or ""
    rp_id = text.strip().lower() or host
    if not _HOST.match(rp_id) or (host != rp_id and not host.endswith(f".{rp_id}")):
        raise Unacceptable(_("Enter the host name of the page, or the end of that host name."), field="rp_id")
    if "." not in rp_id:
        raise Unacceptable(
            _("A host name of one word belongs to nobody. Enter a name with at least one dot."), field="rp_id"
        )
    if providers_host == rp_id or providers_host.endswith(f".{rp_id}"):
        raise Unacceptable(_("The provider’s own pages could use these keys too. Enter another name."), field="rp_id")
    return rp_id


def _is_this_machine(host: str) -> bool:
    return host == "localhost" or host.endswith(".localhost")


def _unfit() -> Unacceptable:
    return Unacceptable(
        _("Write the address like https://approvals.example.com, with nothing after it."), field="origin"
    )
