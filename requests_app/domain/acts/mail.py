"""Declares the acts on mails that could not be delivered."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import OTHER, Family, Meaning, Severity
from requests_app.domain.actors import Role
from requests_app.domain.acts.declaration import Act, Door, Event, Noun

MAIL_PARKED = Event(
    "mail.parked",
    label=_("Mail could not be delivered"),
    sentence=_("A mail to {to} could not be delivered. No further attempt is made"),
    siem=Meaning(Family.ENTITY, OTHER, "Delivery given up", Severity.MEDIUM, has_failed=True),
)
MAIL_RESENT = Event(
    "mail.resent",
    label=_("Mail sent again"),
    sentence=_("{who} sent a mail to {to} again"),
    siem=Meaning(Family.ENTITY, OTHER, "Sent again"),
)

RESEND_MAIL = Act(
    "resend_mail",
    noun=Noun.MAIL,
    roles=frozenset({Role.STAFF}),
    title=_("Send a mail again"),
    events=(MAIL_RESENT,),
    tried=_("to send a mail again"),
    done=_("The mail will be sent again."),
    doors=frozenset({Door.ADMIN}),
)
PARK_MAIL = Act(
    "park_mail",
    noun=Noun.MAIL,
    roles=frozenset({Role.SYSTEM}),
    events=(MAIL_PARKED,),
    doors=frozenset({Door.TASK}),
)
