"""A row of each kind at Contoso, and all routes of the site whose path contains ids of such rows."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any
from uuid import UUID, uuid4

from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.converters import IntConverter, PathConverter, SlugConverter, StringConverter, UUIDConverter
from django.urls.resolvers import RoutePattern

from audit_app.models import Witness
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.scopes import Scope
from requests_app.doors.api.scim.shapes import group_id
from requests_app.models import (
    AccessRequest,
    GateProxy,
    Grant,
    Identity,
    Import,
    Mute,
    NotificationAddress,
    OutboxMessage,
    Proposal,
    SignalStream,
    Ticket,
    Token,
    Webhook,
)
from requests_app.models import Client as Machine
from requests_app.models.people import actor_of_token
from requests_app.operations._stream_settings import Wanted
from tests.caller import client_of
from tests.cast import Cast
from tests.passkeys import enrolled
from tests.remembered import MEMORY

Ids = dict[str, Any]


class World:
    """A row of each kind at Contoso. Each row contains a word that outsiders must never see."""

    CANARY = "Zanzibar"

    def __init__(self, cast: Cast) -> None:
        self.cast = cast
        vars(self).update(MEMORY.call("one row of each kind at Contoso", self._add_rows))

    def _add_rows(self) -> dict[str, Any]:
        """Add the rows with operations, and return them by name."""
        cast = self.cast
        self.ticket: Ticket = cast.ticket(title=f"{self.CANARY} ticket", body=f"{self.CANARY} body")
        self.pending: AccessRequest = cast.confirmed(ticket=self.ticket, justification=f"{self.CANARY} " + "x" * 40)
        self.grant: Grant = cast.opened(ticket=self.ticket, justification=f"{self.CANARY} " + "y" * 40)
        self.mailbox = cast.resource()
        self.address = NotificationAddress.objects.create(
            tenant=cast.contoso, email="zanzibar@contoso.example", created_at=cast.contoso.created_at
        )
        at = cast.contoso.created_at
        self.witness = Witness.objects.create(
            tenant_id=cast.contoso.pk, vkey=f"{self.CANARY}+0+0", url="https://w.example", added_at=at, due_at=at
        )
        ines, url = cast.as_("ines"), "https://hooks.example/zanzibar"
        hook = operations.add_webhook(cast.contoso.pk, url=url, label=self.CANARY, events=["*"], actor=ines).webhook
        self.hook: Webhook = hook
        self.delivery: OutboxMessage = operations.send_webhook_test(hook.pk, actor=ines)
        self.client: Machine = operations.create_client(
            tenant_id=cast.contoso.pk, name=self.CANARY, scopes=["log:read"], actor=ines
        ).row
        program, _secret = client_of(cast, "contoso", Scope.SSF_READ, Scope.SSF_MANAGE)
        token = operations.issue_access_token(program, scopes={Scope.SSF_READ, Scope.SSF_MANAGE}).row
        wanted = Wanted(description=self.CANARY)
        self.stream: SignalStream = operations.create_stream(wanted, actor=actor_of_token(token))
        at = clock.now()
        self.absence = operations.set_out_of_office(
            cast.contoso.pk,
            deputy_id=cast.alan.pk,
            from_at=at,
            until_at=at + dt.timedelta(days=1),
            actor=cast.as_("ada"),
        )
        self.mute = Mute.objects.create(
            tenant=cast.contoso,
            engineer=cast.erik,
            note=self.CANARY,
            set_by=cast.ada,
            set_at=at,
            until_at=at + dt.timedelta(hours=4),
        )
        self.proposal = Proposal.objects.create(
            tenant=cast.contoso,
            act="switch_lockbox",
            said={"on": False},
            proposed_by=cast.ines,
            proposed_human=cast.ines.human_id,
            proposed_at=at,
            expires_at=at + dt.timedelta(days=7),
        )
        self.announced = Proposal.objects.create(
            tenant=None,
            act="rename_resource",
            said={"resource": str(cast.resource().pk), "was": self.CANARY, "name": "Finance"},
            proposed_by=cast.stella,
            proposed_human=cast.stella.human_id,
            proposed_at=at,
            expires_at=at + dt.timedelta(days=7),
        )
        self.announced.touched.add(cast.contoso)
        self.imported = Import.objects.create(
            file_name=self.CANARY, sha256="0" * 64, door="admin", started_name="Stella Test", started_at=at,
            finished_at=at, rows=0,
        )  # fmt: skip
        self.passkey = enrolled(cast, "ada", called=self.CANARY)[0]
        self.invitation = cast.invited("zanzibar@contoso.example")
        self.domain = operations.claim_domain(cast.contoso.pk, name="zanzibar.example", actor=ines)
        self.identity = Identity.objects.create(
            tenant=cast.contoso, issuer="https://idp.example", subject=self.CANARY, person=cast.mia, linked_at=at
        )
        self.comment = operations.comment(self.ticket.pk, body=f"{self.CANARY} comment", actor=cast.as_("mia"))
        self.token: Token = operations.create_token(
            name=self.CANARY, scopes=["log:read"], days=7, actor=cast.as_("mia")
        ).row
        self.proxy = GateProxy.objects.create(
            service=cast.exchange, name=self.CANARY, secret_hash="0" * 64, added_at=at
        )
        return {name: row for name, row in vars(self).items() if row is not cast}

    def id_of(self, collection: str) -> UUID | None:
        """Return the id of Contoso's row in a collection, or None. Collections have the same names as in URLs."""
        rows: dict[str, UUID] = {
            **dict.fromkeys(("log", "tenant", "tenants", "subscriptions", "tenantOptedIn"), self.cast.contoso.pk),
            **dict.fromkeys(("access-requests", "requests"), self.pending.pk),
            **dict.fromkeys(("windows", "grants"), self.grant.pk),
            **dict.fromkeys(("people", "members", "Users"), self.cast.ada.pk),
            "Groups": group_id(self.cast.contoso.pk, "approver"),
            "addresses": self.address.pk,
            "clients": self.client.pk,
            "comments": self.comment.pk,
            "deliveries": self.delivery.pk,
            "domains": self.domain.pk,
            "evidence": uuid4(),
            "identities": self.identity.pk,
            "imports": self.imported.pk,
            "invitations": self.invitation.pk,
            "mutes": self.mute.pk,
            "out-of-office": self.absence.pk,
            "passkeys": self.passkey.pk,
            "plans": self.cast.contoso.plan_id,
            "proxies": self.proxy.pk,
            "proposals": self.proposal.pk,
            "proposed-changes": self.announced.pk,
            "resources": self.mailbox.pk,
            **dict.fromkeys(("streams", "signal-streams"), self.stream.pk),
            "tickets": self.ticket.pk,
            "tokens": self.token.pk,
            "webhooks": self.hook.pk,
            "witnesses": self.witness.pk,
        }
        return rows.get(collection)


