"""Visits every page that a person can reach through links, without a browser."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl, urljoin, urlsplit

from django.conf import settings
from django.db import transaction
from django.test import Client
from django.urls import Resolver404, resolve, reverse

from audit_app.models import Witness
from lockbox_site.demo.authenticator import Authenticator
from requests_app import operations
from requests_app.domain import clock, link_secrets
from requests_app.domain.actors import Actor
from requests_app.domain.scopes import Scope
from requests_app.models import (
    AccessRequest,
    AddressChange,
    Grant,
    Invitation,
    OutboxMessage,
    Person,
    Tenant,
    Webhook,
    WebhookAttempt,
)
from requests_app.models import Client as Caller
from requests_app.models.people import actor_of_token
from requests_app.operations._stream_settings import Delivery, Wanted
from requests_app.platform import webauthn
from requests_app.queries import actor_of
from tests.factors import force_login
from tests.witness import SmallWitness
from tests.words.reading import Reading, read

#: People with all roles, in groups.
GROUPS = {
    "nobody": [""],
    "customer": ["ada.keller", "otto.brandt", "ines.vogel", "mia.weber", "frida.olsen", "noah.kim"],
    "provider": ["priya.nair", "samira.haddad", "pat.doyle"],
    "staff": ["stella.okafor"],
}
PEOPLE = [login for group in GROUPS.values() for login in group]
#: How many pages of one route are opened. This covers every state, and skips most messages of a mailbox.
PER_ROUTE = 4
#: Routes of files, and the API's document, which is for programs and has only one language.
FILES = frozenset({"window_raw", "log_export", "reader"})


#: A person who has a link and has not opened it.
INVITED = "invited@contoso.example"


@contextmanager
def undone() -> Iterator[None]:
    """Roll back everything inside the block.

    Without this, a form without required fields would act when it is sent empty.
    """
    block = transaction.atomic()
    # Mark the block as a test's transaction, because durable transactions may only be inside such a block.
    block._from_testcase = True  # type: ignore[attr-defined]  # Django's TestCase sets it
    with block:
        yield
        transaction.set_rollback(True)


def addresses(login: str) -> tuple[str, ...]:
    """Return the URLs at which a person begins: the home page, and pages that no link of it leads to."""
    if not login:
        invited = Invitation.objects.filter(email=INVITED).first()
        links = ([link_secrets.of(invited.pk, invited.sends)] if invited else []) + ["no-secret"]
        first = ["/", "/limits/", "/set-up/no-secret/", "/accounts/password/reset/", "/accounts/password/reset/done/"]
        return (*first, *(f"/invitation/{secret}/" for secret in links))
    first = ["/", "/nothing/here/", "/accounts/logout/"]
    rows = {row.state: row for row in AccessRequest.objects.filter(tenant__slug="contoso")}
    if login == "ada.keller":
        first += [f"/access-requests/{rows['CLOSED'].pk}/{page}/" for page in ("live", "decide/approve")]
        first += ["/access-requests/?q=nothing", "/step-up/?next=/"]
    if login == "ines.vogel":
        # Of several clients, only this one has the page.
        directories = Caller.objects.filter(tenant__slug="contoso", scopes=["members:provision"])
        first += [reverse("web:client_token", args=[row.tenant_id, row.pk]) for row in directories]
        # The set-up links to these pages only if there is a key to confirm.
        contoso = Tenant.objects.get(slug="contoso")
        first += [reverse(f"web:{page}", args=[contoso.pk]) for page in ("confirm_recovery_key", "confirm_log_key")]
    if login == "otto.brandt":
        # The page for a person without the role to decide.
        first += [f"/access-requests/{rows['PENDING_CUSTOMER'].pk}/decide/approve/"]
        # Addresses to which mails link.
        links = [link_secrets.of(pk, 1) for pk in AddressChange.objects.values_list("pk", flat=True)]
        first += [f"/address/{secret}/" for secret in (*links, "no-secret")]
    if login == "frida.olsen":
        grant = Grant.objects.get(tenant__slug="fabrikam")
        first += [f"/access-requests/{grant.access_request_id}/{page}/" for page in ("live", "revoke")]
    if login == "priya.nair":
        closed, opened = Grant.objects.get(tenant__slug="contoso"), Grant.objects.get(tenant__slug="fabrikam")
        first += [f"/windows/{closed.pk}/", f"/access-requests/{opened.access_request_id}/release/"]
        # An application sends a browser here. An unknown one gets a page.
        first += ["/oauth/authorize"]
    if login == "stella.okafor":
        first += ["/admin/requests_app/person/?q=nobody-has-this-name", "/admin/requests_app/person/?q=ada"]
        first += [reverse("admin:set_up_key_copy")]
        first += ["/admin/requests_app/person/?side=customer", "/admin/requests_app/person/no-id/change/"]
    return tuple(first)


def add_witnesses() -> None:
    """Add witnesses of a tenant, one in each state. The demo world has none, because no server would answer it."""
    tenant, at = Tenant.objects.get(slug="contoso"), clock.now()
    for name, problem in (("new", ""), ("away", "timeout"), ("forked", "longer 1200")):
        vkey = SmallWitness(f"{name}.witness.example").vkey
        url = f"https://{name}.witness.example/"
        Witness.objects.create(tenant_id=tenant.pk, vkey=vkey, url=url, added_at=at, due_at=at, problem=problem)


def add_webhooks() -> None:
    """Add webhooks in three states (on, failing, off), with deliveries.

    The demo world has none, because no server would answer it.
    """
    tenant, at = Tenant.objects.get(slug="contoso"), clock.now()
    for name in ("on", "failing", "off"):
        url = f"https://{name}.hooks.example/in"
        actor = actor_of(Person.objects.get(email__startswith="ines.vogel@"), door="pages", stepped_up_at=at)
        webhook = operations.add_webhook(tenant.pk, url=url, events=["ticket.opened"], actor=actor).webhook
        message = operations.send_webhook_test(webhook.pk, actor=actor)
        status = 204 if name == "on" else None
        WebhookAttempt.objects.create(
            webhook=webhook, message=message, tenant=tenant, at=at, status=status,
            problem="" if status else "timeout", milliseconds=15_000,
        )  # fmt: skip
        OutboxMessage.objects.filter(pk=message.pk).update(state="delivered" if status else "parked")
        if name == "failing":
            Webhook.objects.filter(pk=webhook.pk).update(failures=2, failing_since=at)
        if name == "off":
            operations.rotate_webhook_secret(webhook.pk, actor=actor)
            operations.give_up_webhook(webhook.pk, because="failing", actor=Actor.system("webhooks"))


def add_streams(actor: Actor) -> None:
    """Add signal streams in two states (on, paused), of a program that Contoso's administrator has allowed."""
    tenant, scopes = Tenant.objects.get(slug="contoso"), frozenset({Scope.SSF_MANAGE})
    made = operations.create_client(tenant_id=tenant.pk, name="Session manager", scopes=["ssf.manage"], actor=actor)
    program = actor_of_token(operations.issue_access_token(made.row, scopes=scopes).row)
    for name in ("on", "paused"):
        push = Delivery(is_push=True, url=f"https://{name}.signals.example/in")
        stream = operations.create_stream(Wanted(delivery=push, description=f"The {name} one"), actor=program)
    operations.give_up_stream(stream.pk, because="failing", actor=Actor.system("webhooks"))


