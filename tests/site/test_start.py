"""What a web server prepares before its first request, and its first requests for the document of the API.

Both are judged in one new process, because Python loads a module only once, and loading the web server takes a second.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings

from tests.site.test_settings import bare

#: Two threads that load the routes at the same time would both fail. So they are loaded before any thread starts.
#: Then several threads read the document first, as in the web server. Half of them read it as a page.
STARTED = """
import gc, json, sys, threading
from django.urls import get_resolver

start, loaded = threading.Thread.start, {}

def look_and_start(thread):
    loaded.setdefault(thread.name, "url_patterns" in vars(get_resolver()))
    start(thread)

threading.Thread.start = look_and_start

def collections():
    return sum(generation["collections"] for generation in gc.get_stats())

before = collections()
import lockbox_site.rsgi
collected = collections() - before
from audit_app import restored_database
from requests_app.platform import hashing, outbound
from requests_app.doors.api import reader
from requests_app.platform.database import bounds

prepared = {
    "statements": bounds.current().threads,
    "hashes": hashing._gate and hashing._gate._most,
    "lines": outbound._lines and outbound._lines._most,
    "routes": loaded.get("lookout-content"),
    "made documents": reader._made.cache_info().currsize,
    "rich": "rich" in sys.modules,
    "heads": restored_database.made.is_made,
    "collects rarely": collected < 30,
    "excludes what stays": gc.get_freeze_count() > 100_000,
}

from django.core.signals import request_finished

before, _new = collections(), [{} for _ in range(3000)]
request_finished.send(None)
prepared["collects after requests"] = collections() - before

from django.test import RequestFactory
from django.urls import resolve

sys.setswitchinterval(1e-6)
answers, together = [], threading.Barrier(8)

def read(path):
    together.wait()
    try:
        answers.append(resolve(path).func(RequestFactory().get(path)).status_code)
    except BaseException as failure:
        answers.append(repr(failure))

threads = [threading.Thread(target=read, args=(path,)) for path in ("/api/", "/api/v1/openapi.json") * 4]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(json.dumps({"prepared": prepared, "answers": answers, "made documents": reader._made.cache_info().currsize}))
"""


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what a new process of the web server prepared, and what it answered to its first readers."""
    run = subprocess.run(
        [sys.executable, "-c", STARTED],
        cwd=settings.BASE_DIR,
        env=bare(tmp_path_factory.mktemp("started"), DEBUG="on", WEB_THREADS="24"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def test_many_first_readers_of_the_document_at_once_all_get_it(started: dict[str, Any]) -> None:
    assert (started["answers"], started["made documents"]) == ([200] * 8, 1)


def test_a_web_server_is_bounded_has_loaded_its_routes_and_has_compared_the_heads(started: dict[str, Any]) -> None:
    assert started["prepared"] == {
        "statements": 24, "hashes": 6, "lines": 6, "routes": True, "made documents": 0, "rich": False,
        "heads": True, "collects rarely": True, "excludes what stays": True, "collects after requests": 1,
    }  # fmt: skip


# --- What the parts share ------------------------------------------------------------------------------------

#: What `manage.py lockbox` loads before it forks, in a data directory in which nothing was made yet.
LOADED = """
import json, os, sys, threading
import django
django.setup()
from lockbox_site import parts

descriptors = set(os.listdir("/proc/self/fd"))
parts.load(parts.MODULES)
from django.contrib.staticfiles.storage import staticfiles_storage
from django.db import connections
from django.utils.functional import empty
from requests_app.operations import streams

print(json.dumps({
    "threads": threading.active_count(),
    "connections": [each.alias for each in connections.all(initialized_only=True) if each.connection],
    "descriptors": len(set(os.listdir("/proc/self/fd")) - descriptors),
    "static files are read": staticfiles_storage._wrapped is not empty,
    "modules": len(sys.modules),
    "not for parts": sorted({name for name in sys.modules if name.startswith(tuple(NOT_FOR_PARTS))}),
}))
"""
#: What only commands, tests and the OpenAPI document need, and on SQLite the driver of PostgreSQL. A part at rest must
#: not hold it.
NOT_FOR_PARTS = (
    "requests_app.migrations.", "audit_app.migrations.", "lockbox_site.demo", "lockbox_site.doctor.of_",
    "lockbox_site.backup", "lockbox_site.rsgi", "requests_app.doors.api.generator", "drf_spectacular.openapi",
    "rest_framework.test", "django.test", "unittest", "requests.", "urllib3", "yaml", "pygments", "psycopg",
)  # fmt: skip
#: The parts load 2,030 modules. Each further hundred costs about 4 MB, and a tenth of a second at each start.
MOST_MODULES = 2_120


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    run = subprocess.run(
        [sys.executable, "-c", LOADED.replace("NOT_FOR_PARTS", repr(NOT_FOR_PARTS))],
        cwd=settings.BASE_DIR,
        env=bare(tmp_path_factory.mktemp("loaded")),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def test_what_is_loaded_before_the_fork_can_be_shared(loaded: dict[str, Any]) -> None:
    """A thread does not survive a fork, and a connection must not be shared by processes."""
    shared = {name: loaded[name] for name in ("threads", "connections", "descriptors", "static files are read")}
    assert shared == {"threads": 1, "connections": [], "descriptors": 0, "static files are read": False}


def test_the_parts_load_no_more_than_they_need(loaded: dict[str, Any]) -> None:
    assert loaded["not for parts"] == []
    assert loaded["modules"] <= MOST_MODULES
