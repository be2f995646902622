"""Acts of people on their own second factors.

Each takes a function `keep`, which writes the rows of the sign-in library in the same transaction. A person who can
change the factors can sign in as their holder, so each act needs a fresh proof.
"""

from __future__ import annotations

from collections.abc import Callable

from django.utils.translation import gettext as _

from requests_app.domain import policy
from requests_app.domain.actors import Actor
from requests_app.domain.acts.declaration import Event
from requests_app.domain.acts.own_account import (
    MAKE_RECOVERY_CODES,
    PERSON_RECOVERY_CODES_MADE,
    PERSON_TOTP_REMOVED,
    PERSON_TOTP_SET_UP,
    REMOVE_TOTP,
    SET_UP_TOTP,
)
from requests_app.domain.errors import LastSecondFactor, WrongState
from requests_app.messages.topics import Topic
from requests_app.models import Person
from requests_app.operations._change import Step
from requests_app.operations._own import OwnAct, own_act

_Keep = Callable[[Person], None]


def set_up_totp(*, actor: Actor, keep: _Keep) -> Person:
    """Add an authenticator app as a second factor. The caller must have checked a first code of the app."""

    def state(current: Step) -> None:
        if current.row.totp_set_up_at is not None:
            raise WrongState(_("You have an authenticator app already. Remove it before you set up another one."))

    with own_act(SET_UP_TOTP, actor=actor, state=state) as account:
        account.person.totp_set_up_at = account.act.at
        account.person.save(update_fields=["totp_set_up_at"])
        keep(account.person)
        _inform(account, PERSON_TOTP_SET_UP, how="totp_set_up")
    return account.person


def remove_totp(*, actor: Actor, keep: _Keep) -> Person:
    """Remove the authenticator app. Raise LastSecondFactor if the person must have a second factor and has no other."""

    def state(current: Step) -> None:
        person = current.row
        if person.totp_set_up_at is None:
            raise WrongState(_("You have no authenticator app."))
        person.totp_set_up_at = None
        if policy.needs_second_factor(current.actor) and not person.has_second_factor:
            raise LastSecondFactor

    with own_act(REMOVE_TOTP, actor=actor, state=state) as account:
        account.person.save(update_fields=["totp_set_up_at"])
        keep(account.person)
        _inform(account, PERSON_TOTP_REMOVED, how="totp_removed")
    return account.person


def make_recovery_codes(*, actor: Actor, keep: _Keep) -> Person:
    """Make new recovery codes. The former codes stop working."""

    def state(current: Step) -> None:
        if not current.row.has_second_factor:
            raise WrongState(
                _("Recovery codes replace a second factor when you can’t use it. Set up a second factor first.")
            )

    with own_act(MAKE_RECOVERY_CODES, actor=actor, state=state) as account:
        keep(account.person)
        _inform(account, PERSON_RECOVERY_CODES_MADE, how="recovery_codes_made")
    return account.person


def _inform(account: OwnAct, event: Event, *, how: str) -> None:
    account.witness(event, detail={})
    account.tell_holder(Topic.SECOND_FACTOR_CHANGED, how=how)
