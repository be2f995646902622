"""One act, whichever door it comes through, leaves the same entry but for the door's name."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from django.contrib import admin
from django.db import transaction
from django.test import Client
from django.urls import reverse

from audit_app import checkpoints
from audit_app.models import AuditEntry, LogAlarm, Witness
from requests_app import operations
from requests_app.domain import clock, link_secrets
from requests_app.domain.actors import Actor
from requests_app.domain.acts import SCOPES
from requests_app.domain.errors import ChangeProposed
from requests_app.domain.evaluation import Question
from requests_app.domain.lifecycle import TICKET_TRANSITIONS, TRANSITIONS
from requests_app.domain.scopes import Scope
from requests_app.identity.factors import KeepsRecoveryCodes, drops_all, drops_totp, keeps_totp
from requests_app.identity.sso import domains
from requests_app.models import Identity, NotificationAddress, OutboxMessage, Proposal, QueueAssignment, Tenant, Webhook
from requests_app.models.people import actor_of_token
from requests_app.work import outbox
from tests.caller import Caller, access_token, client_of, token_of
from tests.cast import JUSTIFICATION, PASSWORD, TRIED, Cast
from tests.factors import SECRET, anybodys_code, give_app, set_up_app, stepped_up
from tests.parity.api_calls import AZURE_CALLS, CALLS, LINK, week_from
from tests.passkeys import enrolled
from tests.witness import SmallWitness

pytestmark = pytest.mark.django_db


@dataclass(frozen=True)
class Case:
    """`prepare` makes the row; the others do the same act on it, each through its door."""

    #: None is a client of the provider's, which has neither pages nor the administration.
    who: str | None
    prepare: Callable[[Cast], Any]
    operation: Callable[[Cast, Any, Any], Any]
    page: Callable[[Cast, Client, Any], Any] | None = None
    admin: Callable[[Cast, Client, Any], Any] | None = None
    #: What a page answers; 200 where the answer shows what was made and will never be shown again.
    status: int = 302


def _decide(verdict: str, note: str) -> Callable[[Cast, Client, Any], Any]:
    def post(cast: Cast, client: Client, row: Any) -> Any:
        form = {"comment": note, "digest": row.content_digest, "shown": row.state}
        if verdict == "approve":
            form |= {"password": PASSWORD, "code": anybodys_code()}
        return client.post(reverse("web:decide", args=[row.pk, verdict]), form)

    return post


def _act(action: str, note: str) -> Callable[[Cast, Client, Any], Any]:
    return lambda cast, client, row: client.post(
        reverse("web:access_request_act", args=[row.pk, action]), {"comment": note}
    )


def _ticket_act(action: str, **form: str) -> Callable[[Cast, Client, Any], Any]:
    return lambda cast, client, row: client.post(reverse("web:ticket_act", args=[row.pk, action]), form)


def _admin(model: str, act: str, **form: Any) -> Callable[[Cast, Client, Any], Any]:
    return lambda cast, client, row: client.post(reverse(f"admin:requests_app_{model}_act", args=[row.pk, act]), form)


def _assigned(cast: Cast) -> Any:
    return operations.assign_ticket(cast.ticket().pk, actor=cast.as_("priya"))


def _waiting(cast: Cast) -> Any:
    return operations.ask_customer(_assigned(cast).pk, actor=cast.as_("priya"), note="Which client?")


def _closed(cast: Cast) -> Any:
    return operations.close_ticket(cast.ticket().pk, actor=cast.as_("mia"))


def _open(cast: Cast) -> Any:
    return cast.opened().access_request


def _ask_form(cast: Cast) -> dict[str, Any]:
    return {
        "step": "submit",
        "resource_ids": [str(cast.resource().pk)],
        "level": "read",
        "window_for": "7200",
        "tried": TRIED,
        "justification": JUSTIFICATION,
    }


def _report(cast: Cast) -> operations.Report:
    return operations.Report(
        tenant_id=cast.contoso.pk, service_id=cast.exchange.pk, title="Broken", body="It is broken since Monday."
    )


def _address(cast: Cast) -> NotificationAddress:
    return operations.add_address(cast.contoso.pk, email="duty@contoso.example", actor=cast.as_("ines"))


def _domain(cast: Cast) -> Any:
    return operations.claim_domain(cast.contoso.pk, name="contoso.example", actor=cast.as_("ines"))


def _sign_on(cast: Cast, row: Any, actor: Actor, issuer: str = "https://idp.example") -> Any:
    """Set up where there is no `row`, or changed."""
    said: dict[str, Any] = {"client_id": "lockbox", "client_secret": "x", "role_map": {"g": "auditor"}}
    connection, was = operations.Connection(issuer=issuer, **said), row.changed_at if row else None
    return operations.set_sign_on(cast.contoso.pk, connection=connection, was=was, actor=actor)


def _sign_on_page(cast: Cast, client: Client, row: Any) -> Any:
    page = reverse("web:sign_on", args=[cast.contoso.pk])
    form = {
        "issuer": "https://idp.example",
        "client_id": "lockbox",
        "client_secret": "x",
        "scopes": "openid profile email",
        "key_claim": "sub",
        "role_map": "g = auditor",
    }
    return client.post(page, {**form, "shown": client.get(page).context["form"]["shown"].value() or ""})


def _identity(cast: Cast) -> Identity:
    return Identity.objects.create(
        tenant=cast.contoso, issuer="https://idp.example", subject="s", person=cast.mia, linked_at=clock.now()
    )


def _own_identity(cast: Cast) -> Identity:
    """Of one of the provider's people."""
    return Identity.objects.create(issuer="https://idp.example", subject="s", person=cast.priya, linked_at=clock.now())


def _with_file(call: Callable[[], Any]) -> Any:
    """As if the domain's web server showed what it should."""
    with patch.object(domains, "problem", lambda name, challenge, *, peer: ""):
        return call()


_WITNESS = SmallWitness()
_WITNESS_URL = "https://witness.contoso.example/"


def _witness(cast: Cast) -> Witness:
    vkey = SmallWitness("first.example").vkey
    return operations.add_witness(cast.contoso.pk, vkey=vkey, url=_WITNESS_URL, actor=cast.as_("ines"))


def _client(cast: Cast) -> Any:
    made = operations.create_client(tenant_id=cast.contoso.pk, name="SIEM", scopes=["log:read"], actor=cast.as_("ines"))
    return made.row


def _directory(cast: Cast) -> Any:
    scopes = ["members:provision"]
    made = operations.create_client(tenant_id=cast.contoso.pk, name="Entra", scopes=scopes, actor=cast.as_("ines"))
    return made.row


def _own_client(cast: Cast) -> Any:
    """The provider's own."""
    return cast.own_client("Gateway", ["evaluate"]).row


def _revoke(cast: Cast, client: Client, row: Any) -> Any:
    return client.post(reverse("web:token_revoke", args=[row.pk]))


def _token(cast: Cast) -> Any:
    return operations.create_token(name="laptop", scopes=["log:read"], days=7, actor=cast.as_("mia")).row


def _webhook(cast: Cast, by: str = "ines", url: str = "https://hooks.contoso.example/in") -> Webhook:
    tenant_id = cast.contoso.pk if by == "ines" else None
    return operations.add_webhook(tenant_id, url=url, events=["*"], actor=cast.as_(by)).webhook


def _own_webhook(cast: Cast) -> Webhook:
    """The provider's own."""
    return _webhook(cast, "stella")


def _off_webhook(cast: Cast, by: str = "ines") -> Webhook:
    return operations.disable_webhook(_webhook(cast, by).pk, actor=cast.as_(by))


