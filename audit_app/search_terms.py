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
#: An entry of usual length takes 5 microseconds to read. In this time, so many characters are folded and compared, as
#: powers of two. One letter can become 18 when it is folded, so the characters are counted afterwards.
_ASCII_SHIFT, _FOLDED_SHIFT = 9, 7
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

    def compare(self, text: str, name: str) -> tuple[bool, int]:
        """Return whether an entry matches, and what it cost to find out, in entries of usual length."""
        cost = 1
        for wanted, found in ((self.text, text), (self.name, name)):
            if wanted:
                shown = folded(found)
                cost += max(len(found), len(shown)) >> (_ASCII_SHIFT if found.isascii() else _FOLDED_SHIFT)
                if not all(term in shown for term in wanted):
                    return False, cost
        return True, cost

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


def slots_of(text: str, name: str, facts: Iterable[str]) -> tuple[set[int], int]:
    """Return the bits that an entry sets, and how many characters it has, before or after folding."""
    shown, (name_slots, name_length) = folded(text), _slots_of_name(name)
    slots = set(map(_slot, _every_gram(shown)))
    slots |= name_slots
    slots.update(map(_slot, _facts(facts)))
    return slots, max(len(text), len(shown)) + name_length


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
def _slots_of_name(name: str) -> tuple[frozenset[int], int]:
    shown = folded(name)
    return frozenset(_slot(_IN_NAME + gram) for gram in _every_gram(shown)), max(len(name), len(shown))


@lru_cache(maxsize=1 << 14)
def _slot(gram: str) -> int:
    return zlib.crc32(gram.encode("utf-8", "surrogatepass")) % SLOTS
