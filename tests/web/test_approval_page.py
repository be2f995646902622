"""The pages with which a tenant sees and sets its own approval page."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest
from django.urls import reverse

from tests.cast import Cast, events_in
from tests.operations.test_approval_pages import ORIGIN, SITE, own_key, page_of, put
from tests.passkeys import enrolled
from tests.web.pages import nothing_happens, only_a_refusal, signed_in

pytestmark = pytest.mark.django_db


def url(cast: Cast, name: str = "set_approval_page") -> str:
    return reverse(f"web:{name}", args=[cast.contoso.pk])


def text(response: Any) -> str:
    return html.unescape(response.content.decode())


def test_everybody_of_the_tenant_sees_it_and_only_its_administrator_the_way_to_set_it(cast: Cast) -> None:
    for name in ("ada", "otto", "mia", "ines", "stella"):
        page = text(signed_in(cast, name).get(url(cast, "approval_page")))
        assert (
            "Your tenant has no approval page of its own. "
            "Your approvers approve and deny on the pages of Customer Lockbox." in page
        ), name
        assert (f'href="{url(cast)}"' in page) == (name == "ines"), name
        assert f'<span class="mono">{cast.contoso.pk}</span>' in page
    put(cast)
    page = text(signed_in(cast, "mia").get(url(cast, "approval_page")))
    assert ORIGIN in page
    assert "An approval on the pages of Customer Lockbox is valid, too." in page
    own_key(cast)
    put(cast, keys_only=True)
    page = text(signed_in(cast, "mia").get(url(cast, "approval_page")))
    assert f'An approval is valid only if it is signed with a passkey of <strong class="mono">{SITE}</strong>.' in page


def test_if_approvals_count_only_there_the_page_here_only_accepts_denials(cast: Cast) -> None:
    put(cast)
    own_key(cast)
    put(cast, keys_only=True)
    enrolled(cast, "ada")
    client, row = signed_in(cast, "ada"), cast.confirmed()
    yes = text(client.get(reverse("web:decide", args=[row.pk, "approve"])))
    assert f"Your tenant accepts an approval only if it is signed at {ORIGIN}, with a passkey of that page." in yes
    assert ("data-sign=" in yes, 'name="password"' in yes) == (False, False)
    no = text(client.get(reverse("web:decide", args=[row.pk, "deny"])))
    assert ("data-sign=" in no, 'name="password"' in no) == (True, False)


def test_the_administrator_sets_it(cast: Cast) -> None:
    client = signed_in(cast, "ines")
    assert "Save this page" in text(client.get(url(cast)))
    done = client.post(url(cast), {"origin": ORIGIN, "rp_id": ""}, follow=True)
    assert "The settings of the approval page are saved, and apply from now on." in text(done)
    assert page_of(cast) == (ORIGIN, SITE, False)
    assert events_in(cast.contoso) == ["tenant.changed"]


def test_a_session_alone_sets_nothing(cast: Cast) -> None:
    with nothing_happens():
        answer = signed_in(cast, "ines", fresh=False).post(url(cast), {"origin": ORIGIN, "rp_id": ""})
    assert answer.status_code == 403
    assert f'name="origin" value="{ORIGIN}"' in text(answer)
    assert page_of(cast) == ("", "", False)


@pytest.mark.parametrize("name", ["ada", "mia", "stella"])
def test_nobody_else_sets_it(cast: Cast, name: str) -> None:
    client = signed_in(cast, name)
    with only_a_refusal():
        assert client.post(url(cast), {"origin": ORIGIN, "rp_id": ""}).status_code == 403
    assert client.get(url(cast)).status_code == 403
    assert page_of(cast) == ("", "", False)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"origin": "http://approvals.contoso.example"}, "origin"),
        ({"origin": ORIGIN, "rp_id": "evil.example"}, "rp_id"),
        ({"origin": ORIGIN, "keys_only": "on"}, "keys_only"),
    ],
)
def test_a_wrong_value_is_explained_beside_its_field(cast: Cast, wrong: dict[str, str], field: str) -> None:
    with nothing_happens():
        answer = signed_in(cast, "ines").post(url(cast), {"rp_id": "", **wrong})
    assert (answer.status_code, list(answer.context["form"].errors)) == (422, [field])


def test_the_log_says_what_was_set(cast: Cast) -> None:
    put(cast)
    own_key(cast)
    put(cast, keys_only=True)
    put(cast, origin="")
    log = text(signed_in(cast, "otto").get(reverse("web:log", args=[cast.contoso.pk])))
    page = re.sub(r"<[^>]+>", "", log)
    assert f"set the tenant’s own approval page to {ORIGIN}; approvals do not need a passkey of this page" in page
    assert (
        f"set this rule: approvals must be signed with a passkey for {SITE} that was added on the tenant’s own "
        f"approval page {ORIGIN}" in page
    )
    assert "removed the tenant’s own approval page; approvals do not need a passkey of this page" in page
