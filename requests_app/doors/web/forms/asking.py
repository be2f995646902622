"""The form of an access request. It explains each field, and shows refusals before anything is submitted."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from requests_app import operations
from requests_app.domain import limits
from requests_app.domain.actors import Actor
from requests_app.domain.errors import Malformed
from requests_app.domain.ids import IdField
from requests_app.domain.levels import Level, Offer
from requests_app.doors.web.forms import PageForm
from requests_app.models import AccessRequest, Resource, Service, Tenant
from requests_app.queries import tickets as queries
from requests_app.templatetags.lockbox import icon
from requests_app.words import checks, sentences
from requests_app.words.times import duration_words

#: If there are more resources than the first number, the form has a search. It shows at most the second number.
SEARCHED_FROM, SHOWN = 12, 40
_TEXTAREA = {"rows": 4, "maxlength": limits.JUSTIFICATION_MAX}


class AskForm(PageForm):
    """The form of an access request: what, how much, how long and why.

    `find` limits the listed resources. Selected resources stay in the list.
    """

    other_names = {"ticket_id": "resource_ids", "previous_id": "resource_ids"}

    tried = forms.CharField(
        label=gettext_lazy("What did you try without access?"),
        help_text=gettext_lazy("Logs that you read, questions, changes, and the results."),
        widget=forms.Textarea(attrs=_TEXTAREA),
        error_messages={"required": gettext_lazy("Say what you tried: the customer reads it.")},
    )
    justification = forms.CharField(
        label=gettext_lazy("Why is there no other way?"),
        help_text=gettext_lazy("Mails and lists show how your text begins. Say first what you will look for."),
        widget=forms.Textarea(attrs=_TEXTAREA),
        error_messages={"required": gettext_lazy("Say why there is no other way: the customer needs this to decide.")},
    )
    find = forms.CharField(
        label=gettext_lazy("Find by name"),
        required=False,
        max_length=120,
        widget=forms.TextInput(attrs={"type": "search", "autocomplete": "off"}),
    )
    resource_ids = forms.MultipleChoiceField(
        label=gettext_lazy("Which resources?"),
        widget=forms.CheckboxSelectMultiple,
        error_messages={
            "required": gettext_lazy("Choose at least one resource."),
            "invalid_choice": gettext_lazy("Choose resources of this tenant and this service."),
        },
    )
    level = forms.ChoiceField(
        label=gettext_lazy("Which level of access do you need?"),
        help_text=gettext_lazy("Names alone often show what is wrong."),
        widget=forms.RadioSelect,
        error_messages={"required": gettext_lazy("Choose a level of access.")},
    )
    window_for = forms.TypedChoiceField(
        label=gettext_lazy("For how long?"),
        coerce=int,
        widget=forms.RadioSelect,
        error_messages={
            "required": gettext_lazy("Choose one of the offered lengths."),
            "invalid_choice": gettext_lazy("Choose one of the offered lengths."),
        },
    )

    def __init__(
        self,
        *args: Any,
        tenant: Tenant,
        service: Service,
        actor: Actor,
        at: datetime,
        previous: AccessRequest | None = None,
        is_practice: bool = False,
        **kwargs: Any,
    ) -> None:
        self.tenant, self.service, self.actor, self.at, self.previous = tenant, service, actor, at, previous
        self.is_practice = is_practice
        super().__init__(*args, **kwargs)
        self.all_resources = queries.resources(tenant, service, is_practice=is_practice, actor=actor)
        self._offer_resources()
        self._offer_levels()
        self._offer_lengths()

    def clean(self) -> dict[str, Any]:
        values = super().clean() or {}
        self.check("tried", lambda text: limits.require_text(text, field="tried", at_most=limits.JUSTIFICATION_MAX))
        self.check(
            "justification",
            lambda text: limits.require_text(
                text,
                field="justification",
                at_least=limits.JUSTIFICATION_MIN,
                at_most=limits.JUSTIFICATION_MAX,
            ),
        )
        if len(values.get("resource_ids", [])) > limits.RESOURCES_MAX:
            self.add_error("resource_ids", _("Choose 1 to 20 resources."))
        return values

    def require_known(self) -> None:
        """Raise Malformed for a field that does not belong to this form."""
        if not set(self.data) <= {*self.fields, "step", "csrfmiddlewaretoken"}:
            raise Malformed(_("The browser sent a field that is not allowed here. Load the page again, and try again."))

    def chosen(self) -> list[Resource]:
        """Return the selected resources of a valid form, in the order of the list."""
        return list(self.all_resources.filter(pk__in=self.cleaned_data["resource_ids"]))

    def ask(self, **reason: Any) -> operations.Ask:
        """Return the input for the operation. `reason` is the ticket, or the demand with its tenant and service."""
        values = self.cleaned_data
        return operations.Ask(
            resource_ids=[resource.pk for resource in self.chosen()],
            level=values["level"],
            window_for=values["window_for"],
            tried=values["tried"],
            justification=values["justification"],
            previous_id=self.previous.pk if self.previous else None,
            **reason,
        )

    def _offer_resources(self) -> None:
        """Offer the resources that match the search, and the resources that are already selected."""
        self.total = self.all_resources.count()
        find = str(self.data.get("find", "")).strip() if self.is_bound else ""
        matching = self.all_resources.filter(name__icontains=find) if find else self.all_resources
        shown = list(matching[: SHOWN + 1])
        self.has_more, shown = len(shown) > SHOWN, shown[:SHOWN]
        self.has_search = self.total > SEARCHED_FROM
        if self.total == 1 and not self.is_bound:
            # There is nothing to choose. The level, the length and the reason are never chosen for anybody.
            self.initial.setdefault("resource_ids", [str(shown[0].pk)])
        ticked = set(self._ticked())
        here = {str(resource.pk) for resource in shown}
        chosen_elsewhere = list(self.all_resources.filter(pk__in=_uuids(ticked - here)))
        self.offer("resource_ids", [(str(r.pk), self._label(r)) for r in [*chosen_elsewhere, *shown]])
        if not self.has_search:
            self.fields["find"].widget = forms.HiddenInput()

    def _label(self, resource: Resource) -> str:
        """Return the name. If the resource can't be reached, or was not tested, say this before anybody asks for it."""
        if not resource.check_problem and not resource.is_untested_at(self.at):
            return resource.name
        mark, problem = icon("triangle-alert"), checks.unreachable(resource, self.at)
        return format_html('<span>{} <strong class="person-mark">{}{}</strong></span>', resource.name, mark, problem)

    def _ticked(self) -> list[str]:
        if isinstance(self.data, QueryDict) and self.is_bound:
            return self.data.getlist("resource_ids")
        return list(self.initial.get("resource_ids", ()))

    def _offer_levels(self) -> None:
        kinds = {str(kind) for kind in self.all_resources.order_by().values_list("kind", flat=True).distinct()}
        self.offers = offers = self.service.offers_for(is_practice=self.is_practice)
        allows = self.tenant.allows
        choices = [(name, self._level(offer, sorted(kinds))) for name, offer in offers.items() if allows(name)]
        self.offer("level", choices)
        if without := [str(Level(name).label) for name in offers if not allows(name)]:
            words = _("%(tenant)s has ruled out: %(levels)s.")
            self.fields["level"].help_text = words % {"tenant": self.tenant.name, "levels": ", ".join(without)}

    def _level(self, offer: Offer, kinds: list[str]) -> str:
        quoted = sentences.service_words(self.service.name, offer.for_engineer)
        return ". ".join(filter(None, (sentences.level_choice(offer.level, kinds), quoted)))

    def _offer_lengths(self) -> None:
        """Offer the lengths that the tenant allows. The help text says how long the tenant's longest window is."""
        choices = limits.window_choices(self.tenant.window_cap)
        self.offer("window_for", [(seconds, duration_words(seconds)) for seconds in choices])
        values = {"tenant": self.tenant.name, "cap": duration_words(self.tenant.window_cap)}
        words = _("%(tenant)s allows at most %(cap)s.")
        if not choices:
            words = _(
                "The longest window that %(tenant)s allows is %(cap)s, but all offered lengths are longer. Ask "
                "%(tenant)s to allow a longer window."
            )
        self.fields["window_for"].help_text = words % values


