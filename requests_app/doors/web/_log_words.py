"""The log in plain words: one sentence for each entry.

A sentence is made from the hashed bytes, not from the columns.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from string import Formatter
from typing import Any

from django.conf import settings
from django.template.loader import get_template
from django.utils.formats import number_format
from django.utils.functional import Promise
from django.utils.html import conditional_escape, escape, format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.text import capfirst
from django.utils.translation import get_language, gettext_lazy, ngettext
from django.utils.translation import gettext as _

from audit_app import canonical, decision_signatures
from audit_app.models import AuditEntry
from requests_app.domain.actors import Role, Side
from requests_app.domain.events import door_title, title_of
from requests_app.domain.levels import CHANGING, NEEDED, Level
from requests_app.doors.web._history import why_refused
from requests_app.doors.web._log_lists import Listed, lists_of
from requests_app.doors.web._log_patterns import CAUSES, pattern_for, tried
from requests_app.doors.web.context import ROLE_WORDS
from requests_app.models import Resource, Tenant
from requests_app.queries.log import About
from requests_app.words import checks, proposals, sentences, times
from requests_app.words import text as _text

#: The flaws of an entry or a head, in words. The key is the beginning of the message of audit_app.entries or
#: audit_app.verify.
_FLAWS: tuple[tuple[str, Promise], ...] = (
    (
        "missing: the hashes of what was pruned",
        gettext_lazy("The hashes of the entries that were removed are missing."),
    ),
    ("missing: no entry says", gettext_lazy("Entries were removed, but no entry says so.")),
    ("missing", gettext_lazy("An entry is missing here.")),
    ("nothing was closed", gettext_lazy("A new part of the log begins here, but the earlier part was not closed.")),
    (
        "this part of the log does not begin",
        gettext_lazy("A new part of the log begins here, but no tombstone gives the reason."),
    ),
    ("the hash", gettext_lazy("The entry’s hash does not match the entry’s bytes.")),
    ("the tree has another hash", gettext_lazy("The signed log has a different hash for this entry.")),
    ("the bytes are no JSON", gettext_lazy("The entry’s bytes are not JSON.")),
    ("the bytes are not canonical", gettext_lazy("The entry’s bytes are not canonical JSON.")),
    ("the column", gettext_lazy("The entry’s database columns do not match the entry’s bytes.")),
    ("it is older", gettext_lazy("The entry has an earlier time than the entry before it.")),
    ("there are entries beyond", gettext_lazy("The log has more entries than its recorded size.")),
    (
        "the signed root is another one",
        gettext_lazy(
            "The checkpoint that was signed here does not match the entries: this entry or an earlier "
            "entry was changed."
        ),
    ),
    (
        "the checkpoint says another head",
        gettext_lazy("The checkpoint’s text does not match the checkpoint’s database columns."),
    ),
    ("the checkpoint can't be read", gettext_lazy("The checkpoint for this entry can’t be read.")),
    ("the checkpoint has no good signature", gettext_lazy("The checkpoint for this entry has no valid signature.")),
)


#: The formats in which a log can be exported.
FORMATS: dict[str, Promise] = {
    "csv": gettext_lazy("CSV"),
    "jsonl": gettext_lazy("JSON Lines"),
    "ocsf": gettext_lazy("OCSF"),
    "o365": gettext_lazy("Office 365 records"),
    "cef": gettext_lazy("CEF"),
}


@dataclass(frozen=True)
class EntryPosition:
    """The position of an entry in its tree. `signed_size` is 0 if no checkpoint covers the entry yet."""

    index: int
    origin: str
    signed_size: int
    is_closed: bool


@dataclass(frozen=True)
class ShownEntry:
    """One entry as the page shows it."""

    row: AuditEntry
    sentence: SafeString
    comment: str
    door: str
    email: str
    record: str
    leaf: str
    is_intact: bool
    request_reference: str
    ticket_reference: str
    standing: EntryPosition
    lists: list[Listed]


def shown_entries(
    entries: Iterable[AuditEntry], *, tenant: Tenant, about: About, places: Mapping[int, EntryPosition], at: dt.datetime
) -> list[ShownEntry]:
    return [_shown(entry, tenant, about, places[entry.seq], at) for entry in entries]


def flaw_words(why: str) -> str:
    """Return a translated sentence about an entry's flaw. Return an unknown message unchanged."""
    return next((str(words) for beginning, words in _FLAWS if why.startswith(beginning)), why)


