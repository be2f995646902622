"""No page shows a word of ours that was not marked for translation."""

from __future__ import annotations

import pytest
from django.core.cache import cache

from tests.words.crawl import GROUPS, addresses, crawl, undone
from tests.words.reading import World, spoken


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("group", GROUPS)
def test_every_word_on_every_page_is_marked(world: World, group: str) -> None:
    """One world for each group; what a visit wrote is taken back before the next person comes."""
    found: dict[tuple[str, str], str] = {}
    for login in GROUPS[group]:
        cache.clear()
        with undone():
            pages = 0
            for page in crawl(login, first=addresses(login)):
                pages += 1
                assert "⟦" in page.html, (login, page.address)
                for raw in world.raw(spoken(page.html)):
                    found.setdefault((login, raw), page.route)
            assert pages > 3, login
    if found:
        raise AssertionError("\n".join(f"{login} {route}: {raw}" for (login, raw), route in found.items()))
