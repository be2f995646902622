"""Makes 10,000 single changes to an export of 100,000 entries. The verifier finds each change at its index.

It also accepts 1,000 exports without a change. Reading and checking 100,000 entries takes a second. So most tests take
the blocks from memory, and remember the results for unchanged blocks and valid signatures. Everything else is the
verifier's own code. Some tests make the same changes to shorter files on disk. `bin/test deep` makes all changes. Every
other run makes a few hundred, in an export of 8,000 entries.
"""

import functools
import io
import itertools
import json
import os
import random
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.conftest import sample
from tests.verify.runs import is_good, judged, verdict
from tests.verify.writer import CUSTOMER, Log, Tree, Written, bundle, canonical, entry, instant, pruning, story
from verify import lockbox_verify as lv

pytestmark = [pytest.mark.slow, pytest.mark.sampled, pytest.mark.timeout(900)]

SEED = int(os.environ.get("MUTATION_SEED", "20261125"))
ENTRIES, MUTATIONS, CLEAN = sample(100_000, 8_000), sample(10_000, 300), sample(1_000, 100)
#: Numbers of lines in a block. The verifier accepts blocks of any length, so long blocks lead up to the change, and
#: short ones to its exact place. So a few dozen blocks are enough.
WIDTHS = (8192, 512, 32)
WIDTH = WIDTHS[-1]
OLDER = tuple(ENTRIES * percent // 100 for percent in (10, 35, 60, 85))


class Change:
    """One change to a list of lines: `by` replaces lines[start:end].

    With `cut`, the file ends there, in the middle of a line.
    """

    def __init__(self, start: int, end: int, by: list[bytes], bad: int, cut: bytes | None = None) -> None:
        self.start, self.end, self.by, self.bad, self.cut = start, end, by, bad, cut

    def lines(self, lines: list[bytes], begin: int = 0) -> Iterator[bytes]:
        """Yield the changed lines, beginning with the line `begin`, which must not be after the change."""
        return itertools.chain(
            (lines[index] for index in range(begin, self.start)),
            self.by,
            (lines[i] for i in range(self.end, len(lines))),
        )

    def raw(self, lines: list[bytes]) -> bytes:
        return b"".join(line + b"\n" for line in self.lines(lines)) + (self.cut or b"")


def flip(rng: random.Random, line: bytes) -> bytes:
    """Flip one bit of a byte in the line. The result has no new line break."""
    while True:
        place = rng.randrange(len(line))
        changed = line[:place] + bytes([line[place] ^ 1 << rng.randrange(8)]) + line[place + 1 :]
        if b"\n" not in changed:
            return changed


def with_members(line: bytes, **members: Any) -> bytes:
    return canonical({**json.loads(line), **members})


def change(rng: random.Random, lines: list[bytes]) -> Change:
    at = rng.randrange(len(lines))
    by = rng.choice(
        (
            lambda: flip(rng, lines[at]),
            lambda: with_members(lines[at], actor=CUSTOMER, door="admin"),
            lambda: with_members(lines[at], detail={"n": rng.randrange(10**9), "more": "x"}),
            lambda: lines[at] + b" ",
            lambda: b"",
        )
    )()
    return Change(at, at + 1, [by], at)


def delete(rng: random.Random, lines: list[bytes]) -> Change:
    at = rng.randrange(len(lines))
    return Change(at, at + 1, [], at)


def insert(rng: random.Random, lines: list[bytes]) -> Change:
    at, source = rng.randrange(len(lines) + 1), rng.randrange(len(lines))
    by = rng.choice((lines[source], with_members(lines[source], door="admin"), b"", b"{}"))
    # If the new line is a copy of the entry at this place, the second of the two is the first bad line.
    return Change(at, at, [by], at + (at < len(lines) and by == lines[at]))


def reorder(rng: random.Random, lines: list[bytes]) -> Change:
    one, two = sorted(rng.sample(range(len(lines)), 2))
    if rng.random() < 0.5:
        two = one + 1 if one + 1 < len(lines) else two
    between = lines[one + 1 : two]
    by = rng.choice(([lines[two], *between, lines[one]], [*between, lines[two], lines[one]]))
    return Change(one, two + 1, by, one)


def back_date(rng: random.Random, lines: list[bytes]) -> Change:
    at = rng.randrange(len(lines))
    return Change(at, at + 1, [with_members(lines[at], at=instant(-rng.randrange(1, 10**12)))], at)


def truncate(rng: random.Random, lines: list[bytes]) -> Change:
    at = rng.randrange(len(lines))
    # If only the line break is missing, the entry is complete, but it is not a line.
    cut = lines[at][: rng.randrange(len(lines[at]) + 1)] if rng.random() < 0.5 else b""
    return Change(at, len(lines), [], at, cut)


KINDS: tuple[Callable[[random.Random, list[bytes]], Change], ...] = (
    change,
    delete,
    insert,
    reorder,
    back_date,
    truncate,
)


# --- In memory -------------------------------------------------------------------------------------------


class Memory:
    """The files of a bundle in memory. It has the methods of the verifier's folder and ZIP."""

    def __init__(self, files: dict[str, bytes], sizes: dict[str, int]) -> None:
        self.files, self.sizes = files, sizes

    def open(self, name: str) -> io.BytesIO:
        return io.BytesIO(self.files[name])


def block_of(lines: Iterable[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


class Export:
    """A long log. Its blocks are made only once, so that the result of checking a block can be remembered."""

    def __init__(self) -> None:
        rng = random.Random(SEED)
        lines = [
            canonical(entry(seq, seq * 1000, "ticket.commented", actor=CUSTOMER, detail={"n": rng.randrange(10**9)}))
            for seq in range(ENTRIES)
        ]
        self.log = Log(lines, older=OLDER)
        self.known: dict[tuple[int, int], tuple[bytes, bytes, int]] = {}
        written = bundle(self.log)
        listed = json.dumps(written.listed()).encode()
        self.sizes = {name: len(raw) for name, raw in written.files.items()} | {"manifest.json": len(listed)}
        files = {
            name: raw for name, raw in written.files.items() if name not in ("entries-0.jsonl", "leaf-hashes-0.bin")
        }
        self.source = Memory({**files, "manifest.json": listed}, self.sizes)
        self.written = written

    def blocks(self, start: int, end: int) -> Iterator[tuple[bytes, bytes, int]]:
        """Yield the unchanged lines from `start` to `end` in as few blocks as possible.

        Both must be where a block begins or ends.
        """
        while start < end:
            width = next(each for each in WIDTHS if start % each == 0 and (start + each <= end or each == WIDTH))
            if (start, width) not in self.known:
                lines, leaves = self.log.lines[start : start + width], self.log.tree.leaves[start : start + width]
                self.known[start, width] = block_of(lines), b"".join(leaves), len(lines)
            yield self.known[start, width]
            start += width

    def judged(self, changed: Change | None, *, is_repaired: bool = False, **options: Any) -> dict[str, Any]:
        report = lv.Report("memory")
        options.setdefault("keys", [lv.key_of(self.log.vkey())])
        lv.verify_bundle(Changed(self, changed, is_repaired=is_repaired), lv.Options(**options), report)
        return report.close()


class Changed(lv.Bundle):
    """The bundle of an export, with one change.

    With `is_repaired`, the leaf hashes are updated for the changed entries.
    """

    def __init__(self, export: Export, changed: Change | None, *, is_repaired: bool) -> None:
        super().__init__(export.source)  # type: ignore[arg-type]  # has what is used of a folder
        self.export, self.changed, self.is_repaired = export, changed, is_repaired

    def blocks(self, shard: int) -> Iterator[tuple[bytes, bytes, int]]:
        self.unread -= {"entries-0.jsonl", "leaf-hashes-0.bin"}
        export, changed = self.export, self.changed
        if changed is None:
            yield from export.blocks(0, ENTRIES)
            return
        begin = changed.start // WIDTH * WIDTH
        yield from export.blocks(0, begin)
        count = ENTRIES - (changed.end - changed.start) + len(changed.by)
        # If the number of lines is the same, the blocks after the change are the old ones.
        after = -(-changed.end // WIDTH) * WIDTH if count == ENTRIES else count
        rest = changed.lines(export.log.lines, begin)
        for place in range(begin, after, WIDTH):
            lines = list(itertools.islice(rest, WIDTH))
            hashes = (
                [lv.leaf_hash(line) for line in lines] if self.is_repaired else self._hashes_here(place, len(lines))
            )
            yield block_of(lines), b"".join(hashes), len(lines)
        yield from export.blocks(after, ENTRIES if count == ENTRIES else after)
        if changed.cut or (count < ENTRIES and not self.is_repaired):
            yield changed.cut or b"", b"" if changed.cut else export.log.tree.leaves[count], 0

    def _hashes_here(self, place: int, count: int) -> list[bytes]:
        return self.export.log.tree.leaves[place : place + count]


@pytest.fixture(scope="module")
def export() -> Export:
    return Export()


@functools.lru_cache
def _verified(public: bytes, signature: bytes, message: bytes) -> None:
    """Check a signature. A good result is remembered; InvalidSignature is raised again at each call."""
    Ed25519PublicKey.from_public_bytes(public).verify(signature, message)


class RememberedKey:
    """A public key that remembers good signatures and does not verify them again. It replaces Ed25519PublicKey."""

    def __init__(self, public: bytes) -> None:
        self.verify = functools.partial(_verified, public)

    @classmethod
    def from_public_bytes(cls, public: bytes) -> "RememberedKey":
        return cls(public)


@pytest.fixture
def remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lv, "Ed25519PublicKey", RememberedKey)
    monkeypatch.setattr(lv, "check_block", functools.lru_cache(maxsize=8192)(lv.check_block))


@pytest.mark.usefixtures("remembered")
def test_each_of_many_single_changes_is_found_at_its_index(export: Export) -> None:
    assert is_good(export.judged(None))
    rng = random.Random(SEED + 1)
    for place in range(MUTATIONS):
        made = KINDS[place % len(KINDS)](rng, export.log.lines)
        data = export.judged(made)
        assert [each["index"] for each in data["problems"]] == [made.bad], (KINDS[place % len(KINDS)], made.__dict__)
        assert (data["exit"], data["problems"][0]["until"]) == (1, None)
    assert is_good(export.judged(None))


@pytest.mark.usefixtures("remembered")
def test_a_change_with_its_leaf_hash_repaired_is_found_through_the_root(export: Export) -> None:
    rng = random.Random(SEED + 2)
    edges = [0, *OLDER, ENTRIES]
    for _ in range(sample(300, 60)):
        at = rng.randrange(ENTRIES)
        by = with_members(export.log.lines[at], detail={"n": -1})
        data = export.judged(Change(at, at + 1, [by], at), is_repaired=True)
        [problem] = data["problems"]
        assert problem["why"] == "the entries do not match the signed root"
        last = problem["index"] if problem["until"] is None else problem["until"]
        assert problem["index"] <= at <= last
        # The reported range is at most the part between two older checkpoints.
        assert max(edge for edge in edges if edge <= at) <= problem["index"]
        assert last < min(edge for edge in edges if edge > at)


@pytest.mark.usefixtures("remembered")
def test_a_missing_entry_is_found_though_the_hashes_are_repaired(export: Export) -> None:
    rng = random.Random(SEED + 3)
    for maker in [delete, reorder] * sample(50, 10):
        made = maker(rng, export.log.lines)
        data = export.judged(made, is_repaired=True)
        assert [(each["index"], each["until"]) for each in data["problems"]] == [(made.bad, None)]


# --- On disk ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_in_a_long_file_is_found_at_its_index(
    kind: Callable[..., Change], export: Export, tmp_path: Path
) -> None:
    made = kind(random.Random(SEED + 4), export.log.lines)
    files = {**export.written.files, "entries-0.jsonl": made.raw(export.log.lines)}
    data = judged(Written(files, export.written.manifest).folder(tmp_path / "a"), jobs=2)
    assert [(each["index"], each["until"]) for each in data["problems"]] == [(made.bad, None)]


def small(rng: random.Random, size: int) -> tuple[Log, list[str]]:
    """Return a log of this size, and the ids of its access requests."""
    older = tuple(sorted(rng.sample(range(1, size), rng.randrange(min(size - 1, 4))))) if size > 1 else ()
    entries = story(rng, size)
    return Log.of(entries, older=older), [each["access_request"] for each in entries if each["access_request"]]


def test_changes_of_small_bundles_of_every_kind_are_found_at_their_index(tmp_path: Path) -> None:
    for place in range(sample(600, 120)):
        rng = random.Random(f"{SEED + 5} {place}")
        log, requests = small(rng, rng.randrange(2, 60))
        start, end = sorted(rng.sample(range(len(log.lines) + 1), 2))
        request = requests[0] if requests else None
        shape = place % 4 if request else place % 3
        written = (
            bundle(log),
            bundle(log, kind="period", span=(start, end)),
            bundle(log, pruned=start),
            bundle(log, kind="access_request", request=request) if request else bundle(log),
        )[shape]
        indexes = [json.loads(line)["seq"] for line in written.files["entries-0.jsonl"].splitlines()]
        lines = written.files["entries-0.jsonl"].split(b"\n")[:-1]
        maker = rng.choice([kind for kind in KINDS if kind is not reorder or len(lines) > 1])
        made = maker(rng, lines)
        listed = written.listed() if rng.random() < 0.3 else None
        changed = Written({**written.files, "entries-0.jsonl": made.raw(lines)}, written.manifest)
        data = judged(changed.zip(tmp_path / "a.zip", listed))
        bad = indexes[made.bad] if made.bad < len(indexes) else (indexes[-1] + 1)
        assert [(each["index"], each["until"]) for each in data["problems"]] == [(bad, None)], (
            maker,
            shape,
            made.__dict__,
        )


def test_a_forger_who_repairs_everything_but_the_signature_is_found(tmp_path: Path) -> None:
    """Hashes, counts, proofs and manifest are updated for the change. Only the signed root is the original."""
    for place in range(sample(200, 50)):
        rng = random.Random(f"{SEED + 6} {place}")
        log, _requests = small(rng, rng.randrange(3, 80))
        entries = [json.loads(line) for line in log.lines]
        at = rng.randrange(len(entries))
        forged = _renumbered(rng.choice((_altered, _left_out, _put_in))(entries, at))
        fake = Log.of(forged, older=tuple(old for old in log.older if old <= len(forged)))
        written = bundle(fake) if place % 2 else bundle(fake, kind="period", span=(0, len(forged)))
        for name in ("checkpoint-0.txt", "consistency-0.jsonl"):
            written.files[name] = bundle(log).files[name]
        written.manifest["logs"][0]["size"] = len(log.lines)
        data = verdict(written, tmp_path, keys=[log.vkey()])
        assert data["exit"] == 1
        [problem] = data["problems"]
        if problem["index"] is not None:
            last = problem["index"] if problem["until"] is None else problem["until"]
            assert problem["index"] <= max(at, len(forged)), problem
            assert last >= min(at, len(forged) - 1), problem


def _altered(entries: list[dict[str, Any]], at: int) -> list[dict[str, Any]]:
    return [*entries[:at], {**entries[at], "door": "admin"}, *entries[at + 1 :]]


def _left_out(entries: list[dict[str, Any]], at: int) -> list[dict[str, Any]]:
    return [*entries[:at], *entries[at + 1 :]]


def _put_in(entries: list[dict[str, Any]], at: int) -> list[dict[str, Any]]:
    return [*entries[:at], {**entries[at], "door": "admin"}, *entries[at:]]


def _renumbered(entries: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**each, "seq": seq} for seq, each in enumerate(entries)]


def test_clean_exports_give_no_false_alarm(tmp_path: Path) -> None:
    for place in range(CLEAN):
        rng = random.Random(f"{SEED + 7} {place}")
        size = rng.randrange(301)
        log, about = small(rng, size)
        start, end = sorted((rng.randrange(size + 1), rng.randrange(size + 1)))
        requests = sorted(set(about))
        kinds: dict[str, dict[str, Any]] = {
            "log": {},
            "pruned": {"pruned": start},
            "period": {"kind": "period", "span": (start, end)},
            "access_request": {"kind": "access_request", "request": requests and rng.choice(requests)},
        }
        kind = rng.choice(list(kinds)[: 4 if requests else 3])
        if kind == "pruned" and start:
            log = Log([*log.lines, canonical(pruning(size, start))], older=log.older)
        written = bundle(log, **kinds[kind])
        path = written.zip(tmp_path / "a.zip") if place % 2 else written.folder(tmp_path / f"{place}")
        previous = log.note(rng.randrange(size + 1)) if kind == "log" else None
        data = judged(path, keys=[log.vkey()] if place % 3 else None, previous=previous)
        assert is_good(data), (place, kind, data["problems"], data["gaps"])


def test_the_tree_of_these_tests_is_the_one_of_the_rfc() -> None:
    """All tests in this file depend on this tree."""
    leaves = [bytes([each]) * 32 for each in range(7)]
    root = lv.Frontier()
    for each in leaves:
        root.push(0, each)
    assert Tree(leaves).root() == root.root()
