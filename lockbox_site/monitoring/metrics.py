"""Answers `/metrics` for Prometheus: the counters of this host, and the states that the database has.

A web server gives both. A part without one gives its counters at a port of its own (`parts.py`).

The states are the same from every process and host. They are read at most every few seconds, in a thread of their own
whose wait is limited. So a frozen database does not delay the answer, and many scrapes cost no more than one.
"""

from __future__ import annotations

import hmac
import platform
import threading
from collections.abc import Callable, Iterable
from hashlib import sha256
from ipaddress import ip_address

import django
from django.conf import settings
from django.db import connection
from django.http import HttpRequest, HttpResponse

from lockbox_site.health import ANSWER_WITHIN, Check, Prober
from requests_app.domain import clock
from requests_app.queries import monitoring
from requests_app.queries.monitoring import Sample

#: For how many seconds the states, and the whole answer, are given again. The second number is shorter than the time
#: between two scrapes. Otherwise a counter could seem to go back, when another process answers.
STATES_FOR, ANSWER_FOR = 5.0, 0.5
#: The headers in which a proxy names the caller.
FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_FORWARDED", "HTTP_X_REAL_IP", "HTTP_VIA")

#: name: (help, labels). Gauges that do not come from a query.
OF_PROCESS: dict[str, tuple[str, tuple[str, ...]]] = {
    "lockbox_database_up": ("1 if the database has answered in time, else 0.", ()),
    "lockbox_states_unread": ("Groups of states that could not be read.", ()),
    "lockbox_build_info": ("The versions. The value is always 1.", ("version", "python", "django", "database")),
}  # fmt: skip


def _states() -> dict[str, Check]:
    try:
        samples, failed = monitoring.states()
    except Exception as error:  # every error of the driver means the same here
        return {"states": {"ok": False, "detail": type(error).__name__}}
    return {"states": {"ok": True, "samples": samples, "failed": failed}}


PROBER = Prober("metrics", _states, every=STATES_FOR, counts_for=STATES_FOR)
_lock = threading.Lock()
_answer: tuple[float, bytes] = (0.0, b"")


def metrics(request: HttpRequest) -> HttpResponse | None:
    """Answer with all metrics. Return None if this address does not exist for the caller."""
    return _guarded(request, _made, proxies=settings.TRUSTED_PROXY_COUNT)


def metrics_of_part(request: HttpRequest) -> HttpResponse | None:
    """Answer with the counters of this host. No proxy is in front of a part, so nobody can name another address."""
    return _guarded(request, _made_of_part, proxies=0)


def _guarded(request: HttpRequest, make: Callable[[float], bytes], *, proxies: int) -> HttpResponse | None:
    if not settings.METRICS or request.method not in ("GET", "HEAD") or not _is_allowed_address(request, proxies):
        return None
    if settings.METRICS_TOKEN and not _has_token(request):
        headers = {"WWW-Authenticate": 'Bearer realm="metrics"', "Cache-Control": "no-store"}
        return HttpResponse("Send METRICS_TOKEN as a bearer token.\n", "text/plain", 401, headers=headers)
    return HttpResponse(_text(make), "text/plain; version=0.0.4; charset=utf-8", headers={"Cache-Control": "no-store"})


def _has_token(request: HttpRequest) -> bool:
    scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    # Digests have one length, so the comparison does not show the length of the token.
    sent, right = (sha256(each.encode("utf-8", "surrogateescape")).digest() for each in (token, settings.METRICS_TOKEN))
    return hmac.compare_digest(sent, right) and scheme.lower() == "bearer"


def _is_allowed_address(request: HttpRequest, proxies: int) -> bool:
    """Return whether the caller's address is in METRICS_ADDRESSES, or every address is allowed.

    `RequestIdMiddleware` has found the address. It falls back to the proxy's own address if a header of proxies is not
    complete or not trusted. Such a request is refused, because everybody who uses the proxy has this address.
    """
    if not settings.METRICS_ADDRESSES:
        return True
    forwarded = any(request.META.get(name) for name in FORWARDED)
    hops = [hop for hop in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if hop.strip()]
    if forwarded and not 0 < proxies <= len(hops):
        return False
    try:
        address = ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return any(mapped in network for network in settings.METRICS_ADDRESSES)


def _text(make: Callable[[float], bytes]) -> bytes:
    global _answer
    with _lock:
        made, found = _answer
        now = clock.monotonic()
        if not found or now - made > ANSWER_FOR:
            found = make(now)
            _answer = (clock.monotonic(), found)
    return found


def forget() -> None:
    """Forget the stored answers. Tests need this."""
    global _answer
    PROBER.settle()
    _answer = (0.0, b"")


def _made(now: float) -> bytes:
    state = PROBER.ask(now + ANSWER_WITHIN).get("states", {"ok": False})
    return _written([*_of_database(state), _build(), *state.get("samples", ())])


def _made_of_part(_now: float) -> bytes:
    return _written([_build()])


def _written(samples: list[Sample]) -> bytes:
    """Return these samples and the counters of this host, in Prometheus's format."""
    # Imported here, because a process without metrics does not need it.
    from prometheus_client import CollectorRegistry, generate_latest

    from lockbox_site.monitoring import counters

    registry = CollectorRegistry()
    registry.register(_Families(_families(samples)))  # type: ignore[arg-type]  # a collector by its shape
    registry.register(_Families(counters.collected()))  # type: ignore[arg-type]
    return generate_latest(registry)


class _Families:
    def __init__(self, families: Iterable[object]) -> None:
        self._families = list(families)

    def collect(self) -> Iterable[object]:
        return self._families


def _of_database(state: Check) -> list[Sample]:
    return [
        Sample("lockbox_database_up", float(state["ok"])),
        Sample("lockbox_states_unread", state.get("failed", len(monitoring.GROUPS))),
    ]


def _build() -> Sample:
    versions = (settings.VERSION, platform.python_version(), django.__version__, connection.vendor)
    return Sample("lockbox_build_info", 1, versions)


def _families(samples: Iterable[Sample]) -> list[object]:
    from prometheus_client.core import GaugeMetricFamily

    families = {}
    for sample in samples:
        if sample.name not in families:
            words, labels = {**monitoring.STATES, **OF_PROCESS}[sample.name]
            families[sample.name] = GaugeMetricFamily(sample.name, words, labels=labels)
        families[sample.name].add_metric(sample.labels, sample.value)
    return list(families.values())
