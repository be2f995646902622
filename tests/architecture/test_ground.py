"""Nothing of one test continues beside the others."""

from __future__ import annotations

import threading


def test_no_test_begins_what_only_a_server_runs() -> None:
    """The watch of the streams would wait for each test's transaction, and then cut what the test reads."""
    assert "streams" not in {thread.name for thread in threading.enumerate()}
