"""A mail that has no template: a declaration contains its words. It goes to a person whom the row names."""

from __future__ import annotations

import pytest
from django.utils.translation import gettext_lazy as _

from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Act, Door, MailWords, Noun, Tell
from requests_app.domain.states import State
from requests_app.messages import audiences, topics
from requests_app.messages.mails.facts import PLAIN_READERS
from requests_app.messages.topics import PlainTopic, note_of, post
from requests_app.models import AccessRequest, OutboxMessage, QueueAssignment
from tests.cast import Cast
from tests.notifications.conftest import Mails

pytestmark = pytest.mark.django_db

WORDS = MailWords(subject=_("{tenant}: look"), headline=_("Look"), lead=(_("Look."),), link=_("Look"))
NUDGE = Tell("notify.nudge", ("row.requested_by",), WORDS, roles=frozenset({Role.ENGINEER}))
ACT = Act(
    "nudge",
    noun=Noun.ACCESS_REQUEST,
    roles=frozenset({Role.PROVIDER_APPROVER}),
    during=frozenset({State.PENDING_PROVIDER}),
    doors=frozenset({Door.PAGES}),
    tells=(NUDGE,),
)


@pytest.fixture
def nudged(cast: Cast, monkeypatch: pytest.MonkeyPatch) -> AccessRequest:
    """Return an access request about which its engineer, Priya, is to get the mail."""
    monkeypatch.setitem(topics._PLAIN, NUDGE.topic, PlainTopic(ACT, NUDGE))
    monkeypatch.setitem(topics.MAILS, NUDGE.topic, WORDS)
    row = cast.submitted()
    post([note_of(NUDGE, row, mark="1")], at=clock.now())
    return row


def test_a_mail_without_templates_has_its_facts_and_its_row() -> None:
    assert topics.PLAIN_NOUNS == audiences._ROWS.keys() == PLAIN_READERS.keys()


def test_the_person_in_the_field_gets_the_mail(nudged: AccessRequest, mails: Mails) -> None:
    assert mails.send().to("nudge") == ["priya"]
    assert mails("priya", "nudge").subject == "Contoso: look"


@pytest.mark.parametrize("other", [{"role": "provider_approver"}, {"service": "sharepoint"}])
def test_a_person_who_no_longer_has_the_role_gets_no_mail(
    cast: Cast, nudged: AccessRequest, mails: Mails, other: dict[str, str]
) -> None:
    """The role counts at the time when the mail is sent. Another role, or the role in another queue, does not count."""
    change = {"service": cast.sharepoint} if "service" in other else other
    QueueAssignment.objects.filter(person=cast.priya, service=cast.sharepoint).delete()
    QueueAssignment.objects.filter(person=cast.priya, service=cast.exchange, role="engineer").update(**change)
    assert mails.send().to("nudge") == []


def test_the_mail_does_not_leave_when_its_act_is_no_longer_possible(
    cast: Cast, nudged: AccessRequest, mails: Mails
) -> None:
    operations.withdraw(nudged.pk, actor=cast.as_("priya"))
    assert mails.send().to("nudge") == []
    notes = OutboxMessage.objects.filter(topic=NUDGE.topic, lane="mail").values_list("last_error", flat=True)
    assert list(notes) == ["Not sent: the state has changed."]
