"""A form that is sent without a session does nothing. After the sign-in, the person returns to its page."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from requests_app.doors.web import keeping
from requests_app.doors.web._secrets import all_forms, is_marked
from requests_app.identity.factors import seal
from requests_app.models import Ticket, TicketComment
from tests.admin.test_doors import addresses
from tests.cast import PASSWORD, Cast
from tests.conftest import Traveller
from tests.factors import force_login, sign_in
from tests.isolation.test_routes import personal_paths, rows_named
from tests.isolation.world import World
from tests.web.pages import nothing_happens, signed_in

pytestmark = pytest.mark.django_db

HOST = "http://testserver"
SENTENCE = "Nothing was sent, because the session in which you opened the form had ended."


def comment_on(ticket: Ticket) -> str:
    return reverse("web:ticket_act", args=[ticket.pk, "comment"])


def page_after(answer: Any) -> str:
    """Return the page to which the redirect to the sign-in leads in the end."""
    assert answer.status_code == 302
    sign_in_page = urlsplit(answer["Location"])
    assert sign_in_page.path == reverse("account_login")
    [after] = parse_qs(sign_in_page.query)["next"]
    assert urlsplit(after).path == reverse("web:not_sent")
    return after


@pytest.fixture
def ticket(cast: Cast) -> Ticket:
    return cast.ticket()


def test_a_form_that_is_sent_after_signing_out_in_another_tab_leads_back_to_its_page(
    cast: Cast, ticket: Ticket
) -> None:
    client, page = signed_in(cast, "mia"), reverse("web:ticket", args=[ticket.pk])
    client.post(reverse("account_logout"))
    with nothing_happens():
        answer = client.post(comment_on(ticket), {"note": "Since noon."}, headers={"Referer": f"{HOST}{page}?x=1"})
    after = page_after(answer)
    sign_in_page = client.get(answer["Location"]).content.decode()
    assert "You were signed out before you sent the form. Sign in to return to the form." in sign_in_page
    signed = sign_in(cast.mia, PASSWORD, client=client, to=after)
    shown = client.get(signed["Location"], follow=True)
    assert shown.redirect_chain == [(f"{page}?x=1", 302)]
    assert (shown.status_code, SENTENCE in shown.content.decode()) == (200, True)
    assert SENTENCE not in client.get(page).content.decode(), "only once"
    assert not TicketComment.objects.exists()


def test_a_form_that_is_sent_the_next_morning_leads_back_to_its_page(
    cast: Cast, ticket: Ticket, travel: Traveller
) -> None:
    client, page = signed_in(cast, "mia"), reverse("web:ticket", args=[ticket.pk])
    client.get(page)
    travel.by(hours=16)
    with nothing_happens():
        answer = client.post(comment_on(ticket), {"note": "Since noon."}, headers={"Referer": HOST + page})
    assert page in page_after(answer)


def test_without_a_page_in_the_request_an_address_that_takes_only_forms_leads_to_the_page_above(
    cast: Cast, ticket: Ticket
) -> None:
    after = page_after(Client().post(comment_on(ticket), {"note": "Since noon."}))
    client = signed_in(cast, "mia")
    shown = client.get(after, follow=True)
    page = reverse("web:ticket", args=[ticket.pk])
    assert [step for step, _status in shown.redirect_chain] == [comment_on(ticket), page]
    assert (shown.status_code, SENTENCE in shown.content.decode()) == (200, True)
    # An address that somebody types leads nowhere else.
    assert client.get(comment_on(ticket)).status_code == 405


@pytest.mark.slow
def test_no_form_of_the_site_leads_to_a_page_that_does_not_exist(cast: Cast) -> None:
    world = World(cast)
    named = [*rows_named(world), *((name, {}) for name in personal_paths())]
    faults = []
    with nothing_happens():
        answers = {address: Client().post(address) for address in sorted({*addresses(), *map(_address, named)})}
    # The others take no forms.
    after = {address: page_after(answer) for address, answer in answers.items() if answer.status_code != 405}
    assert len(after) > 100
    ada, stella = signed_in(cast, "ada"), signed_in(cast, "stella")
    for address, leads_to in after.items():
        # Every form below this address is sent to its own page.
        if address.startswith("/admin/requests_app/"):
            continue
        shown = (stella if address.startswith("/admin/") else ada).get(leads_to, follow=True)
        if shown.status_code == 405:
            faults.append((address, shown.redirect_chain))
    assert faults == []


def _address(page: tuple[str, dict[str, Any]]) -> str:
    return reverse(f"web:{page[0]}", kwargs=page[1])


def test_a_script_learns_that_the_session_has_ended(cast: Cast, travel: Traveller) -> None:
    """A script sends the choice of the theme. It must not mistake the redirect to the sign-in for the answer."""
    theme = {"theme": "dark", "next": "/"}
    by_script = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
    assert Client().post(reverse("web:set_theme"), theme, headers=by_script).status_code == 401
    travel.freeze()
    client = signed_in(cast, "ada")
    client.get("/")
    travel.by(minutes=16)
    answer = client.post(reverse("web:set_theme"), theme, headers=by_script)
    assert answer.status_code == 401
    cast.ada.refresh_from_db()
    assert cast.ada.theme != "dark"


@pytest.mark.parametrize("sent_from", ["https://evil.example//evil.example/", "nonsense", "https://[evil"])
def test_the_page_before_never_leads_to_another_site(cast: Cast, ticket: Ticket, sent_from: str) -> None:
    answer = Client().post(comment_on(ticket), {"note": "Since noon."}, headers={"Referer": sent_from})
    assert parse_qs(urlsplit(page_after(answer)).query)["page"] == [comment_on(ticket)]
    of_another_site = Client(enforce_csrf_checks=True).post(comment_on(ticket), {"note": "Planted."})
    assert of_another_site.status_code == 403


@pytest.mark.parametrize(
    "page", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", ""]
)
def test_the_way_back_leads_to_no_other_site(cast: Cast, page: str) -> None:
    client = Client()
    force_login(client, cast.mia)
    assert client.get(reverse("web:not_sent"), {"page": page})["Location"] == "/"


def test_the_page_that_sends_a_stored_form_links_to_the_page_with_the_form(
    cast: Cast, ticket: Ticket, travel: Traveller
) -> None:
    travel.freeze()
    client, page = signed_in(cast, "ada"), reverse("web:ticket", args=[ticket.pk])
    client.get("/")
    travel.by(minutes=16)
    client.post(comment_on(ticket), {"note": "Since noon."}, headers={"Referer": HOST + page})
    sign_in(cast.ada, PASSWORD, client=client, to=reverse("web:resume"))
    shown = client.get(reverse("web:resume")).content.decode()
    back = f"{reverse('web:not_sent')}?page={page}"
    assert (f'action="{comment_on(ticket)}"' in shown, f'href="{back}"' in shown) == (True, True)
    assert SENTENCE in client.get(back, follow=True).content.decode()


def test_a_form_that_was_stored_before_an_upgrade_is_shown_too(
    cast: Cast, ticket: Ticket, monkeypatch: pytest.MonkeyPatch, travel: Traveller
) -> None:
    """Earlier releases stored no page with it."""
    travel.freeze()
    client = signed_in(cast, "ada")
    client.get("/")
    travel.by(minutes=16)
    with monkeypatch.context() as former:
        former.setattr(keeping.factors, "seal", lambda text: seal(_without_page(text)))
        client.post(comment_on(ticket), {"note": "Since noon."})
    sign_in(cast.ada, PASSWORD, client=client, to=reverse("web:resume"))
    shown = client.get(reverse("web:resume"))
    assert shown.status_code == 200
    assert f'href="{reverse("web:not_sent")}?page={comment_on(ticket)}"' in shown.content.decode()


def _without_page(stored: str) -> str:
    return json.dumps({name: value for name, value in json.loads(stored).items() if name != "page"})


def test_an_idle_session_with_a_file_in_its_form_leads_back_to_the_form_too(cast: Cast, travel: Traveller) -> None:
    """Files are not stored, so this form can't be sent again."""
    travel.freeze()
    client, page = signed_in(cast, "ada"), reverse("web:ticket_new")
    client.get("/")
    travel.by(minutes=16)
    sent = {"title": "Invoices", "file": SimpleUploadedFile("a.txt", b"x")}
    assert page in page_after(client.post(page, sent, headers={"Referer": HOST + page}))


