"""The answers of the policy and of actors to "who can do what". The tests use no row and no page."""

from __future__ import annotations

import datetime as dt
from typing import Any
from uuid import UUID, uuid4

import pytest

from requests_app.domain import link_secrets, policy
from requests_app.domain.actors import Actor, Machine, Role, Side
from requests_app.domain.errors import NotAllowed, StepUpRequired


def client(**fields: Any) -> Actor:
    """Return a client of the provider that acts in its own name."""
    account = uuid4()
    machine = Machine(client_id=uuid4(), account_id=account, name="Gateway", **fields)
    return Actor(side=Side.PROVIDER, door="api", name="Gateway", person_id=account, human_id=uuid4(), machine=machine)


def test_a_client_decides_for_the_approver_whom_it_may_decide_for_and_for_nobody_else() -> None:
    approver = uuid4()
    assert client(decides_for=approver).decider == approver
    with pytest.raises(NotAllowed):
        _ = client().decider


def test_nobody_is_the_human_behind_the_system() -> None:
    for ask in (lambda actor: actor.human, lambda actor: actor.person, lambda actor: actor.decider):
        with pytest.raises(NotAllowed):
            ask(Actor.system("sweep"))


@pytest.mark.parametrize("engineers_need_it", [True, False])
def test_who_decides_or_administers_needs_a_second_factor(settings: Any, engineers_need_it: bool) -> None:
    settings.ENGINEER_SECOND_FACTOR = engineers_need_it
    needing = set()
    for role in Role:
        held = {uuid4(): frozenset({role})}
        actor = Actor(side=Side.CUSTOMER, door="pages", name="Ada", tenant_roles=held, is_staff=role is Role.STAFF)
        if policy.needs_second_factor(actor):
            needing.add(role)
    always = {Role.APPROVER, Role.DEPUTY, Role.ADMINISTRATOR, Role.PROVIDER_APPROVER, Role.STAFF}
    assert needing == (always | {Role.ENGINEER} if engineers_need_it else always)


def test_people_prove_who_they_are_and_clients_and_the_system_can_not() -> None:
    at = dt.datetime(2026, 11, 3, 9, 30, tzinfo=dt.UTC)
    person = Actor(side=Side.CUSTOMER, door="pages", name="Ada", person_id=uuid4(), human_id=uuid4())
    with pytest.raises(StepUpRequired):
        policy.require_step_up(person, at)
    policy.require_step_up(person.stepped_up(at), at)
    for actor in (client(), Actor.system("sweep")):
        policy.require_step_up(actor, at)


def test_a_link_in_a_mail_that_was_sent_before_stays_good(settings: Any) -> None:
    settings.SECRET_KEY = "a key of this test"
    assert link_secrets.of(UUID(int=1), 1) == "VQto4xUP_X-UnFtl5N_GU-xCSkORe0pSV0_qOhgcnkk"
