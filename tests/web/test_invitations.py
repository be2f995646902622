"""Invitations are sent, sent again, withdrawn and accepted. A link works only for its recipient."""

from __future__ import annotations

import datetime as dt
import html
import re
from collections.abc import Callable
from typing import Any

import pytest
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.core import mail
from django.test import Client, RequestFactory
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock, link_secrets
from requests_app.domain.actors import Actor
from requests_app.domain.errors import DomainError, NotAllowed, NotFound, Unacceptable, WrongState
from requests_app.doors.web.middleware import LINK, _stepped_up_at, last_proof
from requests_app.models import Invitation, Membership, OutboxMessage, Person, Proposal, SignOn, Tenant
from requests_app.models.people import actor_of
from requests_app.queries.installation import MAIL_FILES
from requests_app.work import outbox
from tests.cast import Cast, events_in, outbox_topics
from tests.passkeys import ORIGIN, Authenticator, added
from tests.web.pages import nothing_happens, signed_in

pytestmark = pytest.mark.django_db

GOOD = "a long and unheard-of phrase 7"
NEVER_CACHED = "no-store, private, no-transform, max-age=0, no-cache, must-revalidate"
NEW: dict[str, Any] = {"name": "Grace  Adeyemi", "password": GOOD}


def link(secret: str) -> str:
    return reverse("web:invitation", args=[secret])


def sent_link() -> str:
    """Return the link in the newest mail, as its reader finds it."""
    outbox.drain(limit=50)
    found = re.search(r"http://localhost:8000(/invitation/[^/\s]+/)", str(mail.outbox[-1].body))
    assert found is not None
    return found[1]


def people_of(cast: Cast) -> str:
    return reverse("web:people", args=[cast.contoso.pk])


def test_somebody_is_invited_accepts_and_signs_in(cast: Cast, settings: Any) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    ines = signed_in(cast, "ines")
    answer = ines.post(people_of(cast), {"email": "Grace@Contoso.example", "role": "approver"}, follow=True)
    assert "A mail with a link goes to" in answer.content.decode()
    row = Invitation.objects.get()
    assert (events_in(cast.contoso), outbox_topics()) == (["invitation.sent"], ["notify.invitation"])
    here = sent_link()
    assert mail.outbox[-1].to == ["grace@contoso.example"]
    assert not Person.objects.filter(email=row.email).exists()
    # A scanner that only opens the link changes nothing.
    with nothing_happens():
        for page in (Client().get(here), Client().head(here), Client().get(here)):
            assert page.status_code == 200
        assert "close this page. Then nothing changes." in page.content.decode()
        assert Client().post(here, {}).status_code == 422
    answer = Client().post(here, NEW)
    assert (answer.status_code, answer["Location"]) == (302, "/")
    grace = Person.objects.get(email="grace@contoso.example")
    assert (grace.name, grace.side, grace.is_staff) == ("Grace Adeyemi", "customer", False)
    assert list(grace.memberships.values_list("tenant", "role")) == [(cast.contoso.pk, "approver")]
    assert grace.email_verified_at is not None
    assert events_in(cast.contoso)[1:] == ["invitation.accepted", "role.given"]
    assert outbox_topics()[-1] == "notify.approvers_changed"
    assert Client().post("/accounts/login/", {"login": grace.email, "password": GOOD}).status_code == 302
    # The link works once. Only the mail contains the link's secret.
    with nothing_happens():
        assert Client().post(here, NEW).status_code == 404
    secret = here.split("/")[2]
    row.refresh_from_db()
    assert row.secret_hash == link_secrets.hashed(secret)
    for message in OutboxMessage.objects.all():
        assert secret not in f"{message.payload}{message.rendered}"
    for entry in AuditEntry.objects.all():
        assert secret not in bytes(entry.canonical).decode()
        assert GOOD not in bytes(entry.canonical).decode()


