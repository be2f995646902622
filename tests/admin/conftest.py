"""A browser in which staff are signed in, and rows in every table of the administration."""

from __future__ import annotations

import datetime as dt
from base64 import b64encode
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.test import Client
from django.urls import reverse
from django_q.models import OrmQ, Schedule, Task

from audit_app import checkpoints, log_name
from audit_app.models import ClosedShard, Cosignature, LogAlarm, LogCheck, SignerLease
from audit_app.notes import Head, Note
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.access_tasks import Callback, Denial
from requests_app.domain.reports import Report
from requests_app.domain.scopes import Scope
from requests_app.models import (
    ContentAccess,
    DirectoryGroup,
    Domain,
    Grant,
    GroupMember,
    Heartbeat,
    Identity,
    Mute,
    OutboxMessage,
    OutOfOffice,
    Proposal,
    Resource,
    Service,
    SignOn,
    TaskAttempt,
    Tenant,
    WebhookAttempt,
)
from requests_app.models.outbox import MAIL
from requests_app.models.people import actor_of_token
from requests_app.operations._stream_settings import Delivery, Wanted
from requests_app.platform import bell
from requests_app.work import schedules
from tests.caller import client_of, service_of, token_of
from tests.cast import JUSTIFICATION, TRIED, Cast
from tests.factors import force_login
from tests.guards import actor_of_guard, client_of_guards
from tests.imports.files import imported
from tests.passkeys import enrolled
from tests.remembered import MEMORY
from tests.witness import SmallWitness

MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
#: Tables of events, and of messages about events. Nobody can change these rows, with any rights.
EVIDENCE = [
    model
    for model in MODELS
    if model.__name__
    in {
        *("AccessRequest", "AccessRequestResource", "Decision", "Grant", "ContentAccess"),
        *("Ticket", "TicketComment", "OutboxMessage", "AuditEntry", "ChainHead", "Witness", "Cosignature"),
        *("LogAlarm", "Checkpoint", "SignedHead", "ClosedShard", "SignerLease", "LogKey", "LogCheck"),
        *("WebhookAttempt", "WebhookCursor", "Passkey", "HeldRow", "Guard"),
        *("OrmQ", "Success", "Failure", "Schedule", "Heartbeat", "TaskAttempt"),
    }
]


def address(model: Any, page: str = "changelist", *args: object) -> str:
    """Return the URL of a page of the administration. A primary key made of bytes is encoded in base 64."""
    keys = [quote(b64encode(arg).decode()) if isinstance(arg, bytes) else arg for arg in args]
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=keys)


def act_address(row: Any, act: str) -> str:
    return address(type(row), "act", row.pk, act)


def signed_in(cast: Cast, name: str, **extra: Any) -> Client:
    client = Client(**extra)
    force_login(client, cast.people[name], is_fresh=True)
    return client


@pytest.fixture
def staff(cast: Cast) -> Client:
    """Return a browser in which Stella is signed in.

    She is staff and also a superuser. Being a superuser must not give her more rights.
    """
    return signed_in(cast, "stella")


def add_mail(cast: Cast, *, state: str = "delivered", recipient: str = "ada@contoso.example") -> OutboxMessage:
    """Add one mail that looks as a worker leaves it after sending."""
    first, at = OutboxMessage.objects.first(), clock.now()
    about = first.about if first else cast.contoso.pk
    number = OutboxMessage.objects.count()
    fields = {"subject": "Contoso: read this", "text": "Who asks, and why.", "html": "<p>Who asks, and why.</p>"}
    rendered = {**fields, "message_id": f"<{number}@x>", "from": "lockbox@x", "to": recipient, "headers": {}}
    return OutboxMessage.objects.create(
        tenant=cast.contoso,
        topic="notify.window_opened",
        about=about,
        key=f"mail:{number}",
        lane=MAIL,
        payload={"audiences": ["customer"]},
        recipient=recipient,
        state=state,
        attempts=1,
        created_at=at,
        next_attempt_at=at,
        rendered={**rendered, "html": "<p style='color:red'>Who asks</p>"},
    )