class DemandForm(AskForm):
    """The form of an access request for a law-enforcement demand. The demand replaces the ticket."""

    authority = forms.CharField(
        label=gettext_lazy("Which authority demands access?"), widget=forms.TextInput(attrs={"maxlength": 200})
    )
    instrument = forms.CharField(
        label=gettext_lazy("Which legal instrument does the authority use?"),
        help_text=gettext_lazy("For example: a search warrant, a court order or a production order."),
        widget=forms.TextInput(attrs={"maxlength": 200}),
    )
    demand_reference = forms.CharField(
        label=gettext_lazy("Reference number of the demand"), widget=forms.TextInput(attrs={"maxlength": 120})
    )
    demand_date = forms.DateField(
        label=gettext_lazy("Date of the demand"), widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d")
    )
    field_order = ("authority", "instrument", "demand_reference", "demand_date")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["tried"].label = gettext_lazy("What was done to avoid this access?")
        self.fields["tried"].help_text = gettext_lazy(
            "Say how you told the authority to ask the customer instead, and what the authority answered."
        )
        self.fields["justification"].help_text = gettext_lazy(
            "Mails and lists show how your text begins. Say first what the instrument covers."
        )

    def demand(self) -> operations.Demand:
        values = self.cleaned_data
        return operations.Demand(
            authority=values["authority"],
            instrument=values["instrument"],
            reference=values["demand_reference"],
            date=values["demand_date"],
        )


def _uuids(values: set[str]) -> list[Any]:
    """Return the values that can be ids. The field itself refuses the others."""
    field = IdField(required=False)
    found = []
    for value in values:
        try:
            found.append(field.clean(value))
        except forms.ValidationError:
            continue
    return found
