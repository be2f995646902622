"""Counts requests, acts, tasks, calls and decisions in files that all processes of this host share.

Each process writes its own files (prometheus_client's multiprocess mode), and `collected` adds them up. The files of
processes that have ended are added to one pair of files, so their number stays small however often a process restarts.
The space on the disk is taken when a file is made. Otherwise a full disk would kill the process at its next count.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import socket
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import structlog
from django.conf import settings
from prometheus_client import Counter, Gauge, Histogram, values
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.multiprocess import MultiProcessCollector

from requests_app.domain import clock
from requests_app.platform import process_names, telemetry

log = structlog.get_logger(__name__)

#: The bytes that the files of one process have. `MOST_ROUTES` is chosen so that all its counters fit.
SIZES = {"counter": 1 << 20, "histogram": 2 << 20, "gauge_livesum": 1 << 16}
#: The most pairs of route and method that a process counts apart. Further ones are counted as "other".
MOST_ROUTES = 400
#: Seconds to wait for another process that adds up the files.
PATIENCE = 0.5
#: The directory of a host that nobody has used for this many seconds is deleted.
FORGET_AFTER = 7 * 86400
#: The files of the processes that have ended.
ENDED = "ended"
#: Each file begins with the number of bytes in use, and padding.
_HEAD_BYTES = 8
#: A decision takes a few milliseconds, a page tens of them. The web server gives up a statement after 15 seconds.
SECONDS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 15)
LONG_SECONDS = (0.01, 0.1, 0.5, 1, 2.5, 5, 10, 20, 60)
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

#: name: (class, help, labels)
DECLARED: dict[str, tuple[type[Counter | Gauge | Histogram], str, tuple[str, ...]]] = {
    "lockbox_http_requests_total": (Counter, "HTTP requests.", ("route", "method", "status")),
    "lockbox_http_request_duration_seconds": (Histogram, "Time to answer.", ("route", "method")),
    "lockbox_http_refused_total": (Counter, "Requests refused before a thread took them.", ("reason",)),
    "lockbox_decisions_total": (Counter, "Decisions on accesses.", ("door", "outcome")),
    "lockbox_acts_total": (Counter, "Acts of people and programs.", ("act", "outcome")),
    "lockbox_tasks_total": (Counter, "Background tasks.", ("task", "outcome")),
    "lockbox_task_duration_seconds": (Histogram, "Time of tasks.", ("task",)),
    "lockbox_calls_total": (Counter, "Calls to other machines.", ("purpose", "outcome")),
    "lockbox_call_duration_seconds": (Histogram, "Time of calls.", ("purpose",)),
    "lockbox_processes": (Gauge, "Running processes that count.", ("part",)),
}
_LONG = frozenset({"lockbox_task_duration_seconds", "lockbox_call_duration_seconds"})


# --- The files -------------------------------------------------------------------------------------------


@cache
def directory() -> Path:
    """Return the directory of this host's files.

    Containers can share a data directory. Their process ids mean nothing to each other, so each namespace of process
    ids has its own directory.
    """
    try:
        namespace = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:
        namespace = "0"
    return Path(settings.METRICS_DIR) / f"{socket.gethostname()}-{namespace}"


class _Identity:
    """The id of this process for its files. Before a process has its first file, all its files are made."""

    def __init__(self) -> None:
        self._pid, self._text = 0, ""

    def __call__(self) -> str:
        pid = os.getpid()
        if pid != self._pid:
            # A fork: the child must not write into the files of its parent.
            _host, number, started = process_names.current().split(" ")
            text = f"{number}-{started}"
            _make_files(text)
            self._pid, self._text = pid, text
        return self._text


def _make_files(identity: str) -> None:
    """Make the files of a process, with all their space. Raise OSError if the disk is full or can't be written."""
    place = directory()
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    (place / "lock").touch(mode=0o600)
    for kind, size in SIZES.items():
        path = place / f"{kind}_{identity}.db"
        try:
            with path.open("ab") as file:
                os.posix_fallocate(file.fileno(), 0, size)
        except OSError:
            path.unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def _alone(place: Path) -> Iterator[bool]:
    """Keep other processes from adding up the files. Yield False if another one does so for too long."""
    with (place / "lock").open("a") as lock:
        until = clock.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if clock.monotonic() > until:
                    yield False
                    return
                time.sleep(0.01)
            else:
                break
        os.utime(place / "lock")
        yield True


def collected() -> list[Metric]:
    """Return the counters of all processes of this host. A process that has ended still counts."""
    place = directory()
    if not (place / "lock").exists():
        return []
    with _alone(place) as is_alone:
        if is_alone:
            # If the disk is full, the files of ended processes stay, and still count.
            with contextlib.suppress(OSError):
                _fold(place)
        return list(MultiProcessCollector.merge([str(each) for each in place.glob("*.db") if _has_entries(each)]))


def _has_entries(path: Path) -> bool:
    """Return whether the file can be read. It is empty for a moment when a process makes it."""
    return path.stat().st_size >= _HEAD_BYTES


