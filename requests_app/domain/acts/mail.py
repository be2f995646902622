"""Acts on a mail that was not delivered."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import OTHER, Family, Meaning, Severity
from requests_app.domain.acts.declaration import Act, Event

MAIL_PARKED = Event(
    "mail.parked",
    label=_("Mail could not be delivered"),
    sentence=_("A mail to {to} could not be delivered and was given up"),
    siem=Meaning(Family.ENTITY, OTHER, "Delivery given up", Severity.MEDIUM, has_failed=True),
)
MAIL_RESENT = Event(
    "mail.resent",
    label=_("Mail sent again"),
    sentence=_("{who} had a mail to {to} sent again"),
    siem=Meaning(Family.ENTITY, OTHER, "Sent again"),
)

RESEND_MAIL = Act("resend_mail", events=(MAIL_RESENT,), tried=_("send a mail again"))
PARK_MAIL = Act("park_mail", events=(MAIL_PARKED,))