def _tried(cast: Cast, by: str = "ines") -> OutboxMessage:
    """A test that was sent, and failed."""
    message = operations.send_webhook_test(_webhook(cast, by).pk, actor=cast.as_(by))
    OutboxMessage.objects.filter(pk=message.pk).update(state="parked")
    return message


def _hook(name: str, **form: Any) -> Callable[[Cast, Client, Any], Any]:
    """A page of one webhook, or of one client, which is `row`."""
    return lambda cast, client, row: client.post(reverse(f"web:{name}", args=[cast.contoso.pk, row.pk]), form)


def _question(cast: Cast) -> Question:
    resource = str(cast.resource().pk)
    return Question(
        subject_type="engineer",
        subject=str(cast.priya.pk),
        action="read",
        service="exchange-online",
        resource=resource,
        item="7.mail",
    )


_HOOK: dict[str, Any] = {"url": "https://hooks.example/new", "label": "Desk", "events": ["grant.closed"]}


def _rules(cast: Cast) -> str:
    return reverse("web:log_rules", args=[cast.contoso.pk])


def _refused_log(cast: Cast) -> LogAlarm:
    cast.ticket()
    checkpoints.sign(cast.contoso.pk, at=clock.now())
    at = clock.now()
    return LogAlarm.objects.create(tenant_id=cast.contoso.pk, since=at, last_at=at, code="altered", detail={"seq": 0})


def _adding(model: str, **form: Any) -> Callable[[Cast, Client, Any], Any]:
    return lambda cast, client, row: client.post(reverse(f"admin:requests_app_{model}_add"), form)


def _person_act(act: str, role: str = "") -> Callable[[Cast, Client, Any], Any]:
    """A button on the page of one of the tenant's people, who is `row`."""
    return lambda cast, client, row: client.post(
        reverse("web:person", args=[cast.contoso.pk, row.pk]), {"act": act, "role": role}
    )


def _bare(cast: Cast) -> Tenant:
    """A tenant in which nobody holds a role yet."""
    found = Tenant.objects.filter(slug="adatum").first()
    return found or operations.create_tenant(plan_id=cast.contoso.plan_id, actor=cast.as_("stella"), **_TENANT)


def _first_invited(cast: Cast) -> Any:
    """Whom staff invited to a tenant in which nobody holds a role yet."""
    return operations.invite_person(
        _bare(cast).pk, email="new@adatum.example", role="administrator", actor=cast.as_("stella")
    )


def _on_invitation(cast: Cast, client: Client, row: Any, act: str) -> Any:
    return client.post(reverse("web:people", args=[cast.contoso.pk]), {"act": act, "invitation": str(row.pk)})


def _with_passkey(cast: Cast, name: str) -> Any:
    enrolled(cast, name)
    return cast.people[name]


def _proposals(cast: Cast) -> str:
    return reverse("web:proposals", args=[cast.contoso.pk])


def _proposed(cast: Cast) -> Any:
    """A change that the administrator proposed under two-person control."""
    operations.set_two_person_control(cast.contoso.pk, on=True, actor=cast.as_("ines"))
    with pytest.raises(ChangeProposed) as outcome:
        operations.give_role(cast.contoso.pk, cast.mia.pk, role="approver", actor=cast.as_("ines"))
    return Proposal.objects.get(pk=outcome.value.current["proposal"])


def _week() -> dict[str, Any]:
    return week_from(clock.now())


def _mutes(cast: Cast) -> str:
    return reverse("web:mutes", args=[cast.contoso.pk])


def _muted(cast: Cast) -> Any:
    cast.confirmed()
    return operations.deny_all_and_mute(cast.contoso.pk, engineer_id=cast.priya.pk, hours=4, actor=cast.as_("ada"))


def _out_of_office(cast: Cast) -> str:
    return reverse("web:out_of_office", args=[cast.contoso.pk])


def _linked(cast: Cast) -> Any:
    cast.agreed(lambda: operations.link_accounts(cast.priya.pk, cast.paula.pk, actor=cast.as_("stella")))
    return cast.priya


def _announced(cast: Cast) -> Any:
    """A change that another member of the staff proposed."""
    cast.colleague()
    with pytest.raises(ChangeProposed) as outcome:
        operations.make_staff(cast.erik.pk, actor=cast.as_("sten"))
    return Proposal.objects.get(pk=outcome.value.current["proposal"])


def _switched_off(cast: Cast) -> Any:
    return operations.switch_off_person(cast.mia.pk, actor=cast.as_("ines"))


def _unplaced(cast: Cast) -> Any:
    """Somebody of the customer's side who belongs to nobody yet."""
    _bare(cast)
    return cast.stranger("first@contoso.example")


def _sent_mail(cast: Cast) -> OutboxMessage:
    cast.ticket()
    outbox.drain(limit=50)
    return OutboxMessage.objects.filter(lane="mail", state="delivered").order_by("recipient")[0]


def _changed_password(cast: Cast, client: Client, row: Any) -> Any:
    # The page asks for a sign-in that has just been made.
    client.post(reverse("account_login"), {"login": cast.mia.email, "password": PASSWORD})
    form = {"oldpassword": PASSWORD, "password1": _NEW_PASSWORD, "password2": _NEW_PASSWORD}
    return client.post(reverse("account_change_password"), form)


_NEW_PASSWORD = "another battery of 7 horses"
_INVITED: dict[str, Any] = {"email": "new@contoso.example", "role": "member"}
_ACCEPTED: dict[str, Any] = {"name": "New", "password": _NEW_PASSWORD}
_PERSON: dict[str, Any] = {"email": "new@provider.example", "name": "New", "password": _NEW_PASSWORD}
_TENANT: dict[str, Any] = {"name": "Adatum", "slug": "adatum", "time_zone": "UTC"}
_SERVICE: dict[str, Any] = {"key": "teams", "name": "Teams", "connector": "folder"}
_RESOURCE: dict[str, Any] = {"kind": "mailbox", "name": "legal@contoso.example", "locator": "contoso/mail/legal"}

