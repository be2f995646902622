"""Declares the acts that people do on their own accounts."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import OTHER, Family, Meaning, Severity
from requests_app.domain.acts.declaration import Act, Door, Event, Field, Kind, Noun, StepUp, Tell, has
from requests_app.domain.scopes import Scope

PERSON_PASSWORD_CHANGED = Event(
    "person.password_changed",
    label=_("Password changed"),
    sentence=_("{who} changed their own password"),
    variants=((has("how", "reset"), _("{who} set a new password with a link that was sent to {email}")),),
    siem=Meaning(Family.ACCOUNT, 3, severity=Severity.MEDIUM),
)
PERSON_ADDRESS_REQUESTED = Event(
    "person.address_requested",
    label=_("Change of address requested"),
    sentence=_("{who} asked to change their address to {new_email}"),
    siem=Meaning(Family.ACCOUNT, OTHER, "Change of address asked for", Severity.LOW),
)
PERSON_ADDRESS_CHANGED = Event(
    "person.address_changed",
    label=_("Address changed"),
    sentence=_("{who} changed their own address from {email_before} to {email}"),
    siem=Meaning(Family.ACCOUNT, OTHER, "Address changed", Severity.MEDIUM),
)
PASSKEY_ENROLLED = Event(
    "passkey.enrolled",
    label=_("Passkey added"),
    sentence=_("{who} added the passkey “{passkey_name}” to their own account"),
    siem=Meaning(Family.ACCOUNT, 10, severity=Severity.MEDIUM),
)
PASSKEY_REMOVED = Event(
    "passkey.removed",
    label=_("Passkey removed"),
    sentence=_("{who} removed the passkey “{passkey_name}” of {name}"),
    siem=Meaning(Family.ACCOUNT, 11, severity=Severity.MEDIUM),
)
PERSON_TOTP_SET_UP = Event(
    "person.totp_set_up",
    label=_("Authenticator app set up"),
    sentence=_("{who} set up an authenticator app for their own account"),
    siem=Meaning(Family.ACCOUNT, 10, severity=Severity.LOW),
)
PERSON_TOTP_REMOVED = Event(
    "person.totp_removed",
    label=_("Authenticator app removed"),
    sentence=_("{who} removed the authenticator app from their own account"),
    siem=Meaning(Family.ACCOUNT, 11, severity=Severity.MEDIUM),
)
PERSON_RECOVERY_CODES_MADE = Event(
    "person.recovery_codes_made",
    label=_("Recovery codes made"),
    sentence=_("{who} made new recovery codes for their own account"),
    siem=Meaning(Family.ACCOUNT, OTHER, "Recovery codes made", Severity.MEDIUM),
)

STEP_UP = Act(
    "step_up",
    noun=Noun.ACCOUNT,
    is_holders=True,
    title=_("Prove who you are"),
    tried=_("to prove who they are"),
    doors=frozenset({Door.PAGES, Door.API}),
    own_order="A proof of identity changes nothing. Only a refusal leaves an entry.",
)
SET_PASSWORD = Act(
    "set_password",
    noun=Noun.ACCOUNT,
    is_holders=True,
    title=_("Change the password of your account"),
    step_up=StepUp.DEPENDS,
    events=(PERSON_PASSWORD_CHANGED,),
    tried=_("to change their own password"),
    tells=(Tell("notify.password_changed", ("account_holder",)),),
    doors=frozenset({Door.PAGES}),
)
ASK_FOR_RESET = Act(
    "ask_for_reset",
    noun=Noun.ACCOUNT,
    is_public=True,
    title=_("Request a new password"),
    tried=_("to request a new password"),
    tells=(Tell("notify.password_reset", ("address",)),),
    doors=frozenset({Door.PAGES}),
    own_order="Nobody is signed in, and nobody must learn who has the address.",
)
REQUEST_ADDRESS = Act(
    "request_address",
    noun=Noun.ACCOUNT,
    is_holders=True,
    title=_("Request a change of your address"),
    inputs=(Field("email", Kind.EMAIL),),
    step_up=StepUp.ALWAYS,
    events=(PERSON_ADDRESS_REQUESTED,),
    tried=_("to request a change of their own address"),
    done=_("A link is on its way to the new address. Your address changes only after you open this link."),
    tells=(Tell("notify.address_link", ("new_address",)), Tell("notify.address_changed", ("former_address",))),
    doors=frozenset({Door.PAGES}),
)
CONFIRM_ADDRESS = Act(
    "confirm_address",
    noun=Noun.ACCOUNT,
    is_holders=True,
    title=_("Change your address"),
    events=(PERSON_ADDRESS_CHANGED,),
    tried=_("to change their own address"),
    done=_("Your address was changed. From now on, you sign in with the new address."),
    tells=(Tell("notify.address_changed", ("former_address",)),),
    doors=frozenset({Door.PAGES}),
)
ENROL_PASSKEY = Act(
    "enrol_passkey",
    noun=Noun.ACCOUNT,
    is_holders=True,
    title=_("Add a passkey to your account"),
    inputs=(Field("name", Kind.NAME, at_most=60),),
    step_up=StepUp.ALWAYS,
    scope=Scope.DECISIONS_WRITE,
    events=(PASSKEY_ENROLLED,),
    tried=_("to add a passkey to their own account"),
    done=_("The passkey “{name}” is added."),
    tells=(Tell("notify.passkeys_changed", ("account_holder", "customer")),),
    doors=frozenset({Door.PAGES, Door.API}),
)
REMOVE_PASSKEY = Act(
    "remove_passkey",
    noun=Noun.PASSKEY,
    is_holders=True,
    title=_("Remove a passkey"),
    step_up=StepUp.ALWAYS,
    events=(PASSKEY_REMOVED,),
    tried=_("to remove a passkey"),
    done=_("The passkey “{name}” is removed."),
    tells=(Tell("notify.passkeys_changed", ("account_holder", "customer")),),
    doors=frozenset({Door.PAGES}),
)
SET_UP_TOTP = Act(
    "set_up_totp",
    noun=Noun.ACCOUNT,
    is_holders=True,
    title=_("Set up an authenticator app"),
    step_up=StepUp.ALWAYS,
    events=(PERSON_TOTP_SET_UP,),
    tried=_("to set up an authenticator app"),
    done=_("The app is set up."),
    tells=(Tell("notify.second_factor_changed", ("account_holder",)),),
    doors=frozenset({Door.PAGES}),
)
REMOVE_TOTP = Act(
    "remove_totp",
    noun=Noun.ACCOUNT,
    is_holders=True,
    title=_("Remove the authenticator app"),
    step_up=StepUp.ALWAYS,
    events=(PERSON_TOTP_REMOVED,),
    tried=_("to remove the authenticator app"),
    done=_("The authenticator app is removed."),
    tells=(Tell("notify.second_factor_changed", ("account_holder",)),),
    doors=frozenset({Door.PAGES}),
)
MAKE_RECOVERY_CODES = Act(
    "make_recovery_codes",
    noun=Noun.ACCOUNT,
    is_holders=True,
    title=_("Make new recovery codes"),
    step_up=StepUp.ALWAYS,
    events=(PERSON_RECOVERY_CODES_MADE,),
    tried=_("to make new recovery codes"),
    tells=(Tell("notify.second_factor_changed", ("account_holder",)),),
    doors=frozenset({Door.PAGES}),
)
