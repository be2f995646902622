"""The watch finds each kind of fault: every test opens a page that has one fault."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from requests_app.models import Person
from tests.browser.conftest import Visit
from tests.browser.visiting import find_chromium


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("console.error('broken')", "error: broken"),
        ("setTimeout(() => { throw new Error('unforeseen') })", "page error"),
        ("location.href = 'http://127.0.0.1:8219/'", "request to another host: http://127.0.0.1:8219/"),
        (
            "document.head.append(Object.assign(document.createElement('style'), {textContent: 'p{}'}))",
            "content policy",
        ),
        ("fetch('/tickets/nothing/')", "404"),
    ],
)
def test_a_page_that_misbehaves_is_seen(visit: Visit, script: str, words: str) -> None:
    visitor = visit("mia.weber")
    visitor.goto("/")
    visitor.page.evaluate(f"() => {{ {script} }}")
    until = time.monotonic() + 5
    while not any(words in complaint for complaint in visitor.watch.complaints) and time.monotonic() < until:
        visitor.page.wait_for_timeout(50)
    assert any(words in complaint for complaint in visitor.watch.complaints)
    visitor.watch.complaints.clear()


def test_a_change_of_person_leaves_nothing_of_the_one_before(visit: Visit) -> None:
    visitor = visit("ada.keller")
    assert "Ada Keller" in visitor.goto("/").content()
    before = visitor.page.context.cookies()
    mia = Person.objects.get(email__startswith="mia.weber@")
    visitor.change_to(mia)
    (cookie,) = visitor.page.context.cookies()
    assert cookie["value"] not in [each["value"] for each in before]
    banner = visitor.goto("/").locator("header").first.inner_text()
    assert mia.name in banner
    assert "Ada Keller" not in banner
    assert visitor.email == mia.email


def test_the_browser_that_is_named_is_the_one_that_is_driven(tmp_path: Path) -> None:
    mine = tmp_path / "own"
    assert find_chromium("/nowhere/chromium", str(mine)) is None
    mine.touch(mode=0o755)
    assert find_chromium(str(mine), "") == str(mine)
