"""The WSGI entry point."""

import os

import django
from django.core.wsgi import get_wsgi_application

from lockbox_site import starting

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lockbox_site.settings")

with starting.settings_or_exit("web"):
    django.setup()
    starting.require_fit()
    application = get_wsgi_application()

# After the set-up, which they need. Who serves the web has streams, and each ends with its window.
from lockbox_site import statements
from requests_app.operations import streams

statements.bound()
streams.keep_watch()
