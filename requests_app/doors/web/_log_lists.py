"""The lists in an entry, as lines that people can read: what Lockbox began with, and what an application reports."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, NamedTuple

from django.utils import timezone
from django.utils.formats import time_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from requests_app.domain.actors import Role
from requests_app.domain.acts.content import CONTENT_REPORTED, CONTENT_REPORTED_OUTSIDE
from requests_app.domain.acts.tenants import PROVIDER_DESCRIBED
from requests_app.domain.levels import CHANGING, NEEDED
from requests_app.doors.web.context import ROLE_WORDS
from requests_app.models import Resource
from requests_app.words.proposals import levels_words
from requests_app.words.scopes import labels

Row = dict[str, Any]


class Line(NamedTuple):
    text: str
    since: dt.datetime | None


class Listed(NamedTuple):
    """One list. `left_out` is the number of rows that the entry only counts."""

    title: str
    lines: list[Line]
    left_out: int


def lists_of(event: str, detail: Row) -> list[Listed]:
    """Return the lists of this entry, or [] for any other event.

    Another version may have written the entry, so a value that can't be read is left out.
    """
    if event in (CONTENT_REPORTED, CONTENT_REPORTED_OUTSIDE):
        return [_requests(detail)]
    if event != PROVIDER_DESCRIBED:
        return []
    return [_list(str(title), detail.get(name), shown) for name, (title, shown) in _LISTS.items()]


def _list(title: str, found: Any, shown: Callable[[Row], str]) -> Listed:
    found = found if isinstance(found, dict) else {}
    listed = found.get("listed")
    rows = [row for row in listed if isinstance(row, dict)] if isinstance(listed, list) else []
    count = found.get("count")
    left_out = max(0, count - len(rows)) if isinstance(count, int) else 0
    return Listed(title, [Line(shown(row), _instant(row.get("since"))) for row in rows], left_out)


def _requests(detail: Row) -> Listed:
    """Return each request that an application reports, in their order."""
    found = {"listed": detail.get("accesses"), "count": detail.get("count")}
    return _list(_("Requests, as the application reports them"), found, _request)


def _instant(value: Any) -> dt.datetime | None:
    try:
        return dt.datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return None


def _request(row: Row) -> str:
    at = _instant(row.get("at"))
    words = {"time": time_format(timezone.localtime(at), "H:i:s") if at else "", "item": row.get("item", "")}
    line = _("%(time)s %(item)s") % words
    if NEEDED.get(str(row.get("action", ""))) in CHANGING:
        line = _("%(line)s (can change things)") % {"line": line}
    return _("%(line)s, because: %(code)s") % {"line": line, "code": row["code"]} if row.get("code") else line


def _person(row: Row) -> str:
    return str(row.get("name", ""))


def _role_words(role: str) -> str:
    return str(ROLE_WORDS[Role(role)]) if role in ROLE_WORDS else role


def _role(row: Row) -> str:
    role = str(row.get("role", ""))
    words = _role_words(role)
    return _("%(name)s: %(role)s for %(service)s") % {
        "name": row.get("name", ""),
        "role": words,
        "service": row.get("service", ""),
    }


def _invited(row: Row) -> str:
    role = str(row.get("role", ""))
    words = {"email": row.get("email", ""), "role": _role_words(role), "queues": row.get("queues", "")}
    line = _("%(email)s: %(role)s for %(queues)s") if words["queues"] else _("%(email)s: %(role)s")
    return line % words


def _client(row: Row) -> str:
    scopes = row.get("scopes")
    allowed = "; ".join(str(each) for each in labels(scopes if isinstance(scopes, list) else []))
    line = _("%(name)s: %(allowed)s") % {"name": row.get("name", ""), "allowed": allowed or _("nothing")}
    if row.get("guards"):
        line = _("%(line)s. It guards the application of %(service)s") % {"line": line, "service": row["guards"]}
    if "made_by" not in row:
        return line
    readers, unknown = row.get("token_readers"), _("somebody unknown")
    names = [row["made_by"], row.get("holder"), *(readers if isinstance(readers, list) else [])]
    people = ", ".join(dict.fromkeys(str(name or unknown) for name in names))
    return _("%(line)s. Who made it, or could use it: %(people)s") % {"line": line, "people": people}


def _group(row: Row) -> str:
    return _("The group “%(group)s” gives its members a role. %(role)s") % {
        "group": row.get("group", ""),
        "role": _role({**row, "name": _("Role")}),
    }


def _service(row: Row) -> str:
    cover = _("covered by Lockbox") if row.get("is_covered") else _("not covered by Lockbox")
    words = {"name": row.get("key", ""), "connector": row.get("application") or row.get("connector", "")}
    line = _("%(name)s, through %(connector)s: %(cover)s") % {**words, "cover": cover}
    if row.get("levels"):
        line = _("%(line)s, levels of access: %(levels)s") % {"line": line, "levels": levels_words(row["levels"])}
    if row.get("gate_rules"):
        line = _("%(line)s, behind a gate with the rules: %(rules)s") % {
            "line": line,
            "rules": ", ".join(row["gate_rules"].splitlines()),
        }
    if row.get("gate_upstream"):
        line = _("%(line)s, through the proxy of this product to %(upstream)s") % {
            "line": line,
            "upstream": row["gate_upstream"],
        }
    return line if row.get("is_active", True) else _("%(line)s, switched off") % {"line": line}


def _resource(row: Row) -> str:
    kinds: dict[str, Any] = dict(Resource.Kind.choices)
    kind = row.get("kind", "")
    place = row.get("locator") or row.get("external_id", "")
    words = {"name": row.get("name", ""), "kind": kinds.get(kind, kind), "service": row.get("service", "")}
    line = _("%(name)s (%(kind)s), at %(service)s: %(place)s") % {**words, "place": place}
    return line if row.get("is_active", True) else _("%(line)s, switched off") % {"line": line}


_LISTS: dict[str, tuple[Promise, Callable[[Row], str]]] = {
    "staff": (gettext_lazy("Staff"), _person),
    "people": (gettext_lazy("Engineers and approvers"), _role),
    "invited": (gettext_lazy("Invited, with a role from the moment they accept"), _invited),
    "groups": (gettext_lazy("Roles through groups of the provider’s directory"), _group),
    "clients": (gettext_lazy("API clients"), _client),
    "services": (gettext_lazy("Services"), _service),
    "resources": (gettext_lazy("Your resources"), _resource),
}