def grouped(number: int) -> str:
    """Return a number with thousands separators."""
    return number_format(number, force_grouping=True)


def _shown(entry: AuditEntry, tenant: Tenant, about: About, standing: EntryPosition, at: dt.datetime) -> ShownEntry:
    raw = bytes(entry.canonical)
    record = record_of(raw)
    actor, detail = _dict(record, "actor"), _dict(record, "detail")
    words = _words_of(entry, record, tenant, about, at, get_language())
    return ShownEntry(
        row=entry,
        sentence=words.sentence(),
        comment=_str(detail, "comment"),
        door=door_title(entry.door),
        email=_str(actor, "email"),
        record=json.dumps(record, indent=2, ensure_ascii=False) if record else raw.decode(errors="backslashreplace"),
        leaf=bytes(entry.leaf_hash).hex(),
        is_intact=canonical.leaf_hash(raw) == bytes(entry.leaf_hash),
        request_reference=words.request_reference,
        ticket_reference=words.ticket_reference,
        standing=standing,
        lists=lists_of(entry.event, detail),
    )


def sentence_of(
    entry: AuditEntry, *, tenant: Tenant, about: About, at: dt.datetime, language: str | None = None
) -> tuple[SafeString, str]:
    """Return an entry's sentence and its comment, for pages other than the log's page.

    A caller with many entries names the present language, which Django needs long to find.
    """
    record = record_of(bytes(entry.canonical))
    words = _words_of(entry, record, tenant, about, at, language or get_language())
    return words.sentence(), _str(words.detail, "comment")


def _words_of(
    entry: AuditEntry, record: dict[str, Any], tenant: Tenant, about: About, at: dt.datetime, language: str | None
) -> Words:
    request, ticket = references_of(entry, about)
    actor, detail = _dict(record, "actor"), _dict(record, "detail")
    return Words(entry, actor, detail, tenant=tenant, request=request, ticket=ticket, at=at, language=language)


def references_of(entry: AuditEntry, about: About) -> tuple[str, str]:
    """Return the references of the access request and of the ticket that an entry is about, each of them or ""."""
    ticket = about.tickets.get(entry.subject_id, "") if entry.subject_type == "ticket" else ""
    request = about.access_requests.get(entry.correlation_id, "") if entry.correlation_id else ""
    return request, ticket


