"""Quillo for a WSGI server."""

import os

from django.core.wsgi import get_wsgi_application

from lockbox_guard import django as lockbox

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "quillo.settings")
# --- The guard: one of its ten lines ---
application = lockbox.wsgi(get_wsgi_application())
# --- to here ---
