"""Runs the web server, the clusters and the beat under one foreground process, which restarts them and stops them."""

import contextlib
import errno
import http.client
import os
import resource
import select
import signal
import socket
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from django.conf import settings
from django.utils.translation import gettext as _

from requests_app.domain import clock
from requests_app.platform import terminal
from requests_app.work import forking, heartbeats, notify, probe_file
from requests_app.work.processes import Child, is_stopped, say, tree
from requests_app.work.signs import SILENT_AFTER_SECONDS, VARIABLE, Signs
from requests_app.work.undertaker import Undertaker
from requests_app.work.watchdog import Watchdog

LABEL = "lockbox"
WEB, CLUSTER, BEAT, TOOLS = "web", "cluster", "beat", "tools"

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
#: After a child has run for this long, the pause after its next end is short again.
STEADY_AFTER_SECONDS = 60.0
WEB_MUST_ANSWER_WITHIN_SECONDS = 60.0
#: A part that has sent no heartbeat for this many intervals is not ready. The watchdog waits longer before it kills it.
LATE_AFTER_HEARTBEATS = 3
REPORT_EVERY_SECONDS = 1.0
#: How often the supervisor looks after its parts. It is woken when one of them ends. Until the web server answers for
#: the first time, it looks more often.
REST_SECONDS, FIRST_REST_SECONDS = 1.0, 0.05
#: The socket of the signs has room for the datagrams that so many processes send meanwhile. Linux holds ten at least.
FEW_WEB_WORKERS = 4
#: How long the web server can take to replace a process that has ended.
WEB_MUST_REPLACE_WITHIN_SECONDS = 30.0
#: How much longer than the longest statement a thread can take: it may also wait for content, or for another service.
STALLED_BEYOND_STATEMENT_SECONDS = 30.0
#: The size in bytes of the web server's buffer for each connection, both for a response and for a request's headers.
HTTP_BUFFER = 64 * 1024
#: How many connections one web process accepts (at most half of its descriptors), and for how many seconds it waits for
#: the headers of a request.
MOST_CONNECTIONS, HEADER_SECONDS = 16_384, 15


#: Called with the kinds of the parts before they start, in the process of the supervisor. The site adds what answers
#: Prometheus there. A function that raises CannotStart delays nothing.
beside: list[Callable[[Collection[str]], None]] = []


class CannotStart(Exception):
    """The supervisor can't start. The text is one line for the operator, which says what is wrong and what to do."""


@dataclass
class ChildProcess:
    """A child process that the supervisor keeps running.

    `child` is the process that runs now; a restart replaces it.
    """

    label: str
    kind: str
    command: list[str]
    env: dict[str, str] = field(default_factory=dict)
    heartbeat: str = ""
    child: Child | None = None
    started: float = 0.0
    #: The value of `Watchdog.seconds` at the same moment.
    started_readable: float = 0.0
    not_before: float = 0.0
    pause: float = FIRST_PAUSE_SECONDS

    @property
    def is_running(self) -> bool:
        return self.child is not None and self.child.is_running

    @property
    def title(self) -> str:
        """What `ps` shows for its processes, if they are forked."""
        return "granian" if self.kind == WEB else self.kind


def child_processes(*, web: bool, beat: bool, clusters: int, tools: bool = False) -> list[ChildProcess]:
    """Return what one machine runs: the web server, this number of clusters, the beat, and the proxy for web tools."""
    manage = settings.MANAGE
    # The supervisor has run the checks already. Without them, a restarted child is ready a second earlier.
    checked = "--skip-checks"
    found = [ChildProcess("web", WEB, web_command())] if web else []
    for number in range(1, clusters + 1):
        name = f"{socket.gethostname()}-{number}"
        heartbeat = heartbeats.of_cluster(name)
        found.append(
            ChildProcess(f"cluster-{number}", CLUSTER, [*manage, "cluster", checked], {"CLUSTER_NAME": name}, heartbeat)
        )
    if beat:
        found.append(ChildProcess("beat", BEAT, [*manage, "beat", checked], {}, heartbeats.of_beat()))
    if tools:
        heartbeat = heartbeats.of_tool_proxy()
        found.append(ChildProcess("tools", TOOLS, [*manage, "tool_proxy", checked], {}, heartbeat))
    return found


