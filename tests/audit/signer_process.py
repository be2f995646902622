"""A signer as a process of its own: `python -m tests.audit.signer_process NAME JOURNAL`, with settings as environment.

It signs in a loop until it is killed. It writes each move of a head, each signed note and each published checkpoint as
a line into the journal, so that a test can judge what no table shows.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any


def main(name: str, journal: Path) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    from django.conf import settings
    from django.db import DatabaseError, connection

    from audit_app import checkpoints, heads, redating, s3, signing_round
    from audit_app.stored_heads import HeadsUnavailable
    from requests_app.domain import clock
    from requests_app.platform.database import bounds

    for key, value in json.loads(os.environ["SIGNER_SETTINGS"]).items():
        setattr(settings, key, value)
    settings.LOG_SIGNER_NAME = name
    settings.LOG_HEADS_FILE = settings.DATA_DIR / "lock"
    settings.LOG_KEY = os.environ["SIGNER_KEY"]
    # The server ends the transaction of a process that is stopped in it, as in production, but sooner.
    bounds.of_process(replace(bounds.worker(wait_seconds=5.0), idle=1))
    s3.TIMEOUT = float(os.environ.get("SIGNER_S3_TIMEOUT", s3.TIMEOUT))
    if os.environ.get("SIGNER_OVERWRITES"):
        plain = heads.put
        heads.put = lambda head, frontier, note, *, after: plain(head, frontier, note, after=heads.get(head.origin))

    out = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def say(what: str, **facts: Any) -> None:
        os.write(out, json.dumps({"by": name, "what": what, **facts}).encode() + b"\n")

    def moved(call: Callable[..., Any]) -> Callable[..., Any]:
        def put(*arguments: Any, **named: Any) -> Any:
            found = call(*arguments, **named)
            for each in found.values() if isinstance(found, dict) else [found]:
                say("moved", origin=each.head.origin, size=each.head.size, generation=each.generation)
            return found

        return put

    def signed(call: Callable[..., Any]) -> Callable[..., Any]:
        def sign(*arguments: Any, **named: Any) -> Any:
            found = call(*arguments, **named)
            say("signed", note=str(found))
            return found

        return sign

    heads.put, heads.renew = moved(heads.put), moved(heads.renew)
    checkpoints.signed_note = redating.signed_note = signed(checkpoints.signed_note)
    say("started")
    while True:
        try:
            done = signing_round.work(clock.now, limit=100)
            if done.refused or done.failed:
                say("trouble", refused=[str(each) for each in done.refused], failed=len(done.failed))
        except (DatabaseError, HeadsUnavailable) as error:
            say("trouble", error=f"{type(error).__name__}: {error}")
            connection.close()
        time.sleep(0.02)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
