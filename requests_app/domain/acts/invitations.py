"""Declares the acts by which a person becomes one of a tenant's or the provider's people.

These are the invitations and the recovery key.
"""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import OTHER, Action, Family, Meaning, Severity
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Act, Door, Event, Field, Kind, Noun, Proposal, Route, StepUp, Tell, has
from requests_app.domain.acts.proposals import PROPOSAL_WITHDRAWN
from requests_app.domain.scopes import Scope

INVITATION_SENT = Event(
    "invitation.sent",
    label=_("Invitation sent"),
    sentence=_("{who} invited {email} to be {role}"),
    variants=((has("queues"), _("{who} invited {email} to be {role} for {queues}")),),
    siem=Meaning(Family.ACCOUNT, OTHER, "Invite", Severity.MEDIUM),
)
INVITATION_PREPARED = Event(
    "invitation.prepared",
    label=_("Invitation prepared"),
    sentence=_("{who} prepared an invitation of {email} to be {role}; a member of the staff sends it"),
    variants=(
        (
            has("queues"),
            _("{who} prepared an invitation of {email} to be {role} for {queues}; a member of the staff sends it"),
        ),
    ),
    siem=Meaning(Family.ACCOUNT, OTHER, "Prepare invitation", Severity.MEDIUM),
)
INVITATION_WITHDRAWN = Event(
    "invitation.withdrawn",
    label=_("Invitation withdrawn"),
    sentence=_("{who} withdrew the invitation sent to {email}"),
    siem=Meaning(Family.ACCOUNT, OTHER, "Withdraw invitation", Severity.LOW),
)
INVITATION_ACCEPTED = Event(
    "invitation.accepted",
    label=_("Invitation accepted"),
    sentence=_("{who} accepted the invitation that {invited_by} had sent to {email}"),
    variants=(
        (
            has("invited_by", ""),
            _("{who} accepted the invitation that was sent to {email} after somebody used the recovery key"),
        ),
    ),
    siem=Meaning(Family.ACCOUNT, 1, severity=Severity.MEDIUM),
)
PROVIDER_JOINED = Event(
    "provider.joined",
    label=_("Joined the provider’s people"),
    sentence=_(
        "{who} accepted the invitation sent to {email}, which was open when Lockbox was first switched on, and is "
        "{role} now"
    ),
    variants=(
        (
            has("queues"),
            _(
                "{who} accepted the invitation sent to {email}, which was open when Lockbox was first switched on, and "
                "is {role} for {queues} now"
            ),
        ),
    ),
    siem=Meaning(Family.ACCOUNT, OTHER, "Join", Severity.MEDIUM),
)
INVITATION_LINK_COPIED = Event(
    "invitation.link_copied",
    label=_("Link of an invitation copied"),
    sentence=_("{who} copied the link of the invitation sent to {email}, because mail had not been tested yet"),
    siem=Meaning(Family.ACCOUNT, OTHER, "Copy invitation link", Severity.HIGH),
)
INVITATION_COPY_NOTED = Event(
    "invitation.copy_noted",
    label=_("Copied link read"),
    sentence=_("{who} confirmed knowing that {copied_by} had copied the link of the invitation sent to {email}"),
    siem=Meaning(Family.ACCOUNT, OTHER, "Acknowledge copied link", Severity.LOW),
)
RECOVERY_KEY_MADE = Event(
    "recovery_key.made",
    label=_("Recovery key made"),
    sentence=_("{who} made a recovery key; earlier recovery keys no longer work"),
    siem=Meaning(Family.ENTITY, 1, severity=Severity.MEDIUM),
)
RECOVERY_KEY_USED = Event(
    "recovery_key.used",
    label=_("Recovery key used"),
    sentence=_("The recovery key was used to make {email} an administrator, and the tenant’s people were informed"),
    siem=Meaning(Family.ENTITY, OTHER, "Use", Severity.HIGH),
)
RECOVERY_KEY_REFUSED = Event(
    "recovery_key.refused",
    label=_("Recovery key refused"),
    sentence=_("{title}: someone entered an invalid recovery key"),
    siem=Meaning(Family.ENTITY, OTHER, "Use", Severity.MEDIUM, Action.DENIED, has_failed=True),
)

INVITE_PERSON = Act(
    "invite_person",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR, Role.STAFF}),
    title=_("Invite somebody"),
    inputs=(Field("email", Kind.EMAIL),),
    step_up=StepUp.DEPENDS,
    scope=Scope.MEMBERS_MANAGE,
    events=(INVITATION_SENT,),
    tried=_("to invite somebody"),
    proposes=(Proposal("invite_person", _("invite %(email)s to the role “%(role)s”")),),
    done=_("A mail with a link goes to {email} now."),
    tells=(Tell("notify.invitation", ("invited",)),),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
