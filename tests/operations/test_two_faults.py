"""The kernel makes the checks of every act in the same order. If an act has two faults, the earlier check answers.

Each test is about two checks that follow each other, and does an act that fails both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from requests_app import operations
from requests_app.domain import limits
from requests_app.domain.errors import (
    DomainError,
    InsufficientScope,
    NotAllowed,
    NotFound,
    OwnAccessRequest,
    SecondPersonNeeded,
    StepUpRequired,
    Unacceptable,
    WrongState,
)
from requests_app.domain.scopes import Scope
from requests_app.models import Proposal
from requests_app.models.people import actor_of_token
from tests.cast import Cast
from tests.web.pages import snapshot

pytestmark = pytest.mark.django_db

TOO_LONG = "x" * (limits.COMMENT_MAX + 1)


def refused(call: Callable[[], Any]) -> DomainError:
    """Make the call, which must be refused, and return the refusal. Only an entry about the refusal may be written."""
    before = snapshot()
    with pytest.raises(DomainError) as found:
        call()
    assert {**snapshot(), "entries": 0} == {**before, "entries": 0}
    return found.value


def test_the_scope_of_the_token_comes_before_the_row(cast: Cast) -> None:
    made = operations.create_token(name="reads", scopes=[Scope.LOG_READ], days=7, actor=cast.as_("ines"))
    reader = actor_of_token(made.row)
    found = refused(lambda: operations.set_window_cap(cast.priya.pk, seconds=3600, actor=reader))
    assert type(found) is InsufficientScope


def test_the_row_comes_before_the_role(cast: Cast) -> None:
    """A person without the role must learn nothing about rows that they can't see."""
    found = refused(lambda: operations.set_window_cap(cast.contoso.pk, seconds=3600, actor=cast.as_("frida")))
    assert type(found) is NotFound


def test_the_role_comes_before_the_separation_of_people(cast: Cast) -> None:
    row = cast.submitted(by="priya")
    found = refused(lambda: operations.approve_as_provider(row.pk, actor=cast.as_("priya")))
    assert type(found) is NotAllowed


def test_the_separation_of_people_comes_before_the_state(cast: Cast) -> None:
    row = cast.submitted(by="bea")
    operations.withdraw(row.pk, actor=cast.as_("bea"))
    found = refused(lambda: operations.approve_as_provider(row.pk, actor=cast.as_("bea")))
    assert type(found) is OwnAccessRequest


def test_the_separation_of_people_comes_before_the_state_of_a_proposal(cast: Cast) -> None:
    operations.set_two_person_control(cast.contoso.pk, on=True, actor=cast.as_("ines"))
    with pytest.raises(DomainError):
        operations.set_window_cap(cast.contoso.pk, seconds=3600, actor=cast.as_("ines"))
    proposal = Proposal.objects.get()
    operations.withdraw_proposal(proposal.pk, actor=cast.as_("ines"))
    found = refused(lambda: operations.confirm_proposal(proposal.pk, actor=cast.as_("ines")))
    assert type(found) is SecondPersonNeeded


def test_the_state_comes_before_fresh_proof(cast: Cast) -> None:
    row, stale = cast.confirmed(), cast.as_("alan", fresh=False)
    operations.deny_as_customer(row.pk, actor=cast.as_("ada"))
    assert type(refused(lambda: operations.approve_as_customer(row.pk, actor=stale))) is WrongState


def test_the_state_of_a_rule_comes_before_fresh_proof(cast: Cast) -> None:
    stale = cast.as_("ines", fresh=False)
    found = refused(lambda: operations.set_yes_rule(cast.contoso.pk, rule=cast.contoso.yes_rule, actor=stale))
    assert type(found) is WrongState


def test_fresh_proof_comes_before_the_comment(cast: Cast) -> None:
    row, stale = cast.confirmed(), cast.as_("ada", fresh=False)
    assert type(refused(lambda: operations.approve_as_customer(row.pk, actor=stale, note=TOO_LONG))) is StepUpRequired


def test_fresh_proof_comes_before_the_input(cast: Cast) -> None:
    stale = cast.as_("ines", fresh=False)
    found = refused(lambda: operations.add_webhook(cast.contoso.pk, url="nowhere", events=[], actor=stale))
    assert type(found) is StepUpRequired


def test_the_comment_comes_before_the_input(cast: Cast) -> None:
    ada = cast.as_("ada")
    found = refused(
        lambda: operations.deny_all_and_mute(cast.contoso.pk, engineer_id=None, hours=7, note=TOO_LONG, actor=ada)
    )
    assert isinstance(found, Unacceptable)
    assert found.field == "note"


def test_the_input_comes_before_the_second_person(cast: Cast) -> None:
    operations.set_two_person_control(cast.contoso.pk, on=True, actor=cast.as_("ines"))
    found = refused(lambda: operations.set_window_cap(cast.contoso.pk, seconds=1, actor=cast.as_("ines")))
    assert type(found) is Unacceptable
    assert not Proposal.objects.exists()