def test_all_invalid_links_look_the_same(cast: Cast, travel: Any) -> None:
    at = travel.freeze()
    pages = {"never was": link("never-was")}
    withdrawn, used, again, late = (cast.invited(f"{name}@contoso.example") for name in ("a", "b", "c", "d"))
    pages |= {"withdrawn": link(cast.link_of(withdrawn)), "used": link(cast.link_of(used))}
    pages |= {"sent again": link(cast.link_of(again)), "too late": link(cast.link_of(late))}
    operations.withdraw_invitation(withdrawn.pk, actor=cast.as_("ines"))
    assert Client().post(pages["used"], NEW).status_code == 302
    travel.to(at + dt.timedelta(days=6))
    operations.resend_invitation(again.pk, actor=cast.as_("ines"))
    travel.to(at + dt.timedelta(days=7))
    seen = set()
    with nothing_happens():
        for name, url in pages.items():
            for method in ("get", "post"):
                page = getattr(Client(), method)(url, NEW if method == "post" else {})
                assert page.status_code == 404, name
                seen.add(page.content.decode().partition("<main")[2].partition("</main>")[0])
    assert len(seen) == 1
    assert Client().get(link(cast.link_of(again))).status_code == 200


def test_an_invitation_says_nothing_of_accounts_elsewhere(cast: Cast) -> None:
    """Neither the page nor the API shows whether the address already has an account."""
    ines, lines = signed_in(cast, "ines"), set()
    for email in ("frida@fabrikam.example", "priya@provider.example", "nobody@fabrikam.example"):
        page = ines.post(people_of(cast), {"email": email, "role": "member"}, follow=True)
        lines.add(re.sub(r"\s+|[0-9a-f-]{36}", "", page.content.decode().partition("<main")[2].partition("<table")[0]))
        lines = {text.replace(email, "") for text in lines}
    assert len(lines) == 1
    # Only a person who can read mail at the address learns that it has an account.
    for row in Invitation.objects.exclude(email__startswith="nobody"):
        page = Client().post(link(cast.link_of(row)), NEW)
        assert page.status_code == 422
        assert "Another account already uses this address" in page.content.decode()
        assert not Membership.objects.filter(tenant=cast.contoso, person__email=row.email).exists()
    assert not Person.objects.get(email="frida@fabrikam.example").check_password(GOOD)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"password": "tooshort1"}, "password"),
        ({"password": "password1234"}, "password"),
        ({"password": "new@contoso.example"}, "password"),
        ({"name": ""}, "name"),
        ({"name": "x" * 121}, "name"),
        ({"name": "nul\x00"}, "name"),
    ],
)
def test_a_refused_acceptance_is_explained_beside_its_field(cast: Cast, wrong: dict[str, str], field: str) -> None:
    row, form = cast.invited("new@contoso.example"), {**NEW, **wrong}
    with nothing_happens():
        page = Client().post(link(cast.link_of(row)), form)
    assert (page.status_code, list(page.context["form"].errors)) == (422, [field])
    assert form["password"] not in page.content.decode().replace("new@contoso.example</bdi>", "")


@pytest.mark.parametrize(
    ("email", "role", "field"),
    [
        ("ada@contoso.example", "auditor", "email"),
        ("invited@contoso.example", "member", "email"),
        ("ADA@fabrikam.example\r\nBcc: x@y.example", "member", "email"),
        ("x" * 250 + "@contoso.example", "member", "email"),
        ("new@contoso.example", "emperor", "role"),
    ],
)
def test_a_refused_invitation_is_explained_beside_its_field(cast: Cast, email: str, role: str, field: str) -> None:
    cast.invited("invited@contoso.example")
    page = signed_in(cast, "ines").post(people_of(cast), {"email": email, "role": role})
    assert set(events_in(cast.contoso)[1:]) <= {"act.refused"}
    assert (page.status_code, list(page.context["form"].errors)) == (422, [field])
    assert Invitation.objects.count() == 1


def test_only_people_who_manage_the_tenants_people_invite(cast: Cast) -> None:
    row = cast.invited()
    for name, refusal in (
        *((name, NotAllowed) for name in ("mia", "ada", "otto", "stella")),
        *((name, NotFound) for name in ("frida", "finn")),
    ):
        actor, before = cast.as_(name), Invitation.objects.values_list("secret_hash", "withdrawn_at")[0]
        for call in (
            lambda a=actor: operations.invite_person(cast.contoso.pk, email="x@x.example", role="approver", actor=a),
            lambda a=actor: operations.resend_invitation(row.pk, actor=a),
            lambda a=actor: operations.withdraw_invitation(row.pk, actor=a),
        ):
            with pytest.raises(refusal):
                call()
        assert Invitation.objects.values_list("secret_hash", "withdrawn_at").get() == before


