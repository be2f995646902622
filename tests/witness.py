"""A small C2SP witness, written from https://c2sp.org/tlog-witness. In tests it acts as a customer's witness."""

from __future__ import annotations

import base64
import datetime as dt
from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings

from audit_app import checkpoints, keys, notes, tree
from audit_app.notes import COSIGNATURE, BadNote, Head, Note, Verifier
from requests_app.domain import clock


class WitnessAnswer(NamedTuple):
    status: int
    content_type: str
    body: bytes


def witness_answer(status: int, text: str = "", kind: str = "text/plain") -> WitnessAnswer:
    return WitnessAnswer(status, kind, text.encode())


class SmallWitness:
    """Cosigns checkpoints of this installation's logs, if they are consistent with those that it has seen.

    `misbehave` gets the correct answer and returns the answer to send.
    """

    def __init__(self, name: str = "witness.contoso.example", now: Callable[[], dt.datetime] = clock.now) -> None:
        self.key = Ed25519PrivateKey.generate()
        self.verifier = Verifier(name, notes.public_bytes(self.key), COSIGNATURE)
        self.now = now
        self.seen: dict[str, Head] = {}
        self.requests: list[tuple[str, bytes]] = []
        self.misbehave: Callable[[WitnessAnswer], WitnessAnswer] = lambda answer: answer

    @property
    def vkey(self) -> str:
        return str(self.verifier)

    def post(self, url: str, body: bytes) -> WitnessAnswer:
        self.requests.append((url, body))
        return self.misbehave(self._answer(body.decode()))

    def _answer(self, body: str) -> WitnessAnswer:
        first, _gap, note_text = body.partition("\n\n")
        lines = first.split("\n")
        assert lines[0].startswith("old ")
        old, path = int(lines[0].removeprefix("old ")), [base64.b64decode(line) for line in lines[1:]]
        note = Note.parse(note_text)
        head = Head.parse(note.text)
        if not head.origin.startswith(f"{settings.LOG_ORIGIN}/log/"):
            return witness_answer(404)
        try:
            note.times(keys.log_key(head.origin, keys.load().publics[0]))
        except BadNote:
            return witness_answer(403)
        if old > head.size:
            return witness_answer(400)
        seen = self.seen.get(head.origin)
        if old != (seen.size if seen else 0):
            return witness_answer(409, f"{seen.size if seen else 0}\n", "text/x.tlog.size")
        if seen and old == head.size and seen.root != head.root:
            return witness_answer(409)
        try:
            if old:
                assert seen is not None
                tree.check_consistency(old, head.size, seen.root, head.root, path)
            elif path:
                return witness_answer(422)
        except tree.BadProof:
            return witness_answer(422)
        self.seen[head.origin] = head
        return witness_answer(200, self.line(head))

    def line(self, head: Head, at: dt.datetime | None = None) -> str:
        return notes.cosign(head.text, self.verifier.name, self.key, int((at or self.now()).timestamp())).line


def sign(tenant_id: UUID) -> None:
    """Sign the tenant's log up to its newest entry."""
    checkpoints.sign(tenant_id, at=clock.now())
