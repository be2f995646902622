"""Calls one installation from many threads, in a process without Django. Prints the result of each act.

Usage: python -m tests.concurrency.embedded_callers NUMBER SECONDS < the world as JSON
"""

from __future__ import annotations

import http.client
import itertools
import json
import random
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from urllib.parse import quote

#: In seconds. Longer than a writer of SQLite waits for other writers.
PATIENCE = 60
Act = dict[str, Any]
#: A sentence of the page for each error of a busy database.
PAGES = {"store_unavailable": b"reach its database", "outcome_unknown": b"know whether this was saved"}


class Callers:
    """The threads of one process. `acts` has every act that they tried, with the status of its response."""

    def __init__(self, world: dict[str, Any], number: int) -> None:
        self.world, self.number = world, number
        self.acts: list[Act] = []
        self._local = threading.local()
        self._count = itertools.count()
        self._dice = random.Random(number)

    # --- One call ---------------------------------------------------------------------------------------------

    def _connection(self) -> http.client.HTTPConnection:
        if not hasattr(self._local, "connection"):
            self._local.connection = http.client.HTTPConnection("127.0.0.1", self.world["port"], timeout=PATIENCE)
        stored: http.client.HTTPConnection = self._local.connection
        return stored

    def close(self) -> None:
        """Close this thread's connection."""
        self._connection().close()

    def call(
        self, kind: str, method: str, path: str, who: str, body: Any = None, *, key: str = "", **headers: str
    ) -> tuple[int, Any, Any]:
        """Make a call as a person, and return the response. The call is recorded in `acts`.

        A call of the API has the person's token, and a page has their cookie.
        """
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent |= {"Host": f"127.0.0.1:{self.world['port']}"}
        if path.startswith(("/api/", "/access/")):
            sent |= {"Authorization": f"Bearer {self.world['tokens'][who]}"}
        else:
            sent |= {"Cookie": self.world["cookies"][who]}
        content = None
        if body is not None:
            content, sent["Content-Type"] = json.dumps(body), "application/json"
        connection, status, code, answer, given = self._connection(), 0, "", b"", None
        try:
            connection.request(method, path, content, sent)
            response = connection.getresponse()
            answer, status, given = response.read(), response.status, response.headers
        except (OSError, http.client.HTTPException) as failure:
            connection.close()
            code = repr(failure)
        if status >= 400:
            code = _code_of(answer, path)
        self.acts.append({"kind": kind, "key": key, "who": who, "status": status, "code": code})
        if status == 429:
            time.sleep(0.2)
        return status, answer, given

    def _key(self) -> str:
        return f"key-{self.number}-{next(self._count)}."

    # --- Acts -------------------------------------------------------------------------------------------------

    def comment(self, who: str) -> None:
        key, tenant = self._key(), self._tenant_of(who)
        ticket = self._dice.choice(tenant["tickets"])
        self.call("comment", "POST", f"/api/v1/tickets/{ticket}/comments", who, {"body": key}, key=key)

    def ticket(self, who: str) -> None:
        key, tenant = self._key(), self._tenant_of(who)
        body = {"tenant": tenant["id"], "service": "exchange-online", "title": key, "body": "It is broken."}
        self.call("ticket", "POST", "/api/v1/tickets", who, body, key=key)

    def export(self, who: str) -> None:
        self.call("export", "GET", f"/api/v1/tenants/{self._tenant_of(who)['id']}/log/export?format=jsonl", who)

    def evidence(self, who: str) -> None:
        self.call("evidence", "GET", f"/api/v1/tenants/{self._tenant_of(who)['id']}/log/evidence", who)

    def download(self, who: str) -> None:
        place, item = self._window(), self._dice.choice(self.world["items"])
        self.call("download", "GET", f"{place}raw/?id={quote(item)}", who, key=item)

    def look(self, who: str) -> None:
        place, item = self._window(), self._dice.choice(self.world["items"])
        self.call("look", "GET", f"{place}item/?id={quote(item)}", who, key=item)

    def names(self, who: str) -> None:
        self.call("names", "GET", self._window(), who)

    def wait(self, who: str) -> None:
        self.call("wait", "GET", f"/api/v1/tenants/{self._tenant_of(who)['id']}/events?wait=1", who)

    def follow(self, who: str) -> None:
        """Read the start of a stream of events, then close the connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.world["port"], timeout=PATIENCE)
        headers = {"Accept": "text/event-stream", "Authorization": f"Bearer {self.world['tokens'][who]}"}
        status, code = 0, ""
        try:
            connection.request("GET", f"/api/v1/tenants/{self._tenant_of(who)['id']}/events?after=0", headers=headers)
            with connection.getresponse() as answer:
                begun, status = answer.read1(4096), answer.status
            code = _code_of(begun, "/api/") if status >= 400 else ""
        except (OSError, http.client.HTTPException) as failure:
            code = repr(failure)
        finally:
            connection.close()
        self.acts.append({"kind": "follow", "key": "", "who": who, "status": status, "code": code})

    def evaluate(self, who: str) -> None:
        key = self._key()
        window = self.world["window"]
        question = {
            "subject": {"type": "engineer", "id": window["engineer"]},
            "action": {"name": "read"},
            "resource": {"type": "exchange-online", "id": window["resource"]},
            "context": {"purpose": "access", "item": key},
        }
        self.call("evaluate", "POST", "/access/v1/evaluation", who, question, key=key)

    def ask_and_decide(self, who: str) -> None:
        """Submit an access request and approve it as the provider.

        Then two of the customer's people decide simultaneously.
        """
        key, slug = self._key(), self._dice.choice(list(self.world["deciders"]))
        tenant = self.world["tenants"][slug]
        body = {
            "ticket": self._dice.choice(tenant["tickets"]), "resources": [tenant["resource"]], "level": "read",
            "window_seconds": 1800, "tried": "Rebuilt the index, and read the log of the service itself.",
            "justification": f"{key} Nothing else shows why the invoices are missing.",
        }  # fmt: skip
        status, answer, _ = self.call("ask", "POST", "/api/v1/access-requests", who, body, key=key)
        if status != 201:
            return
        path = f"/api/v1/access-requests/{json.loads(answer)['id']}"
        if self._decide(path, "pat", "approve", key)[0] != 200:
            return
        with ThreadPoolExecutor(2) as pool:
            both = zip(self.world["deciders"][slug], ("approve", "deny"), strict=True)
            for each in [pool.submit(self._decide, path, name, verdict, key) for name, verdict in both]:
                each.result()

    def _decide(self, path: str, who: str, verdict: str, key: str) -> tuple[int, Any, Any]:
        status, answer, headers = self.call("read", "GET", path, who)
        if status != 200:
            return status, answer, headers
        body = {"comment": "No other way."}
        return self.call(verdict, "POST", f"{path}/{verdict}", who, body, key=key, If_Match=headers["ETag"])

    def _tenant_of(self, who: str) -> dict[str, Any]:
        tenant: dict[str, Any] = self.world["tenants"][self.world["homes"].get(who, "contoso")]
        return tenant

    def _window(self) -> str:
        return f"/windows/{self.world['window']['grant']}/{self.world['window']['resource']}/"

    # --- All acts together ------------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        parts = self._parts()
        with ThreadPoolExecutor(len(parts)) as pool:
            for each in [pool.submit(self._until, until, acts) for acts in parts]:
                each.result()

    def _parts(self) -> list[list[tuple[Callable[[str], None], str]]]:
        """Return, for each thread, the acts that it repeats, each with the person who does it."""
        return [
            [(self.comment, "mia"), (self.evaluate, "gateway"), (self.comment, "fred")],
            [(self.export, "otto"), (self.comment, "priya"), (self.evidence, "ines"), (self.ticket, "ada")],
            [(self.download, "priya")],
            [(self.follow, "alan"), (self.look, "priya"), (self.wait, "ada"), (self.names, "priya")],
            [(self.ask_and_decide, ("erik", "bea")[self.number % 2])],
        ]

    def _until(self, until: float, acts: list[tuple[Callable[[str], None], str]]) -> None:
        """Repeat these acts until the time is over. Do each act at least once, even on a slow machine."""
        for number, (act, who) in enumerate(itertools.cycle(acts), 1):
            act(who)
            if number >= len(acts) and time.monotonic() > until:
                break


def _code_of(answer: bytes, path: str) -> str:
    """Return the code in a problem document. For a page, return the code of the sentence that the page shows."""
    if path.startswith(("/api/", "/access/")):
        with suppress(ValueError, KeyError):
            return str(json.loads(answer)["code"])
    else:
        for code, words in PAGES.items():
            if words in answer:
                return code
    return answer[:500].decode(errors="replace")


def main(number: int, seconds: float) -> None:
    callers = Callers(json.load(sys.stdin), number)
    callers.run(seconds)
    json.dump(callers.acts, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
