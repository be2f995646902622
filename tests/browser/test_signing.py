"""An approver's passkey in a real browser: made by a virtual authenticator, used to sign a yes, verified offline."""

from __future__ import annotations

import json
import secrets
from typing import Any

from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from audit_app import checkpoints, evidence, parts
from requests_app import clock, operations, webauthn
from requests_app.demo.world import as_
from requests_app.models import AccessRequest, Decision
from tests.audit.bundles import verified
from tests.browser.axe import check
from tests.browser.conftest import Visit

#: What the page that adds a passkey does with the browser, without the page.
CREATE = """async (options) => {
  const bytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
  const text = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const made = await navigator.credentials.create({ publicKey: {
    ...options, challenge: bytes(options.challenge), user: { ...options.user, id: bytes(options.user.id) },
  } });
  return { id: made.id, rawId: text(made.rawId), type: made.type, response: {
    clientDataJSON: text(made.response.clientDataJSON), attestationObject: text(made.response.attestationObject),
  } };
}"""


def virtual_authenticator(page: Page, *, verifies: bool = True) -> tuple[Any, str]:
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
        "isUserVerified": verifies, "automaticPresenceSimulation": True,
    }  # fmt: skip
    found = session.send("WebAuthn.addVirtualAuthenticator", {"options": options})
    return session, str(found["authenticatorId"])


def enrol(page: Page) -> None:
    actor, challenge = as_("ada.keller", fresh=True), secrets.token_bytes(32)
    options = webauthn.registration_options(
        party=webauthn.own_party(),
        user_id=actor.person.bytes,
        email=actor.email,
        name=actor.name,
        challenge=challenge,
    )
    answer = page.evaluate(CREATE, options)
    operations.enrol_passkey(actor=actor, response=answer, challenge=challenge, name="Laptop")


def test_a_yes_is_signed_in_the_browser_and_verified_without_it(
    visit: Visit, live_server: LiveServer, settings: Any, tmp_path: Any
) -> None:
    settings.PASSKEY_ORIGINS = [live_server.url]
    row = AccessRequest.objects.get(tenant__slug="contoso", state="PENDING_CUSTOMER")
    ada = visit("ada.keller")
    page = ada.page
    ada.goto(f"/access-requests/{row.pk}/")
    session, device = virtual_authenticator(page)
    enrol(page)
    ada.goto(f"/access-requests/{row.pk}/decide/approve/")
    check(page)
    page.get_by_text("The text that is signed").click()
    expect(page.locator("pre.code")).to_contain_text('"decision": "approve"')
    # Somebody else holds the device, and it notices.
    session.send("WebAuthn.setUserVerified", {"authenticatorId": device, "isUserVerified": False})
    page.get_by_role("button", name="signed with your passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing was signed, and nothing was decided.")
    assert not Decision.objects.filter(access_request=row, stage="customer").exists()
    session.send("WebAuthn.setUserVerified", {"authenticatorId": device, "isUserVerified": True})
    page.get_by_role("button", name="signed with your passkey").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your yes is recorded")
    expect(page.locator("main")).to_contain_text("Signed with the passkey “")
    check(page)
    decision = Decision.objects.get(access_request=row, stage="customer")
    expect(page.locator(f'[data-copy="{decision.manifest_digest}"]')).to_have_count(1)
    said = json.loads(decision.signature.manifest)
    assert (said["access_request"]["id"], said["decision"]) == (str(row.pk), "approve")
    checkpoints.sign(row.tenant_id, at=clock.now())
    wanted = parts.Wanted(tenant_id=row.tenant_id, tenant_name="Contoso", access_request=row.pk)
    bundle = b"".join(evidence.prepare(wanted, at=clock.now()).stream())
    status, data = verified(bundle, tmp_path)
    assert (status, data["result"]) == (0, "good"), data
    [proven] = data["decisions"]["proven"]
    assert (proven["passkey"], proven["digest"]) == ("Laptop", decision.manifest_digest)
