"""What the first requests after a start find."""

from __future__ import annotations

import os
import subprocess
import sys

from django.conf import settings

#: As the web server's threads do it. What is loaded once is loaded here, in a process of its own.
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
