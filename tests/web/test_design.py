"""What holds for every template and style sheet: contrast, no inline code, only what is vendored."""

import hashlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Mails, and the timeline of an evidence bundle, are no pages: they are taken along with all that they need.
TEMPLATES = [path for path in (ROOT / "templates").rglob("*.html") if not {"emails", "timeline"} & {*path.parts}]
TOKENS = (ROOT / "static/css/tokens.css").read_text()
SPRITE = (ROOT / "static/vendor/lucide/sprite.svg").read_text()

#: Text on what it is written on: 4.5 to 1.
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
    ("on-open", "open-solid"),
    ("n1", "n12"),
    ("n1", "n11"),
]
#: Lines, shapes and the focus ring, which must be seen but not read: 3 to 1.
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
    """Relative luminance, WCAG 2.2."""
    channels = [int(hexadecimal[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    ("front", "back", "least"), [*((*pair, 4.5) for pair in TEXT), *((*pair, 3.0) for pair in SHAPES)]
)
def test_the_colours_are_told_apart(front: str, back: str, least: float, theme: int) -> None:
    assert contrast(colour(front, theme), colour(back, theme)) >= least


def test_the_measure_of_contrast_is_the_one_of_the_standard() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_template_carries_no_inline_code(path: Path) -> None:
    source = re.sub(r"\{[%#].*?[%#]\}", "", path.read_text(), flags=re.S)
    assert not re.search(r"\sstyle\s*=", source)
    assert not re.search(r"<style\b", source)
    assert not re.search(r"\son[a-z]+\s*=\s*[\"']", source)
    assert not re.search(r"javascript:", source)
    scripts = re.findall(r"<script\b[^>]*>", path.read_text())
    # Without the nonce of the answer no script runs.
    assert [tag for tag in scripts if "src=" not in tag or 'nonce="{{ csp_nonce }}"' not in tag] == []


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_an_icon_that_a_template_names_is_there(path: Path) -> None:
    source = path.read_text()
    named = re.findall(r"\{% icon \"([\w-]+)\"", source)
    named += re.findall(r"icon_name=\"([\w-]+)\"", source)
    named += re.findall(r"\{% icon [\w.]+\|default:\"([\w-]+)\"", source)
    assert [name for name in named if f'<symbol id="{name}"' not in SPRITE] == []


def test_a_component_says_what_it_needs() -> None:
    silent = [
        path.name
        for path in (ROOT / "templates/components").glob("*.html")
        if not path.read_text().startswith("{# context:")
    ]
    assert silent == []


def test_what_is_vendored_is_what_the_manifest_says() -> None:
    vendor = ROOT / "static/vendor"
    manifest = json.loads((vendor / "MANIFEST.json").read_text())
    for entry in manifest:
        assert hashlib.sha256((vendor / entry["file"]).read_bytes()).hexdigest() == entry["sha256"]
    known = {entry["file"] for entry in manifest}
    there = {str(path.relative_to(vendor)) for path in vendor.glob("*/*") if path.name != "LICENSE"}
    assert there == known


def test_colours_come_from_tokens_alone() -> None:
    sheets = [path for path in (ROOT / "static/css").rglob("*.css") if path.name not in ("tokens.css", "print.css")]
    stray = {
        path.name: found for path in sheets if (found := re.findall(r"#[0-9a-f]{3,8}\b|rgba?\(", path.read_text()))
    }
    assert stray == {}
