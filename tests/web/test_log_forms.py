"""A timeline makes the sentences of many entries by their form, and they are those of the entries alone."""

from __future__ import annotations

import datetime as dt
import inspect
import json
import random
import re
from string import Formatter
from typing import Any
from uuid import UUID

import pytest

from audit_app import canonical
from audit_app.models import AuditEntry
from requests_app.domain.acts import EVENTS
from requests_app.doors.web import _log_forms, _log_words
from requests_app.doors.web._log_forms import Sentences
from requests_app.doors.web._log_words import sentence_of
from requests_app.models import Tenant
from requests_app.queries.log import About

AT = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)
TENANT = Tenant(pk=UUID(int=1), name="Contoso <b>")
REQUEST, TICKET = UUID(int=5), UUID(int=6)
ABOUT = About(access_requests={REQUEST: "AR-000042"}, tickets={str(TICKET): "T-7"})
#: Names of the detail that other modules read.
_MORE = ["approver", "cause", "code", "comment", "engineer_name", "import_sha", "practice", "signature", "signed"]
_TEXTS = [
    "",
    "a",
    "Mailbox of Alex",
    "<b>&\"'",
    "100 %s",
    "\0",
    "\0001\0",
    "back\\slash",
    "Ä\u202e",
    "2026-11-01T12:00:00Z",
]
_PLAIN = ["", "a", "Mailbox of Alex", "100 %s", "<b>&'", "2026-11-01T12:00:00Z"]
_KNOWN = ["mailbox", "read", "view", "ticket-closed", "person", "allow_access", "csv", "customer_approver"]
_OTHERS: list[Any] = [
    True, False, None, 0, 7, -3, 90_000, 2**53 - 1, 1.5,
    [], [{"id": "1", "kind": "mailbox", "name": "Alex"}], ["list", "<i>"], {"name": "x", "count": 3}, {"n": [1, "%d"]},
]  # fmt: skip


def _names() -> list[str]:
    """Return every name that a sentence can read in a detail."""
    named = set(re.findall(r'"([a-z_]+)"', inspect.getsource(_log_words.Words)))
    for event in EVENTS.values():
        for words in (event.sentence, *(words for _applies, words in event.variants)):
            named |= {name for _text, name, _spec, _conversion in Formatter().parse(str(words)) if name}
    return sorted(named | set(_MORE))


