"""Runs one storm: sets it up, lets people act while faults happen, waits until all is calm, and checks."""

from __future__ import annotations

import datetime as dt
import json
import math
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from bench.storm import checks, faults, processes
from bench.storm.acts import Client, StormTarget
from bench.storm.checks import Violation
from bench.storm.faults import Fault, Weather
from bench.storm.installation import CUSTOMER_SECONDS, PROVIDER_SECONDS, WINDOWS, CannotStart, Installation, free_port
from bench.storm.journal import Journal
from bench.storm.lifecycle import ACCESS_REQUEST, Replay
from bench.storm.people import Board, Cast
from bench.storm.postgres import Server
from bench.storm.reading import CannotRead, Database, Reader
from bench.storm.receivers import Hooks, MailServer

CLIENTS, TENANTS = 16, 10
#: How many tenants have a webhook.
HOOKED = 4
#: The events for which the storm's webhooks are registered.
HOOK_EVENTS = sorted(ACCESS_REQUEST)
#: How long after the last fault the sweep must have closed what has ended.
GRACE = dt.timedelta(seconds=30)
#: The least and the most seconds to wait after the storm.
LEAST_CALM, LONGEST_CALM = 12.0, 900.0


@dataclass
class Result:
    """Everything that the report needs."""

    seed: int
    seconds: float
    database: str
    acts: list[Any]
    faults: list[Fault]
    violations: list[Violation]
    begun: float
    ended: float
    memory_begun: int = 0
    memory_ended: int = 0
    memory_peak: int = 0
    entries: int = 0
    mails: int = 0
    hook_messages: int = 0
    #: How many seconds it took to send the messages that had piled up.
    calm: float = 0.0
    problems: list[str] = field(default_factory=list)


