"""Runs Django behind an event loop: the loop waits for clients, and threads do the work.

A request gets a thread only when its body is complete. A streamed answer gets a thread for each piece. So a client that
sends or reads slowly, or that waits for events, needs no thread and no database connection.
"""

from __future__ import annotations

import asyncio
import contextvars
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import Any

import structlog
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.db import InterfaceError, OperationalError, close_old_connections
from django.http import FileResponse, HttpResponse, HttpResponseBase
from django.shortcuts import resolve_url

from lockbox_site import views
from lockbox_site.middleware import StaticFilesMiddleware
from lockbox_site.monitoring import counters
from lockbox_site.serving import bodies, environ, outlet
from lockbox_site.serving.fast_gate import FastGate, Question
from lockbox_site.serving.fast_path import FastCall, FastPath
from lockbox_site.serving.pool import Full, Job, Pool
from lockbox_site.serving.refusals import Refusals
from lockbox_site.serving.results import ClientGone
from requests_app.operations.streams import WindowClosed
from requests_app.platform import hashing, waiting
from requests_app.platform.sockets import Line
from requests_app.work import signs

#: An answer up to this length is sent immediately, because the kernel buffers all of it.
AT_ONCE = 64 * 1024
#: The smallest length of a piece of a stream, unless the stream pauses.
LEAST_PIECE = 16 * 1024
#: How many requests may wait for each thread. Further requests are refused and can be sent again.
WAITING_PER_THREAD = 16
#: For how many seconds requests that have begun can still finish when the server ends.
END_SECONDS = 3
#: The addresses that have their own threads, so that they are answered even if all other threads are blocked.
PROBES = ("/healthz", "/readyz", "/metrics")
PROBE_THREADS, PROBES_WAITING = 2, 64
#: Event streams and calls that wait have their own threads. So they hear at once, although slow sources of content
#: occupy the threads of downloads. Each of their steps is short, so two are enough.
EVENT_THREADS = 2
#: When the server stops, each stream of events and each call that waits ends after a random part of these seconds. So
#: those who come back do not come all at once. The web server breaks what is left after five seconds.
LEAVE_WITHIN = 3.0
#: All readers of a file or a long page count as this one client, because they may be strangers with any number of
#: addresses.
ANYBODY = "anybody"

Headers = list[tuple[str, str]]
log = structlog.get_logger(__name__)


