"""Out of office: who decides for whom, and from when until when."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest

from audit_app.models import AuditEntry
from requests_app import operations
from requests_app.domain import clock
from requests_app.domain.actors import Role
from requests_app.domain.errors import NotAllowed, NotFound, Unacceptable, WrongState
from requests_app.models import Decision, Membership, OutboxMessage, OutOfOffice, Person
from requests_app.work import outbox
from tests.cast import Cast, events_in, events_of, outbox_topics

pytestmark = pytest.mark.django_db

HOUR = dt.timedelta(hours=1)


def allowed(cast: Cast, name: str = "otto") -> None:
    operations.give_role(cast.contoso.pk, cast.people[name].pk, role="deputy", actor=cast.as_("ines"))


def away(cast: Cast, deputy: str = "otto", *, by: str = "ada", start: dt.timedelta = HOUR, hours: int = 4) -> Any:
    at = clock.now() + start
    return operations.set_out_of_office(
        cast.contoso.pk,
        deputy_id=cast.people[deputy].pk,
        from_at=at,
        until_at=at + hours * HOUR,
        actor=cast.as_(by),
    )


def _refused_at(cast: Cast, travel: Any, at: dt.datetime, row: Any) -> None:
    travel.to(at)
    with pytest.raises(NotAllowed):
        operations.approve_as_customer(row.pk, actor=cast.as_("otto"))
    assert events_of(row)[-1] == "act.refused"


def test_a_deputy_decides_from_the_first_instant_and_not_at_the_last(cast: Cast, travel: Any) -> None:
    """Only the clock at the decision counts, and no task has run. The log names the absent approver."""
    travel.freeze()
    allowed(cast)
    absence, rows = away(cast), [cast.confirmed() for _ in range(3)]
    moment = dt.timedelta(microseconds=1)
    _refused_at(cast, travel, absence.from_at - moment, rows[0])
    travel.to(absence.from_at)
    assert operations.approve_as_customer(rows[0].pk, actor=cast.as_("otto")).state == "OPEN"
    travel.to(absence.until_at - moment)
    assert operations.deny_as_customer(rows[1].pk, actor=cast.as_("otto"), note="No.").state == "DENIED"
    _refused_at(cast, travel, absence.until_at, rows[2])
    record = [
        json.loads(bytes(e.canonical))
        for e in AuditEntry.objects.filter(actor_id=cast.otto.pk, event__contains="by_customer")
    ]
    assert [(each["actor"]["name"], each["detail"]["deputy_for"]) for each in record] == [("Otto Test", "Ada Test")] * 2
    # An absent approver can still decide, only in their own name.
    assert operations.approve_as_customer(rows[2].pk, actor=cast.as_("ada")).state == "OPEN"
    last = json.loads(bytes(AuditEntry.objects.filter(actor_id=cast.ada.pk).latest("seq").canonical))
    assert "deputy_for" not in last["detail"]


def test_an_actor_that_was_built_in_time_is_read_again_at_the_decision(cast: Cast, travel: Any) -> None:
    travel.freeze()
    allowed(cast)
    absence, row = away(cast, start=dt.timedelta()), cast.confirmed()
    actor = cast.as_("otto")
    assert Role.APPROVER in actor.roles
    travel.to(absence.until_at)
    with pytest.raises(NotAllowed):
        operations.approve_as_customer(row.pk, actor=actor)
    assert Decision.objects.filter(stage="customer").count() == 0


def test_a_deputy_has_no_power_if_the_approver_has_none(cast: Cast) -> None:
    """The deputy can't decide if the approver has lost the role, is switched off, or is the same human."""
    allowed(cast)
    for undone in ("role", "off", "human", "deputy", "ended"):
        absence = away(cast, start=dt.timedelta())
        assert Role.APPROVER in cast.as_("otto").roles
        if undone == "role":
            operations.take_role(cast.contoso.pk, cast.ada.pk, role="approver", actor=cast.as_("ines"))
        elif undone == "off":
            operations.switch_off_person(cast.ada.pk, actor=cast.as_("ines"))
        elif undone == "human":
            cast.agreed(lambda: operations.link_accounts(cast.ada.pk, cast.otto.pk, actor=cast.as_("stella")))
        elif undone == "deputy":
            operations.take_role(cast.contoso.pk, cast.otto.pk, role="deputy", actor=cast.as_("ines"))
        else:
            operations.end_out_of_office(absence.pk, actor=cast.as_("ada"))
        assert Role.APPROVER not in cast.as_("otto").roles, undone
        if undone == "role":
            operations.give_role(cast.contoso.pk, cast.ada.pk, role="approver", actor=cast.as_("ines"))
        elif undone == "off":
            operations.switch_on_person(cast.ada.pk, actor=cast.as_("ines"))
        elif undone == "human":
            cast.agreed(lambda: operations.unlink_accounts(cast.otto.pk, actor=cast.as_("stella")))
        elif undone == "deputy":
            allowed(cast)
        if undone != "ended":
            operations.end_out_of_office(absence.pk, actor=cast.as_("ines"))


