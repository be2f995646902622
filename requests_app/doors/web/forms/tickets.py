"""Forms about tickets."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import QuerySet
from django.utils.translation import gettext_lazy as _

from requests_app.domain import limits
from requests_app.domain.actors import Actor, Side
from requests_app.domain.states import TicketState
from requests_app.doors.web.forms.strict import StrictForm
from requests_app.models import Person, Tenant, Ticket
from requests_app.queries import ticket_list
from requests_app.queries import tickets as queries


class FilterForm(StrictForm):
    """The filters of the list. No filter is required, and no other parameter is accepted."""

    view = forms.ChoiceField(
        choices=[("all", ""), ("mine", ""), ("queue", "")], required=False, widget=forms.HiddenInput
    )
    state = forms.ChoiceField(
        label=_("State"),
        choices=[(ticket_list.LIVE, _("Not resolved")), *TicketState.choices, (ticket_list.ANY, _("Any"))],
        required=False,
    )
    tenant = forms.CharField(label=_("Customer’s name begins with"), max_length=120, required=False)
    text = forms.CharField(label=_("Reference or title"), max_length=120, required=False)

    def __init__(self, *args: Any, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if actor.side is Side.CUSTOMER:
            del self.fields["tenant"]

    def require_known(self) -> None:
        """Raise Malformed for an unknown field. The cursors of the pages, `after` and `before`, are accepted too."""
        self.data = {name: value for name, value in self.data.items() if name not in ("after", "before")}
        super().require_known()


class _PersonChoice(forms.ModelChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        return f"{obj.name} ({obj.email})"


class LinkForm(StrictForm):
    """The ticket's reference and address in another help desk."""

    external_reference = forms.CharField(
        label=_("Reference in your own system"),
        required=False,
        help_text=_(
            "If your help desk has a case for this ticket, enter the reference of that case. For example: INC-4711."
        ),
        widget=forms.TextInput(attrs={"maxlength": Ticket.EXTERNAL_REFERENCE_MAX, "autocomplete": "off"}),
    )
    external_url = forms.CharField(
        label=_("Web address of the case"),
        required=False,
        help_text=_("The address must begin with https://. Both sides see the address."),
        widget=forms.URLInput(attrs={"maxlength": Ticket.EXTERNAL_URL_MAX, "autocomplete": "off"}),
    )


class NewTicketForm(StrictForm):
    other_names = {"service_id": "service"}

    service: forms.ModelChoiceField = forms.ModelChoiceField(
        queryset=None, label=_("Service"), empty_label=_("Choose a service")
    )
    on_behalf_of_id = _PersonChoice(
        queryset=None,
        label=_("Who called or wrote?"),
        required=False,
        empty_label=_("Nobody: we found this problem ourselves"),
        help_text=_("This person gets a confirmation by mail, and can follow the ticket."),
    )
    title = forms.CharField(
        label=_("What is wrong, in one line"),
        widget=forms.TextInput(attrs={"maxlength": limits.TITLE_MAX, "autocomplete": "off"}),
    )
    body = forms.CharField(
        label=_("What happened?"),
        help_text=_("What did you do, what did you expect, what happened instead, and since when?"),
        widget=forms.Textarea(attrs={"rows": 8, "maxlength": limits.JUSTIFICATION_MAX}),
    )
    priority = forms.ChoiceField(
        label=_("How urgent is it?"),
        choices=Ticket.Priority.choices,
        initial=Ticket.Priority.NORMAL,
        widget=forms.RadioSelect,
    )

    external_reference = LinkForm.base_fields["external_reference"]
    external_url = LinkForm.base_fields["external_url"]

    def __init__(self, *args: Any, actor: Actor, tenant: Tenant, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["service"].queryset = queries.services(actor)  # type: ignore[attr-defined]  # a ModelChoiceField
        if actor.side is Side.CUSTOMER:
            del self.fields["on_behalf_of_id"]
        else:
            self.fields["on_behalf_of_id"].queryset = queries.people_of(tenant)  # type: ignore[attr-defined]  # as above


class ReplyForm(StrictForm):
    """A text on a ticket: a comment, a question, an answer, or a note of the provider."""

    other_names = {"body": "note"}

    note = forms.CharField(
        label=_("Write something"), widget=forms.Textarea(attrs={"rows": 5, "maxlength": limits.COMMENT_MAX})
    )


class NoteForm(StrictForm):
    other_names = {"body": "internal"}

    internal = forms.CharField(
        label=_("Internal note"),
        help_text=_("Only the provider’s people read this; the customer never does."),
        widget=forms.Textarea(attrs={"rows": 4, "maxlength": limits.COMMENT_MAX}),
    )


class EndForm(StrictForm):
    """The last comment before a ticket ends, or the first comment when it is reopened.

    `ends` lists the access requests that the page showed as ending with the ticket.
    """

    note = forms.CharField(
        label=_("Comment"),
        required=False,
        help_text=_("Both sides read this."),
        widget=forms.Textarea(attrs={"rows": 4, "maxlength": limits.COMMENT_MAX}),
    )
    ends = forms.CharField(required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, needs_note: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if needs_note:
            self.fields["note"].required = True
            self.fields["note"].label = _("Why?")


class AssignForm(StrictForm):
    """The form accepts each engineer of the queue. It offers the first of those in `offered`."""

    assignee_id = _PersonChoice(queryset=None, label=_("Assign it to"), empty_label=None)

    def __init__(
        self,
        *args: Any,
        engineers: QuerySet[Person],
        offered: QuerySet[Person] | None = None,
        find: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        field: Any = self.fields["assignee_id"]
        field.queryset = engineers
        self.find = find
        if offered is not None:
            found = list(offered[: queries.CHOICES + 1])
            self.has_more = len(found) > queries.CHOICES
            self.has_search = bool(find) or self.has_more
            self.has_choices = bool(found)
            field.widget.choices = [(each.pk, field.label_from_instance(each)) for each in found[: queries.CHOICES]]
