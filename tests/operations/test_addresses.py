"""Who owns an address: the person who opens the link that was sent to it.

Nobody can sign in with an address before that.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import link_secrets
from requests_app.domain.actors import Actor
from requests_app.domain.errors import NotAllowed, NotFound, StepUpRequired, Unacceptable
from requests_app.domain.events import PROVIDER_LOG
from requests_app.identity import factors
from requests_app.models import AddressChange, DirectoryRecord, OutboxMessage, Person
from requests_app.operations import Profile
from requests_app.queries import actor_of
from requests_app.work import outbox
from tests.cast import PASSWORD, Cast, events_in, outbox_topics
from tests.factors import sign_in
from tests.web.pages import nothing_happens, signed_in

pytestmark = pytest.mark.django_db

NEW, GOOD = "ada@new.example", "another battery of 7 horses"


def requested(cast: Cast, email: str = NEW, *, by: str = "ada") -> AddressChange:
    return operations.request_address(email=email, actor=cast.as_(by))


def link(row: AddressChange) -> str:
    return link_secrets.of(row.pk, 1)


def mails(mailoutbox: list[Any]) -> list[tuple[str, str]]:
    outbox.drain(limit=50)
    found = sorted((mail.to[0], mail.subject) for mail in mailoutbox)
    mailoutbox.clear()
    return found


def test_an_address_is_changed_through_both_mailboxes(cast: Cast, mailoutbox: list[Any]) -> None:
    browser = signed_in(cast, "ada")
    answer = browser.post(reverse("web:address"), {"email": "Ada@new.example"})
    assert (answer.status_code, answer["Location"]) == (302, "/security/")
    assert Person.objects.get(pk=cast.ada.pk).email == "ada@contoso.example"
    assert events_in(cast.contoso) == ["person.address_requested"]
    outbox.drain(limit=50)
    body = next(mail.body for mail in mailoutbox if mail.to == [NEW])
    [here] = re.findall(r"http://\S+(/address/\S+)", body)
    assert mails(mailoutbox) == [
        ("ada@contoso.example", "A change of your address was requested"),
        (NEW, "Confirm your new address"),
    ]
    # Only this mail contains the secret.
    secret = here.split("/")[2]
    assert link(AddressChange.objects.get()) == secret
    stored = "".join(f"{row.payload}{row.rendered}" for row in OutboxMessage.objects.all())
    assert secret not in stored + "".join(bytes(row.canonical).decode() for row in AuditEntry.objects.all())
    # Opening the link changes nothing, and the link does not work for anybody else.
    with nothing_happens():
        assert Client().get(here)["Location"].startswith("/accounts/login/")
        assert NEW in browser.get(here).content.decode()
        alan = signed_in(cast, "alan")
        for answer in (alan.get(here), alan.post(here), browser.post(f"/address/{'A' * 43}/")):
            assert (answer.status_code, answer.templates[0].name) == (404, "security/address_no_good.html")
    assert browser.post(here)["Location"] == "/security/"
    ada = Person.objects.get(pk=cast.ada.pk)
    assert (ada.email, ada.email_verified_at is not None) == (NEW, True)
    assert events_in(cast.contoso)[-1] == "person.address_changed"
    assert '"email_before":"ada@contoso.example"' in bytes(AuditEntry.objects.latest("pk").canonical).decode()
    assert mails(mailoutbox) == [("ada@contoso.example", "Your address was changed")]
    with nothing_happens():
        assert browser.post(here).status_code == 404
    assert sign_in(ada, PASSWORD).status_code == 302
    former = Client().post(reverse("account_login"), {"login": "ada@contoso.example", "password": PASSWORD})
    assert former.status_code == 200


def test_a_link_is_for_a_day_and_for_the_newest_wish(cast: Cast, travel: Any) -> None:
    at = travel.freeze()
    first = requested(cast, "one@new.example")
    second = requested(cast, "two@new.example")
    with pytest.raises(NotFound):
        operations.confirm_address(link(first), actor=cast.as_("ada"))
    travel.to(at + dt.timedelta(hours=24))
    with pytest.raises(NotFound):
        operations.confirm_address(link(second), actor=cast.as_("ada"))
    assert Person.objects.get(pk=cast.ada.pk).email == "ada@contoso.example"
    assert events_in(cast.contoso) == ["person.address_requested"] * 2


def test_a_change_of_address_needs_proof_and_reveals_no_owner(cast: Cast) -> None:
    with pytest.raises(StepUpRequired):
        operations.request_address(email=NEW, actor=cast.as_("ada", fresh=False))
    for wrong in ("ada@contoso.example", "no address", "x" * 300 + "@new.example"):
        with pytest.raises(Unacceptable):
            requested(cast, wrong)
    assert (AddressChange.objects.count(), outbox_topics()) == (0, [])
    # Only a person who can read mail at the address learns that the address has an account.
    row = requested(cast, "frida@fabrikam.example")
    browser = signed_in(cast, "ada")
    answer = browser.post(reverse("web:address_confirm", args=[link(row)]))
    assert (answer.status_code, "has an account already" in answer.content.decode()) == (422, True)
    assert Person.objects.get(pk=cast.ada.pk).email == "ada@contoso.example"


def test_a_mail_for_a_new_password_goes_to_an_address_of_at_most_254_characters(cast: Cast) -> None:
    domain = ".".join(["d" * 60] * 3) + ".example"
    for wrong in ("", "ada", "ada@", "ada@new example", f"{'x' * 64}@{domain}", None):
        with nothing_happens(), pytest.raises(Unacceptable) as refusal:
            operations.ask_for_reset(email=wrong, actor=Actor.stranger(door="pages"))  # type: ignore[arg-type]  # None is tried too
        assert refusal.value.field == "email"
    longest = f"{'x' * 63}@{domain}"
    assert len(longest) == 254
    operations.ask_for_reset(email=f" {longest.upper()} ", actor=Actor.stranger(door="pages"))
    assert f"'{longest}'" in repr(OutboxMessage.objects.get().payload)


def test_only_the_directory_changes_an_address_that_it_manages(cast: Cast) -> None:
    DirectoryRecord.objects.create(
        tenant=cast.contoso, person=cast.ada, user_name="ada", user_key="ada", changed_at=cast.contoso.created_at
    )
    with pytest.raises(NotAllowed):
        requested(cast)
    page = signed_in(cast, "ada").get(reverse("web:address")).content.decode()
    assert "directory manages this address" in page
    assert 'name="email"' not in page


def test_nobody_signs_in_with_an_address_that_is_not_known_to_be_theirs(cast: Cast, mailoutbox: list[Any]) -> None:
    """A password of an account with an unproven address signs nobody in.

    A mail with a link to set another password is then sent to the address.
    """
    fields = {"name": "Newton", "side": "provider", "email_verified_at": None}
    new = Person.objects.create_user("new@provider.example", "a quite long first password 7", **fields)
    browser = Client()
    form = {"login": new.email, "password": "a quite long first password 7"}
    answer = browser.post(reverse("account_login"), form)
    assert (answer.status_code, answer.templates[0].name) == (403, "account/unverified.html")
    assert "_auth_user_id" not in browser.session
    # A wrong password does not show that the account exists.
    assert browser.post(reverse("account_login"), {**form, "password": "wrong"}).status_code == 200
    outbox.drain(limit=50)
    [mail] = [mail for mail in mailoutbox if mail.to == [new.email]]
    assert mail.subject == "Set your password"
    [here] = re.findall(r"http://\S+(/accounts/password/reset/key/\S+)", mail.body)
    opened = browser.get(here, follow=True)
    browser.post(opened.redirect_chain[-1][0], {"password1": GOOD, "password2": GOOD})
    assert Person.objects.get(pk=new.pk).email_verified_at is not None
    assert browser.post(reverse("account_login"), form).status_code == 200
    assert browser.post(reverse("account_login"), {**form, "password": GOOD})["Location"] == "/"


def test_an_address_that_a_directory_changed_must_be_proven_again(cast: Cast, mailoutbox: list[Any]) -> None:
    profile = Profile(user_name="mia", email="mia@else.example", name="Mia Test")
    operations.change_provisioned(
        cast.contoso.pk, cast.mia.pk, profile=profile, actor=cast.as_("ines"), drop=factors.drops_all
    )
    mia = Person.objects.get(pk=cast.mia.pk)
    assert (mia.email, mia.email_verified_at) == ("mia@else.example", None)
    for email in ("mia@contoso.example", "mia@else.example"):
        browser = Client()
        browser.post(reverse("account_login"), {"login": email, "password": PASSWORD})
        assert "_auth_user_id" not in browser.session
    # The former password has ended. Who reads the new address sets another one through a mail.
    assert mails(mailoutbox) == []
    Client().post(reverse("account_reset_password"), {"email": "mia@else.example"})
    assert {to for to, _subject in mails(mailoutbox)} == {"mia@else.example"}


def test_accounts_count_as_one_when_both_addresses_are_known(cast: Cast) -> None:
    """An address that nobody has proven does not link the new account to anybody."""
    fields = {"name": "Adelaide", "side": "provider", "email_verified_at": None}
    new = Person.objects.create_user("Ada+two@contoso.example", "a battery of 7 horses", **fields)
    assert new.human_id != cast.ada.human_id
    assert events_in(cast.contoso) == []
    operations.set_password(actor=actor_of(new, door="pages"), password=GOOD, how="reset")
    assert Person.objects.get(pk=new.pk).human_id == cast.ada.human_id
    linked = AuditEntry.objects.filter(event="accounts.linked").values_list("tenant_id", flat=True)
    assert set(linked) == {PROVIDER_LOG, cast.contoso.pk}
    row = requested(cast, "pat+c@provider.example", by="alan")
    operations.confirm_address(link(row), actor=cast.as_("alan"))
    assert Person.objects.get(pk=cast.alan.pk).human_id == cast.pat.human_id


def test_a_request_for_a_new_password_has_the_same_effect_for_every_address(cast: Cast) -> None:
    for email in ("ada@contoso.example", "nobody@contoso.example"):
        operations.ask_for_reset(email=email, actor=Actor.stranger(door="pages"))
    rows = list(OutboxMessage.objects.order_by("created_at").values_list("topic", "tenant", "payload__email"))
    assert rows == [
        ("notify.password_reset", None, "ada@contoso.example"),
        ("notify.password_reset", None, "nobody@contoso.example"),
    ]
    assert AuditEntry.objects.count() == 0
    outbox.drain(limit=50)
    assert list(OutboxMessage.objects.filter(lane="mail").values_list("recipient", flat=True)) == [
        "ada@contoso.example"
    ]


def test_mails_are_asked_for_a_few_times_and_no_more(cast: Cast) -> None:
    def answer(email: str) -> Any:
        return Client().post(reverse("account_reset_password"), {"email": email})

    for email in ("ada@contoso.example", "nobody@contoso.example"):
        assert [answer(email).status_code for _ in range(5)] == [302] * 5
        sixth = answer(email)
        assert (sixth.status_code, "Too many mails" in sixth.content.decode()) == (200, True)
    assert OutboxMessage.objects.count() == 10
