"""The people and clients of a storm, and the board that lists what they can do."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import random
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.storm.calling import Answer

#: In seconds. An approval needs a confirmation within five minutes, and a slow machine needs some time.
PROOF_SECONDS = 240.0
STEP_SECONDS = 30


def totp(secret: str, step: int) -> str:
    """Return the code that an authenticator app shows in this time step of 30 seconds (RFC 6238)."""
    digest = hmac.new(base64.b32decode(secret), step.to_bytes(8, "big"), hashlib.sha1).digest()
    start = digest[-1] & 15
    return f"{(int.from_bytes(digest[start : start + 4], 'big') & 0x7FFFFFFF) % 10**6:06}"


@dataclass
class Person:
    """A person with a browser, a token and an authenticator app.

    In a storm, only one thread acts as this person.
    """

    name: str
    id: str
    email: str
    side: str
    tenant: str
    roles: list[str]
    token: str
    secret: str
    password: str
    cookies: dict[str, str] = field(default_factory=dict)
    signed_in_at: float = 0.0
    token_proven_at: float = 0.0
    last_step: int = 0

    def next_code(self) -> str:
        """Return a code that was not used before, or "" if the app shows no such code yet.

        The code of the next time step is accepted too, so it can be used early.
        """
        now = int(time.time()) // STEP_SECONDS
        step = max(self.last_step + 1, now)
        if step > now + 1:
            return ""
        self.last_step = step
        return totp(self.secret, step)

    def keep_code(self, answer: Answer) -> None:
        """Make the last code usable again, if the answer says that nothing was changed.

        The server has not used up the code in this case.
        """
        if answer.status == 503:
            self.last_step -= 1

    def is_a(self, *roles: str) -> bool:
        return not set(roles).isdisjoint(self.roles)

    @property
    def token_is_proven(self) -> bool:
        return time.monotonic() - self.token_proven_at < PROOF_SECONDS and self.token_proven_at > 0


@dataclass
class Machine:
    """A client of the API. With its secret, it gets a token that is valid for an hour."""

    name: str
    id: str
    secret: str
    account: str
    tenant: str
    token: str = ""


@dataclass
class Ticket:
    id: str
    tenant: str
    state: str = "NEW"
    reference: str = ""
    comments: int = 0


@dataclass
class Asked:
    """An access request as the callers know it.

    `tried` has a pair (person, act) for each act that a person has tried, with any outcome.
    """

    id: str
    tenant: str
    engineer: str
    state: str = "PENDING_PROVIDER"
    grant: str = ""
    closes_at: float = 0.0
    changed: float = 0.0
    tried: set[tuple[str, str]] = field(default_factory=set)


class Board:
    """What the callers know about tickets, access requests and people. All callers share it. It may be out of date."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.tickets: dict[str, Ticket] = {}
        self.asked: dict[str, Asked] = {}
        self.users: dict[str, list[str]] = {}

    def put_ticket(self, row: Ticket) -> None:
        with self._lock:
            self.tickets.setdefault(row.id, row)

    def put_asked(self, row: Asked) -> None:
        with self._lock:
            self.asked.setdefault(row.id, row)

    def ticket(self, dice: random.Random, tenant: str | None, *states: str) -> Ticket | None:
        """Return a random one of the newest tickets in these states, or None if no ticket has such a state.

        With `tenant`, only tickets of this tenant count.
        """
        with self._lock:
            rows = [row for row in self.tickets.values() if tenant in (None, row.tenant) and row.state in states]
        return dice.choice(rows[-40:]) if rows else None

    def access_request(
        self, dice: random.Random, *states: str, tenant: str | None = None, engineer: str | None = None,
        untried_by: str = "",
    ) -> Asked | None:  # fmt: skip
        with self._lock:
            rows = [
                row
                for row in self.asked.values()
                if row.state in states and tenant in (None, row.tenant) and engineer in (None, row.engineer)
                and not any(who == untried_by for who, _what in row.tried)
            ]  # fmt: skip
        return dice.choice(rows[-60:]) if rows else None

    def try_once(self, row: Asked, who: str, what: str) -> bool:
        """Record that this human tries this act. Return False if they have tried it before.

        A caller must not try twice, because the log would then seem to have a repeated act.
        """
        with self._lock:
            if (who, what) in row.tried:
                return False
            row.tried.add((who, what))
            return True


class Cast:
    """All people and clients, read from the file that world.py wrote."""

    def __init__(self, world: dict[str, Any]) -> None:
        self.world = world
        tokens = world["callers"]["tokens"]
        self.people = {
            name: Person(
                name, found["id"], found["email"], found["side"], found["tenant"], found["roles"], tokens[name],
                world["secret"], world["password"],
            )
            for name, found in world["people"].items()
        }  # fmt: skip
        self.machines = self._machines("machines")
        self.directories = self._machines("directories")
        gateway = world["callers"]["gateway"]
        self.gateway = Machine("gateway", gateway["id"], gateway["secret"], gateway["account"], "")

    def _machines(self, kind: str) -> dict[str, Machine]:
        return {
            slug: Machine(f"{kind}-{slug}", found["id"], found["secret"], found["account"], slug)
            for slug, found in self.world["callers"][kind].items()
        }

    @classmethod
    def read(cls, path: Path) -> Cast:
        return cls(json.loads(path.read_text()))

    @property
    def tenants(self) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = self.world["tenants"]
        return found
