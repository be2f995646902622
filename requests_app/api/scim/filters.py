"""The filters that a directory finds somebody by: one attribute, equal to one value. Everything else is refused."""

from __future__ import annotations

import json
import re
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from requests_app.api.scim.shapes import USER, Fault
from requests_app.models import Person
from requests_app.queries import directory

MOST = 600
#: RFC 7644, section 3.4.2.2: names and operators in any case, and a string as JSON has it.
_FILTER = re.compile(
    rf'(?:{re.escape(USER)}:)?([A-Za-z]+(?:\[type +eq +"work"\])?(?:\.[A-Za-z]+)?) +eq +("(?:[^"\\\x00-\x1f]|\\.)*")',
    re.IGNORECASE | re.ASCII,
)
_BY: dict[str, Any] = {
    "username": directory.by_user_name,
    "externalid": directory.by_external_id,
    "emails": directory.by_address,
    "emails.value": directory.by_address,
    'emails[type eq "work"].value': directory.by_address,
}
#: The columns are no longer than this.
_LONGEST_VALUE = 254


def filtered(rows: QuerySet[Person], raw: str) -> QuerySet[Person]:
    """Raises Fault with invalidFilter for whatever is not in the list."""
    match = _FILTER.fullmatch(raw.strip()) if len(raw) <= MOST else None
    by = _BY.get(" ".join(match[1].lower().split())) if match else None
    if match is None or by is None:
        words = _("A filter is userName, externalId or emails.value, then eq, then a text in quotation marks.")
        raise Fault("invalidFilter", words)
    value = _text(match[2])
    if len(value) > _LONGEST_VALUE or "\x00" in value:
        return rows.none()
    found: QuerySet[Person] = by(rows, value)
    return found


def _text(quoted: str) -> str:
    try:
        value = json.loads(quoted)
        value.encode()
    except (ValueError, UnicodeError) as error:
        raise Fault("invalidFilter", _("This is no text.")) from error
    return str(value)
