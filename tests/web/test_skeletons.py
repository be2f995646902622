"""A row that is filled into a skeleton says what the template would say, and nothing in it acts as a tag."""

from __future__ import annotations

from django.template.loader import render_to_string
from django.utils import translation
from django.utils.safestring import mark_safe

from requests_app.doors.web._log_rows import SLOTS
from requests_app.words.skeletons import skeleton

VALUES = {name: f'<{name}>&"' for name in SLOTS}


def test_a_value_is_escaped_unless_it_is_safe_already() -> None:
    row = skeleton("log/_row.html", SLOTS).fill({**VALUES, "sentence": mark_safe("<b>Mia</b>"), "door": "<i>"})
    assert '<span class="entry-sentence"><b>Mia</b></span>' in row
    assert "&lt;i&gt;" in row
    assert "<record>" not in row


def test_it_is_what_the_template_renders() -> None:
    flags = {"is_altered", "is_open", "has_comment", "has_about", "is_signed", "has_email", "has_lists"}
    for some in (set(), {"has_email"}, {"is_altered", "is_open"}, flags):
        filled = skeleton("log/_row.html", SLOTS, frozenset(some)).fill(VALUES)
        assert filled == render_to_string("log/_row.html", {"slot": VALUES, **dict.fromkeys(some, True)}).strip()


def test_languages_do_not_share_a_skeleton() -> None:
    english = skeleton("log/_row.html", SLOTS)
    with translation.override("de"):
        assert skeleton("log/_row.html", SLOTS) is not english
    assert skeleton("log/_row.html", SLOTS) is english
