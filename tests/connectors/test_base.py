"""Which types of content a page can show, and safe file names for downloads."""

from hypothesis import given
from hypothesis import strategies as st

from requests_app.content.connectors._text import decode, known_charset, one_line, safe_filename
from requests_app.content.connectors.base import render_hint
from tests.offenders import collected


def test_only_harmless_types_are_shown_in_the_page() -> None:
    cases = [
        ("text/plain", "text"),
        ("Text/Plain; charset=utf-8", "text"),
        ("text/csv", "text"),
        ("application/json", "text"),
        ("image/png", "image"),
        ("image/jpeg", "image"),
        ("image/svg+xml", "download"),
        ("text/html", "download"),
        ("application/xhtml+xml", "download"),
        ("text/xml", "download"),
        ("text/javascript", "download"),
        ("application/pdf", "download"),
        ("message/rfc822", "download"),
        ("", "download"),
        ("image/png\x00text/html", "download"),
    ]
    with collected() as case:
        for media_type, hint in cases:
            with case(media_type, hint):
                assert render_hint(media_type) == hint


def test_a_file_name_from_a_stranger_is_one_harmless_component() -> None:
    cases = [
        ("invoice.pdf", "invoice.pdf"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\a\\invoice.pdf", "invoice.pdf"),
        ("invoice\u202egpj.exe", "invoicegpj.exe"),
        ('a\r\nSet-Cookie: x="1".txt', 'aSet-Cookie: x="1".txt'),
        ("..", "fallback.bin"),
        ("", "fallback.bin"),
        (". .", "fallback.bin"),
        ("x" * 500 + ".pdf", "x" * 146 + ".pdf"),
        ("x" * 500, "x" * 150),
    ]
    with collected() as case:
        for name, expected in cases:
            with case(name, expected):
                assert safe_filename(name, "fallback.bin") == expected


def test_a_malformed_charset_is_not_used() -> None:
    cases = [
        "zip",
        "rot13",
        "hex",
        "punycode",
        "idna",
        "unicode_escape",
        "undefined",
        "../../x",
        "mbcs",
        "base64",
        "a\x00b",
        "x" * 500,
        "utf-8\n",
    ]
    with collected() as case:
        for name in cases:
            with case(name):
                assert known_charset(name) == ""


def test_the_charsets_of_real_mail_are_decoded() -> None:
    cases = [
        ("ISO-8859-1", "é".encode("latin-1")),
        ("iso_8859-15", "é€".encode("iso8859-15")),
        ("Windows-1252", "é€".encode("cp1252")),
        ("UTF8", "é€".encode()),
        ("ISO-2022-JP", "日本".encode("iso2022_jp")),
        ("Shift_JIS", "日本".encode("shift_jis")),
        ("GB2312", "中国".encode("gb2312")),
        ("KOI8-R", "Привет".encode("koi8-r")),
        ("utf-16le", "é€".encode("utf-16-le")),
    ]
    with collected() as case:
        for name, data in cases:
            with case(name, data):
                assert known_charset(name)
                assert "\ufffd" not in decode(data, name)
                assert decode(data, name) == data.decode(name)


@given(st.binary(max_size=200), st.sampled_from(["", "utf-7", "utf-16", "hz", "iso-2022-kr", "johab", "utf-32", "x"]))
def test_all_decoded_text_can_be_encoded(data: bytes, charset: str) -> None:
    decode(data, charset).encode("utf-8")


@given(st.text())
def test_a_header_value_is_one_line_without_control_characters(text: str) -> None:
    line = one_line(text)
    assert len(line.splitlines()) <= 1
    assert not any(char < " " or char == "\x7f" for char in line)
    line.encode("utf-8")
