"""Lets the demo's people act through the real interfaces, and prints a timeline of what happened.

A line is printed only when its effect was seen on a page, in a mail or in an audit entry. Anything unexpected ends the
demo with a special exit status.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from urllib.parse import urljoin

from rich.console import Console

from lockbox_site.demo.authenticator import Authenticator
from lockbox_site.demo.browser import Browser, Form, Page, Stopped
from lockbox_site.demo.stage import RP_ID, Mail, Stage
from requests_app.domain import clock, manifest


@dataclass
class Play:
    stage: Stage
    console: Console
    started: float = field(default_factory=clock.monotonic)
    people: dict[str, Browser] = field(default_factory=dict)
    devices: dict[str, Authenticator] = field(default_factory=dict)

    # --- The timeline ----------------------------------------------------------------------------------------

    def tell(self, who: str, what: str, *, detail: str = "") -> None:
        """Print one line of the timeline: the time, who acts, and what happens."""
        seconds = clock.monotonic() - self.started
        self.console.print(f"[dim]{seconds:6.1f} s[/]  [bold]{who:<18}[/] {what}", highlight=False, soft_wrap=True)
        if detail:
            self.console.print(f"{'':29}[italic]{detail}[/]", highlight=False, soft_wrap=True)

    def scene(self, title: str) -> None:
        self.console.print(f"\n[bold underline]{title}[/]")

    def mail(self, mail: Mail, who: str) -> None:
        self.tell(who, f"gets a mail: “{mail.subject}”")

    # --- Acts ------------------------------------------------------------------------------------------------

    def person(self, login: str) -> Browser:
        if login not in self.people:
            self.people[login] = self.stage.browser(login)
        return self.people[login]

    def opens_ticket(self, login: str, *, service: str, title: str, body: str) -> str:
        """Open a ticket as a customer's member. Return the address of the ticket's page."""
        browser = self.person(login)
        page = browser.get("/tickets/new/")
        form = page.form(having="title")
        chosen = choice_of(page, form, "service", service)
        page = browser.submit(page, form, service=chosen, title=title, body=body, priority="normal")
        expect(page.path.count("/") == 3 and title in page.text, "the ticket is shown", page)
        return page.path

    def takes(self, login: str, ticket: str) -> None:
        browser = self.person(login)
        page = browser.get(ticket)
        page = browser.submit(page, page.form("/assign_ticket/"))
        expect(page.status == 200 and "The ticket is assigned." in page.text, "the ticket is taken", page)

    def asks(self, login: str, address: str, *, resource: str, window: str, tried: str, why: str, **more: str) -> str:
        """As an engineer, fill in the form for access, read the preview and submit it.

        Return the access request's address.
        """
        browser = self.person(login)
        page = browser.get(address)
        form = page.form(having="justification")
        chosen = choice_of(page, form, "resource_ids", resource)
        asked = {"level": "read", "window_for": window, "tried": tried, "justification": why, **more}
        filled: dict[str, str | list[str]] = {"resource_ids": chosen, **asked}
        page = browser.submit(page, form, step="preview", **filled)
        expect(page.status == 200 and "asks to" in page.text, "the preview shows the customer's sentence", page)
        page = browser.submit(page, page.form(having="justification"), step="submit", **filled)
        expect(page.path.startswith("/access-requests/"), "the access request is submitted", page)
        return page.path

    def adds_passkey(self, login: str) -> None:
        """Add a passkey to this person. All their later decisions are signed with it."""
        self.devices[login] = self.stage.passkey(login)

    def decides(self, login: str, access_request: str, verdict: str, *, comment: str = "") -> Page:
        """Decide on the review page. Return the receipt.

        A person who has a passkey signs with it. Others enter password and code.
        """
        browser = self.person(login)
        review = browser.get(access_request)
        expect(f"{access_request}decide/{verdict}/" in review.body.decode(), f"{login} is offered to {verdict}", review)
        page = browser.get(f"{access_request}decide/{verdict}/")
        device = self.devices.get(login)
        if device is not None:
            return self._signs(browser, page, device, comment)
        form = page.form(having="digest")
        proof: dict[str, str] = {}
        # A sign-in within the last five minutes is proof enough, so the page does not ask for another one.
        if "password" in form.values:
            proof = {"password": browser.password, "code": browser.code() if browser.code else ""}
        page = browser.submit(page, form, comment=comment, **proof)
        expect(page.path.endswith("/receipt/"), f"{login} gets a receipt", page)
        return page

    def _signs(self, browser: Browser, page: Page, device: Authenticator, comment: str) -> Page:
        """Sign the text that the page shows, and send the signature. No other proof of identity is sent."""
        form = page.form(having="assertion")
        [text] = form.values["manifest"]
        digest = manifest.challenge_of(text)
        answer = json.dumps(device.sign(digest, rp_id=RP_ID))
        page = browser.submit(page, form, assertion=answer, comment=comment)
        expect(page.path.endswith("/receipt/"), f"{browser.email} gets a receipt", page)
        expect(digest.hex() in page.body.decode(), "the receipt shows the digest of what was signed", page)
        return page

    def window_of(self, login: str, access_request: str) -> str:
        page = self.person(login).get(access_request)
        links = page.links("/windows/")
        expect(bool(links), "the engineer is shown the way to the content", page)
        return links[0]

    def items(self, login: str, window: str) -> tuple[str, list[str]]:
        """Return the address of the first resource's list, and the addresses of the items in it."""
        browser = self.person(login)
        page = browser.get(window)
        lists = [link for link in page.links(window) if link.count("/") == 4]
        page = browser.get(lists[0]) if lists else page
        expect(page.status == 200, "the list of items is shown", page)
        found = items(page)
        for folder in [] if found else page.links("folder="):
            inside = browser.get(join(page.url, folder))
            found += [join(inside.url, link) for link in items(inside)]
        expect(bool(found), "the list names items", page)
        return page.url, found


def expect(seen: bool, what: str, page: Page | None = None) -> None:
    """Do nothing if `seen` is true. Otherwise end the demo, and report what the page shows instead."""
    if not seen:
        where = f" {page.path} answered {page.status}: {page.text[:400]}" if page else ""
        raise Stopped(f"Not seen: {what}.{where}")


def items(page: Page) -> list[str]:
    """Return the addresses of everything that the page offers to open or to download."""
    return page.links("/item/?") + page.links("/raw/?")


def choice_of(page: Page, form: Form, name: str, words: str) -> str:
    """Return the value of the choice whose label begins with `words`."""
    found = next((value for value, label in form.choices.get(name, []) if label.startswith(words)), None)
    expect(found is not None, f"{name} offers {words}", page)
    return str(found)


def join(base: str, address: str) -> str:
    return urljoin(base, address)
