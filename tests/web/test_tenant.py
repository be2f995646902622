"""The pages of a tenant: Lockbox and its switch, the maximum length of windows, people and roles, addresses."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from requests_app import operations
from requests_app.domain import clock
from requests_app.models import Membership, NotificationAddress, Person, Tenant
from requests_app.queries import tenant as queries
from tests.cast import PASSWORD, Cast, events_in, outbox_topics
from tests.offenders import collected
from tests.web.pages import nothing_happens, only_a_refusal, queries_of, same_queries, signed_in

pytestmark = pytest.mark.django_db

PAGES = ["tenant", "people", "addresses"]
MEMBERS = ["mia", "ada", "otto", "ines", "stella"]
READERS = ["mia", "ada", "otto", "stella"]
STRANGERS = ["frida", "finn", "priya", "pat"]
GOOD = "a long and unheard-of phrase 7"


def url(tenant: Tenant, name: str = "tenant", *more: Any) -> str:
    return reverse(f"web:{name}", args=[tenant.pk, *more])


def text(response: Any) -> str:
    """Return the visible text of a page as one line."""
    apart = re.sub(r"<(/?(?:li|td|th|tr|p|div|dt|dd|br|h\d|section|a|strong))\b[^>]*>", " ", response.content.decode())
    return " ".join(html.unescape(re.sub(r"<[^>]+>", "", apart)).split())


def house() -> list[Any]:
    """Return all rows that these pages can change."""
    return [
        list(Tenant.objects.order_by("pk").values_list("pk", "lockbox_on", "window_cap")),
        list(Membership.objects.order_by("pk").values_list("pk", "role", "person_id")),
        list(Person.objects.order_by("pk").values_list("pk", "is_active", "password")),
        list(NotificationAddress.objects.order_by("pk").values_list("pk", "email")),
    ]


@contextmanager
def no_change() -> Iterator[None]:
    before = house()
    with nothing_happens():
        yield
    assert house() == before


@contextmanager
def refused() -> Iterator[None]:
    before = house()
    with only_a_refusal():
        yield
    assert house() == before


def posts(cast: Cast) -> list[tuple[str, dict[str, Any]]]:
    """Return (URL, fields) for each change that the pages offer to the administrator."""
    address = NotificationAddress.objects.create(
        tenant=cast.contoso, email="old@contoso.example", created_at=cast.contoso.created_at
    )
    member = {"email": "new@contoso.example", "role": "member"}
    mia = url(cast.contoso, "person", cast.mia.pk)
    return [
        (url(cast.contoso), {"window_cap": 3600}),
        (url(cast.contoso, "lockbox", "off"), {}),
        (url(cast.contoso, "people"), member),
        (mia, {"act": "give", "role": "auditor"}),
        (mia, {"act": "take", "role": "member"}),
        (mia, {"act": "switch_off"}),
        (url(cast.contoso, "addresses"), {"email": "team@contoso.example", "label": "Team"}),
        (url(cast.contoso, "addresses"), {"remove": str(address.pk)}),
    ]


# --- Who can act ---------------------------------------------------------------------------------------------


def test_everybody_of_the_tenant_reads(cast: Cast) -> None:
    with collected() as case:
        for name in MEMBERS:
            client = signed_in(cast, name)
            for page in PAGES:
                with case(name, page), no_change():
                    assert client.get(url(cast.contoso, page)).status_code == 200
                    assert client.head(url(cast.contoso, page)).status_code == 200


@pytest.mark.parametrize("name", STRANGERS)
def test_for_strangers_and_the_providers_people_there_is_nothing(cast: Cast, name: str) -> None:
    client, all_posts = signed_in(cast, name), posts(cast)
    with no_change():
        for page in PAGES:
            assert client.get(url(cast.contoso, page)).status_code == 404
        for where, data in all_posts:
            assert client.get(where).status_code == 404
            assert client.post(where, data).status_code == 404


@pytest.mark.parametrize("name", READERS)
def test_only_the_administrator_changes_anything(cast: Cast, name: str) -> None:
    client, all_posts = signed_in(cast, name), posts(cast)
    for where, data in all_posts:
        if (name, data.get("act")) == ("stella", "switch_off"):
            # Staff can switch anybody off, for example if a person left and no administrator is available.
            continue
        with refused():
            assert client.post(where, data).status_code == 403, (where, data)
    with no_change():
        assert client.get(url(cast.contoso, "lockbox", "off")).status_code == 403
        assert client.get(url(cast.contoso, "person", cast.mia.pk)).status_code == 403


def test_people_who_may_change_nothing_see_no_forms(cast: Cast) -> None:
    posts(cast)
    with collected() as case:
        for name in READERS:
            for page in PAGES:
                with case(name, page):
                    main = signed_in(cast, name).get(url(cast.contoso, page)).content.decode().partition("<main")[2]
                    assert 'method="post"' not in main
                    assert "/lockbox/" not in main


def test_the_administrator_may_all_of_it(cast: Cast) -> None:
    client = signed_in(cast, "ines")
    for where, data in posts(cast):
        assert client.post(where, data).status_code == 302, (where, data)


@pytest.mark.parametrize("extra", ["tenant", "state", "lockbox_on", "is_staff", "side"])
def test_a_field_that_no_form_has_is_refused(cast: Cast, extra: str) -> None:
    client, all_posts = signed_in(cast, "ines"), posts(cast)
    with no_change():
        for where, data in all_posts:
            assert client.post(where, {**data, extra: "1"}).status_code == 400, where


def test_each_form_carries_a_token(cast: Cast) -> None:
    client, all_posts = Client(enforce_csrf_checks=True), posts(cast)
    client.force_login(cast.ines)
    with no_change():
        for where, data in all_posts:
            assert client.post(where, data).status_code == 403


# --- Lockbox -------------------------------------------------------------------------------------------------


def test_the_page_shows_the_state(cast: Cast) -> None:
    cast.sharepoint.is_covered = False
    cast.sharepoint.save()
    cast.confirmed()
    cast.opened()
    shown = text(signed_in(cast, "mia").get(url(cast.contoso)))
    assert "Lockbox is on" in shown
    assert "you have 12 hours to answer" in shown
    assert "Exchange Online covered" in shown
    assert "SharePoint Online not yet covered" in shown
    assert "Plan E5, includes Lockbox" in shown
    assert "Waiting for your answer 1 Open access windows 1" in shown
    assert "No window is longer than 4 hours" in shown
    assert "Ada Test Alan Test" in shown


def test_switching_off_is_reviewed_first_with_what_is_under_way(cast: Cast) -> None:
    cast.submitted()
    cast.confirmed()
    cast.opened()
    client, here = signed_in(cast, "ines"), url(cast.contoso, "lockbox", "off")
    with no_change():
        shown = text(client.get(here))
    assert "You are not asked beforehand." in shown
    assert "1 access request that waits for you continues to wait: it still needs your approval." in shown
    assert "1 access request that waits at Microsoft was submitted while Lockbox was on" in shown
    assert "1 window is open." in shown
    response = client.post(here, follow=True)
    assert response.redirect_chain == [(url(cast.contoso), 302)]
    assert "Lockbox is off" in text(response)
    assert events_in(cast.contoso)[-1] == "lockbox.switched_off"
    assert outbox_topics()[-1] == "notify.lockbox_switched"
    assert not Tenant.objects.get(pk=cast.contoso.pk).lockbox_on


def test_an_expired_window_is_not_under_way(cast: Cast, travel: Any) -> None:
    cast.submitted()
    cast.confirmed()
    cast.opened()
    travel.by(hours=25)
    shown = text(signed_in(cast, "ines").get(url(cast.contoso, "lockbox", "off")))
    assert "No access request is in progress and no window is open at this moment." in shown


def test_switching_on_says_who_can_answer(cast: Cast) -> None:
    operations.switch_lockbox(cast.contoso.pk, on=False, actor=cast.as_("ines"))
    cast.submitted()
    client, here = signed_in(cast, "ines"), url(cast.contoso, "lockbox", "on")
    shown = text(client.get(here))
    assert "2 people can answer for you: Ada Test, Alan Test." in shown
    assert "1 access request that waits at Microsoft will come to you as well" in shown
    assert client.post(here).status_code == 302
    assert Tenant.objects.get(pk=cast.contoso.pk).lockbox_on


def test_after_switching_on_the_set_up_follows_until_it_is_complete(cast: Cast) -> None:
    operations.switch_lockbox(cast.contoso.pk, on=False, actor=cast.as_("ines"))
    answer = signed_in(cast, "ines").post(url(cast.contoso, "lockbox", "on"), follow=True)
    assert answer.redirect_chain == [(reverse("web:guide", args=[cast.contoso.pk]), 302)]
    assert "Lockbox is on." in text(answer)


def test_an_unchanged_switch_is_reported(cast: Cast) -> None:
    client, here = signed_in(cast, "ines"), url(cast.contoso, "lockbox", "on")
    with no_change():
        response = client.get(here)
    assert response.status_code == 409
    assert "Lockbox is on already." in text(response)
    with no_change():
        assert client.post(here).status_code == 302


def test_a_plan_without_lockbox_offers_no_switch(cast: Cast) -> None:
    client, here = signed_in(cast, "noah"), url(cast.northwind, "lockbox", "on")
    page = client.get(url(cast.northwind))
    assert "Your plan, Basic, does not include Lockbox." in text(page)
    assert here not in page.content.decode()
    assert '<form class="bar"' not in client.get(here).content.decode()
    with no_change():
        response = client.post(here)
    assert response.status_code == 422
    assert "The plan Basic does not include Lockbox." in text(response)


def test_the_longest_window_is_one_of_the_offered(cast: Cast) -> None:
    client = signed_in(cast, "ines")
    assert client.post(url(cast.contoso), {"window_cap": 1800}).status_code == 302
    assert Tenant.objects.get(pk=cast.contoso.pk).window_cap == 1800
    for wrong in ("-1", "0", "1e9", "NaN", "7 hours", "5400", ""):
        with no_change():
            response = client.post(url(cast.contoso), {"window_cap": wrong})
        assert response.status_code == 422
        assert "window_cap" in response.context["form"].errors


def test_a_cap_that_is_no_longer_offered_is_shown_and_explained(cast: Cast) -> None:
    Tenant.objects.filter(pk=cast.contoso.pk).update(window_cap=5400)
    client = signed_in(cast, "ines")
    assert '<option value="5400" selected>' in client.get(url(cast.contoso)).content.decode()
    with no_change():
        response = client.post(url(cast.contoso), {"window_cap": 5400})
    assert response.status_code == 422
    assert response.context["form"].errors["window_cap"] == ["Choose one of the offered lengths."]


# --- People --------------------------------------------------------------------------------------------------


def test_the_list_says_who_holds_what_since_when(cast: Cast) -> None:
    operations.switch_off_person(cast.mia.pk, actor=cast.as_("ines"))
    response = signed_in(cast, "otto").get(url(cast.contoso, "people"))
    since = Membership.objects.get(person=cast.otto).given_at.strftime("%a %-d %b, %H:%M UTC")
    assert f"Otto Test otto@contoso.example Auditor since {since} on" in text(response)
    assert f"Mia Test mia@contoso.example Member since {since} switched off" in text(response)
    assert "frida" not in text(response)


def test_roles_are_given_and_taken_with_what_it_means(cast: Cast) -> None:
    client, here = signed_in(cast, "ines"), url(cast.contoso, "person", cast.ada.pk)
    shown = text(client.get(here))
    assert "Without this role, the person can no longer approve or deny, even on pages that are already open." in shown
    assert client.post(here, {"act": "take", "role": "approver"}).status_code == 302
    assert not Membership.objects.filter(person=cast.ada, role="approver").exists()
    assert (
        "This is the only role of this person. Without a role, the person no longer sees anything of Contoso"
        in text(client.get(here))
    )
    response = client.post(here, {"act": "give", "role": "auditor"}, follow=True)
    assert "Ada Test has the role “Auditor” now." in text(response)
    assert events_in(cast.contoso) == ["role.taken", "role.given"]
    assert outbox_topics() == ["notify.approvers_changed"]


@pytest.mark.parametrize(
    ("name", "role", "word"), [("alan", "approver", "approver"), ("ines", "administrator", "administrator")]
)
def test_the_last_decider_stays(cast: Cast, name: str, role: str, word: str) -> None:
    Membership.objects.filter(person=cast.ada, role="approver").delete()
    client, here = signed_in(cast, "ines"), url(cast.contoso, "person", cast.people[name].pk)
    assert "Before it can be taken away, somebody else needs it." in text(client.get(here))
    for data in ({"act": "take", "role": role}, {"act": "switch_off"}):
        with refused():
            response = client.post(here, data)
        assert response.status_code == 409
        assert f"This is the last {word} of the tenant. Give the role to somebody else first." in text(response)


def test_somebody_who_is_switched_off_counts_as_nobody(cast: Cast) -> None:
    client = signed_in(cast, "ines")
    assert client.post(url(cast.contoso, "person", cast.alan.pk), {"act": "switch_off"}).status_code == 302
    with refused():
        assert (
            client.post(url(cast.contoso, "person", cast.ada.pk), {"act": "take", "role": "approver"}).status_code
            == 409
        )


def test_switched_off_at_once_and_on_again_with_the_same_roles(cast: Cast) -> None:
    mia = signed_in(cast, "mia")
    client, here = signed_in(cast, "ines"), url(cast.contoso, "person", cast.mia.pk)
    assert client.post(here, {"act": "switch_off"}).status_code == 302
    assert mia.get("/").status_code == 302
    assert Client().post("/accounts/login/", {"login": cast.mia.email, "password": PASSWORD})["Location"] == (
        "/accounts/inactive/"
    )
    page = client.get(here)
    assert 'value="give"' not in page.content.decode()
    assert "While the account is switched off, its roles have no effect" in text(page)
    with refused():
        assert client.post(here, {"act": "switch_off"}).status_code == 409
    assert client.post(here, {"act": "switch_on"}).status_code == 302
    assert mia.get("/").status_code in (200, 302)
    assert [m.role for m in Membership.objects.filter(person=cast.mia)] == ["member"]


def test_an_administrator_who_gives_the_role_away_is_led_out(cast: Cast) -> None:
    operations.give_role(cast.contoso.pk, cast.mia.pk, role="administrator", actor=cast.as_("ines"))
    operations.give_role(cast.contoso.pk, cast.ines.pk, role="member", actor=cast.as_("ines"))
    client, here = signed_in(cast, "ines"), url(cast.contoso, "person", cast.ines.pk)
    assert "This is you." in text(client.get(here))
    response = client.post(here, {"act": "take", "role": "administrator"})
    assert response["Location"] == url(cast.contoso, "people")
    assert client.get(url(cast.contoso, "people")).status_code == 200
    assert client.get(here).status_code == 403


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"act": "dance"},
        {"act": "give"},
        {"act": "give", "role": "emperor"},
        {"act": "switch_off", "role": "member"},
        {"act": ["give", "take"], "role": "auditor"},
    ],
)
def test_an_act_that_no_button_sends_is_refused(cast: Cast, data: dict[str, Any]) -> None:
    with no_change():
        response = signed_in(cast, "ines").post(url(cast.contoso, "person", cast.mia.pk), data)
    assert response.status_code == 400


@pytest.mark.parametrize("name", ["frida", "priya", "stella"])
def test_people_of_others_are_not_on_ones_pages(cast: Cast, name: str) -> None:
    client, here = signed_in(cast, "ines"), url(cast.contoso, "person", cast.people[name].pk)
    with no_change():
        assert client.get(here).status_code == 404
        for data in ({"act": "switch_off"}, {"act": "give", "role": "member"}):
            assert client.post(here, data).status_code == 404


def test_a_name_hides_nothing(cast: Cast) -> None:
    Person.objects.filter(pk=cast.mia.pk).update(name="\u0410da <b>Test</b>\u202e")
    client = signed_in(cast, "ines")
    here = url(cast.contoso, "person", cast.mia.pk)
    done = client.post(here, {"act": "give", "role": "auditor"}, follow=True)
    for response in (client.get(url(cast.contoso, "people")), client.get(here), done):
        main = response.content.decode()
        assert "<b>Test" not in main
        assert "\u202e" not in main
        assert "letters of different alphabets in this name" in main


def test_many_people_are_searched(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries.people, "__kwdefaults__", {"words": "", "limit": 3})
    client, here = signed_in(cast, "otto"), url(cast.contoso, "people")
    page = text(client.get(here))
    assert "Ines Test" in page
    assert "Mia Test" not in page
    assert "To find other people, search for them." in page
    assert "Mia Test" in text(client.get(here, {"q": "MIA@"}))
    assert "Nobody found" in text(client.get(here, {"q": "%"}))
    assert client.get(here, {"name": "x"}).status_code == 400
    assert client.get(here, {"q": "nul\x00"}).status_code == 400


# --- Addresses -----------------------------------------------------------------------------------------------


def test_addresses_are_added_and_removed(cast: Cast) -> None:
    client, here = signed_in(cast, "ines"), url(cast.contoso, "addresses")
    assert "No address gets mails yet" in text(client.get(here))
    response = client.post(here, {"email": "SOC@contoso.example", "label": "<i>Night</i> shift"}, follow=True)
    address = NotificationAddress.objects.get()
    assert address.email == "soc@contoso.example"
    assert "soc@contoso.example <i>Night</i> shift" in text(response)
    assert "<i>Night" not in response.content.decode()
    response = client.post(here, {"remove": str(address.pk)}, follow=True)
    assert "soc@contoso.example gets no more mails." in text(response)
    assert not NotificationAddress.objects.exists()
    assert events_in(cast.contoso) == ["notification_address.added", "notification_address.removed"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"email": ""},
        {"email": "no address"},
        {"email": "a@b.example\r\nBcc: c@d.example"},
        {"email": "a@b.example, c@d.example"},
        {"email": "old@contoso.example"},
        {"email": "new@contoso.example", "label": "x" * 81},
        {"email": "new@contoso.example", "label": "nul\x00"},
    ],
)
def test_a_refused_address_is_explained_beside_its_field(cast: Cast, wrong: dict[str, str]) -> None:
    posts(cast)
    before = house()
    response = signed_in(cast, "ines").post(url(cast.contoso, "addresses"), wrong)
    assert response.status_code == 422
    assert response.context["form"].errors
    assert house() == before
    assert set(events_in(cast.contoso)) <= {"act.refused"}


def test_an_address_of_another_tenant_is_absent_though_one_manages_both(cast: Cast) -> None:
    Membership.objects.create(
        tenant=cast.fabrikam, person=cast.ines, role="administrator", given_at=cast.fabrikam.created_at
    )
    theirs = NotificationAddress.objects.create(
        tenant=cast.fabrikam, email="soc@fabrikam.example", created_at=cast.fabrikam.created_at
    )
    client = signed_in(cast, "ines")
    with no_change():
        assert client.post(url(cast.contoso, "addresses"), {"remove": str(theirs.pk)}).status_code == 404
        assert client.post(url(cast.contoso, "addresses"), {"remove": "1"}).status_code == 400
    assert client.post(url(cast.fabrikam, "addresses"), {"remove": str(theirs.pk)}).status_code == 302


# --- Number of queries ---------------------------------------------------------------------------------------


def _crowd(cast: Cast, count: int, first: int) -> None:
    for number in range(first, first + count):
        person = Person.objects.create_user(f"p{number}@contoso.example", name=f"Person {number}", side="customer")
        for role in ("member", "auditor", "approver"):
            Membership.objects.create(tenant=cast.contoso, person=person, role=role, given_at=clock.now())
        NotificationAddress.objects.create(
            tenant=cast.contoso, email=f"a{number}@contoso.example", created_at=cast.contoso.created_at
        )


@pytest.mark.parametrize("page", PAGES)
def test_pages_cost_as_many_queries_with_many_rows_as_with_few(cast: Cast, page: str) -> None:
    client = signed_in(cast, "ines")
    _crowd(cast, 2, 0)
    same_queries(lambda: queries_of(client, url(cast.contoso, page)), lambda: _crowd(cast, 18, 2))
    assert queries_of(client, url(cast.contoso, page)) <= 12


def test_a_tenant_without_an_approver_is_warned_only_while_lockbox_is_on(cast: Cast) -> None:
    Membership.objects.filter(tenant=cast.contoso, role=Membership.Role.APPROVER).delete()
    warning = "Nobody is an approver: every access request will expire."
    assert warning in text(signed_in(cast, "ines").get(url(cast.contoso)))
    Tenant.objects.filter(pk=cast.contoso.pk).update(lockbox_on=False)
    page = text(signed_in(cast, "ines").get(url(cast.contoso)))
    assert warning not in page
    assert "While Lockbox is off, nobody is asked. Choose an approver before you switch Lockbox on." in page
