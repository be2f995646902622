"""Load the whole product for an hour, and plot the memory of its parts: it must not grow.

People open pages, access requests are submitted, approved and closed, engineers look at content, applications ask the
decision point, and event streams come and go. So all parts have work. A page of memory that processes share is divided
among them (PSS).
"""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from django.urls import reverse

from audit_app import keys
from bench import product, sizing
from bench.measure import Result
from requests_app import operations
from requests_app.domain.scopes import Scope
from requests_app.models import Grant
from tests.caller import token_of
from tests.cast import Cast

EVERY_SECONDS = 10.0
#: Seconds between two access requests that are taken through all their states.
PACE = 1.0
CLIENTS = 10
#: Seconds between two questions to the decision point, and between two items that an engineer opens.
ASKED_EVERY, OPENED_EVERY = 0.1, 1.0
#: Who reads event streams of Contoso, each for so many seconds, again and again.
READERS, STREAM_SECONDS = ("ada", "alan", "otto"), 30.0
#: Seconds after a call that was not answered.
PAUSE = 5.0
#: The first part of the time is left out of the judgement: caches fill, and threads open their connections.
SETTLING = 0.25
WIDTH, HEIGHT, LEFT, BELOW = 760, 300, 60, 40
COLOURS = {"all": "#444", "supervisor": "#888", "web": "#06c", "clusters": "#c60", "beat": "#090"}


@dataclass
class Curve:
    """The memory of one part, in bytes: the seconds since the beginning, and the memory at each of them."""

    at: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)

    def growth(self) -> float:
        """Return by how many bytes an hour the memory grows, by least squares over the time after the settling."""
        since = self.at[-1] * SETTLING
        points = [(at, memory) for at, memory in zip(self.at, self.memory, strict=True) if at >= since]
        middle = sum(at for at, _memory in points) / len(points)
        spread = sum((at - middle) ** 2 for at, _memory in points)
        return 3600 * sum((at - middle) * memory for at, memory in points) / spread if spread else 0.0

    def quarters(self) -> list[float]:
        """Return the mean of the memory in each quarter of the time."""
        end = self.at[-1] + 1
        parts: list[list[int]] = [[] for _ in range(4)]
        for at, memory in zip(self.at, self.memory, strict=True):
            parts[int(4 * at / end)].append(memory)
        return [sum(part) / len(part) for part in parts if part]


def run(cast: Cast, minutes: float, rate: float, plot: Path, bar: Any) -> tuple[list[Result], list[str]]:
    """Load the product for so many minutes, and write the plot. Return the growth, and a line for each part.

    A rate of 0.5 is half of the usual load.
    """
    keys.create()
    people = sizing.people(cast)
    cookies = [sizing.cookie(person) for person in people[:CLIENTS]]
    curves: dict[str, Curve] = {}
    stopping = threading.Event()
    grant = cast.opened(ticket=cast.ticket(), window_for=4 * 3600)
    made = cast.own_client("Gateway", [Scope.EVALUATE])
    gateway = operations.issue_access_token(made.row, scopes=frozenset({Scope.EVALUATE})).secret
    readers = [token_of(cast, name, Scope.LOG_READ) for name in READERS]
    priya = sizing.cookie(cast.people["priya"])
    with product.running(whole=True, EMAIL_URL="dummymail://") as running:
        found, calls = sizing.Found([]), Calls(running.port, stopping)
        loads = [
            partial(sizing.load, running.port, cookies, int(minutes * 60), found, pace=sizing.PACE / rate),
            partial(_live, cast, PACE / rate, stopping),
            partial(calls.repeat, ASKED_EVERY / rate, partial(calls.ask, gateway, _question(grant))),
            partial(calls.repeat, OPENED_EVERY / rate, partial(calls.open, priya, _items(cast, grant))),
            *[partial(calls.repeat, 0.0, partial(calls.follow, reader, cast.contoso.pk)) for reader in readers],
        ]
        threads = [threading.Thread(target=load, daemon=True) for load in loads]
        for thread in threads:
            thread.start()
        _watch(running, minutes * 60, curves, bar)
        stopping.set()
        for thread in threads:
            thread.join(60)
    plot.write_text(svg(curves), encoding="utf-8")
    lines = [
        f"{len(found.seconds)} pages were opened, and {found.failed} of them were not answered with 200.",
        str(calls),
    ]
    for name, curve in curves.items():
        lines.append(
            f"{name}: {curve.memory[0] / 1e6:,.0f} MB at the beginning, {max(curve.memory) / 1e6:,.0f} at most, "
            f"{curve.memory[-1] / 1e6:,.0f} at the end; {curve.growth() / 1e6:+,.1f} MB an hour; mean of each quarter "
            f"{', '.join(f'{mean / 1e6:,.1f}' for mean in curve.quarters())} MB"
        )
    growth = {"megabytes": curves["all"].growth() / 1e6}
    results = [Result("growth of all parts", found.seconds, minutes * 60, "none", numbers=growth)]
    return results, [*lines, f"The plot is in {plot}."]