class Words:
    """The words for one entry.

    A placeholder in a sentence names a property of this class, or else a text in the detail.
    """

    def __init__(
        self,
        entry: AuditEntry,
        actor: dict[str, Any],
        detail: dict[str, Any],
        *,
        tenant: Tenant,
        request: str,
        ticket: str,
        at: dt.datetime,
        language: str | None,
    ) -> None:
        self.entry, self.actor, self.detail, self._tenant, self.at = entry, actor, detail, tenant, at
        self.request_reference, self.ticket_reference = request, ticket
        self._language = language

    def sentence(self) -> SafeString:
        """Return the sentence for the entry as HTML, with names in place of the placeholders.

        An unknown event is shown by its name.
        """
        pattern, names = _pattern(pattern_for(self.entry.event, self.detail, self.actor), self._language)
        # As format_html does, but without looking for texts that are translated later: no value is one.
        text = SafeString(pattern.format_map({name: self._value(name) for name in names})) if names else escape(pattern)
        if sha := self.detail.get("import_sha"):
            text = format_html(_("{sentence}, with an import (SHA-256 of the file: {sha})"), sentence=text, sha=sha)
        if self.detail.get("practice") is True:
            text = format_html(_("Practice: {sentence}"), sentence=text)
        return format_html("{}. {}", text, self.signed) if self.signed else text

    def _value(self, name: str) -> SafeString:
        value = getattr(self, name) if name in _PROPERTIES else self._plain(name)
        return value if type(value) is SafeString else conditional_escape(value)

    def _plain(self, name: str) -> SafeString:
        """Return a text of the detail as HTML. The sentence shows it as it is, and nothing else depends on it."""
        return _text.visible_single(_str(self.detail, name))

    def _has(self, name: str) -> bool:
        """Return whether the detail has a text of this name that is not empty."""
        return bool(_str(self.detail, name))

    # --- Who, and about what ------------------------------------------------------------------------------

    @property
    def who(self) -> SafeString:
        if self.actor.get("kind") not in ("person", "client"):
            return mark_safe(_("The system"))  # noqa: S308  a translation
        name = _str(self.actor, "name") or self.entry.actor_name
        side = self.actor.get("side")
        organisation = self._tenant.name if side == Side.CUSTOMER else settings.PROVIDER_NAME
        shown = _person(name, organisation, self._language)
        if away := _str(self.detail, "deputy_for"):
            words = _("{name}, deputy for {away},")
            shown = format_html(words, name=shown, away=_text.visible_single(away))
        if self.actor["kind"] != "client":
            return shown
        whose = _str(_dict(self.actor, "for"), "name")
        if not whose:
            return format_html(_("the API client {client}"), client=shown)
        return format_html(
            _("the API client {client}, for {whose},"), client=shown, whose=_person(whose, organisation, self._language)
        )

    @property
    def title(self) -> str:
        return title_of(self.entry.event)

    @property
    def provider(self) -> SafeString:
        return _text.visible_single(settings.PROVIDER_NAME)

    @property
    def tenant(self) -> SafeString:
        return _text.visible_single(self._tenant.name)

    @property
    def request(self) -> SafeString:
        return _reference(self.request_reference or _str(self.detail, "reference")) or escape(_("an access request"))

    @property
    def ticket(self) -> SafeString:
        return _reference(self.ticket_reference or _str(self.detail, "reference"))

    @property
    def ticket_title(self) -> SafeString:
        return self._plain("title")

    # --- From the detail ----------------------------------------------------------------------------------

    @property
    def ask(self) -> SafeString:
        found = self.detail.get("resources")
        resources = [
            Resource(kind=one["kind"], name=str(one.get("name", "")))
            for one in (found if isinstance(found, list) else [])
            if isinstance(one, dict) and one.get("kind") in Resource.Kind.values
        ]
        return _text.visible_single(sentences.reading(_str(self.detail, "level"), resources))

    @property
    def application(self) -> SafeString:
        return self._plain("enforced_by")

    @property
    def length(self) -> str:
        return _duration(self.detail.get("window_for", self.detail.get("window_cap")))

    @property
    def level(self) -> str | SafeString:
        level = _str(self.detail, "level")
        return str(Level(level).label) if level in Level.values else _text.visible_single(level)

    @property
    def before(self) -> str:
        return _duration(self.detail.get("window_cap_before"))

    @property
    def until(self) -> str:
        return self._instant("closes_at")

    @property
    def proposed(self) -> SafeString:
        return _text.visible_single(proposals.words(_str(self.detail, "act"), _dict(self.detail, "said")))

    @property
    def proposed_by(self) -> SafeString:
        name = self._plain("proposed_by")
        if not self._has("holder"):
            return name
        return format_html(_("the API client {client} of {name}"), client=name, name=self._plain("holder"))

    @property
    def confirmed(self) -> SafeString:
        """For a change by staff: who confirmed it, or that nobody else could confirm it."""
        if not self._has("confirmed_by"):
            return escape(_("nobody else could confirm it"))
        return format_html(_("confirmed by {name}"), name=self._plain("confirmed_by"))

    @property
    def described(self) -> SafeString:
        """What the provider had set up when Lockbox was first switched on: how many of each kind."""

        def counted(one: str, several: str, name: str) -> str:
            found = _dict(self.detail, name).get("count")
            n = found if isinstance(found, int) else 0
            return ngettext(one, several, n) % {"n": n}

        listed = [
            counted("%(n)d member of the staff", "%(n)d members of the staff", "staff"),
            counted("%(n)d role of an engineer or approver", "%(n)d roles of engineers and approvers", "people"),
            counted("%(n)d role of an invited person", "%(n)d roles of invited people", "invited"),
            counted("%(n)d API client", "%(n)d API clients", "clients"),
            counted("%(n)d service", "%(n)d services", "services"),
            counted("%(n)d resource of yours", "%(n)d resources of yours", "resources"),
        ]
        words = _("{listed}, and the plan {plan}")
        return format_html(words, listed=", ".join(listed), plan=self._plain("plan"))

    @property
    def lapsed(self) -> str:
        return proposals.lapse_words(_str(self.detail, "reason"))

    @property
    def effective_at(self) -> str:
        return self._instant("effective_at")

    @property
    def from_at(self) -> str:
        return self._instant("from_at")

    @property
    def taken_at(self) -> str:
        return self._instant("taken_at")

    @property
    def until_at(self) -> str:
        return self._instant("until_at")

    @property
    def muted(self) -> SafeString:
        if self.detail.get("engineer"):
            return self._plain("engineer_name")
        return _text.visible_single(sentences.everybody())

    @property
    def denied_amount(self) -> str:
        n = self.detail.get("n")
        n = n if isinstance(n, int) else 0
        return ngettext("%(n)s access request", "%(n)s access requests", n) % {"n": grouped(n)}

    def _instant(self, name: str) -> str:
        try:
            return times.when_words(dt.datetime.fromisoformat(_str(self.detail, name)), self.at)
        except ValueError:
            return ""

    @property
    def reported(self) -> str:
        n, found = self.detail.get("count"), self.detail.get("accesses")
        rows = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
        changing = sum(NEEDED.get(_str(row, "action")) in CHANGING for row in rows)
        return sentences.reported(_str(self.detail, "kind"), n if isinstance(n, int) else 0, changing=changing)

    @property
    def names(self) -> str:
        found = self.detail.get("items")
        n = len(found) if isinstance(found, list) else 0
        return ngettext("%(n)d name", "%(n)d names", n) % {"n": n}

    @property
    def places(self) -> SafeString:
        """The locators that staff were shown as possible resources."""
        found = self.detail.get("places")
        named = ", ".join(str(place) for place in found) if isinstance(found, list) else ""
        return _text.visible_single(named or _("none"))

    @property
    def item(self) -> SafeString:
        return self._plain("reference" if self._has("reference") else "item")

    @property
    def role(self) -> str:
        role = _str(self.detail, "role")
        return str(ROLE_WORDS[Role(role)]) if role in ROLE_WORDS else role

    @property
    def resource_set(self) -> SafeString:
        return _text.visible_single(_str(_dict(self.detail, "set"), "name"))

    @property
    def problem(self) -> str | SafeString:
        return _text.visible_single(checks.problem(_str(self.detail, "problem")))

    @property
    def what_was_done(self) -> SafeString:
        """What the test of a resource did."""
        found = self.detail.get("steps")
        codes = [code for code in (found if isinstance(found, list) else []) if isinstance(code, str)]
        return _text.visible_single(checks.what_was_done(codes, _str(self.detail, "locator")))

    @property
    def changes(self) -> SafeString:
        """The changed fields, with their new and old values."""
        now, was = _dict(self.detail, "set"), _dict(self.detail, "was")
        parts = [
            _("%(field)s is “%(now)s” (before: “%(was)s”)") % {"field": key, "now": value, "was": was.get(key, "")}
            for key, value in now.items()
        ]
        return _text.visible_single("; ".join(parts))

    @property
    def cause(self) -> SafeString:
        words = CAUSES.get(_str(self.detail, "cause"))
        return format_html(str(words), by=self._plain("by")) if words else self._plain("cause")

    @property
    def to_act(self) -> str:
        return tried(_str(self.detail, "action"))

    @property
    def signed(self) -> str | SafeString:
        """For a decision: whether it is signed, and with which key. Only the verifier checks the signature."""
        found = decision_signatures.of(self.detail)
        if found is None:
            return ""
        words = sentences.signed_with(is_signed=found.is_signed, name=found.name, is_device_bound=found.is_device_bound)
        return _text.visible_single(capfirst(words))

    @property
    def why(self) -> SafeString:
        return _text.visible_single(why_refused(self.detail, at=self.at))

    @property
    def format(self) -> str:
        return str(FORMATS.get(_str(self.detail, "format"), ""))

    # --- The log itself -----------------------------------------------------------------------------------

    @property
    def new_key(self) -> SafeString:
        return _key_id(self.detail.get("new"))

    @property
    def old_keys(self) -> SafeString:
        found = self.detail.get("old")
        return format_html_join(", ", "{}", [(_key_id(vkey),) for vkey in (found if isinstance(found, list) else [])])

    @property
    def signed_size(self) -> str:
        return _entries(self.detail.get("signed_size"))

    @property
    def found_size(self) -> str:
        return _entries(self.detail.get("found_size"))

    @property
    def to(self) -> str | SafeString:
        """The value of {to}: an entry's number, or the recipient of a mail."""
        number = self.detail.get("to")
        return grouped(number) if isinstance(number, int) else self._plain("to")

    @property
    def days(self) -> str:
        return _days(self.detail.get("days"))

    @property
    def retention(self) -> str:
        return _days(self.detail.get("log_retention_days"))

    @property
    def cosigned_within(self) -> str:
        hours = self.detail.get("cosigned_within")
        return _duration(hours * 3600) if isinstance(hours, int) else ""


