"""In the subject and in both parts of mails, every word of the product is marked for translation."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from django.utils import translation

from lockbox_site.demo.authenticator import Authenticator
from lockbox_site.demo.people import QUILLO
from lockbox_site.demo.world import as_, resource
from requests_app import operations
from requests_app.domain import clock, link_secrets
from requests_app.domain.actors import Actor
from requests_app.domain.errors import ChangeProposed
from requests_app.domain.scopes import Scope
from requests_app.identity.factors import KeepsRecoveryCodes, drops_all, drops_totp, keeps_totp
from requests_app.messages import handlers
from requests_app.messages.mails import email
from requests_app.messages.topics import Audience, Note, Topic, post
from requests_app.models import (
    AccessRequest,
    Grant,
    Guard,
    OutboxMessage,
    Person,
    Proposal,
    ProviderSignOn,
    Service,
    StaffTerm,
    Tenant,
)
from requests_app.models.outbox import FANOUT, MAIL
from requests_app.models.people import actor_of_token
from requests_app.operations import sweeps
from requests_app.operations._stream_settings import Delivery, Wanted
from requests_app.platform import totp, webauthn
from tests.guards import actor_of_guard
from tests.operations.test_reports import one, report
from tests.words.reading import World, spoken


def tell_the_rest() -> None:
    """Cause mails that the demo world does not cause: a recorded ticket, a reminder, a window that closes soon."""
    contoso = Tenant.objects.get(slug="contoso")
    report = operations.Report(
        tenant_id=contoso.pk,
        service_id=Service.objects.get(key="exchange-online").pk,
        title="Search finds no invoice of November",
        body="Scrolling down, the invoices are there.",
        on_behalf_of_id=Person.objects.get(email__startswith="mia.weber@").pk,
    )
    operations.open_ticket(report, actor=as_("erik.lund"))
    pending = AccessRequest.objects.get(tenant=contoso, state="PENDING_CUSTOMER")
    opened = Grant.objects.get(tenant__slug="fabrikam")
    for topic, about, tenant in (
        (Topic.REMINDER, pending.pk, pending.tenant),
        (Topic.CLOSING_SOON, opened.access_request_id, opened.tenant),
    ):
        OutboxMessage.objects.create(
            tenant=tenant,
            topic=topic,
            about=about,
            key=f"{topic}:{about}",
            lane=FANOUT,
            payload={"audiences": ["customer"]},
            created_at=clock.now(),
            next_attempt_at=clock.now(),
        )
    connection = operations.Connection(
        issuer="https://idp.example",
        client_id="x",
        client_secret="x",
        role_map={},
        is_on=True,
        is_only=True,
        break_glass_id=Person.objects.get(email__startswith="ines.vogel@").pk,
    )
    made = operations.set_sign_on(contoso.pk, connection=connection, was=None, actor=as_("ines.vogel", fresh=True))
    operations.note_bypass(actor=as_("ines.vogel"))
    off = replace(connection, is_on=False, is_only=False)
    operations.set_sign_on(contoso.pk, connection=off, was=made.changed_at, actor=as_("ines.vogel", fresh=True))
    operations.withdraw(pending.pk, actor=as_("priya.nair"))
    hook = operations.add_webhook(
        contoso.pk, url="https://hooks.contoso.example/in", events=["*"], actor=as_("ines.vogel")
    ).webhook
    operations.give_up_webhook(hook.pk, because="gone", actor=Actor.system("webhooks"))
    scopes = frozenset({Scope.SSF_MANAGE})
    client = operations.create_client(
        tenant_id=contoso.pk, name="Contoso", scopes=["ssf.manage"], actor=as_("ines.vogel", fresh=True)
    )
    program = actor_of_token(operations.issue_access_token(client.row, scopes=scopes).row)
    wanted = Wanted(delivery=Delivery(is_push=True, url="https://hooks.contoso.example/in"))
    stream = operations.create_stream(wanted, actor=program)
    operations.report_failing_stream(stream.pk, actor=Actor.system("webhooks"))
    operations.give_up_stream(stream.pk, because="failing", actor=Actor.system("webhooks"))
    application_reports(contoso)
    operations.create_client(
        tenant_id=contoso.pk,
        name="Contoso",
        scopes=["decisions:write"],
        decides_for_id=Person.objects.get(email__startswith="ada.").pk,
        actor=as_("ines.vogel", fresh=True),
    )
    for how in ("change", "reset"):
        operations.set_password(actor=as_("priya.nair"), password="another battery of 7 horses", how=how)
    challenge = bytes(32)
    options = webauthn.registration_options(
        party=webauthn.own_party(), user_id=b"1", email="a@b.example", name="A", challenge=challenge
    )
    answer = Authenticator(origin="http://localhost:8000").create(options)
    ada = as_("ada.keller", fresh=True)
    row = operations.enrol_passkey(actor=ada, response=answer, challenge=challenge, name="Contoso")
    for change in (operations.rule_out_level, operations.allow_level):
        change(contoso.pk, level="view", actor=as_("ines.vogel", fresh=True))
    for rule in ("signed", "any"):
        operations.set_yes_rule(contoso.pk, rule=rule, actor=as_("ines.vogel", fresh=True))
    operations.remove_passkey(row.pk, actor=ada)
    operations.set_up_totp(actor=as_("otto.brandt", fresh=True), keep=keeps_totp(totp.new_secret()))
    operations.make_recovery_codes(actor=as_("otto.brandt", fresh=True), keep=KeepsRecoveryCodes())
    operations.remove_totp(actor=as_("otto.brandt", fresh=True), keep=drops_totp)
    for origin in ("https://approvals.contoso.example", ""):
        operations.set_approval_page(contoso.pk, origin=origin, keys_only=False, actor=as_("ines.vogel", fresh=True))
    operations.reset_second_factors(ada.person, actor=as_("ines.vogel", fresh=True), keep=drops_all)
    tell_of_people(contoso)


def application_reports(contoso: Tenant) -> None:
    """Cause the mails about an application: accesses outside a window, a silence, and a report after the end."""
    service = Service.objects.get(key=QUILLO)
    problem = operations.Report(tenant_id=contoso.pk, service_id=service.pk, title="Contoso", body="Contoso")
    ticket = operations.open_ticket(problem, actor=as_("ada.keller"))
    ask = operations.Ask(
        ticket_id=ticket.pk,
        resource_ids=[resource("contoso", "Design workspace").pk],
        level="read",
        window_for=3600,
        tried="Contoso",
        justification="Contoso " * 8,
    )
    operations.assign_ticket(ticket.pk, actor=as_("priya.nair"))
    row = operations.submit(ask, actor=as_("priya.nair"))
    operations.approve_as_provider(row.pk, actor=as_("pat.doyle", fresh=True))
    operations.approve_as_customer(row.pk, actor=as_("ada.keller", fresh=True))
    grant = Grant.objects.get(access_request=row)
    client = operations.create_client(name="Quillo", scopes=["grants:read"], actor=as_("stella.okafor", fresh=True)).row
    client.scopes, client.service = ["guard"], service
    client.save(update_fields=["scopes", "service"])
    actor = actor_of_guard(client)
    outside = one(grant, at=grant.opens_at - dt.timedelta(hours=1))
    operations.report_accesses(report(outside), actor=actor)
    Guard.objects.update(reported_at=clock.now() - dt.timedelta(minutes=2))
    sweeps.announce_silent_guards(actor=Actor.system("sweep"))
    operations.release(row.pk, actor=as_("priya.nair"))
    operations.report_accesses(report(one(grant), first=2), actor=actor)


def join(email: str, role: str, queues: list[Any]) -> None:
    """Accept an invitation of the provider that was open when the tenants first switched Lockbox on."""
    actor = as_("stella.okafor", fresh=True)
    tenants = list(Tenant.objects.ever_on())
    Tenant.objects.update(lockbox_on=False, lockbox_first_on_at=None)
    row = operations.invite_colleague(email=email, role=role, services=queues, actor=actor)
    for each in tenants:
        each.save(update_fields=["lockbox_on", "lockbox_first_on_at"])
    row.named_to.set(tenants)
    secret, reader = link_secrets.of(row.pk, row.sends), Actor.stranger(door="pages")
    person = operations.accept_invitation(secret, name="Contoso", password="another battery of 7 horses", actor=reader)
    person.language = Person.objects.get(pk=actor.person).language
    person.save(update_fields=["language"])


def tell_of_people(contoso: Tenant) -> None:
    """Cause mails about an invitation, a recovery, a deputy, and a change that a second person must confirm."""
    ines, at = as_("ines.vogel", fresh=True), clock.now()
    operations.invite_person(contoso.pk, email="new@contoso.example", role="member", actor=ines)
    operations.ask_for_reset(email=as_("otto.brandt").email, actor=Actor.stranger(door="pages"))
    change = operations.request_address(email="ines@new.example", actor=ines)
    operations.confirm_address(link_secrets.of(change.pk, 1), actor=ines)
    operations.request_address(email="ines@newer.example", actor=ines)
    key = operations.make_recovery_key(contoso.pk, actor=ines).key
    operations.use_recovery_key(key, email="next@contoso.example", actor=Actor.stranger(door="command"))
    operations.set_out_of_office(
        contoso.pk,
        deputy_id=Person.objects.get(email__startswith="alan.").pk,
        from_at=at,
        until_at=at + dt.timedelta(days=1),
        actor=as_("ada.keller", fresh=True),
    )
    for engineer in (None, Person.objects.get(email__startswith="priya.").pk):
        mute = operations.deny_all_and_mute(
            contoso.pk, engineer_id=engineer, hours=1, note="Contoso", actor=as_("ada.keller", fresh=True)
        )
        operations.lift_mute(mute.pk, actor=as_("ada.keller", fresh=True))
    stella = as_("stella.okafor", fresh=True)
    second = Person(email="sam@provider.example", name="Contoso", side="provider", is_staff=True, created_at=at)
    second.language = Person.objects.get(pk=stella.person).language
    second.save(force_insert=True)
    StaffTerm.objects.create(person=second, human_id=second.human_id, from_at=at - dt.timedelta(days=30))
    exchange = Service.objects.get(key="exchange-online").pk
    erik, pat = (Person.objects.get(email__startswith=name).pk for name in ("erik.", "pat."))
    take_effect(lambda: operations.give_queue_role(exchange, pat, role="engineer", actor=stella))
    take_effect(lambda: operations.give_queue_role(exchange, erik, role="provider_approver", actor=stella))
    take_effect(lambda: operations.make_staff(pat, actor=stella))
    for role, queues in (("engineer", [exchange]), ("provider_approver", [exchange]), ("staff", [])):
        join(f"{role}@provider.example", role, queues)
    with suppress(ChangeProposed):
        operations.make_staff(erik, actor=stella)
    operations.set_two_person_control(contoso.pk, on=True, actor=ines)
    with suppress(ChangeProposed):
        operations.set_window_cap(contoso.pk, seconds=3600, actor=ines)


def take_effect(propose: Callable[[], object]) -> None:
    """Propose a change of staff, and apply it as if its waiting time were over."""
    with pytest.raises(ChangeProposed) as held:
        propose()
    past = clock.now() - dt.timedelta(days=4)
    [row] = Proposal.objects.filter(pk=held.value.current["proposal"])
    Proposal.objects.filter(pk=row.pk).update(proposed_at=past, effective_at=past + dt.timedelta(hours=72))
    operations.apply_proposal(row.pk, actor=Actor.system("sweep"))


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a mail's text, each on one line and without marks of quotation."""
    return [" ".join(line.lstrip("> ") for line in part.split("\n")) for part in text.split("\n\n")]


