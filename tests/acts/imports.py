"""Test cases for the acts on imports."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from requests_app import operations
from requests_app.domain.actors import Actor
from requests_app.domain.imports import RESOURCE, Source, read
from requests_app.doors.admin.imports import packed
from requests_app.doors.api.imports import SOURCE
from requests_app.management._logs import actor as operator
from requests_app.models import Import
from tests.acts.case import Case
from tests.acts.shared import by_adding, by_button
from tests.cast import Cast
from tests.imports.files import MAIL, csv_of, imported, source_of

_FILE: dict[str, Any] = {"content": packed(csv_of(MAIL)), "file_name": "resources.csv"}

_MAILBOX = {
    "tenant": "contoso", "service": "exchange-online", "external_id": "m-1", "kind": "mailbox",
    "name": "legal@contoso.example", "locator": "contoso/mail/legal",
}  # fmt: skip
_CALL = {"rows": [_MAILBOX]}


def _bulk(cast: Cast, row: None, actor: Actor) -> None:
    sent = hashlib.sha256(json.dumps(_CALL).encode()).hexdigest()
    source = Source([read(RESOURCE, 0, _MAILBOX)], file_name=SOURCE, sha256=sent)
    made = operations.start_import(source, actor=actor)
    assert made is not None
    operations.run_import(made.pk, actor=cast.system("import"))


def _waiting(cast: Cast) -> Import | None:
    """Return an import of the operator's, with a change that waits: a new resource of a service that is not covered."""
    cast.sharepoint.is_covered = False
    cast.sharepoint.save()
    line = "contoso,,,,sharepoint-online,m-3,library,Plans,contoso/plans/x,"
    return imported(cast, line, actor=operator("import"))


CASES: dict[str, Case] = {
    "start_import": Case(
        "stella",
        lambda cast: None,
        lambda cast, row, actor: operations.start_import(source_of(MAIL), actor=actor),
        admin=by_adding("import", **_FILE),
    ),
    "start_import, many rows in one call": Case(
        "stella",
        lambda cast: None,
        _bulk,
        api=lambda cast, caller, row: caller.post("resources/bulk", _CALL),
    ),
    "propose_import": Case(
        "stella",
        _waiting,
        lambda cast, row, actor: operations.propose_import(row.pk, actor=actor),
        admin=by_button("import", "propose"),
    ),
}
