"""The rules for all templates and style sheets: contrast, no inline code, and no files from other servers."""

import hashlib
import json
import re
from collections.abc import Callable

import pytest

from tests.sources import ROOT, files_in, name_of, templates, text_of

#: The templates of pages. Mails and the timeline of a bundle are left out, because they contain all that they need.
PAGES = {
    name_of(path): text_of(path) for path in templates() if not {"emails", "timeline"} & {*path.relative_to(ROOT).parts}
}
TOKENS = text_of(ROOT / "static/css/tokens.css")
SPRITE = text_of(ROOT / "static/vendor/lucide/sprite.svg")

#: Text colours with their backgrounds: contrast at least 4.5 to 1.
TEXT = [
    *((ink, ground) for ink in ("ink", "ink-soft", "accent") for ground in ("n1", "n2", "n3", "raised")),
    *((state, "n1") for state in ("waiting", "open", "refused", "sealed")),
    *((state, "raised") for state in ("waiting", "open", "refused", "sealed")),
    *((state, f"{state}-soft") for state in ("waiting", "open", "refused", "sealed", "over")),
    *(("ink", f"{state}-soft") for state in ("waiting", "open", "refused", "sealed", "over", "accent")),
    *(("ink-soft", f"{state}-soft") for state in ("waiting", "refused", "accent")),
    ("accent", "accent-soft"),
    ("accent-strong", "n3"),
    ("on-accent", "accent-solid"),
    ("on-accent", "accent-solid-strong"),
    ("n1", "n12"),
    ("n1", "n11"),
]
#: Lines, shapes and the focus ring with their backgrounds. They need not be read, so 3 to 1 is enough.
SHAPES = [
    *((line, ground) for line in ("line-strong", "focus", "n9") for ground in ("n1", "n2", "raised")),
    *((f"{state}-line", "n1") for state in ("waiting", "open", "refused", "sealed", "over")),
    *((f"{state}-line", "raised") for state in ("waiting", "open", "refused")),
    ("n9", "n5"),
]


def colour(name: str, theme: int) -> str:
    value = re.search(rf"--{name}: ([^;]+);", TOKENS)
    assert value, name
    alias = re.fullmatch(r"var\(--([\w-]+)\)", value[1])
    if alias:
        return colour(alias[1], theme)
    found = re.findall(r"#[0-9a-f]{6}", value[1])
    return found[theme] if len(found) == 2 else found[0]


def luminance(hexadecimal: str) -> float:
    """Return the relative luminance of a colour, as WCAG 2.2 defines it."""
    channels = [int(hexadecimal[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_every_pair_of_colours_has_enough_contrast() -> None:
    pairs = [*((*pair, 4.5) for pair in TEXT), *((*pair, 3.0) for pair in SHAPES)]
    too_low = {
        (theme, front, back, least): found
        for number, theme in enumerate(("light", "dark"))
        for front, back, least in pairs
        if (found := contrast(colour(front, number), colour(back, number))) < least
    }
    assert too_low == {}


def test_the_measure_of_contrast_is_the_one_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def offenders(check: Callable[[str], list[str]]) -> dict[str, list[str]]:
    """Run a check on the template of each page. Return what it finds, by template."""
    assert len(PAGES) > 100
    return {name: found for name, template in PAGES.items() if (found := check(template))}


_INLINE = re.compile(r"\sstyle\s*=|<style\b|\son[a-z]+\s*=\s*[\"']|javascript:")


def inline_code(template: str) -> list[str]:
    """Return the styles and code in a page's template, and the scripts that the content security policy would block."""
    found = _INLINE.findall(re.sub(r"\{[%#].*?[%#]\}", "", template, flags=re.S))
    scripts = re.findall(r"<script\b[^>]*>", template)
    # A script needs the nonce of the response.
    return found + [tag for tag in scripts if "src=" not in tag or 'nonce="{{ csp_nonce }}"' not in tag]


def test_no_template_carries_inline_code() -> None:
    assert offenders(inline_code) == {}


def test_each_kind_of_inline_code_is_found() -> None:
    kinds = [
        '<p style="color: red">',
        "<style>p {}</style>",
        '<p onclick="go()">',
        '<a href="javascript:go()">',
        "<script>go()</script>",
        '<script src="/x.js"></script>',
    ]
    assert [template for template in kinds if len(inline_code(template)) != 1] == []


_ICONS = [r"\{% icon \"([\w-]+)\"", r"icon_name=\"([\w-]+)\"", r"\{% icon [\w.]+\|default:\"([\w-]+)\""]


def icons(template: str) -> list[str]:
    return [name for pattern in _ICONS for name in re.findall(pattern, template)]


def test_every_icon_that_a_template_names_is_in_the_sprite() -> None:
    assert sum(len(icons(template)) for template in PAGES.values()) > 50
    assert offenders(lambda template: [each for each in icons(template) if f'<symbol id="{each}"' not in SPRITE]) == {}


def test_a_component_says_what_it_needs() -> None:
    components = [path for path in templates() if path.parent == ROOT / "templates/components"]
    assert components
    assert [path.name for path in components if not text_of(path).startswith("{# context:")] == []


def test_vendored_files_match_the_manifest() -> None:
    vendor = ROOT / "static/vendor"
    manifest = json.loads((vendor / "MANIFEST.json").read_text())
    changed = [
        entry["file"]
        for entry in manifest
        if hashlib.sha256((vendor / entry["file"]).read_bytes()).hexdigest() != entry["sha256"]
    ]
    assert changed == []
    known = {entry["file"] for entry in manifest}
    there = {str(path.relative_to(vendor)) for path in vendor.glob("*/*") if path.name != "LICENSE"}
    assert there == known


def test_colours_come_from_tokens_alone() -> None:
    outside = {"tokens.css", "print.css"}
    sheets = [path for path in files_in("static/css") if path.suffix == ".css" and path.name not in outside]
    assert sheets
    stray = {path.name: found for path in sheets if (found := re.findall(r"#[0-9a-f]{3,8}\b|rgba?\(", text_of(path)))}
    assert stray == {}
