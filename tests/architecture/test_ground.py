"""What the tests stand on: nothing of one goes on beside the others, and what a database decides is tried on both."""

from __future__ import annotations

import threading

from tests.conftest import ONE_DATABASE, PAGES, TESTS

#: Each runs on SQLite and on PostgreSQL: what they try asks a database, or waits for one.
BOTH = {
    "admin", "api", "audit", "concurrency", "connectors", "database", "isolation", "lifecycle", "notifications",
    "operations", "outbox", "parity", "site", "storm", "tasks", "verify", "web", "webhooks",
}  # fmt: skip
#: Of those, the modules in which something has a mark that says otherwise.
MARKED = {
    # How many queries a page sends is Django's to say.
    "admin/test_crawl.py", "admin/test_dashboard.py", "web/test_access_requests.py", "web/test_decisions.py",
    "web/test_home.py", "web/test_log.py", "web/test_tenant.py",
    # Its process has a database of its own, of the kind that is there without a word.
    "tasks/test_export_log.py",
    # Forms that are made of an entry that has been read.
    "audit/test_siem.py",
    # These are turned away before any row is asked for.
    "admin/test_doors.py", "isolation/test_api_routes.py", "isolation/test_routes.py",
}  # fmt: skip


def test_no_test_begins_what_only_a_server_runs() -> None:
    """The watch of the streams would wait for each test's transaction, and then cut what the test reads."""
    assert "streams" not in {thread.name for thread in threading.enumerate()}


def test_each_directory_of_tests_is_tried_on_both_databases_or_named() -> None:
    assert {path.parent.name for path in TESTS.glob("*/test_*.py")} == BOTH | ONE_DATABASE
    assert not BOTH & ONE_DATABASE
    assert PAGES <= BOTH


def test_whatever_else_is_tried_on_one_database_is_named() -> None:
    mark = "one_" + "database"
    marked = {str(path.relative_to(TESTS)) for path in TESTS.glob("*/*.py") if f"mark.{mark}" in path.read_text()}
    assert marked == MARKED