def test_an_invitation_is_worth_what_its_sender_may_still_say(cast: Cast) -> None:
    """An invitation no longer works if its sender loses the role.

    Invitations by staff no longer work when the tenant has an administrator or an approver.
    """
    accept = Actor.stranger(door="pages")
    operations.give_role(cast.contoso.pk, cast.otto.pk, role="administrator", actor=cast.as_("ines"))
    row = cast.invited(by="otto", role="administrator")
    operations.take_role(cast.contoso.pk, cast.otto.pk, role="administrator", actor=cast.as_("ines"))
    with pytest.raises(NotFound):
        operations.accept_invitation(cast.link_of(row), **NEW, actor=accept)
    bare = operations.create_tenant(
        name="Adatum", slug="adatum", plan_id=cast.contoso.plan_id, actor=cast.as_("stella")
    )
    first, second = (
        operations.invite_person(bare.pk, email=f"{role}@adatum.example", role=role, actor=cast.as_("stella"))
        for role in ("administrator", "approver")
    )
    operations.accept_invitation(cast.link_of(first), **NEW, actor=accept)
    with pytest.raises(NotFound):
        operations.accept_invitation(cast.link_of(second), **NEW, actor=accept)
    with pytest.raises(NotAllowed):
        operations.resend_invitation(second.pk, actor=cast.as_("stella"))
    assert list(bare.memberships.values_list("role", flat=True)) == ["administrator"]
    assert "act.refused" in events_in(bare)


def sender_left(cast: Cast) -> tuple[Invitation, type[DomainError]]:
    operations.give_role(cast.contoso.pk, cast.otto.pk, role="administrator", actor=cast.as_("ines"))
    row = cast.invited(by="otto")
    operations.take_role(cast.contoso.pk, cast.otto.pk, role="administrator", actor=cast.as_("ines"))
    return row, NotFound


def role_not_proposed(cast: Cast) -> tuple[Invitation, type[DomainError]]:
    row = cast.invited_colleague()
    operations.withdraw_proposal(row.proposal_id, actor=cast.as_("stella"))
    return row, NotFound


def customer_switched_on(cast: Cast) -> tuple[Invitation, type[DomainError]]:
    cast.peaceful()
    row = cast.invited_colleague()
    Tenant.objects.filter(pk=cast.northwind.pk).update(lockbox_on=True)
    return row, NotAllowed


def customer_switched_on_and_sender_left(cast: Cast) -> tuple[Invitation, type[DomainError]]:
    row, _refusal = customer_switched_on(cast)
    Person.objects.filter(pk=cast.stella.pk).update(is_staff=False)
    return row, NotFound


def two_people_needed(cast: Cast) -> tuple[Invitation, type[DomainError]]:
    row = cast.invited(role="approver")
    Tenant.objects.filter(pk=cast.contoso.pk).update(needs_two=True)
    return row, NotFound


def address_of_another(cast: Cast) -> tuple[Invitation, type[DomainError]]:
    return cast.invited("frida@fabrikam.example"), Unacceptable


def role_given_meanwhile(cast: Cast) -> tuple[Invitation, type[DomainError]]:
    row = cast.invited("free@contoso.example")
    there = cast.stranger("free@contoso.example")
    Membership.objects.create(tenant=cast.contoso, person=there, role="member", given_at=row.created_at)
    return row, Unacceptable


def account_switched_off(cast: Cast) -> tuple[Invitation, type[DomainError]]:
    row = cast.invited("off@contoso.example")
    Person.objects.filter(pk=cast.stranger("off@contoso.example").pk).update(is_active=False)
    return row, Unacceptable


def sign_on_required(cast: Cast) -> tuple[Invitation, type[DomainError]]:
    row = cast.invited("new@elsewhere.example")
    required = {"is_on": True, "is_only": True, "break_glass": cast.ines}
    SignOn.objects.create(tenant=cast.contoso, issuer="https://id.example", changed_at=row.created_at, **required)
    return row, Unacceptable