def web_command() -> list[str]:
    """Return the web server's command line.

    Thousands of slow or idle clients must not keep other clients out. Such clients hold no thread
    (lockbox_site/serving). `--backpressure` limits the number of connections, including the idle connections
    that browsers keep open. A connection ends if the headers of its next request do not arrive in time.
    `--workers-kill-timeout` is set because a client that does not read could otherwise delay the end of the
    server forever.

    HTTP/2 is off because of the server's buffers: when a window closes, the client still gets the
    bytes in them. With HTTP/2, these would be hundreds of kilobytes for each stream.
    """
    options = {
        "--interface": "rsgi", "--host": address_of(settings.HOST, settings.PORT), "--port": settings.PORT,
        "--workers": settings.WEB_WORKERS, "--backlog": 4096, "--backpressure": most_connections(),
        "--http": "1", "--http1-buffer-size": HTTP_BUFFER, "--http1-header-read-timeout": HEADER_SECONDS * 1000,
        "--loop": "uvloop", "--workers-kill-timeout": 5, "--log-level": "error",
    }  # fmt: skip
    flags = ["--no-ws", "--respawn-failed-workers"]
    pairs = [text for name, value in options.items() for text in (name, str(value))]
    return [*settings.PYTHON, "-m", "granian", *pairs, *flags, "lockbox_site.rsgi:application"]


