"""What a web server prepares before its first request."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from django.conf import settings

from tests.site.test_settings import bare

#: Several threads read first, as in the web server. This needs a new process, because Python loads a module only once.
FIRST_READERS = """
import sys, threading
import django
django.setup()
from django.test import RequestFactory
from django.urls import resolve

sys.setswitchinterval(1e-6)
found, together = [], threading.Barrier(16)

def read(path):
    together.wait()
    try:
        found.append(resolve(path).func(RequestFactory().get(path)).status_code)
    except BaseException as failure:
        found.append(repr(failure))

threads = [threading.Thread(target=read, args=(path,)) for path in ("/api/", "/api/v1/openapi.json") * 8]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sorted(map(str, set(found))))
"""


def test_many_first_readers_of_the_document_at_once_all_get_it() -> None:
    run = subprocess.run(
        [sys.executable, "-c", FIRST_READERS],
        cwd=settings.BASE_DIR,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.stdout.strip() == "['200']", run.stdout + run.stderr


#: Two threads that load the routes at the same time would both fail. So they are loaded before any thread starts.
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

print(json.dumps({
    "statements": bounds.current().threads,
    "hashes": hashing._gate and hashing._gate._most,
    "lines": outbound._lines and outbound._lines._most,
    "routes": loaded.get("streams"),
    "made documents": reader._made.cache_info().currsize,
    "rich": "rich" in sys.modules,
    "heads": restored_database.made.is_made,
    "collects rarely": collected < 30,
    "excludes what stays": gc.get_freeze_count() > 100_000,
}))
"""


def test_a_web_server_is_bounded_has_loaded_its_routes_and_has_compared_the_heads(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", STARTED],
        cwd=settings.BASE_DIR,
        env=bare(tmp_path, DEBUG="on", WEB_THREADS="24"),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == {
        "statements": 24, "hashes": 6, "lines": 6, "routes": True, "made documents": 0, "rich": False,
        "heads": True, "collects rarely": True, "excludes what stays": True,
    }  # fmt: skip
