"""A form that is sent twice acts once: after a double click, a reload, the back button, or a failure."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations, tasks
from requests_app.domain import clock
from requests_app.models import IdempotencyKey, Mute, Person, Ticket, TicketComment, Token
from tests.cast import PASSWORD, Cast
from tests.concurrency.test_races import at_once
from tests.conftest import Traveller
from tests.factors import sign_in
from tests.sources import name_of, templates, text_of
from tests.web.pages import answer, nothing_happens, only_a_refusal, page_of, signed_in
from tests.web.test_step_up import held_by, proof

pytestmark = pytest.mark.django_db
PREFERENCES = "/preferences/"
_TOKEN = "{% csrf_token %}"


def once_of(answer: Any, *, action: str = "") -> str:
    """Return the once-token of the form for `action`. Without `action`, take the first form in the page's main part."""
    main = answer.content.decode().partition("<main")[2]
    if action:
        main = main.partition(f'action="{action}"')[2]
    found = re.search(r'name="once" value="([^"]+)"', main)
    assert found is not None, main[:2000]
    return found[1]


def message_of(answer: Any) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", answer.content.decode()).split())


@pytest.fixture
def ticket(cast: Cast) -> Ticket:
    return cast.ticket()


def comment_on(ticket: Ticket) -> str:
    return reverse("web:ticket_act", args=[ticket.pk, "comment"])


def test_a_form_that_is_sent_again_leads_to_the_same_place_and_does_nothing(cast: Cast, ticket: Ticket) -> None:
    erik, page = signed_in(cast, "erik"), comment_on(ticket)
    once = once_of(erik.get(reverse("web:ticket", args=[ticket.pk])), action=page)
    form = {"note": "Seen.", "once": once}
    first = erik.post(page, form)
    with nothing_happens():
        again = erik.post(page, form)
    assert (first.status_code, again.status_code) == (302, 302)
    assert again["Location"] == first["Location"]
    assert "This was saved already. Nothing was done a second time." in message_of(erik.get(again["Location"]))
    assert TicketComment.objects.filter(ticket=ticket).count() == 1


def test_another_content_from_a_used_page_is_refused_with_the_way_back(cast: Cast, ticket: Ticket) -> None:
    erik, page = signed_in(cast, "erik"), comment_on(ticket)
    first = erik.post(page, {"note": "Seen.", "once": "a-token-of-a-page"})
    with nothing_happens():
        other = erik.post(page, {"note": "Something else.", "once": "a-token-of-a-page"})
    assert other.status_code == 409
    assert "You have already sent the form on this page" in message_of(other)
    assert "What you sent now was not saved." in message_of(other)
    assert "Something else." in message_of(other), "it can be copied"
    assert f'href="{first["Location"]}"' in other.content.decode()
    assert TicketComment.objects.filter(ticket=ticket).count() == 1


def test_a_form_without_a_token_works_as_before(cast: Cast, ticket: Ticket) -> None:
    erik = signed_in(cast, "erik")
    for _ in range(2):
        assert erik.post(comment_on(ticket), {"note": "Seen."}).status_code == 302
    assert TicketComment.objects.filter(ticket=ticket).count() == 2
    assert not IdempotencyKey.objects.exists()


def test_a_too_long_token_is_refused_and_not_echoed(cast: Cast, ticket: Ticket) -> None:
    erik, long = signed_in(cast, "erik"), "a" * 300_000
    refused = erik.post(comment_on(ticket), {"note": "", "once": long})
    assert refused.status_code == 422
    assert long not in refused.content.decode()
    for _ in range(2):
        assert erik.post(comment_on(ticket), {"note": "Seen.", "once": long}).status_code == 302
    assert TicketComment.objects.filter(ticket=ticket).count() == 2


def test_a_token_is_its_accounts_own_and_its_pages(cast: Cast, ticket: Ticket) -> None:
    other = cast.ticket()
    for name, about in (("erik", ticket), ("priya", ticket), ("erik", other)):
        assert signed_in(cast, name).post(comment_on(about), {"note": "Seen.", "once": "the-same"}).status_code == 302
    assert TicketComment.objects.count() == 3


