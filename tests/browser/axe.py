"""Checks of every page: axe-core finds no violation, nothing scrolls horizontally, and a finger can hit each target."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar
from urllib.parse import urlsplit

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

from tests.words.crawl import route_of
from tests.words.reading import tag_of, tags

T = TypeVar("T")
WIDTHS = (360, 1280)
#: The rules about colours, of the rules that axe-core applies by default.
RULES_OF_COLOUR = ["color-contrast", "link-in-text-block"]
#: The smallest target on a page where people decide, in CSS pixels.
TARGET = 44
#: Makes axe-core available on a page. It starts only where a page is read, because each start takes 20 ms. The last
#: value is not a function, because Playwright would call it.
_OFFER = f"window.loadAxe = () => {{ {AXE_SCRIPT} }}; undefined"
_RUN = """
async ({only, without, judged}) => {
  if (!("loadAxe" in window)) return null;
  if (!("axe" in window)) window.loadAxe();
  // Colours are judged only where an element is marked.
  const marked = judged.map((number) => window.lockboxTexts[number]);
  marked.forEach((element) => element.setAttribute("data-judged", ""));
  axe.configure({rules: [{id: "color-contrast", selector: "[data-judged]"},
                         {id: "link-in-text-block", selector: "a[href][data-judged]"}]});
  const found = await axe.run(
    {include: [["html"]], exclude: [[".letter-html *"]]},
    {resultTypes: ["violations"], preload: {assets: ["media"]}, ...(only ? {runOnly: only} : {}),
     rules: {"target-size": {enabled: true}, ...Object.fromEntries(without.map((rule) => [rule, {enabled: false}]))}});
  marked.forEach((element) => element.removeAttribute("data-judged"));
  return found.violations.map((violation) => [violation.id, violation.help, violation.nodes.slice(0, 3).map(
    (node) => `${node.target.join(" ")} ${node.html.slice(0, 160)} ${node.failureSummary}`)]);
}
"""
#: Describes each visible element with text by everything that its contrast depends on: its markup and its parent's, the
#: style of its text, and each background where it is, also of an element that only lies over or under it. Returns each
#: description once, with the number of its first element.
_TEXTS = """
() => {
  const all = [document.documentElement, document.body, ...document.body.querySelectorAll("*")];
  const styles = new Map(all.map((element) => [element, getComputedStyle(element)]));
  const boxes = new Map(all.map((element) => {
    const {left, right, top, bottom} = element.getBoundingClientRect();
    return [element, {left, right, top, bottom}];
  }));
  const markup = (element) => [element.tagName, element.getAttribute("class"), element.type, element.style.cssText,
    ...element.getAttributeNames().sort()].join(" ");
  const opacities = new Map();
  all.forEach((element) => {
    const [own, around] = [styles.get(element).opacity, opacities.get(element.parentElement) || ""];
    opacities.set(element, own === "1" ? around : `${around} ${own}`);
  });
  const pictures = ["IMG", "svg", "CANVAS", "VIDEO", "IFRAME", "OBJECT"];
  const painted = all.filter((element) => pictures.includes(element.tagName)
    || styles.get(element).backgroundColor !== "rgba(0, 0, 0, 0)" || styles.get(element).backgroundImage !== "none")
    .map((element) => {
      const style = styles.get(element);
      return [element, boxes.get(element), [style.backgroundColor, style.backgroundImage, style.position, style.zIndex,
        opacities.get(element)].join(" ")];
    });
  const backgrounds = (text, inner) => painted.map(([element, outer, looks]) => {
    if (outer.right <= inner.left || outer.left >= inner.right || outer.bottom <= inner.top
        || outer.top >= inner.bottom) return "";
    const covers = outer.left <= inner.left && outer.right >= inner.right && outer.top <= inner.top
      && outer.bottom >= inner.bottom;
    return [looks, element.contains(text), text.contains(element), covers].join(" ");
  }).filter(Boolean).join("; ");
  const hasText = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  const texts = all.filter((element) => (hasText(element) || element.matches("input, textarea, select, button"))
    && !element.matches(".letter-html *")
    && element.checkVisibility({opacityProperty: true, visibilityProperty: true}));
  const found = new Map();
  texts.forEach((element, number) => {
    const style = styles.get(element), parent = element.parentElement || element;
    let block = parent;
    while (styles.get(block).display === "inline") block = block.parentElement;
    // axe-core does not judge the contrast of a single letter, of symbols, and of what is disabled.
    const words = element.value || element.placeholder || element.textContent;
    const description = [markup(element), markup(parent), style.color, style.fontSize, style.fontWeight,
      style.textShadow, style.textDecorationLine, opacities.get(element), styles.get(block).color,
      block.textContent.trim() === element.textContent.trim(), /[\\p{L}\\p{N}].*[\\p{L}\\p{N}]/su.test(words),
      Boolean(element.closest(":disabled, [aria-disabled=true]")), element.closest("label")?.control?.disabled,
      backgrounds(element, boxes.get(element))].join(" | ");
    if (!found.has(description)) found.set(description, number);
  });
  window.lockboxTexts = texts;
  return [...found];
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


class Colours:
    """Remembers which texts, in which colours, axe-core has already judged."""

    def __init__(self) -> None:
        self._judged: set[str] = set()

    def new_on(self, page: Page) -> list[int]:
        """Return the numbers of the page's texts that no earlier page had in these colours, and remember them."""
        found = {text: number for text, number in page.evaluate(_TEXTS) if text not in self._judged}
        self._judged.update(found)
        return list(found.values())


def violations(
    page: Page, *, only: list[str] | None = None, without: Sequence[str] = (), judged: Sequence[int] = ()
) -> list[Any]:
    """Return the violations that axe-core finds, except those inside the HTML of a displayed message.

    Colours are judged only for the texts whose numbers are in `judged`.
    """
    options = {"only": only, "without": list(without), "judged": list(judged)}
    found = page.evaluate(_RUN, options)
    if found is None:
        page.evaluate(_OFFER)
        # The later pages of this tab have axe-core already. Chromium then compiles it only once.
        page.context.add_init_script(_OFFER)
        found = page.evaluate(_RUN, options)
    return list(found)


@dataclass(frozen=True)
class _Shape:
    """Hashes of the elements of a page. The text does not count."""

    pieces: frozenset[int]
    #: Elements with all elements around them, on whose backgrounds they are drawn.
    nested: frozenset[int]


@lru_cache(20_000)
def _piece(source: str) -> int:
    """Return the hash of an element, from the source of its start tag."""
    tag = tag_of(source)
    given = tag.given
    return hash((tag.name, given.get("class"), given.get("type"), given.get("role"), *sorted(given)))


@lru_cache(maxsize=1024)
def _shape_of(html: str) -> _Shape:
    pieces, nested, around = set(), set(), [("", 0)]
    for start, end in tags(html):
        if start:
            tag, piece, outer = tag_of(start), _piece(start), around[-1][1]
            pieces.add(piece)
            nested.add(hash((outer, piece)))
            if tag.has_end:
                around.append((tag.name, hash((outer, tag.name, tag.given.get("class")))))
        if end:
            while len(around) > 1 and around.pop()[0] != end:
                pass
    return _Shape(frozenset(pieces), frozenset(nested))


class Shapes:
    """Remembers which elements each kind of page had so far.

    With `nested`, the same element inside other elements counts as a different element.
    """

    def __init__(self, *, nested: bool = False) -> None:
        self._seen: dict[object, set[int]] = defaultdict(set)
        self._nested = nested

    def is_new(self, kind: object, html: str) -> bool:
        """Return whether the page has an element that no earlier page of this kind had, and remember its elements."""
        shape, known = _shape_of(html), self._seen[kind]
        elements = shape.nested if self._nested else shape.pieces
        is_new = not elements <= known
        known |= elements
        return is_new


#: What axe-core has checked in this process: the elements of each route at each width, and the texts in their colours.
#: The test of every page comes first. So a journey has a page checked only if it shows something new there.
READ, JUDGED = Shapes(), Colours()


def width_for(route: str, widths: tuple[T, ...]) -> T:
    """Return the width at which axe-core checks the pages of this route. It is always the same for a route."""
    return widths[zlib.crc32(route.encode()) % len(widths)]


def check(page: Page, widths: tuple[int, ...] = (1280,)) -> None:
    """Assert that the page has no fault in either theme. Afterwards restore the browser's settings.

    axe-core runs at one of these widths. It does not run if earlier pages had all of the page's elements.
    """
    page.wait_for_load_state()
    route = route_of(urlsplit(page.url)._replace(scheme="", netloc="").geturl())
    width = width_for(route, widths)
    read = (width,) if READ.is_new((route, width), page.content()) else ()
    before = page.viewport_size
    found = faults(page, widths, read=read, colours=JUDGED)
    if before:
        page.set_viewport_size(before)
    if found:
        raise AssertionError("\n".join(str(fault) for fault in found))


def faults(
    page: Page,
    widths: tuple[int, ...] = WIDTHS,
    *,
    read: tuple[int, ...] = WIDTHS,
    colours: Colours | None = None,
    with_structure: bool = True,
    with_colours: bool = True,
) -> list[Any]:
    """Return the faults of the page at these widths. The browser stays at the last width.

    axe-core takes a long time, so it runs only at the widths in `read`. Colours take most of this time, so only texts
    that are not yet in `colours` are judged.
    """
    found: list[Any] = []
    colours = colours or Colours()
    # A page that is still loading has no body.
    page.wait_for_load_state()
    present = page.viewport_size["width"] if page.viewport_size else 0
    for width in sorted(widths, key=lambda each: each != present):
        if width != present:
            page.set_viewport_size({"width": width, "height": 900})
        measured = page.evaluate(_MEASURE, TARGET)
        if measured["overflow"] > 0:
            found.append((page.url, width, "scrolls sideways", measured["wide"]))
        if measured["tooSmall"]:
            found.append((page.url, width, "targets", measured["tooSmall"]))
        if width not in read:
            continue
        judged = colours.new_on(page) if with_colours else []
        if judged or with_structure:
            only, without = (None if with_structure else RULES_OF_COLOUR), (() if judged else RULES_OF_COLOUR)
            light = violations(page, only=only, without=without, judged=judged)
            found += [(page.url, width, "light", *each) for each in light]
        if not with_colours:
            continue
        page.emulate_media(color_scheme="dark")
        # A theme changes only colours: test_a_theme_changes_colours_alone proves it.
        judged = colours.new_on(page)
        if judged:
            dark = violations(page, only=RULES_OF_COLOUR, judged=judged)
            found += [(page.url, width, "dark", *each) for each in dark]
        page.emulate_media(color_scheme="light")
    return found
