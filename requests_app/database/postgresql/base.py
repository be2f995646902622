"""Django's connection to PostgreSQL, which says so where the outcome of a commit is not known."""

from __future__ import annotations

import select
from typing import Any

import psycopg
from django.db import DatabaseError, InterfaceError, InternalError
from django.db.backends.postgresql import base
from psycopg import pq

from requests_app.database.errors import CommitUnknown
from requests_app.database.wrapper import Wrapper

#: PostgreSQL, appendix A: idle_in_transaction_session_timeout and transaction_timeout. The server ended the session,
#: and with it the transaction, before it came to the COMMIT.
_ENDED_BEFORE = frozenset({"25P03", "25P04"})
#: The function of the server that gives up waiting for a standby. Its message may be translated; its name is not.
_GAVE_UP_STANDBY = "SyncRepWaitForLSN"


class DatabaseWrapper(Wrapper, base.DatabaseWrapper):  # type: ignore[misc]  # both derive from Django's base class
    def get_new_connection(self, conn_params: dict[str, Any]) -> Any:
        made = super().get_new_connection(conn_params)
        made.add_notice_handler(self._notice)
        return made

    def _notice(self, said: psycopg.errors.Diagnostic) -> None:
        if said.source_function == _GAVE_UP_STANDBY:
            self._standby_missing = True

    def _commit(self) -> None:
        """Commit, or raise CommitUnknown where the transaction may be saved although the database did not say so."""
        if self.connection is None:
            return
        if self.connection.pgconn.transaction_status == pq.TransactionStatus.INERROR:
            # PostgreSQL would answer COMMIT with ROLLBACK, and no error.
            raise InternalError("A statement of this transaction failed, so nothing of it can be committed.")
        self._standby_missing = False
        self._require_open()
        try:
            super()._commit()
        except (DatabaseError, InterfaceError) as error:
            if _is_refusal(error.__cause__):
                raise
            raise CommitUnknown("The connection failed while the transaction was being committed.") from error
        if self._standby_missing:
            raise CommitUnknown("The transaction was committed, but no synchronous standby has confirmed it.")

    def _require_open(self) -> None:
        """Raise the plain error where the server has ended this session already: then no COMMIT was sent."""
        connection = self.connection.pgconn
        if connection.status != pq.ConnStatus.OK or connection.transaction_status == pq.TransactionStatus.IDLE:
            return
        poll = select.poll()
        poll.register(connection.socket, select.POLLIN)
        # The server's last words come first, and then the end of the stream.
        for _ in range(3):
            if not poll.poll(0):
                return
            with self.wrap_database_errors:
                try:
                    connection.consume_input()
                except psycopg.Error:
                    connection.finish()
                    raise


def _is_refusal(error: BaseException | None) -> bool:
    """Whether the server says that it has rolled the transaction back."""
    if not isinstance(error, psycopg.Error) or error.sqlstate is None:
        return False
    return error.diag.severity_nonlocalized == "ERROR" or error.sqlstate in _ENDED_BEFORE
