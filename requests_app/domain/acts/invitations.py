"""Acts by which somebody becomes one of a tenant’s people."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import OTHER, Action, Family, Meaning, Severity
from requests_app.domain.acts.declaration import Act, Event, Proposal, StepUp, has
from requests_app.domain.scopes import Scope

INVITATION_SENT = Event(
    "invitation.sent",
    label=_("Invitation sent"),
    sentence=_("{who} invited {email} to be {role}"),
    siem=Meaning(Family.ACCOUNT, OTHER, "Invite", Severity.MEDIUM),
)
INVITATION_WITHDRAWN = Event(
    "invitation.withdrawn",
    label=_("Invitation withdrawn"),
    sentence=_("{who} withdrew the invitation of {email}"),
    siem=Meaning(Family.ACCOUNT, OTHER, "Withdraw invitation", Severity.LOW),
)
INVITATION_ACCEPTED = Event(
    "invitation.accepted",
    label=_("Invitation accepted"),
    sentence=_("{who} accepted the invitation that {invited_by} had sent to {email}"),
    variants=((has("invited_by", ""), _("{who} accepted the invitation that the recovery key had sent to {email}")),),
    siem=Meaning(Family.ACCOUNT, 1, severity=Severity.MEDIUM),
)
RECOVERY_KEY_MADE = Event(
    "recovery_key.made",
    label=_("Recovery key made"),
    sentence=_("{who} had a recovery key made; one that was made before is dead"),
    siem=Meaning(Family.ENTITY, 1, severity=Severity.MEDIUM),
)
RECOVERY_KEY_USED = Event(
    "recovery_key.used",
    label=_("Recovery key used"),
    sentence=_("The recovery key was used to make {email} an administrator; its people were told"),
    siem=Meaning(Family.ENTITY, OTHER, "Use", Severity.HIGH),
)
RECOVERY_KEY_REFUSED = Event(
    "recovery_key.refused",
    label=_("Wrong recovery key"),
    sentence=_("{title}: somebody tried one that is none"),
    siem=Meaning(Family.ENTITY, OTHER, "Use", Severity.MEDIUM, Action.DENIED, has_failed=True),
)

INVITE_PERSON = Act(
    "invite_person",
    step_up=StepUp.DEPENDS,
    scope=Scope.MEMBERS_MANAGE,
    events=(INVITATION_SENT,),
    tried=_("invite somebody"),
    proposes=(Proposal("invite_person", _("invite %(email)s to the role “%(role)s”")),),
)
RESEND_INVITATION = Act(
    "resend_invitation",
    step_up=StepUp.DEPENDS,
    scope=Scope.MEMBERS_MANAGE,
    events=(INVITATION_SENT,),
    tried=_("send an invitation again"),
)
WITHDRAW_INVITATION = Act(
    "withdraw_invitation", scope=Scope.MEMBERS_MANAGE, events=(INVITATION_WITHDRAWN,), tried=_("withdraw an invitation")
)
ACCEPT_INVITATION = Act("accept_invitation", events=(INVITATION_ACCEPTED,), tried=_("accept an invitation"))
MAKE_RECOVERY_KEY = Act(
    "make_recovery_key", step_up=StepUp.ALWAYS, events=(RECOVERY_KEY_MADE,), tried=_("have a recovery key made")
)
TRY_RECOVERY_KEY = Act("try_recovery_key", events=(RECOVERY_KEY_REFUSED,), tried=_("use a recovery key"))
USE_RECOVERY_KEY = Act("use_recovery_key", events=(RECOVERY_KEY_USED,), tried=_("use a recovery key"))
