"""The tag `{% translate %}`. A text without variables is translated only once for each language.

A page has about a hundred such texts. The library `lockbox` has this tag, so a template gets it if it loads `lockbox`
after Django's `i18n`.
"""

from __future__ import annotations

from typing import Any

from django import template
from django.template.base import FilterExpression, Parser, Token, Variable
from django.template.context import Context
from django.templatetags import i18n
from django.utils.translation import get_language

register = template.Library()


class Translate(i18n.TranslateNode):
    """`{% translate "Some words" %}`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_fixed = _is_fixed(self.filter_expression) and (
            self.message_context is None or _is_fixed(self.message_context)
        )
        self._found: dict[tuple[str | None, bool], Any] = {}

    def render(self, context: Context) -> Any:
        if not self._is_fixed:
            return super().render(context)
        key = get_language(), context.autoescape
        value = self._found.get(key)
        if value is None:
            value = super().render(context)
            if self.asvar:
                value = context[self.asvar]
            self._found[key] = value
        if not self.asvar:
            return value
        context[self.asvar] = value
        return ""


def _is_fixed(found: FilterExpression) -> bool:
    """Return whether this is a text in quotes, without filters."""
    return not found.filters and isinstance(found.var, str | Variable) and getattr(found.var, "lookups", None) is None


@register.tag("translate")
@register.tag("trans")
def translate(parser: Parser, token: Token) -> Translate:
    made = i18n.do_translate(parser, token)
    return Translate(made.filter_expression, made.noop, made.asvar, made.message_context)