INVITE_TO_QUEUES_ANNOUNCED = Proposal(
    "invite_to_queues", _("give %(email)s, who is invited, the role “%(role)s” for %(queues)s"), by_staff=True
)
INVITE_STAFF_ANNOUNCED = Proposal(
    "invite_staff", _("make %(email)s, who is invited, a member of the provider’s staff"), by_staff=True
)
INVITE_COLLEAGUE = Act(
    "invite_colleague",
    noun=Noun.INSTALLATION,
    roles=frozenset({Role.STAFF}),
    title=_("Invite one of the provider’s people"),
    explains=_(
        "The person gets a mail with a link, chooses a password, and is signed in. If any customer has ever switched "
        "Lockbox on, the role is proposed at the same time: a second member of the staff must confirm it, customers "
        "get a mail, and the person has the role only after the waiting time."
    ),
    inputs=(Field("email", Kind.EMAIL),),
    step_up=StepUp.ALWAYS,
    scope=Scope.MEMBERS_MANAGE,
    provider_scope=Scope.PROVISION,
    events=(INVITATION_SENT,),
    tried=_("to invite one of the provider’s people"),
    proposes=(INVITE_TO_QUEUES_ANNOUNCED, INVITE_STAFF_ANNOUNCED),
    done=_("A mail with a link goes out now."),
    tells=(Tell("notify.invitation", ("invited",)),),
    doors=frozenset({Door.API, Door.ADMIN}),
)
SEND_INVITATIONS = Act(
    "send_invitations",
    noun=Noun.INSTALLATION,
    roles=frozenset({Role.STAFF}),
    humans_only=True,
    title=_("Send the prepared invitations"),
    explains=_(
        "A file on the server has prepared these invitations. Each person gets a mail with a link, and the mail says "
        "that you invite them. If a role must be announced to customers first, propose the changes of the import "
        "before you send its invitations."
    ),
    step_up=StepUp.ALWAYS,
    events=(INVITATION_SENT, INVITATION_WITHDRAWN),
    tried=_("to send the prepared invitations"),
    done=_("The invitations are sent. Each link can be used once, within 7 days."),
    tells=(Tell("notify.invitation", ("invited",)),),
    doors=frozenset({Door.ADMIN}),
)
COPY_INVITATION_LINK = Act(
    "copy_invitation_link",
    noun=Noun.INVITATION,
    roles=frozenset({Role.STAFF}),
    humans_only=True,
    title=_("Copy the link"),
    explains=_(
        "You can copy a link only until mail works or a tenant has switched Lockbox on. The link is shown once, and "
        "never again for this invitation. The log records that you copied it, and the person reads this after the "
        "first sign-in."
    ),
    step_up=StepUp.ALWAYS,
    events=(INVITATION_LINK_COPIED,),
    tried=_("to copy the link of an invitation"),
    doors=frozenset({Door.ADMIN}),
)
NOTE_LINK_COPY = Act(
    "note_link_copy",
    noun=Noun.INVITATION,
    is_holders=True,
    humans_only=True,
    title=_("I have read this"),
    events=(INVITATION_COPY_NOTED,),
    tried=_("to confirm knowing that a link was copied"),
    done=_("The log records that you know who copied the link."),
    doors=frozenset({Door.PAGES}),
)
RESEND_INVITATION = Act(
    "resend_invitation",
    noun=Noun.INVITATION,
    roles=frozenset({Role.ADMINISTRATOR, Role.APPROVER, Role.STAFF}),
    title=_("Send an invitation again"),
    step_up=StepUp.DEPENDS,
    scope=Scope.MEMBERS_MANAGE,
    events=(INVITATION_SENT,),
    tried=_("to send an invitation again"),
    done=_("A new mail goes to {email}. The link in the earlier mail no longer works."),
    tells=(Tell("notify.invitation", ("invited",)),),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
    route=Route(
        "send-again", "Send a new link; the previous link no longer works", "The new link works for another 7 days."
    ),
)
WITHDRAW_INVITATION = Act(
    "withdraw_invitation",
    noun=Noun.INVITATION,
    roles=frozenset({Role.ADMINISTRATOR, Role.APPROVER, Role.STAFF}),
    title=_("Withdraw an invitation"),
    scope=Scope.MEMBERS_MANAGE,
    events=(INVITATION_WITHDRAWN, PROPOSAL_WITHDRAWN),
    tried=_("to withdraw an invitation"),
    done=_("The invitation sent to {email} is withdrawn. Its link no longer works."),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
    route=Route("withdraw", "Withdraw an invitation", "The link of the invitation stops working immediately."),
)
ACCEPT_INVITATION = Act(
    "accept_invitation",
    noun=Noun.INVITATION,
    is_public=True,
    title=_("Accept an invitation"),
    events=(INVITATION_ACCEPTED, INVITATION_WITHDRAWN, PROVIDER_JOINED),
    tried=_("to accept an invitation"),
    done=_("Your account is ready."),
    tells=(
        Tell("notify.approvers_changed", ("customer",)),
        Tell("notify.sign_on_changed", ("customer", "administrators")),
        Tell("notify.provider_joined", ("customer", "administrators")),
    ),
    doors=frozenset({Door.PAGES}),
    own_order="The secret from a mail identifies the invitation, and the actor is known only after the account "
    "was made.",
)
MAKE_RECOVERY_KEY = Act(
    "make_recovery_key",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR}),
    humans_only=True,
    title=_("Make a recovery key"),
    step_up=StepUp.ALWAYS,
    events=(RECOVERY_KEY_MADE,),
    tried=_("to make a recovery key"),
    tells=(Tell("notify.recovery_key", ("tenant",)),),
    doors=frozenset({Door.PAGES}),
)
TRY_RECOVERY_KEY = Act(
    "try_recovery_key",
    noun=Noun.RECOVERY_KEY,
    is_public=True,
    title=_("Use a recovery key"),
    events=(RECOVERY_KEY_REFUSED,),
    tried=_("to use a recovery key"),
    doors=frozenset({Door.PAGES}),
    own_order="A wrong key belongs to no tenant, so there is no row to check.",
)
USE_RECOVERY_KEY = Act(
    "use_recovery_key",
    noun=Noun.RECOVERY_KEY,
    is_public=True,
    title=_("Use a recovery key"),
    events=(RECOVERY_KEY_USED,),
    tried=_("to use a recovery key"),
    tells=(Tell("notify.invitation", ("invited",)), Tell("notify.recovery_key", ("tenant",))),
    doors=frozenset({Door.PAGES}),
    own_order="The key itself finds the tenant, and nobody is signed in.",
)
