"""Makes text from strangers safe to show: nothing in it is hidden, changes the direction of text, or acts as a tag."""

from __future__ import annotations

import html
import re
import unicodedata
from functools import lru_cache

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

from requests_app.words import links

#: Scripts with letters that look alike. A name that mixes them is suspicious.
LOOK_ALIKE_SCRIPTS = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU"})

#: Characters that a reader can't see, or that change the order of others: controls, zero width, fillers.
_HIDDEN_RANGES = (
    (0x0000, 0x0008), (0x000B, 0x000C), (0x000E, 0x001F), (0x007F, 0x009F), (0x00AD, 0x00AD),
    (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x180B, 0x180F),
    (0x200B, 0x200F), (0x2028, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF9, 0xFFFB), (0xE0000, 0xE0FFF),
)  # fmt: skip
HIDDEN = re.compile("[" + "".join(f"\\U{low:08x}-\\U{high:08x}" for low, high in _HIDDEN_RANGES) + "]")
#: Text in which nothing must be escaped, shown or replaced.
_PLAIN = re.compile(r"[ !#-%(-;=?-~]*")
#: Longer texts are not remembered.
_SHORT = 100
_LINE_BREAK = re.compile(r"\r\n|\r|\n")


def _chip(match: re.Match[str]) -> str:
    code = ord(match[0])
    name = unicodedata.name(match[0], _("control character")).lower()
    return format_html(
        '<span class="hidden-char" title="{}">U+{}</span>',
        _("Hidden character: %(name)s") % {"name": name},
        f"{code:04X}",
    )


def _reveal(text: str) -> str:
    # Escaping first is safe: it neither adds nor removes hidden characters. Printable ASCII has none, but some others
    # that Python calls printable are invisible, for example the Hangul fillers.
    escaped = html.escape(text)
    is_plain = escaped.isascii() and escaped.replace("\n", "").isprintable()
    return escaped if is_plain else HIDDEN.sub(_chip, escaped)


def _link(link: links.Link) -> str:
    """Return an address as a link. The host is highlighted.

    If the address hides the host, the host is also shown after it.
    """
    shown = format_html(
        '<a class="outward" href="{}" rel="noopener noreferrer nofollow">'
        '<bdi dir="ltr">{}<strong>{}</strong>{}</bdi></a>',
        link.address,
        link.before,
        link.written_host,
        link.after,
    )
    if link.is_plain:
        return shown
    leads = _("leads to %(host)s") % {"host": link.host}
    return format_html('{} <span class="outward-host">({})</span>', shown, leads)


def _linked(line: str) -> str:
    parts = links.parts(line, ends=HIDDEN)
    return "".join(_reveal(part) if isinstance(part, str) else _link(part) for part in parts)


def visible_block(text: object, *, has_links: bool = True) -> SafeString:
    """Escape the text and show hidden characters as their codes. Line breaks and the text's direction stay.

    Addresses become links. Use `has_links=False` for text that a program wrote or somebody signed.
    """
    if has_links:
        lines = "<br>".join(_linked(line) for line in _LINE_BREAK.split(str(text or "")))
    else:
        # No line break is hidden, and none is escaped, so the whole text is revealed in one step.
        lines = _reveal(str(text or "")).replace("\r\n", "\n").replace("\r", "\n").replace("\n", "<br>")
    return mark_safe(f'<span class="visible" dir="auto">{lines}</span>')  # noqa: S308  every line is escaped


def visible_single(text: object) -> SafeString:
    """Show the text as `visible_block` does, but on one line and without links. Each line break is shown as ↵.

    So an entry in a list always takes one line.
    """
    shown = str(text or "").strip()
    if len(shown) <= _SHORT and (line := _plain_line(shown)):
        return line
    if not _PLAIN.fullmatch(shown):
        first, *more = map(_reveal, _LINE_BREAK.split(shown))
        sign = format_html('<span class="line-break" title="{}">↵</span>', _("Line break")) if more else ""
        shown = f" {sign} ".join([first, *more])
    return SafeString(f'<bdi class="visible-line">{shown}</bdi>')


@lru_cache(4096)
def _plain_line(shown: str) -> SafeString | None:
    """Return a text that needs no change as a line, or else None. Most lines of a log have the same few texts."""
    return SafeString(f'<bdi class="visible-line">{shown}</bdi>') if _PLAIN.fullmatch(shown) else None


def _script(letter: str) -> str:
    return unicodedata.name(letter, "").split(" ", 1)[0]


def is_mixed_script(name: str) -> bool:
    """Return whether a name mixes scripts that look alike, or uses letters that only imitate plain letters."""
    if name.isascii():
        return False
    letters = [char for char in name if char.isalpha()]
    scripts = {_script(letter) for letter in letters} & LOOK_ALIKE_SCRIPTS
    if len(scripts) > 1:
        return True
    # Mathematical, full-width and enclosed letters look like plain letters. A name should use the plain ones.
    plain = unicodedata.normalize("NFC", name)
    return any(_script(char) in {"MATHEMATICAL", "FULLWIDTH", "CIRCLED", "SQUARED"} for char in plain)


def has_hidden_characters(name: str) -> bool:
    """Return whether a text contains a character that a reader can't see."""
    return bool(HIDDEN.search(name))


def digest_groups(value: object) -> SafeString:
    """Show a hexadecimal digest in groups of four. If a reader copies it, the copy has no gaps."""
    if isinstance(value, bytes | memoryview):
        value = bytes(value).hex()
    text = str(value or "")
    parts = [text[i : i + 4] for i in range(0, len(text), 4)]
    groups = "<wbr>".join([f"<span>{part}</span>" for part in (parts if text.isalnum() else map(escape, parts))])
    return mark_safe(f'<code class="digest-value">{groups}</code>')  # noqa: S308  every group is escaped


def breakable(path: str) -> SafeString:
    """Show a path so that a narrow page can break it after each slash."""
    return mark_safe("/<wbr>".join(escape(part) for part in path.split("/")))  # noqa: S308  every part is escaped
