"""Judges an act by its declaration, in the order that all acts follow. Then the body of the act runs.

The order is: scope of the token, row, lock, clock, role, humans of a client, separation of people, state, fresh proof,
comment, inputs, second person, body, row and entry and messages, commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.utils.translation import gettext as _

from requests_app.domain import inputs as fields
from requests_app.domain import policy
from requests_app.domain.actors import Actor
from requests_app.domain.acts.declaration import Act, Field, Proposal, StepUp
from requests_app.domain.errors import Unacceptable
from requests_app.domain.lifecycle import STAYING
from requests_app.models import Tenant
from requests_app.operations._announced import announce
from requests_app.operations._change import Step, act
from requests_app.operations._second import hold
from requests_app.operations._subjects import FINDERS
from requests_app.queries import callers, standing
from requests_app.queries.choices import CHOICES

#: A function that finds the row of an act, locks it, and names it with `Step.concerns`.
Find = Callable[[Step, Any], Any]
#: A function that raises an error to refuse the act. Its result is not used.
Check = Callable[[Step], object]
#: A function that returns what is shown to a second person and what the act needs after they confirm. None means that
#: one person is enough.
Held = Callable[[Step], dict[str, Any] | None]
#: A function that returns the change to announce to customers, with its terms. None means that the change is made
#: immediately.
Announced = Callable[[Step], tuple[Proposal, dict[str, Any]] | None]


@contextmanager
def perform(
    declared: Act,
    row_id: object = None,
    *,
    actor: Actor,
    note: str = "",
    inputs: Mapping[str, object] | None = None,
    find: Find | None = None,
    may: Check | None = None,
    state: Check | None = None,
    check: Check | None = None,
    holds: Held | None = None,
    announces: Announced | None = None,
) -> Iterator[Step]:
    """Judge the act, then yield so that its body can run. The functions after `inputs` are for this act only.

    `find` finds and locks the row. `may` refuses people whom the declaration alone would allow. `state` checks the row,
    and `check` checks the inputs and other rows. `holds` returns what must wait for a second person of the tenant.
    `announces` returns the change that must wait for a second member of staff.
    """
    with act(declared, actor=actor) as current:
        current.row = (find or FINDERS[declared.noun])(current, row_id)
        assert current.subject is not None
        policy.require_entitled(current.actor, declared, current.subject)
        callers.require_answered_for(current.actor, declared.scope, declared.provider_scope)
        _ask(may, current)
        policy.require_separate(current.actor, declared, current.subject)
        if declared.during:
            standing.require_move(current.row, STAYING[declared.name], at=current.at)
        _ask(state, current)
        if declared.step_up is StepUp.ALWAYS:
            current.require_proof()
        current.read_note(note)
        current.inputs = {each.name: _read(each, (inputs or {}).get(each.name), current) for each in declared.inputs}
        _ask(check, current)
        _wait_for_second(current, holds, announces)
        yield current


def _ask(check: Check | None, current: Step) -> None:
    if check is not None:
        check(current)


def _read(each: Field, value: object, current: Step) -> Any:
    """Return the value of an input. If the input is an id, return the row that it names.

    Raise Unacceptable if the actor may not choose that row here.
    """
    read = fields.read(each, value)
    choices = CHOICES.get(each.of) if each.of is not None else None
    if choices is None or read is None:
        return read
    assert current.tenant_id is not None
    row = choices(each, current.tenant_id).filter(pk=read).first()
    if row is None:
        raise Unacceptable(_("Choose one of the offered values."), field=each.name)
    return row


def _wait_for_second(current: Step, holds: Held | None, announces: Announced | None) -> None:
    """If a second person must agree first, end the act here and write a proposal instead."""
    if announces is not None and (change := announces(current)) is not None:
        announce(current, *change)
    if holds is None or (terms := holds(current)) is None:
        return
    tenant = current.tenant
    if tenant is None:
        assert current.tenant_id is not None
        # Read under the turn at the log. An act that switches two-person control takes the same turn.
        tenant = Tenant.objects.get(pk=current.tenant_id)
    hold(current, tenant, **terms)
