"""Reads and writes single objects in an S3 store: path-style addresses, signature version 4, conditional writes.

This is all that the heads of the logs need, so there is no S3 library. Redirects are not followed. An answer that did
not arrive, or that is a fault of the server (5xx), raises `Unknown`: the write may have happened, or may still happen.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import http.client
import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, urlencode, urlsplit
from xml.etree import ElementTree  # the answer comes from the operator's own store

#: One call takes at most so long, at each wait for the network. Connecting is one wait, for all addresses together.
TIMEOUT: float = 10
#: An object that is longer than this is not one of ours.
MOST_BYTES = 1 << 20
#: Between this many objects, a listing needs another call.
_PAGE = 1000


class StoreFault(OSError):
    """The store refused the call. Its words are in the error; no key is."""


class Unknown(StoreFault):
    """No answer, or a fault of the server. Whether the call had an effect is not known."""


class Conflict(StoreFault):
    """The condition of a write was not met, so nothing was written."""


@dataclass(frozen=True)
class Bucket:
    """A place in an S3 store, and the key for it."""

    endpoint: str
    bucket: str
    region: str
    access_key: str
    secret_key: str = field(repr=False)
    #: This machine's clock. A store refuses a call that is off by more than 15 minutes.
    now: Callable[[], dt.datetime] = field(repr=False)
    ca_file: str = ""

    def get(self, name: str) -> tuple[bytes, str] | None:
        """Return the object's bytes and its ETag, or None if there is no such object."""
        status, headers, body = self._call("GET", name)
        if status == 404:
            # A store also answers 404 if the bucket is missing.
            if b"NoSuchBucket" in body:
                raise StoreFault(f"the bucket {self.bucket} does not exist")
            return None
        self._require(status, body, 200)
        return body, headers.get("etag", "")

    def put(self, name: str, body: bytes, *, after: str | None) -> None:
        """Write the object if its ETag is still `after`, or, with None, if there is no such object yet.

        Raise Conflict if the condition is not met, and Unknown if the answer does not say what happened.
        """
        condition = {"if-match": after} if after is not None else {"if-none-match": "*"}
        status, _headers, answer = self._call("PUT", name, body=body, headers=condition)
        # 404: the object that the condition is about is gone. 409: S3 saw another conditional write at the same time.
        if status == 412 or (status == 404 and after is not None and b"NoSuchBucket" not in answer):
            raise Conflict("the object was written by somebody else")
        if status == 409:
            raise Unknown("the store saw two writes at the same time")
        self._require(status, answer, 200, 201, 204)

    def delete(self, name: str) -> None:
        status, _headers, body = self._call("DELETE", name)
        self._require(status, body, 200, 204, 404)

    def names(self, prefix: str) -> Iterator[str]:
        """Yield the names of all objects that begin with the prefix."""
        token = ""
        while True:
            query = {"list-type": "2", "max-keys": str(_PAGE), "prefix": prefix}
            if token:
                query["continuation-token"] = token
            status, _headers, body = self._call("GET", "", query=query)
            self._require(status, body, 200)
            try:
                found = ElementTree.fromstring(body)  # noqa: S314  # the answer comes from the operator's own store
            except ElementTree.ParseError as error:
                raise StoreFault("the store's list of objects can't be read") from error
            space = found.tag.partition("}")[0] + "}" if found.tag.startswith("{") else ""
            for each in found.iter(f"{space}Key"):
                yield each.text or ""
            token = found.findtext(f"{space}NextContinuationToken") or ""
            if found.findtext(f"{space}IsTruncated") != "true" or not token:
                return

    @staticmethod
    def _require(status: int, body: bytes, *good: int) -> None:
        if status in good:
            return
        words = f"the store answers {status} {_code(body)}".strip()
        raise Unknown(words) if status >= 500 else StoreFault(words)

    def _call(
        self,
        method: str,
        name: str,
        *,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        query: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        parts = urlsplit(self.endpoint)
        path = quote(f"{parts.path.rstrip('/')}/{self.bucket}" + (f"/{name}" if name else ""), safe="/-_.~")
        asked = urlencode(sorted((query or {}).items()), quote_via=quote, safe="-_.~")
        signed = self._signed(method, parts.netloc, path, asked, body, headers or {})
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        try:
            connection.sock = self._connected(parts.scheme, parts.hostname or "", parts.port)
            connection.request(method, f"{path}?{asked}" if asked else path, body=body or None, headers=signed)
            answer = connection.getresponse()
            found = answer.read(MOST_BYTES + 1)
            # With a limit, http.client returns a body that was cut off without an error.
            if answer.length and len(found) <= MOST_BYTES:
                raise http.client.IncompleteRead(found, answer.length)
            return answer.status, {key.lower(): value for key, value in answer.getheaders()}, found
        except ssl.SSLCertVerificationError as error:
            raise StoreFault(f"the store's certificate is not accepted: {error.verify_message}") from error
        except (OSError, http.client.HTTPException) as error:
            raise Unknown(f"the store does not answer ({type(error).__name__})") from error
        finally:
            connection.close()

    def _connected(self, scheme: str, host: str, port: int | None) -> socket.socket:
        plain = _connected(host, port or (80 if scheme == "http" else 443))
        if scheme == "http":
            return plain
        context = ssl.create_default_context(cafile=self.ca_file or None)
        try:
            return context.wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise

    def _signed(
        self, method: str, host: str, path: str, query: str, body: bytes, headers: dict[str, str]
    ) -> dict[str, str]:
        """Return the headers with a signature (AWS Signature Version 4), which has the present time."""
        at = self.now().astimezone(dt.UTC)
        stamp, day = at.strftime("%Y%m%dT%H%M%SZ"), at.strftime("%Y%m%d")
        digest = hashlib.sha256(body).hexdigest()
        sent = {**headers, "host": host, "x-amz-content-sha256": digest, "x-amz-date": stamp}
        names = ";".join(sorted(sent))
        lines = "".join(f"{name}:{sent[name].strip()}\n" for name in sorted(sent))
        canonical = f"{method}\n{path}\n{query}\n{lines}\n{names}\n{digest}"
        scope = f"{day}/{self.region}/s3/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        key = f"AWS4{self.secret_key}".encode()
        for part in (day, self.region, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        signature = hmac.digest(key, text.encode(), "sha256").hex()
        credential = f"{self.access_key}/{scope}"
        proof = f"AWS4-HMAC-SHA256 Credential={credential}, SignedHeaders={names}, Signature={signature}"
        return {**sent, "authorization": proof}


def _connected(host: str, port: int) -> socket.socket:
    """Connect to the first address that answers.

    `socket.create_connection` waits for each address in full. The name of a store can have many, and after a cut of
    the network none of them answers.
    """
    fault = OSError("the name has no address")
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for family, kind, protocol, _name, address in found:
        made = socket.socket(family, kind, protocol)
        try:
            made.settimeout(TIMEOUT / len(found))
            made.connect(address)
            made.settimeout(TIMEOUT)
            # Without this, the body of a write waits until the store has acknowledged the headers.
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return made
        except OSError as error:
            made.close()
            fault = error
    raise fault


def _code(body: bytes) -> str:
    """Return the code in an error's document, for the operator's log."""
    code = body.partition(b"<Code>")[2].partition(b"</Code>")[0]
    return code[:60].decode(errors="replace") if code.isalnum() else ""