@pytest.mark.parametrize(
    "begin",
    [
        sender_left,
        role_not_proposed,
        customer_switched_on,
        customer_switched_on_and_sender_left,
        two_people_needed,
        address_of_another,
        role_given_meanwhile,
        account_switched_off,
        sign_on_required,
    ],
)
def test_a_page_offers_no_form_that_would_be_refused(
    cast: Cast, begin: Callable[[Cast], tuple[Invitation, type[DomainError]]]
) -> None:
    row, refusal = begin(cast)
    with nothing_happens():
        page = Client().get(link(cast.link_of(row)))
    assert page.status_code == refusal.status
    text = page.content.decode()
    assert '<form class="form"' not in text
    with pytest.raises(refusal) as refused:
        operations.accept_invitation(cast.link_of(row), **NEW, actor=Actor.stranger(door="pages"))
    if refusal is not NotFound:
        assert str(refused.value.message) in html.unescape(text)


def test_an_account_without_a_tenant_is_given_to_the_reader_of_its_mail(cast: Cast) -> None:
    free = cast.stranger("free@contoso.example")
    former = actor_of(free, door="pages", stepped_up_at=clock.now())
    token = operations.create_token(name="Old", scopes=["requests:read"], days=7, actor=former).row
    row = cast.invited("free@contoso.example")
    assert operations.accept_invitation(cast.link_of(row), **NEW, actor=Actor.stranger(door="pages")).pk == free.pk
    free.refresh_from_db()
    assert free.check_password(GOOD)
    # The address may have a new owner: a token from before does not get the new role.
    token.refresh_from_db()
    assert token.revoked_at is not None
    off = cast.stranger("off@contoso.example")
    Person.objects.filter(pk=off.pk).update(is_active=False)
    with pytest.raises(Unacceptable):
        operations.accept_invitation(
            cast.link_of(cast.invited("off@contoso.example")), **NEW, actor=Actor.stranger(door="pages")
        )


