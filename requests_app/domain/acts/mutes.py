"""Declares the acts on mutes. During a mute, a tenant accepts no access requests."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import Family, Meaning, Severity
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Act, Comment, Door, Event, Noun, Route, StepUp, Tell
from requests_app.domain.scopes import Scope

MUTE_SET = Event(
    "mute.set",
    label=_("Access requests denied and muted"),
    sentence=_("{who} denied {denied_amount} that waited, and muted {muted} until {until_at}"),
    siem=Meaning(Family.ENTITY, 8, severity=Severity.HIGH),
)
MUTE_LIFTED = Event(
    "mute.lifted",
    label=_("Mute ended early"),
    sentence=_("{who} ended the mute on {muted} early"),
    siem=Meaning(Family.ENTITY, 9, severity=Severity.LOW),
)

DENY_ALL_AND_MUTE = Act(
    "deny_all_and_mute",
    noun=Noun.TENANT,
    roles=frozenset({Role.APPROVER}),
    comment=Comment.OPTIONAL,
    title=_("Deny all waiting access requests and start a mute"),
    step_up=StepUp.DEPENDS,
    is_of_approver=True,
    scope=Scope.DECISIONS_WRITE,
    events=(MUTE_SET,),
    tried=_("to deny all waiting access requests and start a mute"),
    tells=(Tell("notify.access_request_ended", ("engineer", "provider_approvers")), Tell("notify.mute", ("customer",))),
    doors=frozenset({Door.PAGES, Door.API}),
)
LIFT_MUTE = Act(
    "lift_mute",
    noun=Noun.MUTE,
    roles=frozenset({Role.APPROVER}),
    title=_("End a mute"),
    step_up=StepUp.ALWAYS,
    is_of_approver=True,
    scope=Scope.DECISIONS_WRITE,
    events=(MUTE_LIFTED,),
    tried=_("to end a mute"),
    done=_("The mute on {muted} has ended."),
    tells=(Tell("notify.mute", ("customer",)),),
    doors=frozenset({Door.PAGES, Door.API}),
    route=Route(
        "lift", "Accept access requests again before a mute ends", "Only an approver can do this, with fresh proof."
    ),
)