def add_callers() -> None:
    """Add clients, tokens and an invitation, which the demo world does not have. One client decides for an approver."""
    tenant, ines = Tenant.objects.get(slug="contoso"), _named("ines.vogel")
    ada = _named("ada.keller")
    actor = actor_of(ines, door="pages", stepped_up_at=clock.now())
    operations.create_client(tenant_id=tenant.pk, name="SIEM", scopes=["log:read"], actor=actor)
    add_streams(actor)
    operations.create_client(tenant_id=tenant.pk, name="Directory", scopes=["members:provision"], actor=actor)
    operations.invite_person(tenant.pk, email=INVITED, role="member", actor=actor)
    operations.create_client(
        tenant_id=tenant.pk, name="Duty desk", scopes=["decisions:write"], decides_for_id=ada.pk, actor=actor
    )
    stella = actor_of(_named("stella.okafor"), door="pages", stepped_up_at=clock.now())
    operations.create_client(name="Gateway", scopes=["evaluate"], actor=stella)
    for person in (ines, ada, _named("priya.nair")):
        owner = actor_of(person, door="pages", stepped_up_at=clock.now())
        for name in ("laptop", "lost"):
            token = operations.create_token(name=name, scopes=["requests:read"], days=7, actor=owner).row
        operations.revoke_token(token.pk, actor=owner)
    otto = actor_of(_named("otto.brandt"), door="pages", stepped_up_at=clock.now())
    operations.request_address(email="otto@new.example", actor=otto)