def test_an_answered_invitation_is_not_sent_again_and_mails_are_limited(
    cast: Cast, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("requests_app.domain.limits.INVITATION_SENDS_MAX", 2)
    monkeypatch.setattr("requests_app.domain.limits.INVITATIONS_MAX", 2)
    row, ines = cast.invited(), signed_in(cast, "ines")
    form = {"act": "send_again", "invitation": str(row.pk)}
    assert ines.post(people_of(cast), form).status_code == 302
    assert ines.post(people_of(cast), form).status_code == 429
    cast.invited("second@contoso.example")
    assert ines.post(people_of(cast), {"email": "third@contoso.example", "role": "member"}).status_code == 429
    assert ines.post(people_of(cast), {**form, "act": "withdraw"}, follow=True).status_code == 200
    with pytest.raises(WrongState):
        operations.resend_invitation(row.pk, actor=cast.as_("ines"))
    assert "grace@contoso.example" not in ines.get(people_of(cast)).content.decode()
    assert "second@contoso.example" not in signed_in(cast, "mia").get(people_of(cast)).content.decode()


def test_a_withdrawn_invitation_is_not_mailed_any_more(cast: Cast) -> None:
    operations.withdraw_invitation(cast.invited().pk, actor=cast.as_("ines"))
    outbox.drain(limit=50)
    assert not OutboxMessage.objects.filter(lane="mail").exists()


def test_in_a_trial_the_form_begins_with_a_name_from_the_address(cast: Cast, settings: Any) -> None:
    row = cast.invited("grace.adeyemi@contoso.example")

    def name() -> object:
        return Client().get(link(cast.link_of(row))).context["form"]["name"].value()

    assert not name()
    settings.BASE_URL, settings.EMAIL_BACKEND, settings.PRODUCTION = "http://localhost:8000", MAIL_FILES, False
    assert name() == "Grace Adeyemi"
    settings.PRODUCTION = True
    assert not name()


def test_accepting_signs_in_and_the_second_factor_follows(cast: Cast) -> None:
    row, browser = cast.invited(role="approver"), Client()
    browser.get(link(cast.link_of(row)))
    before = browser.session.session_key
    page = browser.post(link(cast.link_of(row)), NEW, follow=True)
    grace = Person.objects.get(email=row.email)
    assert browser.session["_auth_user_id"] == str(grace.pk)
    assert page.redirect_chain == [("/", 302), (f"{reverse('web:security_add_passkey')}?next=/", 302)]
    # The session from before the sign-in, which somebody else might know, is not this session.
    assert browser.session.session_key != before
    assert UserSession.objects.filter(user=grace).count() == 1
    # Every page waits for the second factor.
    assert browser.get(reverse("web:access_requests")).status_code == 302
    # The same form once more, from the same browser, leads on. From another browser, the link is used up.
    with nothing_happens():
        assert browser.post(link(cast.link_of(row)), NEW)["Location"].endswith("?next=/")
        Person.objects.filter(pk=grace.pk).update(totp_set_up_at=clock.now())
        assert browser.post(link(cast.link_of(row)), NEW)["Location"] == "/"
        assert Client().post(link(cast.link_of(row)), NEW).status_code == 404


def test_no_page_leads_onwards_before_the_second_factor(cast: Cast) -> None:
    """Each link would lead back to the page that adds it."""
    noah, browser = cast.as_("noah"), Client()
    row = operations.invite_person(cast.northwind.pk, email="nell@northwind.example", role="administrator", actor=noah)
    page = browser.post(link(cast.link_of(row)), NEW, follow=True)
    assert page.resolver_match.view_name == "web:security_add_passkey"
    assert "Set-up list" not in page.content.decode()


@pytest.mark.parametrize(("role", "page"), [("administrator", "web:guide"), ("member", "web:home")])
def test_an_administrator_sees_the_set_up_first(cast: Cast, role: str, page: str) -> None:
    row, browser = cast.invited(role=role), Client()
    answer = browser.post(link(cast.link_of(row)), NEW)
    assert answer["Location"] == reverse(page, args=[cast.contoso.pk] if page == "web:guide" else [])
    # A second factor comes first, and then the page that the person wanted.
    needed = browser.get(answer["Location"])
    wanted = f"{reverse('web:security_add_passkey')}?next={answer['Location']}" if role == "administrator" else None
    assert needed.get("Location") == wanted


def test_a_new_member_of_staff_sees_the_set_up_first(cast: Cast) -> None:
    cast.peaceful()
    row, browser = cast.invited_colleague(role="staff"), Client()
    assert browser.post(link(cast.link_of(row)), NEW)["Location"] == reverse("admin:set_up")


def test_a_reader_of_a_copied_link_reads_that_first(cast: Cast) -> None:
    row, browser = cast.invited(role="administrator"), Client()
    Invitation.objects.filter(pk=row.pk).update(link_copied_at=clock.now(), link_copied_by=cast.stella)
    assert browser.post(link(cast.link_of(row)), NEW)["Location"] == "/"


def test_accepting_is_no_fresh_proof(cast: Cast) -> None:
    row, browser = cast.invited(role="administrator"), Client()
    browser.post(link(cast.link_of(row)), NEW)
    request = RequestFactory().get("/")
    request.session, request.user = browser.session, Person.objects.get(email=row.email)
    assert last_proof(request)[0] == LINK
    assert _stepped_up_at(request) is None


def test_a_session_that_somebody_planted_is_not_signed_in(cast: Cast) -> None:
    """Session fixation: the attacker knows the key of the victim's session from before the sign-in."""
    attacker = Client()
    attacker.get(reverse("account_login"))
    planted: Any = attacker.session
    planted["mine"] = 1
    planted.save()
    victim = Client()
    victim.cookies[settings.SESSION_COOKIE_NAME] = planted.session_key
    row = cast.invited()
    assert victim.post(link(cast.link_of(row)), NEW)["Location"] == "/"
    attacker.cookies[settings.SESSION_COOKIE_NAME] = planted.session_key
    assert attacker.get("/").status_code == 302
    assert "_auth_user_id" not in attacker.session


def test_a_link_and_a_new_password_do_not_pass_an_old_second_factor(cast: Cast) -> None:
    """Alan's roles were taken away, but his account has its second factor."""
    cast.alan.memberships.all().delete()
    row, browser = cast.invited(cast.alan.email), Client()
    answer = browser.post(link(cast.link_of(row)), NEW)
    assert (answer.status_code, answer["Location"]) == (302, "/accounts/login/")
    assert "_auth_user_id" not in browser.session
    assert list(cast.alan.memberships.values_list("role", flat=True)) == ["member"]


def test_a_colleague_accepts_is_signed_in_and_reads_what_the_role_waits_for(cast: Cast) -> None:
    row, browser = cast.invited_colleague(role="staff"), Client()
    page = browser.get(link(cast.link_of(row))).content.decode()
    for words in ("Stella Test, on the staff of Microsoft", "Staff", "You get the role later"):
        assert words in page
    answer = browser.post(link(cast.link_of(row)), NEW)
    # The person can add the second factor now, or later.
    assert answer["Location"] == "/security/passkeys/add/?next=/"
    assert browser.get(answer["Location"]).context["later"] == "/"
    home = browser.get("/").content.decode()
    assert "Your role “Staff” is not given yet" in home
    assert 'href="/security/passkeys/add/"' in home
    assert "You have no role yet" not in home
    assert browser.get(reverse("admin:index")).status_code == 404
    takes_effect(cast)
    assert browser.get("/")["Location"].startswith(reverse("web:security_add_passkey"))


def takes_effect(cast: Cast) -> None:
    """Apply the one proposal, as if its waiting time were over."""
    proposal = Proposal.objects.get()
    Proposal.objects.filter(pk=proposal.pk).update(proposed_at=clock.now() - dt.timedelta(days=4))
    cast.made_due(lambda: None)
    operations.apply_proposal(proposal.pk, actor=cast.system("sweep"))


def test_a_role_that_arrives_asks_nothing_of_somebody_who_added_the_second_factor_while_accepting(cast: Cast) -> None:
    row, browser = cast.invited_colleague(role="staff"), Client()
    onward = browser.post(link(cast.link_of(row)), NEW)["Location"]
    done = added(browser, Authenticator(origin=ORIGIN), page=onward)
    assert (done.status_code, done.context["onward"]) == (200, "/")
    assert 'href="/security/passkeys/add/"' not in browser.get("/").content.decode()
    # Without the role, the passkey and its proof open nothing.
    assert browser.get(reverse("admin:index")).status_code == 404
    takes_effect(cast)
    assert browser.get(reverse("admin:index")).status_code == 200
    # The proof from the passkey still counts: this page would ask for one.
    assert browser.get(reverse("admin:requests_app_person_add")).status_code == 200


def test_the_reader_of_a_copied_link_reads_who_copied_it_until_they_confirm(cast: Cast) -> None:
    cast.peaceful()
    row, browser = cast.invited_colleague(role="engineer"), Client()
    stella = signed_in(cast, "stella")
    shown = stella.post(reverse("admin:requests_app_invitation_act", args=[row.pk, "copy-link"]))
    assert (shown.status_code, shown["Cache-Control"]) == (200, NEVER_CACHED)
    [here] = set(re.findall(r"http://localhost:8000(/invitation/[^/\s]+/)", shown.content.decode()))
    assert stella.post(reverse("admin:requests_app_invitation_act", args=[row.pk, "copy-link"])).status_code == 409
    browser.post(here, NEW)
    cast.people["grace"] = Person.objects.get(email=row.email)
    Person.objects.filter(email=row.email).update(totp_set_up_at=clock.now())
    grace = signed_in(cast, "grace")
    for _ in range(2):
        assert "Stella Test</bdi> copied the link of your invitation" in grace.get("/").content.decode()
    note = reverse("web:note_link_copy", args=[row.pk])
    assert signed_in(cast, "priya").post(note).status_code == 404
    assert signed_in(cast, "ines").post(note).status_code == 404
    assert grace.get(note).status_code == 405
    assert grace.post(note)["Location"] == "/"
    assert "copied the link of your invitation" not in grace.get("/").content.decode()
    assert AuditEntry.objects.order_by("-pk")[0].event == "invitation.copy_noted"


def test_a_tenants_first_administrator_reads_who_copied_the_link_and_the_log_has_both(cast: Cast) -> None:
    cast.peaceful()
    stella = cast.as_("stella")
    bare = operations.create_tenant(name="Adatum", slug="adatum", plan_id=cast.contoso.plan_id, actor=stella)
    row = operations.invite_person(bare.pk, email="first@adatum.example", role="administrator", actor=stella)
    operations.copy_invitation_link(row.pk, actor=stella)
    browser = Client()
    browser.post(link(cast.link_of(row)), NEW)
    cast.people["first"] = Person.objects.get(email=row.email)
    Person.objects.filter(email=row.email).update(totp_set_up_at=clock.now())
    first = signed_in(cast, "first")
    assert "Stella Test</bdi> copied the link of your invitation" in first.get("/").content.decode()
    assert first.post(reverse("web:note_link_copy", args=[row.pk])).status_code == 302
    assert "copied the link of your invitation" not in first.get("/").content.decode()
    events = [event for event in events_in(bare) if event.startswith("invitation.")]
    assert events == [
        *("invitation.sent", "invitation.link_copied"),
        *("invitation.accepted", "invitation.copy_noted"),
    ]
    log = first.get(reverse("web:log", args=[bare.pk])).content.decode()
    for words in ("copied the link of the invitation sent to", "confirmed knowing that"):
        assert words in log


def test_staff_invite_from_the_list_of_people_and_see_open_invitations(cast: Cast) -> None:
    stella = signed_in(cast, "stella")
    add = reverse("admin:requests_app_person_add")
    assert "Invite a person" in stella.get(reverse("admin:requests_app_person_changelist")).content.decode()
    form = {"email": "sam@provider.example", "role": "engineer", "services": [str(cast.exchange.pk)], "time_zone": ""}
    answer = stella.post(add, form)
    row = Invitation.objects.get()
    assert answer["Location"] == reverse("admin:requests_app_invitation_change", args=[row.pk])
    assert list(row.services.all()) == [cast.exchange]
    page = stella.get(answer["Location"]).content.decode()
    assert "Exchange Online" in page
    assert "The role is proposed, and customers get a mail." in page
    listed = reverse("admin:requests_app_invitation_changelist")
    assert "sam@provider.example" in stella.get(f"{listed}?state=open").content.decode()
    assert "sam@provider.example" not in stella.get(f"{listed}?state=accepted").content.decode()
    assert stella.post(reverse("admin:requests_app_invitation_act", args=[row.pk, "withdraw"])).status_code == 302
    assert "sam@provider.example" in stella.get(f"{listed}?state=withdrawn").content.decode()
    assert "sam@provider.example" not in stella.get(f"{listed}?state=open").content.decode()
    wrong = stella.post(add, {**form, "email": "other@provider.example", "services": []})
    assert (wrong.status_code, list(wrong.context["form"].errors)) == (422, ["services"])


def test_an_invitation_that_a_switch_on_has_ended_says_so_and_is_sent_again(cast: Cast) -> None:
    cast.peaceful()
    row = cast.invited_colleague()
    stella = signed_in(cast, "stella")
    here = reverse("admin:requests_app_invitation_change", args=[row.pk])
    listed = reverse("admin:requests_app_invitation_changelist")
    words = "ended when a customer switched Lockbox on"

    def shown() -> tuple[bool, bool, bool, bool]:
        still, ended = (stella.get(f"{listed}?state={state}").content.decode() for state in ("open", "overtaken"))
        # The list also offers the state as a filter.
        in_list = stella.get(listed).content.decode().count(words) == 2
        return row.email in still, row.email in ended, words in stella.get(here).content.decode(), in_list

    assert shown() == (True, False, False, False)
    Tenant.objects.filter(pk=cast.northwind.pk).update(lockbox_on=True)
    assert shown() == (False, True, True, True)
    page = Client().get(link(cast.link_of(row))).content.decode()
    assert "Ask Stella Test to send the invitation again." in page
    assert "Send again" in stella.get(here).content.decode()
    operations.resend_invitation(row.pk, actor=cast.as_("stella"))
    row.refresh_from_db()
    assert row.proposal is not None
    assert shown() == (True, False, False, False)


def test_the_link_is_in_no_log(cast: Cast, capfd: pytest.CaptureFixture[str]) -> None:
    cast.peaceful()
    row = cast.invited_colleague()
    signed_in(cast, "stella").post(reverse("admin:requests_app_invitation_act", args=[row.pk, "copy-link"]))
    Client().post(link(cast.link_of(row)), NEW)
    secret = cast.link_of(row)
    assert secret not in "".join(capfd.readouterr())
    for entry in AuditEntry.objects.all():
        assert secret not in bytes(entry.canonical).decode()


def test_a_signed_in_person_accepts_no_invitation_by_accident(cast: Cast) -> None:
    row = cast.invited()
    for name in ("ines", "frida", "stella"):
        page = signed_in(cast, name).post(link(cast.link_of(row)), NEW)
        assert page.status_code == 200
        assert "You are already signed in" in page.content.decode()
    assert not Person.objects.filter(email=row.email).exists()