def of_several(at: dt.datetime) -> list[dict[str, Any]]:
    """Return mails about several access requests: for each topic, to a person and to a notification address."""
    question = OutboxMessage.objects.filter(lane=MAIL, topic=Topic.DECIDE_AS_CUSTOMER, tenant__slug="contoso")
    one, *others = question.filter(person__isnull=False)
    mails = []
    for topic in sorted(topic for topic in Topic if topic.sending.is_grouped):
        for person in (one.person, None):
            one.topic, one.person = topic, person
            mails.append(email.render(one, at, others=others))
    return mails


def of_a_restore() -> list[Note]:
    """Return the messages about backups and restores. A restore itself would end what the other mails are about."""
    contoso, at = Tenant.objects.get(slug="contoso").pk, clock.now().isoformat()
    by = Person.objects.get_queryset().filter(memberships__tenant=contoso).order_by("email")[0].name
    facts = {"taken_at": at, "restored_at": at, "by": by, "complete": ""}
    to: dict[str, Any] = {"about": contoso, "audiences": (Audience.ADMINISTRATORS,)}
    backups = (("", "yes"), (at, ""))
    return [
        *(
            Note(topic=Topic.BACKUP_TROUBLE, tenant_id=None, **to, extra={"last_at": last, "failed": failed}, mark=last)
            for last, failed in backups
        ),
        *(Note(topic=Topic.RESTORED, tenant_id=pk, **to, extra=facts, mark=str(pk)) for pk in (contoso, None)),
        *(
            Note(
                topic=Topic.RESTORED_CONFIRMED, tenant_id=pk, **to, extra=facts | {"complete": word}, mark=f"{pk}{word}"
            )
            for word in ("", "yes")
            for pk in (contoso, None)
        ),
    ]


