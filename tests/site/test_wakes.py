"""The event loop is woken once for everything that other threads give it, and never too seldom."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from lockbox_site.serving.wakes import wake_once
from requests_app.platform.together import at_end, together

SECONDS = 20


def test_a_busy_loop_is_woken_once_for_all_that_comes_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        loop: Any = asyncio.get_running_loop()
        bytes_sent, found = list[int](), list[int]()
        write = loop._write_to_self

        def counted() -> None:
            bytes_sent.append(1)
            write()

        monkeypatch.setattr(loop, "_write_to_self", counted)
        wake_once(loop)

        def give() -> None:
            for number in range(20):
                loop.call_soon_threadsafe(found.append, number)

        for rounds in (1, 2):
            # The loop does nothing meanwhile, as if it were busy.
            other = threading.Thread(target=give)
            other.start()
            other.join()
            while len(found) < 20 * rounds:
                await asyncio.sleep(0)
            # The loop reads the byte.
            await asyncio.sleep(0.01)
            assert len(bytes_sent) == rounds
        assert found == [*range(20), *range(20)]

    asyncio.run(main())


def test_an_idle_loop_is_woken_each_time() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        wake_once(loop)
        missed = list[int]()

        def give() -> None:
            for number in range(300):
                has_run = threading.Event()
                loop.call_soon_threadsafe(has_run.set)
                if not has_run.wait(SECONDS):
                    missed.append(number)
                    return

        others = [threading.Thread(target=give) for _ in range(3)]
        for other in others:
            other.start()
        # Without a timer of its own, the loop wakes only if somebody writes to it.
        for other in others:
            await asyncio.to_thread(other.join)
        assert missed == []

    asyncio.run(main())


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
