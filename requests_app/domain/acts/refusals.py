"""Declares the entry about a refused act. The kernel writes this entry, so no act lists it."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from audit_app.meanings import OTHER, Action, Family, Meaning, Severity
from requests_app.domain.acts.declaration import Event, Mark, has

ACT_REFUSED = Event(
    "act.refused",
    label=_("Refused"),
    sentence=_("{who} tried {to_act} and was refused: “{why}”"),
    variants=((has("gate", and_also="item"), _("{who} tried {item} at {gate} and was refused: “{why}”")),),
    siem=Meaning(Family.API, OTHER, "Refused", Severity.MEDIUM, Action.DENIED, has_failed=True),
    mark=Mark.TROUBLE,
    look=("refused", "triangle-alert"),
)