class Storm:
    """A storm. All its files are below `directory`: data, logs, the journal, and what the receivers got."""

    def __init__(
        self, tree: Path, directory: Path, database: str, *, seed: int, seconds: float, pace: float = 1.0,
        clients: int = CLIENTS, calm_seconds: float = 90.0, small_disk: Path | None = None, with_faults: bool = True,
        tenants: int = TENANTS, kinds: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self.tree, self.directory, self.database, self.seed, self.seconds = tree, directory, database, seed, seconds
        self.pace, self.clients, self.calm_seconds, self.small_disk = pace, clients, calm_seconds, small_disk
        self.with_faults, self.kinds, self.tenants = with_faults, kinds, tenants
        directory.mkdir(parents=True, exist_ok=True)
        self.mail, self.hooks = MailServer(directory / "mails.jsonl"), Hooks(directory / "webhooks.jsonl")
        self.server: Server | None = None
        self.proxy: subprocess.Popen[str] | None = None
        self.proxy_port = 0
        self.notes: dict[str, list[str]] = {}
        self.hooked_since: dict[str, int] = {}
        self.problems: list[str] = []
        self.memory_peak, self.calm_took = 0, 0.0

    # --- From start to report ----------------------------------------------------------------------------------

    def run(self) -> Result:
        try:
            self.set_up()
            return self.storm()
        finally:
            self.clean_up()

    def set_up(self) -> None:
        self.mail.start()
        self.hooks.start()
        url = ""
        if self.database == "postgres":
            self.server = Server(self.directory / "postgres.log", disk=self.small_disk)
            self.server.create()
            self.proxy_port = free_port()
            self.proxy = faults.start_proxy(self.proxy_port, self.server.port)
            url = self.server.url(self.proxy_port)
        data = self.small_disk / "data" if self.small_disk and self.server is None else None
        self.installation = self._installed(url, data)
        self.installation.prepare(tenants=self.tenants)
        self.cast = Cast.read(self.installation.facts)
        self.rows = Database(self.installation, self.server)
        self.installation.start()
        self._add_webhooks()

    def storm(self) -> Result:
        journal = Journal(self.directory / "journal.jsonl")
        stop = threading.Event()
        weather = Weather(self.installation, self.mail, self.hooks, self.server, self.proxy, self.small_disk, self.seed)
        plan = faults.plan(
            self.seed, self.seconds, self.database, kinds=self.kinds, has_small_disk=self.small_disk is not None
        )
        callers = self._callers(journal, stop)
        with ThreadPoolExecutor(3) as arriving:
            list(arriving.map(Client.arrive, callers))
        memory_begun = processes.memory(self.installation.family())
        begun, wall = time.monotonic(), time.time()
        threads = [threading.Thread(target=caller.run, daemon=True) for caller in callers]
        threads.append(threading.Thread(target=weather.run, args=(plan if self.with_faults else [], begun, stop)))
        threads.append(threading.Thread(target=self._watch, args=(stop,), daemon=True))
        for thread in threads:
            thread.start()
        self.while_it_blows(begun)
        stop.wait(max(0.0, begun + self.seconds - time.monotonic()))
        stop.set()
        ended = time.time()
        for thread in threads:
            thread.join(120)
        self.problems += weather.problems + [crash for caller in callers for crash in caller.crashes]
        violations = self.calm_down_and_check(journal)
        result = Result(
            self.seed, self.seconds, self.database, journal.acts, weather.happened, violations, wall, ended,
            memory_begun, self.memory_ended, self.memory_peak, self.entries, len(self.mail.mails),
            len(self.hooks.messages), self.calm_took, self.problems,
        )  # fmt: skip
        journal.close()
        return result

    def while_it_blows(self, begun: float) -> None:
        """Do nothing here. The drill overrides this to make its backup during the storm."""

    def clean_up(self) -> None:
        if hasattr(self, "installation"):
            self.installation.stop()
        if self.proxy is not None:
            self.proxy.kill()
            self.proxy.wait(10)
        if self.server is not None:
            self.server.destroy()

    def _installed(self, url: str, data: Path | None) -> Installation:
        return Installation(self.tree, self.directory, database_url=url, mail_port=self.mail.port, data=data)

    # --- Setting up --------------------------------------------------------------------------------------------

    def _callers(self, journal: Journal, stop: threading.Event) -> list[Client]:
        here = self.installation
        place = StormTarget(here.port, self.tree, here.client, here.env, WINDOWS, self.pace)
        board, people = Board(), list(self.cast.people.values())
        return [
            Client(number, self.seed, place, self.cast, board, journal, people[number :: self.clients], stop)
            for number in range(self.clients)
        ]

    def _add_webhooks(self) -> None:
        """Confirm the administrators' identities, then add webhooks for their tenants."""
        here = self.installation
        line = Client(
            99, self.seed, StormTarget(here.port, self.tree, here.client, {}, WINDOWS, 1), self.cast, Board(),
            Journal(self.directory / "set-up.jsonl"), [], threading.Event(),
        )  # fmt: skip
        for number in range(min(HOOKED, self.tenants)):
            slug, admin = f"tenant-{number}", self.cast.people[f"admin-{number}"]
            while not line._proven(admin):
                time.sleep(1)
            act = line._act("api", "add webhook", admin.name, slug, "webhook.added")
            body = {"url": f"http://127.0.0.1:{self.hooks.port}/{slug}", "label": "Storm", "events": HOOK_EVENTS}
            answer = line._api(act, admin, "POST", f"/api/v1/tenants/{self.cast.tenants[slug]['id']}/webhooks", body)
            if answer.status != 201:
                raise CannotStart(f"The webhook was not added: {answer.status} {answer.text[:300]}")
            self.hooked_since[slug] = len(Reader(self.installation, self.cast).log(slug))

    def _watch(self, stop: threading.Event) -> None:
        """Until `stop` is set, store checkpoints outside, as an auditor does, and record the use of memory."""
        reader, number = Reader(self.installation, self.cast), 0
        while not stop.wait(3.0):
            slug = f"tenant-{number % len(self.cast.tenants)}"
            number += 1
            self.memory_peak = max(self.memory_peak, processes.memory(self.installation.family()))
            try:
                self.notes.setdefault(slug, []).append(reader.checkpoint(slug, tries=1))
            except CannotRead:
                continue

    # --- Ending ------------------------------------------------------------------------------------------------

    def calm_down_and_check(self, journal: Journal) -> list[Violation]:
        self.mail.manner = self.hooks.manner = "well"
        processes.send(signal.SIGCONT, *self.installation.family())
        self.memory_ended = processes.memory(self.installation.family())
        # A killed worker holds its lease on a message for two minutes. End the leases now.
        self.installation.stop()
        self.rows.bring_forward(claims=True)
        # After a storm, thousands of mails wait. More workers send them faster.
        self.installation.env["WORKERS"] = "8"
        self.installation.start()
        self._calm_down()
        self._stop_all_but_web()
        return self.check(journal.acts)

    def _calm_down(self) -> None:
        """Wait until every message is sent and every passed deadline is recorded.

        Stop waiting when the time limit is over. A long queue gets more time as long as it becomes shorter.
        """
        began = shorter_at = time.monotonic()
        self.calmed_at, fewest = dt.datetime.now(dt.UTC), math.inf
        while time.monotonic() < min(shorter_at + self.calm_seconds, began + LONGEST_CALM):
            try:
                # What has ended by now must be closed. What ends later need not be.
                self.calmed_at = dt.datetime.now(dt.UTC)
                self.rows.bring_forward()
                waiting = len(self.rows.outbox("waiting"))
                if time.monotonic() > began + LEAST_CALM and not waiting and not self._overdue():
                    break
                if waiting < fewest:
                    fewest, shorter_at = waiting, time.monotonic()
            except (sqlite3.Error, psycopg.Error) as failure:
                print(f"while calming down: {failure!r}", flush=True)
            time.sleep(4)
        self.calm_took = time.monotonic() - began

    def _overdue(self) -> bool:
        """Return whether the sweep has still not ended an access request or a window that is overdue."""
        past = (dt.datetime.now(dt.UTC) - dt.timedelta(seconds=1)).strftime("%Y-%m-%d %H:%M:%S")
        text = "SELECT 1 FROM requests_app_accessrequest WHERE state LIKE 'PENDING%' AND decide_by < '{}'"
        window = "SELECT 1 FROM requests_app_grant WHERE closed_at IS NULL AND closes_at < '{}'"
        return any(self.rows.rows(sql.format(past)) for sql in (text, window))

    def _stop_all_but_web(self) -> None:
        """Stop everything except the web server, which the checks still need."""
        self.installation.stop()
        self.installation.manage("checkpoint")
        with self.installation.log.open("ab") as out:
            self.installation.process = subprocess.Popen(
                [sys.executable, "manage.py", "lockbox", "--no-beat", "--clusters", "0"], cwd=self.tree,
                env=self.installation.env, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        self.installation.wait_until_ready()

    def check(self, acts: list[Any]) -> list[Violation]:
        reader, found = Reader(self.installation, self.cast), []
        logs = {slug: reader.log(slug) for slug in self.cast.tenants}
        (self.directory / "logs.json").write_text(json.dumps(logs))
        self.entries = sum(len(lines) for lines in logs.values())
        comments = self.rows.comments()
        found += checks.once(acts, checks.found_in(logs, comments))
        found += checks.answers(acts)
        addresses = {person.id: person.email for person in self.cast.people.values()}
        texts = _texts(self.mail.mails)
        # A mail about several access requests contains all their references.
        for slug, lines in logs.items():
            tenant = self.cast.tenants[slug]
            replay = self._replay(slug, lines)
            found += checks.replayed(slug, replay, self.calmed_at, GRACE)
            found += checks.rows_agree(replay, self.rows.of_tenant(tenant["id"]))
            found += checks.engineers_got_mail(replay, texts, addresses)
            found += checks.signed(slug, lines, [*self.notes.get(slug, []), reader.checkpoint(slug)])
            found += reader.verified(slug, self.directory)
            if slug in self.hooked_since:
                messages = [(number, body) for path, number, body in self.hooks.messages if path == f"/{slug}"]
                found += checks.hooks(slug, lines, messages, since=self.hooked_since[slug], events=HOOK_EVENTS)
        found += self._heads(reader, logs)
        found += checks.mails(self.mail.mails, self._delivered())
        found += checks.outbox_is_done(self.rows.outbox("waiting"), self.rows.outbox("parked"))
        return found

    def _replay(self, slug: str, lines: list[dict[str, Any]]) -> Replay:
        return Replay(
            dt.timedelta(seconds=PROVIDER_SECONDS), dt.timedelta(seconds=CUSTOMER_SECONDS),
            has_lockbox=self.cast.tenants[slug]["lockbox"],
        ).read(lines)  # fmt: skip

    def _heads(self, reader: Reader, logs: dict[str, list[dict[str, Any]]]) -> list[Violation]:
        """Check that the signed heads, which are stored outside the database, agree with the logs from the API."""
        found = []
        by_id = {self.cast.tenants[slug]["id"]: slug for slug in logs}
        for note in reader.heads():
            slug = next((slug for tenant, slug in by_id.items() if tenant in note.split("\n")[0]), "")
            if slug:
                found += checks.signed(f"{slug} (outside)", logs[slug], [note])
        return found

    def _delivered(self) -> list[tuple[str, str]]:
        """Return (Message-ID, recipient) of each mail that the outbox calls delivered.

        Messages in a combined mail are left out.
        """
        found = []
        for _number, recipient, _topic, rendered in self.rows.mails():
            content = json.loads(rendered) if isinstance(rendered, str) else rendered
            if content and content.get("message_id"):
                found.append((str(content["message_id"]), recipient))
        return found


def _texts(received: list[tuple[str, str, bytes]]) -> dict[str, str]:
    """Return, by address, the text of everything that was sent to it."""
    import email
    from email import policy

    found: dict[str, list[str]] = {}
    for _number, recipient, body in received:
        message = email.message_from_bytes(body, policy=policy.default)
        part = message.get_body(preferencelist=("plain",))
        text = part.get_content() if part is not None else ""
        found.setdefault(recipient, []).append(f"{message['Subject']}\n{text}")
    return {recipient: "\n".join(texts) for recipient, texts in found.items()}