_PROPERTIES = frozenset(name for name, each in vars(Words).items() if isinstance(each, property))


#: By identity and language. The hash of a lazy text would translate it each time. The text itself is kept, too, so that
#: no other one gets its identity.
_PATTERNS: dict[tuple[int, str | None], tuple[Promise, str, tuple[str, ...]]] = {}


def _pattern(words: Promise, language: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the words of a declared event in `language`, the present one, and the names of its placeholders."""
    place = id(words), language
    if place not in _PATTERNS:
        pattern = str(words)
        names = tuple({name: None for _before, name, _spec, _conversion in Formatter().parse(pattern) if name})
        _PATTERNS[place] = words, pattern, names
    return _PATTERNS[place][1:]


@lru_cache(maxsize=1000)
def _person(name: str, organisation: str, _language: str | None) -> SafeString:
    """Return the actor's name as HTML, in the language `_language`.

    The result is cached, because a log has few people and many entries.
    """
    values = {
        "name": name,
        "organisation": organisation,
        "is_mixed": _text.is_mixed_script(name),
        "has_hidden": _text.has_hidden_characters(name),
    }
    return mark_safe(get_template("components/_person.html").render(values).strip())  # noqa: S308  a rendered template


def _reference(text: str) -> SafeString:
    """Return a reference as HTML that does not break at hyphens.

    A broken reference would be hard to find and to type.
    """
    return SafeString(f'<span class="log-reference">{_text.visible_single(text)}</span>' if text else "")


def _key_id(vkey: object) -> SafeString:
    """Return the eight hexadecimal digits that identify a key. The record contains the whole key."""
    parts = vkey.split("+", 2) if isinstance(vkey, str) else []
    return format_html('<span class="mono">{}</span>', parts[1]) if len(parts) == 3 else SafeString("")


def _entries(n: object) -> str:
    if not isinstance(n, int):
        return ""
    return ngettext("%(n)s entry", "%(n)s entries", n) % {"n": grouped(n)}


def _days(n: object) -> str:
    if not isinstance(n, int):
        return ""
    return ngettext("%(n)s day", "%(n)s days", n) % {"n": grouped(n)}


#: json.loads() does the same, after it has looked at the type of its argument.
_decoded = json.JSONDecoder().decode


def record_of(raw: bytes) -> dict[str, Any]:
    """Return the record, or {} if the bytes can't be read. So a manipulated log can still be shown."""
    try:
        record = _decoded(raw.decode(errors="surrogatepass"))
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}


def _dict(record: dict[str, Any], name: str) -> dict[str, Any]:
    found = record.get(name)
    return found if isinstance(found, dict) else {}


def _str(record: dict[str, Any], name: str) -> str:
    found = record.get(name)
    return found if isinstance(found, str) else ""


def _duration(seconds: object) -> str:
    return times.duration_words(seconds) if isinstance(seconds, int) else ""
