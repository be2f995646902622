"""The ASGI entry point."""

import os

import django
from django.core.asgi import get_asgi_application

from lockbox_site import starting

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lockbox_site.settings")

with starting.settings_or_exit("web"):
    django.setup()
    starting.require_fit()
    application = get_asgi_application()
