"""Finds words of the product that are not marked for translation.

During the tests, a "translation" disguises every marked word. So a readable word on a page is data, or is not marked.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser

#: Letters that do not occur in a disguised word.
TELLTALE = re.compile(r"[AEIOUaeiouCcNnSsYyZz]")
#: Text that is data because of its form: addresses, references, ids, digests, times, names of programs.
FORMS = re.compile(
    r"""
      <?[\w.+%'-]+@[\w.-]+>?                              # an e-mail address, a Message-ID
    | https?://\S+
    | \b(?:AR|T)-[0-9A-Z]{4}-[0-9A-Z]{4}\b
    | \b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b
    | \b(?:[0-9a-f]{4}\ ){3,}[0-9a-f]{4}\b                # a digest in groups
    | \S+\+[0-9a-f]{8}\+[A-Za-z0-9+/]{40,}={0,2}         # a verifier key
    | \b[0-9a-f]{12,64}\b
    | \b\d{4}-\d\d-\d\d(?:T[\d:.]+(?:Z|[+-][\d:]+)?)?
    | (?<=\d\d:\d\d\s)(?:[A-Z]{3,4})\b                    # the letters of a time zone
    | \b[A-Z][a-z]+/[A-Z][A-Za-z_]+(?:/[A-Z][A-Za-z_]+)?\b  # the name of a time zone
    | \b[a-z]+(?:[_.:][a-z_]+)+\b                         # an event, a topic, a function
    """,
    re.VERBOSE,
)
WORD = re.compile(r"[^\W\d_]+")
SPOKEN = ("title", "alt", "aria-label", "aria-description", "placeholder", "data-label", "data-copied", "label")
_PLACEHOLDER = re.compile(r"%\(\w+\)s")
#: Words that are the same in every language: names and units.
SAME_EVERYWHERE = {"UTC", "KB", "MB", "GB"}
#: Four consecutive words count as data if they also occur in a text of the world.
PIECE = 4

#: Elements without an end.
VOID = frozenset({"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"})

Words = tuple[str, ...]


@dataclass
class Form:
    """A form of a page, with the data that a click on its first button sends."""

    action: str
    method: str
    hidden: dict[str, str] = field(default_factory=dict)
    typed: list[str] = field(default_factory=list)
    has_button: bool = False


#: Types of inputs that a person fills in.
FILLED_IN = frozenset({"text", "search", "email", "password", "date", "number", "url", "radio"})


class Reading(HTMLParser):
    """Collects from a page what the crawl needs: texts, links and forms.

    The texts are all that a person sees or hears, except the texts of messages and records.
    """

    FOREIGN = frozenset({"letter-text", "letter-html", "digest-value"})

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.links: list[str] = []
        self.forms: list[Form] = []
        self._silent: list[str] = []
        self._open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._follow(tag, given)
        self._fill_in(tag, given)
        self.texts += [given[name] for name in SPOKEN if name in given]
        if tag == "input" and given.get("type") in ("submit", "button"):
            self.texts.append(given.get("value", ""))
        if tag == "meta" and given.get("name") == "lockbox-words" and given["content"].startswith("{"):
            # Patterns for scripts, by name, with placeholders.
            self.texts += [_PLACEHOLDER.sub("", words) for words in json.loads(given["content"]).values()]
        if tag in VOID:
            return
        self._open.append(tag)
        is_foreign = tag in ("style", "script", "pre", "code") or not self.FOREIGN.isdisjoint(
            given.get("class", "").split()
        )
        if self._silent or is_foreign:
            self._silent.append(tag)

    def _follow(self, tag: str, given: dict[str, str]) -> None:
        if tag == "a" and given.get("href") and "download" not in given:
            self.links.append(given["href"])

    def _fill_in(self, tag: str, given: dict[str, str]) -> None:
        if tag == "form":
            self.forms.append(Form(given.get("action", ""), given.get("method", "get")))
        name = given.get("name")
        if not self.forms or not name:
            return
        form = self.forms[-1]
        if tag == "input" and given.get("type") == "hidden":
            form.hidden[name] = given.get("value", "")
        elif tag in ("textarea", "select") or (tag == "input" and given.get("type", "text") in FILLED_IN):
            form.typed.append(name)
        elif tag == "button" and not form.has_button:
            form.has_button = True
            form.hidden[name] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        # An element whose end tag is missing ends together with the element around it.
        while tag in self._open:
            closed = self._open.pop()
            if self._silent:
                self._silent.pop()
            if closed == tag:
                break

    def handle_data(self, data: str) -> None:
        if data.strip() and not self._silent:
            self.texts.append(data)


def read(html: str) -> Reading:
    reading = Reading()
    reading.feed(html)
    return reading


def spoken(html: str) -> list[str]:
    return read(html).texts


def words_of(text: str) -> Words:
    return tuple(WORD.findall(text))


class World:
    """The texts of the demo world, which are data. They are indexed by their words."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._starting: dict[str, set[Words]] = defaultdict(set)
        self._pieces: set[Words] = set()
        for text in {" ".join(text.split()) for text in texts if text}:
            words = words_of(FORMS.sub(" ", text))
            if words:
                self._starting[words[0]].add(words)
            self._pieces |= {words[at : at + PIECE] for at in range(len(words) - PIECE + 1)}
        self._known: dict[str, list[str]] = {}

    def raw(self, texts: Iterable[str]) -> Iterator[str]:
        """Yield the words that are neither disguised nor data, each with the text around it."""
        for text in texts:
            text = " ".join(text.split())
            if text not in self._known:
                self._known[text] = self._raw_in(text)
            yield from self._known[text]

    def _raw_in(self, text: str) -> list[str]:
        words = words_of(FORMS.sub(" ", text))
        suspects = [len(word) > 1 and bool(TELLTALE.search(word)) and word not in SAME_EVERYWHERE for word in words]
        at = 0
        while at < len(words):
            length = self._data_at(words, at)
            suspects[at : at + length] = [False] * length
            at += max(length, 1)
        self._excuse_cut_end(text, words, suspects)
        found = [word for word, is_suspect in zip(words, suspects, strict=True) if is_suspect]
        return [f"{' '.join(found)!r} in {text[:160]!r}"] if found else []

    def _data_at(self, words: Words, at: int) -> int:
        """Return how many words from `at` on are data: a whole text of the world, or a long enough part of a text."""
        whole = max(
            (len(known) for known in self._starting.get(words[at], ()) if words[at : at + len(known)] == known),
            default=0,
        )
        length = 0
        while words[at + length : at + length + PIECE] in self._pieces:
            length += 1
        return max(whole, length + PIECE - 1 if length else 0)

    def _excuse_cut_end(self, text: str, words: Words, suspects: list[bool]) -> None:
        """Accept the last word of a shortened text, if it is the beginning of a word in the world's texts."""
        if len(words) < PIECE or not text.rstrip("”\"' ").endswith("…") or not suspects[-1]:
            return
        before = words[-PIECE:-1]
        if any(piece[:-1] == before and piece[-1].startswith(words[-1]) for piece in self._pieces):
            suspects[-1] = False
