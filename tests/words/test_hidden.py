"""Characters that a reader can't see are shown as codes, also those that Python calls printable."""

import pytest

from requests_app.words import text


@pytest.mark.parametrize("show", [text.visible_single, text.visible_block])
def test_every_hidden_character_is_shown_as_its_code(show: object) -> None:
    assert callable(show)
    ranges = ((low, high) for low, high in text._HIDDEN_RANGES if high < 0xE0000)
    hidden = [code for low, high in ranges for code in range(low, high + 1) if chr(code).strip()]
    assert any(chr(code).isprintable() for code in hidden)
    assert [code for code in hidden if f"U+{code:04X}" not in show(f"a{chr(code)}b")] == []


def test_a_text_is_escaped_with_and_without_hidden_characters() -> None:
    assert "<b>" not in text.visible_single("<b>")
    assert "<b>" not in text.visible_single("<b>\u200b")
    assert "&amp;lt;" not in text.visible_single("<")


def test_a_record_of_several_lines_is_not_searched_for_hidden_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each entry of the log shows its JSON, and the search took a fifth of the page's time."""
    monkeypatch.setattr(text, "HIDDEN", None)
    assert "{<br>  &quot;a&quot;: 1<br>}" in text.visible_block('{\n  "a": 1\n}', has_links=False)


def test_each_kind_of_line_break_is_one_break() -> None:
    for has_links in (True, False):
        assert ">a<br>b<br>c<br><br>d<" in text.visible_block("a\nb\rc\r\n\r\nd", has_links=has_links)
    assert "U+0085" in text.visible_block("a\n\x85", has_links=False)
    assert "U+001B" in text.visible_block("a\n\x1b", has_links=False)
