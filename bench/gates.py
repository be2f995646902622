"""Measure forward authentication through nginx, as it is shipped, with wrk. Each request has its committed entry."""

from __future__ import annotations

import datetime as dt
import os
import secrets
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import load, product
from bench.load import Load
from bench.measure import Result
from requests_app.domain import clock
from requests_app.models import (
    AccessRequest,
    AccessRequestResource,
    ContentAccess,
    Grant,
    OneTimeCode,
    Resource,
    Service,
    Tenant,
)
from requests_app.models.token_keys import signed
from requests_app.operations.gates import IDENTITY_TYPE, gate_session
from tests.cast import Cast
from tests.ports import free_port
from tests.proxies import stand

CONNECTIONS = (1, 8, 32)
#: How many tenants have a window in the loads of many tenants.
MANY = 1_000
#: For how many seconds no access is written when nothing is at work any more.
QUIET = 0.5


@dataclass(frozen=True)
class _Load:
    """What wrk does: on which port of nginx, with which requests, and on how many connections."""

    name: str
    port: int
    requests: Load
    connections: int
    is_judged: bool = True


def run(cast: Cast, seconds: int, bar: Any, *, only_aims: bool) -> tuple[list[Result], list[str]]:
    """Measure all loads, or only the one with an aim."""
    service = cast.web_tool()
    cast.proxy()
    grant = cast.in_quillo()
    with tempfile.TemporaryDirectory(dir=os.environ["DATA_DIR"]) as place, product.running() as running:
        if not load.has_wrk() or stand.path_of("nginx") is None:
            return [], ["gates: wrk and nginx are needed"]
        with (
            Load([_line("/tenants/7/pages", session_of(grant))]) as one,
            Load(_elsewhere(grant, service)) as many,
            _proxies(Path(place), running) as (pid, gate, plain, asking),
        ):
            most = CONNECTIONS[-1]
            aimed_at = _Load(f"{MANY:,} tenants", gate, many, most)
            if only_aims:
                return [_measured(aimed_at, seconds, running, pid, bar)], []
            loads = [_Load(f"{MANY:,} tenants", gate, many, connections) for connections in CONNECTIONS[:-1]]
            loads.append(aimed_at)
            loads.append(_Load("one tenant", gate, one, most))
            baselines = [("no gate", plain), ("a gate that is nginx’s own 200", asking)]
            loads += [_Load(name, port, one, most, is_judged=False) for name, port in baselines]
            results = [_measured(each, seconds, running, pid, bar) for each in loads]
            # Otherwise the first requests would make the key.
            signed({}, typ=IDENTITY_TYPE)
            Service.objects.filter(pk=service.pk).update(gate_identity=True)
            again = _Load(f"{MANY:,} tenants, with identity", gate, many, most)
            results.append(_measured(again, seconds, running, pid, bar))
    return results, []


def _measured(one: _Load, seconds: int, running: product.Product, nginx: int, bar: Any) -> Result:
    name = f"{one.name}, {one.connections} connections"
    ticking = bar.add_task(name, total=1)
    one.requests.run(one.port, connections=one.connections, seconds=2)
    rows = _written()
    before = (*running.used(), product.used_with_children(nginx))
    found = one.requests.run(one.port, connections=one.connections, seconds=seconds)
    after = (*running.used(), product.used_with_children(nginx))
    written = _written() - rows
    bar.advance(ticking)
    requests, failed = found.count, found.refused + found.broken
    # wrk does not wait for the answers of its last requests, so there can be more entries than answers.
    if failed or (one.is_judged and not requests <= written <= requests + one.connections):
        raise SystemExit(f"no: {name}: {failed} of {requests} failed, {written} were recorded")
    parts = zip(("web", "database", "nginx"), before, after, strict=True)
    spent = [f"{part} {(now - then) / max(requests, 1) * 1000:,.2f}" for part, then, now in parts if now - then > 0.05]
    return Result(name, found.seconds, found.wall, f"CPU ms: {', '.join(spent)}", requests)


