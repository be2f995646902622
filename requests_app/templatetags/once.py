"""Puts a once-token into every form that has `{% csrf_token %}`, so that no template can forget it."""

from __future__ import annotations

from typing import Any

from django import template
from django.template.defaulttags import CsrfTokenNode
from django.utils.html import format_html

from requests_app.platform import outcome

register = template.Library()

#: The field's name in every form.
FIELD = "once"


class TokensNode(CsrfTokenNode):
    def render(self, context: Any) -> str:
        found = super().render(context)
        if not found:
            return found
        return found + format_html('<input type="hidden" name="{}" value="{}">', FIELD, outcome.token_for_a_form())


@register.tag
def csrf_token(parser: template.base.Parser, token: template.base.Token) -> TokensNode:
    """Render the field against forged requests, and the token by which a form is sent once."""
    return TokensNode()