class Calls:
    """Calls of one kind after the other, until `stopping` is set."""

    def __init__(self, port: int, stopping: threading.Event) -> None:
        self._port, self._stopping = port, stopping
        self._made, self._failed = Counter[str](), Counter[str]()

    def __str__(self) -> str:
        made = ", ".join(f"{count} {what}" for what, count in self._made.items())
        failed = ", ".join(f"{count} {what}" for what, count in self._failed.items())
        return f"{made}. Not answered with 200: {failed or 'none'}."

    def repeat(self, every: float, call: Callable[[], object]) -> None:
        while not self._stopping.wait(every):
            try:
                call()
            except (OSError, http.client.HTTPException) as failure:
                self._failed[type(failure).__name__] += 1
                self._stopping.wait(PAUSE)

    def ask(self, secret: str, question: str) -> None:
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        self._get("questions", "POST", "/access/v1/evaluation", headers, question)

    def open(self, cookie: str, paths: Iterator[str]) -> None:
        self._get("items", "GET", next(paths), {"Cookie": cookie})

    def follow(self, secret: str, tenant_id: Any) -> None:
        """Read an event stream for some time, as a client does that connects again and again."""
        headers = {"Authorization": f"Bearer {secret}", "Accept": "text/event-stream"}
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)) as connection:
            connection.request("GET", f"/api/v1/tenants/{tenant_id}/events", headers=headers)
            answer = connection.getresponse()
            self._count("event streams", answer.status)
            until = time.monotonic() + STREAM_SECONDS
            while answer.status == 200 and time.monotonic() < until and not self._stopping.is_set():
                if not answer.read1(65536):
                    return

    def _get(self, what: str, method: str, path: str, headers: dict[str, str], body: str | None = None) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)) as connection:
            connection.request(method, path, body, {"Host": f"localhost:{self._port}", **headers})
            answer = connection.getresponse()
            answer.read()
            self._count(what, answer.status)

    def _count(self, what: str, status: int) -> None:
        self._made[what] += 1
        if status != 200:
            self._failed[f"{what} ({status})"] += 1
            self._stopping.wait(PAUSE)


def _question(grant: Grant) -> str:
    resource = grant.access_request.scope.get().resource_id
    return json.dumps(
        {
            "subject": {"type": "engineer", "id": grant.engineer.email},
            "action": {"name": "read"},
            "resource": {"type": "exchange-online", "id": str(resource)},
            "context": {"purpose": "access", "item": "1.mail"},
        }
    )


def _items(cast: Cast, grant: Grant) -> Iterator[str]:
    """Yield the addresses of the items of a mailbox, again and again."""
    for number in itertools.cycle(range(200)):
        yield reverse("web:window_item", args=[grant.pk, cast.resource().pk], query={"id": f"{number}.mail"})


def _watch(running: product.Product, seconds: float, curves: dict[str, Curve], bar: Any) -> None:
    begun = time.monotonic()
    ticking = bar.add_task("growth", total=seconds)
    while (passed := time.monotonic() - begun) < seconds:
        parts = {name: part.memory for name, part in sizing.parts(running).items()}
        for name, memory in {"all": sum(parts.values()), **parts}.items():
            curve = curves.setdefault(name, Curve())
            curve.at.append(passed)
            curve.memory.append(memory)
        bar.update(ticking, completed=passed)
        time.sleep(EVERY_SECONDS)


def _live(cast: Cast, pace: float, stopping: threading.Event) -> None:
    """Take access requests through their states, so that there are mails, entries and ends."""
    while not stopping.wait(pace):
        grant = cast.opened(ticket=cast.ticket())
        operations.release(grant.access_request_id, actor=cast.as_("priya"))


def svg(curves: dict[str, Curve]) -> str:
    """Return a picture of the curves: megabytes over minutes."""
    last = max(curve.at[-1] for curve in curves.values()) or 1.0
    most = max(max(curve.memory) for curve in curves.values()) * 1.1
    inner, high = WIDTH - LEFT - 110, HEIGHT - BELOW - 10

    def across(at: float) -> float:
        return LEFT + inner * at / last

    def up(memory: float) -> float:
        return HEIGHT - BELOW - high * memory / most

    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT + inner / 2}" y="{HEIGHT - 6}" text-anchor="middle">minutes</text>',
        '<text x="6" y="14">MB (PSS)</text>',
    ]
    for step in range(5):
        memory, at = most * step / 4, last * step / 4
        lines += [
            f'<path d="M{LEFT} {up(memory):.0f}H{LEFT + inner}" stroke="#ddd"/>',
            f'<text x="{LEFT - 6}" y="{up(memory) + 4:.0f}" text-anchor="end">{memory / 1e6:.0f}</text>',
            f'<text x="{across(at):.0f}" y="{HEIGHT - BELOW + 18}" text-anchor="middle">{at / 60:.1f}</text>',
        ]
    for name, curve in curves.items():
        points = " ".join(f"{across(at):.1f},{up(m):.1f}" for at, m in zip(curve.at, curve.memory, strict=True))
        colour = COLOURS.get(name, "#a0a")
        lines += [
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>',
            f'<text x="{LEFT + inner + 6}" y="{up(curve.memory[-1]) + 4:.0f}" fill="{colour}">{name}</text>',
        ]
    return "\n".join([*lines, "</svg>\n"])
