"""The versions of PostgreSQL with which this product works."""

from __future__ import annotations

from typing import Any

#: All tests run on both.
OLDEST, NEWEST = 15, 18


def major(server_version: int) -> int:
    """Return the major version. `server_version` is PostgreSQL's number, for example 150018 for 15.18."""
    return server_version // 10_000


def of(connection: Any) -> int:
    """Return the major version of the server of Django's connection to PostgreSQL."""
    return major(connection.pg_version)


def why_too_old(version: int) -> str:
    """Return why this major version can't be used, or ""."""
    return f"The server is PostgreSQL {version}. Use PostgreSQL {OLDEST} or newer." if version < OLDEST else ""


def why_too_new(version: int) -> str:
    """Return a warning about a major version that is newer than all tested ones, or ""."""
    if version <= NEWEST:
        return ""
    return (
        f"The server is PostgreSQL {version}, which is newer than this version of Customer Lockbox. It was tested on "
        f"PostgreSQL {OLDEST} to {NEWEST}."
    )
