"""Mails of every topic, to each kind of recipient: both parts have the right facts, in the reader's time zone."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core import mail
from django.test import Client

from requests_app import operations
from requests_app.domain import clock, link_secrets
from requests_app.domain.actors import Actor
from requests_app.domain.errors import ChangeProposed
from requests_app.domain.scopes import Scope
from requests_app.doors.web._log_patterns import CAUSES
from requests_app.identity.factors import KeepsRecoveryCodes, drops_all, drops_totp, keeps_totp
from requests_app.messages.mails._access import _cause
from requests_app.messages.topics import Topic
from requests_app.models import ContentAccess, Grant, Invitation, Membership, Proposal, Tenant
from requests_app.operations import sweeps
from requests_app.operations._stream_settings import Delivery, Wanted
from requests_app.queries import restored
from tests.api.test_scim import ops
from tests.caller import caller_for, service_of
from tests.cast import JUSTIFICATION, TRIED, Cast
from tests.factors import SECRET
from tests.imports.files import MAIL, imported
from tests.notifications.conftest import Mails, parts, says, silent
from tests.passkeys import enrolled
from tests.sources import files_in, text_of

pytestmark = pytest.mark.django_db


def look(cast: Cast, grant: Grant, *items: str, listed: int = 0) -> None:
    """Record accesses in a window as the operations do, but without content."""
    resource = grant.access_request.resources.get()
    common = {"tenant": cast.contoso, "grant": grant, "resource": resource, "at": clock.now()}
    for item in items:
        ContentAccess.objects.create(kind="opened", item_id=item, item_ref=f"<{item}@x>", **common)
    if listed:
        names = ContentAccess.objects.columns_of_list(grant, resource, [f"name {n}" for n in range(listed)])
        ContentAccess.objects.create(kind="listed", **names, **common)


def test_a_customers_approver_reads_who_what_why_until_when_and_what_if_not(world: Cast, mails: Mails) -> None:
    row = world.confirmed()
    found = mails.sent("ada", "decide_as_customer")
    assert found.subject == "Contoso: Microsoft asks to read 1 mailbox, answer by Wed 02:05 CET"
    says(
        found,
        "Priya Test, an engineer at Microsoft, asks to read messages in 1 mailbox (finance@contoso.example) "
        "for 2 hours",
        "Answer by Wed 25 Nov, 02:05 CET.",
        "If nobody answers by then, the access request expires and nobody gets access.",
        JUSTIFICATION,
        TRIED,
        row.reference,
        row.ticket.reference,
        "Invoices are missing",
        "Pat Test (Microsoft)",
        "No other way.",
        "2 hours",
        f"http://localhost:8000/access-requests/{row.pk}/",
        "You get this mail because of your role at Contoso.",
    )
    plain, html = parts(found)
    assert row.content_digest in plain.replace(" ", "")
    assert row.content_digest in html.replace(" ", "").replace("<br>", "")


def test_a_notification_address_gets_mails_in_the_tenants_time(world: Cast, mails: Mails) -> None:
    world.confirmed()
    found = mails.sent("soc", "decide_as_customer")
    assert found.subject == "Contoso: Microsoft asks to read 1 mailbox, answer by Wed 06:35 IST"
    says(found, "The answer is due by Wed 25 Nov, 06:35 IST.", "To approve or deny, an approver must sign in.")
    silent(found, "If you approve")


def test_a_law_enforcement_demand_is_named_as_one(world: Cast, mails: Mails) -> None:
    demand = operations.Demand(
        authority="District Court", instrument="Search warrant", reference="12 O 34/26", date=dt.date(2026, 11, 20)
    )
    ask = operations.Ask(
        demand=demand,
        tenant_id=world.contoso.pk,
        service_id=world.exchange.pk,
        resource_ids=[world.resource().pk],
        level="names",
        window_for=1800,
        tried="Asked for the court's own copy.",
        justification="The warrant names this mailbox.",
    )
    row = operations.submit(ask, actor=world.as_("priya"))
    operations.approve_as_provider(row.pk, actor=world.as_("pat"))
    found = mails.sent("ada", "decide_as_customer")
    assert found.subject == "Contoso: Microsoft asks to list the items in 1 mailbox, answer by Wed 02:05 CET"
    says(
        found,
        "The reason is a law-enforcement demand. The process is the same as for every other reason.",
        "Search warrant",
        "District Court",
        "12 O 34/26",
        "can see senders, dates and subjects, can’t open anything",
    )


def test_the_providers_approver_reads_what_the_approval_leads_to(world: Cast, mails: Mails) -> None:
    world.submitted()
    found = mails.sent("pat", "decide_as_provider")
    assert found.subject == "Contoso: Priya Test asks to read 1 mailbox, confirm by Wed 13:05 UTC"
    says(found, "Answer by Wed 25 Nov, 13:05 UTC.", "If you confirm, Contoso is asked next and has 12 hours to answer.")
    says(found, JUSTIFICATION, TRIED, "You get this mail because you confirm access requests of Exchange Online.")


def test_the_providers_approver_reads_that_a_tenant_without_lockbox_is_not_asked(world: Cast, mails: Mails) -> None:
    world.submitted("northwind")
    says(
        mails.sent("pat", "decide_as_provider"),
        "Northwind is not asked, because Lockbox is off",
        "If you confirm, a window of 2 hours opens immediately.",
    )


@pytest.mark.parametrize(
    ("hours", "left", "which"),
    [
        (1, "11 hours", "This is reminder 1 of 3."),
        (6, "6 hours", "This is reminder 2 of 3."),
        (11, "1 hour", "This is the last reminder."),
    ],
)
def test_a_reminder_says_which_it_is_and_how_long_is_left(
    world: Cast, mails: Mails, travel: Any, hours: int, left: str, which: str
) -> None:
    world.confirmed()
    travel.by(hours=hours, seconds=20)
    sweeps.remind_deciders(actor=world.system(), limit=10)
    mails.send("reminder")
    assert mails.to("reminder") == ["ada", "alan"]
    found = mails("ada", "reminder")
    assert found.subject == f"Contoso: answer to Microsoft due by Wed 02:05 CET ({left} left)"
    says(found, f"Nobody has answered yet: {left} left", which, "Answer by Wed 25 Nov, 02:05 CET.", JUSTIFICATION)


def test_a_customers_no_names_who_and_why_to_everybody_concerned(world: Cast, mails: Mails) -> None:
    row = world.confirmed()
    operations.deny_as_customer(row.pk, actor=world.as_("ada"), note="Not during the audit.")
    mails.send("access_request_ended")
    assert mails.to("access_request_ended") == ["ada", "alan", "bea", "pat", "paula", "priya", "soc"]
    found = mails("priya", "access_request_ended")
    assert found.subject == "Contoso: Microsoft’s access request to read 1 mailbox was denied"
    says(
        found,
        "You asked to read messages in 1 mailbox",
        "Ada Test (Contoso) denied the access request.",
        "Not during the audit.",
    )
    says(
        found,
        "If you still need access, submit a new access request",
        "Denied: nobody gets access",
        "Tue 24 Nov, 08:05 EST",
    )
    says(mails("alan", "access_request_ended"), "Priya Test asked to", "Tue 24 Nov, 14:05 CET")
    silent(mails("alan", "access_request_ended"), "still need access")


def test_a_providers_no_is_no_business_of_the_customers(world: Cast, mails: Mails) -> None:
    row = world.submitted()
    operations.deny_as_provider(row.pk, actor=world.as_("pat"), note="Ask for a screenshot first.")
    mails.send("access_request_ended")
    assert mails.to("access_request_ended") == ["bea", "pat", "paula", "priya"]
    says(
        mails("priya", "access_request_ended"),
        "Pat Test (Microsoft) denied the access request.",
        "Ask for a screenshot first.",
    )


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("submitted", "Nobody at Microsoft confirmed the access request by the deadline."),
        ("confirmed", "Nobody at Contoso answered by the deadline."),
    ],
)
def test_silence_says_whose_it_was(world: Cast, mails: Mails, travel: Any, stage: str, words: str) -> None:
    getattr(world, stage)()
    travel.by(hours=24)
    sweeps.expire_overdue(actor=world.system(), limit=10)
    found = mails.sent("priya", "access_request_ended")
    assert found.subject == "Contoso: Microsoft’s access request to read 1 mailbox expired"
    says(found, words, "Expired: nobody gets access")


def test_a_withdrawal_says_by_whom_and_why(world: Cast, mails: Mails) -> None:
    row = world.confirmed()
    operations.withdraw(row.pk, actor=world.as_("priya"), note="Solved without.")
    found = mails.sent("ada", "access_request_ended")
    assert found.subject == "Contoso: Microsoft’s access request to read 1 mailbox was withdrawn"
    says(found, "Priya Test withdrew the access request.", "Solved without.")


@pytest.mark.parametrize(
    "cause", ["closed", "resolved", "switched off", "role taken", "service off", "tenant off", "restored"]
)
def test_a_withdrawal_by_itself_says_why(world: Cast, mails: Mails, cause: str) -> None:
    row = world.confirmed()
    if cause == "closed":
        operations.close_ticket(row.ticket_id, actor=world.as_("mia"))
        words = "the ticket was closed"
    elif cause == "resolved":
        operations.assign_ticket(row.ticket_id, actor=world.as_("priya"))
        operations.resolve_ticket(row.ticket_id, actor=world.as_("priya"))
        words = "the ticket was resolved"
    elif cause == "switched off":
        operations.switch_off_person(world.priya.pk, actor=world.as_("stella"))
        words = "the engineer’s account was switched off"
    elif cause == "service off":
        operations.save_service(service_id=world.exchange.pk, is_active=False, actor=world.as_("stella"))
        words = "the service was switched off"
    elif cause == "tenant off":
        world.agreed(lambda: operations.switch_off_tenant(world.contoso.pk, actor=world.as_("stella")))
        words = "the tenant was switched off"
    elif cause == "restored":
        at = clock.now()
        operations.restored(backup_id=UUID(int=41), taken_at=at - dt.timedelta(hours=1), at=at)
        words = "the installation was restored from a backup"
    else:
        operations.take_queue_role(world.exchange.pk, world.priya.pk, role="engineer", actor=world.as_("stella"))
        words = "the engineer was removed from the queue of this service"
    sentence = f"The access request was withdrawn automatically, because {words}."
    says(mails.sent("ada", "access_request_ended"), sentence)
    if cause != "switched off":  # then the engineer gets no mail
        says(mails("priya", "access_request_ended"), sentence)


def test_every_cause_of_an_automatic_end_has_its_words_in_mails_and_in_the_log() -> None:
    """Without words, a mail would say that the engineer withdrew it."""
    causes = {
        cause
        for path in files_in("requests_app/operations")
        for cause in re.findall(r'\bend_access\([^\n]*cause="([\w-]+)"', text_of(path))
    }
    assert len(causes) > 8
    assert sorted(causes - set(CAUSES)) == []
    assert [cause for cause in sorted(causes) if not _cause({"cause": cause})] == []


def test_an_open_window_says_until_when_to_each_in_their_own_words(world: Cast, mails: Mails) -> None:
    world.opened()
    mails.send("window_opened")
    theirs, mine = mails("ada", "window_opened"), mails("priya", "window_opened")
    assert theirs.subject == "Contoso: Microsoft can read 1 mailbox until Tue 16:05 CET"
    says(
        theirs, "Priya Test can read messages in 1 mailbox", "Tue 24 Nov, 16:05 CET", "can close the window at any time"
    )
    says(theirs, "Pat Test (Microsoft)", "Ada Test (Contoso)")
    assert mine.subject == "Contoso: you can read 1 mailbox until Tue 10:05 EST"
    says(mine, "Contoso immediately sees each item that you open.", "Tue 24 Nov, 10:05 EST")
    silent(mine, "can close the window at any time")
    silent(theirs, "was not asked")


def test_a_tenant_without_lockbox_gets_a_mail_that_a_window_opened_unasked(world: Cast, mails: Mails) -> None:
    world.opened("northwind")
    says(mails.sent("nils", "window_opened"), "Northwind was not asked, because Lockbox is off", "Pat Test (Microsoft)")


def test_closing_soon_says_when_and_what_was_seen_so_far(world: Cast, mails: Mails, travel: Any) -> None:
    grant = world.opened()
    look(world, grant, "a", "b", listed=12)
    travel.by(hours=1, minutes=50)
    sweeps.announce_closing_soon(actor=world.system(), limit=10)
    mails.send("closing_soon")
    assert mails.to("closing_soon") == ["ada", "alan", "priya", "soc"]
    found = mails("ada", "closing_soon")
    assert found.subject == "Contoso: access window for 1 mailbox closes on Tue 16:05 CET"
    says(found, "The access window closes in 10 minutes", "So far: 2 messages read and 12 items listed in 1 mailbox.")
    says(mails("priya", "closing_soon"), "You can read messages", "submit a new access request")


def test_a_closed_window_is_summed_up(world: Cast, mails: Mails, travel: Any) -> None:
    grant = world.opened()
    # The message "c" is opened twice, and counts as one message.
    look(world, grant, "a", "b", "c", "c", listed=12)
    travel.by(hours=2)
    sweeps.close_elapsed(actor=world.system(), limit=10)
    mails.send("window_closed")
    assert mails.to("window_closed") == ["ada", "alan", "bea", "pat", "paula", "priya", "soc"]
    found = mails("ada", "window_closed")
    assert found.subject == "Contoso: access window closed, 3 messages read and 12 items listed in 1 mailbox"
    says(
        found,
        "The window closed automatically at its end.",
        "after 2 hours",
        "Tue 24 Nov, 16:05 CET",
    )


def test_a_window_that_was_not_used_says_so(world: Cast, mails: Mails) -> None:
    grant = world.opened()
    operations.release(grant.access_request_id, actor=world.as_("priya"), note="Found it in the service's log.")
    found = mails.sent("ada", "window_closed")
    assert found.subject == "Contoso: access window closed, nothing was opened or listed"
    says(found, "Priya Test closed the window early.", "Found it in the service's log.")
    says(mails("priya", "window_closed"), "You closed the window early.")


def test_a_window_closed_early_says_by_whom(world: Cast, mails: Mails) -> None:
    grant = world.opened()
    operations.revoke(grant.access_request_id, actor=world.as_("alan"), note="We have seen enough.")
    says(mails.sent("priya", "window_closed"), "Alan Test (Contoso) closed the window early.", "We have seen enough.")


def test_a_window_closed_with_its_ticket_says_so(world: Cast, mails: Mails) -> None:
    grant = world.opened()
    operations.close_ticket(grant.access_request.ticket_id, actor=world.as_("mia"))
    says(mails.sent("ada", "window_closed"), "The window closed early, because the ticket was closed.")


def test_a_new_ticket_goes_to_its_queue(world: Cast, mails: Mails) -> None:
    ticket = world.ticket()
    mails.send("ticket_opened")
    assert mails.to("ticket_opened") == ["bea", "erik", "priya"]
    found = mails("priya", "ticket_opened")
    assert found.subject == f"Contoso: new ticket {ticket.reference}, Invoices are missing"
    says(found, "Mia Test (Contoso) opened the ticket.", "Since Monday the search finds no invoice of November.")
    says(found, f"http://localhost:8000/tickets/{ticket.pk}/", "Tue 24 Nov, 08:05 EST")


def test_a_recorded_ticket_is_confirmed_to_whom_it_was_recorded_for(world: Cast, mails: Mails) -> None:
    ticket = world.ticket(by="priya", on_behalf_of_id=world.mia.pk)
    mails.send("ticket_recorded", "ticket_opened")
    assert mails.to("ticket_recorded") == ["mia"]
    found = mails("mia", "ticket_recorded")
    assert found.subject == f"Contoso: we recorded your ticket {ticket.reference}, Invoices are missing"
    says(found, "Priya Test (Microsoft) recorded in a ticket what you told", "the customer’s contact for this ticket")
    says(mails("erik", "ticket_opened"), "Priya Test (Microsoft) recorded the ticket for Mia Test (Contoso).")


def test_an_answer_goes_to_the_other_side(world: Cast, mails: Mails) -> None:
    ticket = world.ticket()
    operations.assign_ticket(ticket.pk, actor=world.as_("priya"))
    operations.ask_customer(ticket.pk, actor=world.as_("priya"), note="Which calendar?")
    mails.send("ticket_answered")
    assert mails.to("ticket_answered") == ["mia"]
    says(mails("mia", "ticket_answered"), "Which calendar?", "The ticket is waiting for an answer from Contoso.")
    operations.answer_ticket(ticket.pk, actor=world.as_("mia"), note="The shared one.")
    mails.send("ticket_answered")
    assert mails.to("ticket_answered") == ["priya"]
    says(
        mails("priya", "ticket_answered"),
        f"Mia Test (Contoso) answered on ticket {ticket.reference}",
        "The shared one.",
    )


def test_an_internal_note_never_leaves_by_mail(world: Cast, mails: Mails) -> None:
    ticket = world.ticket()
    operations.comment(ticket.pk, actor=world.as_("priya"), body="Canary: they never pay.", is_internal=True)
    mails.send("ticket_answered")
    assert mails.to("ticket_answered") == []


@pytest.mark.parametrize(
    ("on", "words"),
    [
        (False, "From now on, Microsoft does not ask Contoso for approval."),
        (True, "If nobody answers, Microsoft gets no access."),
    ],
)
def test_switching_lockbox_says_what_it_means(world: Cast, mails: Mails, travel: Any, on: bool, words: str) -> None:
    if on:
        operations.switch_lockbox(world.contoso.pk, on=False, actor=world.as_("ines"))
    mails.send("lockbox_switched")
    travel.by(seconds=1)
    operations.switch_lockbox(world.contoso.pk, on=on, actor=world.as_("ines"))
    mails.send("lockbox_switched")
    assert mails.to("lockbox_switched") == ["ada", "alan", "soc"]
    found = mails("ada", "lockbox_switched")
    assert found.subject == f"Contoso: Lockbox was switched {'on' if on else 'off'}"
    says(found, "Ines Test switched Lockbox", words, f"http://localhost:8000/tenant/{world.contoso.pk}/")


def test_deciders_never_change_without_a_mail(world: Cast, mails: Mails, travel: Any) -> None:
    operations.give_role(world.contoso.pk, world.mia.pk, role="approver", actor=world.as_("ines"))
    found = mails.sent("ada", "approvers_changed")
    assert found.subject == "Contoso: Mia Test is an approver now"
    says(found, "Ines Test made Mia Test an approver.", "mia@contoso.example", f"/tenant/{world.contoso.pk}/people/")
    travel.by(seconds=1)
    operations.take_role(world.contoso.pk, world.mia.pk, role="approver", actor=world.as_("ines"))
    found = mails.sent("ada", "approvers_changed")
    assert found.subject == "Contoso: Mia Test is no longer an approver"
    says(found, "Ines Test took the role of approver away from Mia Test.")


def test_a_machine_that_decides_never_begins_quietly(world: Cast, mails: Mails) -> None:
    operations.create_client(
        tenant_id=world.contoso.pk,
        name="Help desk",
        scopes=["decisions:write"],
        decides_for_id=world.ada.pk,
        actor=world.as_("ines"),
    )
    found = mails.sent("alan", "client_decides")
    assert mails.to("client_decides") == ["ada", "alan", "soc"]
    assert found.subject == "Contoso: an API client can now approve or deny for Ada Test"
    says(
        found,
        "Ines Test allowed the API client “Help desk” to approve and deny",
        "in the name of Ada Test",
        f"/tenant/{world.contoso.pk}/clients/",
    )


def test_a_link_to_a_new_password_goes_to_the_owner_of_the_address(world: Cast, mails: Mails) -> None:
    for email in ("ada@contoso.example", "nobody@contoso.example"):
        operations.ask_for_reset(email=email, actor=Actor.stranger(door="pages"))
    found = mails.sent("ada", "password_reset")
    assert mails.to("password_reset") == ["ada"]
    assert found.subject == "Set a new password"
    says(
        found,
        "Somebody asked for a new password for your account. Probably this was you.",
        "You get this mail because it is about your account.",
        f"http://localhost:8000/accounts/password/reset/key/{world.ada.pk.hex}-",
    )


def test_a_new_address_is_reported_to_both_addresses(world: Cast, mails: Mails) -> None:
    row = operations.request_address(email="lovelace@new.example", actor=world.as_("ada"))
    secret = link_secrets.of(row.pk, 1)
    found = mails.send()("lovelace", "address_link")
    assert found.subject == "Confirm your new address"
    says(
        found, "You asked to use this address for your account from now on.", f"http://localhost:8000/address/{secret}/"
    )
    found = mails("ada", "address_changed")
    assert found.subject == "A change of your address was requested"
    says(found, "asked to change the address of your account to lovelace@new.example", "set a new password immediately")
    silent(found, secret)
    mail.outbox.clear()
    operations.confirm_address(secret, actor=world.as_("ada"))
    found = mails.send()("ada", "address_changed")
    assert (found.subject, found.to) == ("Your address was changed", ["ada@contoso.example"])
    says(found, "From now on, nobody can sign in with the old address")


@pytest.mark.parametrize("name", ["ada", "otto", "pat"])
def test_only_the_holder_gets_a_mail_about_a_new_password(world: Cast, mails: Mails, travel: Any, name: str) -> None:
    """People of the provider get this mail too, although they belong to no tenant."""
    operations.set_password(actor=world.as_(name), password="another battery of 7 horses", how="change")
    found = mails.sent(name, "password_changed")
    assert mails.to("password_changed") == [name]
    assert found.subject == "Your password was changed"
    says(
        found,
        "by a person who knew the previous password",
        f"{world.people[name].email}",
        "You get this mail because it is about your account.",
        "http://localhost:8000/accounts/password/reset/",
    )
    travel.by(seconds=1)
    operations.set_password(actor=world.as_(name), password="a third battery of 8 horses", how="reset")
    says(mails.sent(name, "password_changed"), "through a link sent to this address")


def test_a_passkey_is_reported_to_its_holder_and_the_approvers(world: Cast, mails: Mails) -> None:
    row, _device = enrolled(world, "mia")
    found = mails.sent("alan", "passkeys_changed")
    assert mails.to("passkeys_changed") == ["ada", "alan", "mia", "soc"]
    assert found.subject == "Contoso: Mia Test added a passkey"
    says(
        found,
        "Phone",
        "added",
        "because of your role at Contoso",
        f"/tenant/{world.contoso.pk}/people/",
    )
    mine = mails("mia", "passkeys_changed")
    assert mine.subject == "A passkey was added to your account"
    says(mine, "If it was not you", "You get this mail because it is about your account.")
    operations.remove_passkey(row.pk, actor=world.as_("mia"))
    found = mails.sent("mia", "passkeys_changed")
    assert found.subject == "A passkey of your account was removed"
    says(found, "Mia Test", "Earlier approvals and denials that were signed with it stay signed.")
    enrolled(world, "pat")
    mails.send("passkeys_changed")
    assert mails.to("passkeys_changed") == ["pat"]


@pytest.mark.parametrize("name", ["otto", "mia"])
def test_only_the_holder_gets_a_mail_about_a_second_factor(world: Cast, mails: Mails, travel: Any, name: str) -> None:
    found = []
    for act, keep in (
        (operations.set_up_totp, keeps_totp(SECRET)),
        (operations.make_recovery_codes, KeepsRecoveryCodes()),
        (operations.remove_totp, drops_totp),
    ):
        act(actor=world.as_(name), keep=keep)
        found.append(mails.sent(name, "second_factor_changed"))
        travel.by(seconds=1)
    assert mails.to("second_factor_changed") == [name]
    assert [each.subject for each in found] == [
        "An authenticator app was set up for your account",
        "New recovery codes were created for your account",
        "The authenticator app was removed from your account",
    ]
    for each in found:
        says(each, "somebody knows your password. Change your password immediately", "http://localhost:8000/security/")


def test_a_reset_is_reported_to_its_holder_and_the_approvers(world: Cast, mails: Mails) -> None:
    operations.reset_second_factors(world.ada.pk, actor=world.as_("ines"), keep=drops_all)
    found = mails.sent("alan", "second_factor_changed")
    assert mails.to("second_factor_changed") == ["ada", "alan", "soc"]
    assert found.subject == "Contoso: the second factors of Ada Test were reset"
    says(found, "Ines Test", "If Ada Test did not ask for this", f"/tenant/{world.contoso.pk}/people/")
    mine = mails("ada", "second_factor_changed")
    assert mine.subject == "The second factors of your account were reset"
    says(mine, "Ines Test", "you are signed out everywhere", "If you did not ask for this", "/security/")


def test_single_sign_on_is_never_changed_or_passed_by_quietly(world: Cast, mails: Mails) -> None:
    inputs: dict[str, Any] = {
        "issuer": "https://idp.example",
        "client_id": "x",
        "client_secret": "x",
        "role_map": {},
    }
    connection = operations.Connection(**inputs, is_on=True, is_only=True, break_glass_id=world.ines.pk)
    operations.set_sign_on(world.contoso.pk, connection=connection, was=None, actor=world.as_("ines"))
    found = mails.send("sign_on_changed", "sign_on_bypassed")("ada", "sign_on_changed")
    assert mails.to("sign_on_changed") == ["ada", "alan", "ines", "soc"]
    assert found.subject == "Contoso: single sign-on was changed"
    says(found, "Ines Test changed the single sign-on of Contoso.", "idp.example", "/sign-on/")
    operations.note_bypass(actor=world.as_("ines"))
    found = mails.send("sign_on_changed", "sign_on_bypassed")("alan", "sign_on_bypassed")
    assert mails.to("sign_on_bypassed") == ["ada", "alan", "ines", "soc"]
    assert found.subject == "Contoso: Ines Test signed in without single sign-on"


def test_a_rule_about_levels_never_changes_without_a_mail(world: Cast, mails: Mails, travel: Any) -> None:
    ines, contoso = world.as_("ines"), world.contoso.pk
    operations.rule_out_level(contoso, level="view", actor=ines)
    found = mails.sent("ada", "level_rule_changed")
    assert mails.to("level_rule_changed") == ["ada", "alan", "ines", "soc"]
    assert found.subject == "Contoso: a level of access was ruled out"
    says(found, "Ines Test ruled out the level “view”", "can no longer ask", f"/tenant/{contoso}/levels/")
    travel.by(seconds=1)
    operations.allow_level(contoso, level="view", actor=ines)
    found = mails.sent("alan", "level_rule_changed")
    assert found.subject == "Contoso: a level of access was allowed"
    says(found, "Ines Test allowed the level “view”", "can ask for this level of access from now on")
    silent(found, "change, send and delete")
    travel.by(seconds=1)
    operations.allow_level(contoso, level="act_as", actor=ines)
    found = mails.sent("ada", "level_rule_changed")
    says(found, "an engineer acts in the name of Contoso’s users, and can change, send and delete things")


def test_a_restore_from_a_backup_is_reported_to_all_who_decide_and_to_staff(
    world: Cast, mails: Mails, travel: Any
) -> None:
    at, contoso = clock.now(), world.contoso.pk
    Membership.objects.update(given_at=at - dt.timedelta(days=1))
    operations.restored(backup_id=UUID(int=41), taken_at=at - dt.timedelta(hours=1), at=at)
    found = mails.sent("ines", "restored")
    assert {"ada", "alan", "ines", "soc", "finn", "frida", "nils", "noah", "stella"} == set(mails.to("restored"))
    assert found.subject == "Contoso: restored from a backup, please check and confirm"
    says(found, "Everything that was changed after", "roles that you took away", "In the backup, Lockbox is on.")
    says(found, "No window opens at Contoso until your people", f"/tenant/{contoso}/restored/")
    says(found, "the old one works again")
    says(mails("nils", "restored"), "In the backup, Lockbox is off.")
    staff = mails("stella", "restored")
    assert staff.subject == "Restored from a backup: confirm the people of Microsoft"
    says(staff, "No window opens at any customer until the staff of Microsoft", "/admin/restored/")
    silent(staff, "Lockbox is on")
    for name, words in (("ines", "a second person must confirm"), ("ada", "your people have confirmed")):
        travel.by(seconds=1)
        facts = restored.facts_of_tenant(Tenant.objects.get(pk=contoso), clock.now())
        operations.confirm_restored(contoso, shown=restored.digest(facts), actor=world.as_(name))
        found = mails.sent("alan", "restored_confirmed")
        assert words in found.subject
        says(found, "confirmed Lockbox, people, roles and mutes of Contoso", "Lockbox is on.")
    assert mails.to("restored_confirmed") == ["ada", "alan", "ines", "soc"]
    shown = restored.digest(restored.facts_of_provider())
    operations.confirm_restored_people(shown=shown, actor=world.as_("stella"))
    found = mails.sent("stella", "restored_confirmed")
    assert (found.subject, mails.to("restored_confirmed")) == (
        "The staff of Microsoft have confirmed the restore",
        ["stella"],
    )
    says(found, "confirmed the people of Microsoft", "switch the account off now", "/admin/restored/")


def test_approval_requirements_never_change_without_a_mail(world: Cast, mails: Mails, travel: Any) -> None:
    """A mail reports each change of the approval page's address and passkeys, and of the rule for approvals.

    A change under two-person control also causes a mail when it is applied.
    """
    ines, contoso = world.as_("ines"), world.contoso.pk
    operations.set_approval_page(contoso, origin="https://approvals.contoso.example", keys_only=False, actor=ines)
    found = mails.sent("ada", "yes_rules_changed")
    assert mails.to("yes_rules_changed") == ["ada", "alan", "ines", "soc"]
    assert found.subject == "Contoso: the approval page was changed"
    says(
        found,
        "Ines Test changed the address of Contoso’s own approval page",
        "approvals.contoso.example",
        "before: none",
        "approvals that are given on this approval page or on the pages of Customer Lockbox",
        "at the address that you have saved yourself",
        f"/tenant/{contoso}/approval-page/",
    )
    assert "https://approvals" not in found.body
    travel.by(seconds=1)
    operations.set_approval_page(
        contoso, origin="https://evil.contoso.example", rp_id="contoso.example", keys_only=False, actor=ines
    )
    says(
        mails.sent("alan", "yes_rules_changed"),
        "evil.contoso.example",
        "before: approvals.contoso.example",
        "contoso.example",
    )
    enrolled(world, "ada")
    travel.by(seconds=1)
    operations.set_yes_rule(contoso, rule="signed", actor=ines)
    found = mails.sent("ada", "yes_rules_changed")
    assert found.subject == "Contoso: the approval requirements were changed"
    says(found, "signed with a passkey", "before: signed or not")
    operations.set_two_person_control(contoso, on=True, actor=ines)
    mails.send("yes_rules_changed")
    travel.by(seconds=1)
    with pytest.raises(ChangeProposed) as held:
        operations.set_approval_page(contoso, origin="", keys_only=False, actor=ines)
    mails.send("yes_rules_changed")
    assert mails.to("yes_rules_changed") == []
    assert "evil.contoso.example" in Tenant.objects.get(pk=contoso).approval_origin
    operations.confirm_proposal(held.value.current["proposal"], actor=world.as_("ada"))
    found = mails.sent("alan", "yes_rules_changed")
    says(found, "Ada Test changed the address of Contoso’s own approval page", "none", "before: evil.contoso.example")


@pytest.mark.parametrize(
    ("because", "words"),
    [("gone", "answered that its address no longer exists (410)"), ("failing", "For several days, every attempt")],
)
def test_a_webhook_that_is_given_up_is_reported_to_its_administrators(
    world: Cast, mails: Mails, because: str, words: str
) -> None:
    url, system = "https://hooks.contoso.example/canary-path?sig=canary", world.system("webhooks")
    mine = operations.add_webhook(world.contoso.pk, url=url, events=["*"], actor=world.as_("ines")).webhook
    operations.give_up_webhook(mine.pk, because=because, actor=system)
    found = mails.sent("ines", "webhook_off")
    assert mails.to("webhook_off") == ["ines"]
    assert found.subject == "Contoso: a webhook was switched off"
    says(
        found,
        "hooks.contoso.example",
        words,
        "You get this mail because you manage webhooks for Contoso.",
        f"http://localhost:8000/tenant/{world.contoso.pk}/webhooks/{mine.pk}/",
    )
    assert not any("canary" in part for part in parts(found))
    ours = operations.add_webhook(None, url=url, events=["*"], actor=world.as_("stella")).webhook
    operations.give_up_webhook(ours.pk, because=because, actor=system)
    says(mails.sent("stella", "webhook_off"), f"http://localhost:8000/admin/requests_app/webhook/{ours.pk}/change/")
    assert mails.to("webhook_off") == ["stella"]


def test_a_signal_stream_that_fails_is_reported_to_both_sides(world: Cast, mails: Mails) -> None:
    system, wanted = (
        world.system("webhooks"),
        Wanted(delivery=Delivery(is_push=True, url="https://signals.example/canary-path?sig=canary")),
    )
    mine = operations.create_stream(wanted, actor=service_of(world, "contoso", Scope.SSF_MANAGE))
    operations.report_failing_stream(mine.pk, actor=system)
    found = mails.sent("ines", "stream_failing")
    assert mails.to("stream_failing") == ["ines", "stella"]
    address = f"http://localhost:8000/admin/requests_app/signalstream/{mine.pk}/change/"
    says(mails("stella", "stream_failing"), "a signal stream of Contoso", "could last longer than its window", address)
    assert not any("signals.example" in part for part in parts(mails("stella", "stream_failing")))
    assert found.subject == "Contoso: a signal stream fails"
    address = f"http://localhost:8000/tenant/{world.contoso.pk}/signal-streams/{mine.pk}/"
    says(found, "signals.example", "does not learn that windows end", address, "because of your role at Contoso.")
    assert not any("canary" in part for part in parts(found))
    operations.give_up_stream(mine.pk, because="failing", actor=system)
    says(mails.sent("ines", "stream_failing"), "The stream is paused")
    ours = operations.create_stream(wanted, actor=service_of(world, None, Scope.SSF_MANAGE))
    operations.report_failing_stream(ours.pk, actor=system)
    address = f"http://localhost:8000/admin/requests_app/signalstream/{ours.pk}/change/"
    says(mails.sent("stella", "stream_failing"), address)
    # No window is open, so no customer needs to know.
    assert mails.to("stream_failing") == ["stella"]


def test_invitations_and_deputies_are_reported(world: Cast, mails: Mails) -> None:
    ines = world.as_("ines")
    operations.invite_person(world.contoso.pk, email="new@contoso.example", role="approver", actor=ines)
    found = mails.send("invitation", "recovery_key", "out_of_office")("new", "invitation")
    assert found.subject == "Contoso invites you to Customer Lockbox"
    says(
        found,
        "Ines Test, of Contoso, invites you to Customer Lockbox.",
        "It can be used once, and only for this address",
        "new@contoso.example",
    )
    silent(found, "Microsoft invites")
    key = operations.make_recovery_key(world.contoso.pk, actor=ines).key
    found = mails.send("invitation", "recovery_key", "out_of_office")("mia", "recovery_key")
    assert found.subject == "Contoso: a new recovery key"
    silent(found, key)
    operations.use_recovery_key(key, email="next@contoso.example", actor=Actor.stranger(door="pages"))
    mails.send("invitation", "recovery_key", "out_of_office")
    assert mails.to("recovery_key") == ["ada", "alan", "ines", "mia", "otto", "soc"]
    found = mails("soc", "recovery_key")
    assert found.subject == "Contoso: somebody used your recovery key"
    says(found, "next@contoso.example becomes an administrator of Contoso, unless")
    at = clock.now()
    operations.set_out_of_office(
        world.contoso.pk,
        deputy_id=world.alan.pk,
        from_at=at,
        until_at=at + dt.timedelta(days=1),
        actor=world.as_("ada"),
    )
    found = mails.send("invitation", "recovery_key", "out_of_office")("alan", "out_of_office")
    says(found, "Ada Test is out of the office from", "Alan Test also gets the mails about access requests")


def test_an_invitation_of_the_providers_staff_says_who_invites(world: Cast, mails: Mails) -> None:
    Membership.objects.filter(tenant=world.contoso, role__in=("administrator", "approver")).delete()
    stella = world.as_("stella")
    operations.invite_person(world.contoso.pk, email="first@contoso.example", role="administrator", actor=stella)
    found = mails.sent("first", "invitation")
    assert found.subject == "Microsoft invites you to Customer Lockbox, for Contoso"
    says(
        found,
        "Stella Test, on the staff of Microsoft, invites you to Customer Lockbox.",
        "You get this mail because the staff of Microsoft invited your address to Contoso.",
    )
    silent(found, "somebody at Contoso", "Contoso invites")
    page = Client().get(f"/invitation/{world.link_of(Invitation.objects.get())}/").content.decode()
    assert "<h1>Microsoft invites you, for <bdi" in page
    assert "Stella Test, on the staff of Microsoft" in page


def test_an_invitation_of_a_colleague_says_role_queues_and_time_in_the_readers_zone(world: Cast, mails: Mails) -> None:
    wanted: dict[str, Any] = {"role": "engineer", "services": [world.exchange.pk], "time_zone": "America/New_York"}
    row = operations.invite_colleague(email="sam@provider.example", actor=world.as_("stella"), **wanted)
    found = mails.sent("sam", "invitation")
    assert found.subject == "Microsoft invites you to Customer Lockbox"
    says(
        found,
        "Stella Test, on the staff of Microsoft, invites you to Customer Lockbox.",
        "You get the role later: another member of the staff of Microsoft must confirm the role",
        "Engineer: works on tickets, and asks customers for access",
        "Exchange Online",
        " EST",
        "You get this mail because the staff of Microsoft invited your address.",
        "If you do not expect this invitation",
    )
    silent(found, " UTC", "Contoso", "None")
    page = Client().get(f"/invitation/{world.link_of(row)}/").content.decode()
    for words in ("Stella Test, on the staff of Microsoft", "Engineer", "Exchange Online", "You get the role"):
        assert words in page


def test_a_mute_is_reported_to_all_approvers(world: Cast, mails: Mails) -> None:
    rows = [world.confirmed() for _ in range(2)]
    mails.send("mute", "access_request_ended")
    row = operations.deny_all_and_mute(
        world.contoso.pk, engineer_id=world.priya.pk, hours=4, note="Who are you?", actor=world.as_("ada")
    )
    mails.send("mute", "access_request_ended")
    assert mails.to("mute") == ["ada", "alan", "soc"]
    found = mails("alan", "mute")
    assert found.subject.startswith("Contoso: access requests denied, Priya Test muted until ")
    says(found, "Ada Test denied 2 access requests that were waiting for Contoso.", "Who are you?")
    says(found, *[row.reference for row in rows])
    assert mails.to("access_request_ended") == [name for name in ("bea", "pat", "paula", "priya") for _ in range(2)]
    operations.lift_mute(row.pk, actor=world.as_("alan"))
    found = mails.send("mute", "access_request_ended")("ada", "mute")
    assert found.subject == "Contoso: the mute of Priya Test has ended"
    says(found, "Alan Test ended the mute early.")


def test_a_mute_that_was_lifted_before_its_mail_left_is_not_reported_as_live(world: Cast, mails: Mails) -> None:
    row = operations.deny_all_and_mute(world.contoso.pk, engineer_id=None, hours=4, actor=world.as_("ada"))
    operations.lift_mute(row.pk, actor=world.as_("alan"))
    mails.send()
    subjects = {found.subject for found in mail.outbox if found.to[0].startswith("ada@")}
    assert subjects == {
        "Contoso: everybody at Microsoft was muted",
        "Contoso: the mute of everybody at Microsoft has ended",
    }


def test_a_proposal_is_reported_to_everybody_who_can_confirm_it(world: Cast, mails: Mails) -> None:
    ines = world.as_("ines")
    operations.set_two_person_control(world.contoso.pk, on=True, actor=ines)
    with pytest.raises(ChangeProposed) as outcome:
        operations.give_role(world.contoso.pk, world.mia.pk, role="approver", actor=ines)
    mails.send("proposal")
    assert mails.to("proposal") == ["ada", "alan", "ines", "soc"]
    found = mails("ada", "proposal")
    assert found.subject == "Contoso: Ines Test proposes a change"
    says(found, "Ines Test proposes to give Mia Test the role “Approver”.", f"/tenant/{world.contoso.pk}/proposals/")
    operations.confirm_proposal(outcome.value.current["proposal"], actor=world.as_("ada"))
    found = mails.sent("ines", "proposal")
    says(found, "Ada Test confirmed the change that Ines Test proposed", "The change has been made.")


def test_a_staff_change_is_reported_to_every_affected_tenant(world: Cast, mails: Mails, travel: Any) -> None:
    world.colleague()
    row = world.exchange
    wanted: dict[str, Any] = {"key": row.key, "name": row.name, "connector": row.connector, "is_covered": False}
    with pytest.raises(ChangeProposed) as outcome:
        operations.save_service(service_id=row.pk, **wanted, actor=world.as_("stella"))
    mails.send("staff_change")
    assert mails.to("staff_change") == ["ada", "alan", "finn", "frida", "ines", "soc"]
    found = mails("ada", "staff_change")
    assert found.subject.startswith("Contoso: Microsoft plans to change the service Exchange Online: Lockbox no longer")
    says(
        found,
        "Stella Test at Microsoft plans a change",
        "Lockbox no longer covers this service",
        "takes effect 3 days after",
    )
    says(found, "proposes to change the service Exchange Online", f"/tenant/{world.contoso.pk}/")
    travel.by(seconds=1)
    operations.confirm_proposal(outcome.value.current["proposal"], actor=world.as_("sten"))
    found = mails.sent("frida", "staff_change")
    says(found, "Sten Test at Microsoft confirmed the change that Stella Test proposed", "The change takes effect on")
    travel.by(hours=72)
    operations.apply_due(actor=world.system("sweep"), limit=10)
    found = mails.sent("ines", "staff_change")
    assert found.subject == "Contoso: an announced change by Microsoft took effect"


def test_the_mail_about_an_import_begins_with_what_happens_to_the_reader(world: Cast, mails: Mails) -> None:
    """The reader is not asked to know a file: its hash comes last."""
    world.colleague()
    imported(world, MAIL)
    row = imported(world, "contoso,,,,exchange-online,m-1,,counsel@contoso.example,,", "contoso,,Basic,,,,,,,")
    assert row is not None
    found = mails.sent("ada", "staff_change")
    moved = "move the tenant Contoso from the plan E5 to Basic, which does not include Lockbox"
    assert found.subject == f"Contoso: Microsoft plans to {moved} and 1 more change"
    says(found, "Stella Test plans 2 changes at Contoso", f"• {moved[0].upper()}{moved[1:]}", "• Rename the resource")
    text = " ".join(found.body.split())
    assert text.index("• Move the tenant") < text.index("• Rename the resource") < text.index("A second member of")
    assert text.index("A second member of") < text.index("SHA-256")


def test_a_change_by_staff_is_reported_to_the_colleagues_who_can_confirm_it(
    world: Cast, mails: Mails, travel: Any
) -> None:
    world.colleague()
    world.colleague("newcomer", hours=1)
    first_on = clock.now() - dt.timedelta(days=365)
    Tenant.objects.filter(pk=world.contoso.pk).update(lockbox_first_on_at=first_on)
    off = world.colleague("former")
    off.is_active = False
    off.save()
    row = world.exchange
    wanted: dict[str, Any] = {"key": row.key, "name": row.name, "connector": row.connector, "is_covered": False}
    with pytest.raises(ChangeProposed) as outcome:
        operations.save_service(service_id=row.pk, **wanted, actor=world.as_("stella"))
    mails.send("second_person")
    assert mails.to("second_person") == ["sten"]
    found = mails("sten", "second_person")
    proposal = outcome.value.current["proposal"]
    says(
        found,
        "Stella Test proposes to change the service Exchange Online",
        "Contoso",
        f"/admin/requests_app/proposal/{proposal}/change/",
    )
    assert found.subject == "Stella Test proposes a change that needs your confirmation"
    # One day before the end, there is one more mail. By then the newcomer can confirm, too.
    operations.remind_second(actor=world.system("remind"), limit=10)
    travel.by(days=6, seconds=1)
    assert operations.remind_second(actor=world.system("remind"), limit=10) == 1
    assert operations.remind_second(actor=world.system("remind"), limit=10) == 0
    mails.send("second_person")
    assert mails.to("second_person") == ["newcomer", "sten"]
    assert mails("newcomer", "second_person").subject == "Last day to confirm a change that Stella Test proposed"


def role_through_group(world: Cast) -> Proposal:
    """Return the role that Samir gets because a client of the provider put him into a mapped group."""
    stella = world.as_("stella")
    world.agreed(lambda: operations.map_group(world.exchange.pk, group="On call", role="engineer", actor=stella))
    calls = caller_for(world, None, Scope.MEMBERS_PROVISION)
    group = calls.get("/scim/v2/Groups").json()["Resources"][0]["id"]
    added = ops({"op": "add", "path": "members", "value": [{"value": str(world.samir.pk)}]})
    assert calls.patch(f"/scim/v2/Groups/{group}", added).status_code == 200
    return Proposal.objects.get(act="give_group_role")


def test_a_role_through_a_group_is_reported_to_all_staff_who_can_withdraw_it(world: Cast, mails: Mails) -> None:
    world.colleague()
    world.colleague("newcomer", hours=1)
    # Two people agreed on the mapping and on the client, because a customer had Lockbox on by then.
    before = clock.now() - dt.timedelta(days=1)
    Tenant.objects.filter(lockbox_on=True).update(lockbox_first_on_at=before)
    proposal = role_through_group(world)
    mails.send("second_person")
    assert mails.to("second_person") == ["newcomer", "stella", "sten"]
    found = mails("sten", "second_person")
    says(
        found,
        "Nobody has to confirm this change.",
        "Every member of the staff can withdraw it until",
        "plans to give Samir Test the role “Engineer” for Exchange Online",
        f"/admin/requests_app/proposal/{proposal.pk}/change/",
    )
    assert "confirm" not in found.subject
    assert found.subject.endswith("announces a role that you can withdraw")
    assert "To be confirmed by" not in found.body


def test_a_role_through_a_group_that_one_human_mapped_is_reported_to_those_who_can_confirm(
    world: Cast, mails: Mails
) -> None:
    """Like every role that needs a second person: nothing happens until somebody else agrees."""
    world.colleague()
    first = clock.now() + dt.timedelta(hours=1)
    Tenant.objects.filter(lockbox_on=True).update(lockbox_first_on_at=first)
    proposal = role_through_group(world)
    assert (proposal.effective_at, proposal.is_through_group) == (None, False)
    mails.send("second_person")
    assert mails.to("second_person") == ["sten"]
    found = mails("sten", "second_person")
    says(found, "To be confirmed by", "give Samir Test the role “Engineer” for Exchange Online")
    silent(found, "Nobody has to confirm this change.")
    assert found.subject.endswith("proposes a change that needs your confirmation")


def takes_effect(world: Cast, row: Invitation) -> None:
    """Confirm the role of this invitation, and sweep when its waiting time is over."""
    operations.confirm_proposal(row.proposal_id, actor=world.as_("sten"))
    world.made_due(lambda: None)
    operations.apply_due(actor=world.system("sweep"), limit=10)


def accepted(world: Cast, row: Invitation) -> Invitation:
    secret, stranger = world.link_of(row), Actor.stranger(door="pages")
    operations.accept_invitation(
        secret, name="New Colleague", password="a long and unheard-of phrase 7", actor=stranger
    )
    row.refresh_from_db()
    return row


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ("engineer", "You are an engineer of Exchange Online, SharePoint Online now"),
        ("provider_approver", "You are a provider approver of Exchange Online, SharePoint Online now"),
        ("staff", "You are on the staff of Microsoft now"),
    ],
)
def test_a_person_reads_once_that_a_role_that_was_announced_takes_effect(
    world: Cast, mails: Mails, role: str, words: str
) -> None:
    world.colleague()
    services = [] if role == "staff" else [world.exchange.pk, world.sharepoint.pk]
    stella = world.as_("stella")
    row = operations.invite_colleague(email="new@provider.example", role=role, services=services, actor=stella)
    takes_effect(world, accepted(world, row))
    mails.send("role_given")
    assert mails.to("role_given") == ["new"]
    found = mails("new", "role_given")
    assert found.subject == words
    says(found, words, "It has taken effect.", "You get this mail because it is about your account.")


def test_a_role_that_a_person_no_longer_has_is_not_reported_to_them(world: Cast, mails: Mails) -> None:
    world.colleague()
    stella, queue = world.as_("stella"), [world.exchange.pk]
    row = operations.invite_colleague(email="new@provider.example", role="engineer", services=queue, actor=stella)
    takes_effect(world, accepted(world, row))
    person = row.accepted_by
    assert person is not None
    operations.take_queue_role(world.exchange.pk, person.pk, role="engineer", actor=stella)
    mails.send("role_given")
    assert mails.to("role_given") == []


def test_a_role_that_nobody_had_to_wait_for_is_not_reported(world: Cast, mails: Mails) -> None:
    world.peaceful()
    stella, queue = world.as_("stella"), [world.exchange.pk]
    row = operations.invite_colleague(email="new@provider.example", role="engineer", services=queue, actor=stella)
    person = accepted(world, row).accepted_by
    assert person is not None
    assert person.queue_assignments.count() == 1
    mails.send("role_given")
    assert mails.to("role_given") == []


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ("engineer", "Contoso: New Colleague is an engineer of Exchange Online now"),
        ("provider_approver", "Contoso: New Colleague is a provider approver of Exchange Online now"),
        ("staff", "Contoso: New Colleague is on the staff of Microsoft now"),
    ],
)
def test_a_customer_hears_that_an_invitation_from_before_lockbox_is_accepted(
    world: Cast, mails: Mails, role: str, words: str
) -> None:
    world.peaceful()
    Tenant.objects.update(lockbox_first_on_at=None)
    row = world.invited_colleague(role=role)
    operations.switch_lockbox(world.contoso.pk, on=True, actor=world.as_("ines"))
    accepted(world, row)
    mails.send("provider_joined")
    assert mails.to("provider_joined") == ["ada", "alan", "ines", "soc"]
    found = mails("ada", "provider_joined")
    assert found.subject == words
    says(found, "was open when Contoso first switched Lockbox on", row.email, "Stella Test", "See the log")


def test_a_role_through_a_group_is_reported_to_its_holder_when_it_takes_effect(world: Cast, mails: Mails) -> None:
    role_through_group(world)
    world.made_due(lambda: None)
    operations.apply_due(actor=world.system("sweep"), limit=10)
    mails.send("role_given")
    assert mails.to("role_given") == ["samir"]
    assert mails("samir", "role_given").subject == "You are an engineer of Exchange Online now"


def test_nobody_is_asked_for_a_confirmation_that_is_not_needed_any_more(world: Cast, mails: Mails) -> None:
    world.colleague()
    row = world.exchange
    wanted: dict[str, Any] = {"key": row.key, "name": row.name, "connector": row.connector, "is_covered": False}
    with pytest.raises(ChangeProposed) as outcome:
        operations.save_service(service_id=row.pk, **wanted, actor=world.as_("stella"))
    operations.confirm_proposal(outcome.value.current["proposal"], actor=world.as_("sten"))
    mails.send("second_person")
    assert mails.to("second_person") == []


def test_a_change_that_a_client_proposed_is_reported_as_the_clients(world: Cast, mails: Mails) -> None:
    caller = caller_for(world, None, Scope.PROVISION)
    assert caller.patch(f"services/{world.exchange.pk}", {"is_covered": False}).status_code == 202
    found = mails.sent("ada", "staff_change")
    says(found, "API client Help desk of Stella Test proposes to change the service Exchange Online")


def test_every_topic_is_proved_here() -> None:
    here = Path(__file__)
    source = "".join(path.read_text(encoding="utf-8") for path in (here, here.with_name("test_reports.py")))
    assert [topic for topic in Topic if f'"{topic.purpose}")' not in source] == []


@pytest.mark.parametrize("lockbox_on", [True, False])
def test_the_mail_about_an_allowed_level_says_who_decides(world: Cast, mails: Mails, *, lockbox_on: bool) -> None:
    world.quillo()
    operations.allow_level(world.contoso.pk, level="act_as", actor=world.as_("ines"))
    Tenant.objects.filter(pk=world.contoso.pk).update(lockbox_on=lockbox_on)
    says(
        mails.sent("ada", "level_rule_changed"),
        "Contoso’s approvers decide on each access request for a service that Lockbox covers"
        if lockbox_on
        else "Lockbox is off for Contoso, so Microsoft decides on each access request without asking Contoso.",
    )
