"""Serves the application of served.py with the product's bridge."""

from __future__ import annotations

import os

import django

from lockbox_site import starting

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
starting.collect_rarely()
django.setup()

# These imports need the set-up above.
from lockbox_site.serving.bridge import Bridge  # noqa: E402
from tests.site.served import Echo  # noqa: E402

application = Bridge(Echo(), threads=4, streams=8, longest_body=1024 * 1024)
