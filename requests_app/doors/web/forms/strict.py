"""Forms that refuse unknown fields. If a misspelled filter were ignored, the page would show too much."""

from __future__ import annotations

from django.http import QueryDict
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from requests_app.domain.errors import Malformed
from requests_app.doors.web.forms import PageForm

_OURS = frozenset({"csrfmiddlewaretoken"})
_NOTHING_ALLOWED = gettext_lazy(
    "The browser sent a field that is not allowed here. Load the page again, and try again."
)


class StrictForm(PageForm):
    """A form that accepts only its own fields. Each field can be sent once, unless it is in `many`."""

    many: frozenset[str] = frozenset()

    def require_known(self) -> None:
        """Raise Malformed for an unknown field, or for a field that is sent twice."""
        if not set(self.data) <= {*self.fields, *_OURS}:
            if not self.fields:
                raise Malformed(_NOTHING_ALLOWED)
            allowed = ", ".join(self.fields)
            raise Malformed(
                _("The browser sent a field that is not allowed here. The allowed fields are: %(names)s.")
                % {"names": allowed}
            )
        data = self.data
        if isinstance(data, QueryDict) and any(len(data.getlist(name)) > 1 for name in data if name not in self.many):
            raise Malformed(_("The browser sent a field twice, but only one value is allowed."))

    def require_valid(self) -> None:
        """Raise Malformed with the first mistake. Use this for parameters without a form on a page."""
        if not self.is_valid():
            raise Malformed(next(str(mistakes[0]) for mistakes in self.errors.values()))


def require_nothing(data: QueryDict) -> None:
    """Raise Malformed if anything is sent to a form that has only a button."""
    if not set(data) <= _OURS:
        raise Malformed(_NOTHING_ALLOWED)
