"""Short names, which staff can leave empty. The form then makes one from the name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django import forms
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from requests_app.doors.admin.acts import ActForm, conditional

#: The end of the help of such a field.
MADE = gettext_lazy("If you leave this empty, it is made from the name.")
#: The most letters that are taken from a name, so that a number still fits behind them.
_FROM_NAME = 50
#: How many numbers are tried, if other rows have the same name.
_TRIES = 100


def short_name_field(**kwargs: Any) -> forms.SlugField:
    return conditional(forms.SlugField(max_length=60, **kwargs))


class ShortNameForm(ActForm):
    """A form with a name, and a short name that can stay empty for a new row."""

    #: The field of the short name.
    short: ClassVar[str]

    def prepare(self) -> None:
        # The short name of a row that exists is never made again: files and logs name the row by it.
        self.fields[self.short].required = self.row is not None

    def is_taken(self, text: str) -> bool:
        """Return whether another row has this short name."""
        raise NotImplementedError

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if self.row is None and data.get("name") and data.get(self.short) == "":
            data[self.short] = from_name(data["name"], self.is_taken)
            if not data[self.short]:
                self.add_error(self.short, _why_none(data["name"]))
        return data


def _why_none(name: str) -> str:
    if not _base(name):
        return _("The name has no letters for this. Fill in this field.")
    return _("Too many others have such a name already. Fill in this field.")


def _base(name: str) -> str:
    return slugify(name).replace("_", "-")[:_FROM_NAME].strip("-")


def from_name(name: str, is_taken: Callable[[str], bool]) -> str:
    """Return the first free short name made from a name: small letters, digits and hyphens. It is "" if all are taken.

    For a name that is in use, the short name gets a number: contoso-2.
    """
    base = _base(name)
    if not base:
        return ""
    tries = (base, *(f"{base}-{n}" for n in range(2, _TRIES)))
    return next((each for each in tries if not is_taken(each)), "")
