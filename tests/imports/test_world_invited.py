"""Which prepared invitations are sent: those that the sender has read, that are agreed on, and that are not too old."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.urls import reverse

from requests_app import operations, tasks
from requests_app.domain import clock, limits
from requests_app.domain.errors import WrongState
from requests_app.models import HeldRow, Import, Invitation, OutboxMessage, Proposal
from requests_app.queries.invitations import prepared, prepared_addresses
from tests.cast import Cast
from tests.imports.test_world_people import APPROVER, ENGINEER, NEW, accepted, applied, file, roles_of, sam
from tests.imports.worlds import state
from tests.web.pages import signed_in

pytestmark = pytest.mark.django_db


# --- A prepared invitation grows old --------------------------------------------------------------------------------


def agreed(cast: Cast, text: str, path: Path, travel: Any) -> None:
    applied(text, path)
    row = Import.objects.order_by("-started_at")[0]
    operations.propose_import(row.pk, actor=cast.as_("stella"))
    tasks.run_imports()
    proposal = Proposal.objects.get(act="import_rows", ended_at=None)
    operations.confirm_proposal(proposal.pk, actor=cast.as_("sten"))
    proposal.refresh_from_db()
    travel.to(proposal.effective_at)
    operations.apply_due(actor=cast.system("sweep"), limit=10)
    proposal.refresh_from_db()
    assert proposal.outcome == "applied"


def test_an_agreed_role_is_not_given_by_an_old_invitation(two: Cast, write: Path, travel: Any) -> None:
    agreed(two, file(sam(APPROVER)), write, travel)
    old = Invitation.objects.get()
    travel.to(old.created_at + limits.PREPARED_FOR)
    before = state()[0]
    with pytest.raises(WrongState, match="Apply the file again"):
        operations.send_invitations(shown=prepared().digest, actor=two.as_("stella"))
    assert (state()[0], OutboxMessage.objects.filter(topic="notify.invitation").exists()) == (before, False)
    assert Invitation.objects.get().is_prepared
    assert prepared_addresses() == []
    # The file still says so: the role waits again, with a new invitation in place of the old one.
    applied(file(sam(APPROVER)), write)
    old.refresh_from_db()
    assert (old.withdrawn_at is None, HeldRow.objects.open(clock.now()).count()) == (False, 1)
    with pytest.raises(WrongState, match="must be proposed first"):
        operations.send_invitations(shown=prepared().digest, actor=two.as_("stella"))


def test_a_prepared_invitation_can_be_sent_until_the_last_moment(two: Cast, write: Path, travel: Any) -> None:
    agreed(two, file(sam(APPROVER)), write, travel)
    travel.to(Invitation.objects.get().created_at + limits.PREPARED_FOR - timedelta(seconds=1))
    operations.send_invitations(shown=prepared().digest, actor=two.as_("stella"))
    travel.by(seconds=6 * 24 * 3600)
    assert roles_of(accepted(two)) == [("sharepoint-online", "provider_approver")]


def test_before_the_first_lockbox_a_prepared_invitation_grows_old_too(early: Cast, write: Path, travel: Any) -> None:
    applied(file(sam(ENGINEER)), write)
    travel.by(seconds=31 * 24 * 3600)
    with pytest.raises(WrongState, match="Apply the file again"):
        operations.send_invitations(shown=prepared().digest, actor=early.as_("stella"))
    applied(file(sam(ENGINEER)), write)
    operations.send_invitations(shown=prepared().digest, actor=early.as_("stella"))
    assert OutboxMessage.objects.filter(topic="notify.invitation").count() == 1


def beside_an_expired_one(cast: Cast, write: Path, travel: Any) -> Invitation:
    """Return an agreed invitation that was sent and has expired. Another role is agreed and prepared beside it."""
    agreed(cast, file(sam(ENGINEER)), write, travel)
    operations.send_invitations(shown=prepared().digest, actor=cast.as_("stella"))
    agreed(cast, file(sam(ENGINEER, APPROVER)), write, travel)
    travel.by(seconds=8 * 24 * 3600)
    return Invitation.objects.get(beside=None)


def test_sending_does_not_reopen_an_expired_invitation(two: Cast, write: Path, travel: Any) -> None:
    main = beside_an_expired_one(two, write, travel)
    with pytest.raises(WrongState, match="has expired"):
        operations.send_invitations(shown=prepared().digest, actor=two.as_("stella"))
    main.refresh_from_db()
    assert not main.is_open(clock.now())


def test_sending_again_proposes_the_expired_and_the_old_roles_again(two: Cast, write: Path, travel: Any) -> None:
    main = beside_an_expired_one(two, write, travel)
    travel.by(seconds=400 * 24 * 3600)
    operations.resend_invitation(main.pk, actor=two.as_("stella"))
    assert Proposal.objects.filter(act="invite_to_queues", ended_at=None).count() == 2
    assert roles_of(accepted(two)) == []


# --- Nobody sends what they have not read ----------------------------------------------------------------------------


def shown_on(page: Any) -> str:
    found = re.search(r'name="shown" value="([0-9a-f]{64})"', page.content.decode())
    assert found is not None
    return found[1]


EVIL = "email: evil@provider.example, staff: true"


@pytest.mark.parametrize("later", [EVIL, sam(ENGINEER, APPROVER), sam(ENGINEER, more=", staff: true")])
def test_only_the_invitations_that_the_page_showed_are_sent(early: Cast, write: Path, later: str) -> None:
    applied(file(sam(ENGINEER)), write)
    stella, address = signed_in(early, "stella"), reverse("admin:set_up_send_invitations")
    seen = shown_on(stella.get(address))
    applied(file(later), write)
    for data in ({"shown": seen}, {}, {"shown": "0" * 64}):
        refused = stella.post(address, data)
        assert (refused.status_code, "The list has changed." in refused.content.decode()) == (409, True)
    assert (OutboxMessage.objects.exists(), Invitation.objects.exclude(sends=0).exists()) == (False, False)
    # The refusal shows the new list, so its button sends that one.
    assert ("evil@" in refused.content.decode()) == (later == EVIL)
    assert stella.post(address, {"shown": shown_on(refused)}).status_code == 302
    assert OutboxMessage.objects.count() == 1 + (later == EVIL)


def test_only_the_invitation_whose_role_is_proposed_is_sent(two: Cast, write: Path) -> None:
    applied(file(sam(APPROVER)), write)
    operations.propose_import(Import.objects.get().pk, actor=two.as_("stella"))
    tasks.run_imports()
    applied(file(EVIL), write)
    sent = operations.send_invitations(shown=prepared().digest, actor=two.as_("stella"))
    assert [row.email for row in sent] == [NEW]
    [message] = OutboxMessage.objects.filter(topic="notify.invitation")
    assert message.about == sent[0].pk
    left = Invitation.objects.get(email="evil@provider.example")
    assert (left.is_prepared, left.invited_by, left.withdrawn_at) == (True, None, None)
    assert prepared_addresses() == ["evil@provider.example"]
