"""The forms in which a tenant's administrator sets the tenant's webhooks and their events."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from requests_app.domain.events import TITLES, title_of
from requests_app.doors.web.forms.strict import StrictForm
from requests_app.messages.webhooks import messages
from requests_app.models import Webhook

_PLAIN = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false", "class": "mono", "inputmode": "url"}


class WebhookForm(StrictForm):
    many = frozenset({"events"})

    url = forms.CharField(
        label=gettext_lazy("Address of the webhook"),
        help_text=gettext_lazy(
            "This server sends the messages to this address, so it must be able to reach the address. For "
            "example: https://example.com/lockbox."
        ),
        max_length=1000,
        widget=forms.TextInput(attrs=_PLAIN),
    )
    label = forms.CharField(
        label=gettext_lazy("Description"),
        help_text=gettext_lazy("For example: help desk, or the security team’s chat."),
        max_length=80,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    events = forms.MultipleChoiceField(
        label=gettext_lazy("Which events the webhook gets"),
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": gettext_lazy("Choose at least one event.")},
    )

    def __init__(self, *args: Any, webhook: Webhook | None = None, **kwargs: Any) -> None:
        if webhook is not None:
            kwargs.setdefault("initial", {name: getattr(webhook, name) for name in ("url", "label", "events")})
        super().__init__(*args, **kwargs)
        chosen = webhook.events if webhook is not None else []
        self.offer("events", event_choices(chosen))


class WebhookActForm(StrictForm):
    """The buttons on the page of one webhook."""

    act = forms.ChoiceField(choices=[(act, act) for act in ("test", "off", "on")])


def event_choices(chosen: list[str]) -> list[tuple[str, str]]:
    """Return all events with their titles.

    If this version does not know a chosen event, the event is shown by its name.
    """
    known = {str(event): str(words) for event, words in TITLES.items()}
    newer = {name: title_of(name) for name in chosen if name not in known and name != messages.ALL}
    return [(messages.ALL, _("All events, including events that later versions add")), *known.items(), *newer.items()]