def _entry(event: str, actor: dict[str, Any], detail: dict[str, Any], number: int) -> AuditEntry:
    about = {"subject_type": ("ticket", "grant")[number % 2], "subject_id": str(TICKET)}
    request = (None, REQUEST)[number // 2 % 2]
    try:
        body = canonical.entry(
            tenant=TENANT.pk, seq=number, at=AT, event=event, door="pages", actor=actor, access_request=request,
            detail=detail, **about,
        )  # fmt: skip
    except ValueError:
        body = json.dumps({"actor": actor, "detail": detail}, ensure_ascii=False).encode()
    return AuditEntry(
        tenant_id=TENANT.pk, seq=number, at=AT, event=event, door="pages", actor_kind=actor["kind"],
        actor_name=actor.get("name", ""), correlation_id=request, canonical=body, **about,
    )  # fmt: skip


def _alone(entry: AuditEntry) -> tuple[str, str]:
    return sentence_of(entry, tenant=TENANT, about=ABOUT, at=AT)


def _sentences() -> Sentences:
    return Sentences(TENANT, at=AT, language="en-gb")


def _actors(dice: random.Random) -> list[dict[str, Any]]:
    person = {"email": "p@x.example", "id": str(UUID(int=7)), "kind": "person", "name": "Priya <i>", "side": "provider"}
    return [
        person,
        {**person, "name": "Ada", "side": "customer"},
        {**person, "kind": "client", "for": {"name": dice.choice(_TEXTS)}},
        {"kind": "system", "name": "sweep"},
    ]


def test_sentences_by_form_are_those_of_the_entries_alone() -> None:
    """Every event has details of the same form, with texts that are escaped, empty, or look like a mark."""
    dice, names, wrong, by_form = random.Random(17), _names(), [], 0
    for event in [*EVENTS, "event.of.a.newer.version"]:
        sentences, number = _sentences(), 0
        placeholders = [name for name in names if f"{{{name}}}" in str(getattr(EVENTS.get(event), "sentence", ""))]
        for form in range(4):
            # An entry with a text that has to be escaped has no form.
            texts = [*_PLAIN, *_KNOWN] if form % 2 else [*_TEXTS, *_KNOWN]
            chosen = [*placeholders, *dice.sample(names, 4)]
            first = {name: dice.choice([*texts, *_OTHERS]) for name in chosen}
            for _entry_of_form in range(12):
                # Most values stay the same, because a form is useful only then.
                detail = {
                    name: dice.choice(texts) if isinstance(value, str) and dice.random() < 0.5 else value
                    for name, value in first.items()
                }
                entry, number = _entry(str(event), dice.choice(_actors(dice)), detail, number), number + 1
                found = sentences.of(entry, ABOUT)
                if found != _alone(entry):
                    wrong.append((event, detail, found, _alone(entry)))
        by_form += sum(len(form.sentences) for forms in sentences._forms.values() for form in forms)
    assert not wrong, wrong[:3]
    assert by_form > len(EVENTS), "the forms were used"


def test_an_entry_that_was_changed_has_the_same_sentence_as_alone() -> None:
    dice, sentences = random.Random(3), _sentences()
    actor = _actors(dice)[0]
    detail = {"item": "7.mail", "resource_name": "Alex", "comment": "No.", "n": 3, "list": ["a", 1], "practice": True}
    for number in range(20):
        sentences.of(_entry("content.opened", actor, {**detail, "item": f"{number}.mail"}, number), ABOUT)
    good = _entry("content.opened", actor, detail, 0)
    for _change in range(3_000):
        body = bytearray(bytes(good.canonical))
        for _byte in range(dice.choice([1, 1, 2, 5])):
            at = dice.randrange(len(body))
            kind = dice.randrange(3)
            if kind == 0:
                body[at] = dice.choice(b'"\\{}[],:0aA \x00\x1f\x7f\xc3\xed\xff')
            elif kind == 1:
                del body[at]
            else:
                body[at:at] = dice.choice(
                    [b'"', b"\\", b'"item":"x",', b'"practice":false,', b"0", b"\xed\xa0\x80", b"\n"]
                )
        good.canonical = bytes(body)
        assert sentences.of(good, ABOUT) == _alone(good), body
        good.canonical = _entry("content.opened", actor, detail, 0).canonical


def test_a_sentence_is_made_once_for_all_entries_that_differ_in_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, real = list[str](), _log_words.Words.sentence

    def sentence(words: _log_words.Words) -> Any:
        asked.append(words.entry.event)
        return real(words)

    monkeypatch.setattr(_log_words.Words, "sentence", sentence)
    sentences, actor = _sentences(), _actors(random.Random(1))[0]
    found = [
        sentences.of(_entry("content.opened", actor, {"item": f"{n}.mail", "resource_name": "Alex"}, 0), ABOUT)[0]
        for n in range(50)
    ]
    assert ["49.mail" in text for text in found] == [False] * 49 + [True]
    # The first entry alone, and two until it is known on which values the sentence depends.
    assert len(asked) <= 3


def test_a_form_whose_entries_all_differ_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise each entry would be parsed twice, and each sentence would be stored."""
    monkeypatch.setattr(_log_forms, "_MOST_IN_VAIN", 5)
    sentences, actor = _sentences(), _actors(random.Random(1))[0]
    for n in range(20):
        entry = _entry("content.opened", {**actor, "name": f"Name {n}"}, {"item": "7.mail"}, 0)
        assert sentences.of(entry, ABOUT) == _alone(entry)
    [form] = sentences._forms["content.opened"]
    assert not form.is_useful
    assert len(form.sentences) < 10
