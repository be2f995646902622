"""What can go wrong with a database, beyond what Django tells apart."""

from __future__ import annotations

from django.db import OperationalError


class CommitUnknown(OperationalError):
    """COMMIT was under way when the database stopped answering: the transaction is saved, or it is not.

    A commit that the database refused is not this: it stays the error that the database gave, and nothing was saved.
    """
