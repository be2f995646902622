"""The sentences that people read before they decide.

Each is made in one place, so that page, preview and mail agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.utils.functional import Promise
from django.utils.text import get_text_list
from django.utils.translation import get_language, gettext_lazy, ngettext
from django.utils.translation import gettext as _

from audit_app.witnesses import Doubt
from requests_app.domain.levels import can_change
from requests_app.domain.reports import Kind
from requests_app.models import AccessRequest, Level, Mute, Person, Resource, Tenant
from requests_app.words.text import is_mixed_script
from requests_app.words.times import duration_words, when_words

#: How many resources a sentence names, and how many characters of the justification it contains.
NAMED, REASON_CHARS = 3, 160

#: What every page, mail and file about a practice request says.
PRACTICE = gettext_lazy("Practice: the content is made up. Nobody’s real content is opened.")

_Words = Callable[[int], str]

_READ: dict[str, _Words] = {
    Resource.Kind.MAILBOX: lambda n: ngettext("read messages in %(n)d mailbox", "read messages in %(n)d mailboxes", n),
    Resource.Kind.LIBRARY: lambda n: ngettext(
        "read documents in %(n)d document library", "read documents in %(n)d document libraries", n
    ),
    Resource.Kind.DATABASE: lambda n: ngettext("read records in %(n)d database", "read records in %(n)d databases", n),
    Resource.Kind.WORKSPACE: lambda n: ngettext(
        "read content in %(n)d workspace", "read content in %(n)d workspaces", n
    ),
    Resource.Kind.OTHER: lambda n: ngettext("read content in %(n)d resource", "read content in %(n)d resources", n),
}
_VIEW: dict[str, _Words] = {
    Resource.Kind.MAILBOX: lambda n: ngettext("view messages in %(n)d mailbox", "view messages in %(n)d mailboxes", n),
    Resource.Kind.LIBRARY: lambda n: ngettext(
        "view documents in %(n)d document library", "view documents in %(n)d document libraries", n
    ),
    Resource.Kind.DATABASE: lambda n: ngettext("view records in %(n)d database", "view records in %(n)d databases", n),
    Resource.Kind.WORKSPACE: lambda n: ngettext(
        "view content in %(n)d workspace", "view content in %(n)d workspaces", n
    ),
    Resource.Kind.OTHER: lambda n: ngettext("view content in %(n)d resource", "view content in %(n)d resources", n),
}
_NAMES: dict[str, _Words] = {
    # A list of messages shows more than names, and an approver must know this.
    Resource.Kind.MAILBOX: lambda n: ngettext(
        "see the senders, dates and subjects of messages in %(n)d mailbox",
        "see the senders, dates and subjects of messages in %(n)d mailboxes",
        n,
    ),
    Resource.Kind.LIBRARY: lambda n: ngettext(
        "see the names of documents in %(n)d document library",
        "see the names of documents in %(n)d document libraries",
        n,
    ),
    Resource.Kind.DATABASE: lambda n: ngettext(
        "see the names of records in %(n)d database", "see the names of records in %(n)d databases", n
    ),
    Resource.Kind.WORKSPACE: lambda n: ngettext(
        "see the names of items in %(n)d workspace", "see the names of items in %(n)d workspaces", n
    ),
    Resource.Kind.OTHER: lambda n: ngettext(
        "see the names of items in %(n)d resource", "see the names of items in %(n)d resources", n
    ),
}
_ACT_AS: dict[str, _Words] = {
    Resource.Kind.MAILBOX: lambda n: ngettext(
        "act as users of %(n)d mailbox and change things there",
        "act as users of %(n)d mailboxes and change things there",
        n,
    ),
    Resource.Kind.LIBRARY: lambda n: ngettext(
        "act as users of %(n)d document library and change things there",
        "act as users of %(n)d document libraries and change things there",
        n,
    ),
    Resource.Kind.DATABASE: lambda n: ngettext(
        "act as users of %(n)d database and change things there",
        "act as users of %(n)d databases and change things there",
        n,
    ),
    Resource.Kind.WORKSPACE: lambda n: ngettext(
        "act as users of %(n)d workspace and change things there",
        "act as users of %(n)d workspaces and change things there",
        n,
    ),
    Resource.Kind.OTHER: lambda n: ngettext(
        "act as users of %(n)d resource and change things there",
        "act as users of %(n)d resources and change things there",
        n,
    ),
}
_READING: dict[str, dict[str, _Words]] = {
    Level.NAMES: _NAMES,
    Level.VIEW: _VIEW,
    Level.READ: _READ,
    Level.ACT_AS: _ACT_AS,
}
_LEVEL_CHOICE: dict[str, dict[str, str | Promise]] = {
    Level.VIEW: {
        Resource.Kind.MAILBOX: gettext_lazy("open messages on the page"),
        Resource.Kind.LIBRARY: gettext_lazy("open documents on the page"),
        Resource.Kind.DATABASE: gettext_lazy("open records on the page"),
        Resource.Kind.WORKSPACE: gettext_lazy("open items on the page"),
        Resource.Kind.OTHER: gettext_lazy("open items on the page"),
    },
    Level.READ: {
        Resource.Kind.MAILBOX: gettext_lazy("open messages with their attachments"),
        Resource.Kind.LIBRARY: gettext_lazy("open documents"),
        Resource.Kind.DATABASE: gettext_lazy("open records"),
        Resource.Kind.WORKSPACE: gettext_lazy("open items"),
        Resource.Kind.OTHER: gettext_lazy("open items"),
    },
    Level.NAMES: {
        Resource.Kind.MAILBOX: gettext_lazy("see the senders, dates and subjects of messages"),
        Resource.Kind.LIBRARY: gettext_lazy("see the names of documents"),
        Resource.Kind.DATABASE: gettext_lazy("see the names of records"),
        Resource.Kind.WORKSPACE: gettext_lazy("see the names of items"),
        Resource.Kind.OTHER: gettext_lazy("see the names of items"),
    },
}
_COUNTED: dict[str, _Words] = {
    Resource.Kind.MAILBOX: lambda n: ngettext("%(n)d mailbox", "%(n)d mailboxes", n),
    Resource.Kind.LIBRARY: lambda n: ngettext("%(n)d document library", "%(n)d document libraries", n),
    Resource.Kind.DATABASE: lambda n: ngettext("%(n)d database", "%(n)d databases", n),
    Resource.Kind.WORKSPACE: lambda n: ngettext("%(n)d workspace", "%(n)d workspaces", n),
    Resource.Kind.OTHER: lambda n: ngettext("%(n)d resource", "%(n)d resources", n),
}
_OPENED: dict[str, _Words] = {
    Resource.Kind.MAILBOX: lambda n: ngettext("%(n)d message read", "%(n)d messages read", n),
    Resource.Kind.LIBRARY: lambda n: ngettext("%(n)d document read", "%(n)d documents read", n),
    Resource.Kind.DATABASE: lambda n: ngettext("%(n)d record read", "%(n)d records read", n),
    Resource.Kind.WORKSPACE: lambda n: ngettext("%(n)d item read", "%(n)d items read", n),
    Resource.Kind.OTHER: lambda n: ngettext("%(n)d item read", "%(n)d items read", n),
}


_DOWNLOADED: dict[str, _Words] = {
    Resource.Kind.MAILBOX: lambda n: ngettext("%(n)d message downloaded", "%(n)d messages downloaded", n),
    Resource.Kind.LIBRARY: lambda n: ngettext("%(n)d document downloaded", "%(n)d documents downloaded", n),
    Resource.Kind.DATABASE: lambda n: ngettext("%(n)d record downloaded", "%(n)d records downloaded", n),
    Resource.Kind.WORKSPACE: lambda n: ngettext("%(n)d item downloaded", "%(n)d items downloaded", n),
    Resource.Kind.OTHER: lambda n: ngettext("%(n)d item downloaded", "%(n)d items downloaded", n),
}


def asks(access_request: AccessRequest) -> str:
    """Return one sentence of plain text: who asks for what, for how long, and why. Show it with `visible_line`.

    This reads `scope__resource` and `requested_by`: prefetch them for several access requests.
    """
    return wants(
        engineer=access_request.requested_by,
        resources=_resources(access_request),
        level=access_request.level,
        window_for=access_request.window_for,
        justification=access_request.justification,
    )


def wants(*, engineer: Person, resources: Iterable[Resource], level: str, window_for: int, justification: str) -> str:
    """Return the sentence of `asks` for an access request that is not submitted yet."""
    return _(
        "%(who)s, an engineer at %(provider)s, asks to %(act)s for %(time)s. The engineer’s reason: “%(reason)s”"
    ) % {
        "who": _name(engineer),
        "provider": settings.PROVIDER_NAME,
        "act": reading(level, resources),
        "time": duration_words(window_for),
        "reason": _first_line(justification),
    }


def reading(level: str, resources: Iterable[Resource]) -> str:
    """Return the act of an access request: "read messages in 1 mailbox (finance@contoso.example)".

    There is a part for each kind of resource.
    """
    return _reading_of(str(level), _named(resources), get_language())


@lru_cache(maxsize=2048)
def _reading_of(level: str, resources: tuple[tuple[str, str], ...], _language: str | None) -> str:
    # Lists show the same resources again and again. An unknown level is only in the log of a later version.
    words = _READING.get(level, _NAMES)
    parts = []
    for kind, names in _by_kind(resources).items():
        act = words[kind](len(names)) % {"n": len(names)}
        parts.append(_("%(act)s (%(names)s)") % {"act": act, "names": _listed(names)})
    return _joined(parts)


def service_words(service: str, words: str) -> str:
    """Return what a service itself says about a level. It is shown beside our words, and never in place of them."""
    return _("%(service)s says: “%(words)s”") % {"service": service, "words": words} if words else ""


_MEANINGS: dict[str, Promise] = {
    Level.NAMES: gettext_lazy("List names. For mail these are senders, dates and subjects. Open nothing."),
    Level.VIEW: gettext_lazy("Open items on a page. Download nothing."),
    Level.READ: gettext_lazy("Open and download items."),
    Level.ACT_AS: gettext_lazy("Act in the name of your users: open, change, send and delete."),
}
_NOT_CHANGING: dict[bool, Promise] = {
    False: gettext_lazy("The engineer cannot change, send or delete anything."),
    True: gettext_lazy(
        "This level does not allow the engineer to change, send or delete anything. %(application)s must enforce this: "
        "this page can’t check it."
    ),
}


def level_meaning(level: str) -> str:
    """Return in one line what an engineer can do with a level, for the people of a tenant."""
    return str(_MEANINGS[level])


def promise(level: str, enforced_by: str, tenant: str) -> str:
    """Return whether an engineer can change things with this level, for everybody who decides.

    `enforced_by` is the application that enforces the window, or "". `tenant` is the name of the tenant.
    """
    if not can_change(level):
        return str(_NOT_CHANGING[bool(enforced_by)]) % {"application": enforced_by}
    # Staff choose the name of the application. So it is not here, where it could seem to be a part of the sentence.
    return _("The engineer can change, send and delete things in the name of users of %(tenant)s.") % {"tenant": tenant}


def ruled_out(tenant: Tenant, level: str) -> str:
    return _("%(tenant)s has ruled out the level “%(level)s”. Choose another level, or ask %(tenant)s to allow it.") % {
        "tenant": tenant.name,
        "level": Level(level).label,
    }


def level_choice(level: str, kinds: Iterable[str]) -> str:
    """Return the label of a level where an engineer chooses how much to ask for, in words that fit the resources."""
    if level == Level.ACT_AS:
        return _("Act as: do what users of the customer can do, and change things in their name")
    words = _LEVEL_CHOICE[level]
    acts = _joined([str(words[kind]) for kind in kinds if kind in words])
    if level == Level.READ:
        return _("View and download: %(what)s") % {"what": acts or _("open items")}
    if level == Level.VIEW:
        return _("View: %(what)s, but download nothing") % {"what": acts or _("open items on the page")}
    return _("Names only: %(what)s, but open nothing") % {"what": acts or _("see names")}


def amount(resources: Iterable[Resource]) -> str:
    """Return the number of resources of each kind: "1 mailbox and 2 document libraries"."""
    return _joined(
        [_COUNTED[kind](len(names)) % {"n": len(names)} for kind, names in _by_kind(_named(resources)).items()]
    )


def button(access_request: AccessRequest) -> str:
    """Return the label of the approve button: "Approve 2 hours of read access to 1 mailbox"."""
    values = {"time": duration_words(access_request.window_for), "what": amount(_resources(access_request))}
    if can_change(access_request.level):
        return _("Approve %(time)s in which the engineer can change things in %(what)s, as users of %(tenant)s") % {
            **values,
            "tenant": access_request.tenant.name,
        }
    if access_request.level == Level.READ:
        return _("Approve %(time)s of read access to %(what)s") % values
    if access_request.level == Level.VIEW:
        return _("Approve %(time)s of view-only access to %(what)s") % values
    return _("Approve %(time)s of names-only access to %(what)s") % values


def summary(seen: Mapping[str, Any], *, enforced_by: str, has_gate: bool = False) -> str:
    """Return "3 messages read and 25 items listed in 1 mailbox", or "nothing was opened or listed".

    Only this function writes this sentence. `seen` is one value of `queries.access.seen_resources`. Its `allowed` is
    how often another service got permission. Nobody knows what happened there, so the sentence gives this number and
    then does not claim "nothing opened".

    `enforced_by` is the application that enforced the window, or "". If there is one, the sentence says what this
    product recorded there before it allowed it, at its gate or as the decision point. That is a stronger fact than what
    the application `reported`, so both have their own number. `has_gate` is whether it is a web tool behind a gate.
    """
    n = seen.get("allowed", 0)
    if enforced_by:
        return _elsewhere(n - seen.get("reported", 0), seen.get("reported", 0), enforced_by, has_gate=has_gate)
    parts = [_activity(kind, looks, is_all=not n) for kind, looks in sorted(seen["kinds"].items())]
    if n:
        parts.append(allowed(n))
    return "; ".join(parts) or _("nothing was opened or listed")


def _elsewhere(decided: int, reported: int, application: str, *, has_gate: bool) -> str:
    """Return how many accesses this product recorded for an application, and how many the application reported."""
    parts = []
    if decided:
        words = ngettext(
            "Lockbox recorded %(n)d access in %(application)s before its answer",
            "Lockbox recorded %(n)d accesses in %(application)s, each before its answer",
            decided,
        )
        parts.append(words % {"application": application, "n": decided})
    if reported:
        words = ngettext("%(application)s reports %(n)d access", "%(application)s reports %(n)d accesses", reported)
        parts.append(words % {"application": application, "n": reported})
    if has_gate and not parts:
        return _("nothing passed the gate of %(application)s") % {"application": application}
    # Its reports can arrive hours later, so nobody knows yet that there were none.
    nothing = _("%(application)s enforced this window; it has reported no accesses so far")
    return "; ".join(parts) or nothing % {"application": application}


def reported(kind: str, n: int, *, changing: int = 0) -> str:
    """Return how often something happened in an application, as its guard reports it: "12 accesses".

    `changing` is how many of the accesses can change things, because the method of the request is not a safe one.
    """
    if kind == Kind.REFUSED:
        words = ngettext("%(n)d refused request", "%(n)d refused requests", n)
    elif kind == Kind.CUT:
        words = ngettext("%(n)d interrupted request", "%(n)d interrupted requests", n)
    elif not changing:
        words = ngettext("%(n)d access", "%(n)d accesses", n)
    elif changing == n:
        words = ngettext("%(n)d access that can change things", "%(n)d accesses that can change things", n)
    else:
        words = ngettext(
            "%(n)d access (%(changing)d can change things)", "%(n)d accesses (%(changing)d can change things)", n
        )
    return words % {"n": n, "changing": changing}


def enforcement(enforced_by: str, *, has_gate: bool) -> str:
    """Return who enforces the window: the provider's own application. Return "" for a window of this product."""
    if not enforced_by:
        return ""
    if has_gate:
        return _(
            "%(application)s (%(provider)s’s own web tool) is behind a gate: its proxies ask Lockbox about each "
            "request, and Lockbox records it before the answer. The log shows only what the proxies ask about."
        ) % {"application": enforced_by, "provider": settings.PROVIDER_NAME}
    return _(
        "%(application)s (%(provider)s’s own application) enforces this window. The log shows only what Lockbox "
        "allowed there, and what %(application)s reports."
    ) % {"application": enforced_by, "provider": settings.PROVIDER_NAME}


