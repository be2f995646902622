"""Makes words comparable, and says which bits of the search index a text sets. The index and the search both use this.

A search finds parts of words, as people know it from a search in a page. So the index has no words, but all groups of
one to three characters that follow each other. Each group sets one of SLOTS bits of an entry. An entry that contains
what was typed has all the bits of it. Some other entries have them too, so the search compares each entry that it finds
with the entry's text.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from uuid import UUID

#: How many bits the index has for each entry.
SLOTS = 4096
#: The form of the index. Change the number with the code below. Another version of Unicode folds other letters.
FORM = f"1 {unicodedata.unidata_version}"
#: More bits than this are not compared for one search. The texts of the entries decide in any case.
MOST_SLOTS = 12
_LENGTHS = (1, 2, 3)
_IN_NAME, _FACT = "\x01", "\x02"
_TERM = re.compile(r'"([^"]+)"|(\S+)')
#: Accents and other marks over and under Latin, Greek and Cyrillic letters. The marks of other scripts are letters.
_MARKS = re.compile("[\u0300-\u036f]+")


def folded(text: str) -> str:
    """Return the text without the differences that a search ignores: case, accents, wide letters, and kinds of spaces.

    The Turkish letters İ and ı are the same as i.
    """
    if not text.isascii():
        text = _MARKS.sub("", unicodedata.normalize("NFKD", text)).casefold().replace("ı", "i")
    return " ".join(text.lower().split())


def terms(typed: str) -> tuple[str, ...]:
    """Return the parts that an entry must contain, in any order. Words in quotation marks are one part."""
    found = dict.fromkeys(folded(match[1] or match[2]) for match in _TERM.finditer(typed))
    # What consists only of accents is found nowhere.
    return tuple(filter(None, found)) or ((typed.strip(),) if typed.strip() else ())


@dataclass(frozen=True, kw_only=True)
class Words:
    """What a search looks for: parts of an entry's text, parts of the actor's name, and facts that are exact.

    The facts only save work: the caller also selects the rows by them. Set `are_few` if the caller's rows are few, and
    the database has an index for them: then they are all read.
    """

    text: tuple[str, ...] = ()
    name: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    are_few: bool = False

    def __bool__(self) -> bool:
        return bool(self.text or self.name)

    def are_in(self, text: str, name: str) -> bool:
        return _all_in(self.text, text) and _all_in(self.name, name)

    def slots(self) -> list[int]:
        """Return the bits that an entry has if it matches, or some of them."""
        typed = [gram for term in self.text for gram in _grams_of(term)]
        typed += [_IN_NAME + gram for term in self.name for gram in _grams_of(term)]
        facts = list(_facts(self.facts))
        most = MOST_SLOTS - min(len(facts), MOST_SLOTS // 2)
        spread = typed if len(typed) <= most else [typed[at * len(typed) // most] for at in range(most)]
        return list(dict.fromkeys(map(_slot, (*facts, *spread))))


def facts(*, event: str = "", actor_id: UUID | None = None) -> tuple[str, ...]:
    """Return the facts of an entry, or of a search for entries with them, in one form."""
    return (*([f"e{event}"] if event else []), *([f"a{actor_id}"] if actor_id else []))


def slots_of(text: str, name: str, facts: Iterable[str]) -> set[int]:
    """Return the bits that an entry sets."""
    slots = set(map(_slot, _every_gram(folded(text))))
    slots.update(_slots_of_name(name))
    slots.update(map(_slot, _facts(facts)))
    return slots


def _all_in(terms: tuple[str, ...], text: str) -> bool:
    if not terms:
        return True
    text = folded(text)
    return all(term in text for term in terms)


def _every_gram(text: str) -> set[str]:
    return {text[at : at + length] for length in _LENGTHS for at in range(len(text) - length + 1)}


def _grams_of(term: str) -> list[str]:
    length = min(len(term), _LENGTHS[-1])
    return list(dict.fromkeys(term[at : at + length] for at in range(len(term) - length + 1)))


def _facts(facts: Iterable[str]) -> Iterator[str]:
    """Yield two strings for each fact, because a frequent part of a text may set the bit of one of them."""
    for fact in facts:
        yield from (f"{_FACT}0{fact}", f"{_FACT}1{fact}")


@lru_cache(maxsize=1 << 10)
def _slots_of_name(name: str) -> frozenset[int]:
    return frozenset(_slot(_IN_NAME + gram) for gram in _every_gram(folded(name)))


@lru_cache(maxsize=1 << 14)
def _slot(gram: str) -> int:
    return zlib.crc32(gram.encode("utf-8", "surrogatepass")) % SLOTS
