"""The provider's invitations that are open when a customer first switches Lockbox on live on, and the customer knows.

Every tenant reads them before it switches Lockbox on, finds them in its log, and hears of each that is accepted.
Everything else about the provider's people still needs two humans and notice.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.test import Client as Browser
from django.urls import reverse
from django.utils.html import strip_tags

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock, limits
from requests_app.domain.actors import Actor
from requests_app.domain.errors import NotAllowed, NotFound
from requests_app.doors.web._log_lists import lists_of
from requests_app.models import Invitation, OutboxMessage, Person, Plan, Tenant
from requests_app.operations import _described
from requests_app.queries import invitations
from tests.cast import Cast, events_in
from tests.factors import force_login
from tests.web.pages import nothing_happens

pytestmark = pytest.mark.django_db

NEW: dict[str, Any] = {"name": "New Colleague", "password": "a long and unheard-of phrase 7"}


@pytest.fixture
def early(cast: Cast) -> Cast:
    """Return the cast before any tenant has ever had Lockbox on. All plans include it."""
    cast.peaceful()
    Plan.objects.update(includes_lockbox=True)
    cast.colleague()
    return cast


def switched_on(cast: Cast, tenant: Tenant | None = None, by: str = "noah") -> Tenant:
    return operations.switch_lockbox((tenant or cast.northwind).pk, on=True, actor=cast.as_(by))


def accepted(cast: Cast, row: Invitation) -> Person:
    return operations.accept_invitation(cast.link_of(row), **NEW, actor=Actor.stranger(door="pages"))


def has_role(person: Person, role: str) -> bool:
    return person.is_staff if role == "staff" else person.queue_assignments.filter(role=role).exists()


def details(tenant: Tenant, event: str) -> list[dict[str, Any]]:
    rows = AuditEntry.objects.filter(tenant_id=tenant.pk, event=event).order_by("seq")
    return [json.loads(bytes(row.canonical))["detail"] for row in rows]


def notices(tenant: Tenant) -> int:
    return OutboxMessage.objects.filter(topic="notify.provider_joined", tenant_id=tenant.pk).count()


@pytest.mark.parametrize("role", ["engineer", "provider_approver", "staff"])
def test_an_invitation_that_the_customer_has_read_about_lives_on_and_the_customer_hears_of_it(
    early: Cast, role: str
) -> None:
    row = early.invited_colleague(role=role)
    switched_on(early)
    [named] = details(early.northwind, "provider.described")[0]["invited"]["listed"]
    assert (named["email"], named["role"], named["invited_by"]) == (row.email, role, "Stella Test")
    assert named["queues"] == ("" if role == "staff" else "Exchange Online")
    person = accepted(early, row)
    assert has_role(person, role)
    [entry] = details(early.northwind, "provider.joined")
    assert (entry["name"], entry["email"], entry["role"]) == ("New Colleague", row.email, role)
    assert notices(early.northwind) == 1


def test_a_tenant_that_never_had_lockbox_on_hears_nothing(early: Cast) -> None:
    row = early.invited_colleague()
    switched_on(early)
    accepted(early, row)
    assert "provider.joined" not in events_in(early.contoso)
    assert notices(early.contoso) == 0


def test_without_lockbox_anywhere_nothing_is_reported(early: Cast) -> None:
    accepted(early, early.invited_colleague())
    assert not OutboxMessage.objects.filter(topic="notify.provider_joined").exists()
    assert not AuditEntry.objects.filter(event="provider.joined").exists()


def test_each_later_tenant_reads_about_it_too(early: Cast) -> None:
    row = early.invited_colleague()
    switched_on(early)
    switched_on(early, early.contoso, by="ines")
    for tenant in (early.northwind, early.contoso):
        [named] = details(tenant, "provider.described")[0]["invited"]["listed"]
        assert named["email"] == row.email
    assert has_role(accepted(early, row), "engineer")
    assert (notices(early.northwind), notices(early.contoso)) == (1, 1)


def test_a_tenant_that_knows_nothing_of_it_ends_it(early: Cast) -> None:
    """No tenant may find somebody with a role of whom it never read: not even after a race, or from old data."""
    row = early.invited_colleague()
    switched_on(early)
    Tenant.objects.filter(pk=early.contoso.pk).update(lockbox_on=True)
    with nothing_happens(), pytest.raises(NotAllowed, match="must be announced to customers first"):
        accepted(early, row)
    assert not Person.objects.filter(email=row.email).exists()


def test_an_invitation_after_the_switch_on_still_needs_two_people(early: Cast) -> None:
    switched_on(early)
    row = early.invited_colleague()
    assert row.proposal is not None
    assert not has_role(accepted(early, row), "engineer")
    assert notices(early.northwind) == 0


def test_an_invitation_that_is_sent_again_needs_two_people(early: Cast) -> None:
    row = early.invited_colleague()
    switched_on(early)
    former = early.link_of(row)
    operations.resend_invitation(row.pk, actor=early.as_("stella"))
    row.refresh_from_db()
    assert row.proposal is not None
    with nothing_happens(), pytest.raises(NotFound):
        operations.accept_invitation(former, **NEW, actor=Actor.stranger(door="pages"))
    assert not has_role(accepted(early, row), "engineer")
    assert events_in(early.northwind)[-1] == "proposal.made"


def test_it_expires_and_can_be_withdrawn_as_before(early: Cast, travel: Any) -> None:
    at = travel.freeze()
    row, other = early.invited_colleague(), early.invited_colleague("other@provider.example")
    switched_on(early)
    operations.withdraw_invitation(other.pk, actor=early.as_("stella"))
    with nothing_happens(), pytest.raises(NotFound):
        accepted(early, other)
    travel.to(at + limits.INVITATION_FOR + dt.timedelta(seconds=1))
    with nothing_happens(), pytest.raises(NotFound):
        accepted(early, row)


def test_it_ends_if_its_sender_is_no_longer_staff(early: Cast) -> None:
    row = early.invited_colleague()
    switched_on(early)
    operations.switch_off_person(early.stella.pk, actor=early.as_("sten"))
    with nothing_happens(), pytest.raises(NotFound):
        accepted(early, row)


def test_a_prepared_invitation_does_not_live_on(early: Cast) -> None:
    row = early.invited_colleague()
    Invitation.objects.filter(pk=row.pk).update(sends=0, invited_by=None, expires_at=clock.now())
    switched_on(early)
    assert details(early.northwind, "provider.described")[0]["invited"]["count"] == 0
    assert not row.named_to.exists()
    shown = invitations.prepared().digest
    with pytest.raises(Exception, match="must be proposed first"):
        operations.send_invitations(shown=shown, actor=early.as_("stella"))


def test_what_waits_beside_a_withdrawn_invitation_is_announced_again(early: Cast) -> None:
    """Its link is drawn after the switch-on, so no tenant has read about this invitation."""
    row, beside = early.invited_colleague(), early.invited_colleague("other@provider.example", "provider_approver")
    Invitation.objects.filter(pk=beside.pk).update(beside=row, email=row.email)
    switched_on(early)
    assert beside.named_to.exists()
    operations.withdraw_invitation(row.pk, actor=early.as_("stella"))
    assert not Invitation.objects.unanswered().filter(tenant=None).exists()


def test_a_role_beside_it_lives_on_too(early: Cast) -> None:
    row, beside = early.invited_colleague(), early.invited_colleague("other@provider.example", "provider_approver")
    Invitation.objects.filter(pk=beside.pk).update(beside=row, email=row.email)
    switched_on(early)
    person = accepted(early, row)
    assert has_role(person, "engineer")
    assert has_role(person, "provider_approver")
    assert len(details(early.northwind, "provider.joined")) == notices(early.northwind) == 2


def test_what_the_entry_leaves_out_ends(early: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = early.invited_colleague("a@provider.example"), early.invited_colleague("b@provider.example")
    monkeypatch.setattr(invitations, "MOST_NAMED", 1)
    switched_on(early)
    with nothing_happens(), pytest.raises(NotAllowed):
        accepted(early, second)
    assert has_role(accepted(early, first), "engineer")


def test_a_new_member_of_the_staff_confirms_nothing_before_the_waiting_time(early: Cast) -> None:
    row = early.invited_colleague(role="staff")
    switched_on(early)
    early.people["new"] = accepted(early, row)
    later = early.invited_colleague("later@provider.example")
    assert later.proposal is not None
    with pytest.raises((NotAllowed, NotFound)):
        operations.confirm_proposal(later.proposal.pk, actor=early.as_("new"))


def test_a_copied_link_gives_no_role_after_the_switch_on(early: Cast) -> None:
    row = early.invited_colleague()
    operations.copy_invitation_link(row.pk, actor=early.as_("stella"))
    switched_on(early)
    with nothing_happens(), pytest.raises(NotAllowed, match="was copied"):
        accepted(early, row)


def test_the_administrator_reads_each_before_switching_lockbox_on(early: Cast) -> None:
    early.invited_colleague()
    early.invited_colleague("boss@provider.example", "staff")
    operations.invite_person(early.contoso.pk, email="secret@contoso.example", role="approver", actor=early.as_("ines"))
    browser = Browser()
    force_login(browser, early.noah)
    url = reverse("web:lockbox", args=[early.northwind.pk, "on"])
    page = strip_tags(browser.get(url).content.decode())
    assert "2 people of Microsoft are invited" in page
    assert "new@provider.example: Engineer of Exchange Online" in page
    assert "boss@provider.example: Staff" in page
    assert "secret@contoso.example" not in page
    switched_on(early)
    operations.switch_lockbox(early.northwind.pk, on=False, actor=early.as_("noah"))
    assert "are invited" not in browser.get(url).content.decode(), "later roles are announced"


def test_people_read_the_list_in_the_log(early: Cast) -> None:
    early.invited_colleague()
    detail = _described.of_provider(early.northwind)
    lists = {each.title: [line.text for line in each.lines] for each in lists_of("provider.described", detail)}
    assert "new@provider.example: Engineer for Exchange Online" in sum(lists.values(), [])
    row = Invitation.objects.get(email="new@provider.example")
    switched_on(early)
    accepted(early, row)
    browser = Browser()
    force_login(browser, early.nadia)
    page = browser.get(reverse("web:log", args=[early.northwind.pk])).content.decode()
    assert "1 role of an invited person" in page
    assert "which was open when Lockbox was first switched on" in page
