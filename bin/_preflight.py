"""Check that the settings are valid and the port is free, before the slow steps of a start."""

import os
import sys
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "lockbox_site.settings")


def main() -> int:
    try:
        from lockbox_site import listening, settings
    except ImproperlyConfigured as failure:
        print(f"run: {failure}", file=sys.stderr)
        return 1
    problem = listening.why_not(settings.HOST, settings.PORT, choosing=lambda port: f"PORT={port} bin/run")
    if problem:
        print(f"run: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
