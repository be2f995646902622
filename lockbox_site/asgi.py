"""The ASGI entry point."""

import os

from django.core.asgi import get_asgi_application

from lockbox_site import starting

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lockbox_site.settings")

with starting.settings_or_exit("web"):
    application = get_asgi_application()
    starting.require_log_name()
