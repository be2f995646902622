"""Two checkpoints that contradict each other reach a witness at the same time, a thousand times."""

import multiprocessing
import os
import random
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.verify.asking import add_checkpoint_body, answer, cosigned_heads, dated, key_of, log_of, note_held
from tests.verify.writer import Log
from verify import lockbox_verify as lv

pytestmark = pytest.mark.slow

Ask = tuple[bytes, str]
Answer = tuple[int, str]


class Round(NamedTuple):
    """A log that the witness has stored with `base` entries. `true` continues it, and `fork` has another tree."""

    base: int
    true: Log
    fork: Log

    @property
    def is_open(self) -> bool:
        """Whether both trees continue the stored checkpoint.

        In this case, the witness cosigns the one that arrives first.
        """
        return self.fork.tree.root(self.base) == self.true.tree.root(self.base) and len(self.fork.lines) > self.base


def rounds(count: int, seed: int) -> list[Round]:
    rng = random.Random(seed)
    made = []
    for number in range(1, count + 1):
        base = rng.randrange(9)
        size, other = (base + rng.randrange(1, 6) for _ in range(2))
        # One in three forks begins before the stored checkpoint, and sometimes the fork is not longer.
        fork_at = base
        if base and rng.random() < 1 / 3:
            fork_at, other = rng.randrange(base), rng.choice((base, other))
        made.append(Round(base, log_of(size, shard=number), log_of(other, fork_at, shard=number)))
    return made


def side(state: lv.State, asks: list[Ask], meet: Callable[[float], Any]) -> list[Answer]:
    """Send these requests in order.

    Before each request, wait until the other side is ready too, so that both send at the same moment.
    """
    answers = []
    for body, vkey in asks:
        meet(30)
        answers.append(answer(body, state, lv.key_of(vkey)))
    return answers


def side_in_process(path: Path, asks: list[Ask], barrier: Any, answers: Any) -> None:
    answers.put(side(lv.State(path, create=False), asks, barrier.wait))


def by_threads(states: list[lv.State], asks: list[list[Ask]]) -> list[list[Answer]]:
    barrier = threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(side, states, asks, [barrier.wait] * 2))


def by_processes(states: list[lv.State], asks: list[list[Ask]]) -> list[list[Answer]]:
    context = multiprocessing.get_context("spawn")
    barrier, queues = context.Barrier(2), [context.Queue() for _ in asks]
    sides = [
        context.Process(target=side_in_process, args=(state.path, each, barrier, queue), daemon=True)
        for state, each, queue in zip(states, asks, queues, strict=True)
    ]
    for process in sides:
        process.start()
    answers = [queue.get(timeout=40) for queue in queues]
    for process in sides:
        process.join(10)
        assert process.exitcode == 0
    return answers


@pytest.fixture
def quick(tmp_path: Path) -> Iterator[Path]:
    """Return a directory in memory if there is one.

    Most of the time would be spent waiting for a disk, which makes no difference to the result.
    """
    memory = Path("/dev/shm")  # noqa: S108  # a folder of its own is made in it
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


@pytest.mark.parametrize(
    ("count", "states", "race"),
    [(500, 1, by_threads), (250, 2, by_threads), (250, 2, by_processes)],
    ids=["threads", "threads with a state each", "processes"],
)
def test_one_of_two_histories_is_cosigned_and_stored(count: int, states: int, race: Any, quick: Path) -> None:
    path = quick / "state"
    opened = [lv.State(path, create=True) for _ in range(states)] * (2 // states)
    played = rounds(count, seed=count + states)
    for each in played:
        if each.base:
            assert answer(add_checkpoint_body(0, each.true, each.base), opened[0], key_of(each.true))[0] == 200

    asks = [[(add_checkpoint_body(each.base, log), log.vkey()) for each in played for log in [pick(each)]]
            for pick in (lambda each: each.true, lambda each: each.fork)]  # fmt: skip
    seen: Counter[tuple[bool, int, int]] = Counter()
    answers = race(opened, asks)
    stored = cosigned_heads(path)
    for each, *both in zip(played, *answers, strict=True):
        seen[each.is_open, both[0][0], both[1][0]] += 1
        one_lineage(each, both, stored[each.true.origin].size)
        assert stored[each.true.origin] == as_cosigned(each, both)
        too_late(each, both, opened[0])
    assert cosigned_heads(path) == stored
    # Each order of arrival occurred.
    assert set(seen) >= {(True, 200, 409), (True, 409, 200), (False, 200, 409), (False, 200, 422)}, seen


def one_lineage(each: Round, both: list[Answer], size: int) -> None:
    (status, _), (other, _) = both
    if each.is_open:
        assert sorted((status, other)) == [200, 409]
    else:
        # A tree that contradicts the stored one is never cosigned. If the other tree came first, the sizes differ.
        assert (status, other) in ((200, 422), (200, 409))
    for refused, words in both:
        if refused == 409:
            assert words in (f"{size}\n", f"{each.base}\n" if len(each.fork.lines) == each.base else "")
        elif refused == 422:
            assert words == "the consistency proof is not valid\n"


def as_cosigned(each: Round, both: list[Answer]) -> tuple[int, bytes, int, str]:
    [(log, line)] = [
        (log, words) for log, (status, words) in zip((each.true, each.fork), both, strict=True) if status == 200
    ]
    return len(log.lines), log.tree.root(), dated(line, log), note_held(log, line)


def too_late(each: Round, both: list[Answer], state: lv.State) -> None:
    """Let the losing side ask again as a log does: from the size in the answer, with the best proof it can make."""
    winner, loser = (each.true, each.fork) if both[0][0] == 200 else (each.fork, each.true)
    size, other = len(winner.lines), len(loser.lines)
    path = loser.tree.consistency(size) if size <= other else []
    expected = 422 if other > size else 409 if other == size else 400
    assert answer(add_checkpoint_body(size, loser, path=path), state, key_of(loser))[0] == expected
