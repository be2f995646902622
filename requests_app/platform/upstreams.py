"""Says which addresses a web tool can have, to which the proxy of this product passes requests on.

Staff name the address, so it can be private. It can never be a metadata service, an address that names no machine, or
one of this product's own.
"""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from requests_app.domain.errors import Unacceptable
from requests_app.platform import outbound
from requests_app.platform.loopback import is_loopback
from requests_app.platform.outbound import Address, BadTarget, Target

_FIELD = "gate_upstream"


def declared(text: str, *, origin: str) -> str:
    """Return the address to store: scheme, host and port. `origin` is the public origin of the tool.

    Raise Unacceptable if it is no such address, or if content would cross a network without TLS.
    """
    try:
        target = Target.parse(text, private=True)
    except BadTarget:
        target = None
    if target is None or target.path != "/":
        words = _("Write only a scheme, a host and a port, for example https://quillo.internal:8443.")
        raise Unacceptable(words, field=_FIELD)
    if not (target.is_tls or is_loopback(target.host)):
        words = _(
            "The address must begin with https://. It can begin with http:// only on your own machine (localhost)."
        )
        raise Unacceptable(words, field=_FIELD)
    if target.place == origin or not may_connect_to(target):
        raise Unacceptable(_("This address leads back to Lockbox. Write the address of the tool itself."), field=_FIELD)
    return target.place


def may_connect_to(target: Target, addresses: Iterable[Address] = ()) -> bool:
    """Return whether the proxy may connect to this target, whose name has these addresses."""
    found = list(addresses)
    if not all(outbound.is_allowed(each, private=True) for each in found):
        return False
    ours = urlsplit(settings.BASE_URL)
    if target.host == ours.hostname and target.port == (ours.port or (443 if ours.scheme == "https" else 80)):
        return False
    is_here = is_loopback(target.host) or any(each.is_loopback for each in found)
    return not (is_here and target.port in _own_ports())


def _own_ports() -> set[int]:
    database = int(settings.DATABASES["default"].get("PORT") or 0)
    return {settings.PORT, settings.TOOL_PROXY_PORT, settings.METRICS_PORT, database}
