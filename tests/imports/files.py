"""CSV files for the tests of imports, and what their reports say."""

from __future__ import annotations

from typing import Any

from requests_app import operations
from requests_app.domain.actors import Actor
from requests_app.domain.imports import FaultyFile, Source
from requests_app.models import Import
from requests_app.platform import csv_files
from requests_app.queries import imports as queries
from tests.cast import Cast

HEADER = "tenant,tenant_name,plan,time_zone,service,external_id,kind,name,locator,active"
#: A new resource of Contoso, and one of Northwind, which never had Lockbox on.
MAIL = "contoso,,,,exchange-online,m-1,mailbox,legal@contoso.example,contoso/mail/legal,"
NORTH = "northwind,,,,exchange-online,n-1,mailbox,legal@northwind.example,northwind/mail/legal,"


def csv_of(*lines: str, header: str = HEADER) -> bytes:
    return "\n".join([header, *lines]).encode()


def source_of(*lines: str, header: str = HEADER) -> Source:
    return csv_files.source(csv_of(*lines, header=header), file_name="resources.csv")


def faults_of(data: bytes | Source, cast: Cast) -> list[tuple[int, str, str]]:
    """Return the line, the column and the code of each fault in a file."""
    found = csv_files.source(data, file_name="resources.csv") if isinstance(data, bytes) else data
    faults = operations.check_import(found, actor=cast.as_("stella")).faults
    assert all(fault.reason for fault in faults)
    return [(fault.line, fault.column, fault.code) for fault in faults]


def imported(cast: Cast, *lines: str, actor: Actor | None = None) -> Import | None:
    """Import these lines to the end. Return the import, or None if they change nothing."""
    row = operations.start_import(source_of(*lines), actor=actor or cast.as_("stella"))
    return operations.run_import(row.pk, actor=cast.system("import")) if row is not None else None


def statuses(row: Import | None) -> list[tuple[int, str, str]]:
    """Return the line, the kind and the status of each row that was written."""
    assert row is not None
    return sorted((line.line, line.kind, line.status) for line in queries.lines_of(row))


def refused(cast: Cast, *lines: str) -> Any:
    try:
        operations.start_import(source_of(*lines), actor=cast.as_("stella"))
    except FaultyFile as faulty:
        return [(fault.line, fault.column, fault.code) for fault in faulty.faults]
    raise AssertionError("it was not refused")
