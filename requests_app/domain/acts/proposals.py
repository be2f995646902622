"""Declares the acts on changes that need a second person."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import OTHER, Family, Meaning, Severity
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Act, Door, Event, Noun, Party, Proposal, Route, StepUp, Tell, has
from requests_app.domain.scopes import Scope

TWO_PERSON_SWITCHED_ON = Event(
    "two_person_control.switched_on",
    label=_("Two-person control switched on"),
    sentence=_("{who} switched two-person control on"),
    siem=Meaning(Family.ENTITY, 8, severity=Severity.LOW),
)
TWO_PERSON_SWITCHED_OFF = Event(
    "two_person_control.switched_off",
    label=_("Two-person control switched off"),
    sentence=_("{who} switched two-person control off"),
    siem=Meaning(Family.ENTITY, 9, severity=Severity.HIGH),
)
PROPOSAL_MADE = Event(
    "proposal.made",
    label=_("Change proposed"),
    sentence=_("{who} proposed to {proposed}"),
    variants=(
        (
            has("told_late", and_also="effective_at"),
            _(
                "{proposed_by} had proposed to {proposed}. Nobody else could confirm the change. The change takes "
                "effect {effective_at}"
            ),
        ),
        (has("told_late"), _("{proposed_by} had proposed to {proposed}")),
        (
            has("effective_at"),
            _(
                "{who} proposed to {proposed}. Nobody else could confirm the change. The change takes effect "
                "{effective_at}"
            ),
        ),
    ),
    siem=Meaning(Family.ENTITY, 1, severity=Severity.MEDIUM),
)
PROPOSAL_CONFIRMED = Event(
    "proposal.confirmed",
    label=_("Change confirmed"),
    sentence=_("{who} confirmed the proposal by {proposed_by} to {proposed}"),
    variants=(
        (
            has("told_late"),
            _(
                "{proposed_by} had proposed to {proposed}, and the change was confirmed. The change takes effect "
                "{effective_at}"
            ),
        ),
        (
            has("effective_at"),
            _("{who} confirmed the proposal by {proposed_by} to {proposed}. The change takes effect {effective_at}"),
        ),
    ),
    siem=Meaning(Family.ENTITY, OTHER, "Confirm", Severity.MEDIUM),
)
PROPOSAL_WITHDRAWN = Event(
    "proposal.withdrawn",
    label=_("Proposed change withdrawn"),
    sentence=_("{who} withdrew the proposal by {proposed_by} to {proposed}"),
    siem=Meaning(Family.ENTITY, 4, severity=Severity.LOW),
)
PROPOSAL_APPLIED = Event(
    "proposal.applied",
    label=_("Announced change took effect"),
    sentence=_("A change took effect: {proposed_by} had proposed to {proposed} ({confirmed})"),
    siem=Meaning(Family.ENTITY, 3, severity=Severity.HIGH),
)
PROPOSAL_LAPSED = Event(
    "proposal.lapsed",
    label=_("Announced change did not take effect"),
    sentence=_("A change did not take effect: {proposed_by} had proposed to {proposed}. Nothing was changed. {lapsed}"),
    siem=Meaning(Family.ENTITY, OTHER, "Lapse", Severity.LOW),
)

SET_TWO_PERSON_CONTROL = Act(
    "set_two_person_control",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR}),
    humans_only=True,
    title=_("Switch two-person control on or off"),
    step_up=StepUp.ALWAYS,
    scope=Scope.MEMBERS_MANAGE,
    events=(TWO_PERSON_SWITCHED_ON, TWO_PERSON_SWITCHED_OFF),
    tried=_("to switch two-person control on or off"),
    proposes=(Proposal("set_two_person_control", _("switch two-person control %(on)s")),),
    doors=frozenset({Door.PAGES, Door.API}),
)
CONFIRM_PROPOSAL = Act(
    "confirm_proposal",
    noun=Noun.PROPOSAL,
    roles=frozenset({Role.ADMINISTRATOR, Role.APPROVER}),
    provider_roles=frozenset({Role.STAFF}),
    humans_only=True,
    separate_from=(Party.PROPOSER,),
    title=_("Confirm a proposed change"),
    step_up=StepUp.ALWAYS,
    scope=Scope.MEMBERS_MANAGE,
    events=(PROPOSAL_CONFIRMED,),
    tried=_("to confirm a proposed change"),
    done=_("The change is confirmed."),
    tells=(
        Tell("notify.proposal", ("customer", "administrators")),
        Tell("notify.staff_change", ("customer", "administrators")),
    ),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
WITHDRAW_PROPOSAL = Act(
    "withdraw_proposal",
    noun=Noun.PROPOSAL,
    roles=frozenset({Role.ADMINISTRATOR, Role.APPROVER}),
    provider_roles=frozenset({Role.STAFF}),
    humans_only=True,
    title=_("Withdraw a proposed change"),
    scope=Scope.MEMBERS_MANAGE,
    events=(PROPOSAL_WITHDRAWN,),
    tried=_("to withdraw a proposed change"),
    done=_("The change is withdrawn, and nothing was changed."),
    tells=(
        Tell("notify.proposal", ("customer", "administrators")),
        Tell("notify.staff_change", ("customer", "administrators")),
    ),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
    route=Route(
        "withdraw",
        "Withdraw or reject a proposal",
        "An administrator or an approver can do this, including the person who proposed the change.",
    ),
)
APPLY_PROPOSAL = Act(
    "apply_proposal",
    noun=Noun.PROPOSAL,
    roles=frozenset({Role.SYSTEM}),
    events=(PROPOSAL_APPLIED, PROPOSAL_LAPSED),
    tells=(
        Tell("notify.staff_change", ("customer", "administrators")),
        Tell("notify.role_given", ("role_holder",)),
    ),
    doors=frozenset({Door.TASK}),
    own_order="Every tenant's log is locked, and a change that no longer fits lapses instead of being refused.",
)
