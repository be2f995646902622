"""Who may do what, asked directly: the answers of the policy and of an actor, without a row or a page."""

from __future__ import annotations

from uuid import uuid4

import pytest

from requests_app.domain.actors import Actor, Machine, Side
from requests_app.domain.errors import NotAllowed


def client(**fields: object) -> Actor:
    """Return a client of the provider that acts in nobody's name."""
    account = uuid4()
    machine = Machine(client_id=uuid4(), account_id=account, name="Gateway", **fields)  # type: ignore[arg-type]
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
