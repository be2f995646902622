"""A real web server, and a tenant's log that another session has locked.

More calls wait for it than there are threads.
"""

from __future__ import annotations

import http.client
import json
import statistics
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from requests_app import operations
from requests_app.domain.scopes import Scope
from requests_app.models import ContentAccess
from tests.cast import gather
from tests.database.test_bounds import held
from tests.ports import free_port
from tests.stopwatch import in_time
from tests.tasks.conftest import STOP_SECONDS, Start, web_alone

pytestmark = [pytest.mark.slow, pytest.mark.timed, pytest.mark.postgres, pytest.mark.real_clock]

CALLS = 100
#: How many seconds the locked log may add to other tenants' calls. Calls for the locked log wait nearly two seconds
#: each.
ADDED = 1.0
#: The address from which each tenant calls. Calls from one address wait behind each other, for at most five seconds.
ADDRESSES = {"contoso": "127.0.0.1", "fabrikam": "127.0.0.2"}


class Site:
    def __init__(self, port: int) -> None:
        self.port, self.cast = port, gather()
        for tenant in ("contoso", "fabrikam"):
            self.cast.opened(tenant=tenant)
        scopes = frozenset({Scope.EVALUATE})
        made = self.cast.own_client("Gateway", sorted(scopes))
        secret = operations.issue_access_token(made.row, scopes=scopes).secret
        self.headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        self.questions = {
            tenant: json.dumps(
                {
                    "subject": {"type": "engineer", "id": str(self.cast.priya.pk)},
                    "action": {"name": "list"},
                    "resource": {"type": "exchange-online", "id": str(self.cast.resource(tenant).pk)},
                    "context": {"purpose": "access", "item": "1.mail"},
                }
            )
            for tenant in ("contoso", "fabrikam")
        }

    def ask(self, tenant: str) -> tuple[int, float, Any]:
        return self._call("POST", "/access/v1/evaluation", self.questions[tenant], ADDRESSES[tenant])

    def get(self, path: str) -> tuple[int, float, Any]:
        return self._call("GET", path, None, ADDRESSES["fabrikam"])

    def _call(self, method: str, path: str, body: str | None, address: str) -> tuple[int, float, Any]:
        began = time.monotonic()
        line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300, source_address=(address, 0))
        with closing(line):
            line.request(method, path, body, self.headers)
            answer = line.getresponse()
            answer.read()
            return answer.status, time.monotonic() - began, answer.getheader("Retry-After")


@pytest.fixture
def site(start: Start) -> Iterator[Site]:
    port = free_port()
    site = Site(port)
    running = web_alone(start, port, WEB_THREADS="16", DJANGO_SETTINGS_MODULE="tests.tasks.web_settings")
    yield site
    running.stop(within=STOP_SECONDS)


def storm(site: Site) -> tuple[list[tuple[int, float, Any]], list[tuple[int, float, Any]]]:
    """Make many calls for one tenant, whose log may be locked, and meanwhile calls for another tenant and the probe.

    Return two lists of responses: for the first tenant, and all others.
    """
    answers: list[tuple[int, float, Any]] = []
    clients = [threading.Thread(target=lambda: answers.append(site.ask("contoso"))) for _ in range(CALLS)]
    for client in clients:
        client.start()
    others = []
    for _ in range(10):
        others += [site.ask("fabrikam"), site.get("/healthz")]
        time.sleep(0.1)
    for client in clients:
        client.join()
    return answers, others


def test_calls_for_a_log_that_somebody_holds_delay_no_other_tenant_and_no_probe(site: Site) -> None:
    assert site.ask("contoso")[0] == site.ask("fabrikam")[0] == 200
    answers, others = storm(site)
    # The clients alone keep the machine busy. So the test first measures without the lock.
    usual = statistics.median(seconds for _, seconds, _ in others)
    before = ContentAccess.objects.filter(tenant=site.cast.contoso).count()
    with held(site.cast.contoso.pk):
        answers, others = storm(site)
    assert {status for status, _, _ in others} == {200}
    in_time(statistics.median(seconds for _, seconds, _ in others) < usual + ADDED, others)
    # Most calls give up after about two seconds of waiting for the log. The others wait too long for a thread.
    refused = Counter((status, again) for status, _, again in answers)
    assert refused.total() == CALLS
    assert (503, "5") in refused
    assert set(refused) <= {(503, "5"), (503, "2")}
    assert ContentAccess.objects.filter(tenant=site.cast.contoso).count() == before
    assert site.ask("contoso")[0] == 200