def add_look(grant: Grant) -> ContentAccess:
    return ContentAccess.objects.create(
        tenant=grant.tenant,
        grant=grant,
        resource=grant.access_request.resources.get(),
        kind=ContentAccess.Kind.OPENED,
        item_id="1",
        item_ref="<1@contoso.example>",
        at=clock.now(),
    )


def add_task(number: int, *, success: bool) -> Task:
    at = clock.now()
    return Task.objects.create(
        id=f"{number:031d}{int(success)}",
        name=f"task-{number}-{success}",
        func="requests_app.tasks.sweep",
        started=at,
        stopped=at + dt.timedelta(seconds=1),
        success=success,
        args=(),
        kwargs={},
        result=None if success else "Traceback: the database was away",
    )


def add_tenant(cast: Cast, number: int) -> None:
    """Add a tenant with one person and one resource."""
    stella = cast.as_("stella")
    plan = cast.contoso.plan_id
    tenant = operations.create_tenant(name=f"Tenant {number}", slug=f"tenant-{number}", plan_id=plan, actor=stella)
    person = cast.stranger(f"p{number}@tenant.example")
    operations.give_role(tenant.pk, person.pk, role="member", actor=stella)
    at = clock.now()
    Proposal.objects.create(
        tenant=tenant,
        act="switch_lockbox",
        said={"on": False},
        proposed_by=person,
        proposed_human=person.human_id,
        proposed_at=at,
        expires_at=at + dt.timedelta(days=7),
    )
    OutOfOffice.objects.create(
        tenant=tenant,
        approver=person,
        deputy=cast.stranger(f"d{number}@tenant.example"),
        from_at=at,
        until_at=at + dt.timedelta(days=1),
        set_at=at,
    )
    Mute.objects.create(tenant=tenant, set_at=at, set_by=person, until_at=at + dt.timedelta(hours=1))
    issuer = f"https://idp{number}.example"
    SignOn.objects.create(tenant=tenant, issuer=issuer, client_id="lockbox", sealed="x", changed_at=at)
    Domain.objects.create(tenant=tenant, name=f"d{number}.example", challenge="x", claimed_at=at)
    Identity.objects.create(tenant=tenant, issuer=issuer, subject=f"s{number}", person=person, linked_at=at)
    operations.invite_person(tenant.pk, email=f"q{number}@tenant.example", role="member", actor=stella)
    operations.save_resource(
        actor=stella,
        tenant_id=tenant.pk,
        service_id=cast.exchange.pk,
        kind="mailbox",
        name=f"box{number}",
        locator=f"{tenant.slug}/mail",
    )


def add_alarm(number: int) -> None:
    """Add a log with every kind of signing row: it was signed, restarted once after damage, refused, and checked."""
    tenant, at = Tenant.objects.get(slug=f"tenant-{number}"), clock.now()
    assert checkpoints.sign(tenant.pk, at=at) is not None
    signed = {"signed": 9, "found": 7}
    LogAlarm.objects.create(tenant_id=tenant.pk, since=at, last_at=at, code="shorter", detail=signed)
    ClosedShard.objects.create(
        tenant_id=tenant.pk, shard=7, first_seq=0, end_seq=9, found_size=7, checkpoint="x\n", closed_at=at
    )
    SignerLease.objects.get_or_create(
        pk=SignerLease.ONLY, defaults={"host": "a.example", "since": at, "until": at - dt.timedelta(hours=2)}
    )
    LogCheck.objects.create(tenant_id=tenant.pk, asked_at=at, size=9, flaw_seq=3, flaw="missing", ended_at=at)


