"""The threads that run requests: which of them runs the next one, and that none is lost."""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from functools import partial

import pytest

from lockbox_site.serving.pool import Pool

pytestmark = pytest.mark.real_clock

SOON = 10


async def _until_free(pool: Pool) -> None:
    """Wait until all threads of the pool wait for a job."""
    async with asyncio.timeout(SOON):
        while pool.free < pool.threads:
            await asyncio.sleep(0.005)


def test_requests_that_come_one_by_one_use_one_thread() -> None:
    async def run() -> Counter[int]:
        loop, pool, used = asyncio.get_running_loop(), Pool("test", threads=8), Counter[int]()
        for _ in range(24):
            await _until_free(pool)
            used[await pool.submit(threading.get_ident, loop).future] += 1
        return used

    assert list(asyncio.run(run()).values()) == [24]


def test_requests_at_the_same_time_use_as_many_threads() -> None:
    async def run() -> set[int]:
        loop, pool = asyncio.get_running_loop(), Pool("test", threads=8)
        used: set[int] = set()
        for _ in range(6):
            await _until_free(pool)
            together = threading.Barrier(3, timeout=SOON)

            def work(together: threading.Barrier = together) -> int:
                together.wait()
                return threading.get_ident()

            used.update(await asyncio.gather(*[pool.submit(work, loop).future for _ in range(3)]))
        return used

    assert len(asyncio.run(run())) == 3


def test_a_request_that_waited_for_another_one_of_its_client_runs_after_it() -> None:
    """Other threads are free meanwhile, and are not woken for it."""

    async def run() -> None:
        loop, release = asyncio.get_running_loop(), threading.Event()
        pool = Pool("test", threads=4, most_of_one=1)
        await _until_free(pool)
        first = pool.submit(release.wait, loop, client="ada")
        second = pool.submit(threading.get_ident, loop, client="ada")
        async with asyncio.timeout(SOON):
            await pool.submit(threading.get_ident, loop, client="otto").future
        assert not second.future.done()
        release.set()
        async with asyncio.timeout(SOON):
            await asyncio.gather(first.future, second.future)

    asyncio.run(run())


def test_each_of_many_requests_of_many_clients_runs() -> None:
    order = random.Random(17)

    async def run() -> int:
        loop, pool = asyncio.get_running_loop(), Pool("test", threads=5, most_of_one=2)
        found = []
        for number in range(3000):
            found.append(pool.submit(partial(int, number), loop, client=str(order.randrange(7))).future)
            if order.random() < 0.2:
                await asyncio.sleep(0)
        async with asyncio.timeout(SOON * 3):
            return sum(await asyncio.gather(*found))

    assert asyncio.run(run()) == sum(range(3000))