def test_a_form_that_was_wrong_keeps_its_token_and_works_when_it_is_right(cast: Cast) -> None:
    mia, page = signed_in(cast, "mia"), reverse("web:ticket_new")
    once = once_of(mia.get(page))
    wrong = mia.post(page, {"service": str(cast.exchange.pk), "title": "", "body": "x", "once": once})
    assert (wrong.status_code, once_of(wrong)) == (422, once)
    right = {"service": str(cast.exchange.pk), "title": "No mail", "body": "Since noon.", "priority": "normal"}
    done = mia.post(page, {**right, "once": once})
    assert done.status_code == 302
    assert mia.post(page, {**right, "once": once})["Location"] == done["Location"]
    assert Ticket.objects.count() == 1


def test_each_form_and_each_page_has_its_own_token(cast: Cast, ticket: Ticket) -> None:
    erik = signed_in(cast, "erik")
    found = []
    for _ in range(2):
        html = erik.get(reverse("web:ticket", args=[ticket.pk])).content.decode()
        tokens = re.findall(r'name="once" value="([^"]+)"', html)
        assert len(tokens) == html.count("csrfmiddlewaretoken") > 1
        found += tokens
    assert len(set(found)) == len(found)


def test_a_form_that_waited_for_a_proof_is_done_once_from_either_page(cast: Cast) -> None:
    cast.confirmed()
    operations.deny_all_and_mute(cast.contoso.pk, engineer_id=None, hours=4, actor=cast.as_("ada"))
    client, page = signed_in(cast, "ada", fresh=False), reverse("web:mutes", args=[cast.contoso.pk])
    typed = {"engineer": "everybody", "hours": "1", "note": "Enough.", "once": once_of(client.get(page))}
    asked = client.post(page, typed)
    assert (asked.status_code, once_of(asked)) == (403, typed["once"])
    done = client.post(page, {**held_by(asked), "once": once_of(asked), **proof(cast.ada)})
    assert done.status_code == 302
    mutes = Mute.objects.count()
    # The person goes back to the first page, and sends the same form again.
    with nothing_happens():
        assert client.post(page, typed)["Location"] == done["Location"]
        # A code that has been used by now does not matter either.
        assert client.post(page, {**typed, **proof(cast.ada)})["Location"] == done["Location"]
    assert Mute.objects.count() == mutes


def test_a_form_that_waited_for_a_sign_in_keeps_its_token(cast: Cast, ticket: Ticket, travel: Traveller) -> None:
    travel.freeze()
    ada, page = Client(), comment_on(ticket)
    ada.force_login(cast.ada)
    ada.get("/")
    form = {"note": "Seen here, too.", "once": "of-the-first-page"}
    assert ada.post(page, form).status_code == 302
    travel.by(minutes=16)
    assert ada.post(page, form)["Location"] == "/accounts/login/?next=/resume/"
    sign_in(cast.ada, PASSWORD, client=ada, to="/resume/")
    shown = ada.get("/resume/")
    assert once_of(shown, action=page) == "of-the-first-page"
    assert "If you already sent the form before, that attempt might have been saved." in shown.content.decode(), (
        "nobody knows what became of one"
    )
    assert shown.content.decode().partition("<main")[2].count('name="once"') == 1
    ada.post(page, form)
    assert TicketComment.objects.filter(ticket=ticket).count() == 1


def test_a_secret_is_made_once_and_shown_once(cast: Cast) -> None:
    ada = signed_in(cast, "ada")
    form = {"name": "laptop", "scopes": ["log:read"], "days": "7", "once": once_of(ada.get(reverse("web:tokens")))}
    first = ada.post(reverse("web:tokens"), form)
    secret = first.context["secret"]
    assert (first.status_code, secret in first.content.decode()) == (200, True)
    again = ada.post(reverse("web:tokens"), form, follow=True)
    assert Token.objects.filter(account=cast.ada).count() == 1
    assert (again.status_code, secret in again.content.decode()) == (200, False)
    assert "A secret is shown once. If you did not save it, revoke the secret and create a new secret." in message_of(
        again
    )
    assert "This was saved already." in message_of(again)


