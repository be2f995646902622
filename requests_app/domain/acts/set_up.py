"""Declares the acts by which an operator sets up an installation, and by which its first staff member is made."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import OTHER, Family, Meaning, Severity
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Act, Door, Event, Noun
from requests_app.domain.acts.members import ROLE_GIVEN

SETUP_LINK_MADE = Event(
    "setup_link.made",
    label=_("Set-up link made"),
    sentence=_("An operator made a set-up link for the first staff member; earlier set-up links no longer work"),
    siem=Meaning(Family.ENTITY, 1, severity=Severity.MEDIUM),
)
SETUP_LINK_OPENED = Event(
    "setup_link.opened",
    label=_("Set-up link opened"),
    sentence=_("Somebody opened the set-up link; from now on, it works only in that browser"),
    siem=Meaning(Family.ENTITY, OTHER, "Use", Severity.MEDIUM),
)
FIRST_STAFF_MADE = Event(
    "setup_link.used",
    label=_("First staff member made"),
    sentence=_("{name} ({email}) became the first staff member with the set-up link"),
    siem=Meaning(Family.ACCOUNT, 1, severity=Severity.HIGH),
)
LOG_KEY_COPIED = Event(
    "log.key_copied",
    label=_("Log key copied"),
    sentence=_("An operator made an encrypted copy of the log’s key"),
    siem=Meaning(Family.LOG, OTHER, "Key copied", Severity.MEDIUM),
)

MAKE_SETUP_LINK = Act(
    "make_setup_link",
    noun=Noun.INSTALLATION,
    roles=frozenset({Role.SYSTEM}),
    title=_("Make a set-up link"),
    events=(SETUP_LINK_MADE,),
    tried=_("to make a set-up link"),
    doors=frozenset({Door.COMMAND}),
)
OPEN_SETUP_LINK = Act(
    "open_setup_link",
    noun=Noun.INSTALLATION,
    is_public=True,
    title=_("Open the set-up link"),
    events=(SETUP_LINK_OPENED,),
    tried=_("to open the set-up link"),
    doors=frozenset({Door.PAGES}),
    own_order="The secret in the link is the only right that is needed, and nobody is signed in.",
)
MAKE_FIRST_STAFF = Act(
    "make_first_staff",
    noun=Noun.INSTALLATION,
    is_public=True,
    title=_("Make the first staff member"),
    events=(FIRST_STAFF_MADE, ROLE_GIVEN),
    tried=_("to become the first staff member"),
    done=_("Your account is ready."),
    doors=frozenset({Door.PAGES}),
    own_order="The secrets of the link and of the browser are the only right that is needed, and the actor is known "
    "only after the account was made.",
)
RECORD_KEY_COPY = Act(
    "record_key_copy",
    noun=Noun.INSTALLATION,
    roles=frozenset({Role.SYSTEM}),
    title=_("Record the copy of the log’s key"),
    events=(LOG_KEY_COPIED,),
    tried=_("to record the copy of the log’s key"),
    doors=frozenset({Door.COMMAND}),
)
