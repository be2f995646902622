"""Every page of every role, with long texts: checked with axe-core, in both themes and at both widths."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter
from typing import Any

import pytest
from django.urls import URLPattern, URLResolver, get_resolver

from requests_app.models import AccessRequest, Person
from tests.browser.axe import JUDGED, READ, WIDTHS, Colours, Shapes, faults, width_for
from tests.browser.conftest import Visit
from tests.browser.long_words import lengthen
from tests.words.crawl import FILES, PEOPLE, Visited, addresses, crawl

#: Addresses of forms and scripts, which are not pages.
NO_PAGES = {
    "set_theme",
    "note_link_copy",
    "log_verify",
    "log_check",
    "log_checkpoint",
    "log_checkpoint_of",
    "log_consistency",
    "log_consistency_of",
    "log_proof",
    "log_export",
    "evidence_progress",
    "window_state",
    "window_raw",
    "grant_token",
    "resume",
    "not_sent",
    "security_end_session",
    "sign_on_test",
    "sso_test",
    "sso_callback",
    "sso_prove",
    "sign_on_key",
    # The identity provider's answers arrive here, and it reads this: see test_saml.
    "saml_answer",
    "saml_arrived",
    "saml_metadata",
    # It is linked only after a restore: see test_restored.
    "restored",
}
PER_ROUTE = 3


_LOOKS = """
() => {
  const all = [...document.querySelectorAll("body *")];
  const boxes = all.map((element) => {
    const box = element.getBoundingClientRect();
    return [element.tagName, Math.round(box.x), Math.round(box.width), Math.round(box.height)].join(" ");
  });
  const colours = all.map((element) => {
    const style = getComputedStyle(element);
    return [style.color, style.backgroundColor, style.borderTopColor].join(" ");
  });
  return [boxes, colours];
}
"""


def pages(logins: list[str]) -> Iterator[Visited]:
    """Yield the pages that each of these people can reach. A page is left out if earlier pages had all its elements."""
    shapes = Shapes()
    for login in logins:
        for page in crawl(login, first=addresses(login), per_route=PER_ROUTE):
            if shapes.is_new((page.route, page.status), page.html):
                yield page


def names(resolver: URLResolver, wanted: str, namespace: str = "") -> Iterator[str]:
    for entry in resolver.url_patterns:
        if isinstance(entry, URLResolver):
            yield from names(entry, wanted, entry.namespace or namespace)
        elif isinstance(entry, URLPattern) and namespace == wanted and entry.name:
            yield entry.name


def all_pages() -> set[str]:
    """Return the names of all pages in the URL configuration."""
    found = {f"web:{name}" for name in names(get_resolver(), "web")} - {f"web:{name}" for name in NO_PAGES}
    found |= {f"admin:{name}" for name in names(get_resolver(), "admin") if name.endswith("_changelist")}
    found |= {"admin:index", *(f"account_{name}" for name in ("login", "logout", "change_password", "reset_password"))}
    assert len(found) > 100
    return found


@pytest.mark.timeout(900)
def test_the_page_of_the_apis_document_has_no_fault(visit: Visit) -> None:
    """The crawl below skips this page because of its length. It is the same for everybody."""
    visitor = visit("")
    visitor.goto("/api/")
    assert faults(visitor.page, read=(width_for("/api/", WIDTHS),)) == []


@pytest.mark.timeout(1800)
def test_every_page_is_reached_and_has_no_fault(visit: Visit) -> None:
    """Check each page at both widths. Check it with axe-core in both themes, at the width of its route.

    All texts of people are as long as their fields allow, and no page may scroll horizontally. Other tests show
    shorter texts. axe-core takes most of the time, so it checks only the first page of each kind, and pages
    with a new element. Colours take most of axe-core's time. So they are checked only if an element of the page
    is nested in a way that no earlier page had. One test visits the pages of all people, because most of their
    pages are the same. All of them use one tab, one after the other.
    """
    lengthen()
    there = list(pages(PEOPLE))
    assert all_pages() - {page.route.partition(" ")[0] for page in there} == set()
    assert FILES - {"reader"} <= NO_PAGES
    found: list[Any] = []
    kinds, pieces, places = set(), Shapes(), Shapes(nested=True)
    visitor = visit("")
    visitor.watch.expected |= {400, 403, 404, 409}
    for login, theirs in groupby(there, key=attrgetter("login")):
        if login:
            visitor.change_to(Person.objects.get(email__startswith=f"{login}@"))
        for page in theirs:
            visitor.goto(page.address)
            kind = (page.route.partition(" ")[0], page.status)
            is_read, is_elsewhere = (
                pieces.is_new("any", page.html) or kind not in kinds,
                places.is_new("any", page.html),
            )
            kinds.add(kind)
            width = width_for(page.route, WIDTHS)
            read = (width,) if is_read or is_elsewhere else ()
            found += faults(visitor.page, read=read, colours=JUDGED, with_structure=is_read, with_colours=is_elsewhere)
            if is_read and is_elsewhere:
                READ.is_new((page.route, width), visitor.page.content())
    if found:
        raise AssertionError("\n".join(str(fault) for fault in found))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        ("document.querySelector('.brand-name').style.color = '#cfcfcf'", "color-contrast"),
        ("document.querySelector('main').append(document.createElement('input'))", "label"),
        ("document.querySelector('main').append(Object.assign(new Image(), {src: '/static/icon.svg'}))", "image-alt"),
        ("document.querySelector('h1').style.inlineSize = '500px'", "scrolls sideways"),
        ("document.querySelector('.button-decide').style.cssText = 'min-height: 0; height: 30px'", "targets"),
    ],
)
def test_a_fault_is_found(visit: Visit, spoil: str, words: str) -> None:
    ada = visit("ada.keller")
    ada.goto(f"/access-requests/{AccessRequest.objects.get(tenant__slug='contoso', state='PENDING_CUSTOMER').pk}/")
    ada.page.evaluate(f"() => {{ {spoil} }}")
    assert words in str(faults(ada.page, widths=(360,)))


def test_a_page_is_read_again_where_it_has_a_piece_that_was_not_read() -> None:
    shapes = Shapes()
    assert shapes.is_new("page", "<p>One</p>")
    assert not shapes.is_new("page", "<p>Two</p><p>Three</p>")
    assert shapes.is_new("page", "<p>One</p><p class='hint'>Two</p>")
    assert shapes.is_new("other page", "<p>One</p>")


def test_colours_are_checked_again_where_an_element_is_in_another_one() -> None:
    places = Shapes(nested=True)
    assert places.is_new("page", "<div class='panel'><br><p>One</p></div><i>Two</i>")
    assert not places.is_new("page", "<div class='panel'><p>Three</p><br></div>")
    assert places.is_new("page", "<div class='alert'><p>Four</p></div>")
    assert places.is_new("page", "<p>Five</p>")
    assert places.is_new("page", "<div class='alert'><div class='panel'><p>Six</p></div></div>")


@pytest.mark.parametrize("spoilt", ["h1", "main"])
def test_colours_are_judged_again_where_a_text_or_its_background_is_another(visit: Visit, spoilt: str) -> None:
    page, colours = visit("").goto("/limits/"), Colours()
    assert faults(page, widths=(1280,), colours=colours) == []
    assert colours.new_on(page) == []
    page.evaluate(f"() => {{ document.querySelector('{spoilt}').style.cssText = 'color: #888; background: #777' }}")
    assert "color-contrast" in str(faults(page, widths=(1280,), colours=colours))


def test_a_text_is_another_one_where_an_element_lies_over_it(visit: Visit) -> None:
    page, colours = visit("").goto("/limits/"), Colours()
    assert colours.new_on(page) != []
    assert colours.new_on(page) == []
    page.evaluate("""() => {
      const over = document.createElement("div");
      over.style.cssText = "position: absolute; inset: 0; background: #333";
      document.body.append(over);
    }""")
    assert colours.new_on(page) != []


def test_a_theme_changes_colours_alone(visit: Visit) -> None:
    """Other tests check some rules in one theme only, so nothing else may differ between the themes."""
    ada = visit("ada.keller")
    ada.goto("/")
    layouts, colours = [], []
    for scheme, theme in (("light", "system"), ("dark", "system"), ("light", "dark"), ("dark", "light")):
        ada.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # one of the two
        ada.page.evaluate("(theme) => { document.documentElement.dataset.theme = theme; }", theme)
        layout, colour = ada.page.evaluate(_LOOKS)
        layouts.append(layout)
        colours.append(colour)
    assert layouts[1:] == layouts[:1] * 3
    assert colours[0] != colours[1]
    # The product's switch has the same result as the system's setting.
    assert (colours[2], colours[3]) == (colours[1], colours[0])