def test_a_password_is_changed_once(cast: Cast) -> None:
    ada, page = signed_in(cast, "ada"), reverse("account_change_password")
    new = "four-lamps-beside-the-river"
    form = {"oldpassword": PASSWORD, "password1": new, "password2": new, "once": once_of(ada.get(page))}
    assert ada.post(page, form).status_code == 302
    entries = AuditEntry.objects.count()
    assert ada.post(page, form).status_code == 302
    assert AuditEntry.objects.count() == entries


def test_a_refusal_leaves_the_token_unused(cast: Cast) -> None:
    row = cast.confirmed()
    erik, page = signed_in(cast, "erik"), reverse("web:access_request_act", args=[row.pk, "withdraw"])
    for _ in range(2):
        assert erik.post(page, {"comment": "", "once": "x"}).status_code == 403
    assert not IdempotencyKey.objects.exists()
    assert AuditEntry.objects.filter(event="act.refused").count() == 2


def test_a_wrong_proof_leaves_the_token_unused(cast: Cast) -> None:
    """The entry about the wrong proof is committed, but the form's act is not done. So the form can be sent again."""
    row = cast.confirmed()
    ada, page = signed_in(cast, "ada", fresh=False), page_of(row, "decide", "approve")
    wrong = answer(row, password="not the password", once="x")
    for _ in range(2):
        with only_a_refusal():
            # The answer is not "saved already".
            assert ada.post(page, wrong).status_code == 403
    assert not IdempotencyKey.objects.exists()
    assert ada.post(page, answer(row, once="x")).status_code == 302
    row.refresh_from_db()
    assert row.state == "OPEN"


def test_a_wrong_proof_on_the_page_that_asks_for_it_leaves_the_token_unused(cast: Cast) -> None:
    cast.confirmed()
    operations.deny_all_and_mute(cast.contoso.pk, engineer_id=None, hours=4, actor=cast.as_("ada"))
    client, page = signed_in(cast, "ada", fresh=False), reverse("web:mutes", args=[cast.contoso.pk])
    typed = {"engineer": "everybody", "hours": "1", "note": "Enough.", "once": "x"}
    for _ in range(2):
        wrong = client.post(page, {**typed, **proof(cast.ada), "step-up-password": "not the password"})
        assert (wrong.status_code, once_of(wrong)) == (403, "x")
    assert AuditEntry.objects.filter(event="act.refused").exists()
    assert not IdempotencyKey.objects.exists()
    assert client.post(page, {**typed, **proof(cast.ada)}).status_code == 302
    assert IdempotencyKey.objects.count() == 1


def test_an_approval_that_is_sent_again_with_the_next_code_is_the_same_form(cast: Cast) -> None:
    """A code can be used only once, so a form that is sent again always has another code."""
    row = cast.confirmed()
    ada, page = signed_in(cast, "ada", fresh=False), page_of(row, "decide", "approve")
    done = ada.post(page, answer(row, once="x"))
    with nothing_happens():
        again = ada.post(page, answer(row, once="x", code="000000"))
        other = ada.post(page, answer(row, once="x", comment="Please be quick."))
    assert (again.status_code, again["Location"]) == (302, done["Location"])
    assert other.status_code == 409


def test_an_approval_that_needs_no_further_proof_is_done_once(cast: Cast) -> None:
    """The address of its answer is known before the act, and is stored with the act."""
    row = cast.confirmed()
    ada, page = signed_in(cast, "ada"), page_of(row, "decide", "approve")
    form = {"digest": row.content_digest, "shown": row.state, "comment": "", "once": "x"}
    done = ada.post(page, form)
    with nothing_happens():
        again = ada.post(page, form)
    assert (done.status_code, done["Location"]) == (302, reverse("web:receipt", args=[row.pk]))
    assert (again.status_code, again["Location"]) == (302, done["Location"])
    assert list(row.decisions.filter(stage="customer").values_list("verdict", flat=True)) == ["approve"]


def test_if_the_first_answer_was_not_stored_the_row_itself_is_shown(
    cast: Cast, ticket: Ticket, monkeypatch: pytest.MonkeyPatch
) -> None:
    erik, page, form = signed_in(cast, "erik"), comment_on(ticket), {"note": "Seen.", "once": "x"}

    def fail(*args: Any, **options: Any) -> None:
        raise OperationalError("gone")

    with monkeypatch.context() as failing:
        failing.setattr(operations, "keep_answer", fail)
        # The act is saved, and the page says so.
        assert erik.post(page, form).status_code == 302
    monkeypatch.setattr("requests_app.doors.web.once.ANSWER_SECONDS", 0.1)
    assert erik.post(page, form)["Location"] == reverse("web:ticket", args=[ticket.pk])
    assert TicketComment.objects.filter(ticket=ticket).count() == 1


