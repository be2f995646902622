"""Read what a storm has left: logs and evidence through the API, and rows and heads with SQL of its own."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from bench.storm.calling import Line
from bench.storm.checks import Violation
from bench.storm.installation import Installation
from bench.storm.people import Cast
from bench.storm.postgres import Server

_TABLE = "requests_app_"


class Database:
    """Reads a few of the product's tables. UUIDs are returned in the form that the API uses."""

    def __init__(self, installation: Installation, server: Server | None) -> None:
        self.path, self.server = Path(installation.env["DATA_DIR"]) / "lockbox.sqlite3", server

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        if self.server is not None:
            with self.server.connect() as connection:
                found = connection.execute(sql).fetchall()
        else:
            connection_ = sqlite3.connect(self.path, timeout=30)
            try:
                found = connection_.execute(sql).fetchall()
            finally:
                connection_.close()
        return [tuple(_plain(value) for value in row) for row in found]

    def do(self, sql: str) -> None:
        if self.server is not None:
            with self.server.connect() as connection:
                connection.execute(sql)
        else:
            connection_ = sqlite3.connect(self.path, timeout=30)
            with connection_:
                connection_.execute(sql)
            connection_.close()

    def comments(self) -> dict[str, str]:
        return dict(self.rows(f"SELECT id, body FROM {_TABLE}ticketcomment"))

    def of_tenant(self, tenant: str) -> dict[str, dict[str, Any]]:
        key = tenant if self.server is not None else tenant.replace("-", "")
        of = f"WHERE tenant_id = '{key}'"
        return {
            "asked": dict(self.rows(f"SELECT id, state FROM {_TABLE}accessrequest {of}")),
            "tickets": dict(self.rows(f"SELECT id, state FROM {_TABLE}ticket {of}")),
            "grants": {
                pk: closed is not None for pk, closed in self.rows(f"SELECT id, closed_at FROM {_TABLE}grant {of}")
            },
        }

    def bring_forward(self, *, claims: bool = False) -> None:
        """Make waiting messages due now, because the storm does not wait hours for their next attempt.

        With `claims`, also end their leases. Use this only if no process is left that could hold a lease.
        """
        also = ", claimed_until = NULL" if claims else ""
        self.do(
            f"UPDATE {_TABLE}outboxmessage SET next_attempt_at = '2020-01-01 00:00:00'{also} WHERE state = 'waiting'"
        )

    def outbox(self, state: str) -> list[str]:
        sql = f"SELECT lane, topic, recipient, attempts, last_error FROM {_TABLE}outboxmessage WHERE state = '{state}'"
        return [" ".join(str(value) for value in row) for row in self.rows(sql)]

    def mails(self) -> list[tuple[str, str, str, Any]]:
        # If a mail was out of date, its row has a note, and nothing was sent.
        of = "WHERE lane = 'mail' AND state = 'delivered' AND last_error = ''"
        sql = f"SELECT id, recipient, topic, rendered FROM {_TABLE}outboxmessage {of}"
        return self.rows(sql)


def _plain(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, str) and len(value) == 32 and not set(value) - set("0123456789abcdef"):
        return str(UUID(value))
    return value


class Reader:
    """Reads through the API, with the token of an auditor in each tenant."""

    def __init__(self, installation: Installation, cast: Cast) -> None:
        self.installation, self.cast = installation, cast
        self.line = Line(installation.port, "10.9.200.1")

    def get(self, slug: str, path: str, accept: str = "*/*", *, tries: int = 20) -> bytes:
        tenant = self.cast.tenants[slug]
        token = self.cast.people[f"audit-{slug.rpartition('-')[2]}"].token
        headers = {"Authorization": f"Bearer {token}", "Accept": accept}
        for _ in range(tries):
            answer = self.line.call("GET", f"/api/v1/tenants/{tenant['id']}/{path}", None, headers)
            if answer.status not in (0, 429, 503):
                break
            # A slow machine must not end the storm before it is checked.
            time.sleep(1)
        if answer.status != 200:
            raise CannotRead(f"{path} of {slug}: {answer.status} {answer.lost} {answer.text[:300]}")
        return answer.body

    def log(self, slug: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.get(slug, "log/export?format=jsonl").decode().splitlines()]

    def checkpoint(self, slug: str, *, tries: int = 20) -> str:
        return self.get(slug, "log/checkpoint", "text/plain", tries=tries).decode()

    def verified(self, slug: str, directory: Path) -> list[Violation]:
        """Download evidence of the whole log, and verify it with the verifier, which uses no code of the product."""
        bundle = directory / f"{slug}.zip"
        bundle.write_bytes(self.get(slug, "log/evidence"))
        key = directory / f"{slug}.key"
        key.write_text("\n".join(json.loads(self.get(slug, "log"))["keys"]) + "\n")
        program = Path(__file__).resolve().parents[2] / "verify" / "lockbox_verify.py"
        done = subprocess.run(
            [sys.executable, "-I", str(program), "verify", str(bundle), "--key", str(key)], capture_output=True,
            text=True, timeout=300,
        )  # fmt: skip
        if done.returncode == 0:
            return []
        return [Violation("the verifier does not say GOOD", f"{slug}: {done.stdout[-600:]}{done.stderr[-300:]}")]

    def heads(self) -> list[str]:
        """Return the notes of the heads that the product stores outside the database."""
        path = Path(self.installation.env["DATA_DIR"]) / "log_heads.sqlite3"
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return [note for (note,) in connection.execute("SELECT note FROM heads")]
        finally:
            connection.close()


class CannotRead(Exception):
    pass
