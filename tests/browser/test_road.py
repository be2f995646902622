"""The whole road in browsers: from an empty machine to a provider's first protected access, and to its end."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, Playwright, expect

from tests.browser.road import Installation, Traveller, installed, trial
from tests.browser.visiting import FLAGS, NO_BROWSER, chromium_wanted, find_chromium

#: A mail that lies in the provider's store before the product is installed.
MAIL = (
    "From: shop@supplier.example\nSubject: Order 17\nDate: Mon, 30 Nov 2026 09:00:00 +0000\n\nIt arrives on Friday.\n"
)


#: What both lists of the set-up say on top, until everything is done.
SOME_DONE = re.compile(r"\d+ of \d+ done")


@pytest.fixture
def arrive(_playwright: Playwright) -> Iterator[Callable[[Installation], Callable[[str], Traveller]]]:
    """Return a function that starts a browser for an installation. It returns a function that lets a person arrive."""
    started = []

    def begin(installation: Installation) -> Callable[[str], Traveller]:
        path = find_chromium(chromium_wanted(), _playwright.chromium.executable_path)
        if path is None:
            pytest.fail(NO_BROWSER, pytrace=False)
        browser = _playwright.chromium.launch(executable_path=path, args=[*FLAGS, *installation.flags])
        started.append(browser)
        return lambda email: Traveller.arrive(browser, installation, email)

    yield begin
    for browser in started:
        browser.close()


Arrive = Callable[[Installation], Callable[[str], Traveller]]


def put_content(data: Path) -> None:
    """Write what the provider has already: a mailbox of its customer."""
    inbox = data / "content" / "contoso" / "mail" / "finance"
    for name in ("cur", "new", "tmp"):
        (inbox / name).mkdir(parents=True)
    (inbox / "cur" / "1.mail:2,S").write_text(MAIL)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_road_from_an_empty_machine_to_the_first_protected_access(tmp_path: Path, arrive: Arrive) -> None:
    put_content(tmp_path / "data")
    (tmp_path / "data").chmod(0o700)
    with installed(tmp_path) as installation:
        person = arrive(installation)
        stella = person("stella@example.com")
        _first_staff(stella)
        _mail_and_key(stella)
        ines, ada = _set_up(stella, person)
        stella.open("/admin/set-up/", shows="Everything is set up.")
        ines.open(_of_tenant(ines, "set-up/"), shows="Everything is set up.")
        assert "1 message read" in installation.letters.to(ada.email, "closed", about="Mail")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_empty_trial_leads_to_the_first_protected_access_too(tmp_path: Path, arrive: Arrive) -> None:
    with trial(tmp_path) as installation:
        person = arrive(installation)
        stella = person("stella@example.com")
        _first_staff(stella)
        ines, ada = _set_up(stella, person, is_trial=True)
        stella.open("/admin/set-up/", shows="Everything is set up.")
        ines.open(_of_tenant(ines, "set-up/"), shows="Everything is set up.")
        assert "1 message read" in installation.letters.to(ada.email, "closed", about="Mail")
        # Who tries the product alone needs no mail program.
        terminal = (tmp_path / "clone" / "output").read_text()
        link = re.escape(f"{installation.address}/invitation/")
        assert "request_finished" not in terminal
        assert re.search(rf"\n\n    Mail to {ada.email}: .+\n    {link}\S+/\n", terminal), terminal[-2000:]


def _set_up(
    stella: Traveller, person: Callable[[str], Traveller], *, is_trial: bool = False
) -> tuple[Traveller, Traveller]:
    """Go from the first staff member to the end of the first window. Return an administrator and an approver.

    In a trial, the first staff member is the provider's approver, and the content is a sample.
    """
    if not is_trial:
        _plan(stella)
    _staff_and_service(stella)
    sam = person("sam@example.com")
    sam.accept("Sam Ode")
    sam.shows(SOME_DONE)
    priya, pat = person("priya@example.com"), stella if is_trial else person("pat@example.com")
    if is_trial:
        stella.open("/admin/set-up/", shows=SOME_DONE)
        stella.press("Make yourself an approver of Mail", shows="The role was given.")
    _invite(stella, priya, "engineer")
    if not is_trial:
        _invite(stella, pat, "provider_approver")
    _tenant(stella)
    (_sample if is_trial else _resource)(stella)
    priya.accept("Priya Nair")
    if not is_trial:
        pat.accept("Pat Doyle")
    ines, ada, otto = (person(f"{name}@contoso.example") for name in ("ines", "ada", "otto"))
    _first_administrator(stella, ines)
    _approvers(ines, ada, otto)
    _keys(ines)
    _lockbox_on(ines)
    practice = _practice(ines)
    _access(practice, priya, pat, ada, resource="Practice mailbox", item="Confirmation of order 4711")
    ticket = _ticket(ada)
    resource, item = ("sample-mailbox", "Order 4711 is late") if is_trial else ("finance@contoso.example", "Order 17")
    _access(ticket, priya, pat, ada, resource=resource, item=item)
    return ines, ada


def _first_staff(stella: Traveller) -> None:
    stella.page.goto(stella.at.setup_link)
    stella.press("Begin")
    stella.fill(Your_name="Stella Ruiz", Your_email_address=stella.email, Your_password=stella.password)
    # The browser's zone is there already. A city is understood, too.
    stella.page.get_by_label("Your time zone").fill("Berlin")
    stella.press("Make my account")
    stella.add_passkey()
    stella.shows(SOME_DONE)


def _mail_and_key(stella: Traveller) -> None:
    stella.press("Send me a test mail", shows="accepted the mail")
    stella.at.letters.to(stella.email, "test")
    stella.press("Confirm the copy")
    stella.fill(Last_four_characters=stella.at.key_copy_ending())
    stella.press("Confirm the copy of the log’s key", shows="The copy is confirmed.")


def _plan(stella: Traveller) -> None:
    stella.press("Add a plan")
    stella.fill(Name="Standard")
    expect(stella.page.get_by_label("Includes Lockbox")).to_be_checked()
    stella.press("Add a plan", shows="The plan was added")


def _staff_and_service(stella: Traveller) -> None:
    # A trial doesn't need a second member of staff, so its list shows this step folded.
    stella.open("/admin/requests_app/person/add/?role=staff", shows="Time zone")
    stella.fill(Email="sam@example.com")
    stella.press("Invite a person", shows="A mail with a link goes out now.")
    stella.open("/admin/set-up/", shows=SOME_DONE)
    stella.press("Add a service")
    stella.fill(Key="mail", Name="Mail", Connector="maildir")
    stella.press("Add a service", shows="The service was added.")


def _tenant(stella: Traveller) -> None:
    stella.open("/admin/set-up/", shows=SOME_DONE)
    stella.press("Add a tenant")
    stella.fill(Name="Contoso", Short_name="contoso", Plan="Standard")
    stella.press("Add a tenant", shows="The tenant was added.")


def _sample(stella: Traveller) -> None:
    stella.open("/admin/requests_app/tenant/", shows="Contoso")
    stella.press("Contoso", within="main table")
    stella.press("Find resources", shows="This tenant has no content yet.")
    stella.press("Add a sample folder", shows="The sample folder is there, and it is a resource now.")


def _resource(stella: Traveller) -> None:
    stella.open("/admin/requests_app/resource/add/", shows="Locator")
    stella.fill(Tenant="contoso", Service="Mail", Kind="mailbox", Name="finance@contoso.example")
    stella.page.get_by_label("Locator").fill("contoso/mail/finance")
    stella.press("Add a resource", shows="The resource was added.")
    stella.press("Test this resource", shows="It opens and lists nothing")
    stella.press("Test this resource", within="main", shows="can be reached")


def _invite(stella: Traveller, whom: Traveller, role: str) -> None:
    stella.open("/admin/requests_app/person/add/", shows="Time zone")
    stella.fill(Email=whom.email, Role=role)
    stella.page.get_by_label("Mail", exact=True).check()
    stella.press("Invite a person", shows="A mail with a link goes out now.")


def _first_administrator(stella: Traveller, ines: Traveller) -> None:
    stella.open("/admin/requests_app/tenant/", shows="Contoso")
    stella.press("Contoso")
    stella.press("Invite the first person", shows="The person who reads mail")
    stella.page.get_by_label("Email").fill(ines.email)
    stella.page.get_by_label("Role").select_option("administrator")
    stella.press("Invite the first person", within="main form", shows="A mail with a link goes out now.")
    ines.accept("Ines Brandt")
    ines.shows(SOME_DONE)


def _approvers(ines: Traveller, *approvers: Traveller) -> None:
    for each, name in zip(approvers, ("Ada Keller", "Otto Brandt"), strict=True):
        ines.open(_of_tenant(ines, "people/"), shows="Invite somebody")
        ines.page.get_by_label("Email address").fill(each.email)
        ines.page.get_by_role("radio", name=re.compile("^Approver")).check()
        ines.press("Send the invitation", shows="A mail with a link goes to")
        each.accept(name)


def _of_tenant(ines: Traveller, page: str) -> str:
    """Return the address of one of the tenant's pages."""
    if ines.tenant == "":
        found = re.search(r"/tenant/[0-9a-f-]{36}/", ines.page.url)
        assert found, ines.page.url
        ines.tenant = found[0]
    return ines.tenant + page


