"""Facts of mails about somebody's own account."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.urls import reverse
from django.utils.translation import gettext as _

from requests_app.models import OutboxMessage, Person
from requests_app.notifications import words
from requests_app.notifications.words import Fact

Facts = dict[str, Any]


def password(message: OutboxMessage, at: datetime) -> Facts:
    """The password was changed, or set anew through a link sent by mail."""
    person = Person.objects.get(pk=message.about)
    is_reset = message.payload["how"] == "reset"
    how = _("through a link sent to this address") if is_reset else _("by somebody who knew the password before")
    return {
        "path": reverse("account_reset_password"),
        "is_own_account": True,
        "is_reset": is_reset,
        "facts": [
            Fact(_("Account"), [words.line(person.email)]),
            Fact(_("How"), [how]),
            Fact(_("When"), [words.when(message.created_at, at)]),
        ],
    }
