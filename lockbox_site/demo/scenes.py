"""The scenes of the demo, in their order."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.table import Table

from lockbox_site.demo.browser import Page
from lockbox_site.demo.elsewhere import a_guarded_application, a_web_tool
from lockbox_site.demo.play import Play, expect, join
from lockbox_site.demo.proof import a_witness, receipt_of_the_mail, the_evidence
from lockbox_site.demo.stage import BIG_BYTES, SHORTENED, Mail, Stage
from requests_app.domain import clock

WINDOW, LONG_WINDOW = "12", "1800"
CUT_WITHIN = 1.0


def play(stage: Stage, console: Console) -> None:
    """Play every scene in turn. Raise Stopped if anything is not as expected."""
    here = Play(stage, console)
    with a_witness(here) as records:
        silent = silent_customer(here)
        main, main_window = main_job(here)
        a_no(here)
        a_revoke_in_mid_read(here)
        a_guarded_application(here, lambda about: _closes_now(here, "ada.keller", about))
        a_web_tool(here, lambda about: _closes_now(here, "ada.keller", about))
        without_lockbox(here)
        a_legal_demand(here)
        receipt_of_the_mail(here, main_window_closes(here, main, main_window), records)
        silent_customer_has_expired(here, silent)
        the_evidence(here, records, the_log(here))


# --- Scenes --------------------------------------------------------------------------------------------------


def silent_customer(here: Play) -> str:
    here.scene("Meanwhile at Fabrikam: a customer who will not answer")
    ticket = here.opens_ticket(
        "fred.marsh",
        service="Exchange Online",
        title="Rules stop working after a while",
        body="Inbox rules stop working every few hours until we sign in again.",
    )
    here.takes("erik.lund", ticket)
    access_request = here.asks(
        "erik.lund",
        f"{ticket}ask/",
        resource="support",
        window=LONG_WINDOW,
        tried="Compared the rules as stored with those of a healthy mailbox.",
        why="The rules stop at certain messages. I need to read these messages to see what stops them.",
    )
    here.decides("paula.reyes", access_request, "approve", comment="The comparison shows nothing.")
    here.tell("Erik Lund", "asks to read Fabrikam's support mailbox; Paula Reyes confirms that there is no other way")
    here.mail(here.stage.mail.wait_for("frida.olsen@", "decide_as_customer"), "Frida Olsen")
    here.tell("Frida Olsen", "does not answer …")
    return access_request


def main_job(here: Play) -> tuple[str, str]:
    here.scene("The main job, at Contoso")
    mail = here.stage.mail
    ticket = here.opens_ticket(
        "mia.weber",
        service="Exchange Online",
        title="Search finds no invoice of November",
        body="Since Monday the search in the finance mailbox finds nothing that arrived in November.",
    )
    here.tell("Mia Weber", "opens a ticket: “Search finds no invoice of November”")
    here.mail(mail.wait_for("priya.nair@", "ticket_opened", part="November"), "Priya Nair")
    here.takes("priya.nair", ticket)
    access_request = here.asks(
        "priya.nair",
        f"{ticket}ask/",
        resource="finance",
        window=WINDOW,
        tried="Rebuilt the index twice and read the indexer's own log.",
        why="The indexer skips messages without saying which. I need to see those that are missing.",
    )
    here.tell("Priya Nair", "has tried without; asks to read messages in 1 mailbox")
    here.mail(mail.wait_for("pat.doyle@", "decide_as_provider", part="finance"), "Pat Doyle")
    here.adds_passkey("pat.doyle")
    here.decides("pat.doyle", access_request, "approve", comment="Rebuilt twice; the log names no messages.")
    here.tell(
        "Pat Doyle",
        "confirms that there is no other way, and signs this with a passkey: the provider's approval",
        detail="A passkey in software replaces the device and the finger on it, for everybody here.",
    )
    decision_mail = mail.wait_for("ada.keller@", "decide_as_customer", part="finance")
    here.mail(decision_mail, "Ada Keller")
    expect(access_request in decision_mail.text, "the customer's mail links to the access request")
    mail.wait_for("security@contoso.example", "decide_as_customer", part="finance")
    page = here.person("priya.nair").get(access_request)
    expect(not page.links("/windows/"), "nobody reads before the customer's approval", page)
    here.adds_passkey("ada.keller")
    here.tell("Ada Keller", "has added a passkey; the log has its public key, and Contoso's approvers get a mail")
    here.decides("ada.keller", access_request, "approve", comment="Headers are fine.")
    here.tell(
        "Ada Keller",
        "reviews, and signs exactly the text that is shown: the customer's approval. A window opens",
        detail="A passkey in software replaces her device, and her finger on it.",
    )
    here.mail(mail.wait_for("priya.nair@", "window_opened"), "Priya Nair")
    window = here.window_of("priya.nair", access_request)
    page_url, items = here.items("priya.nair", window)
    for item in items[:3]:
        opened = here.person("priya.nair").get(join(page_url, item))
        expect(opened.status == 200, "the item is shown", opened)
    here.tell("Priya Nair", "lists the names in the mailbox, and opens three messages")
    live = here.person("ada.keller").get(f"{access_request}live/")
    expect(live.status == 200 and live.text.lower().count("opened") >= 3, "the customer sees what is being read", live)
    here.tell("Ada Keller", "sees on her page which three messages are being read")
    return access_request, window


def a_no(here: Play) -> None:
    here.scene("A denial")
    ticket = here.opens_ticket(
        "mia.weber",
        service="Exchange Online",
        title="Out-of-office answers twice",
        body="Everybody who writes to sales gets two answers.",
    )
    here.takes("erik.lund", ticket)
    access_request = here.asks(
        "erik.lund",
        f"{ticket}ask/",
        resource="sales",
        window=LONG_WINDOW,
        tried="Looked at the settings of the answer.",
        why="I would like to read the answers that were sent, to compare the two.",
    )
    here.decides("paula.reyes", access_request, "approve")
    here.stage.mail.wait_for("alan.fischer@", "decide_as_customer", part="sales")
    here.decides("alan.fischer", access_request, "deny", comment="We can send you both answers.")
    here.tell("Alan Fischer", "denies: “We can send you both answers.”")
    here.mail(here.stage.mail.wait_for("erik.lund@", "access_request_ended", part="both answers"), "Erik Lund")
    page = here.person("erik.lund").get(access_request)
    expect("Denied" in page.text and not page.links("/windows/"), "a denial gives no access", page)


def a_revoke_in_mid_read(here: Play) -> None:
    here.scene("A window that the customer closes while something is being read")
    ticket = here.opens_ticket(
        "fred.marsh",
        service="SharePoint Online",
        title="An export never finishes",
        body="The export of the engineering library has been running for two days.",
    )
    here.takes("samira.haddad", ticket)
    access_request = here.asks(
        "samira.haddad",
        f"{ticket}ask/",
        resource="Engineering",
        window=LONG_WINDOW,
        tried="Restarted the export; it stops at the same place.",
        why="It stops at one document. I need to open that document to see what is wrong with it.",
    )
    here.decides("pat.doyle", access_request, "approve")
    here.decides("frida.olsen", access_request, "approve")
    address = _big_document(here, "samira.haddad", here.window_of("samira.haddad", access_request))
    here.tell("Samira Haddad", f"opens a document of {BIG_BYTES // 2**20} MB, and is still reading …")
    taken, cut_after = _read_until_cut(here, address, lambda: _closes_now(here, "frida.olsen", access_request))
    expect(0 < taken < BIG_BYTES, f"the reading is cut off ({taken} of {BIG_BYTES} bytes came)")
    expect(cut_after <= CUT_WITHIN, f"the cut comes immediately (it took {cut_after:.1f} s)")
    here.tell(
        "Samira Haddad", f"is cut off {cut_after:.1f} s later, with {100 * taken // BIG_BYTES} % of the document read"
    )
    again = here.person("samira.haddad").get(address)
    expect(again.status == 403, "a closed window gives no access", again)


def without_lockbox(here: Play) -> None:
    here.scene("Northwind has no Lockbox: one stage, the same window, the same log")
    ticket = here.opens_ticket(
        "nora.quinn",
        service="SharePoint Online",
        title="Price list shows last year's prices",
        body="We replaced the file on Monday; the old one comes back.",
    )
    here.takes("samira.haddad", ticket)
    access_request = here.asks(
        "samira.haddad",
        f"{ticket}ask/",
        resource="Sales",
        window=LONG_WINDOW,
        tried="Cleared the cache; the old version comes back.",
        why="Two versions under names that look alike seem to exist. I need to see what is stored.",
    )
    here.decides("pat.doyle", access_request, "approve")
    here.tell("Pat Doyle", "approves; there is no second stage here, so the window is open")
    here.mail(here.stage.mail.wait_for("nils.berg@", "window_opened"), "Nils Berg")
    here.items("samira.haddad", here.window_of("samira.haddad", access_request))
    browser = here.person("samira.haddad")
    page = browser.get(f"{access_request}release/")
    page = browser.submit(page, page.form("/release/"))
    expect(page.status == 200, "the engineer closes the window early", page)
    here.tell("Samira Haddad", "sees names of documents, opens none, and closes the window early")
    closed_mail = here.stage.mail.wait_for("nils.berg@", "window_closed")
    expect(
        "nothing opened" in closed_mail.text, "the summary says how many items were listed, and that nothing was opened"
    )
    here.mail(closed_mail, "Nils Berg")


def a_legal_demand(here: Play) -> None:
    here.scene("A law-enforcement demand goes the same way")
    browser = here.person("priya.nair")
    page = browser.get("/access-requests/legal-demand/")
    tenant = next(link for link in page.links("tenant=") if "tenant=" in link)
    names = {link: _link_words(page, link) for link in page.links("tenant=")}
    tenant = next((link for link, words in names.items() if "Contoso" in words), tenant)
    page = browser.get(join(page.url, tenant))
    services = {link: _link_words(page, link) for link in page.links("service=")}
    address = next((link for link, words in services.items() if "Exchange" in words), page.url)
    access_request = here.asks(
        "priya.nair",
        join(page.url, address),
        resource="finance",
        window=LONG_WINDOW,
        tried="Referred the court to the customer; it insists on the provider.",
        why="The warrant names this mailbox and the period from March to May.",
        authority="Amtsgericht Hamburg",
        instrument="Search warrant",
        demand_reference="12 Gs 34/26",
        demand_date="2026-11-20",
    )
    here.decides("pat.doyle", access_request, "approve", comment="Checked by our counsel.")
    decision_mail = here.stage.mail.wait_for("ada.keller@", "decide_as_customer", part="Amtsgericht")
    here.mail(decision_mail, "Ada Keller")
    here.decides("ada.keller", access_request, "deny", comment="Our counsel will answer the court.")
    here.tell("Ada Keller", "reads who demands it and with which instrument, and denies: nothing is exempt")


def main_window_closes(here: Play, access_request: str, window: str) -> Mail:
    here.scene("Back at Contoso: the window closes automatically")
    closed_mail = here.stage.mail.wait_for("ada.keller@", "window_closed", part="mailbox", within=40)
    expect("3 messages read" in closed_mail.text, "the summary counts what was read")
    here.mail(closed_mail, "Ada Keller")
    page = here.person("priya.nair").get(window)
    expect("The window is closed" in page.text and not page.links(window), "the closed window shows nothing", page)
    page = here.person("ada.keller").get(access_request)
    expect("3 messages read" in page.text, "the page says what was read", page)
    here.tell("Ada Keller", "reads: “3 messages read in 1 mailbox”")
    return closed_mail


def silent_customer_has_expired(here: Play, access_request: str) -> None:
    here.scene("And at Fabrikam: no answer means no access")
    here.mail(here.stage.mail.wait_for("frida.olsen@", "reminder", within=30), "Frida Olsen")
    here.mail(here.stage.mail.wait_for("erik.lund@", "access_request_ended", part="expired", within=40), "Erik Lund")
    page = here.person("frida.olsen").get(access_request)
    expect("Expired" in page.text, "the page says that it expired", page)
    late = here.person("frida.olsen").get(f"{access_request}decide/approve/")
    expect(late.status == 409, "a late approval is refused", late)
    here.tell("Frida Olsen", "is too late: an approval now is refused (409)")


def the_log(here: Play) -> int:
    """Export the log. Return how many entries it has."""
    here.scene("Contoso's log, as its auditor exports it")
    auditor = here.person("otto.brandt")
    page = auditor.get("/")
    logs = page.links("/log/")
    expect(bool(logs), "the auditor is shown the way to the log", page)
    page = auditor.get(logs[0])
    form = page.form("/export/csv/")
    exported = auditor.submit(page, replace(form, action=form.action.replace("csv", "jsonl")))
    entries = [json.loads(line) for line in exported.body.decode().splitlines()]
    expect(exported.status == 200 and bool(entries), "the log can be exported", exported)
    here.console.print(_entries(entries))
    _check(entries)
    verdict = here.stage.manage("verify_audit")
    expect(", 0 bad" in verdict, f"every log verifies: {verdict}")
    here.console.print(verdict.strip(), highlight=False)
    return len(entries)


# --- Helpers -------------------------------------------------------------------------------------------------


def _big_document(here: Play, login: str, window: str) -> str:
    """Return the address of the big document, found by following links on the pages as an engineer does."""
    page_url, items = here.items(login, window)
    link = next((link for link in items if "everything-2026" in link), None)
    expect(link is not None, f"the big document is listed among {items}")
    return join(page_url, str(link))


def _read_until_cut(here: Play, address: str, close: Any) -> tuple[int, float]:
    """Read a document slowly, close its window after some megabytes, and read on until the stream ends."""
    taken, closed_at = 0, 0.0
    with here.person("samira.haddad").stream(address) as answer:
        try:
            while piece := answer.read(64 * 1024):
                taken += len(piece)
                time.sleep(0.004)
                if not closed_at and taken > BIG_BYTES // 20:
                    close()
                    closed_at = clock.monotonic()
                    here.tell("Frida Olsen", "presses “Close now”")
        except (OSError, ValueError, http.client.HTTPException):
            pass
    return taken, clock.monotonic() - closed_at


def _closes_now(here: Play, login: str, access_request: str) -> None:
    browser = here.person(login)
    page = browser.get(f"{access_request}revoke/")
    page = browser.submit(page, page.form("/revoke/"))
    expect(page.status == 200, "the window is closed", page)


def _check(entries: list[dict[str, Any]]) -> None:
    """Stop the demo unless the exported log has no gaps and has every kind of event that the demo caused."""
    expect([entry["index"] for entry in entries] == list(range(len(entries))), "the export has no gap")
    story = [entry["entry"]["event"] for entry in entries]
    for event in (
        "access_request.submitted",
        "access_request.approved_by_provider",
        "access_request.approved_by_customer",
        "content.listed",
        "content.opened",
        "grant.closed",
        "access_request.denied_by_customer",
    ):
        expect(event in story, f"the log has {event}")
    expect(story.count("content.opened") == 3, "the log has exactly the three items that were opened")


def _entries(entries: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("index", "at (UTC)", "event", "who", "door", "leaf hash"):
        table.add_column(heading, no_wrap=True)
    for entry in entries:
        record = entry["entry"]
        table.add_row(
            str(entry["index"]), record["at"][11:19], record["event"], record["actor"]["name"], record["door"],
            entry["leaf_hash"][:16],
        )  # fmt: skip
    return table


def _link_words(page: Page, link: str) -> str:
    """Return the text of the link with this address."""
    body = page.body.decode(errors="replace").replace("&amp;", "&")
    at = body.find(f'href="{link}"')
    return body[at : at + 300] if at >= 0 else ""


@contextmanager
def working(console: Console, what: str) -> Iterator[None]:
    with console.status(what):
        yield


def introduction() -> str:
    deadline = SHORTENED["CUSTOMER_DECISION_SECONDS"]
    return (
        "The whole main job through the real interfaces: a web server, django-q2 workers, a mail server, mailboxes and "
        "documents, all on this machine.\n"
        f"[bold]Shortened for the demo by settings:[/] the customer's 12 hours are {deadline} seconds here, "
        f"the window in the main job {WINDOW} seconds, reminders come after "
        f"{SHORTENED['REMINDER_SECONDS'].replace(',', ', ')} seconds. Nothing else is different."
    )
