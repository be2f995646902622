"""The web server's entry point."""

import os
import resource
import threading

import django

from lockbox_site import starting, statements

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lockbox_site.settings")

with starting.settings_or_exit("web"):
    django.setup()
    # Before the first question: a database that hangs must not hang the start.
    statements.bound()
    starting.require_fit()

# After the set-up, which they need. Who serves the web has streams, and each ends with its window.
from django.conf import settings
from django.urls import get_resolver

from lockbox_site.serving.bridge import Bridge
from lockbox_site.serving.handler import Handler
from requests_app.doors.api import reader
from requests_app.operations import streams
from requests_app.platform import hashing, outbound, sockets

#: Each client holds a descriptor, the slow ones for long.
DESCRIPTORS = 65_536


def _allow_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


_allow_descriptors()
# Else the first request would load all views.
get_resolver().url_patterns  # noqa: B018 - loads them
# It takes a moment, for which nobody else need wait.
threading.Thread(target=reader.as_json, name="document", daemon=True).start()
hashing.bound()
outbound.bound()
streams.keep_watch()
# The listening socket is here already; what it accepts is limited as it is.
sockets.narrow(settings.PORT)
application = Bridge(
    Handler(),
    threads=settings.WEB_THREADS,
    streams=settings.WEB_STREAMS,
    longest_body=settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
)
