"""Checks for every page: no violation found by axe-core, no horizontal scrolling, and targets large enough for a
finger.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from html.parser import HTMLParser
from typing import Any, TypeVar
from urllib.parse import urlsplit

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

from tests.words.crawl import route_of

T = TypeVar("T")
WIDTHS = (360, 1280)
#: The rules about colours, of the rules that axe-core applies by default.
RULES_OF_COLOUR = ["color-contrast", "link-in-text-block"]
#: The smallest target on a page where people decide, in CSS pixels.
TARGET = 44
_RUN = """
async (rules) => {
  const found = await axe.run(
    {include: [["html"]], exclude: [[".letter-html *"]]},
    {resultTypes: ["violations"], preload: {assets: ["media"]},
     rules: {"target-size": {enabled: true}}, ...(rules ? {runOnly: rules} : {})});
  return found.violations.map((violation) => [violation.id, violation.help, violation.nodes.slice(0, 3).map(
    (node) => `${node.target.join(" ")} ${node.html.slice(0, 160)} ${node.failureSummary}`)]);
}
"""
_MEASURE = """
(target) => {
  const root = document.scrollingElement;
  const deciding = ".button-decide, .decision .button, form .button-primary, .live .button";
  const targets = [...document.querySelectorAll(deciding)];
  const tooSmall = targets.map((element) => [element.textContent.trim(), element.getBoundingClientRect()])
    .filter(([, box]) => box.width && (Math.round(box.width) < target || Math.round(box.height) < target))
    .map(([words, box]) => `${words}: ${box.width} x ${box.height}`);
  const wide = root.scrollWidth > root.clientWidth ? [...document.body.querySelectorAll("*")]
    .filter((element) => element.getBoundingClientRect().right > root.clientWidth + 1)
    .slice(0, 3).map((element) => element.outerHTML.slice(0, 120)) : [];
  return {tooSmall, overflow: root.scrollWidth - root.clientWidth, wide};
}
"""


def violations(page: Page, rules: list[str] | None = None) -> list[Any]:
    """Return axe-core's violations, without those in a message's HTML, which somebody else wrote."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    return list(page.evaluate(_RUN, rules))


class _Shape(HTMLParser):
    """Collects the elements of a page, without text."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: set[tuple[Any, ...]] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.pieces.add((tag, given.get("class"), given.get("type"), given.get("role"), *sorted(given)))


class Shapes:
    """Remembers which elements were seen on each kind of page."""

    def __init__(self) -> None:
        self._seen: dict[object, set[Any]] = defaultdict(set)

    def is_new(self, kind: object, html: str) -> bool:
        """Return whether the page has an element that earlier pages of this kind did not have, and remember its
        elements.
        """
        shape, known = _Shape(), self._seen[kind]
        shape.feed(html)
        is_new = not shape.pieces <= known
        known |= shape.pieces
        return is_new


#: Pages that axe-core has checked in this process during a journey. Each page also has a separate check.
READ = Shapes()


def width_for(route: str, widths: tuple[T, ...]) -> T:
    """Return the width at which axe-core checks pages of this route. A route always has the same width."""
    return widths[zlib.crc32(route.encode()) % len(widths)]


def check(page: Page, widths: tuple[int, ...] = (1280,)) -> None:
    """Check the page in both themes, and restore the browser's settings.

    axe-core checks it at one of these widths, and skips it if all its elements were checked before.
    """
    page.wait_for_load_state()
    route, html = route_of(urlsplit(page.url)._replace(scheme="", netloc="").geturl()), page.content()
    read = (width_for(route, widths),) if READ.is_new(route, html) else ()
    found = faults(page, widths, read=read)
    if found:
        raise AssertionError("\n".join(str(fault) for fault in found))


def faults(page: Page, widths: tuple[int, ...] = WIDTHS, *, read: tuple[int, ...] = WIDTHS) -> list[Any]:
    """Return the faults at these widths. axe-core takes seconds, so it checks only the widths in `read`."""
    found: list[Any] = []
    # A page that is still loading has no body.
    page.wait_for_load_state()
    before = page.viewport_size
    for width in widths:
        page.set_viewport_size({"width": width, "height": 900})
        measured = page.evaluate(_MEASURE, TARGET)
        if measured["overflow"] > 0:
            found.append((page.url, width, "scrolls sideways", measured["wide"]))
        if measured["tooSmall"]:
            found.append((page.url, width, "targets", measured["tooSmall"]))
        if width not in read:
            continue
        page.emulate_media(color_scheme="light")
        found += [(page.url, width, "light", *violation) for violation in violations(page)]
        page.emulate_media(color_scheme="dark")
        # A theme changes only colours: test_a_theme_changes_colours_alone proves it.
        found += [(page.url, width, "dark", *violation) for violation in violations(page, RULES_OF_COLOUR)]
    if before:
        page.set_viewport_size(before)
    return found
