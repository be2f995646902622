"""The forms in which people set which machines can call the API, and for what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from requests_app.domain.scopes import OF_CLIENTS, Scope
from requests_app.doors.web.forms.strict import StrictForm
from requests_app.models import Client, Person
from requests_app.operations.integrations import LASTING_LIFETIMES, LIFETIMES, LONGEST_THAT_DECIDES
from requests_app.words import scopes as _scopes_shown

_AT_LEAST_ONE = {"required": gettext_lazy("Choose at least one scope.")}
#: A token for a week is long enough for a trial. If somebody forgets it, it ends soon.
_USUAL_DAYS = 7
_YEAR = 365


def _scopes(label: Any) -> forms.MultipleChoiceField:
    return forms.MultipleChoiceField(label=label, widget=forms.CheckboxSelectMultiple, error_messages=_AT_LEAST_ONE)


class TokenForm(StrictForm):
    many = frozenset({"scopes"})

    name = forms.CharField(
        label=gettext_lazy("Purpose of the token"),
        help_text=gettext_lazy("For example: a script on your laptop."),
        max_length=80,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    scopes = _scopes(gettext_lazy("What the token can do"))
    days = forms.TypedChoiceField(label=gettext_lazy("How long the token is valid"), coerce=int, initial=_USUAL_DAYS)

    def __init__(self, *args: Any, offered: frozenset[Scope], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offer("scopes", _scopes_shown.choices(offered))
        lifetimes = [(n, ngettext("%(n)d day", "%(n)d days", n) % {"n": n}) for n in LIFETIMES]
        self.offer("days", lifetimes)
        words = _("A token that can approve or deny is valid for at most %(days)d days.")
        self.fields["days"].help_text = words % {"days": LONGEST_THAT_DECIDES}


class _OfClient(StrictForm):
    """The fields that a new client and a change of a client have in common."""

    many = frozenset({"scopes"})
    scopes = _scopes(gettext_lazy("What the client can do"))
    decides_for = forms.ChoiceField(
        label=gettext_lazy("Decides for"),
        help_text=gettext_lazy(
            "Anybody who has the client’s secret can then approve or deny in this approver’s name, without a "
            "password. All approvers get a mail that says for whom the client decides. For each decision of the "
            "client, the log says that a machine decided. The client needs the scope decisions:write."
        ),
        required=False,
    )

    def __init__(self, *args: Any, approvers: Iterable[Person], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offer("scopes", _scopes_shown.choices(OF_CLIENTS))
        people = [(str(person.pk), f"{person.name} ({person.email})") for person in approvers]
        self.offer("decides_for", [("", _("Nobody: the client cannot approve or deny")), *people])

    def clean_decides_for(self) -> str | None:
        return self.cleaned_data["decides_for"] or None


class ClientForm(_OfClient):
    name = forms.CharField(
        label=gettext_lazy("Name of the client"),
        help_text=gettext_lazy("The log shows this name permanently. For example: help desk."),
        max_length=80,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    field_order = ("name", "scopes", "decides_for")


class LastingTokenForm(StrictForm):
    days = forms.TypedChoiceField(label=gettext_lazy("How long the token is valid"), coerce=int, initial=_YEAR)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        lifetimes = [(n, ngettext("%(n)d day", "%(n)d days", n) % {"n": n}) for n in LASTING_LIFETIMES]
        self.offer("days", lifetimes)


class ClientChangeForm(_OfClient):
    def __init__(self, *args: Any, client: Client, **kwargs: Any) -> None:
        kwargs.setdefault("initial", {"scopes": client.scopes, "decides_for": str(client.decides_for_id or "")})
        super().__init__(*args, **kwargs)
