"""`python -m tests.tasks.dies N [sweep]`: finish interrupted imports, and be killed at the Nth statement.

With `sweep`, apply the changes that are due.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import django


def main() -> None:
    django.setup()
    from django.core.management import call_command
    from django.db import connection

    from requests_app import operations
    from requests_app.management._logs import actor

    left = int(sys.argv[1])

    def die(execute: Any, *call: Any) -> Any:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return execute(*call)

    with connection.execute_wrapper(die):
        if sys.argv[2:] == ["sweep"]:
            operations.apply_due(actor=actor("sweep"), limit=10)
        else:
            call_command("import", "--resume")


if __name__ == "__main__":
    main()
