"""The customer's own approval page in a real browser, with this server and with a hostile server."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import re
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, Route, expect
from pytest_django.live_server_helper import LiveServer

from audit_app import canonical
from lockbox_site.demo import people
from lockbox_site.demo.world import as_
from requests_app import operations
from requests_app.models import AccessRequest, Decision, Passkey, Person, Tenant
from tests.docs.documents import ROOT
from tests.factors import a_code

PAGE = ROOT / "deploy" / "approval-page"
#: Another host, and so another site (RP ID). Chromium resolves all of `localhost` to this machine.
SITE = "approvals.localhost"
KEY = {
    "protocol": "ctap2",
    "transport": "internal",
    "hasResidentKey": True,
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[[str, str], str]]:
    """Return a function that serves the page at one of the customer's hosts, and returns the page's origin."""
    place = tmp_path / "page"
    shutil.copytree(PAGE, place)
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(place)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def put(api: str, tenant: str) -> str:
        config = (place / "config.js").read_text()
        config = re.sub(r'api: "[^"]*"', f'api: "{api}"', config)
        (place / "config.js").write_text(re.sub(r'tenant: "[^"]*"', f'tenant: "{tenant}"', config))
        return f"http://{SITE}:{server.server_port}"

    yield put
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 900, "height": 1100}, accept_downloads=True)
    page = context.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    session = context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    session.send("WebAuthn.addVirtualAuthenticator", {"options": KEY})
    yield page
    context.close()
    assert complaints == []


def connect(page: Page, origin: str, token: str) -> None:
    page.goto(origin)
    page.get_by_label("API token").fill(token)
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="Waiting for your answer")).to_be_visible()


def digest_of(text: str) -> bytes:
    return hashlib.sha256(b"lockbox-decision-v1\n" + text.encode()).digest()


def unpadded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


# --- This server -------------------------------------------------------------------------------------------


def test_an_approval_is_read_signed_and_stored_on_the_customers_own_page(
    page: Page, served: Callable[[str, str], str], live_server: LiveServer, world: None, tmp_path: Path
) -> None:
    contoso = Tenant.objects.get(slug="contoso")
    pending = AccessRequest.objects.get(tenant=contoso, state="PENDING_CUSTOMER")
    origin = served(live_server.url, str(contoso.pk))
    ines, ada = as_("ines.vogel", fresh=True), as_("ada.keller", fresh=True)
    operations.set_approval_page(contoso.pk, origin=origin, keys_only=False, actor=ines)
    scopes = ["requests:read", "decisions:write"]
    token = operations.create_token(name="Own page", scopes=scopes, days=1, actor=ada).secret
    password = people.passwords()[ada.email]

    connect(page, origin, token)
    page.get_by_role("button", name="Add a key of this page").click()
    page.get_by_label("Name of the key").fill("Office key")
    page.get_by_label("Your password").fill(password)
    person = Person.objects.get(pk=ada.person_id)
    page.get_by_label("Code").fill(a_code(person, secret=people.app_secrets()[ada.email]))
    page.get_by_role("button", name="Add the key").click()
    expect(page.get_by_role("heading", name="Waiting for your answer")).to_be_visible()
    key = Passkey.objects.get(name="Office key")
    assert (key.rp_id, key.origin, key.person_id) == (SITE, origin, ada.person_id)

    # From now on, an approval must be signed with such a passkey.
    operations.set_approval_page(contoso.pk, origin=origin, keys_only=True, actor=ines)
    page.get_by_role("button", name=f"Read the approval of {pending.reference}").click()
    expect(page.get_by_text("You approve")).to_be_visible()
    for words in (pending.reference, str(pending.pk), pending.content_digest, pending.requested_by.name):
        expect(page.locator("#decide")).to_contain_text(words)
    for scope in pending.scope.select_related("resource"):
        expect(page.locator("#facts")).to_contain_text(scope.resource.name)
    for words in (pending.justification, pending.tried):
        expect(page.locator("#facts")).to_contain_text(words)
    page.get_by_role("button", name="Sign the approval").click()
    expect(page.get_by_role("heading", name="Your approval is signed and sent")).to_be_visible()

    decision = Decision.objects.get(access_request=pending, stage="customer")
    assert (decision.is_signed, decision.signature.passkey_id, decision.door) == (True, key.pk, "api")
    with page.expect_download() as caught:
        page.get_by_role("button", name="Save what you signed").click()
    stored = json.loads(Path(caught.value.path()).read_text())
    assert stored["manifest"] == decision.signature.manifest
    assert hashlib.sha256(stored["asked"].encode()).hexdigest() == pending.content_digest
    assert stored["digest"] == digest_of(stored["manifest"]).hex() == decision.manifest_digest
    pending.refresh_from_db()
    assert pending.state == "OPEN"


# --- A hostile server --------------------------------------------------------------------------------------

TENANT, REQUEST = "11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222"
API = "https://lockbox.example"


#: The time of the page's clock, in the tests with a hostile server.
NOW = "2026-11-20T12:00:00Z"
RESOURCE = {"id": TENANT, "kind": "mailbox", "locator": "contoso/finance", "name": "finance@contoso.example"}
#: The resource of a practice request.
MADE_UP = {"id": TENANT, "kind": "mailbox", "locator": ":practice", "name": "Practice mailbox"}
#: A resource of an external service, and the member that a text about one has.
NOTES = {"external_id": "7\u202e", "id": TENANT, "kind": "workspace", "name": "notes"}
QUILLO: dict[str, Any] = {"resources": [NOTES], "enforced_by": "Quillo\u202e"}


def asked(**changed: Any) -> str:
    """Return the access request as the JSON that the server sends together with the text to sign."""
    whole = {
        "authority": "",
        "demand_date": None,
        "demand_reference": "",
        "engineer": TENANT,
        "instrument": "",
        "justification": "The index drops messages.\nOnly they show why.",
        "level": "read",
        "previous": None,
        "reason": "customer_ticket",
        "reference": "AR-7K2M",
        "resources": [RESOURCE],
        "service": "exchange-online",
        "tenant": TENANT,
        "ticket": "T-3M9K",
        "tried": "Rebuilt the index.",
        "window_for": 7200,
        **changed,
    }
    return canonical.encode(whole).decode()


def manifest_of(of: str = "", **changed: Any) -> dict[str, Any]:
    """Return the content of a text to sign, about the access request `of` (JSON).

    Further arguments change members, for example `minutes=…`.
    """
    digest = hashlib.sha256((of or asked()).encode()).hexdigest()
    return {
        "access_request": {"digest": digest, "id": REQUEST, "reference": "AR-7K2M"},
        "checkpoint": {"origin": "lockbox.example/1", "root": "c" * 43 + "=", "size": 41},
        "decider": {"id": TENANT, "name": "Ada Keller"},
        "decision": "approve",
        "engineer": {"id": TENANT, "name": "Priya Nair"},
        "format": "lockbox-decision-v1",
        "level": "read",
        "minutes": 90,
        "nonce": "n" * 64,
        "not_after": "2026-11-20T12:05:00.000000Z",
        "provider_approver": {"id": TENANT, "name": "Pat Moran"},
        "resources": [RESOURCE],
        "service": "exchange-online",
        "stage": "customer",
        "tenant": {"id": TENANT, "name": "Contoso"},
        **changed,
    }


def text_of(of: str = "", **changed: Any) -> str:
    return canonical.encode(manifest_of(of, **changed)).decode()


def spoiled(old: str, new: str) -> str:
    text = text_of()
    assert old in text
    return text.replace(old, new, 1)


#: Texts that a hostile server sends after somebody chose to approve, and the page's message for each.
LIES = {
    "the opposite": (text_of(decision="deny"), "says the opposite"),
    "another tenant": (text_of(tenant={"id": REQUEST, "name": "Contoso"}), "another tenant"),
    "another access request": (
        text_of(access_request={**manifest_of()["access_request"], "id": TENANT}),
        "another access request",
    ),
    "the other side": (text_of(stage="provider"), "not an answer of a customer"),
    "another format": (text_of(format="lockbox-decision-v2"), "format"),
    "one that is over": (text_of(not_after="2020-01-01T00:00:00.000000Z"), "no longer valid"),
    "one that is good for ever": (text_of(not_after="2099-01-01T00:00:00.000000Z"), "valid for too long"),
    "no time at all": (text_of(not_after="soon"), "no longer valid"),
    "more than is shown": (text_of(also="every mailbox"), "other parts"),
    "more of a resource": (text_of(resources=[{**manifest_of()["resources"][0], "and": "all"}]), "other parts"),
    "an application for what is read here": (text_of(enforced_by="Quillo"), "other parts"),
    "an id of no application": (text_of(resources=[NOTES]), "other parts"),
    "a list for an application": (text_of(resources=[NOTES], enforced_by=["Quillo"]), "is not a text"),
    "no words of the service": (text_of(service_words=None), "is not a text"),
    "less": (canonical.encode({k: v for k, v in manifest_of().items() if k != "level"}).decode(), "other parts"),
    "no resource": (text_of(resources=[]), "no resource"),
    "a list for a name": (text_of(engineer={"id": TENANT, "name": "x"}).replace('"x"', '["x"]'), "is not a text"),
    "no length": (text_of(minutes=0), "no length"),
    "practice about a real mailbox": (text_of(practice=True), "about real content"),
    "practice about a real and a made-up one": (text_of(practice=True, resources=[MADE_UP, RESOURCE]), "real content"),
    "practice in another application": (text_of(practice=True, **QUILLO), "about real content"),
    "a made-up mailbox as a real one": (text_of(resources=[MADE_UP]), "about real content"),
    "a member twice": (spoiled('"decision":"approve"', '"decision":"deny","decision":"approve"'), "in two ways"),
    "a blank": (spoiled('"level":"read"', '"level": "read"'), "in two ways"),
    "another spelling": (spoiled("Contoso", "\\u0043ontoso"), "in two ways"),
    "a number in another form": (spoiled('"minutes":90', '"minutes":9e1'), "in two ways"),
    "half a text": (text_of()[:-5], "can't be read"),
}


#: False access requests beside a correct text: the digest differs, the parts are not those that the page shows, or the
#: text allows something else.
OTHER_REASONS: dict[str, tuple[str, str, str]] = {
    "another reason": (text_of(), asked(justification="The customer asked us to."), "not the one that the text is"),
    "another demand": (text_of(), asked(reason="legal_demand", authority="A court"), "not the one that the text is"),
    "one letter": (text_of(), asked().replace("Rebuilt", "rebuilt"), "not the one that the text is"),
    "none": (text_of(), "", "not the one that the text is"),
    "more than is shown": (text_of(asked(also="x")), asked(also="x"), "other parts"),
    "practice, but a real text": (text_of(asked(practice=True)), asked(practice=True), "something else than what was"),
    "a real one, but a practice text": (
        text_of(asked(resources=[MADE_UP]), practice=True, resources=[MADE_UP]),
        asked(resources=[MADE_UP]),
        "something else than what was",
    ),
    "half a mark": (text_of(practice=1), asked(), "other parts"),
    "a list of words": (text_of(asked(tried=["x"])), asked(tried=["x"]), "is not a text"),
    "a blank": (text_of(f" {asked()}"), f" {asked()}", "in two ways"),
    "no JSON": (text_of("reason"), "reason", "can't be read"),
    "another mailbox": (
        text_of(asked(resources=[{**RESOURCE, "name": "board@contoso.example"}])),
        asked(resources=[{**RESOURCE, "name": "board@contoso.example"}]),
        "something else than what was asked for",
    ),
    "less": (text_of(asked(level="names")), asked(level="names"), "something else than what was asked for"),
    "a shorter time": (text_of(asked(window_for=60)), asked(window_for=60), "something else than what was asked for"),
    "another engineer": (text_of(asked(engineer=REQUEST)), asked(engineer=REQUEST), "something else than what was"),
    "another application": (
        text_of(asked(**{**QUILLO, "enforced_by": "Other"}), **QUILLO),
        asked(**{**QUILLO, "enforced_by": "Other"}),
        "something else than what was asked for",
    ),
    "other words of the service": (
        text_of(asked(service_words="see pages"), service_words="change pages"),
        asked(service_words="see pages"),
        "something else than what was asked for",
    ),
    "words of the service that nobody asked with": (text_of(service_words="see pages"), asked(), "other parts"),
    "no application": (text_of(asked(resources=[NOTES]), **QUILLO), asked(resources=[NOTES]), "other parts"),
    "no number": (text_of(asked(window_for="9")), asked(window_for="9"), "something else than what was asked for"),
}


class Liar:
    """A hostile server. It answers in place of the real one."""

    def __init__(self, page: Page) -> None:
        self.text, self.asked = text_of(), asked()
        self.sent: list[Any] = []
        self.status = 200
        page.clock.set_fixed_time(NOW)
        page.route(f"{API}/**", self.answer)

    def answer(self, route: Route) -> None:
        place = urlsplit(route.request.url).path
        found: dict[str, Any] = {"items": [self.line], "id": REQUEST}
        if place.endswith("/manifest"):
            # `manifest` and `asked` are the test's. The digest and the challenge are wrong, and the page must not use
            # them.
            found = {
                "manifest": self.text,
                "asked": self.asked,
                "digest": "0" * 64,
                "request": {"challenge": "AAAA", "rpId": "evil.example"},
            }
        elif route.request.method == "POST":
            self.sent.append(route.request.post_data_json)
            found = {"state": "OPEN"} if self.status == 200 else {"title": "Not now."}
        headers = {"Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "ETag", "ETag": '"1"'}
        status = self.status if route.request.method == "POST" else 200
        route.fulfill(status=status, content_type="application/json", headers=headers, body=json.dumps(found))

    line = {
        "id": REQUEST,
        "reference": "AR-0000",
        "engineer": {"name": "Somebody harmless"},
        "decide_by": "2099-01-01T00:00:00Z",
    }


def test_a_server_that_lies_gets_nothing_signed_that_was_not_read(
    page: Page, served: Callable[[str, str], str]
) -> None:
    liar = Liar(page)
    page.add_init_script(
        "window.asked = []; const get = navigator.credentials.get.bind(navigator.credentials);"
        "navigator.credentials.get = (options) => { window.asked.push(options.publicKey); return get(options); };"
    )
    connect(page, served(API, TENANT), "token")
    whole = {name: (text, asked(), words) for name, (text, words) in LIES.items()}
    for name, (text, reason, words) in [*whole.items(), *OTHER_REASONS.items()]:
        liar.text, liar.asked = text, reason
        page.get_by_role("button", name="Read the approval of AR-0000").click()
        expect(page.locator("#problem"), name).to_contain_text(words)
        expect(page.locator("#problem"), name).to_contain_text("Nothing was signed")
        expect(page.locator("#decide"), name).to_be_hidden()
        expect(page.get_by_role("button", name="Read the approval of AR-0000")).to_be_enabled()
    assert page.evaluate("window.asked.length") == 0

    # The list may contain something else. The page shows the whole signed text, with invisible characters made visible.
    resources = [{**RESOURCE, "name": f"box {n}"} for n in range(3)]
    resources[1]["name"] = "finance\u202egnp.exe"
    liar.asked = asked(
        resources=resources,
        window_for=14400,
        justification="They are gone.\nOnly \u202ethey<i> show why.",
        reason="legal_demand",
        authority="A court",
        instrument="A warrant",
        demand_reference="12 Gs",
        demand_date="2026-11-20",
        ticket=None,
    )
    liar.text = text_of(
        liar.asked, minutes=240, resources=resources, engineer={"id": TENANT, "name": "Mallory\u200b<b>"}
    )
    page.get_by_role("button", name="Read the approval of AR-0000").click()
    expect(page.get_by_role("heading")).to_have_text(
        "You allow Mallory⟨U+200B⟩<b> to read what is in 3 mailboxes of Contoso for 4 hours."
    )
    facts = page.locator("#facts")
    for words in ("box 0", "finance⟨U+202E⟩gnp.exe", "box 2", "4 hours", "AR-7K2M", "Pat Moran", "Ada Keller"):
        expect(facts).to_contain_text(words)
    for words in ("Only ⟨U+202E⟩they<i> show why.", "Rebuilt the index.", "A law-enforcement demand", "A warrant · A"):
        expect(facts).to_contain_text(words)
    expect(facts.locator("dd.quote").first).to_have_text("They are gone.\nOnly ⟨U+202E⟩they<i> show why.")
    expect(facts).not_to_contain_text("harmless")
    digest = digest_of(liar.text).hex()
    assert page.locator("#digest").inner_text().replace(" ", "") == digest

    # The page computes the challenge and the site (RP ID) itself, and ignores those of the server.
    page.get_by_role("button", name="Sign the approval: 4 hours, 3 mailboxes").click()
    expect(page.locator("#problem")).to_contain_text("the key was not used")
    [used] = page.evaluate(
        """window.asked.map(({rpId, challenge, userVerification, allowCredentials}) =>
             [rpId, [...challenge], userVerification, allowCredentials.length])"""
    )
    assert used == [SITE, list(bytes.fromhex(digest)), "required", 0]
    assert liar.sent == []


def test_the_page_shows_which_application_enforces_the_window(page: Page, served: Callable[[str, str], str]) -> None:
    liar = Liar(page)
    connect(page, served(API, TENANT), "token")
    liar.asked = asked(**QUILLO)
    liar.text = text_of(liar.asked, **QUILLO)
    page.get_by_role("button", name="Read the approval of AR-0000").click()
    expect(page.get_by_role("heading")).to_contain_text("read what is in 1 workspace of Contoso")
    facts = page.locator("#facts")
    for words in (
        "Enforced by",
        "Quillo⟨U+202E⟩",
        "only what Lockbox allowed there, and what it reports",
        "workspace · 7⟨U+202E⟩",
    ):
        expect(facts).to_contain_text(words)


@pytest.mark.parametrize("level", ["act_as", "a level of a later version"])
def test_the_page_says_that_things_can_be_changed_whatever_the_service_says(
    page: Page, served: Callable[[str, str], str], level: str
) -> None:
    """The mark is there for an unknown level, too: this page can’t know that it is a small one."""
    liar = Liar(page)
    connect(page, served(API, TENANT), "token")
    says = {**QUILLO, "level": level, "service_words": "VIEW ONLY: nothing can be changed"}
    liar.asked = asked(**says)
    liar.text = text_of(liar.asked, **says)
    page.get_by_role("button", name="Read the approval of AR-0000").click()
    heading = "act as your users and change things in" if level == "act_as" else f"do “{level}” with"
    expect(page.get_by_role("heading")).to_have_text(
        f"You allow Priya Nair to {heading} 1 workspace of Contoso for 1 hour 30 minutes."
    )
    facts = page.locator("#facts")
    for words in ("Can change things", "can change, send and delete things there, in the name of your users", "says"):
        expect(facts).to_contain_text(words)
    expect(page.get_by_role("button", name="Sign the approval to change things: 1 hour 30 minutes")).to_be_visible()
    smaller = {**QUILLO, "level": "view", "service_words": "act as your users"}
    liar.asked = asked(**smaller)
    liar.text = text_of(liar.asked, **smaller)
    page.get_by_role("button", name="Back").click()
    page.get_by_role("button", name="Read the approval of AR-0000").click()
    expect(page.get_by_role("heading")).to_contain_text("to view, and not download, what is in 1 workspace")
    expect(facts).not_to_contain_text("Can change things")


def test_text_of_a_practice_request_says_so_above_everything_else(
    page: Page, served: Callable[[str, str], str]
) -> None:
    liar = Liar(page)
    liar.asked = asked(practice=True, resources=[MADE_UP])
    liar.text = text_of(liar.asked, practice=True, resources=[MADE_UP])
    connect(page, served(API, TENANT), "token")
    page.get_by_role("button", name="Read the approval of AR-0000").click()
    expect(page.get_by_role("heading")).to_contain_text("Practice, with made-up content: You allow Priya Nair")
    expect(page.locator("#facts dd").first).to_have_text("The content is made up. Nobody’s real content is opened.")
    expect(page.get_by_role("button", name="Practice: Sign the approval")).to_be_visible()


def test_the_sent_text_is_exactly_the_shown_one(page: Page, served: Callable[[str, str], str]) -> None:
    liar = Liar(page)
    connect(page, served(API, TENANT), "token")
    # Create a passkey of this site, without a server.
    page.evaluate(
        """() => navigator.credentials.create({publicKey: {
          challenge: new Uint8Array(32), rp: {name: "x"}, user: {id: new Uint8Array(16), name: "x", displayName: "x"},
          pubKeyCredParams: [{type: "public-key", alg: -7}],
          authenticatorSelection: {residentKey: "required", userVerification: "required"},
        }}).then(() => true)"""
    )
    page.get_by_role("button", name="Read the approval of AR-0000").click()
    page.get_by_label("Comment").fill("Seen.")
    # The server now sends another text. The page signs the text that it showed.
    shown, liar.text = liar.text, text_of(minutes=60)
    page.get_by_role("button", name="Sign the approval: 1 hour 30 minutes, 1 mailbox").click()
    expect(page.get_by_role("heading", name="Your approval is signed and sent")).to_be_visible()
    [sent] = liar.sent
    assert (sent["comment"], sent["signature"]["manifest"]) == ("Seen.", shown)
    client = json.loads(unpadded(sent["signature"]["assertion"]["response"]["clientDataJSON"]))
    assert unpadded(client["challenge"]) == digest_of(shown)
    assert urlsplit(client["origin"]).hostname == SITE

    # The server gets the signature and reports an error. The page shows this, and offers the signed text as a file.
    liar.status = 500
    page.get_by_role("button", name="To the list").click()
    page.get_by_role("button", name="Read the approval of AR-0000").click()
    page.get_by_role("button", name="Sign the approval: 1 hour, 1 mailbox").click()
    unconfirmed = "Your approval is signed, and the server did not confirm it"
    expect(page.get_by_role("heading", name=unconfirmed)).to_be_visible()
    expect(page.locator("#done-text")).to_contain_text("Not now.")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save what you signed").click()
    assert (
        json.loads(download.value.path().read_text())["manifest"] == liar.sent[1]["signature"]["manifest"] == liar.text
    )
    page.get_by_role("button", name="Leave").click()
    assert page.evaluate("[sessionStorage.length, localStorage.length, document.cookie]") == [0, 0, ""]


def test_the_page_loads_nothing_from_elsewhere_and_writes_text_as_text() -> None:
    sources = {path.name: path.read_text() for path in PAGE.iterdir() if path.suffix in (".html", ".js", ".css")}
    assert sources.keys() == {"index.html", "config.js", "manifest.js", "page.js", "page.css"}
    for name, source in sources.items():
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|Function\(", source), name
        assert not re.search(r"@import|url\(|import\(", source), name
        imported = re.findall(r'from "([^"]+)"', source)
        assert {*imported} <= {"./config.js", "./manifest.js"}, name
    assert "default-src 'none'" in sources["index.html"]
    assert not re.search(r"(src|href)=\"(https?:)?//", sources["index.html"])
