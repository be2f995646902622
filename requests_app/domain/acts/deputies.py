"""Declares the acts by which an approver names a deputy, or ends a deputy's period."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import Family, Meaning, Severity
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Act, Door, Event, Noun, Route, StepUp, Tell
from requests_app.domain.scopes import Scope

OUT_OF_OFFICE_SET = Event(
    "out_of_office.set",
    label=_("Deputy named"),
    sentence=_("{who} is out of the office; {deputy_name} decides in their place from {from_at} until {until_at}"),
    siem=Meaning(Family.USER_ACCESS, 1, severity=Severity.MEDIUM),
)
OUT_OF_OFFICE_ENDED = Event(
    "out_of_office.ended",
    label=_("Deputy’s period ended early"),
    sentence=_("{who} ended a deputy’s period: {deputy_name} no longer decides for {approver_name}"),
    siem=Meaning(Family.USER_ACCESS, 2, severity=Severity.LOW),
)

SET_OUT_OF_OFFICE = Act(
    "set_out_of_office",
    noun=Noun.TENANT,
    roles=frozenset({Role.APPROVER}),
    humans_only=True,
    title=_("Name a deputy"),
    step_up=StepUp.ALWAYS,
    scope=Scope.MEMBERS_MANAGE,
    events=(OUT_OF_OFFICE_SET,),
    tried=_("to name a deputy"),
    done=_("During your absence, {name} can decide in your place."),
    tells=(Tell("notify.out_of_office", ("customer", "deputy")),),
    doors=frozenset({Door.PAGES, Door.API}),
)
END_OUT_OF_OFFICE = Act(
    "end_out_of_office",
    noun=Noun.DEPUTY,
    roles=frozenset({Role.ADMINISTRATOR}),
    is_holders=True,
    title=_("End a deputy’s period"),
    step_up=StepUp.ALWAYS,
    scope=Scope.MEMBERS_MANAGE,
    events=(OUT_OF_OFFICE_ENDED,),
    tried=_("to end a deputy’s period"),
    done=_("{name} no longer decides for {approver}."),
    tells=(Tell("notify.out_of_office", ("customer", "deputy")),),
    doors=frozenset({Door.PAGES, Door.API}),
    route=Route("end", "End an absence early", "The approver and the tenant's administrator can do this."),
)