def _activity(kind: str, looks: Mapping[str, int], *, is_all: bool) -> str:
    """Return what was accessed in the resources of one kind. `is_all` means that no other service got permission."""
    words = {"opened": _OPENED[kind], "downloaded": _DOWNLOADED[kind], "attachments": _attachments}
    parts = [words[name](n) % {"n": n} for name in words if (n := looks.get(name, 0))]
    is_opened = bool(parts)
    if looks["listed"] or not is_opened:
        parts.append(listed(looks["listed"]))
    if not is_opened and is_all:
        parts.append(_("nothing opened"))
    where = _COUNTED[kind](looks["resources"]) % {"n": looks["resources"]}
    # Translators: "3 messages read, 1 attachment downloaded and 25 items listed", and where that was.
    return _("%(looks)s in %(where)s") % {"looks": _joined(parts), "where": where}


def _attachments(n: int) -> str:
    return ngettext("%(n)d attachment downloaded", "%(n)d attachments downloaded", n)


def allowed(n: int) -> str:
    """Return "3 allowed accesses through another service"."""
    words = ngettext(
        "%(n)d allowed access through another service", "%(n)d allowed accesses through another service", n
    )
    return words % {"n": n}


def listed(n: int) -> str:
    """Return "12 items listed"."""
    return ngettext("%(n)d item listed", "%(n)d items listed", n) % {"n": n}


