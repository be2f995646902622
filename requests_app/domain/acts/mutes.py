"""Acts by which a tenant takes no access requests for a while."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import Family, Meaning, Severity
from requests_app.domain.acts.declaration import Act, Event, StepUp
from requests_app.domain.scopes import Scope

MUTE_SET = Event(
    "mute.set",
    label=_("Everything denied and muted"),
    sentence=_("{who} denied {denied_amount} that waited, and takes none from {muted} until {until_at}"),
    siem=Meaning(Family.ENTITY, 8, severity=Severity.HIGH),
)
MUTE_LIFTED = Event(
    "mute.lifted",
    label=_("Mute lifted"),
    sentence=_("{who} lifted the mute of {muted}"),
    siem=Meaning(Family.ENTITY, 9, severity=Severity.LOW),
)

DENY_ALL_AND_MUTE = Act(
    "deny_all_and_mute",
    step_up=StepUp.DEPENDS,
    is_of_approver=True,
    scope=Scope.DECISIONS_WRITE,
    events=(MUTE_SET,),
    tried=_("deny all that waits, and mute"),
)
LIFT_MUTE = Act(
    "lift_mute",
    step_up=StepUp.ALWAYS,
    is_of_approver=True,
    scope=Scope.DECISIONS_WRITE,
    events=(MUTE_LIFTED,),
    tried=_("lift a mute"),
)
