"""Declares what happens after a restore from a backup: the restoration itself, and its confirmations by people."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import OTHER, Family, Meaning, Severity
from requests_app.domain.actors import Role
from requests_app.domain.acts.access_requests import CLOSE, EXPIRE, REVOKE, WITHDRAW
from requests_app.domain.acts.declaration import Act, Door, Event, Field, Kind, Mark, Noun, StepUp, Tell, has
from requests_app.domain.acts.token_keys import TOKEN_KEY_RETIRED
from requests_app.domain.scopes import Scope

INSTALLATION_RESTORED = Event(
    "installation.restored",
    label=_("Restored from a backup"),
    sentence=_(
        "The installation was restored from the backup of {taken_at}: everything that was changed after it is lost. "
        "All windows were closed, and all sessions, tokens, links, proposals and waiting access requests were ended. "
        "No window opens before people have confirmed what was restored"
    ),
    siem=Meaning(Family.LOG, OTHER, "Restored from backup", Severity.HIGH),
    mark=Mark.TROUBLE,
)
INSTALLATION_SET_BACK = Event(
    "installation.set_back",
    label=_("Database set back to an older state"),
    sentence=_(
        "The database was set back to an older state: the logs lack entries that were signed. All windows were closed. "
        "No window opens before an operator has said when the copy of the database was made, and people have confirmed "
        "what came back"
    ),
    siem=Meaning(Family.LOG, OTHER, "Database set back", Severity.HIGH),
    mark=Mark.TROUBLE,
)
RESTORED_CONFIRMED = Event(
    "restored.confirmed",
    label=_("Restored state confirmed"),
    sentence=_("{who} confirmed what was restored from the backup of {taken_at}. Another person must confirm it, too"),
    variants=(
        (
            has("complete"),
            _(
                "{who} confirmed what was restored from the backup of {taken_at}. Your people’s confirmations are "
                "complete"
            ),
        ),
    ),
    siem=Meaning(Family.ENTITY, OTHER, "Restore confirmed", Severity.HIGH),
)
RESTORED_PEOPLE_CONFIRMED = Event(
    "restored.people_confirmed",
    label=_("Provider’s restored people confirmed"),
    sentence=_(
        "{who} confirmed the provider’s people as restored from the backup of {taken_at}. Another member of the staff "
        "must confirm them, too"
    ),
    variants=(
        (
            has("complete"),
            _(
                "{who} confirmed the provider’s people as restored from the backup of {taken_at}. The staff’s "
                "confirmations are complete"
            ),
        ),
    ),
    siem=Meaning(Family.ENTITY, OTHER, "Restore confirmed", Severity.HIGH),
)

RESTORED = Act(
    "restored",
    noun=Noun.INSTALLATION,
    roles=frozenset({Role.SYSTEM}),
    title=_("Close everything after a restore from a backup"),
    events=(
        INSTALLATION_RESTORED,
        TOKEN_KEY_RETIRED,
        *REVOKE.events,
        *WITHDRAW.events,
        *CLOSE.events,
        *EXPIRE.events,
    ),
    tried=_("to close everything after a restore"),
    tells=(Tell("notify.restored", ("customer", "administrators")),),
    doors=frozenset({Door.COMMAND}),
)
NOTE_SET_BACK = Act(
    "note_set_back",
    noun=Noun.INSTALLATION,
    roles=frozenset({Role.SYSTEM}),
    title=_("Close all windows of a database that was set back"),
    events=(INSTALLATION_SET_BACK, *REVOKE.events, *CLOSE.events),
    doors=frozenset({Door.TASK, Door.COMMAND}),
)
#: The hash of what the person read, in hexadecimal digits.
_SHOWN = Field("shown", Kind.LINE, at_least=64, at_most=64)

CONFIRM_RESTORED = Act(
    "confirm_restored",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR, Role.APPROVER}),
    humans_only=True,
    title=_("Confirm what was restored"),
    explains=_("Confirm only if everything on this page is as it should be. Change it first if it is not."),
    step_up=StepUp.ALWAYS,
    scope=Scope.TENANT_MANAGE,
    inputs=(_SHOWN,),
    events=(RESTORED_CONFIRMED,),
    tried=_("to confirm what was restored from a backup"),
    done=_("You confirmed what was restored."),
    tells=(Tell("notify.restored_confirmed", ("customer", "administrators")),),
    doors=frozenset({Door.PAGES, Door.API}),
)
CONFIRM_RESTORED_PEOPLE = Act(
    "confirm_restored_people",
    noun=Noun.INSTALLATION,
    roles=frozenset({Role.STAFF}),
    humans_only=True,
    title=_("Confirm the provider’s people"),
    explains=_(
        "Confirm only if everybody on this page should have the role that is shown. Take away first what they should "
        "not have."
    ),
    step_up=StepUp.ALWAYS,
    inputs=(_SHOWN,),
    events=(RESTORED_PEOPLE_CONFIRMED,),
    tried=_("to confirm the provider’s people after a restore"),
    done=_("You confirmed the provider’s people."),
    tells=(Tell("notify.restored_confirmed", ("administrators",)),),
    doors=frozenset({Door.ADMIN}),
)
