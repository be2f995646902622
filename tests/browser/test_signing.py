"""A passkey in a real browser: a virtual authenticator creates it, and uses it to sign in and to sign an approval."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Route, expect
from pytest_django.live_server_helper import LiveServer

from audit_app import checkpoints
from lockbox_site.demo.world import as_
from requests_app import operations
from requests_app.domain import clock
from requests_app.models import AccessRequest, Decision, Passkey, SignedDecision
from tests.audit.bundles import verified
from tests.browser.axe import check
from tests.browser.conftest import Visit


def virtual_authenticator(page: Page, *, verifies: bool = True) -> tuple[Any, str]:
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
        "isUserVerified": verifies, "automaticPresenceSimulation": True,
    }  # fmt: skip
    found = session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return session, str(found["authenticatorId"])


def answering(session: Any, device: str, *, verifies: bool) -> None:
    """Make the device confirm, or not confirm, that its owner uses it."""
    session.send("WebAuthn.setUserVerified", {"authenticatorId": device, "isUserVerified": verifies})


def test_a_passkey_is_added_signs_in_and_signs_an_approval_that_verifies(
    visit: Visit, live_server: LiveServer, settings: Any, tmp_path: Path
) -> None:
    settings.PASSKEY_ORIGINS = [live_server.url]
    row = AccessRequest.objects.get(tenant__slug="contoso", state="PENDING_CUSTOMER")
    ada = visit("ada.keller")
    page = ada.goto("/security/")
    session, device = virtual_authenticator(page)
    ada.link("Add a passkey")
    check(page)
    page.get_by_text(re.compile(r"^Name of the passkey: Chrome on \w+")).click()
    expect(page.get_by_label("Name")).to_have_value(re.compile(r"^Chrome on \w+$"))
    page.get_by_label("Name").fill("")
    # Folded away again, the field is shown when it is wrong.
    page.get_by_text("Name of the passkey:").click()
    page.get_by_role("button", name="Create the passkey").click()
    expect(page.get_by_label("Name")).to_be_visible()
    assert not Passkey.objects.filter(person__email=ada.email).exists(), "without a name none is made"
    page.get_by_label("Name").fill("Laptop")
    page.get_by_role("button", name="Create the passkey").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Save these recovery codes")
    ada.link("I have saved them")
    expect(page.locator("main")).to_contain_text("Laptop")
    check(page)
    # The device refuses to create a second passkey for the same account.
    page.goto(f"{ada.base}/security/passkeys/add/")
    page.get_by_text("Name of the passkey:").click()
    page.get_by_label("Name").fill("Again")
    page.get_by_role("button", name="Create the passkey").click()
    expect(page.get_by_role("alert")).to_have_text("This device already has a passkey of yours.")

    page.context.clear_cookies()
    ada.goto("/accounts/login/?next=/preferences/")
    check(page)
    answering(session, device, verifies=False)
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("Your passkey did not answer.")
    answering(session, device, verifies=True)
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page).to_have_url(f"{ada.base}/preferences/")

    # After five minutes, a page asks for confirmation. The passkey gives it, and the page continues.
    ada.forget_proof()
    page.goto(f"{ada.base}/security/recovery-codes/")
    check(page)
    page.get_by_role("button", name="Confirm with your passkey").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Create new recovery codes?")

    ada.goto(f"/access-requests/{row.pk}/decide/approve/")
    check(page)
    page.get_by_text("The text that is signed").click()
    expect(page.locator("pre.code")).to_contain_text('"decision": "approve"')
    answering(session, device, verifies=False)
    page.get_by_role("button", name="and sign with your passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was signed, and nothing was decided.")
    answering(session, device, verifies=True)
    # A script on the page changes one letter of the text after it was shown.
    page.evaluate("""() => {
      const field = document.querySelector("[name=manifest]");
      field.value = field.value.replace("read", "reed");
    }""")
    with ada.expecting(403):
        page.get_by_role("button", name="and sign with your passkey").click()
        expect(page.get_by_role("alert").first).to_contain_text("is different from the text")
    assert not Decision.objects.filter(access_request=row, stage="customer").exists()
    page.get_by_role("button", name="and sign with your passkey").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your approval is recorded")
    expect(page.locator("main")).to_contain_text("Signed with the passkey “")
    check(page)
    decision = Decision.objects.get(access_request=row, stage="customer")
    expect(page.locator(f'[data-copy="{decision.manifest_digest}"]')).to_have_count(1)
    record = json.loads(decision.signature.manifest)
    assert (record["access_request"]["id"], record["decision"]) == (str(row.pk), "approve")

    checkpoints.sign(row.tenant_id, at=clock.now())
    ada.goto(f"/access-requests/{row.pk}/")
    ada.link("Download evidence")
    with page.expect_download() as coming:
        page.get_by_role("button", name="Download evidence").click()
    path = tmp_path / "taken.zip"
    coming.value.save_as(path)
    status, data = verified(path.read_bytes(), tmp_path)
    assert (status, data["result"]) == (0, "good"), data
    [proven] = data["decisions"]["proven"]
    assert (proven["passkey"], proven["digest"]) == ("Laptop", decision.manifest_digest)


def test_a_press_is_not_lost_while_the_script_is_still_loaded(
    visit: Visit, live_server: LiveServer, settings: Any
) -> None:
    settings.PASSKEY_ORIGINS = [live_server.url]
    ada = visit("ada.keller")
    page = ada.goto("/security/")
    virtual_authenticator(page)

    loading: list[Route] = []
    page.route("**/js/sign*.js", lambda route: loading.append(route))
    with page.expect_request("**/js/sign*.js"):
        page.goto(f"{ada.base}/security/passkeys/add/", wait_until="commit")
    button = page.get_by_role("button", name="Create the passkey")
    expect(button).to_have_count(0)
    loading[0].continue_()
    button.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Save these recovery codes")


def test_after_the_password_a_passkey_completes_the_sign_in(
    visit: Visit, live_server: LiveServer, settings: Any
) -> None:
    settings.PASSKEY_ORIGINS = [live_server.url]
    mia = visit("mia.weber")
    page = mia.goto("/security/passkeys/add/?next=/preferences/")
    virtual_authenticator(page)
    page.get_by_text("Name of the passkey:").click()
    page.get_by_label("Name").fill("Key")
    page.get_by_role("button", name="Create the passkey").click()
    mia.link("I have saved them")
    expect(page).to_have_url(f"{mia.base}/preferences/")
    page.context.clear_cookies()
    mia.goto("/accounts/login/")
    page.get_by_label("Email").fill(mia.email)
    page.get_by_label("Password", exact=True).fill(mia.password)
    page.get_by_role("button", name="Sign in", exact=True).click()
    check(page)
    page.get_by_role("button", name="Sign in with your passkey").click()
    expect(page).to_have_url(f"{mia.base}/")


#: What a page does to use a passkey, without the product's script: a hostile page has its own script.
ANSWER = """async ([options, isNew]) => {
  const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  let keys = options.allowCredentials.map((key) => ({...key, id: bytes(key.id)}));
  if (isNew) {
    const made = await navigator.credentials.create({publicKey: {
      rp: {id: options.rpId, name: "x"}, user: {id: new Uint8Array(16), name: "x", displayName: "x"},
      challenge: new Uint8Array(32), pubKeyCredParams: [-7, -257].map((alg) => ({type: "public-key", alg}))}});
    keys = [{type: "public-key", id: made.rawId}];
  }
  const found = await navigator.credentials.get(
    {publicKey: {...options, challenge: bytes(options.challenge), allowCredentials: keys}});
  const response = {};
  for (const name of ["clientDataJSON", "authenticatorData", "signature"]) response[name] = text(found.response[name]);
  return {id: found.id, rawId: text(found.rawId), type: found.type, response};
}"""
SEND = """([manifest, assertion]) => {
  const field = document.querySelector("[data-sign-answer]");
  field.value = JSON.stringify(assertion);
  field.form.elements.manifest.value = manifest;
  field.form.requestSubmit();
}"""


def offered(page: Page) -> tuple[str, dict[str, Any]]:
    """Return the text that the page offers to sign, and the options that it passes to the device."""
    options = page.locator("[data-sign]").get_attribute("data-sign")
    return page.locator("[name=manifest]").input_value(), json.loads(options or "")


def moved(session: Any, device: str, to: Page) -> None:
    """Copy the passkeys from a device to a new device of the page `to`.

    A signature of the copy names this page.
    """
    other, its_device = virtual_authenticator(to)
    for key in session.send("WebAuthn.getCredentials", {"authenticatorId": device})["credentials"]:
        other.send("WebAuthn.addCredential", {"authenticatorId": its_device, "credential": key})


def test_a_signature_for_another_key_page_text_or_time_decides_nothing(
    visit: Visit, browser: Browser, live_server: LiveServer, settings: Any, travel: Any
) -> None:
    settings.PASSKEY_ORIGINS = [live_server.url]
    row = AccessRequest.objects.get(tenant__slug="contoso", state="PENDING_CUSTOMER")
    other = AccessRequest.objects.get(tenant__slug="contoso", state="PENDING_PROVIDER")
    operations.approve_as_provider(other.pk, actor=as_("pat.doyle", fresh=True), note="No other way.")
    ada = visit("ada.keller")
    page = ada.goto("/security/passkeys/add/?next=/preferences/")
    session, device = virtual_authenticator(page)
    page.get_by_text("Name of the passkey:").click()
    page.get_by_label("Name").fill("Laptop")
    page.get_by_role("button", name="Create the passkey").click()
    ada.link("I have saved them")
    expect(page).to_have_url(f"{ada.base}/preferences/")

    def refused(manifest: str, assertion: Any, words: str) -> None:
        with ada.expecting(403):
            page.evaluate(SEND, [manifest, assertion])
            expect(page.get_by_role("alert").first).to_contain_text(words)
        assert not Decision.objects.filter(access_request__in=[row, other], stage="customer").exists()

    ada.goto(f"/access-requests/{other.pk}/decide/approve/")
    text, options = offered(page)
    for_the_other = text, page.evaluate(ANSWER, [options, False])
    ada.goto(f"/access-requests/{row.pk}/decide/deny/")
    text, options = offered(page)
    for_a_no = text, page.evaluate(ANSWER, [options, False])
    ada.goto(f"/access-requests/{row.pk}/decide/approve/")
    refused(*for_the_other, "another access request, another answer, or another person")
    refused(*for_a_no, "another access request, another answer, or another person")

    text, options = offered(page)
    answering(session, device, verifies=False)
    unseen = page.evaluate(ANSWER, [options | {"userVerification": "discouraged"}, False])
    answering(session, device, verifies=True)
    refused(text, unseen, "did not check that it is you")

    text, options = offered(page)
    refused(text, page.evaluate(ANSWER, [options, True]), "not one of your passkeys")

    text, options = offered(page)
    hostile = browser.new_context()
    # Another port of the same site: passkeys of the site work there, and the origin differs.
    hostile.route("**/*", lambda route: route.fulfill(content_type="text/html", body="<title>Lockbox</title>"))
    there = hostile.new_page()
    there.goto("http://localhost:9/")
    moved(session, device, there)
    elsewhere = there.evaluate(ANSWER, [options, False])
    hostile.close()
    refused(text, elsewhere, "on the page of another site")

    text, options = offered(page)
    old = page.evaluate(ANSWER, [options, False])
    travel.by(seconds=301)
    refused(text, old, "this time is over")

    text, options = offered(page)
    good = page.evaluate(ANSWER, [options, False])
    body = page.evaluate("() => Object.fromEntries(new FormData(document.querySelector('[data-sign-answer]').form))")
    page.evaluate(SEND, [text, good])
    expect(page.get_by_role("heading", level=1)).to_have_text("Your approval is recorded")
    # The same form again decides nothing, because the signature was already used.
    again = body | {"manifest": text, "assertion": json.dumps(good)}
    page.request.post(f"{ada.base}/access-requests/{row.pk}/decide/approve/", form=again, headers={"Origin": ada.base})
    [signed] = SignedDecision.objects.filter(decision__access_request__in=[row, other], decision__stage="customer")
    assert (signed.manifest, signed.decision.access_request_id) == (text, row.pk)