class Bridge:
    """The application that the web server calls (RSGI). Each process has one."""

    def __init__(self, handler: WSGIHandler, *, threads: int, streams: int, longest_body: int) -> None:
        self._handler = handler
        self._bodies = bodies.Bodies(longest=longest_body)
        # One client can have at most half of the streams, so that it can't block the others.
        self._most_streams, self._streams = streams, 0
        self._most_of_client, self._streams_of = max(1, streams // 2), Counter[str]()
        self._threads = threads
        self._refusals = Refusals()

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the threads in the process that serves.

        Threads that were started earlier would not survive the fork.
        """
        self._loop, self._stopping = loop, loop.create_future()
        _before_stop(loop, self._stop)
        self._sign_in = resolve_url(settings.LOGIN_URL)
        threads = self._threads
        self._pool = Pool(
            "web", threads=threads, most_waiting=WAITING_PER_THREAD * threads, most_of_one=threads - threads // 4
        )
        # Pieces of downloads have their own threads, so that hundreds of readers do not delay a page. One client can
        # have at most half of these threads, because a piece of an export may search a whole log.
        threads = max(2, threads // 4)
        self._steps = Pool("stream", threads=threads, most_of_one=threads // 2)
        self._events = Pool("event", threads=EVENT_THREADS)
        self._probes = {
            path: Pool(f"probe{path.replace('/', '-')}", threads=PROBE_THREADS, most_waiting=PROBES_WAITING)
            for path in PROBES
        }
        self._fast = FastPath(loop, self._pool)
        self._gate = FastGate(self._fast)
        signs.keep_giving(loop, lambda: self._pool.stalled_for)

    def _stop(self) -> None:
        if not self._stopping.done():
            self._stopping.set_result(None)

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Stop the threads. Requests that have begun can still finish, and the others are refused.

        The web server does not run the loop any more, so this does, for the answers of the decision point.
        """
        loop.run_until_complete(self._fast.end(seconds=END_SECONDS))
        self._pool.wait_until_idle(seconds=END_SECONDS)

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        try:
            address = environ.address_of(scope)
            caller = environ.caller_at(address)
            body, length = await self._bodies.body_of(scope, proto, client=caller)
        except bodies.TooSlow:
            _count("too_slow")
            self._refusals.too_slow.answer(scope, proto)
            return
        except bodies.Crowded:
            log.warning("server_busy", path=scope.path)
            _count("busy")
            self._refusals.busy.answer(scope, proto)
            return
        except (bodies.Broken, environ.Unreadable):
            # Nobody reads the answer, or the caller is an attacker.
            proto.response_empty(400, [("connection", "close")])
            return
        if (quick := self._fast.call_of(scope, body, address)) is not None:
            await self._answer_fast(quick, scope, proto, caller)
            return
        if (question := self._gate.question_of(scope, body, address)) is not None:
            await self._answer_gate(question, scope, proto, caller)
            return
        call = Call(self._handler, scope, proto, environ.environ_of(scope, body, length), caller)
        pool = self._probes.get(scope.path, self._pool)
        with Client(proto) as client:
            try:
                if scope.path in StaticFilesMiddleware.paths and scope.method in ("GET", "HEAD"):
                    # Opening the file takes less time than starting a thread.
                    rest = call.answer()
                else:
                    job = pool.submit(self._work_of(call), self._loop, client=caller)
                    if job.may_wait and not await self._has_begun(job, client):
                        return
                    rest = await job.future
            except Full:
                log.warning("server_busy", path=scope.path)
                _count("busy")
                self._refusals.busy.answer(scope, proto)
                return
            if rest is not None:
                await self._finish(rest, proto, client)
            elif body is None:
                await self._bodies.discard(proto)

    async def _answer_fast(self, quick: FastCall, scope: Any, proto: Any, caller: str) -> None:
        try:
            found = await self._fast.answer(quick, proto, client=caller)
        except ClientGone:
            return
        except Full:
            log.warning("server_busy", path=scope.path)
            _count("busy")
            self._refusals.busy.answer(scope, proto)
            return
        if len(found.body) <= AT_ONCE:
            proto.response_bytes(found.status, found.headers, found.body)
            return
        # The client may read slowly.
        response = HttpResponse(found.body, status=found.status, headers=dict(found.headers))
        rest = Call(self._handler, scope, proto, {}, caller).sent(response)
        assert rest is not None
        with Client(proto) as client:
            await self._finish(rest, proto, client)

    async def _answer_gate(self, question: Question, scope: Any, proto: Any, caller: str) -> None:
        try:
            found = await self._gate.answer(question, proto, client=caller)
        except ClientGone:
            return
        except Full:
            log.warning("server_busy", path=scope.path)
            _count("busy")
            found = self._gate.too_busy(question)
        if scope.method == "HEAD":
            proto.response_empty(found.status, found.headers)
        else:
            proto.response_bytes(found.status, found.headers, found.body)

    def _work_of(self, call: Call) -> Callable[[], Any]:
        is_sign_in = call.scope.method == "POST" and call.scope.path == self._sign_in
        return partial(self._unless_crowded, call.answer) if is_sign_in else call.answer

    def _unless_crowded(self, answer: Callable[[], Any]) -> Any:
        """Return the answer. Raise Full if no more passwords can be checked now and other requests wait for a thread.

        Such a sign-in would be refused anyway, but later. Many of them would block the pages of people who are
        signed in.
        """
        if self._pool.is_waited_for and hashing.is_full():
            raise Full
        return answer()

    async def _has_begun(self, job: Job, client: Client) -> bool:
        """Wait for the answer. Return False if the client disconnected before its request got a thread."""
        await asyncio.wait({job.future, client.gone}, return_when=asyncio.FIRST_COMPLETED)
        return job.future.done() or not job.take_back()

    async def _finish(self, rest: Stream | Poll, proto: Any, client: Client) -> None:
        shares = (rest.caller, ANYBODY) if rest.is_anybodys else (rest.caller,)
        if self._streams >= self._most_streams or any(
            self._streams_of[share] >= self._most_of_client for share in shares
        ):
            if isinstance(rest, Poll):
                if await self._step(partial(rest.answer_with, rest.at_once), rest):
                    return
                rest.refused(self._refusals.streams_full.status)
            await self._step(rest.close, rest)
            log.warning("streams_full")
            _count("streams_full")
            self._refusals.streams_full.answer(rest.scope, proto)
            return
        self._streams += 1
        self._streams_of.update(shares)
        try:
            await (self._wait(rest, client) if isinstance(rest, Poll) else self._send(rest, client))
        except Exception as why:
            # The answer ends in the middle. The log of the request says what failed.
            log.info("stream_ended", why=type(why).__name__)
        finally:
            self._streams -= 1
            for share in shares:
                self._streams_of[share] -= 1
                if not self._streams_of[share]:
                    del self._streams_of[share]
            await self._step(rest.close, rest)

    async def _wait(self, poll: Poll, client: Client) -> None:
        """Check regularly whether the answer is ready, and send it. Stop if the client has disconnected."""
        news = poll.news.next(self._loop) if poll.news is not None else None
        while not await self._pause(client, news, poll):
            # Taken before the look, so that nothing that happens meanwhile is missed.
            news = poll.news.next(self._loop) if poll.news is not None else None
            if self._stopping.done() and poll.ends_at_stop:
                await self._take_turn_to_leave(client)
                await self._step(partial(poll.answer_with, poll.at_stop), poll)
                return
            rest = await self._step(poll.look, poll)
            if rest is poll:
                continue
            if rest is not None:
                try:
                    await self._send(rest, client)
                finally:
                    await self._step(rest.close, rest)
            return

    async def _send(self, stream: Stream, client: Client) -> None:
        ending = stream.ending.future(self._loop) if stream.ending is not None else None
        out = outlet.Outlet(stream.begin(), stream.line, is_framed=stream.is_framed, ending=ending)
        piece: bytes | None = stream.first
        news: asyncio.Future[None] | None = None
        try:
            while piece is not None:
                if piece:
                    await out.send(piece)
                elif await self._pause(client, news, stream):
                    return
                elif self._stopping.done() and stream.ends_at_stop:
                    await self._take_turn_to_leave(client)
                    if not client.gone.done():
                        await out.send(stream.last_words)
                    return
                # Wait for room before the next piece is made, so that no piece waits here until its window has closed.
                await out.room()
                if client.gone.done():
                    return
                # Taken before the stream is asked, so that nothing that happens meanwhile is missed.
                news = stream.news.next(self._loop) if stream.news is not None else None
                piece = await self._step(stream.next_piece, stream)
        except Exception as why:
            # If the window has closed, a piece that still waits here is not sent either.
            await out.abort(at_once=isinstance(why, (WindowClosed, outlet.Ended)))
            raise
        finally:
            out.end()

    async def _pause(self, client: Client, news: asyncio.Future[None] | None, rest: Stream | Poll) -> bool:
        """Wait for a while, or until there is news or the server stops. Return whether the client has disconnected."""
        wakes = {client.gone} if news is None else {client.gone, news}
        if rest.ends_at_stop:
            wakes.add(self._stopping)
        await asyncio.wait(wakes, timeout=waiting.seconds_of(rest.look_every), return_when=asyncio.FIRST_COMPLETED)
        return client.gone.done()

    async def _take_turn_to_leave(self, client: Client) -> None:
        seconds = random.uniform(0, LEAVE_WITHIN)  # noqa: S311 - no secret
        await asyncio.wait({client.gone}, timeout=seconds)

    async def _step(self, work: Callable[[], Any], rest: Stream | Poll) -> Any:
        pool = self._steps if rest.news is None else self._events
        return await pool.submit(work, self._loop, client=rest.caller).future


class Client:
    """Knows whether a client has disconnected.

    The web server is asked only when somebody needs to know. If it has not answered when the block ends, the
    call is cancelled.
    """

    def __init__(self, proto: Any) -> None:
        self._proto = proto
        self._gone: asyncio.Future[Any] | None = None

    @property
    def gone(self) -> asyncio.Future[Any]:
        """A future that is done when the client has disconnected."""
        if self._gone is None:
            self._gone = asyncio.ensure_future(self._proto.client_disconnect())
        return self._gone

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        if self._gone is not None:
            self._gone.cancel()


class Call:
    """One request in Django. Its steps run one after the other in one context, each in any thread."""

    def __init__(self, handler: WSGIHandler, scope: Any, proto: Any, environ: dict[str, Any], caller: str) -> None:
        self.scope, self.proto, self.caller = scope, proto, caller
        self._handler, self._environ = handler, environ
        self._context = contextvars.Context()

    def answer(self) -> Stream | Poll | None:
        """Make the answer in a thread, and send it. Return a stream or a waiting answer instead of sending it."""
        return self._context.run(self._answer)

    def _answer(self) -> Stream | Poll | None:
        response: HttpResponseBase = self._handler(self._environ, _nowhere)
        try:
            if isinstance(response, waiting.Waiting):
                rest: Stream | Poll | None = Poll(self, response)
                close_old_connections()
                return rest
            return self.sent(response)
        except BaseException:
            response.close()
            raise

    def sent(self, response: HttpResponseBase) -> Stream | None:
        """Send the answer. If it is a stream, send nothing and return the stream."""
        headers = headers_of(response)
        if self.scope.method == "HEAD":
            self.proto.response_empty(response.status_code, headers)
            response.close()
            return None
        if isinstance(response, FileResponse):
            # Django reads files in pieces of 4 KiB.
            response.block_size = AT_ONCE
        stream = Stream(self, response, headers)
        if not stream.is_whole:
            close_old_connections()
            return stream
        self.proto.response_bytes(response.status_code, headers, stream.first)
        response.close()
        return None

    def run(self, work: Callable[[], Any]) -> Any:
        """Run a later step of the request. Afterwards release the database connection, as after every request."""
        try:
            return self._context.run(work)
        finally:
            close_old_connections()


class Stream:
    """An answer that is sent in pieces."""

    def __init__(self, call: Call, response: HttpResponseBase, headers: Headers) -> None:
        self._call, self._response, self._headers = call, response, headers
        self._pieces: Iterator[bytes] = iter(response)
        self._failure: Exception | None = None
        self._has_begun = False
        self.news: waiting.News | None = getattr(response, "news", None)
        self.look_every: waiting.Pause = getattr(response, "look_every", None)
        self.ending: waiting.Ending | None = getattr(response, "ending", None)
        #: Is sent if the server stops. Without it, a stream that was cut would look complete.
        self.last_words: bytes = getattr(response, "last_words", b"")
        self.ends_at_stop = bool(self.last_words)
        # Files and whole pages are for everybody. Content, exports and events are only for people who are signed in.
        self.is_anybodys = not response.streaming or isinstance(response, FileResponse)
        # An answer that is complete has no pauses. An empty answer, such as a redirect, must not look like a pause.
        self._has_ended = isinstance(response, HttpResponse)
        self.first = response.content if isinstance(response, HttpResponse) else self._gathered()
        if isinstance(response, FileResponse) and response.get("Content-Length") == str(len(self.first)):
            self._has_ended = True
        self.is_whole = self._has_ended and len(self.first) <= AT_ONCE
        self.is_framed = not response.has_header("Content-Length") and call.scope.http_version == "1.1"
        self.line = None if self.is_whole else Line.of(call.scope.client)

    @property
    def scope(self) -> Any:
        return self._call.scope

    @property
    def caller(self) -> str:
        return self._call.caller

    def begin(self) -> Any:
        self._has_begun = True
        return self._call.proto.response_stream(self._response.status_code, self._headers)

    def next_piece(self) -> bytes | None:
        """Return the next piece. It is empty if nothing is ready yet, and None at the end of the stream."""
        return None if self._has_ended else self._call.run(self._gathered) or (None if self._has_ended else b"")

    def close(self) -> None:
        self._call.run(self._response.close)

    def _gathered(self) -> bytes:
        """Join small chunks into one piece, until the stream pauses.

        If the stream fails, the chunks from before the failure are returned first.
        """
        if self._failure is not None:
            raise self._failure
        found, length = list[bytes](), 0
        while length < LEAST_PIECE:
            try:
                chunk = next(self._pieces, None)
            except Exception as failure:
                is_closed = isinstance(failure, WindowClosed)
                if not found or (is_closed and self._has_begun):
                    raise
                self._failure = failure
                if is_closed:
                    # Nothing is sent of a closed window. The answer begins, and is then broken.
                    found.clear()
                break
            if chunk is None:
                self._has_ended = True
            if not chunk:
                break
            found.append(chunk)
            length += len(chunk)
        return found[0] if len(found) == 1 else b"".join(found)


class Poll:
    """A request whose answer waits for an event."""

    is_anybodys = False

    def __init__(self, call: Call, response: waiting.Waiting) -> None:
        self._call, self._response = call, response
        self.news, self.look_every = response.news, response.look_every
        self.at_once, self.at_stop = response.at_once, response.at_stop
        self.ends_at_stop = self.at_stop is not None

    @property
    def scope(self) -> Any:
        return self._call.scope

    @property
    def caller(self) -> str:
        return self._call.caller

    def look(self) -> Stream | Poll | None:
        """If the answer is ready, send it, or return it if it is a stream.

        Otherwise return this poll, so that the caller looks again later.
        """
        return self._call.run(self._look)

    def _look(self) -> Stream | Poll | None:
        with self._response.around():
            found = self._found()
        return self if found is None else self._call.sent(self._response.answered(found))

    def _found(self) -> HttpResponseBase | None:
        try:
            return self._response.look()
        except (OperationalError, InterfaceError):
            # A failure of the database has its own log line without a traceback, as for every request.
            return views.server_error(self._response.request)
        except Exception:
            log.exception("look_failed")
            return views.server_error(self._response.request)

    def answer_with(self, answer: Callable[[], HttpResponseBase] | None) -> bool:
        """Send a short answer that needs no wait, and close the poll. Return False if it has no such answer."""
        if answer is None:
            return False
        try:
            self._call.run(lambda: self._call.sent(self._response.answered(answer())))
        finally:
            self.close()
        return True

    def refused(self, status: int) -> None:
        """Record that the web server refuses the request with this status, and does not wait for the answer."""
        self._response.ended(status)

    def close(self) -> None:
        self._call.run(self._response.close)


def _before_stop(loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
    """Make the loop call this function when the web server tells its process to stop, before it does anything else.

    The web server calls nothing of the application before all connections have ended, and no stream of events ends by
    itself. It has set its handler on the loop. Each loop has a handler of Python beside it, which does nothing or only
    notes the signal, and which Python calls before the loop hears of the signal.
    """
    noted = signal.getsignal(signal.SIGTERM)
    if not callable(noted):
        return

    def stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(act)
        if not loop.is_running():
            # The loop of libuv forgets a signal that comes before it runs, while the web server starts.
            loop.call_soon_threadsafe(signal.raise_signal, number)
        noted(number, frame)

    signal.signal(signal.SIGTERM, stop)
    # As the loop has it: the signal interrupts no call of the system.
    signal.siginterrupt(signal.SIGTERM, False)


def _count(reason: str) -> None:
    if settings.METRICS:
        counters.counted(lambda each: each.of("lockbox_http_refused_total", reason).inc())


def headers_of(response: HttpResponseBase) -> Headers:
    cookies = [("Set-Cookie", cookie.output(header="").strip()) for cookie in response.cookies.values()]
    return [*response.items(), *cookies]


def _nowhere(_status: str, _headers: Headers, _failure: Any = None, /) -> Callable[[bytes], object]:
    """Stand in for WSGI's start_response.

    It does nothing, because the response object has the status and the headers.
    """
    return bytes