#: Acts by the name of the operation, with what is special about the case behind it.
CASES: dict[str, Case] = {
    "submit": Case(
        "priya",
        lambda cast: cast.ticket(),
        lambda cast, row, actor: operations.submit(cast.ask(row, resource=cast.resource()), actor=actor),
        page=lambda cast, client, row: client.post(reverse("web:ask", args=[row.pk]), _ask_form(cast)),
    ),
    "approve_as_provider": Case(
        "pat",
        lambda cast: cast.submitted(),
        lambda cast, row, actor: operations.approve_as_provider(row.pk, actor=actor, note="Yes."),
        page=_decide("approve", "Yes."),
    ),
    "deny_as_provider": Case(
        "pat",
        lambda cast: cast.submitted(),
        lambda cast, row, actor: operations.deny_as_provider(row.pk, actor=actor, note="No."),
        page=_decide("deny", "No."),
    ),
    "approve_as_customer": Case(
        "ada",
        lambda cast: cast.confirmed(),
        lambda cast, row, actor: operations.approve_as_customer(row.pk, actor=actor, note="Yes."),
        page=_decide("approve", "Yes."),
    ),
    "deny_as_customer": Case(
        "ada",
        lambda cast: cast.confirmed(),
        lambda cast, row, actor: operations.deny_as_customer(row.pk, actor=actor, note="No."),
        page=_decide("deny", "No."),
    ),
    "withdraw": Case(
        "priya",
        lambda cast: cast.submitted(),
        lambda cast, row, actor: operations.withdraw(row.pk, actor=actor, note="Found it."),
        page=_act("withdraw", "Found it."),
    ),
    "release": Case(
        "priya",
        _open,
        lambda cast, row, actor: operations.release(row.pk, actor=actor, note="Done."),
        page=_act("release", "Done."),
    ),
    "revoke": Case(
        "ada",
        _open,
        lambda cast, row, actor: operations.revoke(row.pk, actor=actor, note="Enough."),
        page=_act("revoke", "Enough."),
    ),
    "revoke by staff": Case(
        "stella",
        _open,
        lambda cast, row, actor: operations.revoke(row.pk, actor=actor, note="Enough."),
        page=_act("revoke", "Enough."),
        admin=_admin("accessrequest", "revoke", note="Enough."),
    ),
    "open_ticket": Case(
        "mia",
        lambda cast: None,
        lambda cast, row, actor: operations.open_ticket(_report(cast), actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:ticket_new"),
            {
                "service": cast.exchange.pk,
                "title": "Broken",
                "body": "It is broken since Monday.",
                "priority": "normal",
            },
        ),
    ),
    "open_ticket, linked": Case(
        "mia",
        lambda cast: None,
        lambda cast, row, actor: operations.open_ticket(replace(_report(cast), **LINK), actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:ticket_new"),
            {
                "service": cast.exchange.pk,
                "title": "Broken",
                "body": "It is broken since Monday.",
                "priority": "normal",
                **LINK,
            },
        ),
    ),
    "link_ticket": Case(
        "mia",
        lambda cast: cast.ticket(),
        lambda cast, row, actor: operations.link_ticket(row.pk, actor=actor, **LINK),
        page=_ticket_act("link_ticket", **LINK),
    ),
    "link_ticket by staff": Case(
        "stella",
        lambda cast: cast.ticket(),
        lambda cast, row, actor: operations.link_ticket(row.pk, actor=actor, **LINK),
        page=_ticket_act("link_ticket", **LINK),
        admin=_admin("ticket", "link", **LINK),
    ),
    "assign_ticket": Case(
        "priya",
        lambda cast: cast.ticket(),
        lambda cast, row, actor: operations.assign_ticket(row.pk, actor=actor),
        page=_ticket_act("assign_ticket"),
    ),
    "assign_ticket by staff": Case(
        "stella",
        lambda cast: cast.ticket(),
        lambda cast, row, actor: operations.assign_ticket(row.pk, actor=actor, assignee_id=cast.priya.pk),
        admin=lambda cast, client, row: _admin("ticket", "assign", assignee=cast.priya.pk)(cast, client, row),
    ),
    "ask_customer": Case(
        "priya",
        _assigned,
        lambda cast, row, actor: operations.ask_customer(row.pk, actor=actor, note="Since when?"),
        page=_ticket_act("ask_customer", note="Since when?"),
    ),
    "answer_ticket": Case(
        "mia",
        _waiting,
        lambda cast, row, actor: operations.answer_ticket(row.pk, actor=actor, note="Monday."),
        page=_ticket_act("answer_ticket", note="Monday."),
    ),
    "resolve_ticket": Case(
        "priya",
        _assigned,
        lambda cast, row, actor: operations.resolve_ticket(row.pk, actor=actor, note="Fixed."),
        page=_ticket_act("resolve_ticket", note="Fixed."),
    ),
    "close_ticket": Case(
        "stella",
        lambda cast: cast.ticket(),
        lambda cast, row, actor: operations.close_ticket(row.pk, actor=actor, note="Twice."),
        page=_ticket_act("close_ticket", note="Twice."),
        admin=_admin("ticket", "close", note="Twice."),
    ),
    "reopen_ticket": Case(
        "stella",
        _closed,
        lambda cast, row, actor: operations.reopen_ticket(row.pk, actor=actor, note="Again."),
        page=_ticket_act("reopen_ticket", note="Again."),
        admin=_admin("ticket", "reopen", note="Again."),
    ),
    "comment": Case(
        "mia",
        lambda cast: cast.ticket(),
        lambda cast, row, actor: operations.comment(row.pk, actor=actor, body="Still there."),
        page=_ticket_act("comment", note="Still there."),
    ),
    "set_log_retention": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.set_log_retention(cast.contoso.pk, days=365, actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:log_retention", args=[cast.contoso.pk]), {"days": "365", "understood": "on"}
        ),
    ),
    "set_approval_page": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.set_approval_page(
            cast.contoso.pk, origin="https://approvals.contoso.example", keys_only=False, actor=actor
        ),
        page=lambda cast, client, row: client.post(
            reverse("web:set_approval_page", args=[cast.contoso.pk]),
            {"origin": "https://approvals.contoso.example/", "rp_id": ""},
        ),
    ),
    "tombstone by staff": Case(
        "stella",
        _refused_log,
        lambda cast, row, actor: operations.tombstone(row.pk, comment="Restored.", actor=actor),
        admin=lambda cast, client, row: client.post(
            reverse("admin:audit_app_logalarm_act", args=[row.pk, "tombstone"]), {"comment": "Restored."}
        ),
    ),
    "internal note": Case(
        "priya",
        lambda cast: cast.ticket(),
        lambda cast, row, actor: operations.comment(row.pk, actor=actor, body="Ask Erik.", is_internal=True),
        page=_ticket_act("note", internal="Ask Erik."),
    ),
    "set_password": Case(
        "mia",
        lambda cast: None,
        lambda cast, row, actor: operations.set_password(actor=actor, password=_NEW_PASSWORD, how="change"),
        page=_changed_password,
    ),
    "set_up_totp": Case(
        "mia",
        lambda cast: None,
        lambda cast, row, actor: operations.set_up_totp(actor=actor, keep=keeps_totp(SECRET)),
        page=lambda cast, client, row: set_up_app(client),
        status=200,
    ),
    "remove_totp": Case(
        "mia",
        lambda cast: give_app(cast.mia),
        lambda cast, row, actor: operations.remove_totp(actor=actor, keep=drops_totp),
        page=lambda cast, client, row: client.post(reverse("web:security_remove_app")),
    ),
    "make_recovery_codes": Case(
        "ada",
        lambda cast: None,
        lambda cast, row, actor: operations.make_recovery_codes(actor=actor, keep=KeepsRecoveryCodes()),
        page=lambda cast, client, row: client.post(reverse("web:security_new_codes")),
        status=200,
    ),
    "reset_second_factors": Case(
        "ines",
        lambda cast: _with_passkey(cast, "ada"),
        lambda cast, row, actor: operations.reset_second_factors(row.pk, actor=actor, keep=drops_all),
        page=_person_act("reset"),
    ),
    "reset_second_factors by staff": Case(
        "stella",
        lambda cast: _with_passkey(cast, "pat"),
        lambda cast, row, actor: operations.reset_second_factors(row.pk, actor=actor, keep=drops_all),
        admin=_admin("person", "reset"),
    ),
    "switch_lockbox": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.switch_lockbox(cast.contoso.pk, on=False, actor=actor),
        page=lambda cast, client, row: client.post(reverse("web:lockbox", args=[cast.contoso.pk, "off"])),
    ),
    "switch_lockbox, on": Case(
        "ines",
        lambda cast: operations.switch_lockbox(cast.contoso.pk, on=False, actor=cast.as_("ines")),
        lambda cast, row, actor: operations.switch_lockbox(cast.contoso.pk, on=True, actor=actor),
        page=lambda cast, client, row: client.post(reverse("web:lockbox", args=[cast.contoso.pk, "on"])),
    ),
    "set_yes_rule": Case(
        "ines",
        lambda cast: enrolled(cast, "ada"),
        lambda cast, row, actor: operations.set_yes_rule(cast.contoso.pk, rule="signed", actor=actor),
        page=lambda cast, client, row: client.post(reverse("web:yes_rule", args=[cast.contoso.pk]), {"rule": "signed"}),
    ),
    "set_window_cap": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.set_window_cap(cast.contoso.pk, seconds=3600, actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:tenant", args=[cast.contoso.pk]), {"window_cap": "3600"}
        ),
    ),
    "invite_person": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.invite_person(cast.contoso.pk, actor=actor, **_INVITED),
        page=lambda cast, client, row: client.post(reverse("web:people", args=[cast.contoso.pk]), _INVITED),
    ),
    "invite_person by staff": Case(
        "stella",
        lambda cast: _bare(cast),
        lambda cast, row, actor: operations.invite_person(
            row.pk, email="new@adatum.example", role="administrator", actor=actor
        ),
        admin=_admin("tenant", "invite", email="new@adatum.example", role="administrator"),
    ),
    "resend_invitation": Case(
        "ines",
        lambda cast: cast.invited(),
        lambda cast, row, actor: operations.resend_invitation(row.pk, actor=actor),
        page=lambda cast, client, row: _on_invitation(cast, client, row, "send_again"),
    ),
    "resend_invitation by staff": Case(
        "stella",
        lambda cast: _first_invited(cast),
        lambda cast, row, actor: operations.resend_invitation(row.pk, actor=actor),
        admin=_admin("invitation", "send-again"),
    ),
    "withdraw_invitation": Case(
        "ines",
        lambda cast: cast.invited(),
        lambda cast, row, actor: operations.withdraw_invitation(row.pk, actor=actor),
        page=lambda cast, client, row: _on_invitation(cast, client, row, "withdraw"),
    ),
    "withdraw_invitation by staff": Case(
        "stella",
        lambda cast: _first_invited(cast),
        lambda cast, row, actor: operations.withdraw_invitation(row.pk, actor=actor),
        admin=_admin("invitation", "withdraw"),
    ),
    "accept_invitation": Case(
        "mia",
        lambda cast: cast.invited(role="approver"),
        lambda cast, row, actor: operations.accept_invitation(
            cast.link_of(row), **_ACCEPTED, actor=Actor.stranger(door=actor.door)
        ),
        page=lambda cast, client, row: Client().post(reverse("web:invitation", args=[cast.link_of(row)]), _ACCEPTED),
    ),
    "request_address": Case(
        "ada",
        lambda cast: None,
        lambda cast, row, actor: operations.request_address(email="ada@new.example", actor=actor),
        page=lambda cast, client, row: client.post(reverse("web:address"), {"email": "ada@new.example"}),
    ),
    "confirm_address": Case(
        "ada",
        lambda cast: link_secrets.of(operations.request_address(email="ada@new.example", actor=cast.as_("ada")).pk, 1),
        lambda cast, row, actor: operations.confirm_address(row, actor=actor),
        page=lambda cast, client, row: client.post(reverse("web:address_confirm", args=[row])),
    ),
    "make_recovery_key": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.make_recovery_key(cast.contoso.pk, actor=actor),
        page=lambda cast, client, row: client.post(reverse("web:recovery_key", args=[cast.contoso.pk])),
        status=200,
    ),
    "use_recovery_key": Case(
        "mia",
        lambda cast: operations.make_recovery_key(cast.contoso.pk, actor=cast.as_("ines")),
        lambda cast, row, actor: operations.use_recovery_key(
            row.key, email="next@contoso.example", actor=Actor.stranger(door=actor.door)
        ),
        page=lambda cast, client, row: Client().post(
            reverse("web:recover"), {"recovery_key": row.key, "email": "next@contoso.example"}
        ),
        status=200,
    ),
    "provision_member": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.provision_member(
            cast.contoso.pk,
            profile=operations.Profile(
                user_name="new@contoso.example", email="new@contoso.example", name="New", external_id="key"
            ),
            actor=actor,
        ),
    ),
    "change_provisioned": Case(
        "ines",
        lambda cast: cast.mia,
        lambda cast, row, actor: operations.change_provisioned(
            cast.contoso.pk, row.pk, profile=operations.Profile(name="Other", is_active=False), actor=actor
        ),
    ),
    "remove_provisioned": Case(
        "ines",
        lambda cast: cast.mia,
        lambda cast, row, actor: operations.remove_provisioned(cast.contoso.pk, row.pk, actor=actor),
    ),
    "provision_role": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.provision_role(
            cast.contoso.pk,
            role="approver",
            to=frozenset({cast.mia.pk}),
            away_from=frozenset({cast.alan.pk}),
            actor=actor,
        ),
    ),
    "make_lasting_token": Case(
        "ines",
        _directory,
        lambda cast, row, actor: operations.make_lasting_token(row.pk, days=365, actor=actor),
        page=_hook("client_token", days="365"),
        status=200,
    ),
    "set_out_of_office": Case(
        "ada",
        lambda cast: None,
        lambda cast, row, actor: operations.set_out_of_office(
            cast.contoso.pk, deputy_id=cast.alan.pk, **_week(), actor=actor
        ),
        page=lambda cast, client, row: client.post(
            _out_of_office(cast),
            {
                "deputy": str(cast.alan.pk),
                **{name: f"{at:%Y-%m-%dT%H:%M}" for name, at in _week().items()},
            },
        ),
    ),
    "end_out_of_office": Case(
        "ada",
        lambda cast: operations.set_out_of_office(
            cast.contoso.pk, deputy_id=cast.alan.pk, **_week(), actor=cast.as_("ada")
        ),
        lambda cast, row, actor: operations.end_out_of_office(row.pk, actor=actor),
        page=lambda cast, client, row: client.post(_out_of_office(cast), {"end": str(row.pk)}),
    ),
    "deny_all_and_mute": Case(
        "ada",
        lambda cast: cast.confirmed(),
        lambda cast, row, actor: operations.deny_all_and_mute(
            cast.contoso.pk, engineer_id=cast.priya.pk, hours=4, note="Too many.", actor=actor
        ),
        page=lambda cast, client, row: client.post(
            _mutes(cast), {"engineer": str(cast.priya.pk), "hours": "4", "note": "Too many."}
        ),
    ),
    "lift_mute": Case(
        "ada",
        _muted,
        lambda cast, row, actor: operations.lift_mute(row.pk, actor=actor),
        page=lambda cast, client, row: client.post(_mutes(cast), {"lift": str(row.pk)}),
    ),
    "set_two_person_control": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.set_two_person_control(cast.contoso.pk, on=True, actor=actor),
        page=lambda cast, client, row: client.post(_proposals(cast), {"control": "on"}),
    ),
    "confirm_proposal": Case(
        "ada",
        lambda cast: _proposed(cast),
        lambda cast, row, actor: operations.confirm_proposal(row.pk, actor=actor),
        page=lambda cast, client, row: client.post(_proposals(cast), {"act": "confirm", "proposal": str(row.pk)}),
    ),
    "withdraw_proposal": Case(
        "ada",
        lambda cast: _proposed(cast),
        lambda cast, row, actor: operations.withdraw_proposal(row.pk, actor=actor),
        page=lambda cast, client, row: client.post(_proposals(cast), {"act": "withdraw", "proposal": str(row.pk)}),
    ),
    "confirm_proposal by staff": Case(
        "stella",
        _announced,
        lambda cast, row, actor: operations.confirm_proposal(row.pk, actor=actor),
        admin=_admin("proposal", "confirm"),
    ),
    "withdraw_proposal by staff": Case(
        "stella",
        _announced,
        lambda cast, row, actor: operations.withdraw_proposal(row.pk, actor=actor),
        admin=_admin("proposal", "withdraw"),
    ),
    "make_staff": Case(
        "stella",
        lambda cast: cast.erik,
        lambda cast, row, actor: operations.make_staff(row.pk, actor=actor),
        admin=_admin("person", "make-staff"),
    ),
    "set_sign_on": Case("ines", lambda cast: None, _sign_on, page=_sign_on_page),
    "set_sign_on, again": Case(
        "ines",
        lambda cast: _sign_on(cast, None, cast.as_("ines"), issuer="https://old.example"),
        _sign_on,
        _sign_on_page,
    ),
    "claim_domain": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.claim_domain(cast.contoso.pk, name="contoso.example", actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:sign_on_domains", args=[cast.contoso.pk]), {"name": "contoso.example"}
        ),
    ),
    "verify_domain": Case(
        "ines",
        _domain,
        lambda cast, row, actor: _with_file(lambda: operations.verify_domain(row.pk, actor=actor)),
        page=lambda cast, client, row: _with_file(
            lambda: client.post(reverse("web:sign_on_domains", args=[cast.contoso.pk]), {"check_domain": row.pk})
        ),
    ),
    "remove_domain": Case(
        "ines",
        _domain,
        lambda cast, row, actor: operations.remove_domain(row.pk, actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:sign_on_domains", args=[cast.contoso.pk]), {"remove_domain": row.pk}
        ),
    ),
    "unlink_identity": Case(
        "ines",
        _identity,
        lambda cast, row, actor: operations.unlink_identity(row.pk, actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:person", args=[cast.contoso.pk, row.person_id]), {"act": "unlink", "identity": row.pk}
        ),
    ),
    "unlink_identity by staff": Case(
        "stella",
        _own_identity,
        lambda cast, row, actor: operations.unlink_identity(row.pk, actor=actor),
        admin=_admin("identity", "unlink"),
    ),
    "give_role": Case(
        "ines",
        lambda cast: cast.mia,
        lambda cast, row, actor: operations.give_role(cast.contoso.pk, row.pk, role="approver", actor=actor),
        page=_person_act("give", "approver"),
    ),
    "give_role by staff": Case(
        "stella",
        _unplaced,
        lambda cast, row, actor: operations.give_role(_bare(cast).pk, row.pk, role="approver", actor=actor),
        admin=lambda cast, client, row: _admin("person", "give-role", tenant=_bare(cast).slug, role="approver")(
            cast, client, row
        ),
    ),
    "take_role": Case(
        "ines",
        lambda cast: cast.ada,
        lambda cast, row, actor: operations.take_role(cast.contoso.pk, row.pk, role="approver", actor=actor),
        page=_person_act("take", "approver"),
    ),
    "switch_off_person": Case(
        "ines",
        lambda cast: cast.mia,
        lambda cast, row, actor: operations.switch_off_person(row.pk, actor=actor),
        page=_person_act("switch_off"),
    ),
    "switch_off_person by staff": Case(
        "stella",
        lambda cast: cast.mia,
        lambda cast, row, actor: operations.switch_off_person(row.pk, actor=actor),
        admin=_admin("person", "switch-off"),
    ),
    "link_accounts by staff": Case(
        "stella",
        lambda cast: cast.priya,
        lambda cast, row, actor: operations.link_accounts(row.pk, cast.paula.pk, actor=actor),
        admin=_admin("person", "link", other="paula@provider.example"),
    ),
    "unlink_accounts by staff": Case(
        "stella",
        _linked,
        lambda cast, row, actor: operations.unlink_accounts(row.pk, actor=actor),
        admin=_admin("person", "unlink"),
    ),
    "switch_on_person": Case(
        "ines",
        _switched_off,
        lambda cast, row, actor: operations.switch_on_person(row.pk, actor=actor),
        page=_person_act("switch_on"),
    ),
    "switch_on_person by staff": Case(
        "stella",
        _switched_off,
        lambda cast, row, actor: operations.switch_on_person(row.pk, actor=actor),
        admin=_admin("person", "switch-on"),
    ),
    "add_address": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.add_address(
            cast.contoso.pk, email="soc@contoso.example", label="SOC", actor=actor
        ),
        page=lambda cast, client, row: client.post(
            reverse("web:addresses", args=[cast.contoso.pk]), {"email": "soc@contoso.example", "label": "SOC"}
        ),
    ),
    "remove_address": Case(
        "ines",
        _address,
        lambda cast, row, actor: operations.remove_address(row.pk, actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:addresses", args=[cast.contoso.pk]), {"remove": str(row.pk)}
        ),
    ),
    "resend_mail": Case(
        "stella",
        _sent_mail,
        lambda cast, row, actor: operations.resend_mail(row.pk, actor=actor),
        admin=_admin("outboxmessage", "resend"),
    ),
    "add_person": Case(
        "stella",
        lambda cast: None,
        lambda cast, row, actor: operations.add_person(actor=actor, **_PERSON),
        admin=_adding("person", **_PERSON, time_zone="UTC"),
    ),
    "give_queue_role": Case(
        "stella",
        lambda cast: cast.samir,
        lambda cast, row, actor: operations.give_queue_role(cast.exchange.pk, row.pk, role="engineer", actor=actor),
        admin=lambda cast, client, row: _admin("person", "queue", service=cast.exchange.pk, role="engineer")(
            cast, client, row
        ),
    ),
    "take_queue_role": Case(
        "stella",
        lambda cast: QueueAssignment.objects.get(person=cast.erik),
        lambda cast, row, actor: operations.take_queue_role(row.service_id, row.person_id, role=row.role, actor=actor),
        admin=_admin("queueassignment", "take"),
    ),
    "save_plan": Case(
        "stella",
        lambda cast: cast.contoso.plan,
        lambda cast, row, actor: operations.save_plan(plan_id=row.pk, name="E7", includes_lockbox=True, actor=actor),
        admin=_admin("plan", "change", name="E7", includes_lockbox="on"),
    ),
    "save_plan, a new one": Case(
        "stella",
        lambda cast: None,
        lambda cast, row, actor: operations.save_plan(name="E7", includes_lockbox=True, actor=actor),
        admin=_adding("plan", name="E7", includes_lockbox="on"),
    ),
    "create_tenant": Case(
        "stella",
        lambda cast: cast.contoso.plan,
        lambda cast, row, actor: operations.create_tenant(plan_id=row.pk, actor=actor, **_TENANT),
        admin=lambda cast, client, row: _adding("tenant", plan=row.pk, **_TENANT)(cast, client, row),
    ),
    "change_tenant": Case(
        "stella",
        lambda cast: cast.contoso,
        lambda cast, row, actor: operations.change_tenant(
            row.pk, plan_id=row.plan_id, name="Contoso AG", slug=row.slug, time_zone="UTC", actor=actor
        ),
        admin=lambda cast, client, row: _admin(
            "tenant", "change", plan=row.plan_id, name="Contoso AG", slug=row.slug, time_zone="UTC"
        )(cast, client, row),
    ),
    "save_service": Case(
        "stella",
        lambda cast: cast.exchange,
        lambda cast, row, actor: operations.save_service(
            service_id=row.pk, key=row.key, name=row.name, connector=row.connector, is_covered=False, actor=actor
        ),
        admin=lambda cast, client, row: _admin(
            "service", "change", key=row.key, name=row.name, connector=row.connector
        )(cast, client, row),
    ),
    "save_service, a new one": Case(
        "stella",
        lambda cast: None,
        lambda cast, row, actor: operations.save_service(actor=actor, **_SERVICE),
        admin=_adding("service", **_SERVICE, is_covered="on"),
    ),
    "save_resource": Case(
        "stella",
        lambda cast: cast.resource(),
        lambda cast, row, actor: operations.save_resource(
            resource_id=row.pk, name="Finance", is_active=False, actor=actor
        ),
        admin=_admin("resource", "change", name="Finance"),
    ),
    "save_resource, a new one": Case(
        "stella",
        lambda cast: None,
        lambda cast, row, actor: operations.save_resource(
            tenant_id=cast.contoso.pk, service_id=cast.exchange.pk, actor=actor, **_RESOURCE
        ),
        admin=lambda cast, client, row: _adding("resource", tenant="contoso", service=cast.exchange.pk, **_RESOURCE)(
            cast, client, row
        ),
    ),
    "revoke by staff, from the grant": Case(
        "stella",
        lambda cast: cast.opened(),
        lambda cast, row, actor: operations.revoke(row.access_request_id, actor=actor, note="Enough."),
        admin=_admin("grant", "revoke", note="Enough."),
    ),
    "open_ticket by staff": Case(
        "stella",
        lambda cast: None,
        lambda cast, row, actor: operations.open_ticket(
            replace(_report(cast), on_behalf_of_id=cast.mia.pk), actor=actor
        ),
        admin=lambda cast, client, row: _adding(
            "ticket",
            tenant="contoso",
            service=cast.exchange.pk,
            title="Broken",
            body="It is broken since Monday.",
            priority="normal",
            on_behalf_of=cast.mia.email,
        )(cast, client, row),
    ),
    "ask_customer by staff": Case(
        "stella",
        _assigned,
        lambda cast, row, actor: operations.ask_customer(row.pk, actor=actor, note="Since when?"),
        page=_ticket_act("ask_customer", note="Since when?"),
        admin=_admin("ticket", "ask-customer", note="Since when?"),
    ),
    "resolve_ticket by staff": Case(
        "stella",
        _assigned,
        lambda cast, row, actor: operations.resolve_ticket(row.pk, actor=actor, note="Fixed."),
        page=_ticket_act("resolve_ticket", note="Fixed."),
        admin=_admin("ticket", "resolve", note="Fixed."),
    ),
    "comment by staff": Case(
        "stella",
        _assigned,
        lambda cast, row, actor: operations.comment(row.pk, actor=actor, body="Still there."),
        page=_ticket_act("comment", note="Still there."),
        admin=_admin("ticket", "comment", body="Still there."),
    ),
    "comment, which is the answer": Case(
        "mia",
        _waiting,
        lambda cast, row, actor: operations.answer_ticket(row.pk, actor=actor, note="Monday."),
        page=_ticket_act("comment", note="Monday."),
    ),
    "internal note by staff": Case(
        "stella",
        _assigned,
        lambda cast, row, actor: operations.comment(row.pk, actor=actor, body="Ask Erik.", is_internal=True),
        page=_ticket_act("note", internal="Ask Erik."),
        admin=_admin("ticket", "comment", body="Ask Erik.", is_internal="on"),
    ),
    "add_witness": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.add_witness(
            cast.contoso.pk, vkey=_WITNESS.vkey, url=_WITNESS_URL, actor=actor
        ),
        page=lambda cast, client, row: client.post(_rules(cast), {"vkey": _WITNESS.vkey, "url": _WITNESS_URL}),
    ),
    "remove_witness": Case(
        "ines",
        _witness,
        lambda cast, row, actor: operations.remove_witness(cast.contoso.pk, row.pk, actor=actor),
        page=lambda cast, client, row: client.post(reverse("web:remove_witness", args=[cast.contoso.pk, row.pk])),
    ),
    "create_client": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.create_client(
            tenant_id=cast.contoso.pk, name="SIEM", scopes=["log:read"], actor=actor
        ),
        page=lambda cast, client, row: client.post(
            reverse("web:clients", args=[cast.contoso.pk]), {"name": "SIEM", "scopes": ["log:read"]}
        ),
        status=200,
    ),
    "create_client by staff": Case(
        "stella",
        lambda cast: None,
        lambda cast, row, actor: operations.create_client(name="Gateway", scopes=["evaluate"], actor=actor),
        admin=_adding("client", name="Gateway", scopes=["evaluate"]),
        status=200,
    ),
    "change_client": Case(
        "ines",
        _client,
        lambda cast, row, actor: operations.change_client(
            row.pk, scopes=["decisions:write"], decides_for_id=cast.ada.pk, actor=actor
        ),
        page=lambda cast, client, row: client.post(
            reverse("web:client_change", args=[cast.contoso.pk, row.pk]),
            {"scopes": ["decisions:write"], "decides_for": str(cast.ada.pk)},
        ),
    ),
    "change_client by staff": Case(
        "stella",
        _own_client,
        lambda cast, row, actor: operations.change_client(row.pk, scopes=["log:read"], actor=actor),
        admin=_admin("client", "change", scopes=["log:read"]),
    ),
    "rotate_client_secret": Case(
        "ines",
        _client,
        lambda cast, row, actor: operations.rotate_client_secret(row.pk, actor=actor),
        page=_hook("client_rotate"),
        status=200,
    ),
    "rotate_client_secret by staff": Case(
        "stella",
        _own_client,
        lambda cast, row, actor: operations.rotate_client_secret(row.pk, actor=actor),
        admin=_admin("client", "rotate"),
        status=200,
    ),
    "remove_client": Case(
        "ines",
        _client,
        lambda cast, row, actor: operations.remove_client(row.pk, actor=actor),
        page=_hook("client_remove"),
    ),
    "remove_client by staff": Case(
        "stella",
        _own_client,
        lambda cast, row, actor: operations.remove_client(row.pk, actor=actor),
        admin=_admin("client", "remove"),
    ),
    "remove_client by staff, of a tenant": Case(
        "stella",
        _client,
        lambda cast, row, actor: operations.remove_client(row.pk, actor=actor),
        admin=_admin("client", "remove"),
    ),
    "create_token": Case(
        "mia",
        lambda cast: None,
        lambda cast, row, actor: operations.create_token(name="laptop", scopes=["requests:read"], days=7, actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:tokens"), {"name": "laptop", "scopes": ["requests:read"], "days": "7"}
        ),
        status=200,
    ),
    "revoke_token": Case(
        "ines",
        _token,
        lambda cast, row, actor: operations.revoke_token(row.pk, actor=actor),
        page=_revoke,
    ),
    "revoke_token by its owner": Case(
        "mia",
        _token,
        lambda cast, row, actor: operations.revoke_token(row.pk, actor=actor),
        page=_revoke,
    ),
    "revoke_token by staff": Case(
        "stella",
        _token,
        lambda cast, row, actor: operations.revoke_token(row.pk, actor=actor),
        page=_revoke,
        admin=_admin("token", "revoke"),
    ),
    "add_webhook": Case(
        "ines",
        lambda cast: None,
        lambda cast, row, actor: operations.add_webhook(cast.contoso.pk, actor=actor, **_HOOK),
        page=lambda cast, client, row: client.post(reverse("web:webhooks", args=[cast.contoso.pk]), _HOOK),
        status=200,
    ),
    "add_webhook by staff": Case(
        "stella",
        lambda cast: None,
        lambda cast, row, actor: operations.add_webhook(None, actor=actor, **_HOOK),
        admin=_adding("webhook", **_HOOK),
        status=200,
    ),
    "change_webhook": Case(
        "ines",
        _webhook,
        lambda cast, row, actor: operations.change_webhook(row.pk, actor=actor, **_HOOK),
        page=_hook("webhook_change", **_HOOK),
    ),
    "change_webhook by staff": Case(
        "stella",
        _own_webhook,
        lambda cast, row, actor: operations.change_webhook(row.pk, actor=actor, **_HOOK),
        admin=_admin("webhook", "change", **_HOOK),
    ),
    "remove_webhook": Case(
        "ines",
        _webhook,
        lambda cast, row, actor: operations.remove_webhook(row.pk, actor=actor),
        page=_hook("webhook_remove"),
    ),
    "remove_webhook by staff": Case(
        "stella",
        _own_webhook,
        lambda cast, row, actor: operations.remove_webhook(row.pk, actor=actor),
        admin=_admin("webhook", "remove"),
    ),
    "rotate_webhook_secret": Case(
        "ines",
        _webhook,
        lambda cast, row, actor: operations.rotate_webhook_secret(row.pk, actor=actor),
        page=_hook("webhook_rotate"),
        status=200,
    ),
    "rotate_webhook_secret by staff": Case(
        "stella",
        _own_webhook,
        lambda cast, row, actor: operations.rotate_webhook_secret(row.pk, actor=actor),
        admin=_admin("webhook", "rotate"),
        status=200,
    ),
    "disable_webhook": Case(
        "ines",
        _webhook,
        lambda cast, row, actor: operations.disable_webhook(row.pk, actor=actor),
        page=_hook("webhook", act="off"),
    ),
    "disable_webhook by staff": Case(
        "stella",
        _own_webhook,
        lambda cast, row, actor: operations.disable_webhook(row.pk, actor=actor),
        admin=_admin("webhook", "switch-off"),
    ),
    "enable_webhook": Case(
        "ines",
        _off_webhook,
        lambda cast, row, actor: operations.enable_webhook(row.pk, actor=actor),
        page=_hook("webhook", act="on"),
    ),
    "enable_webhook by staff": Case(
        "stella",
        lambda cast: _off_webhook(cast, "stella"),
        lambda cast, row, actor: operations.enable_webhook(row.pk, actor=actor),
        admin=_admin("webhook", "switch-on"),
    ),
    "send_webhook_test": Case(
        "ines",
        _webhook,
        lambda cast, row, actor: operations.send_webhook_test(row.pk, actor=actor),
        page=_hook("webhook", act="test"),
    ),
    "send_webhook_test by staff": Case(
        "stella",
        _own_webhook,
        lambda cast, row, actor: operations.send_webhook_test(row.pk, actor=actor),
        admin=_admin("webhook", "test"),
    ),
    "redeliver": Case(
        "ines",
        _tried,
        lambda cast, row, actor: operations.redeliver(row.pk, actor=actor),
        page=lambda cast, client, row: client.post(
            reverse("web:webhook_delivery", args=[cast.contoso.pk, row.webhook_id, row.pk])
        ),
    ),
    "redeliver by staff": Case(
        "stella",
        lambda cast: _tried(cast, "stella"),
        lambda cast, row, actor: operations.redeliver(row.pk, actor=actor),
        admin=_admin("outboxmessage", "redeliver"),
    ),
    "allow_access": Case(
        None,
        lambda cast: cast.opened(),
        lambda cast, row, actor: operations.allow_access(_question(cast), actor=actor),
    ),
    "set_cosigning": Case(
        "ines",
        _witness,
        lambda cast, row, actor: operations.set_cosigning(cast.contoso.pk, hours=8, actor=actor),
        page=lambda cast, client, row: client.post(_rules(cast), {"hours": "8"}),
    ),
}


