"""The template tag for mails: it makes a paragraph from text that is laid out over several lines in the template."""

from __future__ import annotations

from django import template
from django.template.base import NodeList, Parser, Token
from django.template.context import Context
from django.utils.safestring import SafeString, mark_safe

register = template.Library()


class Paragraph(template.Node):
    """One paragraph on one line: a `<p>` element in HTML, a plain line in text, or nothing if it is empty."""

    def __init__(self, nodelist: NodeList, weight: int) -> None:
        self.nodelist, self.weight = nodelist, weight

    def render(self, context: Context) -> SafeString:
        line = " ".join(self.nodelist.render(context).split())
        if line and context.autoescape:
            line = f'<p style="margin:0 0 10px 0; font-weight:{self.weight};">{line}</p>'
        return mark_safe(f"{line}\n\n" if line else "")  # noqa: S308  the nodes escape wherever the context does


@register.tag
def paragraph(parser: Parser, token: Token) -> Paragraph:
    """`{% paragraph %}…{% endparagraph %}`, or `{% paragraph strong %}` for text that a reader must not miss."""
    weight = {"paragraph": 400, "paragraph strong": 600}.get(token.contents)
    if weight is None:
        raise template.TemplateSyntaxError(f"not understood: {token.contents}")
    nodelist = parser.parse(("endparagraph",))
    parser.delete_first_token()
    return Paragraph(nodelist, weight)