def _keys(ines: Traveller) -> None:
    """Make the recovery key and show that it is stored, then the same for the key of the log."""
    ines.open(_of_tenant(ines, "set-up/"), shows=SOME_DONE)
    ines.open(_of_tenant(ines, "recovery-key/"), shows="Create the recovery key")
    ines.press("Create the recovery key", shows="shown now and never again")
    key = ines.page.locator("code").first.inner_text()
    ines.press("I have saved it")
    ines.open(_of_tenant(ines, "set-up/recovery-key/"), shows="Last four characters")
    ines.fill(Last_four_characters=key[-4:])
    ines.press("Confirm the key", shows=SOME_DONE)
    ines.open(_of_tenant(ines, "addresses/"), shows="Email address")
    ines.fill(Email_address="duty@contoso.example")
    ines.press("Add this address", shows="gets mails from now on")
    ines.open(_of_tenant(ines, "").replace("/tenant/", "/log/") + "how-to-verify/", shows="Its fingerprint")
    fingerprint = re.search(r"\b[0-9a-f]{64}\b", ines.page.locator("main").inner_text())
    assert fingerprint
    ines.open(_of_tenant(ines, "set-up/log-key/"), shows="Last four characters")
    ines.fill(Last_four_characters=fingerprint[0][-4:])
    ines.press("Confirm the key", shows=SOME_DONE)


