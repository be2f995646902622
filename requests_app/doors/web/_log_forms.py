"""Makes the sentences of very many entries: the same as `_log_words.sentence_of`, in a part of the time.

Two entries of one event have the same *form* if their bytes differ only in texts without escaped characters, in whole
numbers and in names of JSON. An expression finds these values, so the bytes need not be parsed. Most sentences depend
on few of the values: `Words` makes one sentence for each combination of them. Later sentences of this combination
differ only in texts that are shown as they are. The first one is written with a mark in place of each such text.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator
from json.encoder import encode_basestring as quoted
from typing import Any

from django.utils.safestring import SafeString

from audit_app.models import AuditEntry
from requests_app.doors.web._log_words import Words, record_of, references_of, sentence_of
from requests_app.models import Tenant
from requests_app.queries.log import About
from requests_app.words.text import visible_single

#: How many forms are known: of one event, and of all events. Longer bytes have no form.
_FORMS_OF_EVENT, _FORMS, _LONGEST = 4, 256, 4000
#: How many sentences of one form are remembered.
_SENTENCES = 1000
#: A form is not used any more if so many more entries needed a new sentence than had a remembered one.
_MOST_IN_VAIN = 100
#: Expressions for a character of a text, a whole number, and the three names of JSON. No form has a fraction.
_CHARACTER, _NUMBER, _NAME = '[^"]', "(?:0|-?[1-9][0-9]{0,14})", "(?:true|false|null)"
#: A mark is a number between two of these. No sentence has this character, because it is shown as its code.
_MARK = "\0"
_MARKED = re.compile(f"{_MARK}([0-9]+){_MARK}")


class Sentences:
    """The sentences of one timeline, in the present language."""

    def __init__(self, tenant: Tenant, *, at: dt.datetime, language: str | None) -> None:
        self.language = language
        self._tenant, self._at = tenant, at
        self._forms: dict[str, list[_Form]] = {}
        self._count = 0

    def of(self, entry: AuditEntry, about: About) -> tuple[SafeString, str]:
        """Return an entry's sentence and its comment."""
        try:
            text = str(entry.canonical, "utf-8")
        except UnicodeDecodeError:
            return self._alone(entry, about)
        # Then a quotation mark is always the beginning or the end of a text.
        if "\\" in text or not text.isprintable():
            return self._alone(entry, about)
        known = self._forms.get(entry.event, ())
        for form in known:
            if found := form.expression.fullmatch(text):
                return self._by_form(form, found.groups(), entry, about) or self._alone(entry, about)
        if len(known) < _FORMS_OF_EVENT and self._count < _FORMS and len(text) <= _LONGEST:
            self._learn(entry.event, text)
        return self._alone(entry, about)

    def _alone(self, entry: AuditEntry, about: About) -> tuple[SafeString, str]:
        return sentence_of(entry, tenant=self._tenant, about=about, at=self._at, language=self.language)

    def _learn(self, event: str, text: str) -> None:
        record = record_of(text.encode())
        if isinstance(record.get("actor"), dict) and isinstance(record.get("detail"), dict):
            form = _Form(record)
            if form.expression.fullmatch(text):
                self._forms.setdefault(event, []).append(form)
                self._count += 1

    def _by_form(
        self, form: _Form, values: tuple[str, ...], entry: AuditEntry, about: About
    ) -> tuple[SafeString, str] | None:
        """Return the sentence and the comment, or None if the form is not used any more."""
        if not form.is_useful:
            return None
        request, ticket = references_of(entry, about)
        key = (entry.actor_name, request, ticket, *[values[place] for place in form.decisive])
        known = form.sentences.get(key)
        if known is None:
            known = form.remember(key, *self._marked(form, entry, request, ticket))
            if known is None:
                return None
        form.balance += 1
        pattern, shown = known
        text = pattern % tuple([visible_single(values[place]) for place in shown])
        return SafeString(text), values[form.comment] if form.comment else ""

    def _marked(self, form: _Form, entry: AuditEntry, request: str, ticket: str) -> tuple[str, frozenset[str] | None]:
        """Return the sentence with marks, and the names of the members on which the rest depends. None means all."""
        record = record_of(bytes(entry.canonical))
        detail = _Detail(record["detail"])
        words = _Marked(
            entry,
            record["actor"],
            detail,
            tenant=self._tenant,
            request=request,
            ticket=ticket,
            at=self._at,
            language=self.language,
        )
        words.texts = form.texts
        return words.sentence(), None if detail.is_all_read else frozenset(detail.read)


