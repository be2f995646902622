"""The rows of an import: their kinds, their columns, and the faults that they can have. Pure.

Every source (a CSV file, a call of the API, a declarative file) makes the same rows. A source adds a kind of row with a
declaration here, and with the functions that judge and write it (`operations._import_kinds`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from requests_app.domain import gate_rules, levels, limits, texts
from requests_app.domain.errors import Unacceptable

#: The largest file, and the most lines. A provider with more can split the file: an import changes only what it names.
BYTES_MAX, LINES_MAX = 16 * 1024 * 1024, 50_000
#: A report names this many faults. Nobody corrects more of them one by one.
FAULTS_MAX = 5_000
#: How many possible values a fault names.
_NAMED = 5

_SHORT_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_FLAGS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}


class Status(StrEnum):
    """What became of a row."""

    CREATED = "created"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    WAITING = "waiting_for_confirmation"
    REFUSED = "refused"


STATUS_WORDS: dict[str, Promise] = {
    Status.CREATED: _("created"),
    Status.CHANGED: _("changed"),
    Status.UNCHANGED: _("unchanged"),
    Status.WAITING: _("waiting for confirmation"),
    Status.REFUSED: _("refused"),
}

#: The same for a check, in which nothing has happened yet.
PLANNED_WORDS: dict[str, Promise] = {
    Status.CREATED: _("will be created"),
    Status.CHANGED: _("will be changed"),
    Status.UNCHANGED: _("stays as it is"),
    Status.WAITING: _("will wait for a second person"),
    Status.REFUSED: _("has a fault"),
}
#: How the report about a check names these, for programs.
PLANNED_STATUS: dict[str, str] = {
    Status.CREATED: "would_be_created",
    Status.CHANGED: "would_be_changed",
    Status.WAITING: "would_wait_for_confirmation",
}

#: The kinds of changes that an import holds until a second person confirms them, by their act. Lists show the kinds in
#: this order: the change that weakens a customer most comes first.
HELD_WORDS: dict[str, Promise] = {
    "change_plan": _("a plan loses Lockbox"),
    "move_tenant": _("a plan without Lockbox"),
    "change_service": _("a service is changed"),
    "add_service": _("a new service that is not covered"),
    "switch_off_tenant": _("a tenant is switched off"),
    "make_staff": _("a new member of the staff"),
    "invite_staff": _("somebody invited becomes staff"),
    "give_queue_role": _("a role in a queue"),
    "invite_to_queues": _("a role of somebody invited"),
    "switch_on_provider": _("an account is switched on"),
    "change_resource": _("another locator or external id, or a resource is switched on"),
    "rename_resource": _("another name"),
    "add_resource": _("a new resource"),
    "switch_on_tenant": _("a tenant is switched on"),
}

#: What is wrong, by the code of the fault. A code never changes.
REASONS: dict[str, Promise] = {
    # The file
    "too_large": _("The file has %(size)s MB. At most %(most)s MB are allowed. Split the file."),
    "too_many_lines": _("The file has more than %(most)s lines. Split the file."),
    "empty": _("The file has no lines."),
    "more_faults": _("From this line on, the file has %(number)s more faults. Correct the others first."),
    "not_text": _("This is not a CSV file but %(what)s. Save it as CSV in UTF-8, and try again."),
    "not_utf8": _("The file is not in UTF-8. Save it as CSV in UTF-8, and try again."),
    "nul": _("The line contains a NUL byte. Save the file again as CSV in UTF-8."),
    "bad_quotes": _("The line is not valid CSV. Check the quotation marks."),
    "unknown_column": _("There is no such column. The columns are: %(known)s."),
    "column_twice": _("The header has this column twice."),
    "column_missing": _("The header does not have this column."),
    "cells": _("The line has %(cells)s cells, but the header has %(columns)s."),
    # One value
    "needed": _("This must not be empty."),
    "needed_for_new": _("This must not be empty, because %(what)s is new."),
    "needed_outside": _("This must not be empty, because %(what)s is an external service."),
    "too_long": _("At most %(most)s characters are allowed. Your text has %(length)s."),
    **texts.WORDS,
    "not_a_choice": _("Use one of these values: %(choices)s."),
    "not_text_value": _("This must be a text."),
    # One row and what exists
    "unknown_tenant": _("There is no tenant “%(value)s”. Correct the name, or add the new tenant’s name and plan."),
    "ambiguous_tenant": _("This is the short name of one tenant and the external id of another. Use another name."),
    "unknown_plan": _("There is no plan “%(value)s”. Existing plans: %(known)s."),
    "unknown_service": _("There is no service with the key “%(value)s”. Existing keys: %(known)s."),
    "unknown_time_zone": _("There is no time zone “%(value)s”. Use a name such as Europe/Berlin."),
    "bad_short_name": _("A short name has only small letters, digits, hyphens and underscores, at most 60 of them."),
    "name_taken": _("Another tenant has this name."),
    "short_name_taken": _("Another tenant has this short name or external id, perhaps in capital letters."),
    "external_id_taken": _("Another tenant has this external id or short name."),
    "of_another_tenant": _("A resource of the tenant %(other)s has the external id “%(value)s”."),
    "alike_service": _("Another service has this, perhaps in capital letters or with other accents: %(other)s."),
    "alike": _("Another resource has this external id, with other capital letters or accents."),
    "mistakable": _(
        "Another resource of this tenant and service has this text as its name, locator or external id, and the "
        "decision point could not tell them apart."
    ),
    "not_composed": _("Write the text in the Unicode form NFC, in which a letter with its accent is one character."),
    "another_external_id": _("This already has another external id: %(external_id)s."),
    "outside_root": _("The locator must begin with this tenant’s own root: %(root)s/…"),
    "no_locator": _("%(application)s holds the content, so this resource has no locator. Use the external id."),
    "not_an_id": _("This is not allowed as an external id."),
    "not_a_plain_path": _("Write the locator as a plain path, without “.”, “..”, backslashes and double slashes."),
    "overlaps": _("Another resource of this tenant has this locator, or a locator above or below it: %(other)s."),
    "cannot_change": _("This cannot be changed: it is “%(now)s”."),
    "not_an_address": _("This is not an email address."),
    "not_of_provider": _("This address belongs to an account that is not one of the provider’s people."),
    "stays_staff": _("Nobody stops being staff while the account is switched on. Switch the account off."),
    "last_staff": _("%(name)s is the last active member of the staff, and can’t be switched off."),
    "is_off": _("This account is switched off. Switch it on to give it a role."),
    "power_waits": _(
        "A change that gives %(name)s power waits, and people know %(name)s by this name. Change the name after it has "
        "taken effect or was withdrawn."
    ),
    "access_waits": _(
        "An access request of %(name)s has not ended, and customers know %(name)s by this name. Change the name "
        "after it has ended."
    ),
    "needs_role": _("Nobody is invited without a role. Add a role, or “staff: true”."),
    "lasting_plan": _("An announced change takes Lockbox out of this plan. Choose another plan, or wait."),
    # Two rows
    "refused_value": _("%(why)s"),
    # A YAML file
    "bad_yaml": _("The file is not valid YAML: %(why)s."),
    "no_anchors": _("Anchors and aliases (&, *) are not allowed."),
    "no_tags": _("Tags and directives (!, %%) are not allowed."),
    "two_documents": _("The file has more than one document (---)."),
    "too_deep": _("There are too many levels of lists and keys."),
    "not_a_key": _("A key must be a text."),
    "not_a_mapping": _("Here must be keys with values, such as “name: …”."),
    "not_a_list": _("Here must be a list: each line begins with “-”."),
    "key_twice": _("This key is there twice."),
    "unknown_key": _("There is no such key. The keys are: %(known)s."),
    "bad_version": _("The file must begin with “version: %(version)s”."),
    "contradicts": _("This differs from line %(line)s, which is about the same thing."),
    # Later, when the row is written
    "not_alone": _("Another row of this tenant no longer fits, so none of them was written."),
    "stopped": _("%(name)s, who started the import, is no longer a member of the staff."),
}


@dataclass(frozen=True)
class Fault:
    """A fault in one place of a source. Without a column, the fault is in the whole line."""

    line: int
    column: str
    code: str
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        # The code stays the same for programs. People read why.
        code = f"{self.code}_{self.facts['because']}" if "because" in self.facts else self.code
        return str(REASONS[code]) % self.facts


@dataclass(frozen=True)
class Row:
    """One row: its line, its kind, and the values that the source names. Other values stay as they are."""

    line: int
    kind: str
    values: dict[str, Any]
    #: What is wrong with single values. These values are left out.
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Column:
    """One value of a kind of row."""

    name: str = field(kw_only=False)
    at_most: int = 0
    choices: tuple[str, ...] = ()
    is_flag: bool = False
    is_needed: bool = False
    #: Whether it is an id or a path.
    is_id: bool = False
    #: Whether the text can have several lines.
    is_text: bool = False


@dataclass(frozen=True, kw_only=True)
class RowKind:
    """One kind of row. `names` are the columns that say which row of the database it is about.

    A source that has several kinds in one line makes a row of a kind only if one of the other columns has a value.
    """

    name: str = field(kw_only=False)
    columns: tuple[Column, ...]
    names: tuple[str, ...]
    label: Promise

    @property
    def values(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns if column.name not in self.names)


PLAN = RowKind(
    "plan",
    columns=(Column("name", at_most=60, is_needed=True), Column("includes_lockbox", is_flag=True)),
    names=("name",),
    label=_("plan"),
)
SERVICE = RowKind(
    "service",
    columns=(
        Column("key", at_most=60, is_needed=True),
        Column("name", at_most=80),
        Column("connector", at_most=40),
        Column("covered", is_flag=True),
        Column("active", is_flag=True),
        Column("application", at_most=limits.APPLICATION_MAX),
        Column("link_template", at_most=limits.LINK_TEMPLATE_MAX),
        Column("guidance", at_most=limits.GUIDANCE_MAX, is_text=True),
        Column("levels", at_most=levels.TEXT_MAX, is_text=True),
        Column("gate_rules", at_most=gate_rules.TEXT_MAX, is_text=True),
        Column("gate_identity", is_flag=True),
        Column("gate_upstream", at_most=limits.UPSTREAM_MAX),
    ),
    names=("key",),
    label=_("service"),
)
TENANT = RowKind(
    "tenant",
    columns=(
        Column("tenant", at_most=200, is_needed=True),
        Column("tenant_name", at_most=120),
        Column("tenant_external_id", at_most=200, is_id=True),
        Column("plan", at_most=60),
        Column("time_zone", at_most=64),
        Column("tenant_active", is_flag=True),
    ),
    names=("tenant",),
    label=_("tenant"),
)
RESOURCE = RowKind(
    "resource",
    columns=(
        Column("tenant", at_most=200, is_needed=True),
        Column("service", at_most=60, is_needed=True),
        Column("external_id", at_most=200, is_id=True),
        Column("kind", at_most=16),
        Column("name", at_most=200),
        Column("locator", at_most=400, is_id=True),
        Column("active", is_flag=True),
    ),
    names=("tenant",),
    label=_("resource"),
)
PERSON = RowKind(
    "person",
    columns=(
        Column("email", at_most=limits.EMAIL_MAX, is_needed=True),
        Column("person_name", at_most=120),
        Column("person_time_zone", at_most=64),
        Column("staff", is_flag=True),
        Column("person_active", is_flag=True),
    ),
    names=("email",),
    label=_("person"),
)
ROLE = RowKind(
    "role",
    columns=(
        Column("email", at_most=limits.EMAIL_MAX, is_needed=True),
        Column("queue", at_most=60, is_needed=True),
        Column("role", choices=("engineer", "provider_approver"), is_needed=True),
        # A file can't say this. It is said for what a file does not name.
        Column("taken", is_flag=True),
    ),
    names=("email",),
    label=_("role"),
)
#: The kinds of rows, in the order in which they are judged and written.
KINDS: dict[str, RowKind] = {kind.name: kind for kind in (PLAN, SERVICE, PERSON, ROLE, TENANT, RESOURCE)}
#: The kinds of rows of a CSV file. One line can have both.
_CSV_KINDS = (TENANT, RESOURCE)
#: The columns of a CSV file, in the order of the documents.
CSV_COLUMNS = tuple(dict.fromkeys(column.name for kind in _CSV_KINDS for column in kind.columns))


class FaultyFile(Unacceptable):
    """The file has faults, and nothing was changed. `faults` names each of them."""

    code = "faulty_file"
    default = _("The file has faults, and nothing was changed.")

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__()
        self.faults = list(faults)


@dataclass(frozen=True)
class Source:
    """What an import is made from: the rows, the faults of the file itself, and where the rows come from."""

    rows: Sequence[Row]
    faults: Sequence[Fault] = ()
    file_name: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class Line:
    """The report about one row."""

    line: int
    kind: str
    name: str
    status: str
    faults: tuple[Fault, ...] = ()
    #: What would change, by the name of the value: what it is now, and what it would be. Only a check says this.
    changes: dict[str, tuple[str, str]] = field(default_factory=dict)
    #: The changes that would wait, each with the terms of its announcement.
    held: tuple[tuple[str, dict[str, Any]], ...] = ()
    #: The service that the row waits for, because that service itself waits.
    waits_for: str = ""

    @property
    def kind_words(self) -> str:
        return str(KINDS[self.kind].label)

    @property
    def status_words(self) -> str:
        return str(STATUS_WORDS[self.status])

    @property
    def planned_words(self) -> str:
        return str(PLANNED_WORDS[self.status])

    @property
    def weight(self) -> tuple[int, int]:
        """The order of a list that shows first what weakens a customer most, and then the other changes."""
        known = list(HELD_WORDS)
        ranks = [known.index(act) if act in HELD_WORDS else 0 for act, _terms in self.held]
        return (min(ranks, default=len(known)), self.line)


@dataclass(frozen=True)
class Report:
    """What an import would do, or has done: one line for each row, in the order of the file."""

    lines: Sequence[Line]
    faults: Sequence[Fault] = ()
    counts: dict[str, int] = field(default_factory=dict)
    #: Whether no row changes anything, and none waits that did not wait before.
    is_empty: bool = False
    #: The names of the tenants that get a mail when the changes that wait are proposed.
    informed: Sequence[str] = ()


def read(kind: RowKind, line: int, raw: Mapping[str, object]) -> Row:
    """Return the row with its values, and with their faults. A value that is empty is left out."""
    values: dict[str, Any] = {}
    faults: list[Fault] = []
    for column in kind.columns:
        try:
            value = _value(column, raw.get(column.name))
        except _Refused as refused:
            faults.append(Fault(line, column.name, refused.code, refused.facts))
            continue
        if value is not None:
            values[column.name] = value
        elif column.is_needed:
            faults.append(Fault(line, column.name, "needed"))
    return Row(line, kind.name, values, tuple(faults))


def text_faults(row: Row) -> list[Fault]:
    """Return the faults of the characters of the row's texts. A text that is stored already has none of them.

    Only those who know what is stored can decide that, so `read` leaves it to them.
    """
    columns = {column.name: column for column in KINDS[row.kind].columns}
    texts_of_row = ((name, value) for name, value in row.values.items() if isinstance(value, str))
    found = ((name, _text_fault(columns[name], value)) for name, value in texts_of_row)
    return [Fault(row.line, name, *wrong) for name, wrong in found if wrong is not None]


def rows_of(lines: Iterable[tuple[int, Mapping[str, str]]]) -> list[Row]:
    """Return the rows of a CSV file, where one line can have a tenant and one of its resources."""
    rows: list[Row] = []
    tenants: set[tuple[tuple[str, Any], ...]] = set()
    for line, raw in lines:
        kinds = [kind for kind in _CSV_KINDS if any(raw.get(name, "").strip() for name in kind.values)]
        for kind in kinds or [TENANT]:
            row = read(kind, line, raw)
            # Each line about a resource may repeat what the file says about its tenant.
            known = tuple(row.values.items())
            if kind is not TENANT or row.faults or known not in tenants:
                rows.append(row)
            tenants |= {known} if kind is TENANT else set()
    return rows


def some_of(names: Iterable[str]) -> str:
    """Return up to five of the names, for a fault that says what would be possible."""
    known = sorted(names)
    more = ["…"] if len(known) > _NAMED else []
    return ", ".join([*known[:_NAMED], *more]) or str(_("none yet"))


def is_short_name(text: str) -> bool:
    return len(text) <= 60 and _SHORT_NAME.fullmatch(text) is not None


def in_order(faults: Iterable[Fault]) -> list[Fault]:
    """Return the faults by line, and in the order of the columns within a line.

    A line has each fault only once, although its tenant and its resource may both have it. At most FAULTS_MAX faults
    are named. The fault after them says how many more there are.
    """
    place = {name: number for number, name in enumerate(CSV_COLUMNS)}
    found = {(fault.line, fault.column, fault.code): fault for fault in faults}
    ordered = sorted(found.values(), key=lambda fault: (fault.line, place.get(fault.column, -1), fault.code))
    named = [fault for fault in ordered if fault.code != MORE][:FAULTS_MAX]
    return [*named, *_more(ordered, number_of(ordered) - len(named))]


def number_of(faults: Iterable[Fault]) -> int:
    """Return how many faults there are, with those that are only counted."""
    return sum(fault.facts["number"] if fault.code == MORE else 1 for fault in faults)


def _more(ordered: Sequence[Fault], number: int) -> list[Fault]:
    return [Fault(ordered[min(FAULTS_MAX, len(ordered) - 1)].line, "", MORE, {"number": number})] if number else []


#: The code of the fault that only counts further faults.
MORE = "more_faults"


class _Refused(Exception):
    def __init__(self, code: str, **facts: Any) -> None:
        super().__init__(code)
        self.code, self.facts = code, facts


def _value(column: Column, raw: object) -> Any:
    """Return the value, or None if it is empty."""
    if raw is None or raw == "":
        return None
    if column.is_flag:
        return _flag(raw)
    if not isinstance(raw, str):
        raise _Refused("not_text_value")
    text = raw.strip(" ")
    if column.at_most and len(text) > column.at_most:
        raise _Refused("too_long", most=column.at_most, length=len(text))
    if not texts.is_storable(text) and (wrong := _text_fault(column, text)):
        raise _Refused(wrong[0], **wrong[1])
    if column.choices and text and text not in column.choices:
        raise _Refused("not_a_choice", choices=", ".join(column.choices))
    return text or None


def _text_fault(column: Column, text: str) -> tuple[str, dict[str, Any]] | None:
    return texts.fault_of(text, is_id=column.is_id, has_lines=column.is_text)


def _flag(raw: object) -> bool | None:
    if isinstance(raw, bool):
        return raw
    text = str(raw).strip(" ").lower()
    if text and text not in _FLAGS:
        raise _Refused("not_a_choice", choices="yes, no")
    return _FLAGS.get(text)
