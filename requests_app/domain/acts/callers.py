"""Declares the acts on the API's clients and tokens."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import OTHER, Family, Meaning, Severity
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Act, Door, Event, Field, Kind, Noun, Proposal, StepUp, Tell, has
from requests_app.domain.scopes import Scope

CLIENT_CREATED = Event(
    "client.created",
    label=_("API client added"),
    sentence=_("{who} added the API client {name}"),
    variants=(
        (
            has("decides_for"),
            _("{who} added the API client {name}, which can approve and deny in the name of {decides_for}"),
        ),
        (
            has("service"),
            _("{who} added the API client {name}, which guards the application of the service {service_name}"),
        ),
    ),
    siem=Meaning(Family.ENTITY, 1, severity=Severity.MEDIUM),
)
CLIENT_CHANGED = Event(
    "client.changed",
    label=_("API client changed"),
    sentence=_("{who} changed the API client {name}"),
    variants=(
        (
            has("decides_for"),
            _("{who} changed the API client {name}: it can now approve and deny in the name of {decides_for}"),
        ),
        (
            has("decides_for_id_before"),
            _("{who} changed the API client {name}: it can no longer approve or deny in a person’s name"),
        ),
        (
            has("service"),
            _("{who} changed the API client {name}, which guards the application of the service {service_name}"),
        ),
    ),
    siem=Meaning(Family.ENTITY, 3, severity=Severity.MEDIUM),
)
CLIENT_TOKEN_MADE = Event(
    "client.token_made",
    label=_("Long-lived token made"),
    sentence=_("{who} made a long-lived token for the API client {name}"),
    siem=Meaning(Family.ENTITY, OTHER, "Token made", Severity.MEDIUM),
)
CLIENT_SECRET_ROTATED = Event(
    "client.secret_rotated",
    label=_("API client’s secret changed"),
    sentence=_("{who} gave the API client {name} a new secret"),
    siem=Meaning(Family.ENTITY, OTHER, "Secret rotated", Severity.MEDIUM),
)
CLIENT_REMOVED = Event(
    "client.removed",
    label=_("API client removed"),
    sentence=_("{who} removed the API client {name}"),
    siem=Meaning(Family.ENTITY, 4, severity=Severity.LOW),
)
TOKEN_CREATED = Event(
    "token.created",
    label=_("Token made"),
    sentence=_("{who} made the token “{name}”"),
    siem=Meaning(Family.ENTITY, 1, severity=Severity.MEDIUM),
)
TOKEN_REVOKED = Event(
    "token.revoked",
    label=_("Token revoked"),
    sentence=_("{who} revoked the token “{name}” of {person_name}"),
    siem=Meaning(Family.ENTITY, 4, severity=Severity.LOW),
)

LET_CLIENT_ASK = Proposal(
    "let_client_ask", _("give the API client %(name)s these permissions for every tenant: %(gained)s"), by_staff=True
)
LET_CLIENT_GUARD = Proposal(
    "let_client_guard",
    _(
        "give the API client %(name)s, which belongs to the application of the service %(service_name)s, these "
        "permissions for every tenant: %(gained)s"
    ),
    by_staff=True,
)
LET_CLIENT_PROVISION = Proposal(
    "let_client_provision",
    _(
        "let the API client %(name)s manage the provider’s people, and give them roles through the groups of the "
        "provider’s directory"
    ),
    by_staff=True,
)

#: The names of the proposals that give scopes to the client that they name.
GIVE_SCOPES = (LET_CLIENT_ASK.name, LET_CLIENT_GUARD.name, LET_CLIENT_PROVISION.name)

CREATE_CLIENT = Act(
    "create_client",
    noun=Noun.TENANT,
    roles=frozenset({Role.ADMINISTRATOR}),
    provider_roles=frozenset({Role.STAFF}),
    humans_only=True,
    title=_("Add an API client"),
    inputs=(Field("name", Kind.NAME, at_most=80),),
    step_up=StepUp.ALWAYS,
    scope=Scope.TOKENS_MANAGE,
    events=(CLIENT_CREATED,),
    tried=_("to add an API client"),
    done=_("The API client was added."),
    tells=(Tell("notify.client_decides", ("customer",)),),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
CHANGE_CLIENT = Act(
    "change_client",
    noun=Noun.CLIENT,
    roles=frozenset({Role.ADMINISTRATOR}),
    provider_roles=frozenset({Role.STAFF}),
    humans_only=True,
    title=_("Change an API client"),
    step_up=StepUp.DEPENDS,
    scope=Scope.TOKENS_MANAGE,
    events=(CLIENT_CHANGED,),
    tried=_("to change an API client"),
    proposes=(
        Proposal(
            "change_client", _("allow the API client %(name)s to approve and deny in the name of %(decides_for)s")
        ),
        LET_CLIENT_ASK,
        LET_CLIENT_GUARD,
        LET_CLIENT_PROVISION,
    ),
    done=_("The API client was changed. The change applies from the client’s next call on."),
    tells=(Tell("notify.client_decides", ("customer",)),),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
ROTATE_CLIENT_SECRET = Act(
    "rotate_client_secret",
    noun=Noun.CLIENT,
    roles=frozenset({Role.ADMINISTRATOR}),
    provider_roles=frozenset({Role.STAFF}),
    humans_only=True,
    title=_("Give an API client a new secret"),
    step_up=StepUp.ALWAYS,
    scope=Scope.TOKENS_MANAGE,
    events=(CLIENT_SECRET_ROTATED,),
    tried=_("to give an API client a new secret"),
    done=_("A new secret was made."),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
REMOVE_CLIENT = Act(
    "remove_client",
    noun=Noun.CLIENT,
    roles=frozenset({Role.ADMINISTRATOR, Role.STAFF}),
    provider_roles=frozenset({Role.STAFF}),
    humans_only=True,
    title=_("Remove an API client"),
    scope=Scope.TOKENS_MANAGE,
    events=(CLIENT_REMOVED,),
    tried=_("to remove an API client"),
    done=_("The API client was removed. Its secret and its tokens no longer work."),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
MAKE_LASTING_TOKEN = Act(
    "make_lasting_token",
    noun=Noun.CLIENT,
    roles=frozenset({Role.ADMINISTRATOR}),
    provider_roles=frozenset({Role.STAFF}),
    humans_only=True,
    title=_("Make a long-lived token for an API client"),
    step_up=StepUp.ALWAYS,
    scope=Scope.TOKENS_MANAGE,
    events=(CLIENT_TOKEN_MADE,),
    tried=_("to make a long-lived token for an API client"),
    done=_("A long-lived token was made."),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
CREATE_TOKEN = Act(
    "create_token",
    noun=Noun.ACCOUNT,
    is_holders=True,
    humans_only=True,
    title=_("Make a token"),
    inputs=(Field("name", Kind.NAME, at_most=80),),
    step_up=StepUp.DEPENDS,
    scope=Scope.TOKENS_MANAGE,
    events=(TOKEN_CREATED,),
    tried=_("to make a token"),
    doors=frozenset({Door.PAGES, Door.API}),
)
TOKEN_CONFIRMED = Event(
    "token.confirmed",
    label=_("Token confirmed"),
    sentence=_("{who} confirmed the token “{name}” for five minutes"),
    siem=Meaning(Family.ACCOUNT, OTHER, "Token confirmed", Severity.LOW),
)

REVOKE_TOKEN = Act(
    "revoke_token",
    noun=Noun.TOKEN,
    roles=frozenset({Role.ADMINISTRATOR, Role.STAFF}),
    provider_roles=frozenset({Role.STAFF}),
    is_holders=True,
    title=_("Revoke a token"),
    scope=Scope.TOKENS_MANAGE,
    events=(TOKEN_REVOKED,),
    tried=_("to revoke a token"),
    done=_("The token “{name}” is revoked."),
    doors=frozenset({Door.PAGES, Door.API, Door.ADMIN}),
)
CONFIRM_TOKEN = Act(
    "confirm_token",
    noun=Noun.TOKEN,
    is_holders=True,
    humans_only=True,
    title=_("Confirm a token on the pages"),
    step_up=StepUp.ALWAYS,
    events=(TOKEN_CONFIRMED,),
    tried=_("to confirm a token"),
    done=_("The token “{name}” is confirmed for five minutes."),
    doors=frozenset({Door.PAGES}),
)
STEP_UP_TOKEN = Act(
    "step_up_token",
    noun=Noun.TOKEN,
    is_holders=True,
    humans_only=True,
    title=_("Prove with your password that a token is yours"),
    any_token=True,
    tried=_("to confirm with a password that a token belongs to them"),
    doors=frozenset({Door.API}),
    own_order="The proof is compared before the act begins, because hashing takes a while.",
)
