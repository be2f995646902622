"""Writes to a file whether the parts that run here work, for the probes of their container.

The probes of a container must not read the common heartbeats in the database, because another container that works
would hide a part that hangs in this one. `lockbox_site/probing.py` reads the file. PROBE_FILE is its name; without this
setting, nothing is written.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

from django.conf import settings

from requests_app.domain import clock


def write(faults: Sequence[str], *, web: str = "") -> None:
    """Store what does not work here. `web` is the `host:port` at which a web server of this container listens.

    If the file can't be written, the probe finds an old file and reports that.
    """
    if not settings.PROBE_FILE:
        return
    path = Path(settings.PROBE_FILE)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    # The monotonic clock of Linux is the same for all processes of a machine.
    found = {"at": clock.monotonic(), "faults": list(faults), "web": web}
    with contextlib.suppress(OSError):
        # Other users may write to the directory. A link that one of them has put there is never followed.
        draft.unlink(missing_ok=True)
        with draft.open("x") as file:
            file.write(json.dumps(found))
        os.replace(draft, path)