def _resources(access_request: AccessRequest) -> list[Resource]:
    return [line.resource for line in access_request.scope.all()]


def _named(resources: Iterable[Resource]) -> tuple[tuple[str, str], ...]:
    return tuple((str(resource.kind), resource.name) for resource in resources)


def _by_kind(resources: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return the names of resources by kind. The kinds have the order in which they were asked for."""
    found: dict[str, list[str]] = {}
    for kind, name in resources:
        found.setdefault(kind, []).append(name)
    return found


def _listed(names: list[str]) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - NAMED
    if more <= 0:
        return ", ".join(names)
    return ngettext("%(names)s and %(n)d more", "%(names)s and %(n)d more", more) % {
        "names": ", ".join(names[:NAMED]),
        "n": more,
    }


def _joined(parts: list[str]) -> str:
    # Translators: joins the last two of several things: "1 mailbox and 2 document libraries".
    return str(get_text_list(parts, _("and")))


def _name(person: Person) -> str:
    if is_mixed_script(person.name):
        return _("%(name)s (this name mixes letters of different alphabets)") % {"name": person.name}
    return person.name


def _first_line(text: str) -> str:
    line = next((part.strip() for part in text.splitlines() if part.strip()), "")
    return line if len(line) <= REASON_CHARS else f"{line[: REASON_CHARS - 1].rstrip()}…"


_NOT_COSIGNED: dict[Doubt, Promise] = {
    Doubt.ALARM: gettext_lazy(
        "A witness of %(tenant)s has seen a different log. By a rule of %(tenant)s, no window can open until this is "
        "solved. Ask an administrator of %(tenant)s: the page “Witnesses” shows the difference. You can deny at any "
        "time."
    ),
    Doubt.STALE: gettext_lazy(
        "No witness has cosigned the log of %(tenant)s within the last %(time)s. By a rule of %(tenant)s, no window "
        "can open without this cosignature. Start the witness again, or ask an administrator of %(tenant)s: the page "
        "“Witnesses” shows the problem. You can deny at any time."
    ),
    Doubt.UNCOVERED: gettext_lazy(
        "Some entries of the log of %(tenant)s are older than %(time)s and have no cosignature of a witness. By a "
        "rule of %(tenant)s, no window can open without these cosignatures. Ask an administrator of %(tenant)s: the "
        "page “Witnesses” shows how many entries each witness has cosigned. You can deny at any time."
    ),
}


def not_cosigned(tenant: Tenant, hours: int, doubt: Doubt) -> str:
    """Return why no window can open for this tenant now, and what to do."""
    return str(_NOT_COSIGNED[doubt]) % {"tenant": tenant.name, "time": duration_words(hours * 3600)}


def not_confirmed(tenant: Tenant, *, at_tenant: bool) -> str:
    """Return why no window can open after a restore from a backup, and who has to do what."""
    values = {"tenant": tenant.name, "provider": settings.PROVIDER_NAME}
    if at_tenant:
        words = _(
            "No window can open at %(tenant)s: this installation was restored from a backup, and the people of "
            "%(tenant)s have not confirmed yet what was restored."
        )
    else:
        words = _(
            "No window can open: this installation was restored from a backup, and the staff of %(provider)s have not "
            "confirmed its people yet."
        )
    return words % values


def set_back() -> str:
    """Return why no window can open, and nothing can be confirmed, after the database was set back by hand."""
    words = _(
        "The database was set back to an older state, so no window can open. An operator of %(provider)s must first "
        "say when this copy of the database was made."
    )
    return words % {"provider": settings.PROVIDER_NAME}


def muted_name(mute: Mute) -> str:
    """Return whose access requests the mute stops: an engineer's name, or "everybody"."""
    return mute.engineer.name if mute.engineer else everybody()


def muted_source(mute: Mute) -> str:
    """Return from whom no access requests are accepted during the mute: an engineer's name, or "anybody"."""
    return mute.engineer.name if mute.engineer else anybody()


def everybody() -> str:
    return _("everybody at %(provider)s") % {"provider": settings.PROVIDER_NAME}


def anybody() -> str:
    """Return the same people as `everybody`, in words for a sentence with "no" or "not"."""
    return _("anybody at %(provider)s") % {"provider": settings.PROVIDER_NAME}


def muted(mute: Mute, now: datetime) -> str:
    """Return the sentence that says from whom a tenant accepts no access requests, and until when."""
    values = {"tenant": mute.tenant.name, "name": muted_source(mute), "until": when_words(mute.until_at, now)}
    return _("%(tenant)s accepts no access requests from %(name)s until %(until)s.") % values


def signed_with(*, is_signed: bool, name: str = "", is_device_bound: bool | None = None) -> str:
    """Return whether a decision is signed, and with which passkey, as words for the end of a sentence."""
    if not is_signed:
        return _("not signed with a passkey")
    if name and is_device_bound:
        return _("signed with the passkey “%(name)s”, which can’t leave its device") % {"name": name}
    if name:
        return _("signed with the passkey “%(name)s”, which can be copied") % {"name": name}
    if is_device_bound is None:
        return _("signed with a passkey")
    if is_device_bound:
        return _("signed with a passkey that can’t leave its device")
    return _("signed with a passkey that can be copied")
