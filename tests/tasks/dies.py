"""`python -m tests.tasks.dies N`: finish the imports that were interrupted, and be killed at the Nth statement."""

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

    left = int(sys.argv[1])

    def die(execute: Any, *call: Any) -> Any:
        nonlocal left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return execute(*call)

    with connection.execute_wrapper(die):
        call_command("import", "--resume")


if __name__ == "__main__":
    main()
