"""No thread that a test starts still runs in the next test."""

from __future__ import annotations

import threading


def test_no_test_begins_what_only_a_server_runs() -> None:
    """Tests must not start the thread that ends streams.

    It would wait for each test's transaction, and then end the stream that the test reads.
    """
    assert "streams" not in {thread.name for thread in threading.enumerate()}