def _written() -> int:
    """Return the number of accesses. A connection that wrk has just closed can still have a request at work."""
    found = -1
    while found != (found := ContentAccess.objects.count()):
        time.sleep(QUIET)
    return found


# --- Windows and sessions -------------------------------------------------------------------------------------


def _line(path: str, session: str) -> str:
    return load.line("GET", path, {"Host": "quillo.example", "Cookie": f"__Host-lockbox={session}"})


def session_of(grant: Grant) -> str:
    """Return the secret of a browser's session at the gate, as a redeemed code leaves it."""
    at, secret = clock.now(), secrets.token_urlsafe(32)
    code = OneTimeCode.objects.create(
        secret_hash=secrets.token_hex(32),
        tenant=grant.tenant,
        grant=grant,
        person=grant.engineer,
        service=grant.access_request.service,
        redirect_uri="https://quillo.example/.lockbox/code",
        challenge=secrets.token_urlsafe(32),
        made_at=at,
        expires_at=at + dt.timedelta(seconds=60),
        used_at=at,
    )
    gate_session(secret)(code, at)
    return secret


def _elsewhere(grant: Grant, service: Service) -> Iterator[str]:
    """Yield a request for each of the windows that are like this one, but each in another tenant."""
    for number, tenant in enumerate(Tenant.objects.filter(slug__startswith="tenant-").order_by("slug")[:MANY]):
        resource = Resource.objects.create(
            tenant=tenant, service=service, kind="workspace", name=f"notes {number}", external_id=f"t{number}",
            is_active=True,
        )  # fmt: skip
        asked: AccessRequest = AccessRequest.objects.get(pk=grant.access_request_id)
        asked.pk, asked.reference, asked.tenant, asked.ticket = uuid.uuid4(), f"T{number}", tenant, None
        asked.reason_kind, asked.authority, asked.instrument = "legal_demand", "A court", "An order"
        asked.demand_reference, asked.demand_date = f"No. {number}", asked.submitted_at.date()
        asked.save(force_insert=True)
        AccessRequestResource.objects.create(access_request=asked, resource=resource, position=0)
        other: Grant = Grant.objects.get(pk=grant.pk)
        other.pk, other.access_request, other.tenant = uuid.uuid4(), asked, tenant
        other.save(force_insert=True)
        yield _line(f"/tenants/t{number}/pages", session_of(other))


# --- nginx ----------------------------------------------------------------------------------------------------

#: The tool, which answers 200 with some bytes; the same tool without a gate; and behind a gate that allows everything.
_OTHERS = """
server {{ listen 127.0.0.1:{tool}; location / {{ return 200 "a page of the tool\\n"; }} }}
server {{ listen 127.0.0.1:{plain}; location / {{ proxy_pass http://127.0.0.1:{tool}; }} }}
server {{
    listen 127.0.0.1:{asking};
    location / {{ auth_request /gate; proxy_pass http://127.0.0.1:{tool}; }}
    location = /gate {{ internal; proxy_pass http://127.0.0.1:{tool}; proxy_pass_request_body off; }}
}}
"""


@contextmanager
def _proxies(place: Path, running: product.Product) -> Iterator[tuple[int, int, int, int]]:
    """Run nginx with one process. Yield its process id, and the ports with our gate, without one, and with its own."""
    ports = {name: free_port() for name in ("tool", "plain", "asking")}
    # Otherwise nginx closes each connection of wrk after its thousandth request.
    inner = f"keepalive_requests 100000000;\n{_OTHERS.format(**ports)}"
    lockbox, tool = f"127.0.0.1:{running.port}", f"127.0.0.1:{ports['tool']}"
    with stand.nginx(place, lockbox, tool, inner=inner) as gate:
        yield int((place / "pid").read_text()), gate, ports["plain"], ports["asking"]
