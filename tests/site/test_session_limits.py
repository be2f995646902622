"""A session ends after 12 hours. The session of an approver also ends after 15 minutes without activity."""

import pytest
from django.test import Client
from django.urls import reverse

from requests_app.domain import clock
from requests_app.models import Membership, Person, QueueAssignment, Service, Tenant, Ticket
from tests.conftest import Traveller
from tests.factors import give_app, sign_in
from tests.site.conftest import PASSWORD, signed_in

pytestmark = pytest.mark.django_db
POLL = {"HX-Request": "true"}


def is_in(client: Client, **extra: object) -> bool:
    return "_auth_user_id" in client.session


def test_a_decider_who_was_away_for_15_minutes_signs_in_again(approver: Person, travel: Traveller) -> None:
    travel.freeze()
    client = signed_in(approver)
    assert client.get("/").status_code == 200
    travel.by(minutes=14, seconds=59)
    assert client.get("/").status_code == 200
    travel.by(minutes=15)
    answer = client.get("/?page=2")
    assert answer.status_code == 302
    assert answer["Location"] == "/accounts/login/?next=/%3Fpage%3D2"
    assert not is_in(client)


def test_somebody_who_decides_nothing_may_be_away(member: Person, travel: Traveller) -> None:
    travel.freeze()
    client = signed_in(member)
    client.get("/")
    travel.by(hours=11)
    assert client.get("/").status_code == 200


def test_the_providers_deciders_are_limited_too(travel: Traveller) -> None:
    travel.freeze()
    person = Person.objects.create_user("senior@provider.example", PASSWORD, name="Senior", side="provider")
    service = Service.objects.create(key="exchange", name="Exchange Online", connector="maildir")
    QueueAssignment.objects.create(service=service, person=person, role="provider_approver", given_at=clock.now())
    give_app(person)
    client = signed_in(person)
    client.get("/")
    travel.by(minutes=15)
    assert client.get("/").status_code == 302


@pytest.mark.parametrize("role", ["approver", "deputy"])
def test_a_role_given_meanwhile_counts(member: Person, tenant: Tenant, travel: Traveller, role: str) -> None:
    travel.freeze()
    client = signed_in(member)
    client.get("/")
    Membership.objects.create(tenant=tenant, person=member, role=role, given_at=clock.now())
    travel.by(minutes=20)
    assert client.get("/").status_code == 302


@pytest.mark.slow
def test_twelve_hours_are_the_end_however_busy(approver: Person, travel: Traveller) -> None:
    travel.freeze()
    client = signed_in(approver)
    client.get("/")
    # Never away for 15 minutes, until one second before the end. An unknown page costs half of what another one costs.
    for _ in range(51):
        travel.by(minutes=14)
        assert client.get("/nothing-here/").status_code == 404
    travel.by(minutes=5, seconds=59)
    assert client.get("/").status_code == 200
    travel.by(seconds=1)
    assert client.get("/").status_code == 302
    assert not is_in(client)


def test_a_page_that_refreshes_itself_keeps_no_session_alive(approver: Person, travel: Traveller) -> None:
    travel.freeze()
    client = signed_in(approver)
    client.get("/")
    for _ in range(2):
        travel.by(minutes=7)
        assert client.get("/", headers=POLL).status_code == 200
    travel.by(minutes=1)
    answer = client.get("/", headers=POLL)
    assert answer.status_code == 401
    assert answer["HX-Refresh"] == "true"
    assert not is_in(client)


def test_a_form_sent_after_the_session_is_not_done(approver: Person, travel: Traveller) -> None:
    travel.freeze()
    client = signed_in(approver)
    client.get("/")
    travel.by(minutes=16)
    answer = client.post("/accounts/password/change/", {"oldpassword": PASSWORD})
    assert answer.status_code == 302
    # The password is not stored, so after the sign-in the person gets the form again.
    assert answer["Location"] == "/accounts/login/?next=/not-sent/%3Fpage%3D/accounts/password/change/"


