"""Declares the act on the keys that sign tokens for other programs."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import OTHER, Family, Meaning, Severity
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Act, Door, Event, Mark, Noun, has

TOKEN_KEY_PUBLISHED = Event(
    "token_key.published",
    label=_("Key for tokens published"),
    sentence=_("{who} published a new key for tokens ({alg} {kid}), which signs from {from_at} on"),
    siem=Meaning(Family.ENTITY, OTHER, "Key published", Severity.LOW),
)
TOKEN_KEY_RETIRED = Event(
    "token_key.retired",
    label=_("Key for tokens removed"),
    sentence=_("{who} removed a former key for tokens ({alg} {kid})"),
    variants=(
        (has("at_once"), _("{who} removed a key for tokens at once ({alg} {kid}): tokens that it signed are invalid")),
    ),
    siem=Meaning(Family.ENTITY, OTHER, "Key removed", Severity.LOW),
)
TOKEN_KEY_FOREIGN = Event(
    "token_key.foreign",
    label=_("Foreign key for tokens found"),
    sentence=_(
        "{who} found a key for tokens in the database that somebody else has written there ({alg} {kid}); it is not "
        "published"
    ),
    siem=Meaning(Family.ENTITY, OTHER, "Foreign key found", Severity.HIGH),
    mark=Mark.TROUBLE,
)

ROLL_TOKEN_KEYS = Act(
    "roll_token_keys",
    noun=Noun.INSTALLATION,
    roles=frozenset({Role.SYSTEM}),
    events=(TOKEN_KEY_PUBLISHED, TOKEN_KEY_RETIRED, TOKEN_KEY_FOREIGN),
    doors=frozenset({Door.TASK, Door.COMMAND}),
    own_order="The system and the operator do this. There is no row to find, and nobody to judge.",
)
