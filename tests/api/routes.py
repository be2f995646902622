"""Every route of the OpenAPI document, with ids of Contoso's rows for its path and with an example body."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

from requests_app import operations
from requests_app.domain import clock
from requests_app.doors.api import reader
from requests_app.models import Client
from tests.cast import PASSWORD, Cast
from tests.factors import anybodys_code
from tests.isolation.world import World

document = reader.document()
AZURE = "Microsoft.CustomerLockbox"
#: AuthZEN and the Shared Signals Framework require that a server ignores unknown members.
OPEN = {
    "evaluation",
    "evaluations",
    "search_subject",
    "search_resource",
    "search_action",
    "access_tasks_submit",
    "signal_streams_create",
    "signal_streams_change",
    "signal_streams_replace",
    "signal_status_set",
    "signal_verification",
    "signal_poll",
}
AZURE_VERSION = "?api-version=2018-02-28-preview"


@dataclass(frozen=True)
class Route:
    method: str
    path: str
    document: dict[str, Any]

    def __str__(self) -> str:
        return str(self.document["operationId"])

    @property
    def shape(self) -> dict[str, Any]:
        """The schema of the route's body."""
        return resolved(self.document["requestBody"]["content"]["application/json"]["schema"])

    @property
    def examples(self) -> list[Any]:
        found = self.document["requestBody"]["content"]["application/json"].get("examples", {})
        return [each["value"] for each in found.values()]

    def filters(self) -> list[dict[str, Any]]:
        parameters = [resolved(each) for each in self.document.get("parameters", [])]
        return [each for each in parameters if each["in"] == "query"]


def every_route() -> Iterator[Route]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield Route(method, path, operation)


TAKES_A_BODY = [each for each in every_route() if "requestBody" in each.document]
READS = [each for each in every_route() if each.method == "get"]


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part of the document. If it is a reference, return the component that it refers to."""
    while "$ref" in part:
        kind, name = part["$ref"].split("/")[2:]
        part = document["components"][kind][name]
    return part


def body_of(route: Route, world: World, example: Any = None) -> dict[str, Any]:
    """Return an example body of the document. The ids of the world's rows replace its placeholders."""
    rows = {
        "ticket": world.ticket.pk,
        "stream": world.stream.pk,
        "resource": world.mailbox.pk,
        "tenant": world.cast.contoso.pk,
        "plan": world.cast.contoso.plan_id,
        "service": world.mailbox.service_id,
        "person": world.cast.mia.pk,
        "approver": world.cast.ada.pk,
        "deputy": world.cast.alan.pk,
        "engineer": world.cast.priya.pk,
        "password": PASSWORD,
        "soon": (clock.now() + dt.timedelta(days=2)).isoformat(),
        "later": (clock.now() + dt.timedelta(days=9)).isoformat(),
        "code": anybodys_code(),
    }
    text = json.dumps(route.examples[0] if example is None else example)
    for name, row in rows.items():
        text = text.replace(f"{{{name}}}", str(row))
    if "{grant_token}" in text:
        text = text.replace("{grant_token}", _grant_token(world.cast))
    found: dict[str, Any] = json.loads(text)
    return found


def _grant_token(cast: Cast) -> str:
    """Return a grant token of an engineer's new window. It is for an application that has a guard."""
    if not Client.objects.filter(service=cast.quillo()).exists():
        cast.guard()
    return operations.issue_grant_token(cast.in_quillo().pk, actor=cast.as_("priya")).token


def address_of(route: Route, world: World, tenant: Any = None, **rows: Any) -> str:
    """Return the route's URL with the ids of Contoso's rows. An id in `rows` replaces one of these."""
    ids = {
        "access-requests": world.pending.pk,
        "requests": world.pending.pk,
        "clients": world.client.pk,
        "invitations": world.invitation.pk,
        "out-of-office": world.absence.pk,
        "mutes": world.mute.pk,
        "proposals": world.proposal.pk,
        "domains": world.domain.pk,
        "identities": world.identity.pk,
        "imports": world.imported.pk,
        "tokens": world.token.pk,
        "webhooks": world.hook.pk,
        "tickets": world.pending.ticket_id,
        "grants": world.grant.pk,
        "services": world.mailbox.service_id,
        "resources": world.mailbox.pk,
        "plans": world.cast.contoso.plan_id,
        "proposed-changes": world.announced.pk,
    } | {name.replace("_", "-"): row for name, row in rows.items()}
    tenant = tenant or world.cast.contoso.pk
    named = {
        "tenant": tenant,
        "subscription": tenant,
        "message": world.delivery.pk,
        "person": (world.cast.priya if "/provider/people/" in route.path else world.cast.mia).pk,
        "address": world.address.pk,
        "resource": world.mailbox.pk,
        "comment": world.comment.pk,
        "stream": world.stream.pk,
    }
    found: list[str] = []
    for part in route.path.split("/"):
        if not part.startswith("{"):
            found.append(part)
        elif part == "{id}":
            found.append(str(tenant if found[-1] == "tenants" else ids.get(found[-1], uuid4())))
        else:
            found.append(str(named.get(part.strip("{}"), 1)))
    return "/".join(found) + (AZURE_VERSION if AZURE in route.path else "")


def kind_of(path: str) -> str:
    """Return the kind of row that a path is about: `/api/v1/access-requests/{id}/deny` is about "access-requests"."""
    found = re.search(r"/([a-z-]+)/\{id\}", path)
    return found[1] if found else ""
