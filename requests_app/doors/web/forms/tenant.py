"""The forms in which a tenant's administrator sets up the tenant."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib.auth.password_validation import MinimumLengthValidator, get_default_password_validators
from django.utils.html import format_html
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from requests_app.domain import limits
from requests_app.domain.acts.tenants import ALLOW_LEVEL, RULE_OUT_LEVEL
from requests_app.domain.ids import IdField
from requests_app.domain.levels import Level
from requests_app.doors.web._secrets import secret
from requests_app.doors.web.forms.selects import LongSelect, OpenChoice
from requests_app.doors.web.forms.strict import StrictForm
from requests_app.models import Membership, Person, Tenant
from requests_app.words import sentences
from requests_app.words.invitations import ROLE_HELP
from requests_app.words.text import visible_single
from requests_app.words.times import duration_words

#: No window can be longer, so every configured length is offered.
_DAY = 24 * 60 * 60


def _needed_choice() -> forms.Select:
    """Return a select box in which the browser requires a choice. The form itself accepts an empty choice."""
    return LongSelect(attrs={"required": True})


class CapForm(StrictForm):
    window_cap = forms.TypedChoiceField(
        label=gettext_lazy("Maximum length of windows"),
        help_text=gettext_lazy(
            "No window is longer than this, even if more was asked for. The limit applies to windows that open from "
            "now on."
        ),
        coerce=int,
        error_messages={"invalid_choice": gettext_lazy("Choose one of the offered lengths.")},
    )

    def __init__(self, *args: Any, tenant: Tenant, **kwargs: Any) -> None:
        kwargs.setdefault("initial", {"window_cap": tenant.window_cap})
        super().__init__(*args, **kwargs)
        lengths = sorted({*limits.window_choices(_DAY), tenant.window_cap})
        self.offer("window_cap", [(seconds, duration_words(seconds)) for seconds in lengths])


class YesRuleForm(StrictForm):
    rule = forms.ChoiceField(
        label=gettext_lazy("Which approvals count"), choices=Tenant.YesRule.choices, widget=forms.RadioSelect
    )

    def __init__(self, *args: Any, tenant: Tenant, **kwargs: Any) -> None:
        kwargs.setdefault("initial", {"rule": tenant.yes_rule})
        super().__init__(*args, **kwargs)


class InvitationForm(StrictForm):
    email = forms.EmailField(
        label=gettext_lazy("Email address"),
        help_text=gettext_lazy(
            "The person signs in with this address. The link in the mail works only for this address."
        ),
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )
    role = forms.ChoiceField(
        label=gettext_lazy("First role"),
        help_text=gettext_lazy("You can give more roles afterwards."),
        widget=forms.RadioSelect,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offer("role", role_choices(Membership.Role.values))


class InvitationActForm(StrictForm):
    """The buttons beside an invitation."""

    act = forms.ChoiceField(choices=[(act, act) for act in ("send_again", "withdraw")])
    invitation = IdField()


class RecoveryForm(StrictForm):
    other_names = {"key": "recovery_key"}

    recovery_key = secret(
        forms.CharField(
            label=gettext_lazy("Recovery key"),
            help_text=gettext_lazy("Type the key as it was printed: seven groups of four letters and digits."),
            max_length=60,
            widget=forms.TextInput(
                attrs={"autocomplete": "off", "autocapitalize": "characters", "spellcheck": "false", "class": "mono"}
            ),
        )
    )
    email = forms.EmailField(
        label=gettext_lazy("Address of the new administrator"),
        help_text=gettext_lazy("An address that has no account here yet."),
        widget=forms.EmailInput(attrs={"autocomplete": "off"}),
    )


class _NotShownAgain(forms.TextInput):
    """A text field that is empty after a mistake. People may have typed all of a key, and not only its end."""

    def format_value(self, value: Any) -> None:
        return None


def _ending(*, at_most: int) -> forms.CharField:
    widget = _NotShownAgain(attrs={"autocomplete": "off", "spellcheck": "false", "class": "mono"})
    return forms.CharField(label=gettext_lazy("Last four characters"), max_length=at_most, widget=widget)


class FingerprintForm(StrictForm):
    """The last four characters of a fingerprint, or all of it."""

    characters = _ending(at_most=200)


class KeyEndingForm(StrictForm):
    """The last four characters of a secret key. There is no room for all of it."""

    characters = _ending(at_most=8)


class ProposalForm(StrictForm):
    """The buttons beside a proposal."""

    act = forms.ChoiceField(choices=[(act, act) for act in ("confirm", "withdraw")])
    proposal = IdField()


class LevelForm(StrictForm):
    """The button beside a level of access."""

    act = forms.ChoiceField(choices=[(act.name, act.name) for act in (RULE_OUT_LEVEL, ALLOW_LEVEL)])
    level = forms.ChoiceField(choices=Level.choices)


class ControlForm(StrictForm):
    """The button that switches two-person control on or off."""

    control = forms.ChoiceField(choices=[(to, to) for to in ("on", "off")])


class AcceptWithSignOnForm(StrictForm):
    """The form of a person who proves who they are at their identity provider."""

    name = forms.CharField(
        label=gettext_lazy("Your name"),
        help_text=gettext_lazy("The log shows this name."),
        max_length=120,
        widget=forms.TextInput(attrs={"autocomplete": "name"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        empty = [name for name, field in self.fields.items() if not self.get_initial_for_field(field, name)]
        if empty and not self.is_bound:
            # After a mistake, the list of mistakes has the focus.
            self.fields[empty[0]].widget.attrs["autofocus"] = True


class AcceptForm(AcceptWithSignOnForm):
    password = forms.CharField(
        label=gettext_lazy("Your password"),
        max_length=128,
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password"].help_text = _(
            "At least %(n)d characters. Not a common password, and not like your name or address."
        ) % {"n": _shortest_password()}


class OutOfOfficeForm(StrictForm):
    deputy = forms.ChoiceField(
        label=gettext_lazy("Deputy"),
        help_text=gettext_lazy("Another approver, or somebody to whom your administrator gave the role “Deputy”."),
    )
    from_at = forms.DateTimeField(
        label=gettext_lazy("From"),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )
    until_at = forms.DateTimeField(
        label=gettext_lazy("Until"),
        help_text=gettext_lazy("The deputy’s time ends automatically. Times are in your own time zone."),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )

    def __init__(self, *args: Any, deputies: Iterable[Person], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.offer("deputy", [(str(one.pk), f"{one.name} ({one.email})") for one in deputies])


class EndForm(StrictForm):
    """The button beside an absence."""

    end = IdField()


class MuteForm(StrictForm):
    """The form of a mute. The value `everybody` means all engineers.

    The form accepts a missing choice. The operation refuses it, after it has checked that the person is allowed to
    mute.
    """

    EVERYBODY = "everybody"

    engineer = OpenChoice(label=gettext_lazy("From whom"), required=False, widget=_needed_choice())
    hours = forms.TypedChoiceField(
        label=gettext_lazy("How long to accept no new access requests"),
        coerce=int,
        required=False,
        widget=_needed_choice(),
    )
    note = forms.CharField(
        label=gettext_lazy("Comment"),
        help_text=gettext_lazy("The engineers and the provider’s approvers can read your comment."),
        required=False,
        max_length=limits.COMMENT_MAX,
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def __init__(self, *args: Any, askers: Iterable[Person], find: str = "", has_more: bool = False, **kw: Any) -> None:
        super().__init__(*args, **kw)
        self.find, self.has_more, self.has_search = find, has_more, bool(find or has_more)
        lengths = [(hours, duration_words(hours * 60 * 60)) for hours in limits.MUTE_HOURS]
        self.offer("hours", lengths)
        named = [(str(one.pk), _asker(one)) for one in askers]
        self.has_found = bool(named)
        everybody = (self.EVERYBODY, capfirst(sentences.everybody()))
        self.offer("engineer", [("", _("Choose")), *named, everybody])

    def clean_hours(self) -> int:
        return self.cleaned_data["hours"] or 0

    def clean_engineer(self) -> str | None:
        chosen: str = self.cleaned_data["engineer"]
        return None if chosen == self.EVERYBODY else chosen


def _asker(one: Any) -> str:
    waiting = (
        ngettext("%(n)d waits", "%(n)d wait", one.waiting) % {"n": one.waiting} if one.waiting else _("nothing waits")
    )
    # A browser shows a choice without tags. The text inside the tags stays: the codes of hidden characters.
    return format_html("{}: {}", visible_single(one.name), waiting)


class LiftForm(StrictForm):
    """The button beside a mute."""

    lift = IdField()


class AddressForm(StrictForm):
    email = forms.EmailField(
        label=gettext_lazy("Email address"), widget=forms.EmailInput(attrs={"autocomplete": "off"})
    )
    label = forms.CharField(
        label=gettext_lazy("Description"),
        help_text=gettext_lazy("For example: security team, or on-call mailbox."),
        max_length=80,
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class RemovalForm(StrictForm):
    """The button beside an address."""

    remove = IdField()


class RoleForm(StrictForm):
    """The buttons on a person's page. Each sends an act, with the role or the identity that the act is about."""

    act = forms.ChoiceField(
        choices=[(act, act) for act in ("give", "take", "switch_off", "switch_on", "unlink", "reset")]
    )
    role = forms.ChoiceField(choices=Membership.Role.choices, required=False)
    identity = IdField(required=False)
    # The button in the list of the set-up leads back to this list.
    then = forms.ChoiceField(choices=[("set-up", "set-up")], required=False)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        if bool(values.get("role")) != (values.get("act") in ("give", "take")):
            self.add_error("role", _("Choose a role only to give it or to take it away. Otherwise leave this empty."))
        if bool(values.get("identity")) != (values.get("act") == "unlink"):
            self.add_error("identity", _("Choose an identity only to unlink it. Otherwise leave this empty."))
        return values


class PeopleFilter(StrictForm):
    q = forms.CharField(
        label=gettext_lazy("Name or email address"),
        required=False,
        max_length=120,
        widget=forms.TextInput(attrs={"type": "search", "autocomplete": "off"}),
    )


def _shortest_password() -> int:
    rules = [rule for rule in get_default_password_validators() if isinstance(rule, MinimumLengthValidator)]
    return max(rule.min_length for rule in rules)


def role_choices(roles: list[str]) -> list[tuple[str, str]]:
    """Return the roles and what each role can do, so that people do not choose a role only by its name."""
    return [(role, f"{Membership.Role(role).label}: {ROLE_HELP[str(role)]}") for role in roles]
