"""No page shows a word of ours that was not marked for translation."""

from __future__ import annotations

import pytest

from tests.words.crawl import PEOPLE, addresses, crawl
from tests.words.reading import World, spoken


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("login", PEOPLE, ids=lambda login: login or "nobody")
def test_every_word_on_every_page_is_marked(world: World, login: str) -> None:
    found: dict[str, str] = {}
    pages = 0
    for page in crawl(login, first=addresses(login)):
        pages += 1
        assert "⟦" in page.html, page.address
        for raw in world.raw(spoken(page.html)):
            found.setdefault(raw, page.route)
    assert pages > 3
    if found:
        raise AssertionError("\n".join(f"{route}: {raw}" for raw, route in found.items()))