def test_mails_about_decisions_go_to_the_deputy_as_well_and_only_then(cast: Cast, travel: Any) -> None:
    travel.freeze()
    allowed(cast)
    absence = away(cast)
    for at, gets_mail in ((absence.from_at - HOUR / 2, False), (absence.from_at, True), (absence.until_at, False)):
        travel.to(at)
        OutboxMessage.objects.all().delete()
        cast.confirmed()
        outbox.drain(limit=100)
        mails = OutboxMessage.objects.filter(lane="mail", topic="notify.decide_as_customer")
        assert set(mails.values_list("recipient", flat=True)) == {
            "ada@contoso.example",
            "alan@contoso.example",
            *(["otto@contoso.example"] if gets_mail else []),
        }


def test_naming_and_ending_are_in_the_log_and_mailed_to_approvers_and_deputy(cast: Cast) -> None:
    allowed(cast)
    OutboxMessage.objects.all().delete()
    absence = away(cast)
    operations.end_out_of_office(absence.pk, actor=cast.as_("ada"))
    assert events_in(cast.contoso) == ["role.given", "out_of_office.set", "out_of_office.ended"]
    assert outbox_topics() == ["notify.out_of_office"] * 2
    outbox.drain(limit=100)
    messages = OutboxMessage.objects.filter(lane="mail").values_list("recipient", flat=True)
    assert set(messages) == {f"{name}@contoso.example" for name in ("ada", "alan", "otto")}


def test_the_choice_and_the_length_of_a_deputy_are_limited(cast: Cast) -> None:
    at = clock.now()
    allowed(cast)

    def named(deputy: Person, start: int = 1, end: int = 5) -> Any:
        times = {"from_at": at + start * HOUR, "until_at": at + end * HOUR}
        return operations.set_out_of_office(cast.contoso.pk, deputy_id=deputy.pk, actor=cast.as_("ada"), **times)

    Membership.objects.create(tenant=cast.fabrikam, person=cast.fred, role="deputy", given_at=at)
    refusals: list[tuple[type[Exception], Any]] = [
        *((Unacceptable, lambda p=p: named(p)) for p in (cast.mia, cast.ada, cast.frida, cast.fred, cast.priya)),
        (Unacceptable, lambda: named(cast.otto, 5, 5)),
        (Unacceptable, lambda: named(cast.otto, -5, -1)),
        (Unacceptable, lambda: named(cast.otto, 1, 24 * 91)),
    ]
    for refusal, call in refusals:
        with pytest.raises(refusal):
            call()
    assert not OutOfOffice.objects.exists()
    assert named(cast.alan, -1).from_at >= at
    with pytest.raises(WrongState):
        named(cast.otto, 4, 9)
    named(cast.otto, 5, 9)


def test_only_an_approver_names_one_and_only_for_themselves(cast: Cast) -> None:
    allowed(cast)
    absence = away(cast, start=dt.timedelta())
    for name in ("mia", "ines", "stella"):
        with pytest.raises(NotAllowed):
            away(cast, "alan", by=name)
    # A deputy can't choose a deputy, although they have the approver's role now.
    with pytest.raises(NotAllowed):
        away(cast, "alan", by="otto")
    for name, refusal in (("mia", NotAllowed), ("alan", NotAllowed), ("otto", NotAllowed), ("frida", NotFound)):
        with pytest.raises(refusal):
            operations.end_out_of_office(absence.pk, actor=cast.as_(name))
    operations.end_out_of_office(absence.pk, actor=cast.as_("ines"))
    with pytest.raises(WrongState):
        operations.end_out_of_office(absence.pk, actor=cast.as_("ines"))


def test_a_deputy_does_not_replace_the_last_approver(cast: Cast) -> None:
    allowed(cast)
    away(cast, start=dt.timedelta())
    operations.switch_off_person(cast.alan.pk, actor=cast.as_("ines"))
    with pytest.raises(WrongState):
        operations.take_role(cast.contoso.pk, cast.ada.pk, role="approver", actor=cast.as_("ines"))
