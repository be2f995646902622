"""The golden history: what people do in six weeks. They use the operations, and the clock moves between the steps."""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.core import mail
from django.test import override_settings
from joserfc.jwk import OKPKey

from audit_app import checkpoints, cosigning
from audit_app.models import AuditEntry, ChainHead, LogAlarm, LogKey, Witness
from lockbox_site.demo.authenticator import Authenticator
from requests_app import operations
from requests_app.domain import clock, errors, link_secrets, manifest
from requests_app.domain.access_tasks import Denial
from requests_app.domain.actors import Actor
from requests_app.domain.errors import ChangeProposed, DomainError
from requests_app.domain.evaluation import Question
from requests_app.domain.imports import PERSON, ROLE, Row, Source
from requests_app.domain.reports import Kind, Report, ReportedAccess
from requests_app.domain.scopes import Scope
from requests_app.identity.factors import KeepsRecoveryCodes, drops_all, drops_totp, keeps_totp
from requests_app.identity.sso import domains
from requests_app.identity.sso.saml import metadata, service
from requests_app.identity.sso.saml.questions import ServiceKey
from requests_app.models import (
    AccessDraft,
    AccessRequest,
    AddressChange,
    Client,
    GateProxy,
    Grant,
    GroupRole,
    Heartbeat,
    Identity,
    Installation,
    Invitation,
    OutboxMessage,
    Person,
    Plan,
    Proposal,
    QueueAssignment,
    Resource,
    Service,
    SignOn,
    Tenant,
    Ticket,
    Token,
    Webhook,
    token_keys,
)
from requests_app.models.people import actor_of, actor_of_client, actor_of_token, in_name_of
from requests_app.operations import content, grant_tokens, log_care, streams, sweeps
from requests_app.operations._stream_settings import Delivery, Wanted
from requests_app.platform import csv_files, outbound, token_ids
from requests_app.queries import restored, signing
from requests_app.queries.installation import MAIL_FILES
from requests_app.queries.single_sign_on import PROVIDER
from requests_app.work import heartbeats, outbox
from requests_app.work.webhooks import delivery as webhooks
from tests import saml_idp
from tests.caller import Caller
from tests.cast import QUILLO
from tests.content import mail_id
from tests.golden.chance import Chance, bytes_for
from tests.golden.world import START, World
from tests.ways_in import WayIn
from tests.witness import SmallWitness

TITLE, BODY = "Invoices are missing", "Since Monday the search finds no invoice of November."
TRIED = "Rebuilt the index, read the service's own log, asked for a screenshot."
WHY = "The invoices of November are missing from the mailbox's index; nothing else shows why."
HOOK = "https://hooks.contoso.example/in?key=1"


def log_key(number: int) -> str:
    """Return the log's key with this number, as a line of the setting LOG_KEY."""
    return f"lockbox-log-key-v1 {base64.b64encode(bytes_for(f'log key {number}', 32)).decode()}"


def token_key(name: str) -> OKPKey:
    """Return a key for tokens that depends only on its name."""
    private = Ed25519PrivateKey.from_private_bytes(bytes_for(name, 32))
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return OKPKey.import_key(pem)


#: The id that the guard of the application has made for itself.
GUARD = UUID("5f0e6f1e-9f6b-4a73-8a39-0f6f1f8a2a01")
LIFE = UUID("11111111-9f6b-4a73-8a39-0f6f1f8a2a01")


