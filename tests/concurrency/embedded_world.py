"""Writes the world of an installation for the load test, or reads its database after the test.

Usage: python -m tests.concurrency.embedded_world make|read, with the settings of the installation
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import django

#: Each download has a bit more than two chunks.
ITEM_BYTES = 40_000


def make(port: int) -> dict[str, Any]:
    """Write people, tickets, an open window and content. Return what the callers must know about them."""
    from django.conf import settings
    from django.core.management import call_command

    from requests_app import operations
    from requests_app.domain.scopes import Scope
    from requests_app.models import Membership
    from tests import caller
    from tests.cast import CUSTOMERS, gather
    from tests.content import fill, mail_id
    from tests.web.pages import signed_in

    call_command("collectstatic", interactive=False, verbosity=0)
    call_command("log_key", "create", verbosity=0, stdout=sys.stderr)
    cast = gather()
    root = Path(settings.CONTENT_ROOT)
    fill(root, mails=20)
    for mail in (root / "contoso" / "mail" / "finance" / "cur").iterdir():
        mail.write_bytes(mail.read_bytes() + b"x" * ITEM_BYTES)
    tenants = {
        slug: {
            "id": str(cast.tenants[slug].pk),
            "tickets": [str(cast.ticket(slug, by).pk) for _ in range(3)],
            "resource": str(cast.resource(slug).pk),
        }
        for slug, by in (("contoso", "mia"), ("fabrikam", "fred"))
    }
    grant = cast.opened()
    people = ("mia", "ada", "alan", "otto", "ines", "fred", "frida", "fatima", "finn", "priya", "erik", "bea", "pat")
    # Fabrikam gets a second approver, so that two people can answer at the same time there, too.
    Membership.objects.create(tenant=cast.fabrikam, person=cast.finn, role="approver", given_at=grant.opens_at)
    gateway, _secret = caller.client_of(cast, None, Scope.EVALUATE)
    return {
        "port": port,
        "tenants": tenants,
        "homes": {name: slug for slug in tenants for name in CUSTOMERS[slug]},
        "deciders": {"contoso": ["ada", "alan"], "fabrikam": ["frida", "finn"]},
        "tokens": {name: caller.token_of(cast, name) for name in people}
        | {"gateway": operations.issue_access_token(gateway, scopes=frozenset({Scope.EVALUATE})).secret},
        "cookies": {"priya": _cookies(signed_in(cast, "priya"))},
        "window": {
            "grant": str(grant.pk),
            "resource": str(cast.resource().pk),
            "engineer": str(cast.priya.pk),
        },
        "items": [mail_id(n) for n in range(1, 21)],
    }


def _cookies(client: Any) -> str:
    return "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())


def read() -> dict[str, Any]:
    """Sign the last entries. Return, for each kind of act, the keys of the acts that the database contains."""
    from django.core.management import call_command

    from audit_app.models import AuditEntry
    from requests_app.models import AccessRequest, ContentAccess, Decision, Ticket, TicketComment

    call_command("checkpoint", stdout=sys.stderr)
    call_command("verify_audit", stdout=sys.stderr)
    for slug in ("contoso", "fabrikam"):
        bundle, key = (Path(os.environ["DATA_DIR"]) / f"{slug}.{kind}" for kind in ("zip", "key"))
        call_command("evidence", slug, "-o", bundle, stdout=sys.stderr)
        with key.open("w") as out:
            call_command("log_key", "show", "--tenant", slug, stdout=out)
    return {
        "comment": list(TicketComment.objects.values_list("body", flat=True)),
        "ticket": list(Ticket.objects.values_list("title", flat=True)),
        "ask": [text.partition(" ")[0] for text in AccessRequest.objects.values_list("justification", flat=True)],
        "decisions": [
            [row.access_request.justification.partition(" ")[0], row.stage, row.verdict]
            for row in Decision.objects.select_related("access_request")
        ],
        "looks": list(ContentAccess.objects.values_list("kind", "item_id", "item_ref")),
        "events": list(AuditEntry.objects.values_list("event", flat=True)),
    }


def main(what: str, *rest: str) -> None:
    django.setup()
    json.dump(make(int(rest[0])) if what == "make" else read(), sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
