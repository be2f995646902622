"""The forms of the pages. They check only whether values are well formed; the operations decide what is allowed."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy

from requests_app.domain.errors import DomainError, Unacceptable
from requests_app.doors.choosing import ChoosesTheOnly

_FILL_IN, _CHOOSE = gettext_lazy("Fill in this field."), gettext_lazy("Choose one.")


class PageForm(ChoosesTheOnly):
    """A form that shows each refusal beside the field that the refusal is about."""

    #: For fields with another name in the operations: the operation's name and the form's name.
    other_names: dict[str, str] = {}

    def __init__(self, *args: Any, **fields: Any) -> None:
        super().__init__(*args, **fields)
        for field in self.fields.values():
            # Django's own sentence does not say what to do.
            if field.error_messages.get("required") is forms.Field.default_error_messages["required"]:
                field.error_messages["required"] = _CHOOSE if isinstance(field, forms.ChoiceField) else _FILL_IN

    def offer(self, name: str, choices: Iterable[tuple[Any, Any]]) -> None:
        """Set the choices of a field. Use this for choices that are known only when the form is made."""
        field = self.fields[name]
        assert isinstance(field, forms.ChoiceField)
        field.choices = list(choices)

    def refuse(self, refusal: DomainError) -> None:
        """Show a refusal of the domain beside its field, or above the form if it is not about a field."""
        named = getattr(refusal, "field", "")
        field = self.other_names.get(named, named)
        self.add_error(field if field in self.fields else None, str(refusal.message))

    def check(self, field: str, rule: Callable[[Any], Any]) -> None:
        """Apply a rule of the domain to a field's value, and show the rule's refusal beside the field.

        Without this, a preview could show a value that is refused when it is submitted.
        """
        if field not in self.cleaned_data:
            return
        try:
            self.cleaned_data[field] = rule(self.cleaned_data[field])
        except Unacceptable as refusal:
            self.add_error(field, str(refusal.message))
