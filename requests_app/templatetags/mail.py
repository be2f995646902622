"""The one tag that mails need: paragraphs whose template may be laid out for its reader."""

from __future__ import annotations

import re

from django import template
from django.template.base import NodeList, Parser, Token
from django.template.context import Context
from django.utils.safestring import SafeString, mark_safe

register = template.Library()

_BLANK_LINE = re.compile(r"\n[ \t]*\n")
_OPENING = '<p style="margin:0 0 12px 0;">'


class Paragraphs(template.Node):
    """Blank lines part paragraphs, other line breaks are spaces: as `<p>` where text is escaped, else as lines."""

    def __init__(self, nodelist: NodeList) -> None:
        self.nodelist = nodelist

    def render(self, context: Context) -> SafeString:
        parts = _BLANK_LINE.split(self.nodelist.render(context))
        found = [line for line in (" ".join(part.split()) for part in parts) if line]
        text = "".join(f"{_OPENING}{line}</p>\n" for line in found) if context.autoescape else "\n\n".join(found)
        return mark_safe(text)  # noqa: S308  what the nodes rendered is escaped wherever the context escapes


@register.tag
def paragraphs(parser: Parser, token: Token) -> Paragraphs:
    """`{% paragraphs %}…{% endparagraphs %}`"""
    nodelist = parser.parse(("endparagraphs",))
    parser.delete_first_token()
    return Paragraphs(nodelist)
