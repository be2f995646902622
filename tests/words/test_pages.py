"""On all pages, and in the refusals of forms, every word of the product is marked for translation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from django.core.cache import cache

from tests.words.crawl import GROUPS, Visited, addresses, crawl, undone
from tests.words.forms import LOOKERS, Sender, forms, kind_of
from tests.words.reading import Form, Reading, World, read

#: How many forms of one kind a group sends. Other forms of this kind are for other rows.
FORMS_OF = 2


class Walk:
    """The walk of one group of people through the pages. It sends the forms, and collects the unmarked words.

    `found` has the place of each unmarked word, by the person's login and the word.
    """

    def __init__(self, world: World, found: dict[tuple[str, str], str]) -> None:
        self._world, self._found = world, found
        self.opened, self._sent = Counter[str](), Counter[str]()
        self.refused = self.too_many = 0

    def look(self, login: str, reading: Reading, about: str) -> None:
        for raw in self._world.raw(reading.texts):
            self._found.setdefault((login, raw), about)

    def read_pages(self, login: str) -> list[Visited]:
        pages = list(crawl(login, first=addresses(login), opened=self.opened))
        assert len(pages) > 3, login
        for page in pages:
            assert "⟦" in page.html, (login, page.address)
            self.look(login, page.reading, page.route)
        return pages

    def send_forms(self, login: str, pages: list[Visited]) -> None:
        sender, is_first = Sender(login), True
        for page, form in self._forms_of(pages):
            for answer in sender.refusals(page, form):
                self.refused += 1
                self.look(login, read(answer.content.decode()), f"{page.route} {answer.status_code}")
            if is_first and "web:log_export" in kind_of(page, form):
                is_first = False
                self.too_many += 1
                self.look(login, read(sender.too_many(page, form).content.decode()), f"{page.route} 429")

    def _forms_of(self, pages: list[Visited]) -> Iterator[tuple[Visited, Form]]:
        """Yield the forms to send. Each person sends each kind of form at least once."""
        by_this_person = set[str]()
        for page in pages:
            for form in forms(page):
                kind = kind_of(page, form)
                if kind not in by_this_person or self._sent[kind] < FORMS_OF:
                    by_this_person.add(kind)
                    self._sent[kind] += 1
                    yield page, form


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_word_on_every_page_and_of_every_refusal_is_marked(world: World) -> None:
    """What one person's visit has written is rolled back before the next person's visit."""
    found: dict[tuple[str, str], str] = {}
    for group, logins in GROUPS.items():
        walk = Walk(world, found)
        for login in logins:
            cache.clear()
            with undone():
                pages = walk.read_pages(login)
                if login not in LOOKERS:
                    walk.send_forms(login, pages)
        assert walk.refused, group
        assert walk.too_many or group in ("nobody", "provider"), group
    if found:
        raise AssertionError("\n".join(f"{login} {route}: {raw}" for (login, raw), route in found.items()))