def of_provider_metadata() -> list[Note]:
    """Return each message about the metadata of the provider's own identity provider."""
    row = ProviderSignOn.objects.create(metadata_url="https://idp.provider.example/m", changed_at=clock.now())
    return [
        Note(
            topic=Topic.PROVIDER_SIGN_ON,
            tenant_id=None,
            about=row.pk,
            audiences=(Audience.ADMINISTRATORS,),
            mark=keys,
            extra={"keys": keys},
        )
        for keys in ("changed", "first", "accepted", "refused", "ended", "ends", "unread")
    ]


@pytest.mark.slow
def test_every_word_of_every_mail_is_marked(world: World) -> None:
    at = clock.now()
    with translation.override("en"):
        tell_the_rest()
    post([*of_a_restore(), *of_provider_metadata()], at=at)
    for message in OutboxMessage.objects.filter(lane=FANOUT):
        handlers.fan_out(message, at)
    found: dict[str, str] = {}
    topics = set()
    for message in OutboxMessage.objects.filter(lane=MAIL).select_related("person", "tenant"):
        mail = email.render(message, at)
        topics.add(message.topic)
        assert "⟦" in mail["text"]
        for raw in world.raw([mail["subject"], *paragraphs(mail["text"]), *spoken(mail["html"])]):
            found.setdefault(raw, message.topic)
    for mail in of_several(at):
        for raw in world.raw([mail["subject"], *paragraphs(mail["text"]), *spoken(mail["html"])]):
            found.setdefault(raw, "several")
    assert topics == {str(topic) for topic in Topic}
    if found:
        raise AssertionError("\n".join(f"{topic}: {raw}" for raw, topic in found.items()))
