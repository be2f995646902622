"""The timeline as PDF. It is made in memory, so it lists the entries only if there are not too many."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from functools import cache
from itertools import groupby, islice
from typing import Any
from xml.sax.saxutils import escape

from django.conf import settings
from django.utils import dateformat
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from requests_app.doors.web.timeline.story import Fact, Line, Story, counted
from requests_app.words.text import HIDDEN

#: If there are more entries, the PDF has only its first part. A page shows about thirty entries.
MOST_ENTRIES = 2000
_CHUNK = 64 * 1024
_ROWS = 100
#: A row with more characters than this may be longer than a page, so it can be split. Shorter rows are never split.
_LONG_ROW = 2500

_INK, _SOFT, _LINE, _ACCENT = "#1b1c1e", "#605d56", "#d3cfc7", "#0b5566"
_COLOURS = {"yes": "#14622f", "no": "#9c221c", "closed": "#583895", "looked": _INK, "other": _SOFT}
_SANS, _BOLD, _MONO = "DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono"
_VERIFY = "python3 lockbox_verify.py verify evidence.zip --key '…'"
#: The headings, and how much space must be left on the page for a heading.
_HEADS = {"part": 90, "small-part": 50, "day": 70, "label": 40}
#: Characters that XML can't contain. An entry's words already show them as codes.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\ufffe\uffff]")


def pages(story: Story) -> Iterator[bytes]:
    """Yield the file in chunks. The file is made when the first chunk is requested."""
    made = _Document(story).made()
    for at in range(0, len(made), _CHUNK):
        yield made[at : at + _CHUNK]


class _Document:
    """Makes one PDF: first the list of its parts (flowables), then its pages."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.styles = _styles()
        self.flow: list[Any] = []
        self.has_unknown_letters = False

    def made(self) -> bytes:
        self._head()
        self._asked()
        self._turns()
        if self.story.subject.access_request is not None:
            self._window()
        else:
            self._kinds()
        self._proof()
        self._entries()
        if self.has_unknown_letters:
            self._say("soft", _("A box replaces a letter that this file can’t show. timeline.html shows the letter."))
        return self._built()

    # --- Parts --------------------------------------------------------------------------------------------

    def _head(self) -> None:
        self._say("brand", _("Customer Lockbox"))
        self._say("title", self.story.title)
        self._facts(self.story.facts)

    def _asked(self) -> None:
        if self.story.asked:
            self._say("part", _("What was asked for"))
            self._facts(self.story.asked)

    def _turns(self) -> None:
        one = self.story.subject.access_request is not None
        self._say("part", _("Who decided, and how it ended") if one else _("Access requests, decisions and windows"))
        if not self.story.turns:
            self._say("body", _("None."))
        for line in self.story.turns:
            self._turn(line)
        if self.story.has_more_turns:
            self._say("soft", _("This list is not complete. For the complete list, see the entries."))

    def _turn(self, line: Line) -> None:
        kind, mark = line.mark
        self.flow.append(self._paragraph("turn", self._clean(line.text), bullet=self._mark(kind, mark)))
        if line.comment and line.event != "access_request.submitted":
            self._quote(line.comment.splitlines())
        self._say(
            "when", "  ·  ".join(filter(None, (line.when, line.reference, _("entry %(n)s") % {"n": line.number})))
        )

    def _window(self) -> None:
        self._say("part", _("The window, and what was opened in it"))
        self._say("body", self.story.window or _("No window was opened."))
        activities, has_more = self.story.activities
        for resource, items in activities:
            self._say("small-part", resource)
            for item in items:
                self.flow.append(self._paragraph("item", self._clean(item), bullet=self._mark("looked", "◆")))
        if self.story.seen:
            self._say("body", self.story.seen)
        if has_more:
            self._say("soft", _("This list is not complete. For the complete list, see the entries."))

    def _kinds(self) -> None:
        self._say("part", _("Number of entries of each kind"))
        self._table([[self._cell(title), self._cell(counted(n), "number")] for title, n in self.story.kinds], [300, 70])

    def _proof(self) -> None:
        self._say("part", _("What proves this"))
        self._say(
            "body",
            _(
                "You can read the entries in this file, but the file alone proves nothing. The bundle also "
                "contains the entries as they were hashed, a signed checkpoint, and the proofs that the "
                "checkpoint covers the entries. Check the bundle on your own machine, without a network, with the key "
                "that you saved:"
            ),
        )
        self._say("code", _VERIFY)
        for part, root in self.story.logs:
            size = ngettext("%(n)s entry", "%(n)s entries", part.size) % {"n": counted(part.size)}
            self._facts([Fact(_("Log"), [part.origin]), Fact(_("Checkpoint"), [size]), Fact(_("Root"), [root])])

    def _entries(self) -> None:
        self._say("part", _("Every entry"))
        if self.story.prepared.count > MOST_ENTRIES:
            words = _(
                "There are %(n)s entries, which are too many to print. timeline.html and entries-….jsonl "
                "contain all of them."
            )
            self._say("body", words % {"n": counted(self.story.prepared.count)})
            return
        self._say(
            "soft",
            _(
                "The oldest entry is first. All times are in UTC. On the right are the first twelve digits of the "
                "entry’s leaf hash."
            ),
        )
        for _key, lines in groupby(self.story.lines(), key=lambda line: (line.shard, line.at.date())):
            is_first = True
            while rows := list(islice(lines, _ROWS)):
                if is_first:
                    self._say("day", dateformat.format(rows[0].at, "l j F Y"))
                self._table([self._row(line) for line in rows], [36, 48, 16, 300, 87])
                is_first = False

    def _row(self, line: Line) -> list[Any]:
        kind, mark = line.mark
        text = self._clean(line.text)
        if not line.is_intact:
            text = f'<font color="{_COLOURS["no"]}">{self._clean(_("Changed since it was written."))}</font> {text}'
        flowables = [self._paragraph("cell", text)]
        if line.comment:
            flowables += [self._paragraph("comment", self._clean(each)) for each in line.comment.splitlines() if each]
        return [
            self._cell(str(line.number), "number"),
            self._cell(line.at.strftime("%H:%M:%S")),
            self._paragraph("cell", self._mark(kind, mark)),
            flowables,
            self._cell(line.leaf, "mono"),
        ]

    # --- Parts of parts -----------------------------------------------------------------------------------

    def _say(self, style: str, text: str) -> None:
        if style in _HEADS:
            from reportlab.platypus import CondPageBreak

            # With "keep with next", a whole table would move to the next page to stay with its heading.
            self.flow.append(CondPageBreak(_HEADS[style]))
        self.flow.append(self._paragraph(style, self._clean(text)))

    def _quote(self, lines: list[str]) -> None:
        for line in lines:
            self._say("quote", line)

    def _facts(self, facts: list[Fact]) -> None:
        for is_quote, group in groupby(facts, key=lambda fact: fact.is_quote):
            if is_quote:
                for fact in group:
                    self._say("label", fact.label)
                    self._quote(fact.lines)
            else:
                rows = [[self._cell(fact.label, "label"), [self._cell(each) for each in fact.lines]] for fact in group]
                self._table(rows, [110, 377], has_lines=False)

    def _cell(self, text: str, style: str = "cell") -> Any:
        return self._paragraph(style, self._clean(text))

    def _mark(self, kind: str, mark: str) -> str:
        return f'<font name="{_BOLD}" color="{_COLOURS[kind]}">{mark}</font>'

    def _paragraph(self, style: str, markup: str, *, bullet: str = "") -> Any:
        from reportlab.platypus import Paragraph

        return Paragraph(f"<bullet>{bullet}</bullet>{markup}" if bullet else markup, self.styles[style])

    def _table(self, rows: list[list[Any]], widths: list[int], *, has_lines: bool = True) -> None:
        from reportlab.lib.colors import HexColor
        from reportlab.platypus import Table

        style: list[Any] = [
            # The cells are paragraphs with their own font. Without this line, the file would also name the library's
            # default font, which it does not contain.
            ("FONTNAME", (0, 0), (-1, -1), _SANS),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (-1, -1), 0),
            ("RIGHTPADDING", (0, 0), (-1, -1), 6),
            ("TOPPADDING", (0, 0), (-1, -1), 1.5),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
        ]
        if has_lines:
            style.append(("LINEBELOW", (0, 0), (-1, -1), 0.4, HexColor(_LINE)))
        # A row that is longer than a page is split. Otherwise the library would fail for the whole file.
        is_long = any(len(_text_of(row)) > _LONG_ROW for row in rows)
        self.flow.append(
            Table(rows, colWidths=widths, style=style, hAlign="LEFT", splitByRow=1, splitInRow=int(is_long))
        )

    def _clean(self, text: str) -> str:
        """Return markup that shows exactly this text. Hidden characters become visible."""
        shown = HIDDEN.sub(lambda found: f"[U+{ord(found[0]):04X}]", text)
        # Half a surrogate pair can't be encoded. Only damaged entries contain such halves.
        shown = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", shown.encode(errors="backslashreplace").decode())
        if not self.has_unknown_letters:
            self.has_unknown_letters = not _letters().issuperset(map(ord, shown.replace("\n", "").replace("\t", "")))
        return escape(shown)

    def _built(self) -> bytes:
        from reportlab.lib.pagesizes import A4
        from reportlab.platypus import SimpleDocTemplate

        out = io.BytesIO()
        document = SimpleDocTemplate(
            out,
            pagesize=A4,
            leftMargin=48,
            rightMargin=48,
            topMargin=48,
            bottomMargin=56,
            title=self.story.title,
            author=settings.PROVIDER_NAME,
            creator="Customer Lockbox",
            lang=get_language() or "",
            initialFontName=_SANS,
        )
        document.build(self.flow, onFirstPage=self._foot, onLaterPages=self._foot)
        return out.getvalue()

    def _foot(self, canvas: Any, document: Any) -> None:
        from reportlab.lib.colors import HexColor

        width, _height = document.pagesize
        canvas.saveState()
        canvas.setFont(_SANS, 7)
        canvas.setFillColor(HexColor(_SOFT))
        canvas.drawString(54, 34, f"{self.story.title}  ·  {self.story.made}")
        canvas.drawRightString(width - 54, 34, _("Page %(n)s") % {"n": document.page})
        canvas.restoreState()


