"""Turns hostile bytes and strings into text that is safe to show, to store and to write into a header."""

import codecs
import re
import unicodedata

# Python's codec registry imports modules to find unknown names. It also has entries that are not charsets (zip, rot13),
# and decoders that take quadratic time (punycode, idna). So a sender's charset is looked up only in this list.
_CHARSETS = [
    "utf-8",
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "utf-7",
    "ascii",
    "iso8859-1",
    "iso8859-2",
    "iso8859-3",
    "iso8859-4",
    "iso8859-5",
    "iso8859-6",
    "iso8859-7",
    "iso8859-8",
    "iso8859-9",
    "iso8859-10",
    "iso8859-11",
    "iso8859-13",
    "iso8859-14",
    "iso8859-15",
    "iso8859-16",
    "cp1250",
    "cp1251",
    "cp1252",
    "cp1253",
    "cp1254",
    "cp1255",
    "cp1256",
    "cp1257",
    "cp1258",
    "cp437",
    "cp850",
    "cp866",
    "cp874",
    "cp932",
    "cp936",
    "cp949",
    "cp950",
    "koi8-r",
    "koi8-u",
    "mac-roman",
    "big5",
    "big5hkscs",
    "gb2312",
    "gbk",
    "gb18030",
    "euc-jp",
    "iso2022-jp",
    "shift-jis",
    "euc-kr",
    "iso2022-kr",
    "johab",
    "tis-620",
    "hz",
]
_ALIASES = {
    "usascii": "ascii",
    "ansix3.41968": "ascii",
    "unicode11utf7": "utf-7",
    "latin1": "iso8859-1",
    "ksc56011987": "cp949",
    "windows31j": "cp932",
    "mskanji": "cp932",
    "xsjis": "cp932",
    "sjis": "cp932",
    "macintosh": "mac-roman",
    "xgbk": "gbk",
    "gb231280": "gb2312",
    "iso88598i": "iso8859-8",
    "iso88596i": "iso8859-6",
    "hzgb2312": "hz",
}


def _compact(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "").replace("windows125", "cp125")


_CODECS = {**{_compact(name): name for name in _CHARSETS}, **_ALIASES}
_CHARSET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,39}\Z")
_BYTE_ORDER_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))

# C0, DEL, C1, and the two separators that some programs treat as the end of a line.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROL_BUT_LINES = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")

_FILENAME_LENGTH = 150


def decode(data: bytes, charset: str = "") -> str:
    """Decode bytes with the named charset if it is known.

    Otherwise guess: byte order mark, then UTF-8, then Latin-1.
    """
    codec = known_charset(charset)
    if not codec:
        codec = next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), "")
    if codec:
        return without_surrogates(data.decode(codec, "replace"))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        # The data can still be UTF-8 if only its last character is incomplete.
        if error.start >= len(data) - 3 and error.reason == "unexpected end of data":
            return data.decode("utf-8", "replace")
        return data.decode("latin-1")


def known_charset(name: str) -> str:
    """Return Python's name for a charset, or an empty string if the charset is not allowed."""
    return _CODECS.get(_compact(name), "") if _CHARSET_NAME.match(name) else ""


def without_surrogates(text: str) -> str:
    """Replace lone surrogates. Some decoders produce them, and no encoder accepts them."""
    return text.encode("utf-8", "replace").decode("utf-8")


def one_line(text: str) -> str:
    """Return a header's value as one line. Line breaks, tabs and control characters become spaces."""
    return " ".join(_CONTROL.sub(" ", without_surrogates(text)).split())


def visible_lines(text: str) -> str:
    """Return a body whose line breaks are all line feeds.

    Tabs stay. Every other control character is replaced by a visible character.
    """
    plain = without_surrogates(text).replace("\r\n", "\n").replace("\r", "\n")
    return _CONTROL_BUT_LINES.sub("\ufffd", plain)


def safe_filename(name: str, fallback: str) -> str:
    """Return the last component of a file name that a sender chose, safe for a download and never empty.

    Direction marks are removed. With one after "invoice", "invoicegpj.exe" would be shown as "invoiceexe.jpg".
    """
    last = re.split(r"[/\\]", name)[-1]
    printable = "".join(char for char in last if unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Zl", "Zp"))
    printable = " ".join(printable.split()).strip(". ")
    if not printable:
        return fallback
    stem, dot, extension = printable.rpartition(".")
    if not dot or len(extension) > 16:
        return printable[:_FILENAME_LENGTH]
    return f"{stem[: _FILENAME_LENGTH - len(extension) - 1]}.{extension}"
