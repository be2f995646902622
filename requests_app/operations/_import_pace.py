"""Decides how many rows of an import one transaction writes or makes, so that nobody else waits long."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from django.db import connection

from requests_app.domain import clock
from requests_app.models import ImportBatch
from requests_app.platform.database.wrapper import Wrapper

#: The least and the most rows that one transaction writes. On SQLite, nobody else can write meanwhile, so it takes far
#: less than a second (docs/importing.md has the measured time).
LEAST, MOST = 50, 250
#: How many seconds a transaction should take, as far as it does not write fewer rows than LEAST.
TARGET_SECONDS = 0.1
#: How long an import rests between two transactions if others want to write, in seconds.
REST_SECONDS = 1.0


@dataclass
class Pace:
    """The size of the transactions of one run. It follows the time that they take on this machine, at this moment."""

    rows: int = LEAST
    _began: float = 0.0
    _written: int = 0

    def cut(self, batch: ImportBatch) -> None:
        """Leave as many rows in the batch as one transaction should write. The others become the batch after it.

        The number of a batch is that of its first row, so the new one has a place.
        """
        self._began, self._written = clock.monotonic(), min(self.rows, len(batch.rows))
        left = batch.rows[self.rows :]
        if not left:
            return
        number = batch.number + self.rows
        # An import that an earlier version has stored counts its batches, so the number can be in use.
        if not ImportBatch.objects.filter(of=batch.of_id, number=number).exists():
            batch.rows = batch.rows[: self.rows]
            batch.save(update_fields=["rows"])
            ImportBatch.objects.create(of_id=batch.of_id, number=number, rows=left)

    def rest(self) -> None:
        """Take the measure of the transaction that has just ended. Then let others write, who wait for it."""
        took, written = clock.monotonic() - self._began, self._written
        if written:
            self.rows = max(LEAST, min(MOST, int(written * TARGET_SECONDS / max(took, 0.001))))
        self._written = 0
        let_others_write()


def let_others_write() -> None:
    """Between two transactions of many, let those write first who wait for it."""
    cast(Wrapper, connection).let_others_write(within=REST_SECONDS)
