"""The web server's entry point."""

import os
import resource

import django

from lockbox_site import starting, statements

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lockbox_site.settings")

with starting.settings_or_exit("web"):
    starting.manage_memory()
    django.setup()
    # Set before the first query, so that a database that does not answer can't block the start.
    statements.bound()
    starting.require_fit()

# Imported after the set-up, which these modules need.
from django.conf import settings
from django.urls import get_resolver

from lockbox_site.monitoring import watching
from lockbox_site.serving import garbage
from lockbox_site.serving.bridge import Bridge
from lockbox_site.serving.handler import Handler
from requests_app.operations import streams
from requests_app.platform import hashing, outbound, sockets
from requests_app.platform.database.sqlite import copying
from requests_app.work import feed, lookout

#: Each client needs a descriptor, and a slow client needs it for a long time.
DESCRIPTORS = 65_536


def _allow_descriptors() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


_allow_descriptors()
watching.start("web")
# Without this, the first request would load all views.
get_resolver().url_patterns  # noqa: B018 - loads them
hashing.bound()
outbound.bound()
copying.in_thread()
streams.keep_watch()
feed.keep_watch()
lookout.keep_watch()
# The listening socket already exists, and connections inherit its limits.
sockets.narrow(settings.PORT)
application = Bridge(
    Handler(),
    threads=settings.WEB_THREADS,
    streams=settings.WEB_STREAMS,
    longest_body=settings.DATA_UPLOAD_MAX_MEMORY_SIZE,
)
# What is loaded now stays.
garbage.collect_after_requests()
