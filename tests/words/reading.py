"""Finds words of the product that are not marked for translation.

During the tests, a "translation" disguises every marked word. So a readable word on a page is data, or is not marked.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from html import unescape

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
#: Elements with text for programs, and classes of elements with the texts of messages and records.
FOREIGN_TAGS = frozenset({"style", "script", "pre", "code"})
FOREIGN_CLASSES = frozenset({"letter-text", "letter-html", "digest-value"})

#: The rest of a start tag behind its name. A ">" in a quoted value does not end it.
_REST = r"""[^<>'"]*(?:(?:'[^']*'|"[^"]*")[^<>'"]*)*>"""
#: What is between the texts of a page: scripts and styles with their content, start tags, end tags, comments.
_MARKUP = re.compile(
    rf"<(?:((script|style)\b{_REST})(?s:.*?)</\2\s*>|([a-zA-Z]{_REST})|/([a-zA-Z][^\s/>]*)[^>]*>|!--(?s:.*?)-->|![^>]*>)"
)
_ATTRIBUTE = re.compile(r"""([^\s/>=]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>"']+)))?""")


@dataclass(frozen=True)
class Tag:
    """A start tag: its name, its attributes, and the texts in them that a person sees or hears."""

    name: str
    given: dict[str, str]
    texts: list[str]
    has_end: bool
    is_foreign: bool


@lru_cache(20_000)
def tag_of(source: str) -> Tag:
    """Return the start tag with this source. Pages have most of their tags in common, so each is parsed once."""
    name = source[1:].split(maxsplit=1)[0].rstrip("/>")
    found = _ATTRIBUTE.findall(source, len(name) + 1)
    given = {key.lower(): unescape(double or single or bare) for key, double, single, bare in found}
    name = name.lower()
    texts = [given[spoken] for spoken in SPOKEN if spoken in given]
    if name == "input" and given.get("type") in ("submit", "button"):
        texts.append(given.get("value", ""))
    if name == "meta" and given.get("name") == "lockbox-words" and given["content"].startswith("{"):
        # Patterns for scripts, by name, with placeholders.
        texts += [_PLACEHOLDER.sub("", words) for words in json.loads(given["content"]).values()]
    is_foreign = name in FOREIGN_TAGS or not FOREIGN_CLASSES.isdisjoint(given.get("class", "").split())
    return Tag(name, given, texts, name not in VOID and not source.endswith("/>"), is_foreign)


def tags(html: str) -> Iterator[tuple[str, str]]:
    """Yield the source of each start tag, and the name of each end tag. The other value is empty."""
    for code, code_name, start, end in _MARKUP.findall(html):
        if start or code:
            yield f"<{start or code}", ""
        if end or code:
            yield "", (end or code_name).lower()


class Reading:
    """What the crawl needs of a page: texts, links and forms.

    The texts are all that a person sees or hears, except the texts of messages and records.
    """

    def __init__(self, html: str) -> None:
        self.texts: list[str] = []
        self.links: list[str] = []
        self.forms: list[Form] = []
        self._silent: list[str] = []
        self._open: list[str] = []
        at = 0
        for found in _MARKUP.finditer(html):
            self._read_text(html[at : found.start()])
            at = found.end()
            code, code_name, start, end = found.groups()
            if start or code:
                self._begin(tag_of(f"<{start or code}"))
            if end or code:
                self._end((end or code_name).lower())
        self._read_text(html[at:])

    def _begin(self, tag: Tag) -> None:
        self.texts += tag.texts
        if tag.name == "a" and tag.given.get("href") and "download" not in tag.given:
            self.links.append(tag.given["href"])
        if tag.name == "form":
            self.forms.append(Form(tag.given.get("action", ""), tag.given.get("method", "get")))
        if self.forms and tag.given.get("name"):
            self._fill_in(self.forms[-1], tag.name, tag.given)
        if not tag.has_end:
            return
        self._open.append(tag.name)
        if self._silent or tag.is_foreign:
            self._silent.append(tag.name)

    @staticmethod
    def _fill_in(form: Form, tag: str, given: dict[str, str]) -> None:
        name = given["name"]
        if tag == "input" and given.get("type") == "hidden":
            form.hidden[name] = given.get("value", "")
        elif tag in ("textarea", "select") or (tag == "input" and given.get("type", "text") in FILLED_IN):
            form.typed.append(name)
        elif tag == "button" and not form.has_button:
            form.has_button = True
            form.hidden[name] = given.get("value", "")

    def _end(self, name: str) -> None:
        # An element whose end tag is missing ends together with the element around it.
        while name in self._open:
            closed = self._open.pop()
            if self._silent:
                self._silent.pop()
            if closed == name:
                break

    def _read_text(self, source: str) -> None:
        if not self._silent and (text := unescape(source)).strip():
            self.texts.append(text)


def read(html: str) -> Reading:
    return Reading(html)


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
            if text not in self._known:
                self._known[text] = self._raw_in(" ".join(text.split()))
            yield from self._known[text]

    def _raw_in(self, text: str) -> list[str]:
        if not TELLTALE.search(text):
            return []
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
