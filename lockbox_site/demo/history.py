"""Makes the tickets and access requests that the demo world has at its start."""

from __future__ import annotations

from lockbox_site.demo import people
from lockbox_site.demo.world import as_, resource
from requests_app import operations
from requests_app.domain import limits
from requests_app.models import AccessRequest, Grant, Service, Tenant, Ticket


def play() -> None:
    """Make tickets, and access requests in most of the states."""
    _closed_after_a_look()
    _waiting_for_the_customer()
    _open_now()
    _waiting_for_the_provider()
    _denied()
    _without_lockbox()
    _plain_tickets()


def _ticket(tenant: str, by: str, service: str, title: str, body: str, *, priority: str = "normal") -> Ticket:
    report = operations.Report(
        tenant_id=Tenant.objects.get(slug=tenant).pk,
        service_id=Service.objects.get(key=service).pk,
        title=title,
        body=body,
        priority=priority,
    )
    return operations.open_ticket(report, actor=as_(by))


def _submitted(
    ticket: Ticket, names: list[str], *, by: str, tried: str, why: str, level: str = "read", window_for: int = 7200
) -> AccessRequest:
    tenant = ticket.tenant.slug
    ask = operations.Ask(
        ticket_id=ticket.pk,
        resource_ids=[resource(tenant, name).pk for name in names],
        level=level,
        window_for=_offered(window_for, cap=ticket.tenant.window_cap),
        tried=tried,
        justification=why,
    )
    if ticket.state == "NEW":
        operations.assign_ticket(ticket.pk, actor=as_(by))
    return operations.submit(ask, actor=as_(by))


def _offered(wanted: int, *, cap: int) -> int:
    """Return the allowed window length (WINDOW_CHOICES_SECONDS) that is nearest to `wanted` and not above `cap`."""
    return min(limits.window_choices(cap), key=lambda choice: abs(choice - wanted))


def _closed_after_a_look() -> None:
    ticket = _ticket(
        "contoso",
        "mia.weber",
        people.EXCHANGE,
        "Search finds no invoice of November",
        "Since Monday the search in the finance mailbox finds nothing that arrived in November. "
        "Scrolling down, the invoices are there.",
        priority="high",
    )
    row = _submitted(
        ticket,
        ["finance"],
        by="priya.nair",
        tried="Rebuilt the search index twice, compared its size with last month's, read the indexer's own log.",
        why="The indexer skips messages without saying which. I need to see the headers of those that are missing "
        "to find what they have in common.",
        window_for=3600,
    )
    operations.approve_as_provider(
        row.pk, actor=as_("pat.doyle", fresh=True), note="Index rebuilt twice; the log does not name the messages."
    )
    operations.approve_as_customer(
        row.pk, actor=as_("ada.keller", fresh=True), note="Headers are fine. Thank you for asking."
    )
    grant = Grant.objects.get(access_request=row)
    _look(grant, "contoso", "finance", opens=3)
    operations.release(row.pk, actor=as_("priya.nair"), note="Found it: a malformed Date header.")
    operations.resolve_ticket(
        ticket.pk, actor=as_("priya.nair"), note="The sender's system writes a date that our indexer refused. Fixed."
    )


def _look(grant: Grant, tenant: str, name: str, *, opens: int) -> None:
    mailbox = resource(tenant, name)
    engineer = as_("priya.nair")
    _access, listing = operations.content.list_items(grant.pk, mailbox.pk, actor=engineer, limit=50)
    for item in [item for item in listing.items if item.kind == "message"][:opens]:
        operations.content.read_message(grant.pk, mailbox.pk, item.id, actor=engineer)


def _waiting_for_the_customer() -> None:
    ticket = _ticket(
        "contoso",
        "ada.keller",
        people.EXCHANGE,
        "Mails to sales arrive hours late",
        "Customers tell us that mails to sales@contoso.example arrive two to three hours after they were sent.",
    )
    row = _submitted(
        ticket,
        ["sales"],
        by="priya.nair",
        tried="Traced the transport of ten messages end to end; all reached the mailbox's store within seconds.",
        why="The delay happens inside the mailbox, after delivery. A rule or a retention tag is moving messages; "
        "I need to read a few of the late ones to see which.",
    )
    operations.approve_as_provider(
        row.pk, actor=as_("paula.reyes", fresh=True), note="Transport is proven clean. There is no other place to look."
    )