def _text_of(cell: Any) -> str:
    if isinstance(cell, list):
        return "".join(map(_text_of, cell))
    return str(cell.text)


# --- Fonts -----------------------------------------------------------------------------------------------


@cache
def _letters() -> frozenset[int]:
    """Return all characters that the font contains."""
    from reportlab.pdfbase import pdfmetrics

    _register()
    return frozenset(pdfmetrics.getFont(_SANS).face.charToGlyph)


@cache
def _register() -> None:
    from reportlab.pdfbase import pdfmetrics
    from reportlab.pdfbase.ttfonts import TTFont

    place = settings.STATIC_SOURCE / "vendor" / "dejavu"
    for name in (_SANS, _BOLD, _MONO):
        # A file contains only the characters that it uses.
        pdfmetrics.registerFont(TTFont(name, place / f"{name}.ttf"))
    pdfmetrics.registerFontFamily(_SANS, normal=_SANS, bold=_BOLD, italic=_SANS, boldItalic=_BOLD)


def _styles() -> dict[str, Any]:
    from reportlab.lib.colors import HexColor
    from reportlab.lib.enums import TA_RIGHT
    from reportlab.lib.styles import ParagraphStyle

    _register()
    base: dict[str, Any] = {"fontName": _SANS, "fontSize": 8.5, "leading": 12, "textColor": HexColor(_INK)}
    soft = {"fontSize": 7.5, "leading": 11, "textColor": HexColor(_SOFT)}
    head: dict[str, Any] = {"fontName": _BOLD}
    hung: dict[str, Any] = {"leftIndent": 16, "bulletIndent": 0, "bulletFontName": _BOLD, "bulletFontSize": 8.5}
    looks: dict[str, dict[str, Any]] = {
        "brand": {"fontName": _BOLD, "textColor": HexColor(_ACCENT), "spaceAfter": 2},
        "title": {**head, "fontSize": 16, "leading": 20, "spaceAfter": 12},
        "part": {**head, "fontSize": 11, "leading": 15, "spaceBefore": 16, "spaceAfter": 4},
        "small-part": {**head, "spaceBefore": 6, "spaceAfter": 2},
        "day": {**head, "spaceBefore": 10, "spaceAfter": 2},
        "body": {"spaceAfter": 4},
        "soft": {**soft, "spaceAfter": 4},
        "turn": {**hung, "spaceBefore": 5, "keepWithNext": 1},
        "when": {**soft, "leftIndent": 16},
        "item": hung,
        "quote": {"leftIndent": 16, "borderPadding": 0, "spaceAfter": 1},
        "comment": {**soft, "leftIndent": 8},
        "code": {"fontName": _MONO, "fontSize": 8, "spaceBefore": 4, "spaceAfter": 8},
        "cell": {},
        "label": {"textColor": HexColor(_SOFT)},
        "number": {**soft, "alignment": TA_RIGHT},
        "mono": {**soft, "fontName": _MONO},
    }
    return {name: ParagraphStyle(name, **{**base, **look}) for name, look in looks.items()}
