"""On pages and in refusals of forms, every word of the product is marked for translation."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from urllib.parse import urljoin

import pytest
from django.core.cache import cache

from tests.words.crawl import GROUPS, Visited, addresses, crawl, route_of, undone
from tests.words.forms import LOOKERS, Form, forms, refusals
from tests.words.reading import World, spoken

#: For how many pages of one kind the forms are sent. Other pages have the same forms for other rows.
FORMS_OF = 2


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("group", GROUPS)
def test_every_word_on_every_page_and_of_every_refusal_is_marked(world: World, group: str) -> None:
    """Each group has one world. What a visit wrote is rolled back before the next person."""
    found: dict[tuple[str, str], str] = {}
    refused = 0
    for login in GROUPS[group]:
        cache.clear()
        with undone():
            pages = list(_read(world, login, found))
            assert len(pages) > 3, login
            for page, form in _forms(pages):
                for answer in refusals(page, form):
                    refused += 1
                    for raw in world.raw(spoken(answer.content.decode())):
                        found.setdefault((login, raw), f"{page.route} {answer.status_code}")
    assert refused
    if found:
        raise AssertionError("\n".join(f"{login} {route}: {raw}" for (login, raw), route in found.items()))


def _read(world: World, login: str, found: dict[tuple[str, str], str]) -> Iterator[Visited]:
    for page in crawl(login, first=addresses(login)):
        assert "⟦" in page.html, (login, page.address)
        for raw in world.raw(spoken(page.html)):
            found.setdefault((login, raw), page.route)
        yield page


def _forms(pages: list[Visited]) -> Iterator[tuple[Visited, Form]]:
    taken = Counter[str]()
    for page in pages:
        taken[page.route] += 1
        if taken[page.route] <= FORMS_OF and page.login not in LOOKERS:
            yield from ((page, form) for form in forms(page.html))


def _kind(each: tuple[Visited, Form]) -> str:
    """Return the kind of page and form without ids, so that it is the same in every run."""
    page, form = each
    return f"{page.login} {page.route} {route_of(urljoin(page.address, form.action))} {form.typed}"