def _open_now() -> None:
    ticket = _ticket(
        "fabrikam",
        "fred.marsh",
        people.EXCHANGE,
        "Attachments open as empty files",
        "PDF attachments from one supplier open as empty files in every client.",
    )
    row = _submitted(
        ticket,
        ["support"],
        by="priya.nair",
        tried="Reproduced with test messages: they arrive whole. The customer's copy of a real one is empty.",
        why="The attachment is damaged in storage or on the way in. Comparing the stored message with the one "
        "that the supplier sent needs access to the stored one.",
        window_for=14400,
    )
    operations.approve_as_provider(
        row.pk, actor=as_("pat.doyle", fresh=True), note="Reproduction failed; storage it is."
    )
    operations.approve_as_customer(row.pk, actor=as_("frida.olsen", fresh=True))
    _look(Grant.objects.get(access_request=row), "fabrikam", "support", opens=1)


def _waiting_for_the_provider() -> None:
    ticket = _ticket(
        "contoso",
        "mia.weber",
        people.SHAREPOINT,
        "A contract cannot be checked in",
        "Checking in the new framework contract fails with an error that says only “something went wrong”.",
    )
    _submitted(
        ticket,
        ["Legal"],
        by="samira.haddad",
        tried="Checked quotas, permissions and the file's lock; all are as they should be.",
        why="The error points at a name in the library that the store cannot write. I need the names of the documents, "
        "not what is in them.",
        level="names",
        window_for=1800,
    )


def _denied() -> None:
    ticket = _ticket(
        "fabrikam",
        "frida.olsen",
        people.EXCHANGE,
        "Calendar invitations show the wrong hour",
        "Invitations from one partner are off by an hour since the clocks changed.",
        priority="low",
    )
    row = _submitted(
        ticket,
        ["sales"],
        by="erik.lund",
        tried="Asked for the time zone of the partner's server.",
        why="I would like to compare the invitations in the mailbox with what the partner has sent to it.",
    )
    operations.deny_as_provider(
        row.pk, actor=as_("paula.reyes", fresh=True), note="A forwarded invitation shows the same. Ask for one first."
    )


def _without_lockbox() -> None:
    ticket = _ticket(
        "northwind",
        "nora.quinn",
        people.SHAREPOINT,
        "Price list shows last year's prices",
        "The price list in the sales library shows last year's prices, although we replaced the file on Monday.",
    )
    row = _submitted(
        ticket,
        ["Sales"],
        by="samira.haddad",
        tried="Cleared the cache; the old version comes back after some minutes.",
        why="Two versions of the file seem to exist under names that look alike. I need to see what is stored.",
        window_for=1800,
    )
    operations.approve_as_provider(row.pk, actor=as_("pat.doyle", fresh=True), note="The cache is ruled out.")


def _plain_tickets() -> None:
    waiting = _ticket(
        "contoso",
        "mia.weber",
        people.EXCHANGE,
        "A shared mailbox is gone from my list",
        "The mailbox jobs@ was in my list until Friday.",
    )
    operations.assign_ticket(waiting.pk, actor=as_("erik.lund"))
    operations.ask_customer(
        waiting.pk, actor=as_("erik.lund"), note="Was your role in the personnel team changed on Friday?"
    )
    _ticket(
        "fabrikam",
        "fred.marsh",
        people.SHAREPOINT,
        "How do I restore a deleted folder?",
        "I deleted the folder “Archive 2024” by mistake.",
        priority="low",
    )
    staff_found = operations.Report(
        tenant_id=Tenant.objects.get(slug="contoso").pk,
        service_id=Service.objects.get(key=people.EXCHANGE).pk,
        title="Nightly consistency check reports two broken index pages",
        body="Found by our own monitoring. The customer has not noticed anything yet.",
    )
    operations.open_ticket(staff_found, actor=as_("erik.lund"))