def test_a_form_from_before_a_sign_in_in_another_tab_is_refused_with_a_link_to_its_page(
    cast: Cast, ticket: Ticket
) -> None:
    page = reverse("web:ticket", args=[ticket.pk])
    for person, back in ((cast.mia, f"{reverse('web:not_sent')}?page={page}"), (None, page)):
        client = Client(enforce_csrf_checks=True)
        if person is not None:
            force_login(client, person)
        with nothing_happens():
            answer = client.post(comment_on(ticket), {"note": "Since noon."}, headers={"Referer": HOST + page})
        assert (answer.status_code, f'href="{back}"' in answer.content.decode()) == (403, True)


def test_the_page_names_each_secret_field_for_the_script_that_stores_a_form(cast: Cast) -> None:
    """The script must not store these. The rule is the one for a form that the server stores."""
    secret = {
        name for form in all_forms() for name, field in getattr(form, "base_fields", {}).items() if is_marked(field)
    }
    assert {"password", "code", "recovery_key", "client_secret"} <= secret
    for page in (signed_in(cast, "mia").get("/"), signed_in(cast, "stella").get("/admin/")):
        [named] = re.findall(r'<meta name="lockbox-secrets" content="([^"]*)">', page.content.decode())
        assert (set(named.split()) >= secret, page.content.decode().count("lockbox-person")) == (True, 1)
    stranger = Client().get(reverse("account_login")).content.decode()
    assert "lockbox-person" not in stranger
