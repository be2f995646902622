"""The setting that shows the pages in a test language, to find words that are not marked for translation."""

from __future__ import annotations

import os
import subprocess
import sys

from django.conf import settings

LOOK = """
import django
django.setup()
from django.test import Client
visitor = Client(headers={"Accept-Language": "en-GB,en;q=0.9", "Host": "localhost"})
print(visitor.get("/accounts/login/").content.decode())
"""


def test_the_setting_disguises_the_pages_for_any_browser_language(tmp_path: object) -> None:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "lockbox_site.settings", "DATA_DIR": str(tmp_path)}
    shown = subprocess.run(
        [sys.executable, "-c", LOOK],
        cwd=settings.BASE_DIR,
        env={**environment, "PSEUDO_LOCALE": "on", "DEBUG": "on", "CACHE_URL": "locmemcache://"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "⟦" in shown.stdout, shown.stderr[-2000:]
