"""Two signers as real processes, whose network to the database or to the bucket is cut: the other signs meanwhile."""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection

from audit_app.models import SignerLease
from requests_app.domain import clock
from tests import object_store
from tests.audit.signers import TAKEN_OVER, TENANTS, Reach, Signers, load, require_sound
from tests.audit.test_checkpoints import append
from tests.stalling import Proxy

pytestmark = [
    pytest.mark.deep,
    pytest.mark.postgres,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(3600),
]

#: How often a network is cut: by a proxy that holds bytes back, and by a router that drops packets.
CUTS = {"proxies": 60, "packets": 16}
#: What the product takes for a call to the store. Proxies answer at once, so the tests with them need not wait so long.
S3_TIMEOUT = {"proxies": "1", "packets": "10"}


class Links(Protocol):
    """The ways of the signers to the database and to the bucket."""

    def reach(self, name: str) -> Reach: ...

    def cut(self, name: str, what: str, *, answers_only: bool) -> None: ...

    def heal(self, name: str) -> None: ...


class Proxies:
    """Bytes that were held back are delivered later, also those of a connection that was given up meanwhile."""

    def __init__(self, ports: dict[str, int], ending: ExitStack) -> None:
        self.of = {(name, what): Proxy(port) for name in ("a", "b") for what, port in ports.items()}
        for proxy in self.of.values():
            ending.callback(proxy.end)

    def reach(self, name: str) -> Reach:
        return _reach("127.0.0.1", {what: proxy.port for (of, what), proxy in self.of.items() if of == name})

    def cut(self, name: str, what: str, *, answers_only: bool) -> None:
        proxy = self.of[name, what]
        proxy.lose_answers() if answers_only else proxy.cut()

    def heal(self, name: str) -> None:
        for what in ("database", "bucket"):
            self.of[name, what].heal()


class Packets:
    """Each signer is in a network namespace of its own, behind a router, which drops its packets."""

    def __init__(self, ports: dict[str, int], ending: ExitStack) -> None:
        self.ports: dict[tuple[str, str], int] = {}
        for number, name in enumerate(("a", "b")):
            self._connect(name, f"10.213.{2 * number}", f"10.213.{2 * number + 1}", ending)
            for what, port in ports.items():
                proxy = Proxy(port, address=f"10.213.{2 * number}.1")
                ending.callback(proxy.end)
                self.ports[name, what] = proxy.port

    def _connect(self, name: str, here: str, there: str, ending: ExitStack) -> None:
        router, host = f"lockbox-r{os.getpid()}{name}", f"lockbox-h{os.getpid()}{name}"
        outer, inner = f"lbo{os.getpid() % 10**7}{name}", f"lbi{os.getpid() % 10**7}{name}"
        for space in (router, host):
            _run("ip", "netns", "add", space)
            ending.callback(_run, "ip", "netns", "delete", space)
        _run("ip", "link", "add", outer, "type", "veth", "peer", "name", "north", "netns", router)
        _run("ip", "-n", router, "link", "add", "south", "type", "veth", "peer", "name", inner, "netns", host)
        for space, device, address in (
            ("", outer, f"{here}.1/30"),
            (router, "north", f"{here}.2/30"),
            (router, "south", f"{there}.1/30"),
            (host, inner, f"{there}.2/30"),
        ):
            where = ("-n", space) if space else ()
            _run("ip", *where, "address", "add", address, "dev", device)
            _run("ip", *where, "link", "set", device, "up")
        _run("ip", "netns", "exec", router, "sh", "-c", "echo 1 >/proc/sys/net/ipv4/ip_forward")
        _run("ip", "-n", host, "route", "add", "default", "via", f"{there}.1")
        _run("ip", "route", "add", f"{there}.0/30", "via", f"{here}.2")

    def reach(self, name: str) -> Reach:
        number = ("a", "b").index(name)
        space = f"lockbox-h{os.getpid()}{name}"
        ports = {what: port for (of, what), port in self.ports.items() if of == name}
        return _reach(f"10.213.{2 * number}.1", ports, ("ip", "netns", "exec", space))

    def cut(self, name: str, what: str, *, answers_only: bool) -> None:
        port = self.ports[name, what]
        rules = f"tcp sport {port} drop" + ("" if answers_only else f"; tcp dport {port} drop")
        self._filter(name, f"add table ip cut {{ chain on {{ type filter hook forward priority 0; {rules}; }}; }}")

    def heal(self, name: str) -> None:
        self._filter(name, "delete table ip cut")

    def _filter(self, name: str, words: str) -> None:
        _run("ip", "netns", "exec", f"lockbox-r{os.getpid()}{name}", "nft", words)


def _reach(host: str, ports: dict[str, int], command: tuple[str, ...] = ()) -> Reach:
    return Reach(f"{host}:{ports['database']}", {"LOG_HEADS_S3_ENDPOINT": f"http://{host}:{ports['bucket']}"}, command)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture(params=["proxies", "packets"])
def way(request: pytest.FixtureRequest) -> str:
    if request.param == "packets" and (os.geteuid() != 0 or not (shutil.which("ip") and shutil.which("nft"))):
        pytest.skip("needs root, ip and nft")
    return str(request.param)


@pytest.fixture
def links(way: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Links, dict[str, Any]]]:
    """Yield the ways to the servers, and the settings of both signers. This process uses the bucket directly."""
    chosen: dict[str, Any] = {"LOG_LEASE_SECONDS": 0.5, "LOG_HEARTBEAT_SECONDS": 1}
    with ExitStack() as ending:
        endpoint = ending.enter_context(object_store.seaweedfs())
        chosen |= object_store.settings_of(endpoint) | {"LOG_HEADS": f"s3://{object_store.BUCKET}/log"}
        for name, value in chosen.items():
            monkeypatch.setattr(settings, name, value)
        ports = {"database": int(connection.settings_dict["PORT"]), "bucket": urlsplit(endpoint).port or 80}
        yield (Proxies if way == "proxies" else Packets)(ports, ending), chosen


def test_signers_whose_network_is_cut_never_sign_two_checkpoints_that_do_not_fit(
    way: str, links: tuple[Links, dict[str, Any]], tmp_path: Path
) -> None:
    ways, chosen = links
    append(1, tenant=TENANTS[2], at=clock.now())
    reach = {name: ways.reach(name) for name in ("a", "b")}
    both = Signers(tmp_path, chosen, reach, SIGNER_S3_TIMEOUT=S3_TIMEOUT[way])
    taken_over: dict[str, list[float]] = {"database": [], "bucket": []}
    returned: dict[str, list[float]] = {"database": [], "bucket": []}
    try:
        with load():
            both.wait_until_it_signs("a")
            for number in range(CUTS[way]):
                what = ("database", "bucket")[number % 2]
                time.sleep(random.uniform(0, 0.15))
                first = SignerLease.objects.get().host
                ways.cut(first, what, answers_only=number % 4 > 1)
                taken_over[what].append(both.wait_until_it_signs("b" if first == "a" else "a"))
                time.sleep(random.uniform(0, 3))
                ways.heal(first)
                # Nobody starts it again: it notices that the network is back.
                returned[what].append(both.wait_until_it_signs(first))
        for what in taken_over:
            for words, each in (("taken over after", taken_over[what]), ("back after", returned[what])):
                print(f"{way}, {what}: {words} {statistics.median(each):.1f} s (median), {max(each):.1f} s (most)")
        assert max(max(each) for each in (*taken_over.values(), *returned.values())) < TAKEN_OVER
        require_sound(both)
    finally:
        both.end()