#: Collections whose rows belong to no tenant.
OF_NOBODY = {"services"}
#: Numbers for a log: an entry, or a size of its tree. The last number is too large for any column.
NUMBERS = (0, 3, 10**30)
METHODS = ("get", "post", "put", "patch", "delete")
#: Acts on a ticket, for an address that accepts any word.
SLUGS = ("close_ticket", "comment", "link_ticket", "unknown")


@dataclass(frozen=True)
class Route:
    """One route. `path` is the whole pattern of its URLs.

    A pattern that is a regular expression is for the URLs that no other route has.
    """

    namespace: str
    name: str
    path: str
    entry: URLPattern

    @property
    def is_path(self) -> bool:
        return isinstance(self.entry.pattern, RoutePattern)

    @property
    def collections(self) -> dict[str, str]:
        """The collection of each id in the path, by the id's name.

        The part of the path before an id names its collection.
        """
        found, before = {}, ""
        for part in self.path.strip("/").split("/"):
            name = part.strip("<>").rpartition(":")[2]
            if isinstance(self.entry.pattern.converters.get(name), UUIDConverter):
                found[name] = f"{name}s" if before.startswith("<") else before
            before = part
        return found

    @property
    def names_a_row(self) -> bool:
        """Whether the path contains the id of a row that belongs to a tenant."""
        return bool(set(self.collections.values()) - OF_NOBODY)

    @property
    def takes_free_text(self) -> bool:
        """Whether the path contains free text, such as a secret or a name, which may also identify a row."""
        converters = self.entry.pattern.converters.values()
        return any(type(converter) in (StringConverter, SlugConverter, PathConverter) for converter in converters)

    def ids(self, world: World) -> Iterator[Ids]:
        """Yield values for the variable parts of the path, with ids of Contoso's rows.

        All combinations of words are used. Each test number is used for all numbers of the path together, but `old`
        is 0.
        """
        collections, converters = self.collections, self.entry.pattern.converters
        numbers = [name for name, converter in converters.items() if isinstance(converter, IntConverter)]
        values = {
            name: [world.id_of(collections[name])] if name in collections else _words(converter)
            for name, converter in converters.items()
            if name not in numbers
        }
        for number in NUMBERS if numbers else (0,):
            for found in product(*values.values()):
                at = {name: 0 if name == "old" else number for name in numbers}
                yield {**dict(zip(values, found, strict=True)), **at}

    @property
    def methods(self) -> list[str]:
        """The methods of a route of the API. A plain function gets all methods, because it checks them itself."""
        callback = self.entry.callback
        view = getattr(callback, "cls", None) or getattr(callback, "view_class", None)
        found = [method for method in METHODS if view is None or hasattr(view, method)]
        return [*found, "head"] if "get" in found else found


def _words(converter: Any) -> list[Any]:
    return [*SLUGS] if isinstance(converter, SlugConverter) else converter.regex.split("|")


def routes(resolver: URLResolver | None = None, namespace: str = "", before: str = "") -> Iterator[Route]:
    """Yield every route of the site."""
    for entry in (resolver or get_resolver()).url_patterns:
        path = f"{before}{entry.pattern}"
        if isinstance(entry, URLResolver):
            yield from routes(entry, entry.namespace or namespace, path)
        elif isinstance(entry, URLPattern):
            yield Route(namespace, entry.name or str(entry.pattern), path, entry)


def unknown_collections(world: World) -> list[tuple[str, str]]:
    """Return (route, kind) for each kind of row that a route needs and the world does not have."""
    return [
        (route.name, collection)
        for route in routes()
        if route.namespace in ("web", "api")
        for collection in route.collections.values()
        if collection not in OF_NOBODY and world.id_of(collection) is None
    ]
