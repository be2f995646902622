"""Declares the acts on single sign-on: its settings, its domains, its linked identities, and signing in."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import OTHER, Family, Meaning, Severity
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Act, Door, Event, Noun, Proposal, StepUp, Tell, has
from requests_app.domain.scopes import Scope

IDENTITY_LINKED = Event(
    "identity.linked",
    label=_("Linked to single sign-on"),
    sentence=_("{name} signed in at {issuer} for the first time"),
    siem=Meaning(Family.ACCOUNT, OTHER, "Linked", Severity.MEDIUM),
)
IDENTITY_UNLINKED = Event(
    "identity.unlinked",
    label=_("Unlinked from single sign-on"),
    sentence=_("{who} unlinked {name} from {issuer}"),
    siem=Meaning(Family.ACCOUNT, OTHER, "Unlinked", Severity.MEDIUM),
)
SIGN_ON_CHANGED = Event(
    "sign_on.changed",
    label=_("Single sign-on changed"),
    sentence=_("{who} changed single sign-on with {issuer}"),
    siem=Meaning(Family.ENTITY, 3, severity=Severity.HIGH),
)
SIGN_ON_BYPASSED = Event(
    "sign_on.bypassed",
    label=_("Signed in without single sign-on"),
    sentence=_("{who} signed in without single sign-on"),
    siem=Meaning(Family.ACCOUNT, OTHER, "Signed in without single sign-on", Severity.HIGH),
)
IDP_KEYS_CHANGED = Event(
    "sign_on.idp_keys_changed",
    label=_("Identity provider’s keys changed"),
    sentence=_("{issuer} published other keys, and they are used from now on"),
    variants=(
        (
            has("problem"),
            _("{issuer} published metadata that is not used, because too much of it is new ({problem})"),
        ),
        (has("accepted"), _("An operator accepted the metadata of {issuer}, and its keys are used from now on")),
        (has("first"), _("The metadata of {issuer} was read for the first time, and its keys are used from now on")),
    ),
    siem=Meaning(Family.ENTITY, 3, severity=Severity.HIGH),
)
SIGN_ON_KEY_RENEWED = Event(
    "sign_on.key_renewed",
    label=_("Key for single sign-on renewed"),
    sentence=_("{who} published a second key for single sign-on"),
    variants=((has("retired"), _("{who} removed the former key for single sign-on; the second one is used now")),),
    siem=Meaning(Family.ENTITY, 3, severity=Severity.MEDIUM),
)
DOMAIN_CLAIMED = Event(
    "domain.claimed",
    label=_("Domain added"),
    sentence=_("{who} added the domain {domain}"),
    siem=Meaning(Family.ENTITY, 1, severity=Severity.LOW),
)
DOMAIN_VERIFIED = Event(
    "domain.verified",
    label=_("Domain verified"),
    sentence=_("{who} verified the domain {domain}"),
    siem=Meaning(Family.ENTITY, 3, severity=Severity.MEDIUM),
)
DOMAIN_REMOVED = Event(
    "domain.removed",
    label=_("Domain removed"),
    sentence=_("{who} removed the domain {domain}"),
    siem=Meaning(Family.ENTITY, 4, severity=Severity.LOW),
)

SET_SIGN_ON = Act(
    "set_sign_on",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR}),
    humans_only=True,
    title=_("Change single sign-on"),
    step_up=StepUp.ALWAYS,
    scope=Scope.SIGN_ON_MANAGE,
    events=(SIGN_ON_CHANGED,),
    tried=_("to change single sign-on"),
    proposes=(
        Proposal(
            "set_sign_on",
            _(
                "set single sign-on to “%(sign_on)s”, with the identity provider %(issuer)s and the client "
                "%(client_id)s; groups that give roles: %(groups)s; people who can sign in without single sign-on: "
                "%(break_glass)s"
            ),
        ),
    ),
    done=_("Single sign-on was changed. Test single sign-on before you rely on it."),
    tells=(Tell("notify.sign_on_changed", ("customer", "administrators")),),
    doors=frozenset({Door.PAGES, Door.API}),
)
RENEW_SIGN_ON_KEY = Act(
    "renew_sign_on_key",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR}),
    humans_only=True,
    title=_("Renew the key for single sign-on"),
    step_up=StepUp.ALWAYS,
    scope=Scope.SIGN_ON_MANAGE,
    events=(SIGN_ON_KEY_RENEWED,),
    tried=_("to renew the key for single sign-on"),
    done=_("The keys were changed. Give your identity provider the present metadata."),
    doors=frozenset({Door.PAGES, Door.API}),
)
REFRESH_SIGN_ON = Act(
    "refresh_sign_on",
    noun=Noun.TENANT,
    roles=frozenset({Role.SYSTEM}),
    title=_("Read the identity provider’s metadata again"),
    events=(IDP_KEYS_CHANGED,),
    tried=_("to read the identity provider’s metadata again"),
    tells=(Tell("notify.sign_on_changed", ("customer", "administrators")),),
    doors=frozenset({Door.TASK}),
    own_order="The system does this. What the metadata says is judged under the tenant's lock.",
)
REFRESH_PROVIDER_SIGN_ON = Act(
    "refresh_provider_sign_on",
    noun=Noun.INSTALLATION,
    roles=frozenset({Role.SYSTEM}),
    title=_("Read the metadata of the provider’s own identity provider again"),
    events=(IDP_KEYS_CHANGED,),
    tried=_("to read the metadata of the provider’s own identity provider again"),
    tells=(Tell("notify.provider_sign_on", ("administrators",)),),
    doors=frozenset({Door.TASK}),
    own_order="The system does this. What the metadata says is judged under the turn at the provider's log.",
)
ACCEPT_PROVIDER_METADATA = Act(
    "accept_provider_metadata",
    noun=Noun.INSTALLATION,
    roles=frozenset({Role.SYSTEM}),
    title=_("Accept the metadata of the provider’s own identity provider"),
    events=(IDP_KEYS_CHANGED,),
    tried=_("to accept the metadata of the provider’s own identity provider"),
    tells=(Tell("notify.provider_sign_on", ("administrators",)),),
    doors=frozenset({Door.COMMAND}),
)
CLAIM_DOMAIN = Act(
    "claim_domain",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR}),
    humans_only=True,
    title=_("Add a domain"),
    step_up=StepUp.ALWAYS,
    scope=Scope.SIGN_ON_MANAGE,
    events=(DOMAIN_CLAIMED,),
    tried=_("to add a domain"),
    proposes=(
        Proposal(
            "claim_domain",
            _("add the domain %(domain)s, so that people with an address of this domain sign in with single sign-on"),
        ),
    ),
    done=_("Put the file on the domain’s web server now. Then check the domain."),
    doors=frozenset({Door.PAGES, Door.API}),
)
VERIFY_DOMAIN = Act(
    "verify_domain",
    noun=Noun.DOMAIN,
    roles=frozenset({Role.ADMINISTRATOR}),
    humans_only=True,
    title=_("Verify a domain"),
    step_up=StepUp.ALWAYS,
    scope=Scope.SIGN_ON_MANAGE,
    events=(DOMAIN_VERIFIED,),
    tried=_("to verify a domain"),
    done=_("The domain is verified. People with an address of this domain are sent to your organisation’s sign-in."),
    doors=frozenset({Door.PAGES, Door.API}),
)
REMOVE_DOMAIN = Act(
    "remove_domain",
    noun=Noun.DOMAIN,
    roles=frozenset({Role.ADMINISTRATOR}),
    humans_only=True,
    title=_("Remove a domain"),
    step_up=StepUp.ALWAYS,
    scope=Scope.SIGN_ON_MANAGE,
    events=(DOMAIN_REMOVED,),
    tried=_("to remove a domain"),
    done=_("The domain was removed."),
    doors=frozenset({Door.PAGES, Door.API}),
)
UNLINK_IDENTITY = Act(
    "unlink_identity",
    noun=Noun.IDENTITY,
    roles=frozenset({Role.ADMINISTRATOR}),
    provider_roles=frozenset({Role.STAFF}),
    humans_only=True,
    title=_("Unlink a person from single sign-on"),
    step_up=StepUp.ALWAYS,
    scope=Scope.SIGN_ON_MANAGE,
    events=(IDENTITY_UNLINKED,),
    tried=_("to unlink a person from single sign-on"),
    done=_("The account is unlinked, and anybody who was signed in with it is signed out."),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
SIGN_IN = Act(
    "sign_in",
    noun=Noun.IDENTITY,
    roles=frozenset({Role.SYSTEM}),
    title=_("Sign in through single sign-on"),
    events=(IDENTITY_LINKED,),
    tried=_("to sign in through single sign-on"),
    tells=(Tell("notify.approvers_changed", ("customer",)),),
    doors=frozenset({Door.PAGES}),
    own_order="The issuer's answer identifies the person, and is checked again under the locks.",
)
NOTE_BYPASS = Act(
    "note_bypass",
    noun=Noun.ACCOUNT,
    is_holders=True,
    title=_("Sign in without single sign-on"),
    events=(SIGN_ON_BYPASSED,),
    tried=_("to sign in without single sign-on"),
    tells=(Tell("notify.sign_on_bypassed", ("customer", "administrators")),),
    doors=frozenset({Door.PAGES}),
    own_order="The person is signing in, and holds no role yet.",
)
