"""The event loop is woken once for everything that other threads give it meanwhile."""

from __future__ import annotations

import asyncio
import os
import re
import threading
from pathlib import Path

import pytest
import uvloop

from requests_app.platform.together import at_end, together


def wakes() -> list[int]:
    """Return how often this process was woken through each eventfd that nobody has read since."""
    found = list[int]()
    for number in os.listdir("/proc/self/fdinfo"):
        try:
            text = Path("/proc/self/fdinfo", number).read_text()
        except FileNotFoundError:
            continue
        if count := re.search(r"^eventfd-count:\s*([0-9a-f]+)$", text, re.MULTILINE):
            found.append(int(count[1], 16))
    return found


@pytest.mark.skipif(not Path("/proc/self/fdinfo").exists(), reason="only Linux says how often a loop was woken")
def test_a_busy_loop_is_woken_once_for_all_that_comes_meanwhile() -> None:
    """The web server's loop does this itself. With a wake for each call, the threads would wait for the loop."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        found = list[int]()

        def give() -> None:
            for number in range(20):
                loop.call_soon_threadsafe(found.append, number)

        for rounds in (1, 2):
            await asyncio.sleep(0.01)
            before = sum(wakes())
            # The loop does nothing meanwhile, as if it were busy.
            other = threading.Thread(target=give)
            other.start()
            other.join()
            assert sum(wakes()) - before == 1
            while len(found) < 20 * rounds:
                await asyncio.sleep(0)
        assert found == [*range(20), *range(20)]

    uvloop.run(main())


def test_calls_are_put_off_until_the_block_of_their_thread_ends() -> None:
    made = list[str]()
    with together():
        at_end(lambda: made.append("in the block"))
        other = threading.Thread(target=lambda: at_end(lambda: made.append("in another thread")))
        other.start()
        other.join()
        assert made == ["in another thread"]
    at_end(lambda: made.append("after the block"))
    assert made == ["in another thread", "in the block", "after the block"]


def test_calls_are_made_even_if_the_block_fails() -> None:
    made = list[str]()

    def fail() -> None:
        with together():
            at_end(lambda: made.append("put off"))
            raise ValueError("wrong")

    with pytest.raises(ValueError, match="wrong"):
        fail()
    assert made == ["put off"]
