"""Declares the acts on drafts: access requests that a client prepared, and that the engineer has not confirmed yet."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import OTHER, Family, Meaning, Severity
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Act, Comment, Door, Event, MailWords, Noun, Tell
from requests_app.domain.scopes import Scope

ACCESS_DRAFTED = Event(
    "access_draft.made",
    label=_("Access request drafted"),
    sentence=_("{who} drafted an access request. Nobody is asked until {engineer} confirms it"),
    siem=Meaning(Family.ENTITY, OTHER, "Draft", Severity.INFORMATIONAL),
)
ACCESS_DRAFT_DISCARDED = Event(
    "access_draft.discarded",
    label=_("Draft of an access request discarded"),
    sentence=_("{who} discarded the draft of an access request"),
    siem=Meaning(Family.ENTITY, OTHER, "Discard draft", Severity.INFORMATIONAL),
)
ACCESS_DRAFT_EXPIRED = Event(
    "access_draft.expired",
    label=_("Draft of an access request expired"),
    sentence=_("The draft of an access request for {engineer} ended, because nobody confirmed it"),
    siem=Meaning(Family.ENTITY, OTHER, "Expire draft", Severity.INFORMATIONAL),
)

DRAFT_ACCESS = Act(
    "draft_access",
    noun=Noun.ACCESS_DRAFT,
    title=_("Draft an access request"),
    roles=frozenset({Role.ENGINEER}),
    scope=Scope.REQUESTS_ASK,
    events=(ACCESS_DRAFTED,),
    tried=_("to draft an access request"),
    tells=(
        Tell(
            "notify.access_drafted",
            ("row.engineer",),
            MailWords(
                subject=_("{tenant}: read the draft of an access request"),
                headline=_("An application drafted an access request for you"),
                lead=(
                    _("{client} drafted an access request in your name. Nobody is asked until you confirm it."),
                    _("Read it, change what is wrong, and submit it; or discard it. The draft ends at {ends}."),
                ),
                link=_("Read the draft"),
            ),
            roles=frozenset({Role.ENGINEER}),
        ),
    ),
    doors=frozenset({Door.API}),
    own_doors="The client sends a denial of the decision point, which leads to the resource and the engineer.",
)
DISCARD_DRAFT = Act(
    "discard_draft",
    noun=Noun.ACCESS_DRAFT,
    title=_("Discard the draft"),
    roles=frozenset({Role.ENGINEER}),
    scope=Scope.REQUESTS_ASK,
    comment=Comment.OPTIONAL,
    events=(ACCESS_DRAFT_DISCARDED,),
    tried=_("to discard the draft of an access request"),
    done=_("The draft is discarded."),
    doors=frozenset({Door.PAGES, Door.API}),
    own_doors="The page is the form with which an engineer asks for access.",
)
EXPIRE_DRAFT = Act(
    "expire_draft",
    noun=Noun.ACCESS_DRAFT,
    roles=frozenset({Role.SYSTEM}),
    events=(ACCESS_DRAFT_EXPIRED,),
    doors=frozenset({Door.TASK}),
)
