"""Makes the WSGI environment (PEP 3333) of a request from the RSGI scope that the web server passes."""

from __future__ import annotations

import io
import sys
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig

from lockbox_site.middleware import client_address
from requests_app.identity.guesses import network_of
from requests_app.platform import waiting

_PROTOCOLS = {"1": "HTTP/1.0", "1.1": "HTTP/1.1", "2": "HTTP/2"}
#: The key with the names of the headers that are left out because of underscores.
LEFT_OUT = "lockbox.left_out"
_FIXED: dict[str, Any] = {
    "SCRIPT_NAME": "",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": True,
    "wsgi.run_once": False,
    waiting.KEY: True,
}


class TooLong(io.RawIOBase):
    """Replaces the body of an HTTP request that is too long: longer than any valid request of this product.

    The server does not read such a body. Code that reads this replacement gets RequestDataTooBig.
    """

    def readable(self) -> bool:
        return True

    def readinto(self, _buffer: object) -> int:
        raise RequestDataTooBig("The body is longer than this server accepts.")


def environ_of(scope: Any, body: bytes | None, length: int | None) -> dict[str, Any]:
    """Return the environment. A `body` of None means that it was too long. `length` is the declared length, or None."""
    server, _colon, port = scope.server.rpartition(":")
    environ: dict[str, Any] = {
        **_FIXED,
        "REQUEST_METHOD": scope.method,
        "PATH_INFO": _as_latin(scope.path),
        "QUERY_STRING": _as_latin(scope.query_string),
        "SERVER_PROTOCOL": _PROTOCOLS.get(scope.http_version, "HTTP/1.1"),
        "SERVER_NAME": server.strip("[]"),
        "SERVER_PORT": port,
        "REMOTE_ADDR": _peer(scope),
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": io.BytesIO(body) if body is not None else io.BufferedReader(TooLong()),
    }
    headers = scope.headers
    for name in headers.keys():  # noqa: SIM118 - not a dict
        if "_" in name:
            # A header with underscores would look like the header with hyphens, which a proxy may have set.
            environ[LEFT_OUT] = f"{environ.get(LEFT_OUT, '')},{name}"
            continue
        # Values that are not ASCII are left out.
        value = (";" if name == "cookie" else ",").join(headers.get_all(name))
        key = name.upper().replace("-", "_")
        environ[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
    if length is not None:
        environ["CONTENT_LENGTH"] = str(length)
    return environ


class Unreadable(Exception):
    """The headers that proxies write can't be read. This happens only if a caller has changed them."""


def address_of(scope: Any) -> str:
    """Return the address of the client, as the outermost proxy saw it.

    Raise Unreadable if the proxies' headers are damaged. Otherwise the request would be charged to the proxy.
    """
    headers, name = scope.headers, "x-forwarded-for"
    values = headers.get_all(name) if name in headers else []
    if name in headers and not values and settings.TRUSTED_PROXY_COUNT:
        raise Unreadable
    forwarded = ",".join(values)
    return client_address({"REMOTE_ADDR": _peer(scope), "HTTP_X_FORWARDED_FOR": forwarded})


@lru_cache(maxsize=1024)
def caller_at(address: str) -> str:
    """Return the client that is charged for the requests of this address: its network."""
    return network_of(address)


def _peer(scope: Any) -> str:
    return str(scope.client.rpartition(":")[0].strip("[]"))


def _as_latin(text: str) -> str:
    return text if text.isascii() else text.encode().decode("latin-1")
