"""Checks for every page: no violation found by axe-core, no horizontal scrolling, and targets large enough for a
finger.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence
from html.parser import HTMLParser
from typing import Any, TypeVar
from urllib.parse import urlsplit

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

from tests.words.crawl import route_of
from tests.words.reading import VOID

T = TypeVar("T")
WIDTHS = (360, 1280)
#: The rules about colours, of the rules that axe-core applies by default.
RULES_OF_COLOUR = ["color-contrast", "link-in-text-block"]
#: The smallest target on a page where people decide, in CSS pixels.
TARGET = 44
_RUN = """
async ({only, without}) => {
  const found = await axe.run(
    {include: [["html"]], exclude: [[".letter-html *"]]},
    {resultTypes: ["violations"], preload: {assets: ["media"]}, ...(only ? {runOnly: only} : {}),
     rules: {"target-size": {enabled: true}, ...Object.fromEntries(without.map((rule) => [rule, {enabled: false}]))}});
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


def violations(page: Page, *, only: list[str] | None = None, without: Sequence[str] = ()) -> list[Any]:
    """Return axe-core's violations, except in the HTML of a displayed message."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    return list(page.evaluate(_RUN, {"only": only, "without": list(without)}))


class _Shape(HTMLParser):
    """Collects the elements of a page, without text."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: set[tuple[Any, ...]] = set()
        #: Elements with the element around them, on whose background they are drawn.
        self.nested: set[tuple[Any, ...]] = set()
        self._open: list[tuple[str, str | None]] = [("", None)]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        piece = (tag, given.get("class"), given.get("type"), given.get("role"), *sorted(given))
        self.pieces.add(piece)
        self.nested.add((self._open[-1], piece))
        if tag not in VOID:
            self._open.append((tag, given.get("class")))

    def handle_endtag(self, tag: str) -> None:
        while len(self._open) > 1 and self._open.pop()[0] != tag:
            pass


class Shapes:
    """Remembers which elements were seen on each kind of page; with `nested`, in which element each of them was."""

    def __init__(self, *, nested: bool = False) -> None:
        self._seen: dict[object, set[Any]] = defaultdict(set)
        self._nested = nested

    def is_new(self, kind: object, html: str) -> bool:
        """Return whether the page has an element that earlier pages of this kind did not have, and remember its
        elements.
        """
        shape, known = _Shape(), self._seen[kind]
        shape.feed(html)
        elements = shape.nested if self._nested else shape.pieces
        is_new = not elements <= known
        known |= elements
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


def faults(
    page: Page, widths: tuple[int, ...] = WIDTHS, *, read: tuple[int, ...] = WIDTHS, with_colours: bool = True
) -> list[Any]:
    """Return the faults at these widths.

    axe-core takes seconds, so it checks only the widths in `read`. Colours take most of these seconds.
    """
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
        without = () if with_colours else RULES_OF_COLOUR
        found += [(page.url, width, "light", *violation) for violation in violations(page, without=without)]
        if not with_colours:
            continue
        page.emulate_media(color_scheme="dark")
        # A theme changes only colours: test_a_theme_changes_colours_alone proves it.
        found += [(page.url, width, "dark", *violation) for violation in violations(page, only=RULES_OF_COLOUR)]
    if before:
        page.set_viewport_size(before)
    return found