class History:
    """Plays the history. `mails` and `posts` are the messages that were sent, each with the step that sent it."""

    def __init__(self, travel: Any, settings: Any, patch: Any) -> None:
        self.chance, self.travel, self.settings, self.patch = Chance(), travel, settings, patch
        self.at = START
        self.mails: list[tuple[str, Any]] = []
        self.posts: list[tuple[str, str, bytes, dict[str, Any]]] = []
        #: Signed texts by step, each with the digest that the passkey signs.
        self.manifests: list[tuple[str, str, str]] = []
        self.keys: dict[str, Authenticator] = {}
        self.refusals: list[tuple[str, str]] = []
        #: The events of entries that were removed at the end.
        self.removed: set[str] = set()
        self._lock = threading.Lock()

    # --- Helpers --------------------------------------------------------------------------------------------

    def step(self, name: str, **later: float) -> None:
        """Begin a new step, one minute after the last one or after the given time."""
        self.at += dt.timedelta(**(later or {"minutes": 1}))
        self.travel.to(self.at)
        self.chance.begin(name)

    def leave(self, *, has_webhooks: bool = False) -> None:
        """Sign the logs, ask the witness, and send the mails that are due.

        With `has_webhooks`, also send the messages of the webhooks.
        """
        step = self.chance.step
        self.step(f"{step}, sent")
        for log in ChainHead.objects.order_by("pk"):
            try:
                checkpoints.sign(log.pk, at=clock.now())
            except checkpoints.Refusal as refusal:
                checkpoints.alarm(log.pk, refusal, clock.now())
        cosigning.collect(clock.now, self.witness.post)
        mail.outbox.clear()
        while outbox.drain():
            pass
        self.mails += [(step, each) for each in mail.outbox]
        if has_webhooks:
            webhooks.drain()

    def forget(self) -> None:
        """Delete the mails that wait. They are not needed, because mails of the same kinds were sent before."""
        OutboxMessage.objects.filter(lane__in=("fanout", "mail"), state="waiting").delete()

    def _post(self, url: str, body: bytes, **options: Any) -> outbound.Answer:
        with self._lock:
            self.posts.append((self.chance.step, url, body, options))
        return outbound.Answer(204, "", b"")

    def refused(self, wanted: type[DomainError], call: Callable[[], Any]) -> Any:
        """Do an act that must be refused, and return the refusal. The log gets an entry about it."""
        with pytest.raises(DomainError) as found:
            call()
        assert type(found.value) is wanted, found.value
        self.refusals.append((self.chance.step, found.value.code))
        return found.value

    def proposed(self, call: Callable[[], Any]) -> UUID:
        """Do an act that becomes a proposal, because a second person must confirm it. Return the proposal's id."""
        return UUID(self.refused(ChangeProposed, call).current["proposal"])

    def sign(self, row: AccessRequest, name: str, verdict: str) -> operations.Signed:
        actor = self.world.as_(name, fresh=False)
        row = AccessRequest.objects.get(pk=row.pk)
        text = signing.text_to_sign(row, actor=actor, verdict=verdict, at=clock.now())
        challenge = manifest.challenge_of(text)
        self.manifests.append((self.chance.step, text, challenge.hex()))
        return operations.Signed(manifest=text, assertion=self.keys[name].sign(challenge, rp_id="localhost"))

    def ticket(self, tenant: str = "contoso", by: str = "mia", **fields: Any) -> Ticket:
        values: dict[str, Any] = {
            "service_id": self.world.id("service", "exchange-online"),
            "title": TITLE,
            "body": BODY,
        }
        report = operations.Report(tenant_id=self.world.tenant(tenant).pk, **{**values, **fields})
        return operations.open_ticket(report, actor=self.world.as_(by))

    def submit(self, ticket: Ticket, *resources: str, by: str = "priya", **fields: Any) -> AccessRequest:
        slug = ticket.tenant.slug
        ids = [self.world.id("resource", f"{slug} {name}") for name in resources or ("finance",)]
        values: dict[str, Any] = {"level": "read", "window_for": 7200, "tried": TRIED, "justification": WHY}
        ask = operations.Ask(ticket_id=ticket.pk, resource_ids=ids, **{**values, **fields})
        return operations.submit(ask, actor=self.world.as_(by))

    def opened(self, name: str, ticket: Ticket, *, by: str = "priya", approver: str = "ada", **fields: Any) -> Grant:
        """Submit an access request and approve it on both sides, in three steps. Return the grant."""
        self.step(f"{name}: submitted")
        row = self.submit(ticket, by=by, **fields)
        self.step(f"{name}: confirmed")
        operations.approve_as_provider(row.pk, actor=self.world.as_("pat"), note="No other way.")
        if ticket.tenant.lockbox_on:
            self.step(f"{name}: approved")
            operations.approve_as_customer(row.pk, actor=self.world.as_(approver))
        return Grant.objects.get(access_request=row)

    # --- The history ----------------------------------------------------------------------------------------

    def play(self) -> None:
        self.travel.to(START)
        self.settings.SECRET_KEY, self.settings.LOG_KEY = "golden", log_key(1)
        self.chance.install(self.patch)
        self.chance.begin("the world")
        self.world = World()
        self.witness = SmallWitness("witness.contoso.example")
        self.patch.setattr(outbound, "post", self._post)
        self.patch.setattr(domains, "problem", lambda name, challenge, *, peer: "")
        for chapter in (
            self._passkeys_and_receivers,
            self._tickets,
            self._a_window_from_end_to_end,
            self._other_ends,
            self._refusals,
            self._machines,
            self._deputies_and_mutes,
            self._rules,
            self._accounts,
            self._people,
            self._second_persons,
            self._single_sign_on,
            self._directory,
            self._clients_and_tokens,
            self._webhooks,
            self._signal_streams,
            self._mail,
            self._staff,
            self._care_of_the_log,
            self._set_up,
            self._switches,
            self._imports,
            self._set_up_link,
            self._a_first_switch_on,
            self._a_trial,
            self._levels,
            self._keys_for_tokens,
            self._grant_tokens,
            self._an_application,
            self._drafts,
            self._gates,
            self._saml,
            self._restored,
        ):
            chapter()
            self.leave(has_webhooks=True)

    def _set_up_link(self) -> None:
        """Use the set-up link. It needs an installation without staff, so the staff of the world are away meanwhile."""
        operator, reader = dataclasses.replace(Actor.system("setup-link"), door="command"), Actor.stranger(door="pages")
        staff = list(Person.objects.filter(is_staff=True).values_list("pk", flat=True))
        Person.objects.filter(pk__in=staff).update(is_staff=False)
        self.step("an operator makes the set-up link")
        secret = operations.make_setup_link(actor=operator)
        self.step("the first staff member opens the link")
        browser = operations.open_setup_link(secret, browser="", is_private=True, actor=reader)
        self.step("the first staff member makes an account")
        operations.make_first_staff(
            secret,
            browser=browser,
            name="Stina Test",
            email="stina@provider.example",
            password="another battery of 7 horses",
            time_zone="UTC",
            is_private=True,
            actor=reader,
        )
        Person.objects.filter(pk__in=staff).update(is_staff=True)
        self.step("an operator copies the log's key")
        operations.record_key_copy("0" * 64, actor=operator)

    def _passkeys_and_receivers(self) -> None:
        w = self.world
        for name in ("ada", "pat"):
            self.step(f"{name} adds a passkey")
            self.keys[name] = w.passkey(name)[1]
        self.step("ines adds a webhook")
        self.hook = operations.add_webhook(
            w.tenant().pk, url=HOOK, label="SIEM", events=["*"], actor=w.as_("ines")
        ).webhook
        self.step("stella adds the provider's webhook")
        operations.add_webhook(None, url="https://hooks.provider.example/", events=["*"], actor=w.as_("stella"))
        self.step("ines adds a witness")
        vkey, url = self.witness.vkey, "https://witness.contoso.example/"
        operations.add_witness(w.tenant().pk, vkey=vkey, url=url, actor=w.as_("ines"))
        self.step("ines sets the cosigning rule")
        operations.set_cosigning(w.tenant().pk, hours=8, actor=w.as_("ines"))
        self.step("ines adds an address")
        operations.add_address(w.tenant().pk, email="soc@contoso.example", label="SOC", actor=w.as_("ines"))

    def _tickets(self) -> None:
        w = self.world
        self.step("mia opens a ticket")
        self.first = row = self.ticket(external_reference="INC-4711", external_url="https://desk.example/cases/4711")
        self.step("priya takes it")
        operations.assign_ticket(row.pk, actor=w.as_("priya"))
        self.step("priya asks")
        operations.ask_customer(row.pk, actor=w.as_("priya"), note="Which client?")
        self.step("mia answers")
        operations.answer_ticket(row.pk, actor=w.as_("mia", door="api"), note="The one in the browser.")
        self.step("mia comments")
        operations.comment(row.pk, actor=w.as_("mia"), body="Still there.")
        self.step("priya writes a note")
        operations.comment(row.pk, actor=w.as_("priya"), body="Ask Erik.", is_internal=True)
        self.step("mia links it")
        link = {"external_reference": "INC-4712", "external_url": "https://desk.example/cases/4712"}
        operations.link_ticket(row.pk, actor=w.as_("mia"), **link)
        self.leave()
        self.step("priya records one for mia")
        other = self.ticket(by="priya", on_behalf_of_id=w.person("mia").pk)
        self.step("stella assigns it")
        operations.assign_ticket(other.pk, actor=w.as_("stella", door="admin"), assignee_id=w.person("erik").pk)
        self.step("erik resolves it")
        operations.resolve_ticket(other.pk, actor=w.as_("erik"), note="Fixed.")
        self.step("mia reopens it")
        operations.reopen_ticket(other.pk, actor=w.as_("mia"), note="Not quite.")
        self.step("mia closes it")
        operations.close_ticket(other.pk, actor=w.as_("mia"), note="Now it is.")

    def _a_window_from_end_to_end(self) -> None:
        w = self.world
        self.step("priya asks for access")
        self.main = row = self.submit(self.first, "finance", "sales")
        self.leave()
        self.step("pat approves, signed")
        signed = self.sign(row, "pat", "approve")
        operations.approve_as_provider(row.pk, actor=w.as_("pat", fresh=False), note="No other way.", signature=signed)
        self.leave()
        self.step("reminders after an hour", hours=1)
        sweeps.remind_deciders(actor=Actor.system("remind"), limit=10)
        self.leave()
        self.step("ada approves, signed")
        signed = self.sign(row, "ada", "approve")
        operations.approve_as_customer(row.pk, actor=w.as_("ada", fresh=False), note="Go on.", signature=signed)
        self.leave()
        grant, box = Grant.objects.get(access_request=row), w.id("resource", "contoso finance")
        self.step("priya lists the mailbox")
        content.list_items(grant.pk, box, actor=w.as_("priya"))
        self.step("priya reads a mail")
        content.read_message(grant.pk, box, mail_id(), actor=w.as_("priya"))
        self.step("priya downloads a part")
        stream, chunks = content.download(grant.pk, box, mail_id(), actor=w.as_("priya"), part="2")
        assert b"".join(chunks)
        self.step("priya looks for what is not there")
        self.refused(errors.NotFound, lambda: content.read_message(grant.pk, box, "1.M1.gone", actor=w.as_("priya")))
        self.step("the service asks, and reports an access")
        made = operations.create_client(name="Gateway", scopes=["grants:read"], actor=w.as_("stella"))
        Client.objects.filter(pk=made.row.pk).update(scopes=["evaluate"])
        client = Client.objects.get(pk=made.row.pk)
        operations.issue_access_token(client, scopes=frozenset({Scope.EVALUATE}))
        self.service = dataclasses.replace(actor_of_token(client.account.tokens.get()), door="api")
        question = Question(
            subject_type="engineer",
            subject=str(w.person("priya").pk),
            action="read",
            service="exchange-online",
            resource=str(box),
            item="7.mail",
        )
        assert operations.allow_access(question, actor=self.service).decision
        self.step("the service is refused another")
        sales = dataclasses.replace(question, subject=str(w.person("erik").pk))
        assert not operations.allow_access(sales, actor=self.service).decision
        self.step("ten minutes before the end", minutes=104)
        sweeps.announce_closing_soon(actor=Actor.system("closing-soon"), limit=10)
        self.leave()
        self.step("priya downloads while ada closes")
        _stream, chunks = content.download(grant.pk, box, mail_id(), actor=w.as_("priya"))
        self.step("priya gives the window back")
        operations.release(row.pk, actor=w.as_("priya"), note="Found it.")
        with pytest.raises(streams.WindowClosed):
            list(chunks)

    def _other_ends(self) -> None:
        w = self.world
        ticket = self.first
        self.step("names only")
        row = self.submit(ticket, level="names", window_for=1800)
        self.step("pat denies")
        operations.deny_as_provider(row.pk, actor=w.as_("pat"), note="Ask the customer.")
        self.step("a law-enforcement demand")
        demand = operations.Demand(
            authority="Landgericht Berlin", instrument="Beschluss", reference="4 Qs 17/26", date=dt.date(2026, 11, 20)
        )
        ask = operations.Ask(
            tenant_id=w.tenant().pk,
            service_id=w.id("service", "sharepoint-online"),
            demand=demand,
            resource_ids=[w.id("resource", "contoso legal")],
            level="read",
            window_for=3600,
            tried=TRIED,
            justification=WHY,
        )
        row = operations.submit(ask, actor=w.as_("priya"))
        self.step("pat confirms the demand")
        operations.approve_as_provider(row.pk, actor=w.as_("pat"), note="Checked by legal.")
        self.leave()
        self.step("ada denies, signed")
        signed = self.sign(row, "ada", "deny")
        operations.deny_as_customer(row.pk, actor=w.as_("ada"), note="Not without us.", signature=signed)
        self.step("erik asks")
        row = self.submit(ticket, "sales", by="erik", previous_id=self.main.pk)
        self.step("erik withdraws")
        operations.withdraw(row.pk, actor=w.as_("erik"), note="Not needed.")
        self.step("one that the provider leaves")
        self.submit(ticket, by="erik")
        self.step("one that the customer leaves")
        row = self.submit(ticket)
        self.step("confirmed, and left")
        operations.approve_as_provider(row.pk, actor=w.as_("paula"), note="Yes.")
        self.step("12 hours later", hours=12)
        operations.sweeps.expire_overdue(actor=Actor.system("sweep"), limit=10)
        self.step("24 hours later", hours=12)
        operations.sweeps.expire_overdue(actor=Actor.system("sweep"), limit=10)
        self.leave()
        grant = self.opened("revoked by the customer", ticket, by="erik")
        self.step("ada closes it")
        operations.revoke(grant.access_request_id, actor=w.as_("ada"), note="Enough.")
        grant = self.opened("revoked by staff", ticket, approver="alan")
        self.step("stella closes it")
        operations.revoke(grant.access_request_id, actor=w.as_("stella", door="admin"), note="Wrong mailbox.")
        grant = self.opened("closed by the clock", ticket, window_for=1800)
        self.leave()
        self.step("31 minutes later", minutes=31)
        operations.sweeps.close_elapsed(actor=Actor.system("sweep"), limit=10)
        self.step("nora opens a ticket without Lockbox")
        ticket = self.ticket("northwind", "nora")
        grant = self.opened("without Lockbox", ticket)
        self.leave()
        self.step("erik is switched off")
        other = self.submit(self.first, by="erik")
        operations.close_ticket(ticket.pk, actor=w.as_("nora"), note="Solved.")
        assert Grant.objects.get(pk=grant.pk).closed_at is not None
        self.step("erik withdraws again")
        operations.withdraw(other.pk, actor=w.as_("erik"))
        self.step("fred's ticket")
        self.freds = self.ticket("fabrikam", "fred", priority="high")
        self.opened("of fabrikam", self.freds, approver="frida")

    def _refusals(self) -> None:
        w = self.world
        self.step("bea asks")
        row = self.submit(self.first, by="bea")
        self.step("bea approves her own")
        self.refused(errors.OwnAccessRequest, lambda: operations.approve_as_provider(row.pk, actor=w.as_("bea")))
        self.step("pat has no fresh proof")
        self.refused(
            errors.StepUpRequired, lambda: operations.approve_as_provider(row.pk, actor=w.as_("pat", fresh=False))
        )
        self.step("otto may not")
        self.refused(errors.NotAllowed, lambda: operations.deny_as_customer(row.pk, actor=w.as_("otto"), note="No."))
        self.step("fred sees nothing")
        self.refused(errors.NotFound, lambda: operations.deny_as_customer(row.pk, actor=w.as_("fred"), note="No."))
        self.step("a page refuses")
        operations.note_refusal(
            row.pk, action="approve_as_provider", refusal=errors.StepUpRequired(), actor=w.as_("pat")
        )
        self.step("a wrong password")
        operations.note_failed_proof(refusal=errors.WrongProof(), actor=w.as_("ada"))
        self.step("too late", hours=25)
        self.refused(errors.DeadlinePassed, lambda: operations.approve_as_provider(row.pk, actor=w.as_("pat")))
        self.step("it expires")
        operations.expire(row.pk, actor=Actor.system("expiry"))

    def _machines(self) -> None:
        w = self.world
        self.step("ines lets a client decide for ada")
        made = operations.create_client(
            tenant_id=w.tenant().pk,
            name="Help desk",
            scopes=["decisions:write", "requests:read"],
            decides_for_id=w.person("ada").pk,
            actor=w.as_("ines"),
        )
        self.leave()
        self.step("its access token")
        token = operations.issue_access_token(
            made.row, scopes=frozenset({Scope.DECISIONS_WRITE, Scope.REQUESTS_READ})
        ).secret
        self.step("one for the client")
        row = self.submit(self.first)
        self.step("confirmed for the client")
        operations.approve_as_provider(row.pk, actor=w.as_("pat"), note="Yes.")
        self.step("the client denies")
        answer = Caller(token).decide("deny", row, "Not now.")
        assert answer.status_code == 200, answer.content
        self.step("ines changes the client")
        operations.change_client(made.row.pk, scopes=["requests:read"], decides_for_id=None, actor=w.as_("ines"))

    def _deputies_and_mutes(self) -> None:
        w = self.world
        self.step("ines makes mia a deputy")
        operations.give_role(w.tenant().pk, w.person("mia").pk, role="deputy", actor=w.as_("ines"))
        self.step("ada goes away")
        row = operations.set_out_of_office(
            w.tenant().pk,
            deputy_id=w.person("mia").pk,
            from_at=clock.now(),
            until_at=clock.now() + dt.timedelta(days=7),
            actor=w.as_("ada"),
        )
        self.leave()
        self.step("a ticket of otto's side")
        ticket = self.ticket(by="ada", title="Search is slow")
        self.step("one for the deputy")
        access_request = self.submit(ticket)
        self.step("confirmed for the deputy")
        operations.approve_as_provider(access_request.pk, actor=w.as_("pat"), note="Yes.")
        self.step("mia approves for ada")
        operations.approve_as_customer(access_request.pk, actor=w.as_("mia"), note="As ada would.")
        self.step("ada is back")
        operations.end_out_of_office(row.pk, actor=w.as_("ada"))
        self.step("and one that she mutes")
        access_request = self.submit(self.first, "sales")
        self.step("confirmed, and muted")
        operations.approve_as_provider(access_request.pk, actor=w.as_("pat"), note="Yes.")
        self.step("ada denies all and mutes")
        mute = operations.deny_all_and_mute(
            w.tenant().pk, engineer_id=w.person("priya").pk, hours=4, note="Too many.", actor=w.as_("ada")
        )
        self.step("priya is muted")
        self.refused(errors.Muted, lambda: self.submit(self.first, "sales"))
        self.step("ada lifts it")
        operations.lift_mute(mute.pk, actor=w.as_("ada"))

    def _rules(self) -> None:
        w, pk = self.world, self.world.tenant().pk
        self.step("ines sets the cap")
        operations.set_window_cap(pk, seconds=3600, actor=w.as_("ines"))
        self.step("ines wants signatures")
        operations.set_yes_rule(pk, rule="signed", actor=w.as_("ines"))
        self.step("ines names an approval page")
        operations.set_approval_page(
            pk, origin="https://approvals.contoso.example", keys_only=False, actor=w.as_("ines")
        )
        self.leave()
        self.step("ines takes the rule back")
        operations.set_yes_rule(pk, rule="any", actor=w.as_("ines"))
        self.step("Lockbox off")
        operations.switch_lockbox(pk, on=False, actor=w.as_("ines"))
        self.step("Lockbox on")
        operations.switch_lockbox(pk, on=True, actor=w.as_("ines"))
        self.step("ines keeps the log for a year")
        operations.set_log_retention(pk, days=365, actor=w.as_("ines"))

    def _accounts(self) -> None:
        w = self.world
        self.step("mia's new password")
        operations.set_password(actor=w.as_("mia"), password="another battery of 7 horses", how="change")
        self.step("ada forgot hers")
        operations.ask_for_reset(email="ada@contoso.example", actor=Actor.stranger(door="pages"))
        self.step("ada wants another address")
        row = operations.request_address(email="ada@new.example", actor=w.as_("ada"))
        self.leave()
        self.step("ada confirms it")
        operations.confirm_address(link_secrets.of(row.pk, 1), actor=w.as_("ada"))
        assert AddressChange.objects.exists()
        self.step("otto sets up an app")
        operations.set_up_totp(actor=w.as_("otto"), keep=keeps_totp("JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"))
        self.step("otto removes it")
        operations.remove_totp(actor=w.as_("otto"), keep=drops_totp)
        self.step("pat makes recovery codes")
        operations.make_recovery_codes(actor=w.as_("pat"), keep=KeepsRecoveryCodes())
        self.step("alan adds a passkey")
        passkey, _device = w.passkey("alan")
        self.step("alan removes it")
        operations.remove_passkey(passkey.pk, actor=w.as_("alan"))
        self.step("ines resets alan")
        operations.reset_second_factors(w.person("alan").pk, actor=w.as_("ines"), keep=drops_all)
        self.step("otto's preferences")
        operations.set_preferences(actor=w.as_("otto"), time_zone="Asia/Tokyo", theme="dark")

    def _people(self) -> None:
        w, pk = self.world, self.world.tenant().pk
        self.step("ines invites grace")
        row = operations.invite_person(pk, email="grace@contoso.example", role="approver", actor=w.as_("ines"))
        self.leave()
        self.step("and once more")
        operations.resend_invitation(row.pk, actor=w.as_("ines"))
        self.leave()
        row = Invitation.objects.get(pk=row.pk)
        self.step("grace accepts")
        grace = operations.accept_invitation(
            link_secrets.of(row.pk, row.sends),
            name="Grace",
            password="another battery of 7 horses",
            actor=Actor.stranger(door="pages"),
        )
        assert grace is not None
        self.step("ines invites henry")
        row = operations.invite_person(pk, email="henry@contoso.example", role="member", actor=w.as_("ines"))
        self.step("and withdraws it")
        operations.withdraw_invitation(row.pk, actor=w.as_("ines"))
        self.step("ines makes mia an approver")
        operations.give_role(pk, w.person("mia").pk, role="approver", actor=w.as_("ines"))
        self.step("ines takes it")
        operations.take_role(pk, w.person("mia").pk, role="approver", actor=w.as_("ines", door="api"))
        self.step("ines switches otto off")
        operations.switch_off_person(w.person("otto").pk, actor=w.as_("ines"))
        self.step("and on")
        operations.switch_on_person(w.person("otto").pk, actor=w.as_("ines"))
        self.step("ines removes an address")
        address = operations.add_address(pk, email="duty@contoso.example", actor=w.as_("ines"))
        operations.remove_address(address.pk, actor=w.as_("ines"))
        self.step("ines makes a recovery key")
        key = operations.make_recovery_key(pk, actor=w.as_("ines")).key
        self.step("somebody tries another")
        other = key[:-1] + ("2" if key[-1] != "2" else "3")
        with pytest.raises(DomainError):
            operations.use_recovery_key(other, email="x@contoso.example", actor=Actor.stranger(door="pages"))
        self.step("somebody uses it")
        operations.use_recovery_key(key, email="next@contoso.example", actor=Actor.stranger(door="pages"))
        self.step("somebody uses it again")
        with pytest.raises(DomainError):
            operations.use_recovery_key(key, email="last@contoso.example", actor=Actor.stranger(door="pages"))

    def _second_persons(self) -> None:
        w, pk = self.world, self.world.tenant().pk
        self.step("two-person control on")
        operations.set_two_person_control(pk, on=True, actor=w.as_("ines"))
        self.step("ines proposes")
        row = self.proposed(lambda: operations.give_role(pk, w.person("mia").pk, role="approver", actor=w.as_("ines")))
        self.leave()
        self.step("ada confirms")
        operations.confirm_proposal(row, actor=w.as_("ada"))
        self.step("ines proposes another")
        row = self.proposed(lambda: operations.set_window_cap(pk, seconds=1800, actor=w.as_("ines")))
        self.step("ada withdraws it")
        operations.withdraw_proposal(row, actor=w.as_("ada"))
        self.step("ines wants to be alone again")
        row = self.proposed(lambda: operations.set_two_person_control(pk, on=False, actor=w.as_("ines")))
        self.step("ada lets her")
        operations.confirm_proposal(row, actor=w.as_("ada"))
        self.forget()

    def _single_sign_on(self) -> None:
        w, pk = self.world, self.world.tenant().pk
        issuer = "https://idp.contoso.example"
        fields: dict[str, Any] = {
            "issuer": issuer,
            "client_id": "lockbox",
            "client_secret": "x",
            "role_map": {"g": "auditor"},
        }
        self.step("ines claims a domain")
        domain = operations.claim_domain(pk, name="contoso.example", actor=w.as_("ines"))
        self.step("and proves it")
        operations.verify_domain(domain.pk, actor=w.as_("ines"))
        self.step("ines sets single sign-on up")
        connection = operations.Connection(**fields, is_on=True, is_only=True, break_glass_id=w.person("ines").pk)
        made = operations.set_sign_on(pk, connection=connection, was=None, actor=w.as_("ines"))
        self.leave()
        self.step("mia comes from there")
        identity = operations.AssertedIdentity(
            issuer=issuer, subject="s-1", email="mia@contoso.example", email_is_verified=True, groups=("g",)
        )
        operations.sign_in(pk, came=identity, actor=Actor.system("single-sign-on"))
        self.step("ines comes in past it")
        operations.note_bypass(actor=w.as_("ines"))
        self.step("ines unlinks mia")
        operations.unlink_identity(Identity.objects.get().pk, actor=w.as_("ines"))
        self.step("ines switches it off")
        operations.set_sign_on(pk, connection=operations.Connection(**fields), was=made.changed_at, actor=w.as_("ines"))
        self.step("ines removes the domain")
        operations.remove_domain(domain.pk, actor=w.as_("ines"))

    def _saml(self) -> None:
        w, pk, url = self.world, self.world.tenant().pk, "https://idp.contoso.example/metadata"
        row = SignOn.objects.get(tenant=pk)
        first, second = saml_idp.fixed_certificate(1), saml_idp.fixed_certificate(2)
        shown = [saml_idp.metadata(first), saml_idp.metadata(first, second), saml_idp.metadata(second)]
        key = ServiceKey(private="", certificate=saml_idp.fixed_certificate(3))
        with (
            patch.object(ServiceKey, "new", lambda name, *, at: key),
            patch.object(service, "fetched", lambda url, *, at, **_: metadata.read(shown.pop(0), at=at)),
        ):
            self.step("ines changes to SAML")
            connection = operations.Connection(protocol="saml", metadata_url=url, key_claim="", role_map={})
            row = operations.set_sign_on(pk, connection=connection, was=row.changed_at, actor=w.as_("ines"))
            self.step("the identity provider has another key")
            operations.refresh_sign_on(row, actor=Actor.system("single sign-on"))
            self.step("ines renews our key")
            operations.renew_sign_on_key(pk, had=1, actor=w.as_("ines"))
            self.step("the metadata of the provider is read for the first time")
            self.settings.SSO_SAML_METADATA_URL = url
            operations.refresh_at_need(PROVIDER, actor=Actor.system("single sign-on"))
            self.settings.SSO_SAML_METADATA_URL = ""
        self.step("mia confirms a token")
        token = operations.create_token(name="own page", scopes=["requests:read"], days=7, actor=w.as_("mia")).row
        operations.confirm_token(token.pk, actor=w.as_("mia"))

    def _directory(self) -> None:
        w, pk = self.world, self.world.tenant().pk
        self.step("the directory adds ivan")
        profile = operations.Profile(
            user_name="ivan@contoso.example", email="ivan@contoso.example", name="Ivan", external_id="k-1"
        )
        ivan = operations.provision_member(pk, profile=profile, actor=w.as_("ines", door="api"))
        self.step("the directory makes ivan an approver")
        operations.provision_role(pk, role="approver", to=frozenset({ivan.pk}), actor=w.as_("ines", door="api"))
        self.step("the directory renames ivan")
        operations.change_provisioned(
            pk, ivan.pk, profile=operations.Profile(name="Ivan B.", is_active=False), actor=w.as_("ines", door="api")
        )
        self.step("the directory removes ivan")
        operations.remove_provisioned(pk, ivan.pk, actor=w.as_("ines", door="api"))
        self.forget()

    def _clients_and_tokens(self) -> None:
        w, pk = self.world, self.world.tenant().pk
        self.step("ines adds a client")
        row = operations.create_client(
            tenant_id=pk, name="Entra", scopes=["members:provision"], actor=w.as_("ines")
        ).row
        self.step("a lasting token")
        operations.make_lasting_token(row.pk, days=365, actor=w.as_("ines"))
        self.step("a new secret")
        operations.rotate_client_secret(row.pk, actor=w.as_("ines"))
        self.step("ines removes the client")
        operations.remove_client(row.pk, actor=w.as_("ines"))
        self.step("mia makes a token")
        token = operations.create_token(name="laptop", scopes=["requests:read"], days=7, actor=w.as_("mia")).row
        self.step("ines revokes it")
        operations.revoke_token(token.pk, actor=w.as_("ines"))
        self.step("otto makes a token")
        made = operations.create_token(
            name="auditor", scopes=["log:read", "requests:read"], days=90, actor=w.as_("otto")
        )
        self.reader = made.secret

    def _webhooks(self) -> None:
        w, pk = self.world, self.world.tenant().pk
        new: dict[str, Any] = {"url": "https://hooks.example/new", "label": "Desk", "events": ["grant.closed"]}
        self.step("ines adds another webhook")
        row = operations.add_webhook(pk, actor=w.as_("ines"), **new).webhook
        self.step("and changes it")
        operations.change_webhook(row.pk, url="https://hooks.example/newer", actor=w.as_("ines"))
        self.step("and rotates its secret")
        operations.rotate_webhook_secret(row.pk, actor=w.as_("ines"))
        self.step("and tries it")
        message = operations.send_webhook_test(row.pk, actor=w.as_("ines"))
        self.leave()
        OutboxMessage.objects.filter(pk=message.pk).update(state="parked")
        self.step("and sends it again")
        operations.redeliver(message.pk, actor=w.as_("ines"))
        self.step("and switches it off")
        operations.disable_webhook(row.pk, actor=w.as_("ines"))
        self.step("and on")
        operations.enable_webhook(row.pk, actor=w.as_("ines"))
        self.step("it is given up")
        operations.give_up_webhook(row.pk, because=Webhook.Because.GONE, actor=Actor.system("webhooks"))
        self.step("and removed")
        operations.remove_webhook(row.pk, actor=w.as_("ines"))

    def _signal_streams(self) -> None:
        w = self.world
        self.step("ines adds a client for signals")
        scopes, ines = ["ssf.read", "ssf.manage"], w.as_("ines")
        client = operations.create_client(tenant_id=w.tenant().pk, name="Signals", scopes=scopes, actor=ines).row
        token = operations.issue_access_token(client, scopes=frozenset({Scope.SSF_READ, Scope.SSF_MANAGE})).row
        program = actor_of_token(token)
        self.step("the client creates a signal stream")
        delivery = Delivery(is_push=True, url="https://signals.contoso.example/in")
        row = operations.create_stream(Wanted(delivery=delivery, description="Sessions"), actor=program)
        self.step("and changes the signal stream")
        operations.change_stream(row.pk, Wanted(delivery=Delivery()), actor=program)
        self.step("and verifies the signal stream")
        operations.verify_stream(row.pk, state="1", actor=program)
        self.step("the events of the signal stream do not arrive")
        operations.report_failing_stream(row.pk, actor=Actor.system("webhooks"))
        self.leave()
        self.step("the signal stream is given up")
        operations.give_up_stream(row.pk, because="failing", actor=Actor.system("webhooks"))
        self.step("ines enables the signal stream")
        operations.set_stream_status(row.pk, status="enabled", actor=w.as_("ines"))
        self.step("and deletes the signal stream")
        operations.delete_stream(row.pk, actor=w.as_("ines"))

    def _mail(self) -> None:
        w = self.world
        row = OutboxMessage.objects.filter(lane="mail", state="delivered").order_by("created_at", "recipient")[0]
        self.step("stella sends a mail again")
        operations.resend_mail(row.pk, actor=w.as_("stella", door="admin"))
        self.step("it can't be delivered")
        operations.park_mail(row.pk, actor=Actor.system("outbox"), error="550 No such mailbox.")

    def _copy_link(self, invited: Invitation) -> None:
        """Copy the link as if no tenant had ever had Lockbox on, and as if no mail server had accepted a mail."""
        on = list(Tenant.objects.ever_on().values_list("pk", "lockbox_on", "lockbox_first_on_at"))
        Tenant.objects.update(lockbox_on=False, lockbox_first_on_at=None)
        with override_settings(EMAIL_BACKEND=MAIL_FILES):
            operations.copy_invitation_link(invited.pk, actor=self.world.as_("stella", door="admin"))
        for pk, is_on, first_at in on:
            Tenant.objects.filter(pk=pk).update(lockbox_on=is_on, lockbox_first_on_at=first_at)

    def _staff(self) -> None:
        w = self.world
        contoso, exchange = w.tenant(), w.id("service", "exchange-online")
        self.step("stella adds a plan")
        plan = operations.save_plan(name="E7", includes_lockbox=True, actor=w.as_("stella", door="admin"))
        self.step("stella adds a tenant")
        adatum = operations.create_tenant(
            plan_id=plan.pk, name="Adatum", slug="adatum", time_zone="UTC", actor=w.as_("stella", door="admin")
        )
        self.step("stella invites its administrator")
        operations.invite_person(
            adatum.pk, email="a@adatum.example", role="administrator", actor=w.as_("stella", door="admin")
        )
        self.step("stella renames contoso")
        operations.change_tenant(
            contoso.pk,
            plan_id=contoso.plan_id,
            name="Contoso AG",
            slug="contoso",
            time_zone="Europe/Berlin",
            actor=w.as_("stella", door="admin"),
        )
        self.step("stella invites a colleague")
        invited = operations.invite_colleague(
            email="nadia@provider.example",
            role="engineer",
            services=[w.id("service", "sharepoint-online")],
            actor=w.as_("stella", door="admin"),
        )
        self.step("stella copies the link")
        self._copy_link(invited)
        self.leave()
        self.step("nadia accepts")
        new = operations.accept_invitation(
            link_secrets.of(invited.pk, invited.sends),
            name="Nadia Test",
            password="another battery of 7 horses",
            actor=Actor.stranger(door="pages"),
        )
        self.step("and has read who copied it")
        operations.note_link_copy(invited.pk, actor=actor_of(new, door="pages"))
        # A copied link verifies no address, and the person gets a role later.
        Person.objects.filter(pk=new.pk).update(email_verified_at=clock.now())
        self.step("stella adds a resource")
        operations.save_resource(
            tenant_id=contoso.pk,
            service_id=exchange,
            kind="mailbox",
            name="board@contoso.example",
            locator="contoso/mail/board",
            actor=w.as_("stella", door="admin"),
        )
        self.step("stella switches off a resource")
        sales = w.id("resource", "contoso sales")
        operations.save_resource(
            resource_id=sales, name="sales@contoso.example", is_active=False, actor=w.as_("stella", door="admin")
        )
        self.step("stella wants to link two accounts")
        link = self.proposed(
            lambda: operations.link_accounts(
                w.person("priya").pk, w.person("paula").pk, actor=w.as_("stella", door="admin")
            )
        )
        self.step("stella wants a service uncovered")
        cover = self.proposed(
            lambda: operations.save_service(
                service_id=exchange,
                key="exchange-online",
                name="Exchange Online",
                connector="maildir",
                is_covered=False,
                actor=w.as_("stella", door="admin"),
            )
        )
        self.step("stella wants a member of the staff more")
        staff = self.proposed(lambda: operations.make_staff(w.person("bea").pk, actor=w.as_("stella", door="admin")))
        self.step("stella wants a resource renamed")
        name = self.proposed(
            lambda: operations.save_resource(
                resource_id=w.id("resource", "contoso finance"),
                name="Canteen menus",
                is_active=True,
                actor=w.as_("stella", door="admin"),
            )
        )
        self.leave()
        self.step("sten confirms")
        for each in (link, cover, invited.proposal_id):
            operations.confirm_proposal(each, actor=w.as_("sten", door="admin"))
        self.step("sten withdraws one")
        operations.withdraw_proposal(staff, actor=w.as_("sten", door="admin"))
        self.leave()
        self.step("after the waiting time", hours=73)
        operations.apply_due(actor=Actor.system("sweep"), limit=10)
        assert Proposal.objects.get(pk=link).outcome == "applied"
        self.step("after a week", days=5)
        operations.apply_due(actor=Actor.system("sweep"), limit=10)
        assert Proposal.objects.get(pk=name).outcome == "lapsed"
        self.leave()
        self.step("stella wants the service covered again")
        operations.save_service(
            service_id=exchange,
            key="exchange-online",
            name="Exchange Online",
            connector="maildir",
            is_covered=True,
            actor=w.as_("stella", door="admin"),
        )
        self.step("stella wants the accounts apart")
        row = self.proposed(
            lambda: operations.unlink_accounts(w.person("priya").pk, actor=w.as_("stella", door="admin"))
        )
        self.step("stella wants an engineer more")
        queue = self.proposed(
            lambda: operations.give_queue_role(exchange, new.pk, role="engineer", actor=w.as_("stella", door="admin"))
        )
        self.step("stella wants a role through a group")
        stella = w.as_("stella", door="admin")
        group = self.proposed(lambda: operations.map_group(exchange, group="On call", role="engineer", actor=stella))
        self.step("sten confirms that")
        for each in (row, queue, group):
            operations.confirm_proposal(each, actor=w.as_("sten", door="admin"))
        self.step("three days later", hours=73)
        operations.apply_due(actor=Actor.system("sweep"), limit=10)
        self.step("an engineer less")
        operations.take_queue_role(exchange, new.pk, role="engineer", actor=w.as_("stella", door="admin"))
        self.step("no role through a group")
        operations.unmap_group(GroupRole.objects.get().pk, actor=w.as_("stella", door="admin"))
        self.forget()

    def _a_first_switch_on(self) -> None:
        stella = self.world.as_("stella", door="admin")
        northwind, plan = self.world.tenant("northwind").pk, Plan.objects.get(name="E7").pk
        self.step("northwind gets a plan with Lockbox")
        operations.change_tenant(northwind, plan_id=plan, actor=stella)
        # Nobody has ever had Lockbox on meanwhile: otherwise the role of the invitation would be announced.
        others = list(Tenant.objects.exclude(pk=northwind).ever_on())
        Tenant.objects.filter(pk__in=[each.pk for each in others]).update(lockbox_on=False, lockbox_first_on_at=None)
        self.step("stella invites somebody before that")
        row = operations.invite_colleague(
            email="before@provider.example",
            role="engineer",
            services=[self.world.id("service", "exchange-online")],
            actor=stella,
        )
        self.step("noah switches Lockbox on for the first time")
        operations.switch_lockbox(northwind, on=True, actor=self.world.as_("noah"))
        self.step("and the person accepts after that")
        reader = Actor.stranger(door="pages")
        secret = link_secrets.of(row.pk, row.sends)
        operations.accept_invitation(secret, name="Berta Test", password="another battery of 7 horses", actor=reader)
        for each in others:
            each.save(update_fields=["lockbox_on", "lockbox_first_on_at"])

    def _a_trial(self) -> None:
        """Make a sample folder, as if this were a trial on one machine."""
        self.step("stella makes a sample folder")
        with override_settings(EMAIL_BACKEND=MAIL_FILES, BASE_URL="http://localhost", PRODUCTION=False):
            operations.make_sample_folder(
                self.world.tenant("northwind").pk, actor=self.world.as_("stella", door="admin")
            )

    def _switches(self) -> None:
        adatum, stella = Tenant.objects.get(slug="adatum").pk, self.world.as_("stella", door="admin")
        self.step("stella switches adatum off")
        operations.switch_off_tenant(adatum, actor=stella)
        self.step("stella switches adatum on")
        operations.switch_on_tenant(adatum, actor=stella)

    def _care_of_the_log(self) -> None:
        w, pk = self.world, self.world.tenant().pk
        fabrikam = w.tenant("fabrikam").pk
        self.step("otto exports the log")
        operations.export_log(pk, actor=w.as_("otto"), kind="csv", filters={"event": "grant.closed"})
        self.step("otto takes evidence of one")
        operations.take_evidence(pk, actor=w.as_("otto"), access_request_id=self.main.pk)
        self.step("finn keeps fabrikam's log for 30 days")
        operations.set_log_retention(fabrikam, days=30, actor=w.as_("finn"))
        self.leave()
        self.step("and 40 days later", days=40)
        self.submit(self.freds)
        self.leave()
        self.step("the old goes")
        self.removed = set(AuditEntry.objects.filter(tenant_id=fabrikam).values_list("event", flat=True))
        assert log_care.prune(actor=Actor.system("retention"), is_over=lambda: False)
        self.step("a new log key signs")
        self.settings.LOG_KEY = f"{log_key(2)}\n{log_key(1)}"
        self.leave()
        self.step("northwind's log is found altered")
        northwind = w.tenant("northwind").pk
        at = clock.now()
        LogAlarm.objects.create(tenant_id=northwind, since=at, last_at=at, code="altered", detail={"seq": 0})
        self.step("stella closes it with a tombstone")
        operations.tombstone(northwind, comment="Restored.", actor=w.as_("stella", door="admin"))
        self.step("ines takes the cosigning rule away")
        operations.set_cosigning(pk, hours=None, actor=w.as_("ines"))
        self.step("ines removes the witness")
        [witness] = Witness.objects.all()
        operations.remove_witness(pk, witness.pk, actor=w.as_("ines"))
        self.leave()
        self.step("the file of the heads is lost")
        Path(self.settings.LOG_HEADS_FILE).unlink()
        for head in ChainHead.objects.order_by("pk"):
            operations.adopt_log_head(head.pk, comment="The disk broke.", actor=Actor.system("command"))

    def _restored(self) -> None:
        w, pk, at = self.world, self.world.tenant().pk, clock.now()
        self.step("the installation is restored from a backup")
        live = list(Token.objects.filter(revoked_at=None).values_list("pk", flat=True))
        operations.restored(backup_id=uuid.UUID(int=41), taken_at=at - dt.timedelta(hours=1), at=at)
        # The test reads the API with these when the history is over.
        Token.objects.filter(pk__in=live).update(revoked_at=None)
        self.step("ines confirms what was restored")
        facts = restored.facts_of_tenant(Tenant.objects.get(pk=pk), clock.now())
        operations.confirm_restored(pk, shown=restored.digest(facts), actor=w.as_("ines"))
        self.leave()
        self.step("stella confirms the provider's people")
        shown = restored.digest(restored.facts_of_provider())
        operations.confirm_restored_people(shown=shown, actor=w.as_("stella", door="admin"))
        self.leave()
        self.step("a backup fails")
        heartbeats.report_failure(Heartbeat.BACKUP, "The place is full.")
        sweeps.announce_backup_trouble(actor=Actor.system("remind"))
        self.leave()
        self.step("the database is set back by hand")
        at = clock.now()
        gone = {"code": "shorter", "detail": {"signed": 10**9, "found": 1}}
        LogAlarm.objects.create(pk=uuid.UUID(int=43), since=at, last_at=at, **gone)
        operations.note_set_back(actor=Actor.system("set-back"))
        LogAlarm.objects.filter(pk=uuid.UUID(int=43)).delete()

    def _set_up(self) -> None:
        w, pk = self.world, self.world.tenant().pk
        self.step("stella tests the mail")
        operations.send_test_mail(actor=w.as_("stella", door="admin"))
        self.step("stella confirms the copy of the log's key")
        Installation.objects.update(key_copy_hash="5f" * 32)
        operations.confirm_key_copy(characters="5f5f", actor=w.as_("stella", door="admin"))
        self.step("ines makes another recovery key, and confirms it")
        key = operations.make_recovery_key(pk, actor=w.as_("ines")).key
        operations.confirm_recovery_key(pk, characters=key[-4:], actor=w.as_("ines"))
        self.forget()
        self.step("ines confirms the key of the log")
        newest = LogKey.objects.order_by("-first_used_at").values_list("pk", flat=True)[0]
        ending = operations.fingerprint(bytes(newest))[-4:]
        operations.confirm_log_key(pk, characters=ending, actor=w.as_("ines"))
        self.step("stella finds resources")
        operations.find_resources(
            pk, service_id=w.id("service", "exchange-online"), actor=w.as_("stella", door="admin")
        )
        self.step("stella tests a resource")
        operations.check_resource(w.id("resource", "contoso finance"), actor=w.as_("stella", door="admin"))

    def _imports(self) -> None:
        w = self.world
        self.step("stella imports a file")
        lines = (
            "tenant,tenant_name,plan,service,external_id,kind,name,locator",
            "adatum,Adatum,E5,exchange-online,a-1,mailbox,ann@adatum.example,adatum/mail/ann",
            "contoso,,,exchange-online,c-1,mailbox,tax@contoso.example,contoso/mail/tax",
        )
        source = csv_files.source("\n".join(lines).encode(), file_name="resources.csv")
        row = operations.start_import(source, actor=w.as_("stella", door="admin"))
        assert row is not None
        self.step("the rows are written")
        operations.run_import(row.pk, actor=Actor.system("import"))
        self.step("a file on the server prepares an invitation")
        email, operator = "omar@provider.example", dataclasses.replace(Actor.system("import"), door="command")
        role = {"email": email, "queue": "exchange-online", "role": "engineer"}
        source = Source([Row(1, PERSON.name, {"email": email}), Row(2, ROLE.name, role)], file_name="world.yaml")
        row = operations.start_import(source, actor=operator)
        assert row is not None
        operations.run_import(row.pk, actor=operator)

    def _keys_for_tokens(self) -> None:
        system = Actor.system("sweep")
        # An RSA key can't be made from its name alone, so both algorithms have keys of one kind.
        self.patch.setattr(token_keys, "_KINDS", dict.fromkeys(token_keys.ALGORITHMS, "OKP"))
        for step, is_theft in (("keys for tokens are made", False), ("keys for tokens are stolen", True)):
            self.step(step)
            self.patch.setattr(token_keys, "generated", lambda alg, step=step: token_key(f"{step} {alg}"))
            operations.roll_token_keys(is_due_only=False, at_once=is_theft, actor=system)
        self.step("somebody writes a key for tokens into the database")
        at, times = clock.now(), ("published_at", "signs_from")
        theirs = token_keys.TokenKey(kid="forged", alg="EdDSA", number=9, public={}, **dict.fromkeys(times, at))
        theirs.save()
        operations.roll_due_token_keys(actor=system)
        theirs.delete()

    def _grant_tokens(self) -> None:
        """Use the short signature: the golden keys are Ed25519 keys, whose signatures have no random part."""
        w, pk = self.world, self.world.tenant().pk
        self.step("stella adds a service whose application has a guard")
        staff = w.as_("stella", door="admin")
        quillo = operations.save_service(actor=staff, key="quillo", name="Quillo Cloud", **QUILLO)
        notes: dict[str, Any] = {"kind": "workspace", "name": "notes of contoso", "external_id": "7"}
        place = operations.save_resource(actor=staff, tenant_id=pk, service_id=quillo.pk, **notes)
        for name, role in (("priya", "engineer"), ("pat", "provider_approver")):
            who = {"person": w.person(name), "service": quillo, "role": role, "given_at": clock.now()}
            QueueAssignment.objects.create(**who)
        made = operations.create_client(name="Quillo", scopes=["grants:read"], actor=w.as_("stella"))
        Client.objects.filter(pk=made.row.pk).update(scopes=["guard"], service=quillo)
        self.step("priya asks for a window in the application")
        asked: dict[str, Any] = {"level": "read", "window_for": 1800, "tried": TRIED, "justification": WHY}
        ask = operations.Ask(ticket_id=self.ticket(service_id=quillo.pk).pk, resource_ids=[place.pk], **asked)
        row = operations.submit(ask, actor=w.as_("priya"))
        self.step("pat approves the window in the application")
        operations.approve_as_provider(row.pk, actor=w.as_("pat"), note="No other way.")
        if row.tenant.lockbox_on:
            self.step("ada approves the window in the application")
            operations.approve_as_customer(row.pk, actor=w.as_("ada"))
        self.step("priya gets a grant token")
        operations.issue_grant_token(row.grant.pk, alg="EdDSA", actor=w.as_("priya"))
        self.step("the application renews the grant token that priya's browser brought")
        way = WayIn(w, Client.objects.select_related("account").get(pk=made.row.pk), row.grant)
        self.patch.setattr(grant_tokens, "ALGORITHMS", ("EdDSA",))
        operations.renew_grant_token(way.token().token, actor=actor_of_client(Client.objects.get(pk=made.row.pk)))
        self.step("priya's browser comes in, and somebody uses its code again")
        code = way.issue()
        way.redeem(code)
        self.refused(errors.CodeUsed, lambda: way.redeem(code))

    def _drafts(self) -> None:
        """A client drafts two access requests for Priya. She discards one draft, and the other one ends."""
        w = self.world
        self.step("a client that may only ask")
        client = operations.create_client(name="Drafts", scopes=["grants:read"], actor=w.as_("stella")).row
        Client.objects.filter(pk=client.pk).update(scopes=["requests:ask"])
        token = operations.issue_access_token(client, scopes=frozenset({Scope.REQUESTS_ASK})).row
        ticket = self.ticket(service_id=Service.objects.get(key="binders").pk)
        resource = Resource.objects.get(service__key="binders", tenant=w.tenant())
        priya = w.person("priya")
        self.step("the client drafts an access request")
        ends_at = clock.now() + dt.timedelta(minutes=10)
        who: dict[str, Any] = {
            "client_id": client.pk,
            "engineer_id": priya.pk,
            "resource_id": resource.pk,
            "tenant_id": w.tenant().pk,
        }
        wanted: dict[str, Any] = {"level": "read", "window_for": 1800, "tried": TRIED, "justification": WHY}
        rows = []
        for number in (7, 8):
            denial = Denial(number=uuid.UUID(int=number), asked={"context": {}}, ends_at=ends_at, **who)
            draft = operations.Draft(ticket_id=ticket.pk, resource_id=resource.pk, denial=denial, **wanted)
            rows.append(operations.draft_access(draft, actor=in_name_of(actor_of_token(token), priya)))
        self.leave()
        self.step("priya discards the first draft")
        operations.discard_draft(rows[0].pk, actor=w.as_("priya"))
        self.step("the time of the second draft is over")
        AccessDraft.objects.filter(pk=rows[1].pk).update(expires_at=clock.now())
        operations.expire_draft(rows[1].pk, actor=Actor.system("sweep"))
        self.leave()

    def _an_application(self) -> None:
        """The application of an external service reports what happened there, and then falls silent."""
        w = self.world
        self.step("stella adds an external service")
        service = operations.save_service(actor=w.as_("stella"), key="binders", name="Binders", **QUILLO)
        resource = operations.save_resource(
            actor=w.as_("stella"),
            tenant_id=w.tenant().pk,
            service_id=service.pk,
            kind="workspace",
            name="notes",
            external_id="8",
        )
        for name, role in (("priya", "engineer"), ("pat", "provider_approver")):
            QueueAssignment.objects.create(service=service, person=w.person(name), role=role, given_at=clock.now())
        self.step("its application gets a client")
        made = operations.create_client(name="Binders", scopes=["grants:read"], actor=w.as_("stella"))
        Client.objects.filter(pk=made.row.pk).update(scopes=["guard"], service=service)
        client = Client.objects.get(pk=made.row.pk)
        operations.issue_access_token(client, scopes=frozenset({Scope.GUARD}))
        actor = dataclasses.replace(actor_of_token(client.account.tokens.get()), door="api")
        self.step("mia opens a ticket about the notes")
        ticket = operations.open_ticket(
            operations.Report(tenant_id=w.tenant().pk, service_id=service.pk, title="Notes", body=WHY),
            actor=w.as_("mia"),
        )
        self.forget()
        self.step("the notes: submitted")
        ask = operations.Ask(
            ticket_id=ticket.pk,
            resource_ids=[resource.pk],
            level="read",
            window_for=3600,
            tried=TRIED,
            justification=WHY,
        )
        row = operations.submit(ask, actor=w.as_("priya"))
        self.step("the notes: approved")
        operations.approve_as_provider(row.pk, actor=w.as_("pat"), note="No other way.")
        operations.approve_as_customer(row.pk, actor=w.as_("ada"))
        self.forget()
        grant = Grant.objects.get(access_request=row)

        jti = token_ids.made(grant.pk, grant.engineer_id)

        def reported(first: int, *accesses: tuple[str, dt.datetime]) -> None:
            found = [
                ReportedAccess(grant.pk, resource.pk, grant.engineer_id, jti, "view", item, at, Kind.ACCESS, "")
                for item, at in accesses
            ]
            report = Report(GUARD, LIFE, "golden/1", first, 0, found)
            operations.report_accesses(report, actor=actor)

        self.step("the application reports")
        reported(1, ("GET /w/{id}", clock.now()), ("GET /w/{id}/pages", clock.now()))
        self.step("it reports what can't be", minutes=1)
        reported(3, ("GET /w/{id}", grant.opens_at - dt.timedelta(minutes=5)))
        self.leave()
        self.step("it is silent", minutes=3)
        sweeps.announce_silent_guards(actor=Actor.system("silent-guards"))
        self.leave()
        self.step("priya gives the window of the notes back")
        last = clock.now()
        operations.release(row.pk, actor=w.as_("priya"), note="Found it.")
        self.forget()
        self.step("it reports late", minutes=3)
        reported(4, ("GET /w/{id}", last - dt.timedelta(minutes=1)))
        self.step("the mail about it is due", minutes=3)
        self.leave()

    def _gates(self) -> None:
        stella, rules = self.world.as_("stella", door="admin"), "view GET /pads/{resource}/**"
        self.step("stella adds a web tool")
        tool: dict[str, Any] = {"key": "pad", "name": "Pad", "connector": "external", "application": "Pad"}
        link = "https://pad.example/pads/{external_id}/"
        service = operations.save_service(**tool, link_template=link, gate_rules=rules, actor=stella)
        self.step("stella adds its proxy")
        stella = self.world.as_("stella", door="admin")
        row = self.proposed(
            lambda: operations.add_proxy(service.pk, name="Frankfurt", secret_hash="5" * 64, actor=stella)
        )
        self.step("sten confirms the proxy")
        operations.confirm_proposal(row, actor=self.world.as_("sten", door="admin"))
        self.step("three days after the proxy", hours=73)
        operations.apply_due(actor=Actor.system("sweep"), limit=10)
        self.step("stella removes it")
        operations.remove_proxy(GateProxy.objects.get().pk, actor=self.world.as_("stella", door="admin"))
        self.forget()

    def _levels(self) -> None:
        w, pk = self.world, self.world.tenant().pk
        self.step("ines rules a level out")
        operations.rule_out_level(pk, level="view", actor=w.as_("ines"))
        self.leave()
        self.step("ines allows it again")
        operations.allow_level(pk, level="view", actor=w.as_("ines"))
        self.forget()
