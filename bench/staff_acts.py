"""Does what two members of the staff do with an import whose rows wait, in the installation of `bench.crowd`.

Usage: python -m bench.staff_acts propose FILE, and then: python -m bench.staff_acts apply. Both use the settings of the
installation, and return when its workers have done their part. The waiting time of the changes is over at once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import django

#: In seconds.
LOOK, WITHIN = 0.5, 1800.0


def main(what: str, *path: str) -> None:
    django.setup()
    if what == "propose":
        _propose(Path(path[0]))
    else:
        _apply()


def _propose(path: Path) -> None:
    """Start the import as the first of them, and wait until all of its changes are announced."""
    from requests_app import operations
    from requests_app.domain import clock
    from requests_app.models import Import, Tenant
    from requests_app.platform import csv_files

    Tenant.objects.filter(name__startswith="Tenant No. ").update(lockbox_on=True, lockbox_first_on_at=clock.now())
    row = operations.start_import(csv_files.source(path.read_bytes(), file_name=path.name), actor=_staff(0))
    assert row is not None
    imports = Import.objects.filter(pk=row.pk)
    _wait(lambda: imports.exclude(proposal=None).exists() and not imports.get().held.unannounced().exists())


def _apply() -> None:
    """Confirm as the second, and wait until the sweep has made the changes."""
    from requests_app import operations
    from requests_app.domain import clock
    from requests_app.models import Proposal

    rows = Proposal.objects.filter(ended_at=None)
    proposal = rows.get()
    operations.confirm_proposal(proposal.pk, actor=_staff(1))
    rows.update(effective_at=clock.now())
    _wait(lambda: not rows.exists())
    proposal.refresh_from_db()
    assert proposal.outcome == "applied", proposal.outcome


def _staff(number: int) -> Any:
    from requests_app.domain import clock
    from requests_app.models import Person
    from requests_app.models.people import actor_of

    person = Person.objects.get(email=f"staff-{number}@provider.example")
    return actor_of(person, door="admin", stepped_up_at=clock.now())


def _wait(is_done: Callable[[], bool]) -> None:
    until = time.monotonic() + WITHIN
    while not is_done():
        if time.monotonic() > until:
            raise SystemExit("The workers did not do their part in time.")
        time.sleep(LOOK)


if __name__ == "__main__":
    main(*sys.argv[1:])