def _fold(place: Path) -> None:
    """Move the counters of ended processes into the files of ENDED, and delete their own files."""
    ended: dict[str, list[Path]] = defaultdict(list)
    for each in place.glob("*.db"):
        kind, _, identity = each.stem.rpartition("_")
        pid, _, started = identity.partition("-")
        if identity != ENDED and process_names.has_ended(f"{socket.gethostname()} {pid} {started}"):
            ended[kind].append(each)
    for kind, files in ended.items():
        if kind in ("counter", "histogram"):
            _add_up(place / f"{kind}_{ENDED}.db", files)
        for each in files:
            each.unlink()


def _add_up(total: Path, files: list[Path]) -> None:
    """Add the values of these files to the file `total`, which is replaced when the new one is complete."""
    sums: dict[str, float] = defaultdict(float)
    for each in [total, *files]:
        if each.exists() and _has_entries(each):
            for key, value, _at, _position in MmapedDict.read_all_values_from_file(str(each)):
                sums[key] += value
    entries = b"".join(_entry(key, value) for key, value in sums.items())
    new = total.with_suffix(".new")
    new.write_bytes(struct.pack("ii", _HEAD_BYTES + len(entries), 0) + entries)
    new.replace(total)


def _entry(key: str, value: float) -> bytes:
    """Return an entry in the format of `MmapedDict`: length of the key, key, padding to 8 bytes, value, time."""
    encoded = key.encode()
    padded = encoded + b" " * (8 - (len(encoded) + 4) % 8)
    return struct.pack(f"i{len(padded)}sdd", len(encoded), padded, value, 0.0)


def forget_old_hosts(now: float) -> None:
    """Delete the directories of hosts and containers that nobody has used for a week."""
    for lock in Path(settings.METRICS_DIR).glob("*/lock"):
        with contextlib.suppress(OSError):
            if now - lock.stat().st_mtime > FORGET_AFTER and lock.parent != directory():
                shutil.rmtree(lock.parent)


# --- Counting --------------------------------------------------------------------------------------------


class Counters:
    """The counters of this process. A fault in them is logged once, and never reaches the work that is counted."""

    def __init__(self) -> None:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(directory())
        values.ValueClass = values.MultiProcessValue(_Identity())
        self._metrics: dict[str, Any] = {name: _metric(name) for name in DECLARED}
        self._children: dict[tuple[str, ...], Any] = {}
        self._routes: set[tuple[str, str]] = set()

    def of(self, *key: str) -> Any:
        """Return the counter with this name and these values of its labels."""
        found = self._children.get(key)
        if found is None:
            found = self._children[key] = self._metrics[key[0]].labels(*key[1:])
        return found

    def request(self, route: str, method: str, status: int, seconds: float | None) -> None:
        method = method if method in METHODS else "other"
        if (route, method) not in self._routes:
            if len(self._routes) >= MOST_ROUTES:
                route, method = "other", "other"
            self._routes.add((route, method))
        self.of("lockbox_http_requests_total", route, method, f"{status // 100}xx").inc()
        if seconds is not None:
            self.of("lockbox_http_request_duration_seconds", route, method).observe(seconds)


def _metric(name: str) -> Counter | Gauge | Histogram:
    kind, words, labels = DECLARED[name]
    if kind is Gauge:
        return Gauge(name, words, labels, registry=None, multiprocess_mode="livesum")
    if kind is Histogram:
        return Histogram(name, words, labels, registry=None, buckets=LONG_SECONDS if name in _LONG else SECONDS)
    return Counter(name, words, labels, registry=None)


_lock = threading.Lock()
_counters: Counters | None = None
_failed_in: set[int] = set()


def counted(count: Callable[[Counters], object]) -> None:
    """Call `count` with the counters. After a failure, this process counts nothing more."""
    global _counters
    if os.getpid() in _failed_in:
        return
    try:
        if _counters is None:
            with _lock:
                _counters = _counters or Counters()
        count(_counters)
    except Exception as error:  # a full or read-only disk, for example
        _failed_in.add(os.getpid())
        log.warning("metrics_not_counted", error=f"{type(error).__name__}: {error}")


class Observer:
    """Counts what `telemetry` reports."""

    def began(self, kind: str, name: str) -> telemetry.End:
        since = clock.monotonic()

        def ended(outcome: str) -> None:
            counted(lambda counters: _count(counters, kind, name, outcome, clock.monotonic() - since))

        return ended

    def happened(self, kind: str, name: str, outcome: str) -> None:
        counted(lambda counters: counters.of(f"lockbox_{kind}s_total", name, outcome).inc())


def _count(counters: Counters, kind: str, name: str, outcome: str, seconds: float) -> None:
    counters.of(f"lockbox_{kind}s_total", name, outcome).inc()
    if kind != telemetry.ACT:
        counters.of(f"lockbox_{kind}_duration_seconds", name).observe(seconds)


_observer = Observer()


def start(part: str = "") -> None:
    """Begin to count in this process. `part` is the part of the installation that it is, if it stays."""
    if not telemetry.has(_observer):
        telemetry.add(_observer)
    if part:
        counted(lambda counters: counters.of("lockbox_processes", part).set(1))
        counted(lambda _counters: tidy())


def tidy() -> None:
    """Add up the files of ended processes, so that there are few files even if nobody reads the metrics."""
    forget_old_hosts(clock.here().timestamp())
    with _alone(directory()) as is_alone:
        if is_alone:
            _fold(directory())