def add_passkeys() -> None:
    """Add a passkey. The demo world has none, because it has no device."""
    frida, challenge = _named("frida.olsen"), bytes(32)
    options = webauthn.registration_options(
        party=webauthn.own_party(), user_id=frida.pk.bytes, email=frida.email, name=frida.name, challenge=challenge
    )
    answer = Authenticator(origin=settings.PASSKEY_ORIGINS[0]).create(options)
    actor = actor_of(frida, door="pages", stepped_up_at=clock.now())
    operations.enrol_passkey(actor=actor, response=answer, challenge=challenge, name="Telephone")


def _named(login: str) -> Person:
    return Person.objects.get(email__startswith=f"{login}@")


@dataclass(frozen=True)
class Visited:
    """A page as one person sees it."""

    login: str
    route: str
    address: str
    status: int
    html: str
    reading: Reading


def links(reading: Reading, base: str) -> list[str]:
    """Return the URLs of this site that a page links to."""
    found = [urljoin(base, link).partition("#")[0] for link in reading.links]
    return [link for link in found if urlsplit(link).netloc in ("", "testserver")]


@lru_cache(10_000)
def route_of(address: str) -> str:
    """Return the name of a URL's route with the keys of its query: a filtered list counts as another kind of page."""
    parts = urlsplit(address)
    try:
        match = resolve(parts.path)
    except Resolver404:
        return f"nowhere {parts.path}"
    kinds = ",".join(sorted({name for name, _value in parse_qsl(parts.query)}))
    words = "/".join(str(value) for name, value in match.kwargs.items() if name in ("action", "verdict", "to"))
    return " ".join(filter(None, [match.view_name or str(match.route), words, kinds]))


def crawl(
    login: str, *, first: tuple[str, ...] = ("/",), per_route: int = PER_ROUTE, opened: Counter[str] | None = None
) -> Iterator[Visited]:
    """As one person, follow all links, beginning at the pages in `first`.

    At most `per_route` pages of each kind are opened. Several people can share the count `opened`, but each of them
    opens at least one page of each kind, because the page may look different with their roles.
    """
    client = Client()
    if login:
        person = Person.objects.get(email__startswith=f"{login}@")
        force_login(client, person, is_fresh=True)
    waiting, known, here, opened = deque(first), set(first), set[str](), Counter() if opened is None else opened
    while waiting:
        address = waiting.popleft()
        route = route_of(address)
        is_enough = opened[route] >= per_route and route in here
        if is_enough or FILES & {route.partition(" ")[0].partition(":")[2]}:
            continue
        opened[route] += 1
        here.add(route)
        answer = client.get(address, follow=False)
        if answer.status_code in (301, 302):
            onward = [urljoin(address, answer["Location"]).partition("#")[0]]
        elif not answer.get("Content-Type", "").startswith("text/html") or answer.streaming:
            continue
        else:
            html = answer.content.decode()
            page = Visited(login, route, address, answer.status_code, html, read(html))
            yield page
            onward = links(page.reading, address)
        for link in onward:
            # The portal has thousands of addresses that sort and filter its lists.
            if link not in known and not (link.startswith("/admin/") and "?" in link):
                known.add(link)
                waiting.append(link)
