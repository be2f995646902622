"""The WSGI entry point."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lockbox_site.settings")

application = get_wsgi_application()

# After the set-up, which they need. Who serves the web has streams, and each ends with its window.
from lockbox_site import statements  # noqa: E402 - needs the set-up above
from requests_app.operations import streams  # noqa: E402 - needs the set-up above

statements.bound()
streams.keep_watch()