def test_staffs_forms_and_lists_act_once(cast: Cast) -> None:
    stella, people = signed_in(cast, "stella"), [cast.people[name] for name in ("mia", "otto")]
    page = reverse("admin:requests_app_person_changelist")
    form = {"action": "switch-off", "index": "0", "_selected_action": [str(each.pk) for each in people]}
    form["once"] = once_of(stella.get(page))
    assert stella.post(page, form).status_code == 302
    assert Person.objects.filter(pk__in=[each.pk for each in people], is_active=False).count() == 2
    entries = AuditEntry.objects.count()
    Person.objects.filter(pk=cast.mia.pk).update(is_active=True)
    again = stella.post(page, form, follow=True)
    assert "2 done." in message_of(again)
    assert AuditEntry.objects.count() == entries
    assert Person.objects.get(pk=cast.mia.pk).is_active


def test_a_file_is_given_out_each_time_that_it_is_asked_for(cast: Cast, ticket: Ticket) -> None:
    otto = signed_in(cast, "otto")
    page = reverse("web:log_export", args=[cast.contoso.pk, "csv"])
    for _ in range(2):
        assert otto.post(page, {"once": "x"})["Content-Type"].startswith("text/csv")


def test_tokens_are_forgotten_with_the_calls(cast: Cast, ticket: Ticket, travel: Traveller) -> None:
    travel.freeze()
    signed_in(cast, "erik").post(comment_on(ticket), {"note": "Seen.", "once": "x"})
    assert IdempotencyKey.objects.count() == 1
    travel.by(hours=49)
    assert operations.forget_old(clock.now()) >= 1
    assert not IdempotencyKey.objects.exists()
    assert tasks.forget_calls() == 0


def test_forms_of_libraries_and_of_those_who_are_not_signed_in_have_it_too(cast: Cast) -> None:
    stella = signed_in(cast, "stella")
    pages = [
        (Client(), "/accounts/login/"),
        (Client(), "/accounts/password/reset/"),
        (Client(), "/recovery/"),
        (stella, "/accounts/logout/"),
        (stella, "/accounts/password/change/"),
        (stella, reverse("admin:requests_app_person_changelist")),
        (stella, reverse("admin:requests_app_person_add")),
    ]
    for browser, page in pages:
        html = browser.get(page).content.decode()
        forms = re.findall(r'<form\b[^>]*method="post".*?</form>', html, re.DOTALL | re.IGNORECASE)
        assert forms, page
        assert [form for form in forms if form.count('name="once"') != 1] == [], page


def test_no_template_writes_a_form_without_its_token() -> None:
    """The tag `csrf_token` writes two tokens: one against forged calls, and one that makes the form act only once."""
    forms = {
        name_of(path): re.findall(r'<form\b[^>]*method="post".*?</form>', text_of(path), re.DOTALL | re.IGNORECASE)
        for path in templates()
    }
    assert sum(map(len, forms.values())) > 20
    without = {name: found for name, each in forms.items() if (found := [one for one in each if _TOKEN not in one])}
    by_hand = [name_of(path) for path in templates() if "csrfmiddlewaretoken" in text_of(path)]
    assert (without, by_hand) == ({}, [])


@pytest.mark.django_db(transaction=True)
def test_a_double_click_is_one_act_and_one_answer(transactional_db: None) -> None:
    from tests.cast import gather

    cast = gather()
    ticket = cast.ticket()
    browsers = [signed_in(cast, "erik") for _ in range(6)]
    form = {"note": "Seen.", "once": "x"}
    answers = at_once(*[partial(each.post, comment_on(ticket), form) for each in browsers])
    assert [each.status_code for each in answers] == [302] * 6
    assert len({each["Location"] for each in answers}) == 1
    assert TicketComment.objects.filter(ticket=ticket).count() == 1
