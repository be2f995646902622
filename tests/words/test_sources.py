"""Finds what no crawl reaches: words in all branches of all templates, and the catalogue for translators."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from django.template.base import Lexer, TokenType

from tests.sources import PACKAGES, ROOT, name_of, templates, text_of
from tests.words.reading import FORMS, World, spoken, words_of

#: A template with the style of texts, such as the names of typefaces.
STYLES = ROOT / "templates" / "emails" / "_font.html"
TEMPLATES = {name_of(path): text_of(path) for path in templates(".html", ".txt") if path != STYLES}
#: Words inside these blocks are marked, or are names of classes.
_MARKED = {"blocktranslate": "endblocktranslate", "block page_class": "endblock"}


def raw_in(template: str) -> list[str]:
    """Return the words in a template that are not marked for translation."""
    pieces, until = [], ""
    for token in Lexer(template).tokenize():
        words = token.contents.split() if token.token_type is TokenType.BLOCK else [""]
        if until:
            until = "" if words[0] == until else until
        elif token.token_type is TokenType.BLOCK and (end := _MARKED.get(words[0]) or _MARKED.get(" ".join(words))):
            until = end
        elif token.token_type is TokenType.TEXT:
            pieces.append(token.contents)
        else:
            pieces.append(" ")
    page_text = "".join(pieces)
    return [word for text in spoken(page_text) for word in words_of(FORMS.sub(" ", text)) if len(word) > 1]


def offenders(check: Callable[[str], list[str]]) -> dict[str, list[str]]:
    """Run a check on each template. Return what it finds, by template."""
    assert len(TEMPLATES) > 200
    return {name: found for name, template in TEMPLATES.items() if (found := check(template))}


def test_every_word_of_a_template_is_marked_for_translation() -> None:
    assert offenders(raw_in) == {}


def test_a_word_that_is_not_marked_is_found() -> None:
    bare = [
        "<p>Bare</p>",
        '<input placeholder="Bare">',
        '<button title="{{ x }} Bare">',
        "{% if x %}<p>{% translate 'ok' %} Bare</p>{% endif %}",
        "{% blocktranslate %}ok{% endblocktranslate %}Bare",
    ]
    assert {template: raw_in(template) for template in bare} == dict.fromkeys(bare, ["Bare"])


def test_the_reader_tells_words_from_data() -> None:
    world = World(["Contoso", "Since Monday the search finds nothing", "Ada Keller"])
    is_raw = {
        "⟦Öpéñ ñöw⟧": False,
        "Open now": True,
        "⟦Ašk Contoso⟧ now": True,
        "⟦Öpéñ⟧ Contoso": False,
        "⟦Öpéñ until⟧": True,
        "Since Monday the search finds nothing": False,
        "Since Monday the search fi…": False,
        "Since Tuesday": True,
        "ada@contoso.example, AR-7K2M-Q4XD, 14:05 CET": False,
        "CET": True,
    }
    assert {text: bool([*world.raw([text])]) for text in is_raw} == is_raw


def unbound_in(template: str) -> list[str]:
    """Return the values that `blocktranslate` would leave out. It accepts only names without a dot or a filter."""
    found, is_inside = [], False
    for token in Lexer(template).tokenize():
        if token.token_type is TokenType.BLOCK:
            tag = token.contents.split()[0]
            is_inside = tag in ("blocktranslate", "blocktrans") or (is_inside and tag == "plural")
        elif token.token_type is TokenType.VAR and is_inside and not re.fullmatch(r"\w+", token.contents):
            found.append(token.contents)
    return found


def test_every_value_of_a_translated_block_is_a_plain_name() -> None:
    assert offenders(unbound_in) == {}


@pytest.mark.parametrize(
    ("template", "found"),
    [
        ("{% blocktranslate %}{{ tenant.pk }}{% endblocktranslate %}", ["tenant.pk"]),
        ("{% blocktrans trimmed count n=n %}{{ n }}{% plural %}{{ n|size }}{% endblocktrans %}", ["n|size"]),
        ("{% blocktranslate with id=tenant.pk %}{{ id }}{% endblocktranslate %}{{ tenant.pk }}", []),
    ],
)
def test_a_value_that_would_render_as_nothing_is_found(template: str, found: list[str]) -> None:
    assert unbound_in(template) == found


def unfilled_in(template: str) -> list[str]:
    """Return the texts with a value inside `translate`.

    A reader would see the braces, because `translate` fills in nothing.
    """
    blocks = [token.contents for token in Lexer(template).tokenize() if token.token_type is TokenType.BLOCK]
    return [block for block in blocks if block.split()[0] in ("translate", "trans") and "{{" in block]


def test_no_translated_text_shows_its_braces() -> None:
    assert offenders(unfilled_in) == {}


def test_a_value_inside_a_plain_translation_is_found() -> None:
    bare = '{% translate "Trust {{ name }}." %}'
    good = '{% blocktranslate %}Trust {{ name }}.{% endblocktranslate %}{{ name }}{% translate "Trust" %}'
    assert [unfilled_in(bare), unfilled_in(good)] == [['translate "Trust {{ name }}."'], []]


@pytest.mark.slow
def test_the_catalogue_is_made_without_a_warning(tmp_path: Path) -> None:
    if shutil.which("xgettext") is None:
        pytest.fail("GNU gettext is missing, and bin/test could not install it. Install it.", pytrace=False)
    for name in (*PACKAGES, "templates"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "locale").mkdir()
    command = [sys.executable, "-m", "django", "makemessages", "--locale", "xx", "--keep-pot"]
    made = subprocess.run(
        # Without the places of the messages, which Django would search the whole catalogue for once for each template.
        [*command, "--extension", "html,txt,py", "--no-location"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        # The command needs no settings, and the tests' settings are not in this directory.
        env={name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"},
    )
    assert made.returncode == 0, made.stderr
    assert "warning" not in (made.stdout + made.stderr).lower()
    catalogue = (tmp_path / "locale" / "django.pot").read_text()
    assert catalogue.count("\nmsgid ") > 500
    # If a message contains line breaks or indentation, its block was not trimmed.
    assert re.findall(r'^"[^"\n]*\\n[^"\n]*"$', catalogue.partition("\n\n")[2], re.MULTILINE) == []
