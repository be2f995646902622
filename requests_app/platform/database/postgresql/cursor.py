"""A psycopg cursor that prepares the statements with a fixed text (`Prepared`), and no others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from django.db.backends.postgresql import base
from psycopg import errors, pq

from requests_app.platform.database.prepared import Prepared

if TYPE_CHECKING:  # Django's stubs don't say what this class is
    _Cursor = psycopg.Cursor[Any]
else:
    _Cursor = base.ServerBindingCursor


class Cursor(_Cursor):
    def execute(self, query: Any, params: Any = None, *, prepare: bool | None = None, **options: Any) -> Any:
        is_marked = prepare is None and isinstance(query, Prepared)
        try:
            return super().execute(query, params, prepare=True if is_marked else prepare, **options)
        except errors.FeatureNotSupported as error:
            if not is_outdated(error):
                raise
            # A rollback forgets all prepared statements. Without a transaction, nobody rolls back.
            if self.connection.info.transaction_status != pq.TransactionStatus.IDLE:
                raise
            self.connection._prepared.clear()
            return super().execute(query, params, prepare=prepare, **options)


def is_outdated(error: BaseException | None) -> bool:
    """Return whether a prepared statement would have other types of columns than before.

    A migration has changed a table after the statement was prepared.
    """
    return isinstance(error, errors.FeatureNotSupported) and error.diag.source_function == "RevalidateCachedQuery"