def add_witness(cast: Cast, number: int) -> None:
    """Add a witness that has cosigned. Each call uses the next tenant, because a tenant can have only ten witnesses."""
    slug, by = [("contoso", "ines"), ("fabrikam", "finn"), ("northwind", "noah")][number // 2 % 3]
    tenant, small = cast.tenants[slug], SmallWitness(f"w{number}.example")
    url = f"https://w{number}.example/"
    operations.add_witness(tenant.pk, vkey=small.vkey, url=url, actor=cast.as_(by))
    checkpoint = checkpoints.sign(tenant.pk, at=clock.now())
    assert checkpoint is not None
    line = small.line(Head.parse(Note.parse(checkpoint.note).text))
    Cosignature.objects.create(tenant_id=tenant.pk, checkpoint=checkpoint, vkey=small.vkey, line=line, at=clock.now())


def add_webhook(cast: Cast, number: int) -> None:
    """Add a webhook of the provider or of a tenant, with a message that has failed once.

    The calls use the provider and three tenants in turn, because each of these can have only ten webhooks.
    """
    by, tenant = [("stella", None), ("ines", "contoso"), ("finn", "fabrikam"), ("noah", "northwind")][number // 2 % 4]
    pk = cast.tenants[tenant].pk if tenant else None
    url = f"https://hooks{number}.example/in"
    issued = operations.add_webhook(pk, url=url, events=["*"], actor=cast.as_(by))
    message = operations.send_webhook_test(issued.webhook.pk, actor=cast.as_(by))
    OutboxMessage.objects.filter(pk=message.pk).update(state="parked", attempts=1, last_error="500")
    WebhookAttempt.objects.create(
        webhook=issued.webhook, message=message, tenant_id=pk, at=clock.now(), status=500, milliseconds=12, answer="No"
    )


def add_stream(cast: Cast, number: int) -> None:
    """Add a signal stream of a new client of the provider or of a tenant, with an event that waits."""
    tenant = [None, "contoso", "fabrikam", "northwind"][number // 2 % 4]
    wanted = Wanted(delivery=Delivery(is_push=True, url=f"https://signals{number}.example/in"))
    program = service_of(cast, tenant, Scope.SSF_MANAGE)
    operations.verify_stream(operations.create_stream(wanted, actor=program).pk, actor=program)


def add_caller(cast: Cast, number: int) -> None:
    """Add a client of the provider or of a tenant, with a token, and a person's token."""
    tenant = [None, "contoso", "fabrikam", "northwind"][number // 2 % 4]
    client, _secret = client_of(cast, tenant, Scope.LOG_READ)
    operations.issue_access_token(client, scopes=[Scope.LOG_READ])
    token_of(cast, "mia", Scope.LOG_READ)


def add_asked(cast: Cast) -> None:
    """Add a draft and a task of a new client, with its callback address."""
    client = cast.own_client("Desk", ["requests:ask", "requests:submit", "evaluate"]).row
    url = f"https://hooks.example/{client.pk}"
    operations.add_callback(client.pk, url=url, actor=cast.as_("stella"))
    token = operations.issue_access_token(client, scopes={Scope.REQUESTS_ASK, Scope.REQUESTS_SUBMIT}).row
    ticket = cast.ticket(service_id=cast.quillo().pk)
    resource = Resource.objects.get(external_id="7")
    # After the service was made: an actor has the queues that their person had when the call began.
    engineer = actor_of_token(token, in_name_of=cast.priya)
    who = {"client_id": client.pk, "engineer_id": cast.priya.pk, "tenant_id": resource.tenant_id}

    def given() -> dict[str, Any]:
        denial = Denial(number=uuid4(), asked={}, resource_id=resource.pk, ends_at=clock.now(), **who)
        return {"denial": denial, "callback": Callback(endpoint=url)}

    row = operations.submit(cast.ask(ticket, resource=resource, **given()), actor=engineer)
    # Changes of its service wait for the end of an access request.
    operations.deny_as_provider(row.pk, actor=cast.as_("pat"), note="There is another way.")
    wanted: dict[str, Any] = {"level": "read", "window_for": 7200, "tried": TRIED, "justification": JUSTIFICATION}
    draft = operations.Draft(ticket_id=ticket.pk, resource_id=resource.pk, **wanted, **given())
    operations.draft_access(draft, actor=engineer)


def add_import(cast: Cast, number: int) -> None:
    """Add an import with a change that waits for a second person."""
    Service.objects.get_or_create(key="lab", defaults={"name": "Lab", "connector": "folder", "is_covered": False})
    imported(cast, f"contoso,,,,lab,lab-{number},library,Lab {number},contoso/lab-{number},")


def add_group(cast: Cast, number: int) -> None:
    """Add a mapping of a group of the provider's directory, with a member."""
    client = cast.own_client(f"Directory {number}", ["members:provision"]).row
    stella = cast.as_("stella")
    cast.agreed(partial(operations.map_group, cast.exchange.pk, group=f"Group {number}", role="engineer", actor=stella))
    group = DirectoryGroup.objects.get(name=f"Group {number}")
    GroupMember.objects.create(group=group, person=cast.erik, through=client.account, since=clock.now())


def add_proxy(cast: Cast, number: int) -> None:
    """Add a proxy of a web tool."""
    cast.proxy(f"{number}".zfill(64))


def add_guard(cast: Cast) -> None:
    """Add a guard of a new client of the external service's application."""
    report = Report(guard=uuid4(), life=uuid4(), version="guard/1", first=0, backlog=3, accesses=[])
    operations.report_accesses(report, actor=actor_of_guard(client_of_guards(cast)))


def populate(cast: Cast, rounds: int) -> None:
    """Add at least `rounds` rows to every table that grows while the product is used."""
    for number in range(rounds):
        base = Task.objects.count()
        ticket = cast.ticket(title=f"Ticket {base}")
        operations.comment(ticket.pk, actor=cast.as_("priya"), body="We look into it.")
        add_look(cast.opened(ticket=ticket))
        add_mail(cast)
        add_task(base, success=True)
        add_task(base + 1, success=False)
        Heartbeat.objects.create(name=f"worker:{base}", at=clock.now(), pid=number)
        TaskAttempt.objects.create(
            key=f"k{base}", name="sweep", attempts=1, first_at=clock.now(), last_at=clock.now(), last_error="Away"
        )
        operations.save_plan(actor=cast.as_("stella"), name=f"Plan {base}", includes_lockbox=False)
        operations.add_address(cast.contoso.pk, email=f"soc{base}@contoso.example", actor=cast.as_("ines"))
        service = operations.save_service(
            actor=cast.as_("stella"), key=f"service-{base}", name=f"Service {base}", connector="folder"
        )
        stella = cast.as_("stella")
        put = partial(operations.give_queue_role, service.pk, cast.erik.pk, role="engineer", actor=stella)
        cast.agreed(put)
        add_tenant(cast, base)
        add_witness(cast, base)
        add_webhook(cast, base)
        add_stream(cast, base)
        add_caller(cast, base)
        add_asked(cast)
        enrolled(cast, sorted(cast.people)[number % len(cast.people)])
        add_alarm(base)
        add_import(cast, base)
        add_group(cast, base)
        add_proxy(cast, base)
        add_guard(cast)


def fill(cast: Cast) -> bytes:
    """Add at least two rows to each table. Return the content of the file of heads, which is outside the database."""
    populate(cast, 2)
    schedules.sync(clock.now())
    bell.ring()
    if not OrmQ.objects.exists():
        # The bell does not ring inside a test's transaction, so its task is queued here.
        bell._enqueue(bell.SWEEP)
    assert Schedule.objects.exists()
    return Path(settings.LOG_HEADS_FILE).read_bytes()


@pytest.fixture
def world(cast: Cast) -> Cast:
    """Return the cast. Each table has at least two rows."""
    heads = MEMORY.call("two rows in each table of the administration", lambda: fill(cast))
    Path(settings.LOG_HEADS_FILE).write_bytes(heads)
    # A process that has signed has also read the log's name.
    log_name.current()
    return cast