def _lockbox_on(ines: Traveller) -> None:
    ines.open(_of_tenant(ines, ""), shows="Lockbox is off")
    ines.press("Switch Lockbox on…", shows="2 people can answer for you")
    ines.press("Switch Lockbox on", within="main form", shows="Lockbox is on.")


def _practice(ines: Traveller) -> str:
    """Start a practice request, and return the reference of its ticket."""
    ines.open(_of_tenant(ines, "set-up/"), shows="6 of 7 done")
    ines.press("Practice", within="main")
    ines.page.get_by_label("Service").select_option("Mail")
    ines.press("Start a practice request", within="main form", shows="is open")
    return _reference(ines.page)


def _ticket(ada: Traveller) -> str:
    """Open a ticket, and return its reference."""
    ada.open("/tickets/new/", shows="Open the ticket")
    ada.page.get_by_label("Service").select_option("Mail")
    ada.page.get_by_label("What is wrong").fill("Where is order 17?")
    ada.page.get_by_label("What happened").fill("We can't find the mail with the delivery date of order 17.")
    ada.press("Open the ticket", shows="is open")
    return _reference(ada.page)


def _reference(page: Page) -> str:
    found = re.search(r"\b(P-)?T-[0-9A-Z]{4}-[0-9A-Z]{4}\b", page.locator("main").inner_text())
    assert found
    return found[0]


def _access(ticket: str, priya: Traveller, pat: Traveller, ada: Traveller, *, resource: str, item: str) -> None:
    """Ask for access to the resource, approve it twice, open one item, and close the window."""
    priya.open("/tickets/", shows=ticket)
    priya.page.get_by_role("row", name=ticket).get_by_role("link").first.click()
    priya.press("Take this ticket", shows="Assigned")
    priya.press("Ask for access", within="main")
    page = priya.page
    page.get_by_label("What did you try").fill("I looked in the order system. It has no delivery date.")
    page.get_by_label("Why is there no other way").fill("The delivery date is only in the supplier's mail.")
    page.get_by_label(resource).check()
    page.get_by_role("radio", name="View and download").check()
    page.get_by_label("30 minutes").check()
    priya.press("Read what the customer will read")
    priya.press("Submit the access request", shows="is submitted.")
    access_request = page.url
    pat.open("/", shows="Review")
    pat.press("Review", within="main")
    _approve(pat)
    ada.page.goto(ada.at.letters.link_in(ada.email, "/access-requests/", subject="asks to read", about=ticket))
    _approve(ada)
    page.goto(access_request)
    priya.press("Open the content")
    priya.press(resource, within="main", shows=item)
    page.locator("[data-reader-link]").filter(has_text=item).click()
    expect(page.get_by_role("heading", name=item)).to_be_visible()
    priya.press("Close my window", shows="The window is closed.")


def _approve(decider: Traveller) -> None:
    decider.page.locator(".decision .button").first.click()
    decider.press("and sign with your passkey", shows="Your approval is recorded")