class _Form:
    def __init__(self, record: dict[str, Any]) -> None:
        detail = record["detail"]
        inside = {"actor": f"({_any(record['actor'])})", "detail": _object(detail, map(_group, detail.values()))}
        parts = [inside.get(name) or _any(value) for name, value in record.items()]
        self.expression = re.compile(_object(record, parts))
        #: The places of the detail's members among the values. The first value is the actor.
        self._members = {name: place for place, name in enumerate(detail, 1)}
        #: Of them, the texts.
        self.texts = {name: place for name, place in self._members.items() if isinstance(detail[name], str)}
        self.comment = self.texts.get("comment", 0)
        #: The places of the values on which the sentence depends, apart from those that it shows as they are.
        self.decisive: tuple[int, ...] = (0,)
        self.sentences: dict[tuple[str, ...], tuple[str, tuple[int, ...]]] = {}
        #: The entries that had a remembered sentence, minus those that needed a new one.
        self.balance = 0
        self.is_useful = True

    def remember(
        self, key: tuple[str, ...], sentence: str, read: frozenset[str] | None
    ) -> tuple[str, tuple[int, ...]] | None:
        """Return the sentence as a pattern, and the places of the texts in it. Return None if the form is not used."""
        literals, shown = _MARKED.split(sentence)[::2], tuple(map(int, _MARKED.findall(sentence)))
        self.balance -= 2  # The caller adds one for each entry.
        if _MARK in "".join(literals) or self.balance < -_MOST_IN_VAIN:
            self.is_useful = False
            return None
        pattern = "%s".join(literal.replace("%", "%%") for literal in literals)
        names = self._members.keys() if read is None else read & self._members.keys()
        decisive = tuple(sorted({*self.decisive, *(self._members[name] for name in names)}))
        if decisive != self.decisive or len(self.sentences) >= _SENTENCES:
            # A sentence that was remembered by fewer values can be wrong for other entries with these values.
            self.decisive = decisive
            self.sentences.clear()
        else:
            self.sentences[key] = pattern, shown
        return pattern, shown


class _Marked(Words):
    """Writes a mark in place of each text that is shown as it is."""

    texts: dict[str, int]

    def _plain(self, name: str) -> SafeString:
        place = self.texts.get(name)
        return super()._plain(name) if place is None else SafeString(f"{_MARK}{place}{_MARK}")

    def _has(self, name: str) -> bool:
        # All entries of the form have it, or none.
        return name in self.texts and dict.get(self.detail, name) != ""


class _Detail(dict[str, Any]):
    """The detail of an entry. It collects the names of the members that were read."""

    def __init__(self, detail: dict[str, Any]) -> None:
        super().__init__(detail)
        self.read: set[str] = set()
        self.is_all_read = False

    def get(self, name: str, default: Any = None) -> Any:
        self.read.add(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return super().__getitem__(name)

    def __iter__(self) -> Iterator[str]:
        self.is_all_read = True
        return super().__iter__()

    def keys(self) -> Any:
        self.is_all_read = True
        return super().keys()

    def values(self) -> Any:
        self.is_all_read = True
        return super().values()

    def items(self) -> Any:
        self.is_all_read = True
        return super().items()


def _object(found: dict[str, Any], members: Iterable[str]) -> str:
    named = (f"{re.escape(quoted(name))}:{member}" for name, member in zip(found, members, strict=True))
    return r"\{" + ",".join(named) + r"\}"


def _group(value: Any) -> str:
    """Return an expression whose group is the value. A text is there without its quotation marks."""
    if isinstance(value, str):
        return f'"({_CHARACTER}++)"' if value else '"()"'
    return f"({_any(value)})"


def _any(value: Any) -> str:
    """Return an expression for all values of the same form."""
    if isinstance(value, dict):
        return _object(value, map(_any, value.values()))
    if isinstance(value, list):
        return r"\[" + ",".join(map(_any, value)) + r"\]"
    if isinstance(value, str):
        return f'"{_CHARACTER}*+"'
    return _NAME if value is None or isinstance(value, bool) else _NUMBER
