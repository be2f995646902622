"""Random logs, and random bundles of them.

Every signed part must verify, and only unsigned parts are reported as gaps.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import time_machine
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from audit_app import checkpoints, evidence, keys
from audit_app.bundle_selection import EvidenceScope
from audit_app.models import AuditEntry, ChainHead, ClosedShard
from audit_app.proofs import NotProven
from tests.audit import care
from tests.audit.test_checkpoints import AT, TENANT, append
from tests.audit.test_evidence import OTHER, REQUEST, about
from tests.conftest import sample
from verify import lockbox_verify as lv

pytestmark = pytest.mark.django_db

MINUTE = dt.timedelta(minutes=1)


@dataclass
class Shard:
    number: int
    first: int
    signed_to: int | None
    closed_by: int | None


class History:
    """Writes a random log as the product does, and knows which gaps a verifier must report in its bundles."""

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.at, self.have = rng, AT, keys.load()
        self.named = str(keys.log_key(checkpoints.origin_of(TENANT, 0), self.have.publics[0]))
        self.instants: dict[int, dt.datetime] = {}
        self.done: list[str] = []

    def run(self, steps: int) -> None:
        append(1)
        acts = [self.append] * 4 + [self.about] * 2 + [self.sign] * 4 + [self.tombstone, self.rotate, self.prune]
        for _ in range(steps):
            self.act(self.rng.choice(acts))
        # The hourly signature is up to date. After it, one more thing can happen that nobody has signed yet.
        self.act(self.sign)
        if self.rng.random() < 0.4:
            self.act(self.rng.choice([self.append, self.about, self.tombstone]))
        self.final_shards = self.shards()

    def act(self, act: Any) -> None:
        self.at += self.rng.choice([dt.timedelta(), MINUTE, 40 * MINUTE])
        act()
        rows = AuditEntry.objects.filter(tenant_id=TENANT).values_list("seq", "at")
        self.instants |= dict(rows)
        self.at = max(self.at, *self.instants.values())
        self.done.append(act.__name__)

    def append(self) -> None:
        append(self.rng.randint(1, 5), at=self.at)

    def about(self) -> None:
        about(self.rng.choice([REQUEST, OTHER]), self.rng.randint(1, 3), at=self.at)

    def sign(self) -> None:
        checkpoints.sign(TENANT, at=self.at, have=self.have)

    def tombstone(self) -> None:
        care.tombstone(TENANT, at=self.at)

    def rotate(self) -> None:
        """Change to a new key. The old key signs one more checkpoint, together with the new key.

        Do nothing if nothing is signed yet.
        """
        if not any(shard.signed_to for shard in self.shards()):
            return
        new = Ed25519PrivateKey.generate()
        checkpoints.sign(TENANT, at=self.at, have=keys.Keys((new, *self.have.keys)))
        self.have = keys.Keys((new,))

    def prune(self) -> None:
        head = ChainHead.objects.get(pk=TENANT)
        signed = [shard for shard in self.shards() if shard.signed_to is not None]
        # Unsigned entries of a closed shard are removed after the next shard has a signature.
        least, most = head.pruned_to, signed[-1].signed_to if signed else None
        if most is not None and least < most and (signed[-1].number >= head.shard - 1):
            care.prune(TENANT, self.rng.randint(least + 1, most))

    def shards(self) -> list[Shard]:
        head = ChainHead.objects.get(pk=TENANT)
        closed = ClosedShard.objects.filter(tenant_id=TENANT).order_by("shard")
        places = [*((row.shard, row.first_seq, row.end_seq) for row in closed), (head.shard, head.first_seq, None)]
        found = []
        for number, first, end in places:
            newest = checkpoints.newest(TENANT, number)
            found.append(Shard(number, first, None if newest is None else first + newest.size, end))
        return found

    # --- Expected results --------------------------------------------------------------------------------

    def gaps(self, wanted: EvidenceScope) -> Iterator[str]:
        """Yield the beginning of each message about a gap that the verifier must print for this bundle.

        A gap is an unsigned part of the log that may belong to the bundle.
        """
        shards = self.final_shards
        pruned_to = ChainHead.objects.get(pk=TENANT).pruned_to
        signed = [shard for shard in shards if shard.signed_to is not None]
        last = signed[-1]
        yield from self._removed_unsaid(wanted, shards, pruned_to)
        for shard in shards if wanted.kind != "access_request" else ():
            after = next((each for each in signed if each.number > shard.number), None)
            end = shard.first if shard.signed_to is None else shard.signed_to
            before = [seq for seq in self.instants if pruned_to <= seq < end and self._is_signed(shards, seq)]
            if shard.closed_by in (None, end) or not self._may_be(wanted, before, after, pruned_to):
                continue
            if shard.signed_to is not None:
                yield f"entries number {end} to {shard.closed_by - 1} of log {shard.number} were never signed"
            elif after is not None:
                yield f"entry {shard.closed_by} closed log {shard.number}: there is no signed checkpoint of this log"
        dated = checkpoints.newest(TENANT, last.number).dated_at
        if last.closed_by is not None and not (wanted.until and wanted.until <= dated):
            yield f"log {last.number} was closed by entry {last.closed_by}, which is not in this bundle; the log"

    def _removed_unsaid(self, wanted: EvidenceScope, shards: list[Shard], pruned_to: int) -> Iterator[str]:
        """Yield the messages for removed entries without a signed entry about the removal.

        This happens if a shard is closed before the entry about the removal was signed.
        """
        row = AuditEntry.objects.filter(tenant_id=TENANT, event="log.pruned").order_by("-seq").first()
        if row is not None and not self._is_signed(shards, row.seq):
            begun = [shard for shard in shards if shard.signed_to is not None and shard.first < pruned_to]
            left = [
                at for seq, at in sorted(self.instants.items()) if seq >= pruned_to and self._is_signed(shards, seq)
            ]
            if wanted.kind == "period":
                begun = [] if left and wanted.since and left[0] < wanted.since else begun[-1:]
            for shard in begun if wanted.kind != "access_request" else ():
                gone = min(pruned_to, shard.signed_to or 0) - shard.first
                yield f"entries 0 to {gone - 1} of log {shard.number} are not in this bundle, and no signed entry"

    @staticmethod
    def _is_signed(shards: list[Shard], seq: int) -> bool:
        return any(shard.first <= seq < (shard.signed_to or 0) for shard in shards)

    def _may_be(self, wanted: EvidenceScope, before: list[int], after: Shard | None, pruned_to: int) -> bool:
        """Return whether the unsigned entries at the end of a shard may belong to the wanted period.

        `before` are the numbers of all signed entries before them.
        """
        if wanted.kind == "log":
            return True
        if before and wanted.until and self.instants[max(before)] >= wanted.until:
            return False
        if after is None:
            return True
        if pruned_to > after.first:
            return False
        return wanted.since is None or self.instants[after.first] >= wanted.since


def bounds(history: History) -> dict[str, Any]:
    """Return random bounds of a period. Each is at the time of an entry, just before it, or just after it."""
    rng, known = history.rng, sorted({AT - 60 * MINUTE, history.at + 60 * MINUTE, *history.instants.values()})
    one, two = sorted(rng.choice(known) + rng.choice([-1, 0, 1]) * dt.timedelta(microseconds=1) for _ in range(2))
    return rng.choice([{"since": one, "until": two}, {"since": one}, {"until": two}])


def judged(history: History, wanted: EvidenceScope, place: Path) -> dict[str, Any] | None:
    """Return the verdict on a bundle, from a verifier that knows only the log's first key.

    Return None if the product refuses to make the bundle, for a documented reason.
    """
    try:
        prepared = evidence.prepare(wanted, at=history.at + MINUTE)
    except NotProven as refusal:
        return None if is_due(history, wanted, refusal.code) else {"gaps": [refusal.code], "problems": [], "exit": 9}
    path = place / "evidence.zip"
    path.write_bytes(b"".join(prepared.stream()))
    with time_machine.travel(history.at + 2 * MINUTE, tick=False):
        return lv.verify(path, lv.Options(keys=[lv.key_of(history.named)]))


def is_due(history: History, wanted: EvidenceScope, code: str) -> bool:
    """Return whether the product is right to refuse the bundle with this code."""
    signed_to = max((shard.signed_to or 0 for shard in history.final_shards), default=0)
    if code == "unsigned":
        row = AuditEntry.objects.filter(tenant_id=TENANT, event="log.pruned").order_by("-seq").first()
        return wanted.kind == "access_request" or signed_to == 0 or (row is not None and row.seq >= signed_to)
    return code == "absent" and wanted.kind == "access_request"


@pytest.mark.sampled
@pytest.mark.parametrize("seed", range(sample(50, 25)))
def test_any_bundle_of_any_log_is_good_except_unsigned_parts(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    history = History(rng)
    history.run(rng.randint(3, 14))
    requests: list[dict[str, Any]] = [{"access_request": REQUEST}, {"access_request": OTHER}]
    for what in [{}, *requests, *(bounds(history) for _ in range(6))]:
        wanted = EvidenceScope(tenant_id=TENANT, tenant_name="Contoso", **what)
        verdict = judged(history, wanted, tmp_path)
        if verdict is None:
            continue
        due, found = sorted(history.gaps(wanted)), sorted(verdict["gaps"])
        text = f"{found}, where {due} is due, of {what} after {history.done}"
        assert verdict["problems"] == [], text
        assert len(found) == len(due), text
        assert all(each.startswith(gap) for each, gap in zip(found, due, strict=True)), text
        assert verdict["exit"] == (2 if due else 0), text