@pytest.mark.parametrize("how", ["page", "form", "poll", "over"])
def test_the_sign_in_page_says_why_the_session_ended(
    approver: Person, member: Person, travel: Traveller, how: str
) -> None:
    travel.freeze()
    client = signed_in(member if how == "over" else approver)
    client.get("/")
    if how == "over":
        # Somebody who decides nothing, and was active an hour ago.
        travel.by(hours=11)
        client.get("/")
        travel.by(hours=1)
    else:
        travel.by(minutes=15)
    if how == "form":
        client.post("/tickets/new/", {"title": "Invoices are missing"})
    else:
        client.get("/", headers=POLL if how == "poll" else {})
    page = client.get("/accounts/login/").content.decode()
    why = "a session ends after 12 hours" if how == "over" else "signed out after 15 minutes without activity"
    assert (why in page, "it is stored: sign in to continue" in page) == (True, how == "form")
    assert why not in client.get("/accounts/login/").content.decode(), "only once"


def test_typed_text_waits_after_the_session_for_the_same_person(
    approver: Person, member: Person, tenant: Tenant, travel: Traveller
) -> None:
    travel.freeze()
    client, page = signed_in(approver), "/tickets/new/"
    client.get("/")
    typed = {"title": "Invoices <b>are</b> missing", "body": "Since Monday.\nAll of November.", "password": PASSWORD}
    travel.by(minutes=16)
    answer = client.post(page, typed)
    assert answer["Location"] == "/accounts/login/?next=/resume/"
    assert "Since Monday" not in str(dict(client.session))
    sign_in(approver, PASSWORD, client=client, to="/resume/")
    shown = client.get("/resume/").content.decode()
    assert f'action="{page}"' in shown
    assert 'name="title" value="Invoices &lt;b&gt;are&lt;/b&gt; missing"' in shown
    assert "All of November." in shown
    assert PASSWORD not in shown
    # The product submitted nothing by itself. It showed the form once, and then deleted it.
    assert not Ticket.objects.exists()
    assert client.get("/resume/")["Location"] == "/"
    client.get("/")
    travel.by(minutes=16)
    assert client.post(page, typed)["Location"] == "/accounts/login/?next=/resume/"
    # Another person in the same browser does not get the form.
    sign_in(member, PASSWORD, client=client)
    assert client.get("/resume/")["Location"] == "/"


def test_no_secret_waits_from_any_form(approver: Person, tenant: Tenant, travel: Traveller) -> None:
    travel.freeze()
    client, words = signed_in(approver), "nobody-else-knows"
    secrets = (
        "client_secret",
        "oldpassword",
        "password1",
        "recovery_key",
        "code",
        "assertion",
        "credential",
        "step-up-code",
    )
    pages = {
        reverse("web:sign_on", args=[tenant.pk]): {"issuer": "https://idp.example", "key_claim": "oid"},
        reverse("web:recover"): {"email": "next@contoso.example"},
    }
    for page, open_to_all in pages.items():
        client.get("/")
        travel.by(minutes=16)
        answer = client.post(page, {**open_to_all, **dict.fromkeys(secrets, words), "next": "/"})
        assert answer["Location"] == "/accounts/login/?next=/resume/"
        sign_in(approver, PASSWORD, client=client, to="/resume/")
        shown = client.get("/resume/").content.decode()
        for name, value in {**open_to_all, "next": "/"}.items():
            assert f'name="{name}" value="{value}"' in shown
        assert (words in shown, [name for name in secrets if f'name="{name}"' in shown]) == (False, [])


def test_a_form_of_another_site_sent_after_the_session_does_not_wait(approver: Person, travel: Traveller) -> None:
    travel.freeze()
    client = Client(enforce_csrf_checks=True)
    client.force_login(approver)
    client.get("/")
    travel.by(minutes=16)
    assert client.post("/tickets/new/", {"title": "Planted"})["Location"] == "/accounts/login/?next=/"
