"""Passes a request that was admitted on to its tool, and the answer back, piece by piece."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import structlog
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDict
from yarl import URL

from requests_app.domain.gate_rules import Reason
from requests_app.doors.tools import headers
from requests_app.doors.tools.deciding import UPSTREAM_DOWN, UPSTREAM_SLOW, Admitted, Asked
from requests_app.doors.tools.tunnel import Tunnel
from requests_app.doors.tools.watching import reset
from requests_app.platform import outbound, upstreams
from requests_app.platform.outbound import BadTarget, Target

log = structlog.get_logger(__name__)

#: Seconds to connect to a tool, for the next piece of its answer, and for the next piece of a request. There is no
#: limit for a WebSocket, and where a rule allows streams of events: the window ends them.
CONNECT_SECONDS, UPSTREAM_SECONDS, CLIENT_SECONDS = 10.0, 60.0, 60.0
#: The most bytes that are read at once from a connection.
PIECE = 32 * 1024
_NOT_ADDED = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class ToolFailed(Exception):
    """The tool gave no answer that can be passed on, or that may be. `reason` is a code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Resolver(AbstractResolver):
    """Resolves the name of a tool, and refuses addresses that no tool can have."""

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        rows = await loop.getaddrinfo(host, port, family=family, type=1)
        found = [(str(row[4][0]).partition("%")[0], row[0], row[2]) for row in rows]
        target = Target(is_tls=True, host=host, port=port, path="/")
        if not found or not upstreams.may_connect_to(target, [outbound.address_of(text) for text, *_rest in found]):
            raise OSError("no address of a tool")
        return [
            ResolveResult(hostname=host, host=text, port=port, family=family, proto=proto, flags=0)
            for text, family, proto in found
        ]

    async def close(self) -> None:
        """Do nothing. There is nothing to close."""


def session() -> aiohttp.ClientSession:
    """Return what calls the tools. Each request has a connection of its own, so no answer can be taken for another."""
    connector = aiohttp.TCPConnector(
        resolver=Resolver(), ssl=outbound.tls(), force_close=True, limit=0, use_dns_cache=False
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        skip_auto_headers=_NOT_ADDED,
        read_bufsize=PIECE,
        max_line_size=16 * 1024,
        max_field_size=32 * 1024,
    )


async def passed_on(
    request: web.BaseRequest, asked: Asked, admitted: Admitted, calls: aiohttp.ClientSession
) -> web.StreamResponse:
    """Pass the request on, and the answer back. Raise ToolFailed if nothing of an answer was passed back."""
    is_upgrade = headers.is_websocket(asked.method, dict(asked.headers))
    is_endless = is_upgrade or admitted.passed.allows_stream
    time = aiohttp.ClientTimeout(
        total=None, connect=CONNECT_SECONDS, sock_read=None if is_endless else UPSTREAM_SECONDS
    )
    try:
        if not upstreams.may_connect_to(Target.parse(admitted.upstream, private=True)):
            raise ToolFailed(UPSTREAM_DOWN)
        upstream = await calls.request(
            asked.method,
            URL(admitted.upstream + asked.target, encoded=True),
            headers=_for_tool(request, asked, admitted, is_upgrade=is_upgrade),
            data=_body(request),
            allow_redirects=False,
            timeout=time,
            read_until_eof=not is_upgrade,
        )
    except (TimeoutError, aiohttp.ServerTimeoutError):
        raise ToolFailed(UPSTREAM_SLOW) from None
    except (aiohttp.ClientError, BadTarget, OSError, ValueError) as error:
        log.warning("tool_unreachable", grant=str(admitted.passed.grant_id), error=type(error).__name__)
        raise ToolFailed(UPSTREAM_DOWN) from None
    try:
        if upstream.status == 101:
            return await _upgraded(request, upstream, is_wanted=is_upgrade)
        if headers.is_stream(list(upstream.headers.items())) and not admitted.passed.allows_stream:
            raise ToolFailed(Reason.STREAM_REFUSED)
        return await _answered(request, upstream)
    finally:
        upstream.close()


def _for_tool(request: web.BaseRequest, asked: Asked, admitted: Admitted, *, is_upgrade: bool) -> CIMultiDict[str]:
    pairs = list(request.headers.items())
    proof = headers.proof_in(dict(asked.headers), has_session=admitted.asker.has_session)
    of = {"identity": admitted.passed.identity, "host": asked.host, "scheme": admitted.scheme, "proof": proof}
    found = CIMultiDict(headers.for_tool(pairs, **of))
    if request.content_length is not None and not is_upgrade:
        found["Content-Length"] = str(request.content_length)
    if is_upgrade:
        found["Connection"], found["Upgrade"] = "Upgrade", "websocket"
    return found


def _body(request: web.BaseRequest) -> AsyncIterator[bytes] | None:
    return _pieces(request) if request.can_read_body else None


async def _pieces(request: web.BaseRequest) -> AsyncIterator[bytes]:
    if request.headers.get("Expect") and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    while piece := await asyncio.wait_for(request.content.readany(), CLIENT_SECONDS):
        yield piece


async def _answered(request: web.BaseRequest, upstream: aiohttp.ClientResponse) -> web.StreamResponse:
    found = CIMultiDict(headers.for_browser(list(upstream.headers.items())))
    found.setdefault("Server", "lockbox")
    response = web.StreamResponse(status=upstream.status, reason=upstream.reason, headers=found)
    try:
        await asyncio.wait_for(response.prepare(request), CLIENT_SECONDS)
        while piece := await upstream.content.readany():
            await asyncio.wait_for(response.write(piece), CLIENT_SECONDS)
        await asyncio.wait_for(response.write_eof(), CLIENT_SECONDS)
    except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
        # The answer is not complete, so its end must not look like one.
        log.info("answer_broken", error=type(error).__name__)
        reset(request.transport)
    return response


async def _upgraded(
    request: web.BaseRequest, upstream: aiohttp.ClientResponse, *, is_wanted: bool
) -> web.StreamResponse:
    connection = upstream.connection
    tool = connection.protocol if connection is not None else None
    if not is_wanted or tool is None or upstream.headers.get("Upgrade", "").lower() != "websocket":
        raise ToolFailed(UPSTREAM_DOWN)
    found = CIMultiDict(headers.for_browser(list(upstream.headers.items())))
    found["Connection"], found["Upgrade"] = "Upgrade", "websocket"
    response = web.StreamResponse(status=101, headers=found)
    response.force_close()
    await asyncio.wait_for(response.prepare(request), CLIENT_SECONDS)
    try:
        await Tunnel(request.protocol, tool).run()
    finally:
        if request.transport is not None:
            request.transport.close()
    return response