def most_connections() -> int:
    """Return how many connections the web server accepts.

    Some file descriptors are left for the database and for content, because no HTTP request can be answered without
    them.
    """
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if hard == resource.RLIM_INFINITY else max(1, min(MOST_CONNECTIONS, hard // 2))


def address_of(host: str, port: int) -> str:
    """Return the numeric address of a host and port, because the web server accepts no names.

    For a name such as `localhost`, an IPv4 address is preferred, because most clients use IPv4.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:  # UnicodeError: the text can't be a host name
        raise CannotStart(_("HOST=%(host)s is not an address of this machine.") % {"host": host}) from error
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return str(found[0][4][0])


def require_free_port(host: str, port: int, *, setting: str = "PORT") -> None:
    """Raise CannotStart if the port that this setting names is in use.

    Otherwise two web servers could share the port, and both would answer.
    """
    address = address_of(host, port)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Connections that are still closing after a restart don't count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                line = _(
                    "Port %(port)s of %(host)s is in use. Stop what uses it, or choose another: %(setting)s=%(next)s"
                )
            else:
                line = _("Port %(port)s of %(host)s can't be used (%(why)s). Choose others: HOST and %(setting)s.")
            values = {
                "port": port, "host": host, "why": error.strerror, "setting": setting, "next": port % 65535 + 1
            }  # fmt: skip
            raise CannotStart(line % values) from error


class Supervisor:
    """Runs the child processes until a signal stops it. Call its public methods only from the main thread."""

    def __init__(
        self,
        wanted: list[ChildProcess],
        *,
        when_ready: Sequence[str] = (),
        has_labels: bool = True,
        nursery: forking.Nursery | None = None,
    ) -> None:
        """`when_ready` are lines to print as soon as the web server answers for the first time.

        The `nursery` forks the parts. Without it, each part is a program of its own. With `has_labels`, each line of
        the output begins with the name of the part that has printed it.
        """
        self._parts, self._when_ready, self._has_labels = wanted, when_ready, has_labels
        self._nursery = nursery
        self._stops = 0
        self._web_answered = not any(part.kind == WEB for part in wanted)
        self._undertaker = Undertaker(settings.WORKING_DIRECTORY, settings.PYTHON, self._fork_undertaker)
        self._signs, self._wakening = Signs(), forking.Wakening()
        # When the web server last had all its processes, and when its main process last ran.
        self._complete_at = self._running_at = 0.0
        self._report_at = 0.0
        self._watchdog = Watchdog(stale_after=settings.HEARTBEAT_MAX_AGE_SECONDS)

    def run(self) -> int:
        """Run until SIGTERM, SIGINT or SIGHUP, and return the exit code."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self._wakening.begin()
        self._watchdog.start()
        if self._signs.trouble and not self._web_answered:
            line = _("The web server's processes are not watched, because there is no temporary directory: %(why)s")
            self._say(line % {"why": self._signs.trouble})
        try:
            self._start_beside()
            while not self._stops:
                self._look_after_all()
                self._rest()
        except CannotStart as refusal:
            self._say(str(refusal))
            return 1
        finally:
            self._stop_all()
            self._signs.close()
        return 0

    def _fork_undertaker(self, command: list[str], orders: int) -> forking.Forked | None:
        if self._nursery is None:
            return None
        with open(os.devnull, "wb") as nowhere:
            output = nowhere.fileno()
            return self._nursery.start(command, title="undertaker", env=os.environ, output=output, entry=orders)

    def _rest(self) -> None:
        """Wait until it is time to look again, or until a child ends or a signal arrives."""
        now = clock.monotonic()
        until = now + (REST_SECONDS if self._web_answered else FIRST_REST_SECONDS)
        until = min([until, *(part.not_before for part in self._parts if part.child is None and part.not_before > now)])
        wakers = [self._wakening.fileno()]
        if settings.WEB_WORKERS > FEW_WEB_WORKERS:
            wakers.append(self._signs.fileno())
        while not self._stops and (left := until - clock.monotonic()) > 0:
            readable, _, _ = select.select(wakers, [], [], left)
            if self._wakening.fileno() in readable:
                self._wakening.clear()
                return
            if readable:
                self._signs.receive()

    def _start_beside(self) -> None:
        """Start what else runs in this process. The parts run without it if it can't start."""
        for start in beside:
            try:
                start({part.kind for part in self._parts})
            except CannotStart as refusal:
                self._say(str(refusal))

    def _say(self, line: str) -> None:
        say(LABEL if self._has_labels else "", line)

    def _on_signal(self, *_: object) -> None:
        self._stops += 1

    def _look_after_all(self) -> None:
        self._undertaker.keep()
        if self._nursery is not None:
            self._nursery.reap({self._undertaker.pid, *(part.child.pid for part in self._parts if part.child)})
        notify.tell("WATCHDOG=1")
        away = self._signs.listen()
        self._complete_at, self._running_at = self._complete_at + away, self._running_at + away
        now = clock.monotonic()
        if settings.PROBE_FILE and now >= self._report_at:
            self._report_at = now + REPORT_EVERY_SECONDS
            has_web = any(part.kind == WEB for part in self._parts)
            probe_file.write(self.faults(), web=_place(settings.HOST, settings.PORT) if has_web else "")
        for part in self._parts:
            if part.child is None:
                # The web server has the processors for itself until it answers for the first time.
                if now >= part.not_before and (part.kind == WEB or self._web_answered):
                    self._start(part)
            elif not part.child.is_running:
                self._ended(part, now)
            elif part.heartbeat and self._watchdog.is_stuck(part.heartbeat, started=part.started_readable):
                line = _("%(part)s does no work any more; it is killed and started again.")
                self._say(line % {"part": part.label})
                self._bury(part)
            elif part.kind == WEB and not self._web_answered:
                self._ask_web(part, now)
            elif part.kind == WEB:
                self._watch_web(part, now)

    def faults(self) -> list[str]:
        """Return which parts do not work now, one line for each."""
        patience = LATE_AFTER_HEARTBEATS * settings.HEARTBEAT_SECONDS
        found = []
        for part in self._parts:
            why = ""
            if not part.is_running or (part.kind == WEB and not self._web_answered):
                why = _("it does not run")
            elif part.heartbeat:
                why = self._watchdog.fault(part.heartbeat, started=part.started_readable, patience=patience)
            if why:
                found.append(f"{part.label}: {why}.")
        return found

    def _watch_web(self, part: ChildProcess, now: float) -> None:
        """Kill those processes of the web server that do not work any more.

        The web server should replace them. If it does not, replace the whole web server.
        """
        assert part.child is not None
        for pid in self._signs.silent(stalled_after=settings.STATEMENT_SECONDS + STALLED_BEYOND_STATEMENT_SECONDS):
            self._signs.forget(pid)
            # If that process has ended, another process may have the same number now.
            if pid in tree(part.child.pid):
                line = _("%(part)s: process %(pid)d does not answer; it is killed and replaced.")
                self._say(line % {"part": part.label, "pid": pid})
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self._web_is_stuck(part.started, part.child.pid, now):
            line = _("%(part)s does not replace its processes; it is killed and started again.")
            self._say(line % {"part": part.label})
            self._bury(part)

    def _web_is_stuck(self, started: float, main: int, now: float) -> bool:
        """Return whether the web server's main process is stopped, or did not replace an ended process in time."""
        if len(self._signs.known()) >= settings.WEB_WORKERS:
            self._complete_at = now
        if not is_stopped(main):
            self._running_at = now
        was_complete = self._complete_at > started
        return (was_complete and now - self._complete_at > WEB_MUST_REPLACE_WITHIN_SECONDS) or (
            now - max(started, self._running_at) > SILENT_AFTER_SECONDS
        )

    def _start(self, part: ChildProcess) -> None:
        env = {**os.environ, "PYTHONUNBUFFERED": "1", VARIABLE: self._signs.address, **part.env}
        # These variables are meant for the supervisor only.
        for name in notify.VARIABLES:
            env.pop(name, None)
        if terminal.has_colours():
            # The child itself only sees a pipe.
            env["FORCE_COLOR"] = "1"
        label = part.label if self._has_labels else ""

        def fork(output: int) -> forking.Forked | None:
            if self._nursery is None:
                return None
            return self._nursery.start(part.command, title=part.title, env=env, output=output)

        part.child = Child(label, part.command, env=env, cwd=settings.WORKING_DIRECTORY, fork=fork)
        self._undertaker.watch_over(part.child.pid)
        part.started, part.started_readable = clock.monotonic(), self._watchdog.seconds

    def _ended(self, part: ChildProcess, now: float) -> None:
        assert part.child is not None
        code = part.child.process.returncode
        if not self._web_answered and part.kind == WEB:
            raise CannotStart(_("The web server could not start; its own messages are above."))
        part.pause = FIRST_PAUSE_SECONDS if now - part.started > STEADY_AFTER_SECONDS else part.pause
        line = _("%(part)s ended with code %(code)s; it starts again in %(pause)d s.")
        self._say(line % {"part": part.label, "code": code, "pause": part.pause})
        self._bury(part)
        part.not_before = now + part.pause
        part.pause = min(part.pause * 2, LONGEST_PAUSE_SECONDS)

    def _bury(self, part: ChildProcess) -> None:
        if part.child is not None:
            part.child.kill()
            self._undertaker.forget(part.child.pid)
            part.child = None
            if part.kind == WEB:
                # Datagrams that the ended processes have sent would count for the new processes.
                self._signs.forget_all()

    def _ask_web(self, part: ChildProcess, now: float) -> None:
        if web_answers(settings.HOST, settings.PORT):
            self._web_answered = True
            self._say(_("Ready: %(address)s (Ctrl-C ends it)") % {"address": settings.BASE_URL})
            for line in self._when_ready:
                self._say(line)
        elif now - part.started > WEB_MUST_ANSWER_WITHIN_SECONDS:
            raise CannotStart(_("The web server does not answer; its own messages are above."))

    def _stop_all(self) -> None:
        """End all children, which takes at most about STOP_SECONDS. A second signal ends them immediately."""
        self._say(_("Stopping."))
        probe_file.write([_("It stops.")])
        stops, until = self._stops, clock.monotonic() + settings.STOP_SECONDS
        for part in self._parts:
            if part.child is not None:
                part.child.ask_to_stop()
        while any(part.is_running for part in self._parts):
            if clock.monotonic() >= until or self._stops > stops:
                break
            time.sleep(0.05)
        for part in self._parts:
            if part.is_running:
                self._say(_("%(part)s did not stop in time and is killed.") % {"part": part.label})
            self._bury(part)
        if self._nursery is not None:
            self._nursery.close()
        self._wakening.end()
        self._undertaker.dismiss()
        self._say(_("Stopped."))


def web_answers(host: str, port: int) -> bool:
    """Return whether the web server answers at /healthz."""
    connection = http.client.HTTPConnection(_here(host), port, timeout=1)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _place(host: str, port: int) -> str:
    """Return the `host:port` at which this machine reaches the web server."""
    here = _here(host)
    return f"[{here}]:{port}" if ":" in here else f"{here}:{port}"


def _here(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, never bound