def _entries(since: int) -> list[dict[str, Any]]:
    rows = AuditEntry.objects.filter(pk__gt=since).order_by("pk")
    return [_stripped(json.loads(bytes(row.canonical))) for row in rows]


def _stripped(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry without its door, and without ids and references that are new each time."""
    entry.pop("door")
    text = re.sub(r'"hint": "\w{4}"', '"hint": "new"', json.dumps(entry, sort_keys=True))
    text = re.sub(r"\b(AR|T)-[A-Z2-9]{4}-[A-Z2-9]{4}\b", r"\1-new", text)
    known: dict[str, str] = {}
    for found in re.findall(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", text):
        known.setdefault(found, f"id{len(known)}")
    for found, name in known.items():
        text = text.replace(found, name)
    return json.loads(text)


def _told(since: set[UUID]) -> list[tuple[str, str]]:
    rows = OutboxMessage.objects.exclude(pk__in=since).order_by("topic", "mark")
    return [(row.topic, str(row.payload.get("audiences"))) for row in rows]


def _seen(run: Callable[[], Any]) -> tuple[list[dict[str, Any]], list[tuple[str, str]], str]:
    """Run it, look at what it left, and undo it."""
    last = AuditEntry.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    told = set(OutboxMessage.objects.values_list("pk", flat=True))
    here = transaction.savepoint()
    run()
    door = AuditEntry.objects.order_by("-pk").values_list("door", flat=True)[0]
    seen = _entries(last), _told(told), door
    transaction.savepoint_rollback(here)
    return seen


@pytest.mark.parametrize("name", sorted(CASES))
def test_every_door_leaves_the_same_entry(cast: Cast, travel: Any, name: str) -> None:
    travel.freeze()
    case = CASES[name]
    row = case.prepare(cast)
    client = Client()
    if case.who is None:
        made, secret = client_of(cast, None, Scope.EVALUATE)
        caller = Caller(access_token(made, secret).json()["access_token"])
        actor = replace(actor_of_token(made.account.tokens.get()), door="command")
    else:
        client.force_login(cast.people[case.who])
        stepped_up(client, cast.people[case.who])
        caller = Caller(token_of(cast, case.who))
        caller.step_up()
        actor = cast.as_(case.who, door="command")

    def by_operation() -> None:
        # What is only proposed so far has its entries, too.
        with suppress(ChangeProposed):
            case.operation(cast, row, actor)

    wanted, told, door = _seen(by_operation)
    assert (door, bool(wanted)) == ("command", True)
    doors = {"pages": case.page, "admin": case.admin}
    tried = {name: call for name, call in doors.items() if call is not None}
    called = [calls[name] for calls in (CALLS, AZURE_CALLS) if name in calls]
    assert tried or called
    for door_name, call in tried.items():

        def through(call: Callable[..., Any] = call) -> None:
            response = call(cast, client, row)
            assert response.status_code == case.status, response.content.decode()[-3000:]

        assert _seen(through) == (wanted, told, door_name)
    for over in called:

        def over_http(over: Callable[..., Any] = over) -> None:
            response = over(cast, caller, row)
            assert response.status_code in (200, 201, 202, 204), response.content.decode()[-3000:]

        assert _seen(over_http) == (wanted, told, "api")


def test_every_act_that_a_token_may_do_is_called_over_the_api() -> None:
    called = {re.split(r" by |, ", name)[0] for name in CALLS | AZURE_CALLS} - {"internal note"}
    assert called == SCOPES.keys() - {"export_log", "take_evidence", "enrol_passkey"}


_OF_A_BROWSER = "of an account, its sign-in and its proofs: a browser's alone"
_OF_STAFF = "of the installation: staff's, in the administration"
_OF_RULES = "what the record rests on, and where a yes comes from: a human's, on the pages"
#: What has a case and no call, each with its reason.
NOT_OVER_THE_API = {
    **dict.fromkeys(
        (
            *("accept_invitation", "confirm_address", "request_address", "set_password"),
            *("make_recovery_codes", "remove_totp", "set_up_totp"),
            *("make_recovery_key", "use_recovery_key"),
        ),
        _OF_A_BROWSER,
    ),
    **dict.fromkeys(
        (
            *("add_person", "make_staff", "give_queue_role", "take_queue_role", "link_accounts", "unlink_accounts"),
            *("create_tenant", "change_tenant", "save_plan", "save_resource", "save_service", "resend_mail"),
        ),
        _OF_STAFF,
    ),
    **dict.fromkeys(
        ("add_witness", "remove_witness", "set_cosigning", "set_approval_page", "set_log_retention"), _OF_RULES
    ),
    "tombstone": "for a log that can't be signed any more: staff's, in the administration",
}


def test_what_is_not_called_over_the_api_is_named_with_its_reason() -> None:
    covered, called = ({re.split(r" by |, ", name)[0] for name in names} for names in (CASES, CALLS | AZURE_CALLS))
    assert covered - called - {"internal note"} == NOT_OVER_THE_API.keys()
    assert not NOT_OVER_THE_API.keys() & SCOPES.keys()


def test_every_call_over_the_api_is_a_case() -> None:
    assert (CALLS | AZURE_CALLS).keys() - CASES.keys() == set()


#: Operations without a case above, each with its reason.
ELSEWHERE = {
    "claim_key": "no act: makes one call of two",
    "forget_old": "no act: what it deletes is of no use to anybody",
    "step_up_token": "of a token alone: on the pages the session remembers it",
    "issue_access_token": "no act: a sign-in",
    "keep_answer": "no act: makes one call of two",
    "note_use": "no act: when a token was used last",
    "release_key": "no act: makes one call of two",
    "apply_due": "no act: what is due is applied one by one",
    "apply_proposal": "the system's; the sweep is its only door",
    "adopt_log_head": "the command of the operator is its only door",
    "ask_for_reset": "has no entry (ADR 0021), and the page is its only door; tests/operations/test_addresses.py",
    "ask_for_check": "changes nothing and has no entry; the page is its only door",
    "close": "the system's; against the sweep below",
    "expire": "the system's; against the sweep below",
    "export_log": "answered with the log itself; below",
    "give_up_webhook": "the system's; the delivery is its only door",
    "lockbox_applies": "a question, not an act",
    "note_failed_proof": "what a page refuses by itself; tests/web/test_step_up.py",
    "note_refusal": "what a page refuses by itself; the pages are its only door",
    "park_mail": "the system's; the outbox is its only door",
    "sign_in": "the system's; tests/web/test_single_sign_on.py",
    "note_bypass": "a sign-in; tests/web/test_single_sign_on.py",
    "preview": "no act: what sign_in would find",
    "enrol_passkey": "of a browser, where the key is; tests/api/test_approval_page.py, tests/web/test_passkeys.py",
    "remove_passkey": "of the browser alone; tests/operations/test_passkeys.py, tests/web/test_passkeys.py",
    "set_preferences": "has no entry (ADR 0021)",
    "take_evidence": "answered with the evidence itself; below",
}


def test_every_operation_has_a_case_or_a_reason_why_not() -> None:
    """What is exported and is no module, type or constant is an operation."""
    acts = {name for name in operations.__all__ if inspect.isfunction(getattr(operations, name))}
    assert {*TRANSITIONS, *TICKET_TRANSITIONS} <= acts
    covered = {re.split(r" by |, ", name)[0] for name in CASES} - {"internal note"}
    assert (covered - acts, covered & ELSEWHERE.keys()) == (set(), set())
    assert acts - covered == ELSEWHERE.keys()


def test_an_act_of_staff_is_a_case_for_the_administration_wherever_it_has_one() -> None:
    """Each act that the administration offers is pressed by some case, or by a test that is named here."""
    offered = {
        f"{model._meta.model_name} {act.name}"
        for model, shown in admin.site._registry.items()
        for act in [*getattr(shown, "acts", ()), *filter(None, [getattr(shown, "adding", None)])]
    }
    source = Path(__file__).read_text(encoding="utf-8")
    pressed = {f"{model} {act}" for model, act in re.findall(r'_admin\(\s*"(\w+)", "([\w-]+)"', source)}
    pressed |= {f"{model} add" for model in re.findall(r'_adding\(\s*"(\w+)"', source)}
    pressed |= {" ".join(found) for found in re.findall(r'"admin:audit_app_(\w+)_act", args=\[row.pk, "(\w+)"', source)}
    assert offered - pressed == _SAME_ACT


#: Offered on two pages of the administration, and pressed above on the other.
_SAME_ACT = {"tenant give-role"}


@pytest.mark.parametrize("name", ["otto", "stella"])
def test_exporting_the_log_leaves_the_entry_of_the_act_by_each_door(cast: Cast, travel: Any, name: str) -> None:
    travel.freeze()
    cast.ticket()
    client = Client()
    client.force_login(cast.people[name])
    stepped_up(client, cast.people[name])
    url, actor = reverse("web:log_export", args=[cast.contoso.pk, "csv"]), cast.as_(name, door="command")
    filters: dict[str, str] = {}
    caller = Caller(token_of(cast, name))
    wanted = _seen(lambda: operations.export_log(cast.contoso.pk, actor=actor, kind="csv", filters=filters))
    found = _seen(lambda: client.post(url))
    called = _seen(lambda: list(caller.get(f"tenants/{cast.contoso.pk}/log/export", {"format": "csv"})))
    assert (wanted[0], len(wanted[0])) == (found[0], 1)
    assert (wanted[1], found[1], found[2]) == ([], [], "pages")
    assert called == (wanted[0], [], "api")


@pytest.mark.parametrize("action", ["expire", "close"])
def test_the_sweep_leaves_the_entry_that_the_single_act_leaves(cast: Cast, travel: Any, action: str) -> None:
    travel.freeze()
    row = cast.submitted() if action == "expire" else _open(cast)
    travel.to(row.decide_by if action == "expire" else row.grant.closes_at)
    sweep = {"expire": operations.sweeps.expire_overdue, "close": operations.sweeps.close_elapsed}[action]
    system = cast.system("sweep")
    one = _seen(lambda: getattr(operations, action)(row.pk, actor=system))
    many = _seen(lambda: sweep(actor=system, limit=10))
    assert one == many
    assert len(one[0]) == 1


def test_taking_evidence_leaves_the_entry_of_the_act_by_each_door(cast: Cast, travel: Any) -> None:
    travel.freeze()
    row = cast.submitted()
    checkpoints.sign(row.tenant_id, at=row.submitted_at)
    client = Client()
    client.force_login(cast.otto)
    url, form = reverse("web:access_request_evidence", args=[row.pk]), {"download": str(row.pk)}
    actor = cast.as_("otto", door="command")
    caller = Caller(token_of(cast, "otto"))
    wanted = _seen(lambda: operations.take_evidence(row.tenant_id, actor=actor, access_request_id=row.pk))
    found = _seen(lambda: client.post(url, form))
    called = _seen(lambda: list(caller.get(f"access-requests/{row.pk}/evidence")))
    assert (wanted[0], len(wanted[0])) == (found[0], 1)
    assert (wanted[1], found[1], found[2]) == ([], [], "pages")
    assert called == (wanted[0], [], "api")
